#!/bin/sh
# Builds the SDK's test plugin and calls it under node.
set -eu

sdk=$(cd "$(dirname "$0")/.." && pwd -P)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$sdk/build.sh" "$out/probe.wasm" "$sdk/tests/probe.ts"
MODULE="$out/probe.wasm" node --test "$sdk/tests/sdk.test.mjs"
