#!/bin/sh
# Makes sure that what a command needs is installed: `sh tests/setup.sh build|demo|test|bench|bench-plugins`.
#
# Looks first. Installs what is missing with apt where that is allowed (root, or sudo that asks for
# nothing); otherwise prints one list of what to install, and ends with status 1.
set -eu

need=${1:-test}
packages=""

has() { command -v "$1" >/dev/null 2>&1; }
want() { # want PACKAGE: remember it
    case " $packages " in *" $1 "*) ;; *) packages="$packages $1" ;; esac
}
server() { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || has initdb; }

has gcc || want build-essential
has g++ || want build-essential
has make || want make
has pkg-config || want pkg-config
[ -e /usr/include/zlib.h ] || want zlib1g-dev
[ -e /usr/include/openssl/ssl.h ] || want libssl-dev

if [ "$need" = bench-plugins ]; then
    # What the SDKs build with; where there is no Go, sdk/go/toolchain.sh fetches it by pip.
    has npm || want npm
    has clang || want clang
    has wasm-ld || want lld
    has python3 || want python3
    python3 -c 'import ensurepip' 2>/dev/null || want python3-venv
elif [ "$need" != build ]; then
    server || want postgresql
    has setpriv || want util-linux
fi
if [ "$need" = test ] || [ "$need" = bench ]; then
    has npm || want npm
    # The SDK for C; AssemblyScript comes by npm.
    [ "$need" = bench ] || has clang || want clang
    [ "$need" = bench ] || has wasm-ld || want lld
    # The SDK for Go; where there is none, sdk/go/toolchain.sh fetches it by pip.
    if [ "$need" = test ] && ! has go; then
        has python3 || want python3
        python3 -c 'import ensurepip' 2>/dev/null || want python3-venv
    fi
    has openssl || want openssl
    [ "${SKIP_KAFKA:-}" = 1 ] || has mvn || want maven
    [ "$need" = bench ] || [ "${SKIP_KAFKA:-}" = 1 ] || has kcat || want kcat
    # Debezium's engine, and the classes that drive it.
    if [ "$need" = bench ] || [ "${SKIP_KAFKA:-}" != 1 ]; then
        has javac || want default-jdk-headless
        has python3 || want python3
        has pip || has pip3 || want python3-pip
        python3 -c 'import ensurepip' 2>/dev/null || want python3-venv
    fi
fi

if ! has cargo; then
    echo "error: cargo is not installed; see https://rustup.rs (Rust 1.95 or later is needed)" >&2
    exit 1
fi
[ -n "$packages" ] || exit 0

install="apt-get install -y --no-install-recommends$packages"
if has apt-get && [ "$(id -u)" = 0 ]; then
    sudo=""
elif has apt-get && has sudo && sudo -n true 2>/dev/null; then
    sudo="sudo"
else
    echo "error: these packages are needed first; then run the same command again:" >&2
    echo "    sudo $install" >&2
    exit 1
fi
echo "Installing:$packages"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "error: \`$install\` failed; its last lines are above" >&2
    exit 1
fi
rm -f "$log"
