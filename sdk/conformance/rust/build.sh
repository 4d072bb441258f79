#!/bin/sh
# Builds the conformance plugin in Rust: sdk/conformance/rust/build.sh OUT.wasm
#
# With the toolchain that sdk/toolchain.sh finds or makes, and without leaving anything beside the
# sources. Other plugins are built by `offtake plugin build`.
set -eu

plugin=$(cd "$(dirname "$0")" && pwd -P)
sdk=$plugin/../..
if [ $# -ne 1 ]; then
    echo "usage: sdk/conformance/rust/build.sh OUT.wasm" >&2
    exit 2
fi
# What cargo sets for a program that it runs is about another compiler.
unset LD_LIBRARY_PATH RUSTUP_TOOLCHAIN CARGO_TARGET_DIR
toolchain=$("$sdk/toolchain.sh" --quiet)
target=${OFFTAKE_TARGET:-$sdk/../target}
mkdir -p "$target"
target=$(cd "$target" && pwd -P)
# The tool is built where plugins/build.sh has built it. The plugin is not, since that calls the
# compiler with other options, and what both need would be built anew each time.
cargo build --quiet --release --locked -j 1 --target-dir "$target/wasm" \
    --manifest-path "$sdk/componentize/Cargo.toml"
eval "$toolchain"
cargo build --quiet --release --locked -j 1 --target-dir "$target/wasm-new" \
    --target wasm32-unknown-unknown --manifest-path "$plugin/Cargo.toml"
exec "$target/wasm/release/offtake-componentize" \
    "$target/wasm-new/wasm32-unknown-unknown/release/conformance.wasm" "$1"
