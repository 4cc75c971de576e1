#!/bin/sh
# A trading day of an independent client at `keel exchange --plaintext`: run.sh [KEEL]
# KEEL is the program; by default target/debug/keel, which must have been built. Says that it skipped, and
# succeeds, when Python or the package is not to be had. The virtual environment is made once under target/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
keel=${1:-$root/target/debug/keel}
environment=$root/target/conformance-python
package=ccxt==4.5.90

skip() {
    echo "skipped: $1"
    exit 0
}

command -v python3 >/dev/null 2>&1 || skip "there is no python3"
[ -x "$keel" ] || skip "$keel is not built"
if ! "$environment/bin/python" -c "import ccxt, sys; sys.exit(ccxt.__version__ != '${package#ccxt==}')" \
    >/dev/null 2>&1; then
    rm -rf "$environment"
    python3 -m venv "$environment" >/dev/null 2>&1 || skip "python3 makes no virtual environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "$package" >/dev/null 2>&1 \
        || skip "$package cannot be installed"
fi

work=$(mktemp -d)
"$keel" exchange --plaintext --run-dir "$work" >"$work/announcement" 2>"$work/errors" &
exchange=$!
trap 'kill "$exchange" 2>/dev/null || :; wait "$exchange" 2>/dev/null || :; rm -rf "$work"' EXIT
tries=0
until [ -s "$work/announcement" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$exchange" 2>/dev/null; then
        cat "$work/errors" >&2
        echo "the exchange did not start" >&2
        exit 1
    fi
    sleep 0.1
done
"$environment/bin/python" "$here/day.py" "$(head -n 1 "$work/announcement")"
