"""Incidents: each fault from its beginning to its end, with what was done about it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cleaning_service_monitor.ladder import DAY, SETTLED

_KEPT_FOR = 90 * DAY
_KEPT = 500  # incidents
_EVIDENCE_LINES = 20
_EVIDENCE_WIDTH = 300  # characters
_STEPS = 50


@dataclass
class Step:
    """One cure of an incident; `succeeded` is None while it is at work."""

    at: float
    action: str
    attempt: str
    succeeded: bool | None = None
    detail: str = ""


@dataclass
class Incident:
    """One fault of one component. Times are in seconds since the epoch.

    Attributes:
        evidence: the last lines of the container's log when the fault was found; for the operator, not the public.
        told: when a person was last told of it.
    """

    id: str
    component: str
    cause: str
    began: float
    ended: float | None = None
    person_needed: bool = False
    evidence: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    told: float = 0.0


class Incidents:
    """All incidents of the last 90 days, at most 500."""

    def __init__(self) -> None:
        self._all: list[Incident] = []  # by their beginning

    def open(self, component: str, cause: str, began: float, evidence: Iterable[str] = ()) -> Incident:
        """Begin an incident; the one that is open already where there is one."""
        if incident := self.current(component):
            return incident
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
        name = f"{moment}-{component}"
        if any(incident.id == name for incident in self._all):
            name += f"-{sum(incident.id.startswith(name) for incident in self._all) + 1}"
        lines = [line[:_EVIDENCE_WIDTH] for line in evidence][-_EVIDENCE_LINES:]
        incident = Incident(name, component, cause, began, evidence=lines)
        self._all.append(incident)
        return incident

    def current(self, component: str) -> Incident | None:
        """The component's open incident."""
        return next((incident for incident in self.current_ones() if incident.component == component), None)

    def current_ones(self) -> list[Incident]:
        """All open incidents."""
        return [incident for incident in self._all if incident.ended is None]

    def every(self) -> Sequence[Incident]:
        """All of them, by their beginning."""
        return self._all

    def step(self, incident: Incident, step: Step) -> None:
        """Note that a cure has begun; of very many the first and the last are kept."""
        incident.steps.append(step)
        if len(incident.steps) > _STEPS:
            del incident.steps[_STEPS // 2]

    def settle(self, now: float, well_since: Mapping[str, float | None]) -> list[Incident]:
        """End the incidents of components that have been well for long enough; returns them."""
        over = []
        for incident in self.current_ones():
            since = well_since.get(incident.component, now - SETTLED)  # not watched any more: over
            if since is not None and now - since >= SETTLED:
                incident.ended = max(since, incident.began)
                incident.person_needed = False
                over.append(incident)
        return over

    def newest(self, number: int) -> list[Incident]:
        """The newest incidents, newest first."""
        return self._all[: -number - 1 : -1]

    def prune(self, now: float) -> None:
        """Forget what is older than 90 days or beyond 500; an open incident stays."""
        kept = [incident for incident in self._all if incident.ended is None or now - incident.ended < _KEPT_FOR]
        surplus = len(kept) - _KEPT
        self._all = [incident for number, incident in enumerate(kept) if number >= surplus or incident.ended is None]

    def dump(self) -> list[dict[str, Any]]:
        """Return everything, ready for JSON."""
        return [asdict(incident) for incident in self._all]

    def restore(self, saved: object) -> None:
        """Take up what `dump` returned.

        Raises:
            ValueError: it is not what `dump` returns; nothing was taken up.
        """
        try:
            restored = [_incident(entry) for entry in saved]  # type: ignore[attr-defined]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError("the saved incidents are not readable") from error
        self._all = sorted(restored, key=lambda incident: incident.began)


def _incident(entry: dict[str, Any]) -> Incident:
    steps = [
        Step(float(step["at"]), str(step["action"]), str(step["attempt"]), step["succeeded"], str(step["detail"]))
        for step in entry["steps"]
    ]
    for step in steps:
        if step.succeeded not in (True, False, None):
            raise ValueError("succeeded must be true, false or null")
    return Incident(
        id=str(entry["id"]),
        component=str(entry["component"]),
        cause=str(entry["cause"]),
        began=float(entry["began"]),
        ended=None if entry["ended"] is None else float(entry["ended"]),
        person_needed=bool(entry["person_needed"]),
        evidence=[str(line) for line in entry["evidence"]],
        steps=steps,
        told=float(entry["told"]),
    )
