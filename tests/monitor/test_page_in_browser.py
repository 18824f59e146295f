"""The status page in a real browser: it fits a phone, fetches nothing, and draws what it should.

The screenshots stay in .cache/test/ to be looked at; docs/status-page.md shows two of them.
"""

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cleaning_service_monitor.page import render

from tests.monitor import statuses
from tests.monitor.statuses import Status

_ROOT = Path(__file__).parents[2]
_PAGES = _ROOT / "roles/stack/files/pages"
_SCREENSHOTS = _ROOT / ".cache/test"
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
)
_DARK = "--blink-settings=preferredColorScheme=0"
_PNG = b"\x89PNG\r\n\x1a\n"
_CASES: dict[str, Callable[[], Status]] = {
    "healthy": statuses.healthy,
    "outage": statuses.outage,
    "maintenance": statuses.maintenance,
    "first-day": statuses.first_day,
    "worst": partial(statuses.worst_case, "An_unbroken_word_" * 40),
}
_PICTURES = {  # case, language and colours; width and height
    "healthy.en.light": (760, 1840),
    "outage.ru.dark": (400, 1260),
    "maintenance.en.dark": (900, 2800),
    "first-day.ru.light": (360, 2600),
}
# Reads what a page's own script could, as the pages have none: sizes, and whether anything was fetched.
_PROBE = """<!DOCTYPE html><iframe src="page.html" width="{width}" height="900" style="border:0"></iframe>
<script>onload = () => {{
  const inside = document.querySelector("iframe").contentDocument, view = inside.defaultView;
  const beyond = [...inside.querySelectorAll("body *")].filter(
    (part) => part.getBoundingClientRect().right > {width} + 1 && !part.closest("svg"));
  document.title = "probed width=" + inside.documentElement.scrollWidth
    + " beyond=" + beyond.map((part) => part.tagName + "." + part.className).join(",")
    + ";fetched=" + view.performance.getEntriesByType("resource").length
    + " lang=" + inside.documentElement.lang + " background=" + view.getComputedStyle(inside.body).backgroundColor;
}}</script>"""


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., str]:
    """Run the browser with a fresh profile; returns what it printed."""
    program = shutil.which("chromium")
    assert program, "make machine installs chromium"

    def run(*arguments: str) -> str:
        command = [program, *_OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def _served(directory: Path) -> Iterator[str]:
    """A web server, as a browser counts what a page fetches only there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _probe(browse: Callable[..., str], directory: Path, width: int, *options: str) -> dict[str, str]:
    (directory / "probe.html").write_text(_PROBE.format(width=width))
    with _served(directory) as address:
        dom = browse(*options, "--dump-dom", f"{address}/probe.html")
    found = re.search(r"probed width=(\d+) beyond=(.*?);fetched=(\d+) lang=(\w+) background=([^<]+)", dom)
    assert found, dom
    return dict(zip(("width", "beyond", "fetched", "lang", "background"), found.groups(), strict=True))


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES.keys())
def test_page_fits_a_phone_and_fetches_nothing(
    browse: Callable[..., str], tmp_path: Path, case: Callable[[], Status], language: str
) -> None:
    (tmp_path / "page.html").write_text(render(case(), language))
    found = _probe(browse, tmp_path, 360)
    assert found["beyond"] == ""
    assert found["width"] == "360"
    assert found["fetched"] == "0"
    assert found["lang"] == language


def test_probe_sees_what_does_not_fit_and_what_is_fetched(browse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "other.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "page.html").write_text('<html lang="en"><p style="width:500px"><img src="other.svg" alt="">')
    found = _probe(browse, tmp_path, 360)
    assert (found["beyond"], int(found["width"]) >= 500, found["fetched"]) == ("P.", True, "1")


def test_page_follows_the_readers_preference_for_dark(browse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(statuses.healthy(), "en"))
    assert _probe(browse, tmp_path, 360)["background"] == "rgb(244, 246, 247)"
    dark = _probe(browse, tmp_path, 360, _DARK)
    assert dark["background"] == "rgb(16, 22, 27)"


@pytest.mark.parametrize("page", sorted(_PAGES.glob("*.html")), ids=lambda page: page.stem)
def test_pages_of_the_proxy_fit_a_phone(browse: Callable[..., str], tmp_path: Path, page: Path) -> None:
    shutil.copy(page, tmp_path / "page.html")
    found = _probe(browse, tmp_path, 360)
    assert (found["beyond"], found["width"], found["fetched"]) == ("", "360", "0")
    assert page.stem.endswith(found["lang"])


@pytest.mark.parametrize("picture", _PICTURES)
def test_screenshots_to_look_at(browse: Callable[..., str], tmp_path: Path, picture: str) -> None:
    case, language, colours = picture.split(".")
    width, height = _PICTURES[picture]
    _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    file = _SCREENSHOTS / f"status-page.{picture}.png"
    file.unlink(missing_ok=True)
    page = tmp_path / "page.html"
    page.write_text(render(_CASES[case](), language))
    options = [_DARK] if colours == "dark" else []
    browse(*options, f"--window-size={width},{height}", f"--screenshot={file}", page.as_uri())
    content = file.read_bytes()
    assert content.startswith(_PNG)
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (width, height)
    assert len(content) > 20_000  # something is drawn
