#!/bin/sh
# Builds plugins in Python and runs the SDK's tests.
#
#   sh sdk/python/build.sh                     the tests; template, conformance plugin and counter
#   sh sdk/python/build.sh FOLDER OUT.wasm     the plugin in FOLDER/plugin.py alone
#
# Its tools go into target/sdk-python, from the Python package index; built components too.
set -eu
sdk=$(cd "$(dirname "$0")/.." && pwd)
out=${OFFTAKE_TARGET:-$sdk/../target}/sdk-python
python=$out/venv/bin/python
mkdir -p "$out"

if ! cmp -s "$sdk/python/requirements.txt" "$out/requirements.txt"; then
    python3 -m venv --clear "$out/venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$sdk/python/requirements.txt"
    cp "$sdk/python/requirements.txt" "$out/requirements.txt"
fi

component() {
    "$python" "$sdk/python/bin/build.py" "$1" -o "$2"
    echo "$2: $(wc -c <"$2") bytes"
}

if [ $# = 2 ]; then
    component "$1" "$2"
    exit
fi
[ $# = 0 ] || { echo "usage: $0 [FOLDER OUT.wasm]" >&2; exit 2; }

rm -rf "$out/bindings"
"$out/venv/bin/componentize-py" -q -d "$sdk/wit" -w stateful-transform bindings "$out/bindings"
# Bytecode stays out of the sources: a component must not depend on what was run before.
export PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=$sdk/python:$out/bindings "$python" -m pytest -q -p no:cacheprovider "$sdk/python/tests"
PYTHONPATH=$sdk/python:$sdk/python/template \
    "$python" -m pytest -q -p no:cacheprovider "$sdk/python/template"
component "$sdk/python/template" "$out/mask.wasm"
component "$sdk/conformance/python" "$out/conformance.wasm"
component "$sdk/conformance/counter/python" "$out/counter.wasm"
