"""The child process: delivers what waits for some channels, each in a thread of its own, and ends."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from cleaning_service_monitor.alerts import channels
from cleaning_service_monitor.alerts.channels import DeliveryError
from cleaning_service_monitor.alerts.settings import HEARTBEAT, AlertSettings, Channel
from cleaning_service_monitor.alerts.spool import Spool
from cleaning_service_monitor.messages import REMINDER, RESOLVED, TEST, Message, compose

DEADLINE = 20.0  # seconds; a delivery that has not ended by then has failed, however much the server answers
_LAST_START = 10.0  # seconds after which no further delivery begins


def run(settings: AlertSettings, spool: Spool, labels: Collection[str]) -> int:
    """Deliver on the channels with these labels: the command `deliver`, of which `Delivery` reads the output."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    due = [channel for channel in settings.channels if channel.label in labels]
    jobs = {channel.label: partial(_serve, channel, settings.host, spool, stop) for channel in due}
    for label, error in _in_parallel(jobs).items():
        _report("end", label, cause=str(error or ""))
    return 0


def send_test(settings: AlertSettings) -> dict[str, DeliveryError | None]:
    """Send a test message on each channel, and the heartbeat, past the spool; returns what failed, by channel."""
    message = compose(TEST, {}, settings.host, time.time())
    return _in_parallel({each.name: partial(channels.send, each, message, settings.host) for each in settings.channels})


def _in_parallel(jobs: Mapping[str, Callable[[], object]]) -> dict[str, DeliveryError | None]:
    """Run each job in a thread of its own; returns how each has failed by the deadline."""
    errors: dict[str, DeliveryError | None] = {name: DeliveryError(f"no answer within {DEADLINE:g} s") for name in jobs}

    def work(name: str, job: Callable[[], object]) -> None:
        try:
            job()
            errors[name] = None
        except DeliveryError as error:
            errors[name] = error
        except Exception as error:  # noqa: BLE001 - one channel must not take the others with it
            errors[name] = DeliveryError(type(error).__name__)  # its text may hold a secret

    deadline = time.monotonic() + DEADLINE
    threads = [threading.Thread(target=work, args=each, daemon=True) for each in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(errors)


def _serve(channel: Channel, host: str, spool: Spool, stop: threading.Event) -> None:
    """Deliver a channel's queue in its order; a message that is refused holds up its own incident only."""
    if channel.kind == HEARTBEAT:
        channels.send(channel, {}, host)
    last_start = time.monotonic() + _LAST_START
    refusals: dict[str, DeliveryError] = {}
    for path, message in _queue(channel.label, spool):
        incident = message["incident"] or message["id"]
        if stop.is_set() or time.monotonic() > last_start:
            break
        if incident in refusals:
            continue
        try:
            remark = channels.send(channel, message, host)
        except DeliveryError as error:
            if not error.refused:
                raise
            refusals[incident] = error
        else:
            spool.remove([path])
            about = {"component": message["component"], "id": message["id"], "cause": remark}
            _report("alert-delivered", channel.label, **about)
    if refusals:
        raise next(iter(refusals.values()))


def _queue(channel: str, spool: Spool) -> Iterator[tuple[Path, Message]]:
    """Return the messages to deliver: without damaged ones, and reminders before a later message of their incident."""
    later, kept = set(), []
    for path, message in reversed(spool.read(channel)):
        if message is None:
            _report("alert-damaged", channel, file=path.name)
        elif message["kind"] != REMINDER or message["incident"] not in later:
            later |= {message["incident"]} if message["kind"] in (REMINDER, RESOLVED) else set()
            kept.append((path, message))
            continue
        spool.remove([path])
    return reversed(kept)


def _report(event: str, channel: str, **details: str) -> None:
    sys.stdout.write(json.dumps({"event": event, "channel": channel, **details}) + "\n")  # in one call: threads write
    sys.stdout.flush()
