#!/bin/sh
# Walks through what a user of the server does: register, sign in, turn the second factor on, keep something, change it, remove it.
#
# URL: where the server is. OUTBOX: the directory of `vault serve --mail-outbox`, where the code is read that others read in their mail.
# Needs curl. Ends with 0 if every answer is the expected one.
set -eu
url=${URL:-http://127.0.0.1:9000}
outbox=${OUTBOX:?the directory of --mail-outbox}
user=${1:-testuser}
password='StrongP@ssw0rd1!'

fail() { echo "$1" >&2; exit 1; }
# METHOD PATH BODY [HEADER]: the body of the answer.
ask() { curl -sS -X "$1" "$url$2" -H 'Content-Type: application/json' ${4:+-H "$4"} ${3:+-d "$3"}; }
# ANSWER FIELD: its text.
field() { printf %s "$1" | sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p"; }
expect() { [ "$1" = "$2" ] || fail "expected $2, and got $1"; }

expect "$(ask POST /register "{\"username\":\"$user\",\"email\":\"$user@example.com\",\"password\":\"$password\"}")" \
    '{"message":"User registered successfully"}'
expect "$(ask POST /register "{\"username\":\"$user\",\"email\":\"$user@example.com\",\"password\":\"$password\"}")" \
    '{"detail":"Username already exists"}'
expect "$(ask POST /login "{\"username\":\"$user\",\"password\":\"wrong\"}")" '{"detail":"Invalid username or password"}'
token=$(field "$(ask POST /login "{\"username\":\"$user\",\"password\":\"$password\"}")" access_token)
[ -n "$token" ] || fail 'there is no session'

expect "$(ask POST /send-otp "{\"username\":\"$user\"}")" '{"message":"OTP sent to your email"}'
code=
for _ in $(seq 100); do
    code=$(cat "$outbox"/*.eml 2>/dev/null | sed -n 's/.*Your OTP code is: \([0-9]\{6\}\).*/\1/p' | tail -n 1)
    [ -z "$code" ] || break
    sleep 0.1
done
token=$(field "$(ask POST /verify-otp "{\"username\":\"$user\",\"otp\":\"$code\"}")" access_token)
[ -n "$token" ] || fail 'the code did not hold'
auth="Authorization: Bearer $token"
expect "$(ask POST /login "{\"username\":\"$user\",\"password\":\"$password\"}")" \
    "{\"message\":\"2FA required\",\"username\":\"$user\"}"

kept=$(ask POST /sensitive-data '{"data_type":"card_number","value":"1234567812345678"}' "$auth")
id=$(field "$kept" id)
expect "$kept" "{\"id\":\"$id\",\"data_type\":\"card_number\",\"value\":\"1234567812345678\"}"
expect "$(ask GET /sensitive-data '' "$auth")" "[$kept]"
expect "$(ask POST /sensitive-data '{"data_type":"card_number","value":"1234"}' "$auth")" '{"detail":"Invalid card number"}'
expect "$(ask PUT "/sensitive-data/$id" '{"data_type":"card_number","value":"8765432187654321"}' "$auth")" \
    "{\"id\":\"$id\",\"data_type\":\"card_number\",\"value\":\"8765432187654321\"}"
expect "$(ask DELETE "/sensitive-data/$id" '' "$auth")" '{"message":"Data deleted successfully"}'
expect "$(ask DELETE "/sensitive-data/$id" '' "$auth")" '{"detail":"Data not found or not authorized"}'
expect "$(ask GET /sensitive-data '' "$auth")" '[]'
expect "$(ask GET /sensitive-data '' '')" '{"detail":"Not authenticated"}'
echo 'all answers are as expected'
