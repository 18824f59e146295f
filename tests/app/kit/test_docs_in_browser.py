"""/docs in a real browser on a phone: nothing is wider than the screen, and all text is legible, in light and dark."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import RunningApi

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
_KEPT_HEADERS = ("content-type", "content-security-policy", "x-content-type-options")
_TIMEOUT = 150.0  # seconds that a busy machine may take to draw the page and to click through it

# A window of a desktop's browser cannot be as narrow as a phone, but a frame can. The script works through `steps`
# in the page: it waits for each, a selector or `schema:` and a name, and clicks it. Then it posts what it measured.
# The picture keeps the browser from ending before that: it is answered after the result.
_PROBE = """<!doctype html><body style="margin:0"><img src="/hold" alt="" hidden>
<iframe src="/docs" style="border:0;display:block;width:WIDTHpx;height:HEIGHTpx"></iframe><script>
const steps = STEPS, sleep = (time) => new Promise((done) => setTimeout(done, time));
const frame = document.querySelector("iframe");
const settled = async (find) => { for (;;) { const found = find(); if (found) return found; await sleep(50); } };
const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const over = ([r, g, b, a = 1], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
const luminance = (colour) => colour.slice(0, 3).map((part) => part / 255).map(
  (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
).reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
const measure = (page, view) => {
  const canvas = rgb(view.getComputedStyle(page.documentElement).backgroundColor);
  const behind = (part) => {
    const parents = [];
    for (let one = part; one; one = one.parentElement) parents.unshift(view.getComputedStyle(one).backgroundColor);
    return parents.map(rgb).reduce((below, above) => over(above, below), over(canvas, [255, 255, 255]));
  };
  const texts = [...page.querySelectorAll("body *")].filter((part) => part.checkVisibility({opacityProperty: true})
    && !part.closest("[disabled], svg, option") && part.getBoundingClientRect().width
    && (part.matches("input:not([type=checkbox]), textarea, select")
        || [...part.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())));
  const faint = texts.map((part) => {
    const style = view.getComputedStyle(part), ground = behind(part), size = parseFloat(style.fontSize);
    let opacity = 1;
    for (let one = part; one; one = one.parentElement) opacity *= parseFloat(view.getComputedStyle(one).opacity);
    const [r, g, b, a = 1] = rgb(style.color);
    const pair = [luminance(over([r, g, b, a * opacity], ground)), luminance(ground)];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    const path = [part, part.parentElement, part.parentElement.parentElement].map(
      (one) => one.tagName.toLowerCase() + "." + one.className).reverse().join(" > ");
    return ratio < (large ? 3 : 4.5) ? `${ratio.toFixed(1)} ${style.color} ${path}: ${part.textContent.slice(0, 30)}`
      : null;
  }).filter((text) => text);
  const wide = [...page.querySelectorAll("body *")].filter((part) => {
    if (part.getBoundingClientRect().right <= view.innerWidth + 1) return false;
    for (let one = part.parentElement; one; one = one.parentElement)
      if (["auto", "scroll", "hidden"].includes(view.getComputedStyle(one).overflowX)) return false;
    return true;
  }).map((part) => part.tagName.toLowerCase() + "." + part.className);
  return {
    scroll: page.scrollingElement.scrollWidth, inner: view.innerWidth, texts: texts.length,
    wide: [...new Set(wide)], faint: [...new Set(faint)],
    ground: view.getComputedStyle(page.documentElement).backgroundColor,
    cut: [...page.querySelectorAll(".opblock-summary-path, .opblock-summary-description")].filter(
      (part) => part.scrollWidth > part.clientWidth + 1).length,
  };
};
const find = (page, step) => step.startsWith("schema:")
  ? [...page.querySelectorAll(".models article")].find(
      (part) => part.querySelector(".json-schema-2020-12__title").textContent === step.slice(7)
    )?.querySelector(".json-schema-2020-12-expand-deep-button")
  : page.querySelector(step);
(async () => {
  const page = await settled(() => frame.contentDocument && frame.contentDocument.querySelector(".opblock-tag")
    && frame.contentDocument);
  // What fades in is measured as it ends, however busy the machine is.
  page.head.append(Object.assign(page.createElement("style"),
    {textContent: "* { transition: none !important; animation: none !important }"}));
  for (const step of steps) {
    (await settled(() => find(page, step))).click();
    await sleep(200);
  }
  await sleep(400);
  if (steps.length) find(page, steps.at(-1))?.scrollIntoView();
  frame.contentWindow.scrollBy(SCROLL);
  await fetch("/result", {method: "POST", body: JSON.stringify(measure(page, frame.contentWindow))});
})();
</script>"""


@contextmanager
def framed(api: str, probe: str, results: list[Any]) -> Iterator[str]:
    """Serve the probe, and the API under the same origin with permission to be framed; all else of its policy stays."""
    measured = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the probe, after the measuring, or with what the API says."""
            if self.path == "/probe":
                self._answer(200, {"Content-Type": "text/html"}, probe.encode())
            elif self.path == "/hold":
                measured.wait(_TIMEOUT)
                self._answer(404, {}, b"")
            else:
                answer = httpx.get(api + self.path, trust_env=False)
                headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
                policy = headers.get("content-security-policy", "")
                headers["content-security-policy"] = policy.replace("ancestors 'none'", "ancestors 'self'")
                self._answer(answer.status_code, headers, answer.content)

        def do_POST(self) -> None:
            """Take in what was measured."""
            results.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(204, {}, b"")
            measured.set()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            with suppress(BrokenPipeError, ConnectionResetError):  # a browser that ends asks for no more
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/probe"
        finally:
            measured.set()
            server.shutdown()
            thread.join()


def look(
    directory: Path,
    api: str,
    *arguments: str,
    steps: tuple[str, ...] = (),
    size: tuple[int, int] = (375, 900),
    scroll: int = 0,
) -> dict[str, Any]:
    """Open /docs in a frame of a phone's size, click through `steps`, and return what was measured."""
    program = shutil.which("chromium")
    assert program, "make machine installs chromium"
    width, height = size
    probe = _PROBE
    for name, value in (("WIDTH", width), ("HEIGHT", height), ("STEPS", json.dumps(steps)), ("SCROLL", f"0, {scroll}")):
        probe = probe.replace(name, str(value))
    results: list[Any] = []
    with framed(api, probe, results) as address:
        command = [program, *_OPTIONS, f"--user-data-dir={directory / 'profile'}", *arguments]
        command += [f"--window-size={max(500, width)},{height}"]
        if not any(argument.startswith("--screenshot") for argument in arguments):
            command.append("--dump-dom")
        done = subprocess.run([*command, address], capture_output=True, text=True, timeout=_TIMEOUT + 30, check=False)
    assert done.returncode == 0, done.stderr
    assert results, done.stderr
    found: dict[str, Any] = results[0]
    return found


_BOOKING = "#operations-bookings-create_booking "
_MINE = "#operations-bookings-list_my_bookings "
_STATES: dict[str, tuple[str, ...]] = {
    "closed": (),
    "operation": (f"{_BOOKING}.opblock-summary-control",),
    "try": (f"{_BOOKING}.opblock-summary-control", f"{_BOOKING}.try-out__btn"),
    "answer": (
        f"{_MINE}.opblock-summary-control",
        f"{_MINE}.try-out__btn",
        f"{_MINE}.execute",
        f"{_MINE}.live-responses-table",
    ),
    "model": (
        f"{_BOOKING}.opblock-summary-control",
        f"{_BOOKING}.model-example .tab li:last-child button",
        f"{_BOOKING}.json-schema-2020-12-expand-deep-button",
    ),
    "schema": ("schema:Booking",),
    "authorize": (".btn.authorize",),
}


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("state", _STATES)
def test_docs_fit_a_phone_and_are_legible(api: RunningApi, tmp_path: Path, state: str, colours: str) -> None:
    options = [_DARK] if colours == "dark" else []
    found = look(tmp_path, api.server.url, *options, steps=_STATES[state])
    assert (found["inner"], found["texts"] > 100) == (375, True)
    assert found["wide"] == []
    assert found["scroll"] <= found["inner"]
    assert found["cut"] == 0
    assert found["faint"] == []
    assert found["ground"] == ("rgb(28, 32, 34)" if colours == "dark" else "rgba(0, 0, 0, 0)")


def test_docs_on_a_desktop_keep_their_columns(api: RunningApi, tmp_path: Path) -> None:
    found = look(tmp_path, api.server.url, steps=_STATES["try"], size=(1280, 900))
    assert (found["wide"], found["scroll"], found["faint"]) == ([], 1280, [])


def test_probe_sees_what_is_too_wide_and_too_faint(tmp_path: Path) -> None:
    """The measuring itself, on a page with both faults."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with a page that has both faults."""
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b'<b class="opblock-tag">good</b><p style="width:500px;color:#999">faint and wide')

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        found = look(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert found["scroll"] >= 500
    assert found["wide"] == ["p."]
    assert [text.split(":")[-1].strip() for text in found["faint"]] == ["faint and wide"]
