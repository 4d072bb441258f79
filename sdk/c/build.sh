#!/bin/sh
# Builds a plugin in C: sdk/c/build.sh OUT.wasm SOURCE.c… [options of the compiler].
#
# Needs clang 14 or later and its linker wasm-ld: apt-get install clang lld. CLANG names another one.
set -eu

sdk=$(cd "$(dirname "$0")" && pwd -P)
clang=${CLANG:-clang}
if [ $# -lt 2 ]; then
    echo "usage: sdk/c/build.sh OUT.wasm SOURCE.c…" >&2
    exit 2
fi
for tool in "$clang" wasm-ld; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "error: $tool is not installed; next step: apt-get install clang lld" >&2
        exit 1
    fi
done
out=$1
shift
# The stack lies first, so that one that overflows traps instead of writing over data.
exec "$clang" --target=wasm32-unknown-unknown -std=c11 -O2 -Wall -Wextra -Werror \
    -nostdlib -mbulk-memory -I"$sdk" \
    -Wl,--no-entry -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=65536 \
    -o "$out" "$@" "$sdk"/src/*.c
