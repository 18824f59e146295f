"""What clients send to the accounts, and what they get."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, Secret, StringConstraints
from pydantic.config import JsonDict

from app.kit.hashing import MAXIMUM_LENGTH, MINIMUM_LENGTH


def normalised_email(email: str) -> str:
    """The form in which an address is stored and looked up."""
    return email.lower()


Email = Annotated[
    EmailStr,
    StringConstraints(max_length=254),
    AfterValidator(normalised_email),
    Field(examples=["anna@example.com"], description="Upper and lower case are the same"),
]
FullName = Annotated[
    str,
    # No control characters.
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(examples=["Anna Petrova"]),
]
Phone = Annotated[
    str,
    StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"),
    Field(examples=["+14155550123"], description="International format (E.164)"),
]


SECRET: JsonDict = {"format": "password", "writeOnly": True}
NewPassword = Secret[Annotated[str, StringConstraints(min_length=MINIMUM_LENGTH, max_length=MAXIMUM_LENGTH)]]
Password = Secret[Annotated[str, StringConstraints(min_length=1, max_length=MAXIMUM_LENGTH)]]


class Registration(BaseModel):
    """A new user."""

    email: Email
    password: NewPassword = Field(examples=["correct horse battery"], json_schema_extra=SECRET)
    full_name: FullName
    phone: Phone | None = None


class Credentials(BaseModel):
    """What a user signs in with."""

    email: Email
    password: Password = Field(examples=["correct horse battery"], json_schema_extra=SECRET)


class AccessToken(BaseModel):
    """Send it as `Authorization: Bearer …`."""

    access_token: str
    token_type: Literal["bearer"] = Field(default="bearer")
    expires_in: int = Field(description="Seconds", examples=[900])


class User(BaseModel):
    """A user as the API shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10"])
    email: str = Field(examples=["anna@example.com"])
    full_name: str = Field(examples=["Anna Petrova"])
    phone: str | None = Field(examples=["+14155550123"])
    role: str = Field(examples=["client"])
    created_at: datetime
