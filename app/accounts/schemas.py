"""RequestBody and response bodies of the accounts."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Secret, StringConstraints
from pydantic.config import JsonDict

from app.accounts.fields import Email, FullName, NewPassword
from app.accounts.models import Language as LanguageCode
from app.kit.actor import Role
from app.kit.affected import AffectedVisit
from app.kit.passwords import MAXIMUM_LENGTH

Phone = Annotated[
    str,
    StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"),
    Field(examples=["+14155550123"], description="International format (E.164)"),
]


PASSWORD_SCHEMA: JsonDict = {"format": "password", "writeOnly": True}
Password = Secret[Annotated[str, StringConstraints(min_length=1, max_length=MAXIMUM_LENGTH)]]


Language = Annotated[LanguageCode, Field(examples=["en"], description="Language of the messages to the user")]
Code = Annotated[
    str,
    StringConstraints(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]+$"),
    Field(examples=["Yf3nq0v1Yx6o9V0t0l8m2c7QmZt5cJH3o0gqkVh4n1w"], description="The code from the e-mail"),
]
RefreshTokenText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$"),
    Field(examples=["Yf3nq0v1Yx6o9V0t0l8m2c7QmZt5cJH3o0gqkVh4n1w"]),
]
FormText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
SearchText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class RequestBody(BaseModel):
    """Base of request bodies. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Registration(RequestBody):
    """Data of a new user."""

    email: Email
    password: NewPassword = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)
    full_name: FullName
    phone: Phone | None = None
    language: Language = LanguageCode.ENGLISH


class Credentials(RequestBody):
    """E-mail address and password of a user."""

    email: Email
    password: Password = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)


class TokenForm(RequestBody):
    """OAuth2 password grant (RFC 6749, section 4.3)."""

    grant_type: Literal["password"] = "password"
    username: Email = Field(description="The e-mail address")
    password: Password = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)
    scope: FormText = Field("", description="Ignored; the role of the account decides its permissions")
    client_id: FormText = Field("", description="Ignored")
    client_secret: FormText = Field("", description="Ignored")


class Refresh(RequestBody):
    """A refresh token to exchange."""

    refresh_token: RefreshTokenText


class CodeOnly(RequestBody):
    """A code from an e-mail."""

    token: Code


class EmailOnly(RequestBody):
    """An e-mail address."""

    email: Email


class PasswordReset(RequestBody):
    """A code from an e-mail, and the new password."""

    token: Code
    new_password: NewPassword = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)


class PasswordChange(RequestBody):
    """The current and the new password."""

    current_password: Password = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)
    new_password: NewPassword = Field(examples=["staple battery horse"], json_schema_extra=PASSWORD_SCHEMA)


class EmailChange(RequestBody):
    """The current password, and the new e-mail address."""

    current_password: Password = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)
    new_email: Email = Field(examples=["anna.petrova@example.com"])


class Erasure(RequestBody):
    """The current password, which confirms the erasure."""

    current_password: Password = Field(examples=["correct horse battery"], json_schema_extra=PASSWORD_SCHEMA)


class ProfileChange(RequestBody):
    """Changes to the user's own account. An omitted field keeps its value."""

    # The values of the factories are never used, because `model_dump(exclude_unset=True)` leaves out omitted fields.
    # The factories make the fields optional but still refuse null.
    full_name: FullName = Field(default_factory=str)
    phone: Phone | None = Field(None, description="Null removes the number")
    language: Language = Field(default_factory=lambda: LanguageCode.ENGLISH)


class AccountChange(RequestBody):
    """Changes by an administrator. An omitted field keeps its value."""

    role: Role = Field(default_factory=lambda: Role.CLIENT, examples=["cleaner"])
    is_active: bool = Field(default_factory=bool, strict=True, examples=[True])


class TokenPair(BaseModel):
    """An access token, sent as `Authorization: Bearer …`, and the refresh token that replaces it when it expires."""

    access_token: str
    token_type: Literal["bearer"] = Field(default="bearer")
    expires_in: int = Field(description="Lifetime of the access token in seconds", examples=[900])
    refresh_token: str = Field(description="Valid for one use, which can be repeated for 30 seconds")
    refresh_expires_in: int = Field(description="Lifetime of the refresh token in seconds", examples=[2592000])


class VerificationSent(BaseModel):
    """The service has accepted the request. The answer does not reveal whether the address has an account."""

    status: Literal["verification_sent"] = "verification_sent"


class MessageSent(BaseModel):
    """The service has accepted the request. The answer does not reveal whether the address has an account."""

    status: Literal["message_sent"] = "message_sent"


class User(BaseModel):
    """A user."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    email: str = Field(examples=["anna@example.com"])
    full_name: str = Field(examples=["Anna Petrova"])
    phone: str | None = Field(examples=["+14155550123"])
    role: Role = Field(examples=["client"])
    language: LanguageCode = Field(examples=["en"])
    is_active: bool
    email_verified: bool
    created_at: datetime


class ChangedUser(User):
    """A user after a change by an administrator."""

    affected_visits: list[AffectedVisit] = Field(
        description="Future visits that the cleaner has lost, in order of time; empty if the user was no cleaner"
    )


class Login(BaseModel):
    """An active session on one device."""

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    user_agent: str = Field(description="User-Agent header of the login", examples=["Mozilla/5.0"])
    address: str | None = Field(description="Network address of the login", examples=["192.0.2.7"])
    created_at: datetime
    used_at: datetime = Field(description="Time of the login or of the last refresh")
    expires_at: datetime = Field(description="Time at which the session ends; each refresh postpones it")
    current: bool = Field(description="Whether this request belongs to the session")


class Activity(BaseModel):
    """An entry of the audit log about the user."""

    at: datetime
    action: str = Field(examples=["login.succeeded"])
    address: str | None = Field(
        description="Network address of the request, kept for 90 days; null for an action of another user",
        examples=["192.0.2.7"],
    )
    details: dict[str, Any]


class Export(BaseModel):
    """All data stored about a user."""

    profile: User
    sessions: list[Login]
    activity: list[Activity] = Field(description="Audit log entries, newest first; at most 5000")
    data: dict[str, Any] = Field(description="Data of the other features, by name", examples=[{"bookings": []}])
