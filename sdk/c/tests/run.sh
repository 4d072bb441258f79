#!/bin/sh
# Compiles the SDK and its tests natively, with sanitizers where the compiler has them, and runs them.
set -eu

sdk=$(cd "$(dirname "$0")/.." && pwd -P)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
compiler=${CC:-cc}
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
echo 'int main(void) { return 0; }' >"$out/empty.c"
# shellcheck disable=SC2086
"$compiler" $sanitize -o "$out/empty" "$out/empty.c" 2>/dev/null && "$out/empty" || sanitize=""
# shellcheck disable=SC2086
"$compiler" -std=c11 -g -O1 -Wall -Wextra -Werror $sanitize -I"$sdk" -o "$out/unit" \
    "$sdk/tests/unit.c" "$sdk"/src/*.c
# Arenas are not given back, in a plugin as here.
ASAN_OPTIONS=detect_leaks=0 "$out/unit"
