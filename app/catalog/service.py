"""Manages services and extras, and calculates quotes."""

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

MAXIMUM_ACTIVE_SERVICES = 500
"""Limit on active services, because the public list is not paged."""
MAXIMUM_EXTRAS_PER_SERVICE = 100
"""Limit on the extras of a service, including inactive ones."""


class Catalog:
    """The operations of the catalogue."""

    def __init__(self, settings: Settings, database: Database, cache: Cache) -> None:
        self._settings = settings
        self._database = database
        self.public_list = Cached("offer", cache, self._render_public_list)
        """The public list: `Offer` as JSON."""
        self._example_ids: tuple[str, dict[str, str]] = "", {}
        """The ETag of a public list, and the result of `example_ids` for it."""

    async def example_ids(self) -> dict[str, str]:
        """Ids of the first active service and of its first extra, if they exist, for examples in the documentation.

        Raises:
            Problem: the catalogue cannot be read.
        """
        offer = await self.public_list.get()
        if offer.etag != self._example_ids[0]:
            self._example_ids = offer.etag, _find_example_ids(Offer.model_validate_json(offer.content))
        return self._example_ids[1]

    async def close(self) -> None:
        """Stop the background tasks."""
        await self.public_list.close()

    def quote(self, session: Session, request: QuoteRequest) -> Quote:
        """Calculate price and duration of a visit.

        Raises:
            ValidationFailed: the service is unknown or inactive, or a measure or an extra is invalid for it.
            VisitTooLong: the duration exceeds the maximum.
        """
        service = session.get(CleaningService, request.service_id)
        if service is None or not service.is_active:
            wrong = FieldError(location="body", field="service_id", code="unknown", message="No such service")
            raise ValidationFailed(errors=[wrong])
        extras = _extras_by_service(session, [service], only_active=True)[service.id]
        return pricing.calculate_quote(service, extras, request, self._settings.currency)

    async def read_quote(self, request: QuoteRequest) -> Quote:
        """Like `quote`, in its own transaction."""
        return await self._database.read(lambda session: self.quote(session, request))

    async def read_service(self, service_id: str) -> Service:
        """Return a service with all its extras, including inactive ones.

        Raises:
            NotFound: the service does not exist.
        """
        return await self._database.read(lambda session: _present(session, _get_service(session, service_id)))

    async def read_extra(self, service_id: str, extra_id: str) -> Extra:
        """Return an extra.

        Raises:
            NotFound: the service has no such extra.
        """
        return await self._database.read(lambda session: Extra.of(_get_extra(session, service_id, extra_id)))

    async def list_services(self, paging: Paging) -> Page[Service]:
        """One page of all services, including inactive ones.

        Raises:
            ValidationFailed: the cursor does not belong to this list.
        """
        columns: list[Any] = [col(CleaningService.position), col(CleaningService.id)]

        def read(session: Session) -> Page[Service]:
            services, cursor = paging.page(
                session,
                select(CleaningService),
                columns,
                lambda service: (service.position, service.id),
            )
            return Page(items=_present_all(session, services), next_cursor=cursor)

        return await self._database.read(read)

    async def add_service(self, actor: Actor, new: NewService, attempt: Attempt) -> Service:
        """Add a service.

        Raises:
            CatalogueFull: too many services are active.
            IdempotencyKeyReused: the idempotency key belongs to another request.
        """

        def insert(session: Session) -> Service:
            service = CleaningService(**new.model_dump())
            session.add(service)
            session.flush()
            _check_active_limit(session, service)
            _record_audit(session, actor, service, "service.added")
            return _present(session, service)

        added = await self._database.write(
            lambda session: attempt.once(session, actor.id, Service, lambda: insert(session))
        )
        await self.public_list.invalidate()
        return added

    async def change_service(self, actor: Actor, service_id: str, change: ServiceChange, expected: Expected) -> Service:
        """Change a service; if all values are unchanged, the version stays the same.

        Raises:
            NotFound: the service does not exist.
            PreconditionFailed: the service has changed since the actor read it.
            CatalogueFull: the change would activate the service, and too many services are active.
        """

        def update(session: Session) -> Service:
            service = _get_service(session, service_id)
            expected.check(service)
            if changed := _apply_changes(service, change.model_dump(exclude_unset=True)):
                service.version += 1
                session.flush()
                _check_active_limit(session, service)
                _record_audit(session, actor, service, "service.changed", fields=changed)
            return _present(session, service)

        changed = await self._database.write(update)
        await self.public_list.invalidate()
        return changed

    async def add_extra(self, actor: Actor, service_id: str, new: NewExtra, attempt: Attempt) -> Extra:
        """Add an extra to a service.

        Raises:
            NotFound: the service does not exist.
            CatalogueFull: the service has too many extras.
            IdempotencyKeyReused: the idempotency key belongs to another request.
        """

        def insert(session: Session) -> Extra:
            service = _get_service(session, service_id)
            if len(_extras_by_service(session, [service])[service.id]) >= MAXIMUM_EXTRAS_PER_SERVICE:
                raise CatalogueFull
            extra = ServiceExtra(service_id=service.id, **new.model_dump())
            service.version += 1
            session.add(extra)
            session.flush()
            _record_audit(session, actor, service, "extra.added", extra_id=extra.id)
            return Extra.of(extra)

        added = await self._database.write(
            lambda session: attempt.once(session, actor.id, Extra, lambda: insert(session))
        )
        await self.public_list.invalidate()
        return added

    async def change_extra(
        self, actor: Actor, service_id: str, extra_id: str, change: ExtraChange, expected: Expected
    ) -> Extra:
        """Change an extra, and increase its service's version too; if all values are unchanged, both versions stay.

        Raises:
            NotFound: the service has no such extra.
            PreconditionFailed: the extra has changed since the actor read it.
        """

        def update(session: Session) -> Extra:
            extra = _get_extra(session, service_id, extra_id)
            expected.check(extra)
            if changed := _apply_changes(extra, change.model_dump(exclude_unset=True)):
                service = _get_service(session, service_id)
                extra.version += 1
                service.version += 1
                session.flush()
                _record_audit(session, actor, service, "extra.changed", extra_id=extra.id, fields=changed)
            return Extra.of(extra)

        changed = await self._database.write(update)
        await self.public_list.invalidate()
        return changed

    async def _render_public_list(self) -> bytes:
        """The public list as JSON, serialised in the worker thread to keep the event loop responsive."""
        return await self._database.read(lambda session: self._load_offer(session).model_dump_json().encode())

    def _load_offer(self, session: Session) -> Offer:
        services = session.exec(
            select(CleaningService)
            .where(col(CleaningService.is_active).is_(True))
            .order_by(col(CleaningService.position), col(CleaningService.id))
            .limit(MAXIMUM_ACTIVE_SERVICES)
        ).all()
        return Offer(currency=self._settings.currency, items=_present_all(session, services, only_active=True))


def _get_service(session: Session, service_id: str) -> CleaningService:
    service = session.get(CleaningService, service_id)
    if service is None:
        raise NotFound
    return service


def _get_extra(session: Session, service_id: str, extra_id: str) -> ServiceExtra:
    extra = session.get(ServiceExtra, extra_id)
    if extra is None or extra.service_id != service_id:
        raise NotFound
    return extra


def _extras_by_service(
    session: Session, services: Sequence[CleaningService], *, only_active: bool = False
) -> dict[str, list[ServiceExtra]]:
    """The extras of each service, sorted by position."""
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


def _present(session: Session, service: CleaningService) -> Service:
    return _present_all(session, [service])[0]


def _present_all(session: Session, services: Sequence[CleaningService], *, only_active: bool = False) -> list[Service]:
    extras = _extras_by_service(session, services, only_active=only_active)
    return [Service.of(service, pricing.required_measures(service), extras[service.id]) for service in services]


def _apply_changes(row: CleaningService | ServiceExtra, values: dict[str, object]) -> list[str]:
    """Set the values that differ; return their names."""
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _check_active_limit(session: Session, service: CleaningService) -> None:
    """Raise CatalogueFull if too many services are active; the service must be flushed first."""
    active = select(func.count()).select_from(CleaningService).where(col(CleaningService.is_active).is_(True))
    if service.is_active and session.exec(active).one() > MAXIMUM_ACTIVE_SERVICES:
        raise CatalogueFull


def _record_audit(session: Session, actor: Actor, service: CleaningService, change: str, **details: object) -> None:
    audit.record(session, "catalog.changed", actor_id=actor.id, subject_id=service.id, what=change, **details)


def _find_example_ids(offer: Offer) -> dict[str, str]:
    service = next(iter(offer.items), None)
    if service is None:
        return {}
    first = {"service_id": service.id}
    return first | {"extra_id": service.extras[0].id} if service.extras else first
