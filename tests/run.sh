#!/bin/sh
# Builds and runs the tests, then says in one line how it went: `sh tests/run.sh test|full|torture|bench`,
# or `sh tests/run.sh bench-plugins [LANGUAGE]…`.
set -eu
cd "$(dirname "$0")/.."

mode=${1:-test}
[ $# = 0 ] || shift
log=target/tests/$mode.log
mkdir -p target/tests
begin=$(date +%s)

# Output goes to the screen and to a file that the summary is read from.
run() {
    status=0
    { "$@" 2>&1 || echo "exit status $?" >>target/tests/failed; } | tee -a "$log"
}
: >"$log"
rm -f target/tests/failed

case $mode in
test | full)
    # The end-to-end tests start the command as a user would, so it is built with them.
    run cargo build --release --locked --workspace --all-targets
    [ "$mode" = full ] && export OFFTAKE_TEST_FULL=1
    # The committed plugins are what their sources make; the SDK's template is built as well.
    [ -e target/tests/failed ] || run sh plugins/build.sh --check
    # SDK and plugins are a workspace of their own; here their logic runs on the machine itself.
    [ -e target/tests/failed ] ||
        run cargo test --release --locked --manifest-path plugins/Cargo.toml \
            --target-dir target/plugins-host --no-fail-fast
    # Interpreters take their time over texts of 1 MiB, hence the deadline.
    if [ "$mode" = full ]; then
        for language in python typescript; do
            [ -e target/tests/failed ] || run sh "sdk/$language/build.sh"
            [ -e target/tests/failed ] ||
                run target/release/offtake plugin test "target/sdk-$language/conformance.wasm" \
                    --fixtures sdk/conformance/fixtures --deadline 5s
            for fixtures in plugins/counter/fixtures sdk/conformance/counter/fixtures; do
                [ -e target/tests/failed ] ||
                    run target/release/offtake plugin test "target/sdk-$language/counter.wasm" \
                        --fixtures "$fixtures" --deadline 5s
            done
        done
    fi
    [ -e target/tests/failed ] ||
        run cargo test --release --locked --workspace --no-fail-fast -- --test-threads=2
    ;;
torture)
    run cargo build --release --locked --workspace --bin offtake --bin torture
    [ -e target/tests/failed ] || run target/release/torture
    ;;
bench)
    run cargo build --release --locked --workspace --all-targets
    run target/release/bench
    # A change in nanoseconds, beside serde_json and apache-avro on the same rows.
    [ -e target/tests/failed ] || run target/release/examples/encode_bench
    [ -e target/tests/failed ] || run target/release/examples/avro_bench
    ;;
bench-plugins)
    run sh tests/bench/plugins/build.sh target/bench-plugins "$@"
    [ -e target/tests/failed ] ||
        run cargo build --release --locked --workspace --example plugin_bench
    [ -e target/tests/failed ] ||
        run target/release/examples/plugin_bench target/bench-plugins "$@"
    ;;
*)
    echo "error: no such mode: $mode" >&2
    exit 2
    ;;
esac

count() { awk -v word="$1" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i ~ "^" word) sum += $(i - 1) } END { print sum + 0 }' "$log"; }
passed=$(count passed)
failed=$(count failed)
echo
grep -E '^test .* FAILED$' "$log" | sort -u || true
# Only "1" leaves something out, here as in the tests themselves.
[ "${SKIP_KAFKA:-}" != 1 ] || echo "Kafka was not tested: SKIP_KAFKA is set."
case $mode in
test | full) [ "${SKIP_DISK_FULL:-}" != 1 ] || echo "A full disk was not tested: SKIP_DISK_FULL is set." ;;
esac
echo "Took $(($(date +%s) - begin)) s."
is_bench=no
case $mode in bench | bench-plugins) is_bench=yes ;; esac
if [ "$is_bench" = no ]; then
    echo "$passed passed, $failed failed"
fi
if [ -e target/tests/failed ] || [ "$failed" != 0 ]; then
    exit 1
fi
if [ "$is_bench" = no ] && [ "$passed" = 0 ]; then
    echo "error: no test ran" >&2
    exit 1
fi
