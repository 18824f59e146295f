"""What the status page draws: how quickly the service answered in the last day, and on which days it was watched."""

import time
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Protocol

from cleaning_service_monitor.ladder import DAY

BUCKET = 300  # seconds
DAYS = 90
_SAMPLES = 60  # of one bucket that are kept for its median
_MILLISECONDS = 1000.0


class Downtime(Protocol):
    """A time in which a component, or a service, did not work; in seconds since the epoch, `ended` None: not over."""

    @property
    def component(self) -> str:
        """Its name."""

    @property
    def began(self) -> float:
        """When it began."""

    @property
    def ended(self) -> float | None:
        """When it ended."""


class _Series:
    """Buckets of one kind of time, oldest first: begin, median and worst in milliseconds."""

    def __init__(self) -> None:
        self.buckets: list[list[float]] = []
        self._samples: list[float] = []

    def add(self, now: float, seconds: float) -> None:
        begin = float(int(now // BUCKET) * BUCKET)
        value = round(seconds * _MILLISECONDS, 1)
        if not self.buckets or self.buckets[-1][0] != begin:
            self.buckets.append([begin, value, value])
            self._samples = []
        self._samples = [*self._samples[1 - _SAMPLES :], value]
        last = self.buckets[-1]
        last[1], last[2] = round(median(self._samples), 1), max(last[2], value)
        self.trim(now)

    def trim(self, now: float) -> None:
        self.buckets = [bucket for bucket in self.buckets if now - DAY < bucket[0] <= now]


class History:
    """Times and days; bounded in size. Moments are in seconds since the epoch."""

    def __init__(self) -> None:
        self._series = {"response": _Series(), "registration": _Series()}
        self._watched: list[str] = []  # days, oldest first

    def record(self, now: float, response: float | None, registration: float | None) -> None:
        """Take in how many seconds an answer and a registration took; None: not measured."""
        for name, seconds in (("response", response), ("registration", registration)):
            if seconds is not None:
                self._series[name].add(now, seconds)

    def mark_watched(self, now: float) -> None:
        """Note that somebody looked on this day."""
        day = _day(now)
        if self._watched[-1:] != [day]:
            self._watched = [*(known for known in self._watched if known != day), day][-DAYS:]

    def response(self, now: float) -> list[list[float]]:
        """Buckets of 5 minutes of the last 24 hours: begin, median ms, worst ms of the proxy's answer."""
        return self._recent("response", now)

    def registration(self, now: float) -> list[list[float]]:
        """The same of the registration canary."""
        return self._recent("registration", now)

    def days(self, now: float, incidents: Iterable[Downtime], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Seconds of incidents of each of `names` on each of the last 90 UTC days; None where nobody watched."""
        begins = [int(now // DAY) * DAY - number * DAY for number in range(DAYS - 1, -1, -1)]
        watched = {*self._watched, _day(now)}
        down = {name: [0.0] * DAYS for name in names}
        for incident in incidents:
            seconds = down.get(incident.component)
            if seconds is None:
                continue
            began, ended = incident.began, min(incident.ended or now, now)
            for number, begin in enumerate(begins):
                seconds[number] += max(0.0, min(ended, begin + DAY) - max(began, begin))
        labels = [_day(begin) for begin in begins]
        return {
            name: [
                {"day": label, "down": round(seconds, 1) if label in watched else None}
                for label, seconds in zip(labels, down[name], strict=True)
            ]
            for name in names
        }

    def dump(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        series = {name: found.buckets for name, found in self._series.items()}
        return {"watched": self._watched, "series": series}

    def restore(self, saved: object) -> None:
        """Take up what `dump` returned.

        Raises:
            ValueError: it is not what `dump` returns; nothing was taken up.
        """
        try:
            watched = [_checked_day(day) for day in saved["watched"]]  # type: ignore[index]
            series = {
                name: [[float(begin), float(middle), float(worst)] for begin, middle, worst in saved["series"][name]]  # type: ignore[index]
                for name in self._series
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError("the saved history is not readable") from error
        self._watched = watched[-DAYS:]
        for name, buckets in series.items():
            self._series[name].buckets = buckets

    def _recent(self, name: str, now: float) -> list[list[float]]:
        self._series[name].trim(now)
        return self._series[name].buckets


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _checked_day(day: object) -> str:
    time.strptime(str(day), "%Y-%m-%d")
    return str(day)
