#!/bin/sh
# Makes link/order.txt: the functions that everyday commands run, in the order of their first call. Needs valgrind and binutils.
# Run it after a change of dependencies or of the compiler, and compare `get` before and after (benches/).
set -eu
cd "$(dirname "$0")/.."
VAULT_KEEP_SYMBOLS=1 cargo build --release --quiet
binary=$PWD/target/release/vault
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export HOME="$place" VAULT_FILE="$place/a.vault" VAULT_KEY_FILE="$place/key"
"$binary" -q init --key-file "$place/key"
printf value | "$binary" set name --category c
run() {
    rm -f "$place"/out*
    # Before another program takes this one's place, what it called so far is written down.
    valgrind --tool=callgrind --callgrind-out-file="$place/out" --demangle=no --compress-strings=no --dump-line=no --dump-before=execve "$@" >"$place/log" 2>&1
    cat "$place"/out* | grep -E '^c?fn=' | sed -E "s/^c?fn=(\([0-9]+\) )?//; s/'[0-9]+\$//"
}
{
    run "$binary" get name
    printf value | run "$binary" set name
    run "$binary" list
    run "$binary" run --no-mask -- true
    run "$binary" --version
} | awk '!seen[$0]++' >"$place/called"
nm "$binary" | awk '{ print $3 }' | sort -u >"$place/defined"
grep -Fxf "$place/defined" "$place/called" >link/order.txt
wc -l link/order.txt
