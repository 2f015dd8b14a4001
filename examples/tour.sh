#!/bin/sh
# A tour of the main job, end to end: build, make a vault, fill it from a .env file, use it.
#
#   sh examples/tour.sh                  builds the release binary first; needs nothing but Rust
#   VAULT=/path/to/vault sh examples/tour.sh
#
# It asks nothing, works in a directory of its own, leaves nothing behind, and fails if any step fails or gives a wrong value.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ -n "${VAULT:-}" ]; then
    binary=$VAULT
else
    echo "building vault (the first time takes a few minutes) ..." >&2
    cd "$root"
    cargo build --release --quiet --locked
    binary=${CARGO_TARGET_DIR:-target}/release/vault
fi
binary=$(CDPATH='' cd -- "$(dirname -- "$binary")" && pwd)/$(basename -- "$binary")
[ -x "$binary" ] || { echo "there is no program at $binary" >&2; exit 1; }

# A home of its own: no configuration, key or memory of this user is read or changed.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
exec </dev/null
for name in $(env | sed -n 's/^\(VAULT[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME 2>/dev/null || true
mkdir "$place/bin" "$place/home" "$place/shop"
ln -s "$binary" "$place/bin/vault"
PATH=$place/bin:$PATH
HOME=$place/home
export PATH HOME
cd "$place/shop"

# Says what comes, in words.
step() { printf '\n# %s\n' "$1"; }

# Shows a command as one would type it, and runs it in this shell. A value that is printed to a terminal ends in a line end; so it does here.
run() {
    printf '$ %s\n' "$1"
    # What one reads here is in the order in which it happened, so both streams go the same way.
    eval "$1" >"$place/output" 2>&1 || { code=$?; cat "$place/output"; echo "exit code $code: the tour ends here" >&2; exit 1; }
    cat "$place/output"
    if [ -s "$place/output" ] && [ -n "$(tail -c 1 "$place/output")" ]; then echo; fi
}

# Fails the tour unless two texts are the same.
same() {
    [ "$2" = "$3" ] || { printf 'the tour found a wrong value: %s\n' "$1" >&2; exit 1; }
}

step "Secrets as they lie about: quotes, a dollar, JSON, a key over several lines."
cat >.env <<'EOF'
DATABASE_URL=postgres://shop:p4ss@db.internal:5432/shop
API_KEY='live_$9f"Q7'
GREETING="It's \"fine\", and costs $5"
SMTP='{"host":"smtp.internal","port":587,"password":"m41l"}'
export TLS_KEY="-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIE5vdEFSZWFsS2V5SnVzdEFuRXhhbXBsZSEh
-----END PRIVATE KEY-----"
EOF
run 'cat .env'

step "A vault that opens by a key file. (Without --key-file it asks for a passphrase.)"
run 'vault --vault shop.vault init --key-file shop.key'
run 'export VAULT_FILE=shop.vault VAULT_KEY_FILE=shop.key'

step "All of the .env in one commit. From here on the file may go."
run 'vault import .env --category web'
run 'rm .env'
run 'vault list'

step "Values come out byte for byte."
run 'vault get GREETING'
run 'vault get TLS_KEY'
run 'vault get SMTP password'

step "A value goes in by standard input, never by the command line."
run "printf '%s' '{\"user\":\"app\",\"password\":\"s3cret\"}' | vault set db_prod --json --category db --tag prod --meta owner=ops --ttl 30d"
run 'vault get db_prod password'
run 'vault set session_key --generate hex:32 --create-only'
run 'vault list --category db'

step "A new value; the old one stays in the history, and can be current again."
old=$(vault get API_KEY)
run 'vault rotate API_KEY --generate alnum:24'
new=$(vault get API_KEY)
[ "$old" != "$new" ] || { echo "rotate kept the value" >&2; exit 1; }
run 'vault history API_KEY'
run 'vault get API_KEY --version 1'
run 'vault rollback API_KEY --version 1'
same "API_KEY after the rollback" "$(vault get API_KEY)" "$old"

step "Everything of a category, as variables of this shell."
run 'vault export --format shell --category web'
run 'eval "$(vault export --format shell --category web)"'
run 'printf "%s\n" "$GREETING"'
same GREETING "$GREETING" "$(vault get GREETING)"
same API_KEY "$API_KEY" "$old"
same SMTP "$SMTP" '{"host":"smtp.internal","port":587,"password":"m41l"}'
same TLS_KEY "$TLS_KEY" "$(printf '%s\n' '-----BEGIN PRIVATE KEY-----' 'MC4CAQAwBQYDK2VwBCIEIE5vdEFSZWFsS2V5SnVzdEFuRXhhbXBsZSEh' '-----END PRIVATE KEY-----')"

step "What is not there has an exit code of its own, and a default if one wants one."
run 'vault get no_such_entry || echo "exit code $?"'
run 'vault get no_such_entry --default none'

step "A verified copy, and every byte of the vault checked."
run 'vault backup backup.vault'
run 'vault diff shop.vault backup.vault --exit-code'
run 'vault check'

step "Nothing of it can be read in the file."
run 'grep -c -a -e smtp.internal -e GREETING -e s3cret shop.vault || true'
same "secrets in clear" "$(grep -c -a -e smtp.internal -e GREETING -e s3cret shop.vault || true)" 0

printf '\nThat was the tour. `vault help` lists the commands; README.md says more.\n'
