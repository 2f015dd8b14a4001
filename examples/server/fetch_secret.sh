#!/bin/sh
# Prints a secret that the server keeps, byte for byte.
#
#   fetch_secret.sh ID
#
# VAULT_SERVER is the address (http://127.0.0.1:9000 without it), VAULT_SERVER_TOKEN_FILE the file with a token that may read.
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: ${0##*/} ID" >&2
    exit 1
fi
case $1 in
    *[!0-9A-Za-z:{}-]*)
        echo "${0##*/}: an id is a UUID" >&2
        exit 1
        ;;
esac
server=${VAULT_SERVER:-http://127.0.0.1:9000}
token=
if [ -n "${VAULT_SERVER_TOKEN_FILE:-}" ]; then
    token=$(cat "$VAULT_SERVER_TOKEN_FILE")
fi

# printf is part of the shell, so that what it prints is in no list of processes.
answer=$(
    {
        [ -z "$token" ] || printf 'header = "Authorization: Bearer %s"\n' "$token"
        printf 'header = "Content-Type: application/json"\n'
        printf 'data = "{\\"secret_id\\":\\"%s\\"}"\n' "$1"
    } | curl --silent --show-error --fail --config - "$server/vault/secret/fetch"
)
case $answer in
    *'"secret"'*) ;;
    *)
        echo "${0##*/}: there is no secret in the answer of $server" >&2
        exit 1
        ;;
esac
printf '%s' "$answer" | sed -n 's/.*"secret" *: *"\([^"]*\)".*/\1/p' | base64 -d
