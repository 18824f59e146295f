"""`python -m app create-admin EMAIL [--name NAME]`: the first administrator, or one more; while the API runs."""

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


class _Asked(BaseModel):
    email: Email


class _Parser(argparse.ArgumentParser):
    @override
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


class InputError(Exception):
    """What was typed cannot be used; the text says why."""


def main(arguments: list[str]) -> int:
    """Create the administrator or promote an existing account; returns the exit code.

    Prints `created`, `promoted` or `unchanged`. An existing account keeps its password, so none is read for it.
    """
    parser = _Parser("python -m app create-admin", description="The password of a new account is read from stdin.")
    parser.add_argument("email", help="address of the administrator")
    parser.add_argument("--name", default="Administrator", help="full name, if the account is new")
    asked = parser.parse_args(arguments)
    settings = load_settings_or_exit()
    with logs.running(settings):
        try:
            # For what other features do when a role changes; not started.
            services = Services(settings, Metrics(), Throttles.of(settings))
            sys.stdout.write(f"{asyncio.run(_create(services, asked.email, asked.name))}\n")
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
        email = _Asked.model_validate({"email": email}).email
        known = await services.database.read(lambda session: people.by_email(session, email))
        if known is not None:
            return "promoted" if await services.accounts.promote(known.id) else "unchanged"
        registration = Registration.model_validate({"email": email, "full_name": name, "password": _read_password()})
        await services.accounts.create_admin(registration)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"{wrong['loc'][0]}: {wrong['msg']}") from None
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
