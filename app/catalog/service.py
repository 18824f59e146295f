"""Services, extras and quotes."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from app.catalog import pricing
from app.catalog.models import CleaningService, ServiceExtra
from app.catalog.problems import CatalogueFull
from app.catalog.schemas import (
    Extra,
    ExtraChange,
    NewExtra,
    NewService,
    Offer,
    Quote,
    QuoteRequest,
    Service,
    ServiceChange,
)
from app.kit import audit
from app.kit.actor import Actor
from app.kit.cache import Cache
from app.kit.cached import Cached
from app.kit.conditional import Expected
from app.kit.database import Database
from app.kit.idempotency import Attempt
from app.kit.pagination import Page, Paging
from app.kit.problems import FieldError, NotFound, ValidationFailed
from app.settings import Settings

ACTIVE_SERVICES = 500
"""That may be active at the same time: the public list has no pages."""
EXTRAS = 100
"""That a service may have, inactive ones included."""


class Catalog:
    """Services, extras and quotes."""

    def __init__(self, settings: Settings, database: Database, cache: Cache) -> None:
        self._settings = settings
        self._database = database
        self.offer = Cached("offer", cache, self._render)
        """The public list: `Offer` as JSON."""
        self._first: tuple[str, dict[str, str]] = "", {}
        """What `ids_on_offer` says, and the ETag of the list that it says it of."""

    async def ids_on_offer(self) -> dict[str, str]:
        """Ids of the first service that can be booked, and of its first extra, as far as there are any.

        Raises:
            Problem: the catalogue cannot be read.
        """
        offer = await self.offer.get()
        if offer.etag != self._first[0]:
            self._first = offer.etag, _first_ids(Offer.model_validate_json(offer.content))
        return self._first[1]

    async def close(self) -> None:
        """End what runs in the background."""
        await self.offer.close()

    def quote(self, session: Session, request: QuoteRequest) -> Quote:
        """What a visit costs and how long it takes.

        Raises:
            ValidationFailed: the service is unknown or not offered, or a measure or an extra does not fit it.
            VisitTooLong: it takes more than a visit may last.
        """
        service = session.get(CleaningService, request.service_id)
        if service is None or not service.is_active:
            wrong = FieldError(location="body", field="service_id", code="unknown", message="No such service")
            raise ValidationFailed(errors=[wrong])
        extras = _extras(session, [service], only_active=True)[service.id]
        return pricing.quote(service, extras, request, self._settings.currency)

    async def quoted(self, request: QuoteRequest) -> Quote:
        """Like `quote`, in a transaction of its own."""
        return await self._database.read(lambda session: self.quote(session, request))

    async def one(self, service_id: str) -> Service:
        """One service with all its extras, active or not.

        Raises:
            NotFound: there is none.
        """
        return await self._database.read(lambda session: _shown(session, _service(session, service_id)))

    async def one_extra(self, service_id: str, extra_id: str) -> Extra:
        """One extra.

        Raises:
            NotFound: there is none.
        """
        return await self._database.read(lambda session: Extra.of(_extra(session, service_id, extra_id)))

    async def page(self, paging: Paging) -> Page[Service]:
        """Part of all services, inactive ones included.

        Raises:
            ValidationFailed: the cursor is wrong.
        """
        columns: list[Any] = [col(CleaningService.position), col(CleaningService.id)]

        def read(session: Session) -> Page[Service]:
            services, cursor = paging.page(
                session,
                select(CleaningService),
                columns,
                lambda service: (service.position, service.id),
            )
            return Page(items=_all_shown(session, services), next_cursor=cursor)

        return await self._database.read(read)

    async def add(self, actor: Actor, new: NewService, attempt: Attempt) -> Service:
        """Offer another service.

        Raises:
            CatalogueFull: too many are active.
            IdempotencyKeyReused: the attempt repeats another request.
        """

        def insert(session: Session) -> Service:
            service = CleaningService(**new.model_dump())
            session.add(service)
            session.flush()
            _check_room(session, service)
            _record(session, actor, service, "service.added")
            return _shown(session, service)

        added = await self._database.write(
            lambda session: attempt.once(session, actor.id, Service, lambda: insert(session))
        )
        await self.offer.invalidate()
        return added

    async def change(self, actor: Actor, service_id: str, change: ServiceChange, expected: Expected) -> Service:
        """Change a service; a change that changes nothing leaves the version as it is.

        Raises:
            NotFound: there is none.
            PreconditionFailed: somebody else changed it first.
            CatalogueFull: it would become active, and too many are.
        """

        def update(session: Session) -> Service:
            service = _service(session, service_id)
            expected.check(service)
            if changed := _apply(service, change.model_dump(exclude_unset=True)):
                service.version += 1
                session.flush()
                _check_room(session, service)
                _record(session, actor, service, "service.changed", fields=changed)
            return _shown(session, service)

        changed = await self._database.write(update)
        await self.offer.invalidate()
        return changed

    async def add_extra(self, actor: Actor, service_id: str, new: NewExtra, attempt: Attempt) -> Extra:
        """Offer another extra with a service.

        Raises:
            NotFound: there is no such service.
            CatalogueFull: it has too many.
            IdempotencyKeyReused: the attempt repeats another request.
        """

        def insert(session: Session) -> Extra:
            service = _service(session, service_id)
            if len(_extras(session, [service])[service.id]) >= EXTRAS:
                raise CatalogueFull
            extra = ServiceExtra(service_id=service.id, **new.model_dump())
            service.version += 1
            session.add(extra)
            session.flush()
            _record(session, actor, service, "extra.added", extra_id=extra.id)
            return Extra.of(extra)

        added = await self._database.write(
            lambda session: attempt.once(session, actor.id, Extra, lambda: insert(session))
        )
        await self.offer.invalidate()
        return added

    async def change_extra(
        self, actor: Actor, service_id: str, extra_id: str, change: ExtraChange, expected: Expected
    ) -> Extra:
        """Change an extra, and thereby its service; a change that changes nothing leaves both versions as they are.

        Raises:
            NotFound: there is none.
            PreconditionFailed: somebody else changed it first.
        """

        def update(session: Session) -> Extra:
            extra = _extra(session, service_id, extra_id)
            expected.check(extra)
            if changed := _apply(extra, change.model_dump(exclude_unset=True)):
                service = _service(session, service_id)
                extra.version += 1
                service.version += 1
                session.flush()
                _record(session, actor, service, "extra.changed", extra_id=extra.id, fields=changed)
            return Extra.of(extra)

        changed = await self._database.write(update)
        await self.offer.invalidate()
        return changed

    async def _render(self) -> bytes:
        """The public list; made into JSON in the worker thread, so that a long one does not hold up the loop."""
        return await self._database.read(lambda session: self._offer(session).model_dump_json().encode())

    def _offer(self, session: Session) -> Offer:
        services = session.exec(
            select(CleaningService)
            .where(col(CleaningService.is_active).is_(True))
            .order_by(col(CleaningService.position), col(CleaningService.id))
            .limit(ACTIVE_SERVICES)
        ).all()
        return Offer(currency=self._settings.currency, items=_all_shown(session, services, only_active=True))


def _service(session: Session, service_id: str) -> CleaningService:
    service = session.get(CleaningService, service_id)
    if service is None:
        raise NotFound
    return service


def _extra(session: Session, service_id: str, extra_id: str) -> ServiceExtra:
    extra = session.get(ServiceExtra, extra_id)
    if extra is None or extra.service_id != service_id:
        raise NotFound
    return extra


def _extras(
    session: Session, services: Sequence[CleaningService], *, only_active: bool = False
) -> dict[str, list[ServiceExtra]]:
    """The services' extras in their order, by service."""
    query = (
        select(ServiceExtra)
        .where(col(ServiceExtra.service_id).in_([service.id for service in services]))
        .order_by(col(ServiceExtra.service_id), col(ServiceExtra.position), col(ServiceExtra.id))
    )
    if only_active:
        query = query.where(col(ServiceExtra.is_active).is_(True))
    found: defaultdict[str, list[ServiceExtra]] = defaultdict(list)
    for extra in session.exec(query):
        found[extra.service_id].append(extra)
    return found


def _shown(session: Session, service: CleaningService) -> Service:
    return _all_shown(session, [service])[0]


def _all_shown(session: Session, services: Sequence[CleaningService], *, only_active: bool = False) -> list[Service]:
    extras = _extras(session, services, only_active=only_active)
    return [Service.of(service, pricing.measures(service), extras[service.id]) for service in services]


def _apply(row: CleaningService | ServiceExtra, values: dict[str, object]) -> list[str]:
    """Set the values that differ; returns their names."""
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _check_room(session: Session, service: CleaningService) -> None:
    """Call it with the service's new state in the database."""
    active = select(func.count()).select_from(CleaningService).where(col(CleaningService.is_active).is_(True))
    if service.is_active and session.exec(active).one() > ACTIVE_SERVICES:
        raise CatalogueFull


def _record(session: Session, actor: Actor, service: CleaningService, what: str, **details: object) -> None:
    audit.record(session, "catalog.changed", actor_id=actor.id, subject_id=service.id, what=what, **details)


def _first_ids(offer: Offer) -> dict[str, str]:
    service = next(iter(offer.items), None)
    if service is None:
        return {}
    first = {"service_id": service.id}
    return first | {"extra_id": service.extras[0].id} if service.extras else first
