#!/bin/sh
# Writes new random secrets for compose.yaml into the folder secrets/, or into the one that is named.
# It changes nothing that exists. The folder is for its owner only; its files are readable, because the users inside
# the containers have other numbers.
set -eu
cd "$(dirname "$0")"
folder=${1:-secrets}
if [ -e "$folder" ]; then
    echo "$folder exists; move it away for new secrets" >&2
    exit 1
fi
umask 077
mkdir -p "$folder"

# random BYTES: that many random bytes in hexadecimal.
random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
# secret NAME: writes standard input.
secret() {
    cat >"$folder/$1"
    chmod 444 "$folder/$1"
}

broker=$(random 16) ledger=$(random 16) key=$(random 10) secret_key=$(random 20) edge=$(random 16) dashboard=$(random 16)

echo "amqp://telecine:$broker@rabbitmq:5672/%2F" | secret broker-url
printf 'default_user = telecine\ndefault_pass = %s\n' "$broker" | secret rabbitmq.conf
echo "postgresql://telecine:$ledger@postgres:5432/telecine" | secret ledger-url
printf '%s' "$ledger" | secret postgres-password
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$key" "$secret_key" | secret aws-credentials
printf '{"identities": [{"name": "telecine", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "%s", "secretKey": "%s"}]}]}\n' "$key" "$secret_key" | secret s3.json
printf '{"default": ["whsec_%s"]}\n' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" | secret callback-secrets
printf '%s' "$edge" | secret edge-token
printf '{"default": ["%s"]}\n' "$edge" | secret edge-tokens
printf '%s' "$dashboard" | secret dashboard-token
printf '{"operator": {"token": "%s", "may_act": true}}\n' "$dashboard" | secret dashboard-tokens
random 16 | secret grafana-password
