"""The status page in a real browser: it fits a phone, fetches nothing, and draws what it should.

The screenshots stay in .cache/test/ to be looked at; docs/status-page.md shows two of them.
"""

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
    "quarter": statuses.quarter,
    "outage": statuses.outage,
    "maintenance": statuses.maintenance,
    "first-day": statuses.first_day,
    "backups": statuses.broken_backups,
    "worst": partial(statuses.worst_case, "An_unbroken_word_" * 40),
}
_PICTURES = {  # case, language and colours; width and height
    "healthy.en.light": (760, 1840),
    "quarter.en.light": (760, 1064),
    "outage.ru.dark": (400, 1280),
    "maintenance.en.dark": (900, 2800),
    "first-day.ru.light": (360, 2600),
    "backups.ru.light": (375, 3600),
    "backups.en.dark": (1280, 2800),
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
# Evaluates a function of each page's document, and leaves what they returned in the title.
_MEASURE = """<!DOCTYPE html>{frames}<script>onload = () => {{
  const measure = {function};
  document.title = "measured " + JSON.stringify(
    [...document.querySelectorAll("iframe")].map((frame) => measure(frame.contentDocument)));
}}</script>"""
# Each chart: its figures as text, the worst's place on the screen, the labels of its levels with theirs, and of the
# labels below the axis, how many lines each takes, whether it overlaps the one before and whether it leaves the card.
_CHARTS = """(page) => [...page.querySelectorAll(".chart")].map((chart) => {
  const box = (part) => part.getBoundingClientRect();
  const hours = [...chart.querySelectorAll(".x span")];
  return {
    figures: [...chart.parentElement.querySelectorAll(".figures dd")].map((figure) => figure.textContent),
    worst: box(chart.querySelector(".area")).top,
    top: box(chart.querySelector("svg")).top,
    levels: [...chart.querySelectorAll(".y span")].map(
      (label) => [label.textContent, (box(label).top + box(label).bottom) / 2]),
    hours: hours.map((label, number) => ({
      label: label.textContent,
      lines: Math.round(box(label).height / parseFloat(getComputedStyle(label).lineHeight)),
      overlaps: number > 0 && box(label).left < box(hours[number - 1]).right,
      leaves: box(label).right > box(chart.parentElement).right - 2,
    })),
  };
})"""
# Each row of the parts of the page: what stands there, whether the figure beside it is visible.
_ROWS = """(page) => [...page.querySelectorAll(".component")].map((row) => ({
  name: row.querySelector("h3, h4").textContent,
  top: row.getBoundingClientRect().top,
  uptime: row.querySelector(".uptime").innerText,
  label: row.querySelector(".bars").getAttribute("aria-label"),
}))"""
_PARTS = """(page) => ({
  legends: [...page.querySelectorAll("ul")].filter((list) => list.querySelector(".sample")).length,
  operator: [...page.querySelectorAll("h2")].map((heading) => [heading.innerText, heading.getBoundingClientRect().top]),
})"""


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


def _measure(
    browse: Callable[..., str], directory: Path, function: str, documents: list[str], width: int = 375
) -> list[Any]:
    """Return what a JavaScript function of a document returns for each of these."""
    frames = ""
    for number, document in enumerate(documents):
        (directory / f"page-{number}.html").write_text(document)
        frames += f'<iframe src="page-{number}.html" width="{width}" height="900" style="border:0"></iframe>'
    (directory / "measure.html").write_text(_MEASURE.format(frames=frames, function=function))
    with _served(directory) as address:
        dom = browse("--dump-dom", f"{address}/measure.html")
    found = re.search(r"<title>measured (.*?)</title>", dom)
    assert found, dom
    measured: list[Any] = json.loads(html.unescape(found[1]))
    return measured


def _later(status: Status, seconds: float) -> Status:
    """The same status that much later, with all measured times."""
    status["updated"] += seconds
    for name in ("response", "registration"):
        status[name] = [[begin + seconds, middle, worst] for begin, middle, worst in status[name]]
    return status


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_hours_below_a_chart_stay_whole_at_every_time_of_day(
    browse: Callable[..., str], tmp_path: Path, width: int
) -> None:
    documents = [render(_later(statuses.healthy(), shift * 1200), "en") for shift in range(18)]
    pages = _measure(browse, tmp_path, _CHARTS, documents, width)
    hours = [hour for charts in pages for chart in charts for hour in chart["hours"]]
    assert len(hours) >= 18 * 2 * 3
    assert {hour["label"] for hour in hours} == {"00:00", "06:00", "12:00", "18:00"}
    assert not [hour for hour in hours if hour["lines"] != 1 or hour["overlaps"] or hour["leaves"]]


def _milliseconds(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text))


@pytest.mark.parametrize("factor", [1, 4, 1000])
def test_peak_stands_in_the_chart_where_the_headline_says(
    browse: Callable[..., str], tmp_path: Path, factor: float
) -> None:
    status = statuses.healthy()
    for name in ("response", "registration"):
        status[name] = [
            [begin, middle, worst * (factor if number == 120 else 1)]
            for number, (begin, middle, worst) in enumerate(status[name])
        ]
    for chart in _measure(browse, tmp_path, _CHARTS, [render(status, "en")])[0]:
        headline = _milliseconds(chart["figures"][1])
        assert chart["worst"] >= chart["top"] - 1
        levels = [(_milliseconds(label), place) for label, place in chart["levels"]]
        above = min(level for level, place in levels if place <= chart["worst"] + 1)
        below = max(level for level, place in levels if place >= chart["worst"] - 1)
        assert below * 0.98 <= headline <= above * 1.02


@pytest.mark.parametrize("language", ["en", "ru"])
def test_rows_say_what_clients_use_first_and_each_uptime_its_days(
    browse: Callable[..., str], tmp_path: Path, language: str
) -> None:
    cases = {1: statuses.first_day, 80: statuses.outage, 90: statuses.quarter}
    documents = [render(case(), language) for case in cases.values()]
    for watched, rows in zip(cases, _measure(browse, tmp_path, _ROWS, documents), strict=True):
        names = [row["name"] for row in sorted(rows, key=lambda row: row["top"])]
        assert (
            names[:3]
            == {
                "en": ["Booking", "Signing in and registering", "Website entrance"],
                "ru": ["Заказ уборки", "Вход и регистрация", "Доступ к сайту"],
            }[language]
        )
        days = {1: ("1 day", "1 день"), 80: ("80 days", "80 дней"), 90: ("90 days", "90 дней")}
        said = days[watched][language == "ru"]
        assert all(row["uptime"].endswith(f" {said}") and said in row["label"] for row in rows)
    for parts in _measure(browse, tmp_path, _PARTS, documents):
        assert parts["legends"] == 1
        assert parts["operator"][-1][0] == {"en": "For the operator", "ru": "Для оператора"}[language]


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
