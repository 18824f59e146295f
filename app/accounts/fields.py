"""Types of e-mail addresses, names and passwords. A separate module, because the playbook imports it too."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, EmailStr, Field, Secret, StringConstraints

from app.kit.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH, required_length

EMAIL_LENGTH = 254


def normalised_email(email: str) -> str:
    """Return the form in which an address is stored and looked up.

    Raises:
        ValueError: the result is too long. Some letters need more characters in lower case.
    """
    normal = unicodedata.normalize("NFC", email.lower())
    if len(normal) > EMAIL_LENGTH:
        raise ValueError(f"more than {EMAIL_LENGTH} characters in lower case")
    return normal


Email = Annotated[
    EmailStr,
    StringConstraints(max_length=EMAIL_LENGTH),
    AfterValidator(normalised_email),
    Field(examples=["anna@example.com"], description="Case-insensitive"),
]
FullName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(examples=["Anna Petrova"]),
]
NewPassword = Secret[
    Annotated[
        str,
        StringConstraints(min_length=MINIMUM_LENGTH, max_length=MAXIMUM_LENGTH),
        AfterValidator(required_length),
    ]
]


class Administrator(BaseModel):
    """The administrator that the playbook creates with `create-admin`."""

    email: Email
    password: NewPassword
    full_name: FullName
