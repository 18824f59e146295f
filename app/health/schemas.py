"""What the health routes answer."""

from typing import Literal

from pydantic import BaseModel, Field

CheckStatus = Literal["ok", "unavailable"]


class Liveness(BaseModel):
    """The event loop turns."""

    status: Literal["ok"] = "ok"


class Readiness(Liveness):
    """Requests are answered; while `writes` is not ok, only those that change nothing.

    Refused: the last write failed a moment ago. Forbidden: the same, and a file belongs to another user.
    """

    writes: Literal["ok", "refused", "forbidden"] = "ok"
    cause: str | None = Field(None, description="Why writes fail", examples=["database is locked"])


class Checks(BaseModel):
    """What the API depends on. A database that is read-only refused the last write a moment ago."""

    database: CheckStatus | Literal["read-only"]
    redis: CheckStatus


class Summary(BaseModel):
    """Degraded: everything works, but something is missing. Unavailable: nothing does."""

    status: Literal["ok", "degraded", "unavailable"]
    version: str = Field(examples=["1.0.0"])
    checks: Checks


class CanaryResult(BaseModel):
    """A registration went all the way and was rolled back."""

    status: Literal["ok"] = "ok"
    duration_ms: float
