#!/bin/sh
# Builds the benchmark's plugin in every language, or in those that are named:
#
#   sh tests/bench/plugins/build.sh FOLDER [rust|go|c|assemblyscript|python|typescript]…
#
# FOLDER/LANGUAGE.wasm comes of it. Each is built by its SDK's own script, which says what is missing.
set -eu

root=$(cd "$(dirname "$0")/../../.." && pwd -P)
plugins=$root/tests/bench/plugins
if [ $# -lt 1 ]; then
    echo "usage: tests/bench/plugins/build.sh FOLDER [LANGUAGE]…" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd -P)
shift
[ $# -gt 0 ] || set -- rust go c assemblyscript python typescript

for language in "$@"; do
    echo "Building the plugin in $language"
    wasm=$out/$language.wasm
    case $language in
    rust) sh "$root/sdk/rust/build.sh" "$wasm" "$plugins/rust" ;;
    go) sh "$root/sdk/go/build.sh" "$wasm" "$plugins/go" ;;
    c) sh "$root/sdk/c/build.sh" "$wasm" "$plugins/c/bench.c" "$plugins/c/record.c" ;;
    assemblyscript) sh "$root/sdk/assemblyscript/build.sh" "$wasm" "$plugins/assemblyscript/index.ts" ;;
    python) sh "$root/sdk/python/build.sh" "$plugins/python" "$wasm" ;;
    typescript) sh "$root/sdk/typescript/build.sh" "$plugins/typescript/plugin.ts" "$wasm" ;;
    *)
        echo "error: $language is none of rust, go, c, assemblyscript, python, typescript" >&2
        exit 2
        ;;
    esac
done
