"""The public status page: one HTML document without a script or anything from elsewhere, so that it always works."""

import html
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cleaning_service_monitor import charts
from cleaning_service_monitor.texts import LANGUAGES, Texts

_MAX_CAUSE, _MAX_DETAIL, _MAX_NAME = 240, 160, 60  # characters
_FIRST_STEPS, _LAST_STEPS = 3, 7  # of an incident's many that are told
_UNFOLDED = 3  # past incidents that are told in full without a click
_MAX_INCIDENTS = 30_000  # bytes of all open incidents, and of all past ones
_REFRESH = 30  # seconds

_MARKS = {"ok": "ok", "degraded": "warn", "outage": "bad", "maintenance": "work"}
_HEALTH_MARKS = {
    "ok": "ok",
    "degraded": "warn",
    "starting": "work",
    "refusing": "bad",
    "sick": "bad",
    "down": "bad",
    "blocked": "bad",
    "forbidden": "bad",
}
_BACKUP_MARKS = {"ok": "ok", "degraded": "warn", "unknown": "none"}
_SERVICE_MARKS = {"ok": "ok", "degraded": "warn", "starting": "work", "outage": "bad", "unknown": "none"}
_COLOURS = {"ok": "1a7f4b", "warn": "9a6700", "bad": "c0352b", "work": "2563a8", "none": "68737d"}
# Each mark has a shape of its own: a tick in a disc, a triangle, an octagon, two bars in a disc, a ring.
_SHAPES = {
    "ok": '<circle cx="12" cy="12" r="11"/><path class="in" d="M7 12.5l3.4 3.4L17 8.8"/>',
    "warn": '<path d="M12 1.5L23.5 22H.5z"/><path class="in" d="M12 9v6M12 18.2v.3"/>',
    "bad": '<path d="M7.5 1h9L23 7.5v9L16.5 23h-9L1 16.5v-9z"/><path class="in" d="M8 8l8 8M16 8l-8 8"/>',
    "work": '<circle cx="12" cy="12" r="11"/><path class="in" d="M9.5 8v8M14.5 8v8"/>',
    "none": '<circle class="ring" cx="12" cy="12" r="9"/>',
}

_STYLE = """
:root{color-scheme:light dark;--page:#f4f6f7;--card:#fff;--line:#e0e5e8;--text:#1b2329;--soft:#58646d;--link:#1f5f99;
--ok:#1a7f4b;--warn:#9a6700;--bad:#c0352b;--work:#2563a8;--none:#68737d;--bar:#3f9f6d;--minor:#c98a10;--gap:#b4bec5;
--area:#cfe0ee;--edge:#a3c4de;--stroke:#2b6ca3;--grid:#e6eaed;--tick:#fff}
@media(prefers-color-scheme:dark){:root{--page:#10161b;--card:#182027;--line:#2a353e;--text:#e6ebee;--soft:#9dabb5;
--link:#7db8ec;--ok:#4fc388;--warn:#e2b144;--bad:#f27d72;--work:#73b2ef;--none:#8d9aa4;--bar:#3c9d6c;--minor:#d9a436;
--gap:#4a5862;--area:#24435d;--edge:#3d6f96;--stroke:#7db8ec;--grid:#27323b;--tick:#10161b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main,header,footer{max-width:820px;margin:0 auto;padding:0 16px}
header{display:flex;justify-content:space-between;align-items:baseline;gap:16px;padding-top:24px;padding-bottom:14px}
header p{margin:0;font-weight:600}header p span{color:var(--soft);font-weight:400}
header a{flex:none}
a{color:var(--link);text-underline-offset:3px}a:focus-visible,summary:focus-visible{outline:2px solid var(--link);
outline-offset:3px;border-radius:4px}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:20px;margin:0 0 16px}
.hero{display:flex;gap:16px;align-items:flex-start;border-top:4px solid var(--tone)}
.hero .mark{width:36px;height:36px;margin-top:2px}
h1{font-size:1.4rem;line-height:1.3;margin:0 0 6px;font-weight:650;text-wrap:balance}
h2,.card>h3{font-size:1.06rem;margin:0 0 4px;font-weight:650}h3,h4{font-size:1rem;margin:0;font-weight:600}
.part{padding-top:16px;margin:0 0 12px}.part h2{font-size:1.25rem}
p{margin:0 0 6px}p:last-child{margin-bottom:0}
.soft,.note,.empty,.legend,.ends,dt,.steps .when{color:var(--soft)}
.soft,.note,.legend,.ends,dt,.steps{font-size:.875rem}
.asof{font-variant-numeric:tabular-nums}
.mark{flex:none;width:18px;height:18px;fill:var(--tone)}
.in{fill:none;stroke:var(--tick);stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.ring{fill:none;stroke:var(--tone);stroke-width:2.5;stroke-dasharray:4 3}
.t-ok{--tone:var(--ok)}.t-warn{--tone:var(--warn)}.t-bad{--tone:var(--bad)}.t-work{--tone:var(--work)}
.t-none{--tone:var(--none)}
.person{border-left:4px solid var(--bad);padding-left:12px;margin-top:10px;font-weight:600}
.component,.backup{padding:14px 0;border-top:1px solid var(--line)}.component:first-of-type,
.backup:first-of-type{border-top:0}.backup p{margin:2px 0 0}
.row{display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 16px;align-items:baseline}
.head{flex-wrap:nowrap}.state .mark{align-self:center}
.state{display:inline-flex;gap:7px;align-items:baseline;flex:none;max-width:50%;color:var(--tone);
font-weight:600;font-size:.94rem}
.since{font-size:.875rem}.uptime{font-variant-numeric:tabular-nums;font-size:.875rem;color:var(--soft);
margin-left:auto}.bars{display:block;width:100%;height:30px;margin:8px 0 0}.bars .ok,.sample .ok{fill:var(--bar)}
.minor{fill:var(--minor)}.major{fill:var(--bad)}.none{fill:var(--gap)}
.ends{display:flex;justify-content:space-between;margin:-6px 0 12px}.ends:last-child{margin-bottom:0}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;padding:12px 0 0;margin:0;list-style:none;
border-top:1px solid var(--line)}
.legend li{display:flex;gap:7px;align-items:center}.sample{width:5px;height:20px}
.figures{display:flex;flex-wrap:wrap;gap:4px 28px;margin:10px 0 14px}.figures dd{margin:0;font-size:1.2rem;
font-weight:600;font-variant-numeric:tabular-nums}
.key{display:inline-block;width:16px;margin-right:7px;vertical-align:middle}
.key.median{height:0;border-top:3px solid var(--stroke)}.key.worst{height:12px;background:var(--area);border-radius:2px}
.chart{display:grid;grid-template-columns:auto 1fr;column-gap:8px;font-size:.75rem;color:var(--soft);
font-variant-numeric:tabular-nums}
.chart svg{width:100%;height:160px;display:block;overflow:hidden}
.y{display:grid;text-align:right;line-height:14px}.y span{grid-area:1/1;position:relative;height:14px;margin-top:-7px}
.x{grid-column:2;position:relative;height:20px;margin-top:7px}
.x span{position:absolute;left:min(var(--at),100% - 8px);transform:translateX(-50%)}
.x span,.y span,.figures dd,.ends span{white-space:nowrap}
.grid{stroke:var(--grid)}.area{fill:var(--area);stroke:var(--edge)}.line{fill:none;stroke:var(--stroke);stroke-width:2;
stroke-linejoin:round;stroke-linecap:round}.grid,.area,.line{vector-effect:non-scaling-stroke}
.empty{padding:28px 0;text-align:center;border:1px dashed var(--line);border-radius:10px;margin-top:12px}
.incident{padding:14px 0;border-top:1px solid var(--line)}.incident:first-of-type{border-top:0}
summary{cursor:pointer}summary .soft{display:block}summary h4{display:inline}
.incident .mark{vertical-align:-3px;margin-right:7px}
.cause{margin:6px 0}.tag{display:inline-block;border:1px solid var(--bad);color:var(--bad);border-radius:99px;
padding:0 10px;font-size:.8rem;font-weight:600}
.steps{list-style:none;margin:8px 0 0;padding:0 0 0 14px;border-left:2px solid var(--line)}.steps li{margin:5px 0}
.steps .when{font-variant-numeric:tabular-nums;margin-right:8px}
footer{font-size:.875rem;color:var(--soft);padding-top:4px;padding-bottom:32px}
@media(max-width:480px){.card{padding:16px 14px}h1{font-size:1.25rem}.hero{gap:12px}.hero .mark{width:30px;height:30px}
.since,.uptime{font-size:.8125rem}.uptime{margin-left:0}}
"""


def render(status: Mapping[str, Any], language: str) -> str:
    """Return the whole HTML document.

    Args:
        status: the public status.
        language: "en" or "ru".
    """
    texts, now = LANGUAGES[language], float(status["updated"])
    state = str(status["state"]) if status["state"] in _MARKS else "unknown"
    mark = _MARKS.get(state, "none")
    service = html.escape(_cut(str(status["service"]), _MAX_NAME))
    parts = (
        _hero(status, state, mark, texts, now),
        _maintenance(status["paused"], texts, now),
        _services(status, texts, now),
        f'<div class="part"><h2>{texts.operator}</h2><p class="soft">{texts.operator_about}</p></div>\n',
        _current(status, texts, now),
        _components(status, texts, now),
        _backups(status["backups"], texts, now),
        _chart(status["response"], (texts.response, texts.response_about), texts, now),
        _chart(status["registration"], (texts.registration, texts.registration_about), texts, now),
        _past(status, texts, now),
    )
    return f"""<!DOCTYPE html>
<html lang="{texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="{_REFRESH}">
<title>{service}: {texts.state_names[state]}</title>
<link rel="icon" href="{_icon(mark)}">
<style>{_STYLE}</style>
</head>
<body>{_symbols()}
<header><p>{service} <span>· {texts.title}</span></p>
<a href="/status/{texts.other_language}" lang="{texts.other_language}" hreflang="{texts.other_language}">\
{texts.other_name}</a></header>
<main>
{"".join(parts)}</main>
<footer><p>{texts.footer} <a href="/status.json">{texts.as_data}</a></p></footer>
</body>
</html>
"""


def _hero(status: Mapping[str, Any], state: str, mark: str, texts: Texts, now: float) -> str:
    sentence = _sentence(status["services"], state, texts)
    interval = texts.count(float(status["check_interval"]), "every second")
    wanted = any(component["person_needed"] for component in status["components"])
    person = f'<p class="person">{texts.person_needed}</p>' if wanted else ""
    return (
        f'<section class="card hero t-{mark}">{_mark(mark)}<div><h1>{html.escape(sentence)}</h1>'
        f'<p class="asof">{texts.as_of} {_time(now, texts, now, year=True)}</p>'
        f'<p class="soft">{texts.stale.format(interval=interval)}</p>{person}</div></section>\n'
    )


def _sentence(services: Sequence[Mapping[str, Any]], state: str, texts: Texts) -> str:
    """Tell the state in words of what clients use."""
    if state == "degraded":
        healths = {service["health"] for service in services}
        state = "unknown" if "unknown" in healths else "degraded" if healths - {"ok"} else "degraded-behind"
    elif state == "outage" and any(service["health"] == "ok" for service in services):
        state = "outage-in-part"
    unwell = [service for service in services if service["health"] != "ok"]
    return texts.states[state].format(
        names=", ".join(texts.quoted.format(_service_name(service, texts)) for service in unwell)
    )


def _maintenance(paused: Mapping[str, Any] | None, texts: Texts, now: float) -> str:
    if paused is None:
        return ""
    ends = texts.maintenance_no_end
    if paused["until"] is not None:
        ends = texts.maintenance_until.format(until=_time(float(paused["until"]), texts, now))
    reason = ""
    if paused["reason"]:
        reason = f"<p>{texts.maintenance_reason} {_foreign(str(paused['reason']), _MAX_DETAIL, texts)}</p>"
    return f'<section class="card t-work"><h2>{texts.maintenance}</h2><p>{ends}</p>{reason}</section>\n'


def _current(status: Mapping[str, Any], texts: Texts, now: float) -> str:
    incidents = [incident for incident in status["incidents"] if incident["ended"] is None]
    if not incidents:
        return ""
    told = _incidents(incidents, status, texts, now, unfolded=len(incidents))
    return f'<section class="card"><h3>{texts.current}</h3>{told}</section>\n'


def _past(status: Mapping[str, Any], texts: Texts, now: float) -> str:
    incidents = [incident for incident in status["incidents"] if incident["ended"] is not None]
    told = _incidents(incidents, status, texts, now, unfolded=_UNFOLDED)
    told = told or f'<p class="soft">{texts.no_incidents}</p>'
    return f'<section class="card"><h3>{texts.past}</h3>{told}</section>\n'


def _services(status: Mapping[str, Any], texts: Texts, now: float) -> str:
    """Tell of what clients use; the legend of all bars stands here, at the first of them."""
    if not status["services"]:
        return ""
    rows = "".join(_service(service, texts, now) for service in status["services"])
    levels = zip(("ok", "minor", "major", "none"), texts.bars_legend, strict=True)
    legend = "".join(f"<li>{charts.sample(level)}{text}</li>" for level, text in levels)
    return (
        f'<section class="card"><h2>{texts.services}</h2>{rows}{_ends(texts)}'
        f'<ul class="legend">{legend}</ul></section>\n'
    )


def _components(status: Mapping[str, Any], texts: Texts, now: float) -> str:
    groups = (
        (texts.programs, [component for component in status["components"] if component["kind"] != "host"]),
        (texts.host, [component for component in status["components"] if component["kind"] == "host"]),
    )
    told = [
        f'<section class="card"><h3>{title}</h3>'
        f"{''.join(_component(component, status, texts, now) for component in components)}{_ends(texts)}</section>\n"
        for title, components in groups
        if components
    ]
    return "".join(told)


def _service(service: Mapping[str, Any], texts: Texts, now: float) -> str:
    health = str(service["health"])
    return _row(
        f"<h3>{html.escape(_service_name(service, texts))}</h3>",
        _SERVICE_MARKS.get(health, "none"),
        texts.service_health.get(health, health),
        _since(service["since"], texts, now),
        _uptime(service["days"], texts, now),
    )


def _component(component: Mapping[str, Any], status: Mapping[str, Any], texts: Texts, now: float) -> str:
    health, seen = str(component["health"]), component["since"] is not None
    names = texts.host_health if component["kind"] == "host" else texts.health
    person = f' <span class="tag">{texts.person_needed_tag}</span>' if component["person_needed"] else ""
    return _row(
        f"<h4>{html.escape(_name(component['name'], status, texts))}</h4>",
        _HEALTH_MARKS.get(health, "bad") if seen else "none",
        names.get(health, health) if seen else texts.not_seen,
        _since(component["since"], texts, now, person),
        _uptime(status["days"].get(component["name"], []), texts, now),
    )


def _backups(sources: Sequence[Mapping[str, Any]] | None, texts: Texts, now: float) -> str:
    """Tell of each backup how old it is and when a restore has proven it."""
    if sources is None:
        return ""
    told = "".join(_backup(source, texts, now) for source in sources)
    told = told or f'<p class="soft">{texts.backups_unknown}</p>'
    return f'<section class="card"><h3>{texts.backups}</h3><p class="soft">{texts.backups_about}</p>{told}</section>\n'


def _backup(source: Mapping[str, Any], texts: Texts, now: float) -> str:
    name, health = str(source["name"]), str(source["health"])
    recency, proof = _recency(source, texts, now), _proof(source["drill"], texts, now)
    lines = [f'<p class="soft">{line}</p>' for line in (recency, proof) if line]
    return (
        f'<article class="backup t-{_BACKUP_MARKS.get(health, "none")}"><div class="row head">'
        f"<h4>{html.escape(_cut(texts.backup_names.get(name, name), _MAX_NAME))}</h4>"
        f'<span class="state">{_mark(_BACKUP_MARKS.get(health, "none"))}'
        f"{html.escape(_cut(texts.backup_health.get(health, health), _MAX_NAME))}</span></div>"
        f"{''.join(lines)}</article>"
    )


def _recency(source: Mapping[str, Any], texts: Texts, now: float) -> str:
    if source["name"] == "replica":
        if source["behind"] is None:
            return texts.replica_unknown
        behind = texts.duration(float(source["behind"]))
        return texts.replica_behind.format(duration=behind) if source["behind"] else texts.replica_level
    return "" if source["at"] is None else texts.backup_age.format(duration=texts.duration(now - float(source["at"])))


def _proof(drill: Mapping[str, Any] | None, texts: Texts, now: float) -> str:
    if drill is None:
        return texts.never_proven
    moment = _time(float(drill["at"]), texts, now, seconds=False)
    if not drill["succeeded"]:
        return texts.drill_failed.format(moment=moment)
    if drill["bookings"] is None or drill["seconds"] is None:
        return texts.proven.format(moment=moment)
    bookings, seconds = texts.count(drill["bookings"], "booking"), texts.duration(float(drill["seconds"]))
    return texts.proven_restored.format(moment=moment, bookings=bookings, duration=seconds)


def _row(heading: str, mark: str, word: str, since: str, uptime: str) -> str:
    """Lay out one row of a card, from its parts: all but `word` are HTML."""
    return (
        f'<article class="component t-{mark}"><div class="row head">{heading}'
        f'<span class="state">{_mark(mark)}{html.escape(_cut(word, _MAX_NAME))}</span></div>'
        f'<div class="row">{since}{uptime}</article>'
    )


def _since(since: float | None, texts: Texts, now: float, more: str = "") -> str:
    told = "" if since is None else texts.since.format(moment=_time(float(since), texts, now, seconds=False))
    return f'<span class="since soft">{told}{more}</span>' if told or more else ""


def _ends(texts: Texts) -> str:
    return f'<div class="ends" aria-hidden="true"><span>{texts.days_ago}</span><span>{texts.today}</span></div>'


def _uptime(days: Sequence[dict[str, Any]], texts: Texts, now: float) -> str:
    percent = charts.uptime(days, now) if days else None
    if percent is None:
        return f'<span class="uptime">{texts.uptime_not_known}</span></div>'
    number, watched = texts.number(percent, 2), texts.count(charts.watched_days(days), "day")
    bad = texts.count(sum(1 for day in days if day["down"]), "on day")
    label = texts.uptime_label.format(percent=number, days=watched, bad=bad)
    told = texts.uptime.format(percent=number, days=watched)
    return f'<span class="uptime">{told}</span></div>{charts.bars(days, texts, label)}'


def _chart(buckets: Sequence[Sequence[float]], about: tuple[str, str], texts: Texts, now: float) -> str:
    name, rest = about
    return (
        f'<section class="card"><h3>{name}</h3><p class="soft">{rest}, {texts.chart_axes}</p>'
        f"{charts.line(buckets, now, texts, name)}</section>\n"
    )


def _incidents(
    incidents: Sequence[Mapping[str, Any]], status: Mapping[str, Any], texts: Texts, now: float, *, unfolded: int
) -> str:
    told: list[str] = []
    size = 0
    for number, incident in enumerate(incidents):
        text = _incident(incident, status, texts, now, unfolded=number < unfolded)
        size += len(text.encode())
        if size > _MAX_INCIDENTS:
            break
        told.append(text)
    if left_out := len(incidents) - len(told):
        count = texts.count(left_out, "incident")
        told.append(f'<p class="soft">{texts.incidents_left_out.format(incidents=count)}</p>')
    return "".join(told)


def _incident(
    incident: Mapping[str, Any], status: Mapping[str, Any], texts: Texts, now: float, *, unfolded: bool
) -> str:
    over = incident["ended"] is not None
    mark = "ok" if over else "bad"
    began = float(incident["began"])
    lasted = texts.duration(float(incident["ended"] if over else now) - began)
    lasts = (texts.lasted if over else texts.lasts).format(duration=lasted)
    person = f' <span class="tag">{texts.person_needed_tag}</span>' if incident["person_needed"] else ""
    steps = _steps(incident["steps"], texts) or (
        f'<p class="soft">{texts.ended_alone if over else texts.no_step_yet}</p>'
    )
    name = html.escape(_name(incident["component"], status, texts))
    return (
        f'<article class="incident t-{mark}"><details{" open" if unfolded else ""}><summary>{_mark(mark)}'
        f'<h4>{name}</h4>{person} <span class="soft">{_time(began, texts, now)} · {lasts}</span></summary>'
        f'<p class="cause">{_foreign(incident["cause"], _MAX_CAUSE, texts)}</p>{steps}</details></article>'
    )


def _steps(steps: Sequence[Mapping[str, Any]], texts: Texts) -> str:
    if not steps:
        return ""
    left_out = len(steps) - _FIRST_STEPS - _LAST_STEPS
    if left_out <= 1:
        return f'<ol class="steps">{"".join(_step(step, texts) for step in steps)}</ol>'
    first = "".join(_step(step, texts) for step in steps[:_FIRST_STEPS])
    last = "".join(_step(step, texts) for step in steps[-_LAST_STEPS:])
    between = f"<li>… {texts.steps_left_out.format(steps=texts.count(left_out, 'step'))}</li>"
    return f'<ol class="steps">{first}{between}{last}</ol>'


def _step(step: Mapping[str, Any], texts: Texts) -> str:
    at, action = float(step["at"]), str(step["action"])
    attempt = html.escape(_cut(texts.attempt_of(str(step["attempt"])), _MAX_NAME))
    detail = f"<br>{_foreign(step['detail'], _MAX_DETAIL, texts)}" if step["detail"] else ""
    clock = time.strftime("%H:%M:%S", time.gmtime(at))
    return (
        f'<li><span class="when">{clock}</span>{html.escape(_cut(texts.actions.get(action, action), _MAX_NAME))}'
        f"{f' ({attempt})' if attempt else ''}: {texts.outcomes[step['succeeded']]}{detail}</li>"
    )


def _service_name(service: Mapping[str, Any], texts: Texts) -> str:
    return _cut(texts.service_names.get(service["name"], str(service["name"])), _MAX_NAME)


def _name(name: object, status: Mapping[str, Any], texts: Texts) -> str:
    replicas = sum(component["kind"] == "api" for component in status["components"]) > 1
    return _cut(texts.component(str(name), replicas=replicas), _MAX_NAME)


def _time(moment: float, texts: Texts, now: float, *, year: bool = False, seconds: bool = True) -> str:
    """Return a moment, with its year where that is another than now."""
    parts = time.gmtime(moment)
    told = texts.moment(moment, year=year or parts.tm_year != time.gmtime(now).tm_year, seconds=seconds)
    return f'<time datetime="{time.strftime("%Y-%m-%dT%H:%M:%SZ", parts)}">{told}</time>'


def _foreign(text: object, length: int, texts: Texts) -> str:
    """Escape what the monitor wrote, which is English on every page."""
    escaped = html.escape(_cut(str(text), length))
    return escaped if texts.language == "en" else f'<span lang="en">{escaped}</span>'


def _mark(mark: str) -> str:
    return f'<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><use href="#{mark}"/></svg>'


def _icon(mark: str) -> str:
    shape = _SHAPES[mark].replace(' class="in"', ' fill="none" stroke="%23fff" stroke-width="2.6"')
    shape = shape.replace(' class="ring"', f' fill="none" stroke="%23{_COLOURS[mark]}" stroke-width="3"')
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="%23{_COLOURS[mark]}">{shape}</svg>'
    return "data:image/svg+xml," + html.escape(svg)


def _symbols() -> str:
    shapes = "".join(f'<symbol id="{mark}" viewBox="0 0 24 24">{shape}</symbol>' for mark, shape in _SHAPES.items())
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{shapes}</svg>'


def _cut(text: str, length: int) -> str:
    """Shorten, and replace what no document may hold, such as halves of characters."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text[: length + 1])
    return clean if len(clean) <= length else f"{clean[: length - 1].rstrip()}…"
