"""`python -m app create-admin EMAIL [--name NAME]`: create an administrator, also while the API runs."""

import argparse
import asyncio
import getpass
import sys
from typing import NoReturn

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DatabaseError
from typing_extensions import override

from app.accounts import people
from app.accounts.fields import Email
from app.accounts.schemas import Registration
from app.kit import logs
from app.kit.metrics import Metrics
from app.kit.passwords import normalised
from app.kit.problems import Problem
from app.kit.sqlite import FileUnusableError
from app.kit.throttle import Throttles
from app.services import Services
from app.settings import load_settings_or_exit

EX_USAGE = 64  # sysexits.h


class _EmailArgument(BaseModel):
    email: Email


class _Parser(argparse.ArgumentParser):
    @override
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


class InputError(Exception):
    """An argument or the password is not valid. The message says why."""


def main(arguments: list[str]) -> int:
    """Create an administrator or promote an existing account, and return the exit code.

    Prints `created`, `promoted` or `unchanged`. Reads a password only for a new account; an existing one keeps its own.
    """
    parser = _Parser("python -m app create-admin", description="The password of a new account is read from stdin.")
    parser.add_argument("email", help="address of the administrator")
    parser.add_argument("--name", default="Administrator", help="full name, if the account is new")
    options = parser.parse_args(arguments)
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            # Services connects the features that react to a change of role. Its background tasks are not needed.
            services = Services(settings, Metrics(), Throttles.of(settings))
            sys.stdout.write(f"{asyncio.run(_create(services, options.email, options.name))}\n")
        except InputError as error:
            sys.stderr.write(f"Nothing has changed: {error}\n")
            return EX_USAGE
        except (Problem, DatabaseError, FileUnusableError) as error:
            reason = error.detail if isinstance(error, Problem) else str(getattr(error, "orig", error))
            sys.stderr.write(f"Nothing has changed: {reason}\n")
            return 1
    return 0


async def _create(services: Services, email: str, name: str) -> str:
    try:
        email = _EmailArgument.model_validate({"email": email}).email
        existing = await services.database.read(lambda session: people.by_email(session, email))
        if existing is not None:
            return "promoted" if await services.accounts.promote(existing.id) else "unchanged"
        registration = Registration.model_validate({"email": email, "full_name": name, "password": _read_password()})
        await services.accounts.create_admin(registration)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"{first['loc'][0]}: {first['msg']}") from None
    finally:
        await services.close()
    return "created"


def _read_password() -> str:
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if normalised(getpass.getpass("Once more: ")) != normalised(password):
            raise InputError("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise InputError("no password; write it to the standard input")
    return password
