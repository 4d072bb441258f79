#!/bin/sh
# Builds plugins in TypeScript and runs the SDK's tests.
#
#   sh sdk/typescript/build.sh                    checks, tests; template, conformance plugin, counter
#   sh sdk/typescript/build.sh FILE.ts OUT.wasm   the plugin in FILE.ts alone
#
# Its tools go into target/sdk-typescript, from npm, and so do built components; `node_modules` here
# becomes a link to them.
set -eu
sdk=$(cd "$(dirname "$0")/.." && pwd)
out=${OFFTAKE_TARGET:-$sdk/../target}/sdk-typescript
modules=$sdk/typescript/node_modules
mkdir -p "$out"

if [ -e "$modules" ] && [ ! -L "$modules" ]; then
    : # Somebody ran `npm install` here.
elif ! cmp -s "$sdk/typescript/package-lock.json" "$out/installed.json"; then
    cp "$sdk/typescript/package.json" "$sdk/typescript/package-lock.json" "$out/"
    # Not `npm ci`, which insists on the packages of platforms for which there are none.
    (cd "$out" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$sdk/typescript/package-lock.json" "$out/installed.json"
fi
[ -e "$modules" ] || ln -sfn "$(cd "$out" && pwd)/node_modules" "$modules"

if [ $# = 2 ]; then
    node "$sdk/typescript/bin/build.mjs" "$1" -o "$2"
    exit
fi
[ $# = 0 ] || { echo "usage: $0 [FILE.ts OUT.wasm]" >&2; exit 2; }

cd "$sdk/typescript"
node node_modules/typescript/bin/tsc --noEmit -p .
node bin/test.mjs test
node bin/test.mjs template
node bin/build.mjs template/plugin.ts -o "$out/mask.wasm"
node bin/build.mjs ../conformance/typescript/plugin.ts -o "$out/conformance.wasm"
node bin/build.mjs ../conformance/counter/typescript/plugin.ts -o "$out/counter.wasm"
