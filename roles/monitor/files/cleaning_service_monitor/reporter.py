"""Tells the story: incidents, alerts, and what is published for the status page.

Nothing in here may stop the monitor: what cannot be written or sent is logged once and tried again.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from cleaning_service_host.files import write_text_atomically

from cleaning_service_monitor import backups, messages, metrics, page, services
from cleaning_service_monitor.alerts.delivery import Delivery
from cleaning_service_monitor.backups import BACKUP
from cleaning_service_monitor.config import Config
from cleaning_service_monitor.cures import Outcome
from cleaning_service_monitor.eventlog import EventLog, Level, Note
from cleaning_service_monitor.history import History
from cleaning_service_monitor.incidents import Incident, Incidents, Step
from cleaning_service_monitor.ingress import NO_ENTRY
from cleaning_service_monitor.ladder import DOCKER, INGRESS, Action, Cure, Health, Track
from cleaning_service_monitor.probes import Look
from cleaning_service_monitor.state import Pause

_PUBLIC_INCIDENTS = 50
_MODE = 0o644
_SERVICE = "Cleaning service"


class Reporter:
    """Keeps the incidents and tells of them.

    Args:
        config: the settings.
        log: for what a person reads on the host.
        evidence: returns the last lines of a component's log.
        known_of_backups: returns what everybody may know of each backup; None where there are none to look at.
    """

    def __init__(
        self,
        config: Config,
        log: EventLog,
        evidence: Callable[[str], list[str]],
        known_of_backups: Callable[[], list[dict[str, Any]] | None] = lambda: None,
    ) -> None:
        self._config = config
        self._log = log
        self._evidence = evidence
        self._known_of_backups = known_of_backups
        self._settings = config.alerts
        self._incidents = Incidents()
        self._history = History()
        command = [sys.executable, "-m", "cleaning_service_monitor", "--config", config.path, "deliver"]
        self._delivery = Delivery(command, config.spool, self._settings)
        self._kinds = {component.name: component.kind for component in config.components} | {
            name: name for name in (DOCKER, INGRESS)
        }
        self._counters: dict[str, float] = {}
        self._directory = config.directory / "status"
        self._publishing_works = True
        self._next_publication = 0.0
        self._next_heartbeat = 0.0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `dump` returned.

        Raises:
            ValueError: part of it is damaged; what comes before that part was taken up.
        """
        counters = state.get("counters")
        if isinstance(counters, dict):
            self._counters = {
                str(key): float(value) for key, value in counters.items() if isinstance(value, int | float)
            }
        self._history.restore(state.get("history", History().dump()))
        self._incidents.restore(state.get("incidents", []))

    def dump(self) -> dict[str, object]:
        """Return what must survive a restart of the monitor, ready for JSON."""
        return {
            "incidents": self._incidents.dump(),
            "history": self._history.dump(),
            "counters": self._counters,
        }

    def has_incident(self, component: str) -> bool:
        """Whether the component has an open incident."""
        return self._incidents.current(component) is not None

    def found(self, component: str, cause: str, began: float, now: float, step: Step | None = None) -> Incident:
        """Begin an incident, unless the component has one, and tell of it.

        Args:
            component: whose fault it is.
            cause: the finding.
            began: when, in seconds since the epoch; `now` too.
            now: the present.
            step: the cure that begins with it.
        """
        known = self._incidents.current(component)
        incident = known or self._incidents.open(component, cause, began, self._evidence(component))
        if step:
            self._incidents.step(incident, step)
        if known is None:
            self._count("incidents", component)
            self._log.event(Level.WARNING, component, "incident-opened", id=incident.id, cause=cause)
            self._alert("problem", incident, now)
        elif component == BACKUP and backups.has_news(cause, known.cause):
            # One component, several faults: another one must not wait unseen until the first is over.
            known.cause = cause
            self._log.event(Level.WARNING, component, "incident-grown", id=known.id, cause=cause)
            self._alert("reminder", known, now)
        return incident

    def cured_by_docker(self, incident: Incident, at: float) -> None:
        """Note that Docker's own restart policy was faster than the monitor."""
        self._incidents.step(incident, Step(at, "restart", "by Docker", succeeded=True, detail="Docker restarts it"))

    def cure_begun(self, cure: Cure, began: float, now: float) -> Step:
        """Note a cure before it is at work, so that its alert is on its way whatever becomes of the host."""
        step = Step(now, cure.action.value, cure.attempt)
        self.found(cure.component, cure.cause, began, now, step)
        if cure.action is not Action.RESTART:  # the larger steps take their time, which nobody should wait for
            self._send(now)
        return step

    def cure_ended(self, cure: Cure, step: Step, outcome: Outcome) -> None:
        """Note how a cure went."""
        step.succeeded, step.detail = outcome.succeeded, outcome.detail
        self._count("cures", cure.component, cure.action.value, "done" if outcome.succeeded else "failed")

    def person_needed(self, component: str, cause: str, began: float, now: float) -> None:
        """Tell that the ladder has come to its end."""
        incident = self.found(component, cause, began, now)
        if not incident.person_needed:
            incident.person_needed = True
            self._alert("person-needed", incident, now)

    def told_of(self, look: Look, now: float) -> None:
        """Take in how quickly the service answered."""
        self._history.mark_watched(now)
        if look.response is not None or look.registration is not None:
            self._history.record(now, look.response, look.registration)

    def proceed(self, now: float, tracks: Mapping[str, Track], pause: Pause | None) -> bool:
        """Settle, remind, send and publish what is due; returns whether an incident is over."""
        well_since = {name: track.since if track.health is Health.OK else None for name, track in tracks.items()}
        over = self._incidents.settle(now, well_since)
        for incident in over:
            seconds = f"{(incident.ended or now) - incident.began:.1f}"
            self._log.event(
                Level.INFO,
                incident.component,
                "incident-resolved",
                id=incident.id,
                cause=incident.cause,
                seconds=seconds,
            )
            self._alert("resolved", incident, now)
        for incident in self._incidents.current_ones():
            if now - incident.told >= self._settings.reminder_interval:
                if incident.component == BACKUP and (cause := tracks[BACKUP].cause):
                    incident.cause = cause  # of several faults, those that are left
                self._alert("reminder", incident, now)
        self._incidents.prune(now)
        self._send(now)
        if over or now >= self._next_publication:
            self.publish(now, tracks, pause)
        return bool(over)

    def publish(self, now: float, tracks: Mapping[str, Track], pause: Pause | None) -> None:
        """Write the status page and what else others read."""
        self._next_publication = now + self._config.check_interval
        try:
            self._write(now, tracks, pause)
            self._publishing_works = True
        except Exception as error:  # noqa: BLE001  # a page that cannot be drawn must not stop a cure
            if self._publishing_works:
                self._publishing_works = False
                self._log.event(Level.ERROR, "monitor", "status-not-published", cause=repr(error))

    def _write(self, now: float, tracks: Mapping[str, Track], pause: Pause | None) -> None:
        status = self._status(now, tracks, pause)
        texts = {
            "status.json": json.dumps(status),
            "index.html": page.render(status, "en"),
            "index.ru.html": page.render(status, "ru"),
            "metrics.prom": metrics.render(status, self._counters),
        }
        for name, text in texts.items():
            write_text_atomically(self._directory / name, text, mode=_MODE)
        maintenance = self._directory / "maintenance"
        if pause:
            maintenance.touch(_MODE)
        else:
            maintenance.unlink(missing_ok=True)

    def close(self) -> None:
        """End what runs beside the loop; what was not sent waits in the spool."""
        self._log_notes(self._delivery.close())

    def _status(self, now: float, tracks: Mapping[str, Track], pause: Pause | None) -> dict[str, Any]:
        """What the public may know: no evidence, no settings."""
        incidents = [asdict(incident) for incident in self._incidents.newest(_PUBLIC_INCIDENTS)]
        for incident in incidents:
            del incident["evidence"], incident["told"]
            if incident["component"] == BACKUP:
                incident["cause"] = backups.published(incident["cause"])
        names = list(tracks)
        return {
            "version": 1,
            "updated": time.time(),
            "check_interval": self._config.check_interval,
            "service": _SERVICE,
            "state": self._state(tracks, pause),
            "paused": {"until": pause.until, "reason": pause.reason} if pause else None,
            "components": [
                {
                    "name": name,
                    "kind": self._kinds.get(name, "host"),
                    "health": track.health.value,
                    "since": track.since,
                    "person_needed": track.person_needed,
                }
                for name, track in tracks.items()
            ],
            "services": self._services(now, tracks),
            "backups": self._known_of_backups(),
            "incidents": incidents,
            "days": self._history.days(now, self._incidents.every(), names),
            "response": self._history.response(now),
            "registration": self._history.registration(now),
        }

    def _services(self, now: float, tracks: Mapping[str, Track]) -> list[dict[str, Any]]:
        outages = services.outages(self._incidents.every(), self._kinds, now)
        days = self._history.days(now, outages, services.names(self._kinds))
        return [{**service, "days": days[service["name"]]} for service in services.current(tracks, self._kinds)]

    def _state(self, tracks: Mapping[str, Track], pause: Pause | None) -> str:
        if pause:
            return "maintenance"
        if INGRESS in tracks and tracks[INGRESS].cause.startswith(NO_ENTRY):
            return "outage"
        for kind in ("api", "proxy"):
            ours = [track for name, track in tracks.items() if self._kinds.get(name) == kind]
            if ours and not any(track.health.well for track in ours):
                return "outage"
        return "ok" if all(track.health is Health.OK for track in tracks.values()) else "degraded"

    def _alert(self, kind: str, incident: Incident, now: float) -> None:
        incident.told = now
        self._delivery.send(messages.compose(kind, asdict(incident), self._settings.host, now))

    def _send(self, now: float) -> None:
        due = now >= self._next_heartbeat
        if due:
            self._next_heartbeat = now + self._config.check_interval
        self._log_notes(self._delivery.poll(now, heartbeat_due=due))

    def _log_notes(self, notes: Iterable[Note]) -> None:
        for note in notes:
            self._log.event(note.level, note.component, note.name, **note.details)

    def _count(self, *labels: str) -> None:
        key = " ".join(labels)
        self._counters[key] = self._counters.get(key, 0.0) + 1
