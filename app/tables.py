"""All tables of the application. The import of this module fills `SQLModel.metadata`."""

from app.accounts import models as accounts
from app.bookings import models as bookings
from app.catalog import models as catalog
from app.kit import audit, idempotency, outbox
from app.reviews import models as reviews
from app.staff import models as staff

__all__ = ["accounts", "audit", "bookings", "catalog", "idempotency", "outbox", "reviews", "staff"]
