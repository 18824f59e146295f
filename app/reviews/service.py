"""Adds, reads, erases and exports reviews."""

from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from app.accounts.service import Accounts
from app.bookings.models import BookingState
from app.bookings.service import Bookings
from app.kit.actor import Actor
from app.kit.database import Database
from app.kit.idempotency import Attempt
from app.kit.pagination import Page, Paging
from app.kit.problems import NotFound
from app.reviews.models import Review
from app.reviews.problems import AlreadyReviewed, BookingNotCompleted
from app.reviews.schemas import PublicReview, ReviewRequest, ReviewView
from app.staff.service import Staff


class Reviews:
    """The operations on reviews."""

    def __init__(self, database: Database, *, accounts: Accounts, staff: Staff, bookings: Bookings) -> None:
        self._database = database
        self._accounts = accounts
        self._staff = staff
        self._bookings = bookings

    async def add(self, actor: Actor, booking_id: str, request: ReviewRequest, attempt: Attempt) -> ReviewView:
        """Add a review of a booking, and add its stars to the cleaner's rating.

        Raises:
            NotFound: the actor has no such booking.
            BookingNotCompleted: the booking is not completed.
            AlreadyReviewed: the booking already has a review.
            IdempotencyKeyReused: the idempotency key belongs to another request.
        """
        return await self._database.write(
            lambda session: attempt.once(
                session, actor.id, ReviewView, lambda: self._add(session, actor, booking_id, request)
            )
        )

    def _add(self, session: Session, actor: Actor, booking_id: str, request: ReviewRequest) -> ReviewView:
        booking = self._bookings.find(session, booking_id)
        if booking is None or booking.client_id != actor.id:
            raise NotFound
        if booking.state != BookingState.COMPLETED or booking.cleaner_id is None:
            raise BookingNotCompleted
        if session.get(Review, booking_id) is not None:
            raise AlreadyReviewed
        review = Review(
            booking_id=booking_id, client_id=actor.id, cleaner_id=booking.cleaner_id, **request.model_dump()
        )
        session.add(review)
        session.flush()
        self._staff.add_rating(session, booking.cleaner_id, request.stars)
        return ReviewView.model_validate(review)

    async def of_booking(self, actor: Actor, booking_id: str) -> ReviewView:
        """The review of a booking.

        Raises:
            NotFound: the review does not exist, or the actor may not read it.
        """

        def read(session: Session) -> ReviewView:
            review = session.get(Review, booking_id)
            if review is None or not (actor.in_office or actor.id in {review.client_id, review.cleaner_id}):
                raise NotFound
            return ReviewView.model_validate(review)

        return await self._database.read(read)

    async def of_cleaner(self, cleaner_id: str, paging: Paging) -> Page[PublicReview]:
        """The reviews of a cleaner, newest first.

        Raises:
            NotFound: the cleaner does not exist.
            ValidationFailed: the cursor does not belong to this list.
        """
        columns: list[Any] = [col(Review.created_at), col(Review.booking_id)]

        def read(session: Session) -> Page[PublicReview]:
            self._staff.profile(session, cleaner_id)
            rows, cursor = paging.page(
                session,
                select(Review).where(Review.cleaner_id == cleaner_id),
                columns,
                lambda row: (row.created_at, row.booking_id),
                descending=True,
            )
            people = self._accounts.people(session, [row.client_id for row in rows])
            items = [
                PublicReview(
                    author=author(people[row.client_id].full_name),
                    stars=row.stars,
                    comment=row.comment,
                    created_at=row.created_at,
                )
                for row in rows
            ]
            return Page(items=items, next_cursor=cursor)

        return await self._database.read(read)

    def erase(self, session: Session, account_id: str) -> None:
        """Listener: blank the client's comments; the stars stay because they are part of the cleaner's rating."""
        session.execute(update(Review).where(col(Review.client_id) == account_id).values(comment=""))

    def export(self, session: Session, account_id: str) -> object:
        """Listener: all reviews by the client, oldest first."""
        reviews = session.exec(select(Review).where(Review.client_id == account_id)).all()
        return [
            ReviewView.model_validate(each).model_dump(mode="json")
            for each in sorted(reviews, key=lambda review: review.created_at)
        ]


def author(full_name: str) -> str:
    """First name and last initial."""
    first, *others = full_name.split()
    return f"{first} {others[-1][0]}." if others else first
