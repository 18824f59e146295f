"""What clients use, derived from the components: website entrance, booking, and signing in and registering.

The mapping, which docs/status-page.md tells too:

- website entrance: the proxy, and the way in to it from outside. A certificate that browsers do not trust limits it,
  and a way in that is closed for IPv6 alone.
- booking: the entrance, and one replica whose readiness probe passes.
- signing in and registering: the same, and the registration canary passes on that replica.

Docker, Redis and the other checks of the host decide nothing here: where they harm a client, a probe of the API or of
the proxy fails. While Docker itself is silent, nothing is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleaning_service_monitor.hostchecks import UNTRUSTED_CERTIFICATE
from cleaning_service_monitor.incidents import Incident
from cleaning_service_monitor.ingress import NO_ENTRY, NO_ENTRY_BY_IPV6
from cleaning_service_monitor.ladder import DOCKER, INGRESS, Health, Track
from cleaning_service_monitor.probes import CANARY, CANARY_TOKEN_REFUSED

BOOKING, ACCOUNT, WEBSITE = "booking", "account", "website"
OK, DEGRADED, STARTING, OUTAGE, UNKNOWN = HEALTHS = ("ok", "degraded", "starting", "outage", "unknown")

# Beginnings of an API replica's causes that leave the service working.
_HARMLESS_CAUSES = {BOOKING: CANARY, ACCOUNT: CANARY_TOKEN_REFUSED}

Interval = tuple[float, float]


@dataclass(frozen=True)
class Outage:
    """A time in which a service did not work; seconds since the epoch."""

    component: str
    began: float
    ended: float


def names(kinds: Mapping[str, str]) -> list[str]:
    """Return the services that the components make up; `kinds`: a component's kind by its name."""
    present = set(kinds.values())
    found = [BOOKING, ACCOUNT] if "api" in present else []
    return [*found, WEBSITE] if "proxy" in present else found


def current(tracks: Mapping[str, Track], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return each service's `name`, its `health` now, and `since` when, which is None while that is ok or unknown."""
    return [{"name": name, **_current(name, tracks, kinds)} for name in names(kinds)]


def outages(incidents: Iterable[Incident], kinds: Mapping[str, str], now: float) -> list[Outage]:
    """Return when each service did not work.

    That is while the proxy had an incident, nobody got in from outside, or all of today's replicas had an incident.
    """
    known = list(incidents)
    proxies, replicas = _of_kind("proxy", kinds), _of_kind("api", kinds)
    closed = [incident for incident in known if incident.cause.startswith(NO_ENTRY)]
    entrance = _union([*_intervals(known, proxies, now), *_intervals(closed, [INGRESS], now)])
    found = [Outage(WEBSITE, began, ended) for began, ended in entrance if proxies]
    for service, harmless in _HARMLESS_CAUSES.items():
        harmful = [incident for incident in known if not incident.cause.startswith(harmless)]
        everywhere = _intersection([_union(_intervals(harmful, [replica], now)) for replica in replicas])
        found += [Outage(service, began, ended) for began, ended in _union([*entrance, *everywhere]) if replicas]
    return found


def _current(service: str, tracks: Mapping[str, Track], kinds: Mapping[str, str]) -> dict[str, Any]:
    proxies = [tracks[name] for name in _of_kind("proxy", kinds)]
    ingress = tracks.get(INGRESS, Track())
    replicas = [] if service == WEBSITE else [tracks[name] for name in _of_kind("api", kinds)]
    asked = [*proxies, *replicas]
    engine = tracks.get(DOCKER)
    # A look at a silent Docker asks nobody else, so that what is known of them is old.
    if any(track.since is None for track in asked) or (engine and engine.health is not Health.OK):
        return {"health": UNKNOWN, "since": None}
    for unable in (
        [track for track in proxies if not track.health.well],
        [ingress] if ingress.cause.startswith(NO_ENTRY) else [],
        [] if any(_serves(service, track) for track in replicas) else replicas,
    ):
        if unable:
            starting = any(track.health is Health.STARTING for track in unable)
            since = max(track.unwell_since or track.since or 0.0 for track in unable)
            return {"health": STARTING if starting else OUTAGE, "since": since}
    certificate = tracks.get("certificate")
    if service == WEBSITE and certificate and certificate.cause.startswith(UNTRUSTED_CERTIFICATE):
        return {"health": DEGRADED, "since": certificate.since}
    if service == WEBSITE and ingress.cause.startswith(NO_ENTRY_BY_IPV6):
        return {"health": DEGRADED, "since": ingress.since}
    return {"health": OK, "since": None}


def _serves(service: str, track: Track) -> bool:
    return track.health is Health.OK or track.cause.startswith(_HARMLESS_CAUSES[service])


def _of_kind(kind: str, kinds: Mapping[str, str]) -> list[str]:
    return [name for name, its in kinds.items() if its == kind]


def _intervals(incidents: Iterable[Incident], components: Sequence[str], now: float) -> list[Interval]:
    return [
        (incident.began, now if incident.ended is None else incident.ended)
        for incident in incidents
        if incident.component in components
    ]


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    """Join what overlaps."""
    joined: list[Interval] = []
    for began, ended in sorted(intervals):
        if joined and began <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ended))
        else:
            joined.append((began, ended))
    return joined


def _intersection(several: Sequence[Sequence[Interval]]) -> list[Interval]:
    """Return the times that are in each of the lists; the intervals of one list do not overlap."""
    if not several:
        return []
    common = list(several[0])
    for other in several[1:]:
        overlaps = [(max(a, c), min(b, d)) for a, b in common for c, d in other]
        common = [(began, ended) for began, ended in overlaps if began < ended]
    return common
