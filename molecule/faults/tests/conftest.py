"""The converged host with the writer at work and the receiver listening; the table of results at the end."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import pytest
import testinfra
from bounded import leave_long_out
from converged import COMPOSE, HOST, MONITOR, ROOT, address, start_anew, wait_until
from ledger import Writer, balance
from testinfra.host import Host
from trial import Row, Trial, as_json, table
from webhook import Receiver, receiver

__all__ = ["receiver"]  # a fixture of all scenarios in which alerts are sent

RESULTS = ROOT / ".cache" / "test" / "faults.json"
STATE = "/var/lib/cleaning-service-monitor"
REPAIR = 240  # seconds


@pytest.fixture(scope="session")
def host() -> Host:
    """The test host, through `docker exec`."""
    return testinfra.get_host(f"docker://{HOST}")


@pytest.fixture(scope="session")
def writer(host: Host) -> Iterator[Writer]:
    """Writes from the first fault to the last; at the end the whole ledger is held against the database."""
    writer = Writer(f"http://{address()}")
    if not writer.knows_client():  # a host that is tested a second time has the small company already
        start_anew(host)
    writer.prepare()
    writer.start()
    yield writer
    writer.close()
    found = balance(host, writer)
    print(
        f"\nledger: {found.acknowledged} writes acknowledged ({len(writer.bookings)} of them bookings), "
        f"{len(found.lost)} lost, {len(found.doubled)} made twice; {writer.replayed} acknowledged at a repetition, "
        f"{writer.given_up} never, of which {found.unseen} had happened; the database is {found.integrity}"
    )
    assert found.holds, found


@pytest.fixture(scope="session")
def rows() -> Iterator[list[Row]]:
    """The table, printed and kept for programs at the end."""
    started = time.monotonic()
    rows: list[Row] = []
    yield rows
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(as_json(rows), encoding="utf-8")
    seconds = time.monotonic() - started
    print(f"\n\n{table(rows)}\n{len(rows)} faults in {seconds:.0f} s; also in {RESULTS.relative_to(ROOT)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the fixtures know whether the test passed."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


PASSED = pytest.StashKey[bool]()


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, host: Host, rows: list[Row], receiver: Receiver, writer: Writer
) -> Iterator[Trial]:
    """One fault, on a host where all is well and by a monitor that remembers none before it."""
    name = request.node.name.removeprefix("test_").replace("_", " ")
    trial = Trial(name, host, writer, receiver, lambda: httpx.Client(base_url=writer.url, timeout=20, trust_env=False))
    forget(host)
    wait_until(trial.well, REPAIR, "all well before the fault")
    yield trial
    row = trial.row(passed=request.node.stash.get(PASSED, False))
    rows.append(row)
    print(f"\n{table([row])}")
    if not row.passed:
        for command in trial.undo:
            host.run(command)
        print(host.run("tail -n 60 /var/log/cleaning_service_monitor.log").stdout)
        repair(host, trial)


def forget(host: Host) -> None:
    """Take the monitor's memory of earlier faults away.

    A server does not meet twenty faults in ten minutes. Here they would use up the hour's budget of cures, and each
    fault would be met with the step that follows those of the fault before.
    """
    host.check_output(f"systemctl stop {MONITOR} && rm -f {STATE}/state.json && systemctl start {MONITOR}")


def repair(host: Host, trial: Trial) -> None:
    """Put right by hand what the monitor did not, so that the next fault is judged for itself."""
    host.run(f"systemctl kill --signal CONT {MONITOR} docker.service; systemctl start docker.service {MONITOR}")
    host.run(f"cleaning-service-monitor pause 10m --reason repair; {COMPOSE} up -d --wait --wait-timeout 90")
    if not trial.well():
        host.run(f"{COMPOSE} down --timeout 5; {COMPOSE} up -d --wait --wait-timeout 90")
    host.run("cleaning-service-monitor resume")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Faults in the order of their files, and within a file as they are written there; the long ones only if wanted."""
    leave_long_out(config, items)
    items.sort(key=lambda item: Path(item.location[0]).name)
