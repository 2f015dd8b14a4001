#!/bin/sh
# Stores a secret with the server, and prints the id that it is known by.
#
#   create_secret.sh FILE      - is standard input
#
# VAULT_SERVER is the address (http://127.0.0.1:9000 without it), VAULT_SERVER_TOKEN_FILE the file with a token that may write. Neither the secret nor
# the token is ever an argument of a program: those are for all users of the machine to see.
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: ${0##*/} FILE   (- for standard input)" >&2
    exit 1
fi
server=${VAULT_SERVER:-http://127.0.0.1:9000}
if [ "$1" = - ]; then
    secret=$(base64 | tr -d '\n')
else
    secret=$(base64 < "$1" | tr -d '\n')
fi
token=
if [ -n "${VAULT_SERVER_TOKEN_FILE:-}" ]; then
    token=$(cat "$VAULT_SERVER_TOKEN_FILE")
fi

# printf is part of the shell, so that what it prints is in no list of processes.
answer=$(
    {
        [ -z "$token" ] || printf 'header = "Authorization: Bearer %s"\n' "$token"
        printf 'header = "Content-Type: application/json"\n'
        printf 'data = "{\\"secret\\":\\"%s\\"}"\n' "$secret"
    } | curl --silent --show-error --fail --config - "$server/vault/secret/create/"
)
id=$(printf '%s' "$answer" | sed -n 's/.*"secret_id" *: *"\([^"]*\)".*/\1/p')
if [ -z "$id" ]; then
    echo "${0##*/}: there is no id in the answer of $server" >&2
    exit 1
fi
printf '%s\n' "$id"
