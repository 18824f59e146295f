"""The command line for people and for the playbook; and what the service runs beside itself."""

import argparse
import contextlib
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleaning_service_monitor import config as configuration
from cleaning_service_monitor.cleanup import clean_up
from cleaning_service_monitor.config import Config, ConfigError
from cleaning_service_monitor.docker import Engine
from cleaning_service_monitor.hostchecks import HostChecker, certificate_end
from cleaning_service_monitor.incidents import Incident, Incidents
from cleaning_service_monitor.ingress import ask_by_tls
from cleaning_service_monitor.ladder import Health
from cleaning_service_monitor.monitor import AlreadyRunningError, Monitor
from cleaning_service_monitor.probes import Prober
from cleaning_service_monitor.state import MAX_PAUSE, Maintenance, Pause, RunLock, StateFile

OK, SICK, TROUBLE, NOT_RUNNING = 0, 1, 2, 3
_NOT_RUNNING_LINE = "The monitor does not run. Start it: systemctl start cleaning-service-monitor.service"
_MOST = 500  # incidents that are kept
_UNITS = {"s": 1, "m": 60, "h": 3600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 all is well; 1 something is sick; 2 the command cannot be carried out; 3 the monitor does not run.
    """
    options = _parser().parse_args(arguments)
    try:
        config = configuration.load(getattr(options, "file", None) or options.config)
        return int(options.command(config, options))
    except (ConfigError, AlreadyRunningError) as error:
        return _fail(str(error))
    except OSError as error:
        hint = "; run this as root" if isinstance(error, PermissionError) else ""
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}{hint}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cleaning-service-monitor",
        description="Heals the booking API's stack.",
        epilog="Exit code: 0 all is well; 1 something is sick; 2 cannot be carried out; 3 the monitor does not run.",
    )
    parser.add_argument("--config", metavar="FILE", help=f"default: {configuration.DEFAULT_PATH}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="watch and heal until stopped (what the service does)")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="look at everything now and cure nothing")
    check.add_argument("--once", action="store_true", required=True, help="one full check, then end")
    check.set_defaults(command=_check)
    status = commands.add_parser("status", help="what the running monitor knows")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(command=_status)
    history = commands.add_parser("history", help="the incidents of the last 90 days, newest first")
    history.add_argument("--limit", metavar="N", type=_positive, default=20, help="how many (default: 20)")
    history.add_argument("--json", action="store_true", help="for programs, with the log lines of each")
    history.set_defaults(command=_history)
    pause = commands.add_parser("pause", help="cure nothing for some time, during maintenance")
    pause.add_argument("seconds", metavar="TIME", type=_duration, help="for example 90s, 30m or 2h; at most 24h")
    pause.add_argument("--reason", metavar="TEXT", default="not given", help="shown in the log and by status")
    pause.add_argument("--at-least", action="store_true", help="leave a pause as it is that ends later")
    pause.add_argument("--wait", metavar="TIME", type=_duration, help="until no cure is at work any more, at most")
    pause.set_defaults(command=_pause)
    resume = commands.add_parser("resume", help="end a pause before its time")
    resume.add_argument("--reason", metavar="TEXT", help="end only the pause that began for this reason")
    resume.set_defaults(command=_resume)
    check_config = commands.add_parser("check-config", help="whether a configuration can be used, and why not")
    check_config.add_argument("file", metavar="FILE")
    check_config.set_defaults(command=_check_config)
    test = commands.add_parser("test-alert", help="send a test message through every channel, now")
    test.set_defaults(command=_test_alert)
    certificate = commands.add_parser("certificate", help="until when this host's certificate is good")
    certificate.set_defaults(command=_certificate)
    # What the service runs in processes of their own; not for people.
    deliver = commands.add_parser("deliver")
    deliver.add_argument("channels", metavar="CHANNEL", nargs="*")
    deliver.set_defaults(command=_deliver)
    commands.add_parser("clean-up").set_defaults(command=_clean_up)
    read = commands.add_parser("read-certificate")
    read.add_argument("name")
    read.add_argument("port", type=int)
    read.set_defaults(command=_read_certificate)
    commands.add_parser("ask-by-tls").set_defaults(command=_ask_by_tls)
    return parser


def _run(config: Config, _options: argparse.Namespace) -> int:
    Monitor(config).run()
    return OK


def _check(config: Config, _options: argparse.Namespace) -> int:
    host = HostChecker(config)
    try:
        verdicts = [*Prober(config, Engine(config.docker_socket)).look(full=True).verdicts, *host.look()]
    finally:
        host.close()
    for verdict in verdicts:
        _say(f"{verdict.component:<12} {verdict.health.value:<9} {verdict.cause}".rstrip())
    return OK if all(verdict.health is Health.OK for verdict in verdicts) else SICK


def _check_config(config: Config, _options: argparse.Namespace) -> int:
    if unusable := _unknown_to_apprise(config):
        return _fail(f"{config.path}: {unusable}")
    _say(f"{config.path} can be used.")
    return OK


def _unknown_to_apprise(config: Config) -> str:
    """Have Apprise read its URLs; returns a sentence about the first that it does not know."""
    for channel in (each for each in config.alerts.channels if each.kind == "apprise"):
        from cleaning_service_monitor.alerts import channels  # noqa: PLC0415  # brings Apprise along

        try:
            known = channels.apprise_target(channel.url)
        except ModuleNotFoundError:
            return f"{channel.name} needs the package apprise."
        if not known:
            return f"{channel.name} is no URL that Apprise knows: see monitor_alert_urls."
    return ""


def _status(config: Config, options: argparse.Namespace) -> int:
    report = _report(config)
    if options.json:
        _say(json.dumps(report, indent=2))
    else:
        for line in _as_lines(report):
            _say(line)
    if not report["running"]:
        return NOT_RUNNING
    return OK if report["healthy"] else SICK


def _report(config: Config) -> dict[str, Any]:
    """Collect what is known. `running` needs fresh news too: a frozen monitor still holds its lock."""
    try:
        state = StateFile(config.state_dir).load()
        components, updated = dict(state.get("components", {})), float(state.get("updated", 0))
        healthy = bool(components) and all(entry["health"] == Health.OK.value for entry in components.values())
    except (ValueError, TypeError, KeyError):
        components, updated, healthy = {}, 0.0, False
    # One interval is due, one may pass while a cure is at work; the rest is for the longest cure.
    fresh = time.time() - updated < 2 * config.check_interval + 300
    pause = Maintenance(config.state_dir).current()
    return {
        "running": fresh and _held(config.state_dir),
        "healthy": healthy,
        "updated": updated,
        "paused": asdict(pause) if pause else None,
        "components": components,
    }


def _held(directory: Path) -> bool:
    lock = RunLock(directory)
    try:
        return not lock.acquire()
    except FileNotFoundError:
        return False  # it has never run here
    finally:
        lock.release()


def _as_lines(report: dict[str, Any]) -> list[str]:
    lines = [] if report["running"] else [_NOT_RUNNING_LINE]
    if pause := report["paused"]:
        lines.append(f"Paused until {_local(pause['until'])}: {pause['reason']}")
    for name, entry in report["components"].items():
        person = "a person is needed; " if entry["person_needed"] else ""
        since = f" (since {_local(entry['unwell_since'])})" if entry["unwell_since"] else ""
        lines.append(f"{name:<12} {entry['health']:<9} {person}{entry['cause']}{since}".rstrip())
    if report["updated"]:
        lines.append(f"As of {_local(report['updated'])}.")
    return lines


def _history(config: Config, options: argparse.Namespace) -> int:
    incidents = Incidents()
    try:
        incidents.restore(StateFile(config.state_dir).load().get("incidents", []))
    except ValueError as error:
        return _fail(f"the monitor's memory is damaged ({error}); the log has the story: {config.log_file}")
    newest = incidents.newest(options.limit)
    if options.json:
        _say(json.dumps([asdict(incident) for incident in newest], indent=2))
        return OK
    if not newest:
        _say("No incident in the last 90 days.")
    for incident in newest:
        for line in _story(incident):
            _say(line)
    return OK


def _story(incident: Incident) -> list[str]:
    if incident.ended is None:
        lasted = "a person is needed" if incident.person_needed else "goes on"
    else:
        lasted = f"{incident.ended - incident.began:.0f} s"
    lines = [f"{_local(incident.began)}  {incident.component:<12} {lasted}: {incident.cause}"]
    for step in incident.steps:
        outcome = {True: "done", False: "failed", None: "at work"}[step.succeeded]
        lines.append(f"    {_local(step.at)}  {step.action}, {step.attempt}: {outcome}, {step.detail}".rstrip(", "))
    return lines


def _test_alert(config: Config, _options: argparse.Namespace) -> int:
    from cleaning_service_monitor.alerts import child  # noqa: PLC0415  # brings TLS and mail along

    errors = child.send_test(config.alerts)
    if not errors:
        return _fail("no channel for alerts is set: see monitor_alert_* in docs/operations.md")
    for name, error in errors.items():
        _say(f"{name:<12} not sent {error}" if error else f"{name:<12} sent")
    return SICK if any(errors.values()) else OK


def _deliver(config: Config, options: argparse.Namespace) -> int:
    from cleaning_service_monitor.alerts import child  # noqa: PLC0415  # brings TLS and mail along

    return child.run(config.alerts, config.spool, options.channels)


def _clean_up(config: Config, _options: argparse.Namespace) -> int:
    for line in clean_up(config, Engine(config.docker_socket)):
        _say(line)
    return OK


def _certificate(config: Config, _options: argparse.Namespace) -> int:
    name = config.host.certificate_name
    if not name:
        _say("no certificate is looked at: the service has no domain, or monitor_certificate_name is empty")
        return OK
    try:
        end = certificate_end(name, config.host.certificate_port)
    except OSError as error:
        _say(f"{name}: {error}")
        return SICK
    _say(f"{name}: good until {_local(end)}")
    return OK


def _read_certificate(_config: Config, options: argparse.Namespace) -> int:
    try:
        _say(f"{certificate_end(options.name, options.port):.0f}")
    except OSError as error:
        return _fail(str(error))
    return OK


def _ask_by_tls(config: Config, _options: argparse.Namespace) -> int:
    if config.ingress is None:
        return _fail("the configuration has no ingress")
    status, body = ask_by_tls(config.ingress, config.probe_timeout)
    _say(f"{status} {body.decode('utf-8', 'replace')}")
    return OK


def _pause(config: Config, options: argparse.Namespace) -> int:
    pause = Maintenance(config.state_dir).begin(options.seconds, options.reason, at_least=options.at_least)
    if options.wait and not _heeded(config.state_dir, pause, options.wait):
        return _fail(f"paused, but a cure has not ended within {options.wait:g} s")
    _say(f"Paused until {_local(pause.until)}. End it earlier with: cleaning-service-monitor resume")
    return OK


def _heeded(directory: Path, pause: Pause, seconds: float) -> bool:
    """Wait until the monitor, if it runs, knows of the pause, which it reads between two cures; say whether it does."""
    deadline = time.monotonic() + seconds
    while _held(directory):
        with contextlib.suppress(OSError, ValueError):
            if StateFile(directory).load().get("paused") == asdict(pause):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True


def _resume(config: Config, options: argparse.Namespace) -> int:
    ended = Maintenance(config.state_dir).end(options.reason)
    _say("Resumed." if ended else "There was no such pause." if options.reason else "There was no pause.")
    return OK


def _positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST}")
    return int(text)


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+)([smh])", text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= MAX_PAUSE:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m or 2h, of at most 24h")
    return seconds


def _local(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _fail(sentence: str) -> int:
    sys.stderr.write(f"cleaning-service-monitor: {sentence}\n")
    return TROUBLE
