//! What may become a plugin, what may not, and what the cache of compiled code is worth.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use offtake_transform::{Engine, EngineOptions, Plugin, PluginError};

use crate::zoo::{Guest, component_of, engine, load, spec};

fn refused(component: Vec<u8>) -> PluginError {
    match Plugin::load(engine(), spec(component)) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => {
            assert!(error.to_string().contains("zoo") && !error.next_step().is_empty(), "{error}");
            error
        }
    }
}

#[test]
fn a_plugin_tells_who_it_is() {
    let guest = Guest { protects: true, required: vec!["email", "card"], ..Guest::default() };
    let plugin = load(&guest).unwrap();
    assert_eq!(plugin.name(), "zoo");
    let info = plugin.info();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("zoo", "0.0.1"));
    assert!(info.protects);
    assert_eq!(info.required_columns, ["email", "card"]);
    assert_ne!(plugin.digest(), plugin.config_digest());
}

#[test]
fn plugins_and_instances_move_between_threads() {
    fn send<T: Send>() {}
    fn share<T: Sync>() {}
    send::<Engine>();
    share::<Engine>();
    send::<Plugin>();
    share::<Plugin>();
    send::<offtake_transform::Instance>();
    // Prepared on one thread, run on another: the deadline is that of the thread that calls.
    let mut instance = load(&Guest::doing("(loop $l (br $l))")).unwrap().instance().unwrap();
    let fault = std::thread::spawn(move || {
        let rows = crate::batches::customers(1);
        let mut batch = crate::batches::batch(&crate::batches::schema(), &rows);
        instance.process(&mut batch, &[0]).unwrap_err()
    });
    assert_eq!(fault.join().unwrap().code(), "PLUGIN_DEADLINE");
}

#[test]
fn a_module_that_is_still_to_become_a_component_is_refused_with_a_hint() {
    let text = r#"(module (func (export "offtake:transform/plugin@1.0.0#configure")))"#;
    let error = refused(wat::parse_str(text).unwrap());
    assert_eq!(error.code(), "PLUGIN_NOT_A_COMPONENT");
    assert!(error.to_string().contains("core module"), "{error}");
    assert!(error.next_step().contains("component"), "{}", error.next_step());
}

#[test]
fn garbage_is_refused() {
    assert_eq!(refused(b"hello".to_vec()).code(), "PLUGIN_NOT_A_COMPONENT");
    assert_eq!(refused(Vec::new()).code(), "PLUGIN_NOT_A_COMPONENT");
    let mut cut = Guest::default().build();
    cut.truncate(cut.len() / 2);
    assert_eq!(refused(cut).code(), "PLUGIN_INVALID");
    let mut torn = Guest::default().build();
    let middle = torn.len() / 2;
    torn[middle..].fill(0xee);
    assert_eq!(refused(torn).code(), "PLUGIN_INVALID");
}

#[test]
fn a_component_that_exports_no_plugin_is_refused() {
    let error = refused(wat::parse_str("(component)").unwrap());
    assert_eq!(error.code(), "PLUGIN_EXPORT_MISSING");
}

#[test]
fn imports_beyond_the_contract_are_refused_by_name() {
    let wit = "package wasi:cli@0.2.3;
        interface environment { count: func() -> u32; }
        world w { import environment; export run: func(); }";
    let text = r#"(module
        (import "wasi:cli/environment@0.2.3" "count" (func $count (result i32)))
        (func (export "run") (drop (call $count))))"#;
    let error = refused(component_of(text, wit, "w"));
    assert_eq!(error.code(), "PLUGIN_IMPORT_REFUSED");
    assert!(error.to_string().contains("wasi:cli/environment@0.2.3"), "{error}");
    assert!(error.next_step().contains("wasm32-unknown-unknown"), "{}", error.next_step());
}

#[test]
fn a_refused_configuration_is_told_in_the_plugins_words() {
    let guest = Guest { refuses_config: Some("`columns` is empty"), ..Guest::default() };
    let error = refused(guest.build());
    assert_eq!(error.code(), "PLUGIN_CONFIG_REFUSED");
    assert!(error.to_string().contains("`columns` is empty"), "{error}");
    let mut broken = spec(Guest::default().build());
    broken.config_json = "{".to_owned();
    let error = Plugin::load(engine(), broken).err().map(|error| error.code());
    assert_eq!(error, Some("PLUGIN_CONFIG_NOT_JSON"));
}

#[test]
fn a_plugin_that_fails_while_configured_is_a_fault() {
    for (instructions, code) in [
        ("(unreachable)", "PLUGIN_TRAP"),
        ("(loop $l (br $l))", "PLUGIN_DEADLINE"),
        ("(loop $l (drop (memory.grow (i32.const 16))) (br $l))", "PLUGIN_MEMORY"),
    ] {
        let guest = Guest { on_configure: instructions.to_owned(), ..Guest::default() };
        let error = refused(guest.build());
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn a_plugin_counts_what_it_registered() {
    let mut guest = Guest::default();
    let at = guest.layout.put(b"seen");
    guest.on_configure = format!("(drop (call $counter (i32.const {at}) (i32.const 4)))");
    guest.process = "(call $add (i32.const 0) (i32.const 5)) (i32.const 512)".to_owned();
    let mut plugin = load(&guest).unwrap().instance().unwrap();
    let mut batch = crate::batches::batch(&crate::batches::schema(), &crate::batches::customers(1));
    plugin.process(&mut batch, &[0]).unwrap();
    plugin.process(&mut batch, &[0]).unwrap();
    let metric = &plugin.custom_metrics()[0];
    assert_eq!((metric.name.as_str(), metric.sum), ("seen", 10.0));
}

fn cached_engine(dir: &Path) -> Engine {
    Engine::new(EngineOptions { cache_dir: Some(dir.to_owned()) }).unwrap()
}

fn compiled_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "compiled"))
        .collect();
    files.sort();
    files
}

/// Loads a plugin with an engine of its own; whether the cache had it.
fn was_cached(dir: &Path, component: &[u8]) -> bool {
    let engine = cached_engine(dir);
    Plugin::load(&engine, spec(component.to_vec())).unwrap();
    engine.cache_hits() == 1
}

#[test]
fn compiled_code_is_found_again_by_content_and_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("plugins");
    let first = Guest::pass(&[0], 0).build();
    let second = Guest::pass(&[1], 0).build();
    assert!(!was_cached(&dir, &first));
    assert!(was_cached(&dir, &first));
    assert!(!was_cached(&dir, &second), "another component is another entry");
    assert!(was_cached(&dir, &second));
    assert_eq!(compiled_files(&dir).len(), 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("key")), 0o600);
    assert_eq!(mode(&compiled_files(&dir)[0]), 0o600);
}

#[test]
fn a_damaged_swapped_or_foreign_file_is_compiled_again_never_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("plugins");
    let component = Guest::pass(&[0], 0).build();
    assert!(!was_cached(&dir, &component));
    let path = compiled_files(&dir)[0].clone();
    let good = fs::read(&path).unwrap();
    let mut cases: Vec<Vec<u8>> =
        vec![Vec::new(), good[..31].to_vec(), good[..good.len() - 1].to_vec()];
    for at in [0, 31, 32, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        cases.push(flipped);
    }
    for bytes in cases {
        fs::write(&path, bytes).unwrap();
        assert!(!was_cached(&dir, &component));
        assert!(was_cached(&dir, &component), "it was written anew");
    }
    // Another plugin's compiled code under this one's name.
    assert!(!was_cached(&dir, &Guest::pass(&[1], 0).build()));
    let other = compiled_files(&dir).into_iter().find(|other| *other != path).unwrap();
    fs::copy(other, &path).unwrap();
    assert!(!was_cached(&dir, &component));
    // Another gateway's key.
    fs::remove_file(dir.join("key")).unwrap();
    assert!(!was_cached(&dir, &component));
    assert!(was_cached(&dir, &component));
}

#[test]
fn machine_code_is_refused_as_a_plugin() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!was_cached(folder.path(), &Guest::default().build()));
    let file = fs::read(&compiled_files(folder.path())[0]).unwrap();
    assert_eq!(refused(file[32..].to_vec()).code(), "PLUGIN_PRECOMPILED");
}

#[test]
fn a_folder_that_cannot_be_a_cache_does_not_stop_a_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let engine = cached_engine(&file);
    Plugin::load(&engine, spec(Guest::default().build())).unwrap();
    assert_eq!(engine.cache_hits(), 0);
}
