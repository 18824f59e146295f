"""The configuration, and what is said about a wrong one."""

import json
from pathlib import Path

import pytest
from cleaning_service_monitor import config
from cleaning_service_monitor.config import ConfigError
from cleaning_service_monitor.transport import UnixTarget

from tests.monitor.helpers import component, write_config

REDIS = component("redis", "redis", "montest-redis")
API = component("api", "api", "montest-api", 8001)


def test_a_good_one(tmp_path: Path) -> None:
    loaded = config.load(str(write_config(tmp_path, [REDIS, API], attempts_before_full_restart=2)))
    assert [entry.name for entry in loaded.components] == ["redis", "api"]
    assert loaded.components[0].target is None
    assert loaded.components[1].target is not None
    assert loaded.components[1].target.address == ("127.0.0.1", 8001)
    assert loaded.policy.attempts_before_full_restart == 2
    assert loaded.policy.slow_retry == 600


def test_a_replica_behind_a_socket_file(tmp_path: Path) -> None:
    loaded = config.load(str(write_config(tmp_path, [{**API, "url": "unix:/run/api.sock"}])))
    assert loaded.components[0].target == UnixTarget("/run/api.sock")


@pytest.mark.parametrize(
    ("shown", "grace"),
    [('{"slowest": 2.5}', 45), ('{"slowest": 70}', 210), ('{"slowest": 900}', 600), ("{", 45), ("[]", 45)],
)
def test_a_start_may_take_what_this_host_has_shown(tmp_path: Path, shown: str, grace: float) -> None:
    starts = tmp_path / "releases" / "starts.json"
    starts.parent.mkdir()
    starts.write_text(shown)
    path = write_config(tmp_path, [REDIS, API], start_grace=45)
    assert config.load(str(path)).policy.start_grace == grace


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.PATH_VARIABLE, str(write_config(tmp_path, [REDIS])))
    assert config.load().project == "montest"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"check_intervall": 60}, "unknown key 'check_intervall'"),
        ({"check_interval": "60"}, "check_interval must be a number of seconds from 0.5 to 3600, not '60'"),
        ({"probe_timeout": 11}, "probe_timeout must be a number of seconds from 0.1 to 10, not 11"),
        ({"probe_timeout": True}, "probe_timeout must be a number"),
        ({"restarts_per_hour": 1.5}, "restarts_per_hour must be a whole number from 1 to 120, not 1.5"),
        ({"canary_token": ""}, "canary_token must be a non-empty string"),
        ({"canary_token": "a\r\nHost: x"}, "canary_token must be a non-empty string of printable ASCII"),
        ({"compose_file": "compose.yml"}, "compose_file must be an absolute path, not 'compose.yml'"),
        ({"host": {"backups": "yes"}}, "host.backups must be true or false, not 'yes'"),
        ({"host": {"backup_stamp": "/x"}}, "host has an unknown key 'backup_stamp'"),
        (
            {"host": {"backup_max_age_hours": 0}},
            "host.backup_max_age_hours must be a whole number from 1 to 744, not 0",
        ),
        ({"components": []}, "components must be a list with at least one entry"),
        ({"components": ["api"]}, "components[0] must be a JSON object"),
        ({"components": [REDIS, REDIS]}, "components must have every name only once"),
        ({"components": [{**REDIS, "kind": "db"}]}, "components[0].kind must be one of redis, api, proxy, not 'db'"),
        ({"components": [{**REDIS, "name": "docker"}]}, "components[0].name must not be 'docker'"),
        ({"components": [{**REDIS, "name": "ingress"}]}, "components[0].name must not be 'ingress'"),
        ({"ingress": {"ipv4": "/run/4", "ipv6": "6"}}, "ingress.ipv6 must be an absolute path, not '6'"),
        ({"ingress": {"ipv4": "/run/4"}}, "ingress.ipv6 must be a non-empty string"),
        ({"components": [{**REDIS, "url": "http://127.0.0.1:6379"}]}, "components[0].url must be left out"),
        ({"components": [{**API, "url": "https://127.0.0.1:443"}]}, "components[0].url must look like unix:/absolute"),
        ({"components": [{**API, "url": "http://localhost:80"}]}, "components[0].url must look like unix:/absolute"),
        ({"components": [{**API, "url": "http://127.0.0.1"}]}, "components[0].url must look like unix:/absolute"),
        ({"components": [{**API, "url": "http://127.0.0.1:99999"}]}, "components[0].url must look like unix:/absolute"),
        ({"components": [{**API, "url": "unix:run/api.sock"}]}, "components[0].url must look like unix:/absolute"),
        ({"components": [{**API, "url": "unix:/" + "x" * 107}]}, "components[0].url must look like unix:/absolute"),
        ({"components": [{key: API[key] for key in API if key != "url"}]}, "components[0].url must be a non-empty"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    path = write_config(tmp_path, [REDIS, API])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError) as caught:
        config.load(str(path))
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["compose_file", "project", "docker_socket", "canary_token", "log_file", "state_dir"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = write_config(tmp_path, [REDIS])
    settings = json.loads(path.read_text())
    del settings[key]
    path.write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=key):
        config.load(str(path))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json cannot be read: No such file or directory"):
        config.load(str(tmp_path / "absent.json"))


@pytest.mark.parametrize("text", ["{", "\x00", ""])
def test_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "monitor.json").write_text(text)
    with pytest.raises(ConfigError, match="is not valid JSON"):
        config.load(str(tmp_path / "monitor.json"))


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "monitor.json").write_text(text)
    with pytest.raises(ConfigError, match="must be a JSON object"):
        config.load(str(tmp_path / "monitor.json"))
