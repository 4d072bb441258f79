#!/bin/sh
# Builds a plugin in Rust: sdk/rust/build.sh OUT.wasm FOLDER
#
# For plugins in this repository that are a workspace of their own. With the toolchain that
# sdk/toolchain.sh finds or makes, and without leaving anything beside the sources. plugins/build.sh
# builds those that are shipped.
set -eu

sdk=$(cd "$(dirname "$0")/.." && pwd -P)
if [ $# -ne 2 ]; then
    echo "usage: sdk/rust/build.sh OUT.wasm FOLDER" >&2
    exit 2
fi
plugin=$(cd "$2" && pwd -P)
module=$(sed -n 's/^name = "\(.*\)"/\1/p' "$plugin/Cargo.toml" | head -n 1 | tr - _)
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
    "$target/wasm-new/wasm32-unknown-unknown/release/$module.wasm" "$1"
