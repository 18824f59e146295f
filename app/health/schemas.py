"""Response bodies of the health routes."""

from typing import Literal

from pydantic import BaseModel, Field

CheckStatus = Literal["ok", "unavailable"]


class Liveness(BaseModel):
    """The event loop of the replica runs."""

    status: Literal["ok"] = "ok"


class Readiness(Liveness):
    """The replica serves requests. While `writes` is not `ok`, it serves only requests that read.

    `refused`: a recent write failed. `forbidden`: a recent write failed, and a database file belongs to another user.
    """

    writes: Literal["ok", "refused", "forbidden"] = "ok"
    cause: str | None = Field(None, description="Reason why writes fail", examples=["database is locked"])


class Checks(BaseModel):
    """State of each dependency. The database is `read-only` if a recent write failed."""

    database: CheckStatus | Literal["read-only"]
    redis: CheckStatus


class Summary(BaseModel):
    """`degraded`: Redis is unavailable or the database refuses writes. `unavailable`: the database cannot be read."""

    status: Literal["ok", "degraded", "unavailable"]
    version: str = Field(examples=["1.0.0"])
    checks: Checks


class CanaryResult(BaseModel):
    """A complete registration has succeeded and was rolled back."""

    status: Literal["ok"] = "ok"
    duration_ms: float
