#!/bin/sh
# Builds a plugin in AssemblyScript: sdk/assemblyscript/build.sh OUT.wasm ENTRY.ts
#
# For plugins in this repository. Installs the pinned compiler into target/assemblyscript, once; needs
# npm. A plugin in a folder of its own uses its package.json instead, as README.md says.
set -eu

sdk=$(cd "$(dirname "$0")" && pwd -P)
if [ $# -ne 2 ]; then
    echo "usage: sdk/assemblyscript/build.sh OUT.wasm ENTRY.ts" >&2
    exit 2
fi
if ! command -v npm >/dev/null 2>&1; then
    echo "error: npm is not installed; next step: apt-get install npm" >&2
    exit 1
fi
tools=$sdk/../../target/assemblyscript
mkdir -p "$tools"
tools=$(cd "$tools" && pwd -P)
# Two builds at a time would install into the same folder.
(
    command -v flock >/dev/null 2>&1 && flock 9
    if ! cmp -s "$sdk/package-lock.json" "$tools/installed"; then
        cp "$sdk/package.json" "$sdk/package-lock.json" "$sdk/.npmrc" "$tools/"
        (cd "$tools" && npm ci --silent --no-audit --no-fund)
        cp "$sdk/package-lock.json" "$tools/installed"
    fi
    ln -sfn "$sdk" "$tools/node_modules/offtake-sdk"
) 9>"$tools/lock"
case $1 in /*) out=$1 ;; *) out=$(pwd)/$1 ;; esac
# From the entry's own folder, so that no path of this machine gets into the module.
cd "$(dirname "$2")"
exec "$tools/node_modules/.bin/asc" "$(basename "$2")" --path "$tools/node_modules" \
    --runtime incremental -O3 --use abort=~lib/offtake-sdk/assembly/abi/abort -o "$out"
