"""The far side: away, opened with another key, and attacked by the server's own root."""

import json
import secrets
import shlex

import pytest
from backups import FAR_FILES, FAR_SERVER, LOCAL_FILES, PROGRAM, listed, repository
from converged import DIRECTORY
from testinfra.host import Host

KEY = f"{DIRECTORY}/backup/key"
AWAY = f"{LOCAL_FILES}.away"
FORBIDDEN = "403"


def files(host: Host, directory: str) -> set[str]:
    """Return the names and the sums of a repository's files, but for its locks."""
    find = f"find {directory} -type f -not -path '*/locks/*' -print0"
    return set(host.check_output(f"{find} | xargs --null sha256sum").splitlines())


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_far_side_is_away(host: Host, far: Host) -> None:
    """The backup here is taken all the same, and the run says what failed; the next one heals it."""
    here, there = listed(host, "local")[-1], len(listed(host, "remote"))
    far.check_output(f"systemctl stop {FAR_SERVER}")
    try:
        run = host.run(f"{PROGRAM} run")
        failure = repository(host, "remote")["failure"]
        code = host.run(f"{PROGRAM} status").rc
    finally:
        far.check_output(f"systemctl start {FAR_SERVER}")
    print(f"\n{failure}")
    assert run.rc == 1
    assert failure.startswith("the remote repository: ")
    assert failure.endswith("cannot be reached: Connection refused")
    assert failure in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert repository(host, "local")["failure"] == ""
    assert listed(host, "local")[-1]["moment"] > here["moment"]
    assert len(listed(host, "remote")) == there
    assert code == 1
    host.check_output(f"{PROGRAM} run")
    assert repository(host, "remote")["failure"] == ""
    assert len(listed(host, "remote")) == there + 1


@pytest.mark.long
def test_another_key_opens_nothing(host: Host, far: Host) -> None:
    before = files(host, LOCAL_FILES), files(far, FAR_FILES)
    host.check_output(f"cp --archive {KEY} {KEY}.kept && echo {secrets.token_hex(16)} > {KEY}")
    try:
        runs = [host.run(f"{PROGRAM} {command}") for command in ("run", "restore", "make")]
    finally:
        host.check_output(f"mv {KEY}.kept {KEY}")
    for run in runs:
        assert run.rc == 1, run
        assert "wrong password or no key found" in run.stdout + run.stderr
        assert "Traceback" not in run.stderr
    assert (files(host, LOCAL_FILES), files(far, FAR_FILES)) == before
    host.check_output(f"{PROGRAM} run")
    assert repository(host, "local")["failure"] == repository(host, "remote")["failure"] == ""


@pytest.mark.usefixtures("kept")
def test_root_cannot_remove_what_is_elsewhere(host: Host, far: Host) -> None:
    """With all that the server knows. What is here is gone, and the far side has everything.

    That it gives it is seen in test_9_disaster.py.
    """
    before = files(far, FAR_FILES)
    (remote,) = (
        each
        for each in json.loads(host.check_output(f"cat {DIRECTORY}/backup.json"))["repositories"]
        if each["name"] == "remote"
    )
    known = {**remote["environment"], "RESTIC_REPOSITORY": remote["location"], "RESTIC_PASSWORD_FILE": KEY}
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in known.items())
    ids = " ".join(each["id"] for each in listed(host, "remote"))
    for command in (f"forget --prune {ids}", "forget --prune --keep-last 1 --group-by ''"):
        host.run(f"env {environment} restic {command}")
        assert files(far, FAR_FILES) >= before, command
    url = remote["location"].removeprefix("rest:")
    user = shlex.quote(f"{known['RESTIC_REST_USERNAME']}:{known['RESTIC_REST_PASSWORD']}")
    there = far.check_output(f"cd {FAR_FILES}/cleaning && find . -type f -printf '%f %P\\n'").splitlines()
    urls = [
        f"{url}{path if '/' not in path else f'{path.split(chr(47))[0]}/{name}'}"
        for name, path in map(str.split, there)
    ]
    host.check_output(f"rm -rf {AWAY} && mv {LOCAL_FILES} {AWAY}")
    try:
        for method in ("DELETE", "POST --data-binary overwritten"):
            asked = " ".join(f"--output /dev/null {each}" for each in urls if "/locks/" not in each)
            said = host.run(
                f"curl --silent --user {user} --request {method} --write-out '%{{http_code}}\\n' {asked}"
            ).stdout
            print(f"\n{method.split()[0]} of {len(said.split())} files: {sorted(set(said.split()))}")
            assert set(said.split()) == {FORBIDDEN}, said
        host.run(f"curl --silent --user {user} --request DELETE {url}")
        assert files(far, FAR_FILES) >= before
        foretold = host.run(f"{PROGRAM} restore --from history --check")
        assert foretold.rc == 0, foretold
        assert "left out: the local repository" in foretold.stdout
        assert "of the remote repository" in foretold.stdout
        refused = host.run(f"{PROGRAM} run")
        assert refused.rc == 1
        assert "the local repository" in refused.stdout
    finally:
        host.check_output(f"rm -rf {LOCAL_FILES} && mv {AWAY} {LOCAL_FILES}")
