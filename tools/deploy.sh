#!/usr/bin/env bash
# Releases the checkout to the hosts of inventory/$INVENTORY. In a CI pipeline, SSH_KEY, SSH_KNOWN_HOSTS and VAULT_PASSWORD replace the
# SSH agent and the files of a developer's machine.
set -euo pipefail
cd "$(dirname "$0")/.."

inventory=inventory/${INVENTORY:?name a directory below inventory/}
[ -d "$inventory" ] || { echo "There is no $inventory; there are: $(cd inventory && echo *)" >&2; exit 2; }
secrets=$(mktemp -d)
trap 'rm -rf "$secrets"; [ -z "${STARTED_SSH_AGENT:-}" ] || ssh-agent -k >/dev/null' EXIT

if [ -n "${SSH_KEY:-}" ] && [ -z "${SSH_KNOWN_HOSTS:-}" ]; then
    echo "SSH_KNOWN_HOSTS is empty: set it to the servers' lines of known_hosts, so that their identity can be verified." >&2
    exit 2
fi
arguments=(--inventory "$inventory")
if [ -n "${SSH_KEY:-}" ]; then
    eval "$(ssh-agent -s)" >/dev/null
    STARTED_SSH_AGENT=yes
    ssh-add -q - <<<"$SSH_KEY"
fi
if [ -n "${SSH_KNOWN_HOSTS:-}" ]; then
    printf '%s\n' "$SSH_KNOWN_HOSTS" >"$secrets/known_hosts"
    arguments+=(--ssh-common-args "-o UserKnownHostsFile=$secrets/known_hosts")
fi
if [ -n "${VAULT_PASSWORD:-}" ]; then
    (umask 077; printf '%s\n' "$VAULT_PASSWORD" >"$secrets/vault")
    arguments+=(--vault-password-file "$secrets/vault")
fi
ansible-playbook "${arguments[@]}" playbooks/deploy.yml
