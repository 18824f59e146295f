"""The status page's drawings as SVG: 90 days as bars, and a day of measured times.

Labels are HTML beside the SVG, so that they keep their size when the drawing becomes as narrow as a phone.
Nothing is told by colour alone: a bar of a worse day is taller, and one with a short incident is slit.
"""

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

from cleaning_service_monitor.history import BUCKET
from cleaning_service_monitor.ladder import DAY, HOUR
from cleaning_service_monitor.texts import Texts, clock

_BAR, _STRIDE, _BARS_HEIGHT = 4, 6, 30
_HEIGHTS = {"ok": 20, "minor": 25, "major": 30, "none": 4}
_TITLES = 12  # bad days, newest first, that tell their figure when pointed at
_MAJOR = HOUR  # seconds of incidents from which a day is a bad one
_WIDTH, _HEIGHT = 1440, 160  # of a chart: one unit is a minute
_MINUTE = 60.0
_TICK_HOURS = 6
_LOWEST = 0.1  # ms; a logarithmic scale has no zero
_LEVELS = 7  # lines that a scale has at most, where a coarser one exists
_FACTORS: Sequence[Sequence[float]] = ((1, 2, 5), (1, 3), (1,))  # of a power of ten, for the lines; finest first


def uptime(days: Sequence[dict[str, Any]], now: float) -> float | None:
    """Return the percentage of the watched time without an incident, rounded down to 0.01; None: never watched.

    Of today only what has passed is counted. `watched_days` says of how many days it speaks.
    """
    watched = [float(day["down"]) for day in days if day["down"] is not None]
    if not watched:
        return None
    total = len(watched) * DAY
    if days[-1]["down"] is not None:
        total -= DAY - max(1.0, now % DAY)
    share = max(0.0, 1 - sum(watched) / total)
    return math.floor(share * 10_000) / 100


def watched_days(days: Sequence[dict[str, Any]]) -> int:
    """Return the number of days that were watched."""
    return sum(day["down"] is not None for day in days)


def bars(days: Sequence[dict[str, Any]], texts: Texts, label: str) -> str:
    """Draw one bar a day, oldest first."""
    paths: dict[str, list[str]] = {level: [] for level in _HEIGHTS}
    titled = []
    told = 0
    for number, day in reversed(list(enumerate(days))):
        level, x = _level(day["down"]), number * _STRIDE
        shape = _shape(level, x)
        if level in ("minor", "major") and told < _TITLES:
            told += 1
            text = texts.day_down.format(day=day["day"], duration=texts.duration(float(day["down"])))
            titled.append(f'<path class="{level}" d="{shape}"><title>{html.escape(text)}</title></path>')
        else:
            paths[level].append(shape)
    drawn = "".join(f'<path class="{level}" d="{"".join(shapes)}"/>' for level, shapes in paths.items() if shapes)
    width = max(1, len(days)) * _STRIDE - (_STRIDE - _BAR)
    return (
        f'<svg class="bars" viewBox="0 0 {width} {_BARS_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(label)}">{drawn}{"".join(titled)}</svg>'
    )


def sample(level: str) -> str:
    """Draw one bar for the legend."""
    return (
        f'<svg class="sample" viewBox="0 0 {_BAR} {_BARS_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="{level}" d="{_shape(level, 0)}"/></svg>'
    )


def line(buckets: Sequence[Sequence[float]], now: float, texts: Texts, name: str) -> str:
    """Draw the median as a line and an area from it to the worst, over the 24 hours before `now`.

    The scale is logarithmic: one slow answer among quick ones stays in the picture, and they remain legible.

    Args:
        buckets: begin, median and worst in milliseconds, oldest first.
        now: seconds since the epoch.
        texts: of the language.
        name: of what was measured.
    """
    begin = now - DAY
    shown = [bucket for bucket in buckets if begin - BUCKET < bucket[0] <= now]
    if not shown:
        return f'<p class="empty">{html.escape(texts.chart_empty)}</p>'
    medians = sorted(bucket[1] for bucket in shown)
    peak = max(shown, key=lambda bucket: bucket[2])
    middle, at = medians[len(medians) // 2], clock(peak[0], seconds=False)
    levels = _scale(min(bucket[1] for bucket in shown), peak[2])
    label = texts.chart_label.format(
        name=name, median=texts.number(middle), worst=texts.number(peak[2]), moment=f"{at} UTC"
    )
    ticks = [moment for moment in _ticks(begin, now) if begin < moment < now]
    grid = "".join(f"M{_x(moment, begin)} 0V{_HEIGHT}" for moment in ticks)
    grid += "".join(f"M0 {_y(level, levels)}H{_WIDTH}" for level in levels)
    area, median = "", ""
    for run in _runs(shown):
        points = [(_x(moment, begin), _y(low, levels), _y(worst, levels)) for moment, low, worst in run]
        if len(points) == 1:
            ((x, low, worst),) = points
            points = [(x - 2, low, worst), (x + 2, low, worst)]
        area += "M" + "L".join(f"{x} {worst}" for x, _, worst in points)
        area += "".join(f"L{x} {low}" for x, low, _ in reversed(points)) + "z"
        median += "M" + "L".join(f"{x} {low}" for x, low, _ in points)
    rows = "".join(
        f'<span style="top:{_y(level, levels) / _HEIGHT * 100:.1f}%">{texts.number(level)}'
        f"{f' {texts.milliseconds}' if level == levels[-1] else ''}</span>"
        for level in reversed(levels)
    )
    columns = "".join(
        f'<span style="--at:{_x(moment, begin) / _WIDTH * 100:.1f}%">{clock(moment, seconds=False)}</span>'
        for moment in ticks
    )
    figures = (
        f'<dl class="figures"><div><dt><i class="key median"></i>{html.escape(texts.median)}</dt>'
        f"<dd>{texts.number(middle)} {texts.milliseconds}</dd></div>"
        f'<div><dt><i class="key worst"></i>{html.escape(texts.worst_at.format(moment=at))}</dt>'
        f"<dd>{texts.number(peak[2])} {texts.milliseconds}</dd></div></dl>"
    )
    return (
        f'{figures}<div class="chart"><div class="y" aria-hidden="true">{rows}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(label)}"><path class="grid" d="{grid}"/><path class="area" d="{area}"/>'
        f'<path class="line" d="{median}"/></svg><div class="x" aria-hidden="true">{columns}</div></div>'
    )


def _level(down: float | None) -> str:
    if down is None:
        return "none"
    return "ok" if not down else "minor" if down < _MAJOR else "major"


def _shape(level: str, x: int) -> str:
    height = _HEIGHTS[level]
    top = _BARS_HEIGHT - height
    if level != "minor":
        return f"M{x} {top}h{_BAR}v{height}h-{_BAR}z"
    upper = height // 2 - 2
    return f"M{x} {top}h{_BAR}v{upper}h-{_BAR}zM{x} {top + upper + 3}h{_BAR}V{_BARS_HEIGHT}h-{_BAR}z"


def _x(moment: float, begin: float) -> int:
    return round((moment - begin) / _MINUTE)


def _y(value: float, levels: Sequence[float]) -> int:
    share = math.log(max(value, levels[0]) / levels[0]) / math.log(levels[-1] / levels[0])
    return round(_HEIGHT - _HEIGHT * share)


def _ticks(begin: float, now: float) -> Iterator[float]:
    step = _TICK_HOURS * HOUR
    moment = math.ceil(begin / step) * step
    while moment <= now:
        yield moment
        moment += step


def _scale(lowest: float, highest: float) -> list[float]:
    """Return the levels of the lines in ms, rising: at least two, between them every value from lowest to highest."""
    low, high = max(lowest, _LOWEST), max(highest, _LOWEST)
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    levels: list[float] = []
    for factors in _FACTORS:
        steps = [round(factor * 10.0**power, 9) for power in range(first, last + 1) for factor in factors]
        below = max(place for place, level in enumerate(steps) if level <= low)
        above = min(place for place, level in enumerate(steps) if level >= high)
        levels = steps[below : max(above, below + 1) + 1]
        if len(levels) <= _LEVELS:
            break
    return levels


def _runs(buckets: Sequence[Sequence[float]]) -> Iterator[list[Sequence[float]]]:
    """Split where nothing was measured: a line across would claim that something was."""
    run: list[Sequence[float]] = []
    for bucket in buckets:
        if run and bucket[0] - run[-1][0] > BUCKET * 1.5:
            yield run
            run = []
        run.append(bucket)
    yield run
