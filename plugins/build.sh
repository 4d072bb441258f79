#!/usr/bin/env bash
# Builds the first-party plugins into plugins/dist, or compares a rebuild with what is committed.
#
#   plugins/build.sh            build, and write plugins/dist/{*.wasm,SHA256SUMS,TOOLCHAIN}
#   plugins/build.sh --check    build into target/, the SDK's template too, and compare with
#                               plugins/dist; exit status 1 where a byte differs
#
# Always with the pinned toolchain (sdk/toolchain.sh --from-source): a digest depends on the
# compiler, on how its standard library was built, on the bindings generator and on wit-component.
# It does not depend on the folder, the user or the state of target/.
# Also where it is called as `sh plugins/build.sh`.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
export LC_ALL=C

readonly PLUGINS=(audit cast counter dedupe filter flatten hash logical-table mask outbox project
  rekey route timezone tokenise)
readonly TARGET=wasm32-unknown-unknown

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
dist="$repository/plugins/dist"
# A target folder of its own, so that guests and gateway do not wait for each other.
export CARGO_TARGET_DIR="${OFFTAKE_WASM_TARGET_DIR:-$repository/target/wasm}"
jobs="${OFFTAKE_WASM_JOBS:-1}"
check=no

case "${1:-}" in
  '') ;;
  --check) check=yes ;;
  -h | --help) sed -n '2,/^# Also/{/^# Also/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "plugins: unknown argument $1; see plugins/build.sh --help" >&2; exit 2 ;;
esac

say() { printf 'plugins: %s\n' "$*" >&2; }

# The environment of the caller must not reach the compiler: it would change bytes.
for name in $(compgen -e | grep -E '^(CARGO_(PROFILE_|BUILD_|ENCODED_)|RUSTC|RUSTFLAGS|RUSTUP_TOOLCHAIN)' || true); do
  unset "$name"
done

# The tool that makes components runs on the host, with the ordinary compiler.
componentizer() {
  cargo build --quiet --locked --release -j "$jobs" \
    --manifest-path "$repository/sdk/componentize/Cargo.toml"
}

build_guests() { # core modules: a manifest, then cargo's further arguments
  local manifest="$1" folder flags
  shift
  PATH="$guest_path" cargo fetch --quiet --locked --manifest-path "$manifest"
  # Paths of this machine become fixed names: they end up in panic messages, so in digests.
  flags="--remap-path-prefix=$repository=/offtake"
  for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=$'\x1f'"--remap-path-prefix=$folder=/registry"
  done
  PATH="$guest_path" CARGO_ENCODED_RUSTFLAGS="$flags" cargo build --quiet --locked --release \
    -j "$jobs" --target "$TARGET" --manifest-path "$manifest" "$@"
}

componentize() { # a package's core module to a component
  "$CARGO_TARGET_DIR/release/offtake-componentize" \
    "$CARGO_TARGET_DIR/$TARGET/release/$1.wasm" "$2"
}

pinned() { # the version of a package in a lock file
  awk -v name="name = \"$2\"" '$0 == name {getline; gsub(/.* "|"/, ""); print; exit}' "$1"
}

describe_toolchain() {
  cat <<TEXT
# What plugins/dist was built with; written by plugins/build.sh. Another version gives other bytes.
rustc          $("$toolchain/rustc" -V | cut -d' ' -f2-)
std            sdk/toolchain.sh: $(cat "$toolchain/../../stamp")
wit-bindgen    $(pinned "$repository/plugins/Cargo.lock" wit-bindgen)
wit-component  $(pinned "$repository/sdk/componentize/Cargo.lock" wit-component)
target         $TARGET
profile        $(awk '/^\[profile.release\]/{on=1;next} /^\[/{on=0} on && NF {gsub(/ = /,"="); printf "%s%s", sep, $0; sep=" "}' "$repository/plugins/Cargo.toml")
TEXT
}

build_all() { # into the folder $1
  local plugin
  mkdir -p "$1"
  say "building ${PLUGINS[*]}"
  componentizer
  build_guests "$repository/plugins/Cargo.toml" "${PLUGINS[@]/#/--package=offtake-plugin-}"
  for plugin in "${PLUGINS[@]}"; do
    componentize "offtake_plugin_${plugin//-/_}" "$1/$plugin.wasm"
  done
  (cd "$1" && sha256sum "${PLUGINS[@]/%/.wasm}" >SHA256SUMS)
  describe_toolchain >"$1/TOOLCHAIN"
}

build_template() { # the plugin that authors begin with, so that it cannot rot
  say "building the SDK's template"
  build_guests "$repository/sdk/rust/template/Cargo.toml"
  componentize my_plugin "$1/template.wasm"
}

"$repository/sdk/toolchain.sh" --from-source >/dev/null
toolchain="$repository/target/wasm-toolchain/toolchain/bin"
guest_path="$toolchain:$PATH"

if [ "$check" = no ]; then
  build_all "$dist"
  say 'written to plugins/dist:'
  (cd "$dist" && wc -c "${PLUGINS[@]/%/.wasm}" && cat SHA256SUMS) >&2
  exit 0
fi

rebuilt="$repository/target/wasm/rebuilt"
rm -rf "$rebuilt"
build_all "$rebuilt"
build_template "$rebuilt"
# The components themselves against the committed list, so that neither can be stale.
differs=no
(cd "$dist" && sha256sum --check --strict --quiet SHA256SUMS) >&2 || differs=yes
for file in SHA256SUMS TOOLCHAIN; do
  diff -u --label "committed $file" --label "rebuilt $file" "$dist/$file" "$rebuilt/$file" >&2 ||
    differs=yes
done
if [ "$differs" = yes ]; then
  say 'plugins/dist is not what its sources give'
  say 'next step: after a change to plugins/ or sdk/, run plugins/build.sh and commit plugins/dist'
  exit 1
fi
say 'plugins/dist is byte for byte what its sources give'
