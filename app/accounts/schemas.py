"""What clients send to the accounts, and what they get."""

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


SECRET: JsonDict = {"format": "password", "writeOnly": True}
Password = Secret[Annotated[str, StringConstraints(min_length=1, max_length=MAXIMUM_LENGTH)]]


Language = Annotated[LanguageCode, Field(examples=["en"], description="Of the messages that the user gets")]
Code = Annotated[
    str,
    StringConstraints(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]+$"),
    Field(examples=["Yf3nq0v1Yx6o9V0t0l8m2c7QmZt5cJH3o0gqkVh4n1w"], description="As it was sent by e-mail"),
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


class Request(BaseModel):
    """Base of what clients send: a field that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Registration(Request):
    """A new user."""

    email: Email
    password: NewPassword = Field(examples=["correct horse battery"], json_schema_extra=SECRET)
    full_name: FullName
    phone: Phone | None = None
    language: Language = LanguageCode.ENGLISH


class Credentials(Request):
    """What a user signs in with."""

    email: Email
    password: Password = Field(examples=["correct horse battery"], json_schema_extra=SECRET)


class TokenForm(Request):
    """The same as a form, for clients that speak OAuth2 (RFC 6749, section 4.3)."""

    grant_type: Literal["password"] = "password"  # a name
    username: Email = Field(description="The e-mail address")
    password: Password = Field(examples=["correct horse battery"], json_schema_extra=SECRET)
    scope: FormText = Field("", description="Ignored: the role decides what is allowed")
    client_id: FormText = Field("", description="Ignored")
    client_secret: FormText = Field("", description="Ignored")


class Refresh(Request):
    """A refresh token."""

    refresh_token: RefreshTokenText


class CodeOnly(Request):
    """A code that was sent by e-mail."""

    token: Code


class EmailOnly(Request):
    """An e-mail address."""

    email: Email


class PasswordReset(Request):
    """A code that was sent by e-mail, and what the password shall be."""

    token: Code
    new_password: NewPassword = Field(examples=["correct horse battery"], json_schema_extra=SECRET)


class PasswordChange(Request):
    """The password as it is and as it shall be."""

    current_password: Password = Field(examples=["correct horse battery"], json_schema_extra=SECRET)
    new_password: NewPassword = Field(examples=["staple battery horse"], json_schema_extra=SECRET)


class EmailChange(Request):
    """The address as it shall be."""

    current_password: Password = Field(examples=["correct horse battery"], json_schema_extra=SECRET)
    new_email: Email = Field(examples=["anna.petrova@example.com"])


class Erasure(Request):
    """A confirmation that cannot happen by mistake."""

    current_password: Password = Field(examples=["correct horse battery"], json_schema_extra=SECRET)


class ProfileChange(Request):
    """What a user changes; what is left out stays."""

    # The factories are never called for their value: left out means unchanged, and null is refused.
    full_name: FullName = Field(default_factory=str)
    phone: Phone | None = Field(None, description="Null to have none")
    language: Language = Field(default_factory=lambda: LanguageCode.ENGLISH)


class AccountChange(Request):
    """What an administrator changes; what is left out stays."""

    role: Role = Field(default_factory=lambda: Role.CLIENT, examples=["cleaner"])
    is_active: bool = Field(default_factory=bool, strict=True, examples=[True])


class TokenPair(BaseModel):
    """Send the access token as `Authorization: Bearer …`; keep the refresh token for when it has expired."""

    access_token: str
    token_type: Literal["bearer"] = Field(default="bearer")
    expires_in: int = Field(description="Seconds", examples=[900])
    refresh_token: str = Field(description="Good for one use, which may be repeated within 30 seconds")
    refresh_expires_in: int = Field(description="Seconds", examples=[2592000])


class VerificationSent(BaseModel):
    """Look into the mailbox. Says nothing about whether anybody has the address."""

    status: Literal["verification_sent"] = "verification_sent"


class MessageSent(BaseModel):
    """Look into the mailbox. Says nothing about whether anybody has the address."""

    status: Literal["message_sent"] = "message_sent"


class User(BaseModel):
    """A user as the API shows it."""

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
    """A user whose role or activity was changed."""

    affected_visits: list[AffectedVisit] = Field(
        description="Visits to come that were this cleaner's until now, by time; empty for anybody else"
    )


class Login(BaseModel):
    """A login on one device."""

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    user_agent: str = Field(description="As the device called itself", examples=["Mozilla/5.0"])
    address: str | None = Field(description="Where it logged in from", examples=["192.0.2.7"])
    created_at: datetime
    used_at: datetime = Field(description="The last login or refresh")
    expires_at: datetime = Field(description="Unless it is used before")
    current: bool = Field(description="Whether this request comes from it")


class Activity(BaseModel):
    """An entry of the audit log about the user."""

    at: datetime
    action: str = Field(examples=["login.succeeded"])
    address: str | None = Field(
        description="The network address that it came from, kept for 90 days; null for what others did",
        examples=["192.0.2.7"],
    )
    details: dict[str, Any]


class Export(BaseModel):
    """All that is stored about a user."""

    profile: User
    sessions: list[Login]
    activity: list[Activity] = Field(description="What the audit log says, the newest first; at most 5000 entries")
    data: dict[str, Any] = Field(description="By feature", examples=[{"bookings": []}])
