"""Other people's clients, made from what the running service says of itself, walk from registration to review.

Through the proxy, with two replicas, and with the compression that each of them asks for by itself.
"""

import shutil
import sys
from pathlib import Path

import pytest
from converged import API, API_2, HOST, ROOT, address
from testinfra.host import Host

from tests.walks import run, run_example, write_time_passes

pytestmark = pytest.mark.usefixtures("company")
CLIENTS = ROOT / "tools" / "clients"
DATABASE = "cleaning_service_stable.db"
ORIGIN = "http://shop.example.com"
"""Named by stack_cors_origins in this scenario's inventory."""


@pytest.fixture(scope="module", autouse=True)
def began(host: Host) -> str:
    """When the first of these tests began, by the host's clock, for `docker logs --since`."""
    return str(host.check_output("date +%s"))


@pytest.fixture
def base() -> str:
    """The service's address."""
    return f"http://{address()}"


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A developer's empty directory, with the means to let the time of a visit come."""
    python = ["docker", "exec", HOST, "docker", "exec", API, "/srv/venv/bin/python"]
    write_time_passes(tmp_path, python, DATABASE)
    return tmp_path


def test_openapi_fetch_under_strict_typescript(workshop: Path, base: str) -> None:
    for name in ("walk.ts", "tsconfig.json"):
        shutil.copy(CLIENTS / name, workshop)
    (workshop / "node_modules").symlink_to(CLIENTS / "node_modules")
    (workshop / "package.json").write_text('{"type": "module"}')
    programs = CLIENTS / "node_modules" / ".bin"
    run([f"{programs}/openapi-typescript", f"{base}/openapi.json", "--output", "schema.ts"], workshop)
    run([f"{programs}/tsc"], workshop)
    print(run(["node", "walk.js", base], workshop))


def test_openapi_python_client_under_strict_mypy(workshop: Path, base: str) -> None:
    for name in ("walk.py", "mypy.ini"):
        shutil.copy(CLIENTS / name, workshop)
    make = ["openapi-python-client", "generate", "--url", f"{base}/openapi.json", "--output-path", "api_client"]
    # A warning is an operation or a type that is left out.
    run([*make, "--meta", "none", "--fail-on-warning"], workshop)
    run(["mypy", "walk.py", "api_client"], workshop)
    print(run([sys.executable, "walk.py", base], workshop))


@pytest.mark.parametrize("origin", ["", ORIGIN], ids=["same origin", "another origin"])
def test_fetch_of_chromium(workshop: Path, base: str, origin: str) -> None:
    browser = shutil.which("chromium")
    assert browser, "make test-machine installs chromium"
    walk = CLIENTS / "walk_in_chromium.mjs"
    print(run(["node", str(walk), browser, base, *([origin] if origin else [])], workshop))


def test_curl_as_documented(workshop: Path, base: str) -> None:
    assert '"stars":5' in run_example(workshop, base)


def test_both_replicas_have_taken_part(host: Host, began: str) -> None:
    for container in (API, API_2):
        assert "/api/v1/bookings" in host.check_output(f"docker logs --since {began} {container} 2>&1")
