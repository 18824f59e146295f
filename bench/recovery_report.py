"""What the results say: tables, the plot, and which targets are met."""

import dataclasses
import json
import math

from bench.recovery_faults import FAULTS, Fault
from bench.recovery_host import ROOT
from bench.recovery_results import Cost, Results, Run, rank
from bench.recovery_setups import SETUPS, Setup
from bench.report import Verdict

TARGETS = {"killed": 3.0, "frozen": 15.0, "registration-hangs": 75.0, "docker-frozen": 60.0}
"""Seconds, p95, of this monitor with one replica."""
MEMORY, CPU = 25.0, 0.01  # MB and share of one core that the monitor may take

_PAGE = ROOT / "docs" / "recovery.md"
DATA = ROOT / "docs" / "data" / "recovery.json"
_PLOT = ROOT / "docs" / "images" / "recovery.svg"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


def tables(results: Results, setups: list[Setup], faults: list[Fault]) -> str:
    """All figures as Markdown."""
    shown = [setup for setup in setups if any(results.of(setup.name, fault.name) for fault in faults)]
    parts = []
    if shown:
        head = ["seconds: p50 / p95 (runs)", *(setup.title for setup in shown)]
        rows = [
            [fault.title, *(_cell(results.of(setup.name, fault.name)) for setup in shown)]
            for fault in faults
            if any(results.of(setup.name, fault.name) for setup in shown)
        ]
        parts.append(_table(head, rows))
    two = [setup for setup in shown if setup.replicas > 1]
    for setup in two:
        rows = [_losses(fault, runs) for fault in faults if (runs := results.of(setup.name, fault.name))]
        head = [
            setup.title,
            "failed beyond those in flight, most in a run (all runs)",
            "failed in flight (all runs)",
            "every container healthy again: p50 / slowest",
        ]
        parts.append(_table(head, rows))
    loads = sorted(each.load for setup in shown for each in _runs(results, setup, faults) if each.load is not None)
    if loads:
        parts.append(
            f"This machine's load while measuring (processes that run or want to, for each core): "
            f"p50 {loads[len(loads) // 2]:g}, highest {loads[-1]:g}.\n"
        )
    costs = [cost for cost in results.costs if cost.setup in {setup.name for setup in setups}]
    if costs:
        parts.append(_table(["cost on a calm host", "memory", "of one core", "over"], [_cost(each) for each in costs]))
    return "\n".join(parts)


def verdicts(results: Results, setups: list[Setup], faults: list[Fault], wanted: int) -> int:
    """Say which targets are met; returns the exit code, 1 when one is missed or a run is missing."""
    verdict = Verdict()
    runs_missing = False
    for setup in setups:
        versions = {each.version for fault in faults for each in results.of(setup.name, fault.name)}
        if len(versions) > 1:
            print(f"note: {setup.title} was measured in {len(versions)} versions; --fresh measures anew")
        for fault in faults:
            runs = results.of(setup.name, fault.name)
            if not runs or (len(runs) < wanted and fault.name not in setup.hopeless):
                runs_missing = True
                print(f"missing {setup.title}, {fault.title}: {len(runs)} of {wanted} runs")
    for name, target in TARGETS.items():
        runs = results.of("monitor-1", name)
        if runs and any(each.name == "monitor-1" for each in setups) and any(each.name == name for each in faults):
            slow = rank(runs, 0.95)
            verdict.below(f"{name}: p95 in seconds", math.inf if slow is None else slow, target)
    for cost in results.costs:
        if cost.setup.startswith("monitor-") and cost.setup in {each.name for each in setups}:
            verdict.below(f"{cost.setup}: MB of memory", cost.memory, MEMORY)
            verdict.below(f"{cost.setup}: share of a core", cost.cpu, CPU)
    return 1 if verdict.end() or runs_missing else 0


def publish(results: Results) -> None:
    """Write data and plot, and put the tables between the marks of docs/recovery.md."""
    for path in (DATA, _PLOT):
        path.parent.mkdir(parents=True, exist_ok=True)
    order = {each.name: number for number, each in enumerate(SETUPS)} | {
        each.name: number for number, each in enumerate(FAULTS)
    }
    runs = sorted(results.runs, key=lambda each: (order[each.setup], order[each.fault], each.run))
    lines = {
        name: ",\n".join("  " + json.dumps(dataclasses.asdict(each)) for each in entries)
        for name, entries in (("runs", runs), ("costs", results.costs))
    }
    DATA.write_text("{" + ",\n".join(f'"{name}": [\n{text}\n]' for name, text in lines.items()) + "}\n")
    _PLOT.write_text(plot(results))
    before, _, rest = _PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _PAGE.write_text(f"{before}{_BEGIN}\n\n{tables(results, SETUPS, FAULTS)}\n{_END}{after}")


def _runs(results: Results, setup: Setup, faults: list[Fault]) -> list[Run]:
    return [run for fault in faults for run in results.of(setup.name, fault.name)]


def _cell(runs: list[Run]) -> str:
    if not runs:
        return ""
    never = sum(each.seconds is None for each in runs)
    if never == len(runs):
        return f"**never** ({never})"
    text = f"{_seconds(rank(runs, 0.5))} / {_seconds(rank(runs, 0.95))} ({len(runs)})"
    return f"{text}, never: {never}" if never else text


def _losses(fault: Fault, runs: list[Run]) -> list[str]:
    whole = sorted(math.inf if each.whole is None else each.whole for each in runs)
    middle, slowest = (None if math.isinf(each) else each for each in (whole[(len(whole) - 1) // 2], whole[-1]))
    return [
        fault.title,
        f"{max(each.failed for each in runs)} ({sum(each.failed for each in runs)} in {len(runs)})",
        f"{sum(each.failed_in_flight for each in runs)} in {len(runs)}",
        f"{_seconds(middle)} / {_seconds(slowest)} s",
    ]


def _cost(cost: Cost) -> list[str]:
    title = next(each.title for each in SETUPS if each.name == cost.setup)
    return [title, f"{cost.memory:.1f} MB", f"{cost.cpu:.2%}", f"{cost.seconds:g} s"]


def _seconds(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - three digits say enough


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# --- the plot: one lane for each set-up within each fault, one dot for each run, on a logarithmic scale ---

_WIDTH, _LEFT, _RIGHT, _TOP = 1000, 385, 110, 64
_LANE, _GAP = 14, 16
_FROM, _TO = 0.3, 300.0  # seconds
_TICKS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_ON_LIGHT = ("#777", "#b35900", "#d98c00", "#0062b1", "#008577")  # a colour for each set-up
_ON_DARK = ("#a0a0a0", "#ff9d4d", "#ffce5c", "#6db8ff", "#4dd8c6")


def _style() -> str:
    """Plain rules without variables, which not every viewer of SVG knows."""

    def colours(each: tuple[str, ...]) -> str:
        return "\n".join(
            f".s{number} .dot{{fill:{colour}}}.s{number} line,.s{number} path{{stroke:{colour}}}"
            for number, colour in enumerate(each)
        )

    return f"""
text{{font:12px system-ui,sans-serif;fill:#222}}.small{{font-size:11px;fill:#555}}.fault{{font-weight:600}}
.back{{fill:#fff}}.grid{{stroke:#ddd}}.target{{stroke:#c2185b;stroke-width:2;stroke-dasharray:3 3}}
.dot{{fill-opacity:.55}}.range{{stroke-opacity:.45;stroke-width:3}}.mid{{stroke-width:2.5}}
.never{{fill:none;stroke-width:1.8}}
{colours(_ON_LIGHT)}
@media(prefers-color-scheme:dark){{
text{{fill:#e6e6e6}}.small{{fill:#aaa}}.back{{fill:#16181c}}.grid{{stroke:#3a3a3a}}.target{{stroke:#ff6fa3}}
{colours(_ON_DARK)}
}}
"""


def plot(results: Results) -> str:
    """Draw all runs as SVG, readable on light and on dark."""
    lanes = []
    y = float(_TOP)
    for fault in FAULTS:
        shown = [(number, setup) for number, setup in enumerate(SETUPS) if results.of(setup.name, fault.name)]
        if not shown:
            continue
        lanes.append(f'<text class="fault" x="12" y="{y + 11:g}">{fault.title}</text>')
        for number, setup in shown:
            lanes.append(_lane(results.of(setup.name, fault.name), number, setup, y + _LANE / 2))
            if setup.name == "monitor-1" and fault.name in TARGETS:
                x = _x(TARGETS[fault.name])
                lanes.append(f'<line class="target" x1="{x:g}" x2="{x:g}" y1="{y:g}" y2="{y + _LANE:g}"/>')
            y += _LANE
        y += _GAP
    grid = "".join(
        f'<line class="grid" x1="{_x(tick):g}" x2="{_x(tick):g}" y1="{_TOP - 8}" y2="{y - _GAP + 4:g}"/>'
        f'<text class="small" x="{_x(tick):g}" y="{_TOP - 14}" text-anchor="middle">{tick:g} s</text>'
        for tick in _TICKS
    )
    never = f'<text class="small" x="{_WIDTH - _RIGHT / 2:g}" y="{_TOP - 14}" text-anchor="middle">never</text>'
    title = "From the fault to the third good registration in a row"
    key = "each dot a run, the bar their median, a cross a run without recovery, dashed the target for this monitor"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:g}" role="img"><title>{title}</title>'
        f'<style>{_style()}</style><rect class="back" width="{_WIDTH}" height="{y:g}"/>'
        f'<text class="fault" x="12" y="20">{title}</text><text class="small" x="12" y="36">{key}</text>'
        f"{grid}{never}{''.join(lanes)}</svg>\n"
    )


def _lane(runs: list[Run], number: int, setup: Setup, y: float) -> str:
    times = [each.seconds for each in runs if each.seconds is not None]
    parts = [f'<text class="small" x="{_LEFT - 12}" y="{y + 4:g}" text-anchor="end">{setup.title}</text>']
    if times:
        parts.append(f'<line class="range" x1="{_x(min(times)):g}" x2="{_x(max(times)):g}" y1="{y:g}" y2="{y:g}"/>')
        parts += [f'<circle class="dot" cx="{_x(each):g}" cy="{y:g}" r="3.5"/>' for each in times]
    middle = rank(runs, 0.5)
    if middle is not None:
        parts.append(f'<line class="mid" x1="{_x(middle):g}" x2="{_x(middle):g}" y1="{y - 6:g}" y2="{y + 6:g}"/>')
    missing = len(runs) - len(times)
    if missing:
        x = _WIDTH - _RIGHT / 2 - 22
        parts.append(f'<path class="never" d="M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8"/>')
        parts.append(f'<text class="small" x="{x + 10:g}" y="{y + 4:g}">{missing} of {len(runs)}</text>')
    return f'<g class="s{number}">{"".join(parts)}</g>'


def _x(seconds: float) -> float:
    share = math.log(max(_FROM, seconds) / _FROM) / math.log(_TO / _FROM)
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)
