"""Schemathesis checks the running API against the OpenAPI document, as each role."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.conftest import ROOT, SECRET_KEY, WITHOUT_COVERAGE, RunningApi, new_user, run_api
from tests.app.people import sign_in
from tests.app.test_roles import MAIL

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
"""Number of cases per operation in the fuzzing and stateful phases, in addition to those of the coverage phase."""
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SETTINGS = (
    MAIL
    | WITHOUT_COVERAGE
    | {
        "REGISTRATIONS_PER_MINUTE": "1000000",
        "LOGIN_FAILURES_PER_QUARTER_HOUR": "1000000",
        "LOGIN_FAILURES_PER_QUARTER_HOUR_PER_ADDRESS": "1000000",
        "REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000",
        "REQUESTS_PER_MINUTE_PER_ACCOUNT": "1000000",
    }
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[RunningApi]:
    """An API for this module only, because the cases change data. Its rate limits are too high to hide answers."""
    with run_api(tmp_path_factory.mktemp("fuzzed"), migrated, SETTINGS) as api:
        yield api


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("role", ["client", "cleaner", "manager", "admin", None])
def test_api_conforms_to_its_document(api: RunningApi, role: str | None, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {
        "DATABASE": str(api.server.database),
        "SECRET_KEY": SECRET_KEY,
        "PYTHONPATH": str(ROOT),
    } | WITHOUT_COVERAGE
    if role is not None:
        # With the password of the examples, a case could erase the account.
        user = new_user() | {"password": secrets.token_hex()}
        environment["ACCOUNT"] = sign_in(api.client(), api.server.database, user, role).id
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "--no-color"),
        *("run", f"{api.server.url}/openapi.json", "--max-examples", str(EXAMPLES)),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-30_000:] + run.stderr[-2_000:]
    found = json.loads(report.read_text())
    print(f"as {role}: {found['test_cases']['generated']} cases in {found['running_time']:.0f} s")  # noqa: T201
    assert {name for name, phase in found["phases"].items() if phase["status"] == "success"} == found["phases"].keys()
    assert found["operations"]["tested"] == found["operations"]["total"]
