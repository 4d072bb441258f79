#!/usr/bin/env bash
# Makes the wasm32-unknown-unknown standard library available to the ordinary Rust compiler.
#
# Plugins are built for wasm32-unknown-unknown. Where rustup's servers can be reached,
# `rustup target add wasm32-unknown-unknown` is all that is needed and this script only says so.
# Elsewhere it builds the library once from Debian's source package of the same compiler version,
# verified by digest, into target/wasm-toolchain; later runs find it there and do nothing. It
# changes neither the installed compiler nor the machine's package sources, and needs no root.
#
#   eval "$(sdk/toolchain.sh)"                 put the toolchain on PATH
#   sdk/toolchain.sh --from-source             the pinned library even where a target is installed:
#                                              what the committed plugins are built with
#   sdk/toolchain.sh --quiet                   no progress on standard error
#
# Standard output is one line of shell, `export PATH=…`, or a comment where PATH is right already.
#
# Environment: OFFTAKE_DEBIAN_MIRROR   mirror to use instead of the one in the apt sources
#              OFFTAKE_RUST_SRC_DEB    the source package as a file, for machines without a network
#              OFFTAKE_WASM_JOBS       compiler processes at once; default 1
set -euo pipefail

# One line each, to be moved together: the compiler, its source package and the package's digest.
readonly RUST_VERSION=1.95.0
readonly PACKAGE_VERSION='1.95.0+dfsg1-2~bpo13+1'
readonly PACKAGE_SHA256=7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b
readonly SUITE=trixie-backports
readonly TARGET=wasm32-unknown-unknown
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# How the library is built. Bitcode: the plugins' link-time optimisation needs it.
readonly STD_FLAGS='-Cembed-bitcode=yes'
# Counts changes of this recipe, so that an older result is not taken for a new one.
readonly RECIPE=1

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
home="$repository/target/wasm-toolchain"
from_source=no
quiet=no

say() { [ "$quiet" = yes ] || printf 'wasm toolchain: %s\n' "$*" >&2; }
fail() {
  printf 'wasm toolchain: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  next step: %s\n' "$2" >&2
  exit 1
}

for argument in "$@"; do
  case "$argument" in
    --from-source) from_source=yes ;;
    --quiet) quiet=yes ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown argument $argument" "see sdk/toolchain.sh --help" ;;
  esac
done

command -v rustc >/dev/null && command -v cargo >/dev/null ||
  fail 'no rustc and cargo on PATH' "install Rust $RUST_VERSION"

has_target() { # a compiler; whether it finds the target's library
  local folder
  folder=$("$1" --print target-libdir --target "$TARGET" 2>/dev/null) &&
    compgen -G "$folder/libstd-*.rlib" >/dev/null
}

if [ "$from_source" = no ] && has_target rustc; then
  say "the installed compiler has $TARGET"
  echo "# PATH needs no change: the installed compiler has $TARGET"
  exit 0
fi

stamp="recipe=$RECIPE rust=$RUST_VERSION package=$PACKAGE_VERSION flags=$STD_FLAGS"
announce() { printf 'export PATH=%q:"$PATH"\n' "$home/toolchain/bin"; }

if [ "$(cat "$home/stamp" 2>/dev/null)" = "$stamp" ] && has_target "$home/toolchain/bin/rustc"; then
  say "ready in ${home#"$repository"/}"
  announce
  exit 0
fi

version=$(cd "$repository" && rustc -V | awk '{print $2}')
[ "$version" = "$RUST_VERSION" ] ||
  fail "this recipe is for rustc $RUST_VERSION, found $version" \
    "use that compiler, or run: rustup target add $TARGET"

mirror() { # the machine's own Debian mirror, in either format of apt sources
  local found
  if [ -n "${OFFTAKE_DEBIAN_MIRROR:-}" ]; then
    echo "$OFFTAKE_DEBIAN_MIRROR"
    return
  fi
  found=$(awk '/^URIs:/ && $2 ~ /\/debian\/?$/ {print $2; exit}' \
    /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
  [ -n "$found" ] || found=$(awk '$1 == "deb" {
      for (i = 2; i <= NF; i++) if ($i ~ /:\/\/.*\/debian\/?$/) {print $i; exit}
    }' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true)
  echo "$found"
}

fetch_package() { # the source package into $1, verified
  local package="$1" apt="$home/apt" url
  if [ -n "${OFFTAKE_RUST_SRC_DEB:-}" ]; then
    cp "$OFFTAKE_RUST_SRC_DEB" "$package" || fail "cannot read $OFFTAKE_RUST_SRC_DEB"
  elif [ ! -f "$package" ]; then
    command -v apt-get >/dev/null || fail 'no apt-get on this machine' \
      "rustup target add $TARGET, or set OFFTAKE_RUST_SRC_DEB to the package as a file"
    [ -r "$KEYRING" ] || fail "no Debian archive keyring at $KEYRING" \
      "install debian-archive-keyring, or: rustup target add $TARGET"
    url=$(mirror)
    [ -n "$url" ] || fail 'no Debian mirror in the apt sources of this machine' \
      "set OFFTAKE_DEBIAN_MIRROR, or: rustup target add $TARGET"
    # apt with a state of its own, so that the machine's sources and lists stay as they are.
    rm -rf "$apt" && mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb [signed-by=$KEYRING] $url $SUITE main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
APT::Sandbox::User "$(id -un)";
CONF
    say "rust-src $PACKAGE_VERSION from the machine's Debian mirror (45 MB)"
    (
      cd "$apt" && export APT_CONFIG="$apt/apt.conf"
      apt-get -qq update && apt-get -qq download "rust-src=$PACKAGE_VERSION"
    ) >"$apt/log" 2>&1 || {
      cat "$apt/log" >&2
      fail "cannot get rust-src $PACKAGE_VERSION from $SUITE" \
        'check the network; or set OFFTAKE_RUST_SRC_DEB to the package as a file'
    }
    mv "$apt"/rust-src_*.deb "$package"
  fi
  if ! echo "$PACKAGE_SHA256  $package" | sha256sum --check --status; then
    rm -f "$package"
    fail "rust-src $PACKAGE_VERSION does not have the pinned digest $PACKAGE_SHA256" \
      'run again; if it stays so, do not use this mirror'
  fi
}

unpack_package() { # the library's sources of package $1 into folder $2
  # dpkg-deb where there is one; else the same by hand, for a .deb is an ar archive of tar files.
  mkdir -p "$2"
  if command -v dpkg-deb >/dev/null; then
    dpkg-deb --fsys-tarfile "$1"
  else
    ar p "$1" data.tar.xz | xz -d
  fi | tar -x -C "$2" --strip-components=5 "./usr/src/rustc-$RUST_VERSION/library"
  [ -f "$2/std/Cargo.toml" ] || fail 'the source package does not hold the library where expected'
}

copy_toolchain() { # the installed compiler to $1: by links where the file system can
  local sysroot
  sysroot=$(cd "$repository" && rustc --print sysroot)
  [ -x "$sysroot/bin/cargo" ] || fail "no cargo beside the compiler in $sysroot" \
    'use a compiler that was installed by rustup or from the upstream archive'
  rm -rf "$1"
  cp -al "$sysroot" "$1" 2>/dev/null || { rm -rf "$1" && cp -a "$sysroot" "$1"; }
  # Only removes names of the copy; nothing is ever written into files shared by links.
  rm -rf "$1/lib/rustlib/src" "$1/lib/rustlib/$TARGET"
}

build_library() { # the standard library with toolchain $1, in a scratch folder
  local toolchain="$1" scratch="$home/std" source="$1/lib/rustlib/src/rust/library"
  rm -rf "$scratch" && mkdir -p "$scratch/src"
  cat >"$scratch/Cargo.toml" <<'MANIFEST'
[package]
name = "std-for-plugins"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["rlib"]
[workspace]
MANIFEST
  echo '#![no_std]' >"$scratch/src/lib.rs"
  say 'building the standard library (about half a minute of CPU time)'
  # RUSTC_BOOTSTRAP: building the library is an unstable feature; only here, never for plugins.
  (
    cd "$scratch"
    for name in $(compgen -e | grep -E '^(CARGO_(PROFILE_|BUILD_|ENCODED_)|RUSTC|RUSTFLAGS|RUSTUP_TOOLCHAIN)' || true); do
      unset "$name"
    done
    export PATH="$toolchain/bin:$PATH" CARGO_TARGET_DIR="$scratch/target" RUSTC_BOOTSTRAP=1
    cargo fetch --quiet --target "$TARGET" -Z build-std=std,panic_abort
    # Paths of this machine become fixed names: they end up in panic messages, so in digests.
    flags="$STD_FLAGS"
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
      flags+=$'\x1f'"--remap-path-prefix=$folder=/registry"
    done
    flags+=$'\x1f'"--remap-path-prefix=$scratch=/std"
    flags+=$'\x1f'"--remap-path-prefix=$source=/rustc/library"
    CARGO_ENCODED_RUSTFLAGS="$flags" cargo build --quiet -j "${OFFTAKE_WASM_JOBS:-1}" --release \
      --target "$TARGET" -Z build-std=std,panic_abort
  ) >"$home/build.log" 2>&1 || {
    cat "$home/build.log" >&2
    fail 'the standard library did not build' 'see the compiler messages above'
  }
  mkdir -p "$toolchain/lib/rustlib/$TARGET/lib"
  find "$scratch/target/$TARGET/release/deps" -name '*.rlib' ! -name 'libstd_for_plugins-*' \
    -exec cp {} "$toolchain/lib/rustlib/$TARGET/lib/" \;
}

mkdir -p "$home"
exec 9>"$home/lock"
command -v flock >/dev/null && flock 9
fetch_package "$home/rust-src.deb"
copy_toolchain "$home/toolchain"
unpack_package "$home/rust-src.deb" "$home/toolchain/lib/rustlib/src/rust/library"
build_library "$home/toolchain"
has_target "$home/toolchain/bin/rustc" || fail 'the built library is not where rustc looks for it'
rm -rf "$home/std" "$home/apt"
echo "$stamp" >"$home/stamp"
say "ready in ${home#"$repository"/}"
announce
