//! That the login reaches the registry and nothing else: no error, no `Debug`, no log line. In a
//! process of its own, for the level of the crate `log` is the process's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the other tests' server; this one needs a part of it")]
#[path = "answers/server.rs"]
mod server;

use std::sync::Mutex;

use offtake_registry::{Authentication, Registry, RegistryOptions, SchemaType};
use server::{Answer, Server, status};

static LINES: Mutex<String> = Mutex::new(String::new());

/// Keeps everything that is logged.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        LINES.lock().unwrap().push_str(&line);
    }

    fn flush(&self) {}
}

/// What is logged while a schema is registered.
fn logged(options: &RegistryOptions) -> String {
    LINES.lock().unwrap().clear();
    log::set_max_level(log::LevelFilter::Trace);
    let registry = Registry::new(options).unwrap();
    let error = registry.register("s", SchemaType::Avro, "\"int\"", &[]).unwrap_err();
    let lines = LINES.lock().unwrap().clone();
    for text in [format!("{error} {error:?}"), format!("{registry:?} {options:?}"), lines.clone()] {
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVy"), "{text}");
    }
    lines
}

#[test]
fn the_login_is_sent_and_never_printed_or_logged() {
    static LOG: Lines = Lines;
    log::set_logger(&LOG).unwrap();
    let server = Server::start(|asked| match asked.headers.len() {
        0 => Answer::Silence,
        _ => status("401 Unauthorized", "", ""),
    });
    let with = |authentication| RegistryOptions {
        urls: vec![server.url.clone()],
        authentication,
        ..RegistryOptions::default()
    };
    // Who logs the request's bytes, in rows of sixteen; they must not be there with a login.
    let row = "ureq_proto::util";
    let lines = logged(&with(Authentication::None));
    assert!(lines.contains(row), "{lines}");
    for (authentication, expected) in [
        (
            Authentication::Basic { username: "shop".into(), password: "hunter2".into() },
            "authorization: Basic c2hvcDpodW50ZXIy",
        ),
        (Authentication::Bearer { token: "hunter2".into() }, "authorization: Bearer hunter2"),
    ] {
        let lines = logged(&with(authentication));
        assert!(lines.contains("Request") && !lines.contains(row), "{lines}");
        let asked = server.asked().pop().unwrap();
        assert!(asked.headers.iter().any(|header| header == expected), "{:?}", asked.headers);
    }
}
