#!/bin/sh
# The SDK's own tests: natively, and what only shows in WebAssembly under node.
set -eu

sdk=$(cd "$(dirname "$0")/.." && pwd -P)
go=$(sh "$sdk/toolchain.sh")
export GOTOOLCHAIN=local GOWORK=off GOFLAGS=
for folder in "$sdk" "$sdk/template" "$sdk/tests/probe" "$sdk/../conformance/go"; do
    (cd "$folder" && "$go" vet ./... && "$go" test ./...)
done
unformatted=$("$(dirname "$("$go" env GOROOT)/bin/go")/gofmt" -l "$sdk" "$sdk/../conformance/go")
[ -z "$unformatted" ] || { echo "error: not as gofmt writes it: $unformatted" >&2; exit 1; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$sdk/build.sh" "$out/probe.wasm" "$sdk/tests/probe"
MODULE="$out/probe.wasm" node --test "$sdk/tests/sdk.test.mjs"
