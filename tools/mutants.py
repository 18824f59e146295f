"""Mutation test of one module: changes its code in many small ways, and runs its tests with each change.

Works on a copy in .cache/mutants/MODULE, with Cosmic Ray. Prints the changes that no test detected, and the share of
detected ones. Takes as long as the tests of the module for each change, minutes to hours.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[1]
TIMEOUT = 120.0  # seconds for the tests of one change


def main(names: list[str]) -> int:
    """Test one module; return the exit code."""
    modules = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text())
    if len(names) != 1 or names[0] not in modules:
        print(f"make mutants MODULE={'|'.join(modules)}", file=sys.stderr)
        return 2
    (name,) = names
    module, copy = modules[name], ROOT / ".cache" / "mutants" / name
    copy_project(copy)
    settings = {
        "module-path": module["source"],
        "timeout": TIMEOUT,
        "excluded-modules": [],
        "test-command": f"{sys.executable} -m pytest -q -x -m 'not (docker or alone or long)' {module['tests']}",
    }
    lines = [
        "[cosmic-ray]",
        *(f"{key} = {json.dumps(value)}" for key, value in settings.items()),
        "[cosmic-ray.distributor]",
        'name = "local"',
        # In this code `|` is mostly part of a type annotation.
        "[cosmic-ray.filters.operators-filter]",
        'exclude-operators = ["core/ReplaceBinaryOperator_BitOr_.*"]',
    ]
    (copy / "mutants.toml").write_text("\n".join(lines) + "\n")
    for command in (
        ["cosmic-ray", "--verbosity", "ERROR", "baseline", "mutants.toml"],
        ["cosmic-ray", "init", "mutants.toml", "mutants.sqlite"],
        ["cr-filter-operators", "mutants.sqlite", "mutants.toml"],
        ["cosmic-ray", "exec", "mutants.toml", "mutants.sqlite"],
    ):
        if code := subprocess.run(command, cwd=copy, check=False).returncode:  # our own commands
            return code
    return report(copy)


def copy_project(copy: Path) -> None:
    """Copy the project's files: they are changed in place."""
    shutil.rmtree(copy, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


def report(copy: Path) -> int:
    """Print the changes that no test detected, and the score."""
    dumped = subprocess.run(
        ["cosmic-ray", "dump", "mutants.sqlite"],
        cwd=copy,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    results = [result for _, result in map(json.loads, dumped.splitlines()) if result]
    tested = [result for result in results if result["worker_outcome"] != "skipped"]
    survivors = [result for result in tested if result["test_outcome"] == "survived"]
    for result in survivors:
        print(result["diff"])
    detected = len(tested) - len(survivors)
    print(f"{detected} of {len(tested)} changes detected: {100 * detected / max(1, len(tested)):.0f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
