"""Releases that must not take over: the version before serves throughout, and a person is told."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest
from checkout import Checkout
from converged import API, API_2, DIRECTORY, address, inspect, wait_until
from crowd import AtWork
from testinfra.host import Host
from webhook import Receiver

BROKEN_MIGRATION = '''"""Half of a migration."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{down}"


def upgrade() -> None:
    op.create_table("half_done", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO half_done (id) VALUES (1)")
    op.execute("INSERT INTO there_is_no_such_table (id) VALUES (1)")


def downgrade() -> None:
    op.drop_table("half_done")
'''


# What a release may do to the schema: the version before works on with it.
EXPANDING_MIGRATION = '''"""More than there was."""

import sqlalchemy as sa
from alembic import op

revision = "9998"
down_revision = "{down}"


def upgrade() -> None:
    op.create_table("added", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("user_account", sa.Column("added", sa.String, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("user_account", "added")
    op.drop_table("added")
'''


def add_migration(checkout: Checkout, name: str, text: str) -> None:
    """Give a checkout one more revision."""
    versions = checkout.root / "app" / "migrations" / "versions"
    down = max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))
    (versions / name).write_text(text.format(down=down))


def does_not_start(bad: Checkout) -> None:
    bad.change("app/server.py", "    settings = load_settings_or_exit()\n", "    raise SystemExit('out of order')\n")


def is_never_ready(bad: Checkout) -> None:
    bad.change("app/health/service.py", "        self._draining = False\n", "        self._draining = True\n")


def cannot_register(bad: Checkout) -> None:
    bad.change(
        "app/health/routes.py",
        "    await services.accounts.rehearse_registration()\n",
        "    raise RuntimeError('out of order')\n",
    )


def cannot_migrate(bad: Checkout) -> None:
    add_migration(bad, "9999_half.py", BROKEN_MIGRATION)


def schema(host: Host) -> str:
    """The revision of the database, and whether the broken migration left something behind."""
    query = (
        "import pysqlite3.dbapi2 as s; c = s.connect('cleaning_service_stable.db', timeout=20);"
        "print(c.execute('SELECT version_num FROM alembic_version').fetchone(),"
        "c.execute(\"SELECT count(*) FROM sqlite_master WHERE name = 'half_done'\").fetchone())"
    )
    return str(host.check_output(f"docker exec {API} /srv/venv/bin/python -c {shlex.quote(query)}"))


@dataclass(frozen=True)
class Bad:
    """A way to spoil a release, and what is said about it."""

    spoil: Callable[[Checkout], None]
    reason: str


@pytest.mark.usefixtures("receiver")  # it listens from now on
@pytest.mark.parametrize(
    "bad",
    [
        Bad(does_not_start, "out of order"),
        Bad(is_never_ready, "was not ready within"),
        Bad(cannot_register, "a registration is answered with 500"),
        Bad(cannot_migrate, "no such table"),
    ],
    ids=lambda bad: bad.spoil.__name__,
)
def test_a_bad_release_never_takes_over(
    host: Host, checkout: Callable[[str], Checkout], crowd: AtWork, bad: Bad
) -> None:
    spoiled = checkout("bad")
    bad.spoil(spoiled)
    before = {name: inspect(host, name)["Config"]["Image"] for name in (API, API_2)}
    schema_before = schema(host)
    serving = httpx.get(f"http://{address()}/health", trust_env=False).json()["version"]
    with crowd(f"a release that {bad.spoil.__name__.replace('_', ' ')}"):
        code, said = spoiled.play("playbooks/deploy.yml")
    assert code != 0, said
    assert bad.reason in said
    assert "the previous release runs" in said
    assert {name: inspect(host, name)["Config"]["Image"] for name in (API, API_2)} == before
    assert schema(host) == schema_before
    assert httpx.get(f"http://{address()}/health", trust_env=False).json()["version"] == serving
    last = json.loads(host.check_output(f"tail -n 1 {DIRECTORY}/releases/releases.jsonl"))
    assert last["outcome"] == "returned"
    # The monitor tells of it as long as this stands there.
    assert json.loads(host.file(f"{DIRECTORY}/releases/failed.json").content_string)["id"] == last["id"]


def told_of_the_release(receiver: Receiver, kind: str) -> bool:
    return any(message.kind == kind and message.body["component"] == "release" for message in receiver.messages)


def test_a_person_is_told(receiver: Receiver) -> None:
    wait_until(lambda: told_of_the_release(receiver, "problem"), 120, "an alert about the release")
    assert not told_of_the_release(receiver, "resolved")


def test_a_good_release_ends_the_alarm(
    host: Host, checkout: Callable[[str], Checkout], receiver: Receiver, crowd: AtWork
) -> None:
    """It brings a migration along; the next test goes back to the version before, which knows nothing of it."""
    good = checkout("good")
    good.set_version("4.0.0")
    add_migration(good, "9998_more.py", EXPANDING_MIGRATION)
    with crowd("a release with a migration"):
        code, said = good.play("playbooks/deploy.yml")
    assert code == 0, said
    assert "9998" in schema(host)
    assert not host.file(f"{DIRECTORY}/releases/failed.json").exists
    wait_until(lambda: told_of_the_release(receiver, "resolved"), 120, "the message that its incident is over")
