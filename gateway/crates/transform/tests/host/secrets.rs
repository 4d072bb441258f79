//! What a plugin says in its log lines: shown where it may be, withheld where it may hold a secret.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, Once};

use offtake_transform::Plugin;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::batches::{batch, customers, schema};
use crate::zoo::{Guest, instance, load};

/// Keeps the text of every event.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<String>>);

impl Subscriber for Captured {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("offtake_transform")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        write!(text, "{} ", event.metadata().level()).unwrap();
        event.record(&mut Fields(&mut text));
        text.push('\n');
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

/// What is logged while a plugin that logs `lines` times handles a change.
fn logged(protects: bool, lines: u32) -> String {
    let mut guest = Guest { protects, ..Guest::doing("") };
    let at = guest.layout.put(b"row of jane@example.com");
    let line = format!("(call $log (i32.const 2) (i32.const {at}) (i32.const 23))");
    guest.process = format!("{} (i32.const 512)", line.repeat(lines as usize));
    captured(|| {
        let mut plugin = instance(&guest);
        let mut batch = batch(&schema(), &customers(1));
        plugin.process(&mut batch, &[0]).unwrap();
    })
}

/// What the crate logs meanwhile.
pub(crate) fn captured(work: impl FnOnce()) -> String {
    // Without a subscriber of the whole process a thread that has none, in another test, could have the
    // place of the log line remembered as one that nobody listens to.
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(Captured::default()).unwrap();
    });
    let captured = Captured::default();
    tracing::subscriber::with_default(captured.clone(), work);
    captured.0.lock().unwrap().clone()
}

#[test]
fn a_plugins_lines_appear_at_the_debug_level_and_at_a_limited_rate() {
    let text = logged(false, 1);
    assert!(text.starts_with("DEBUG ") && text.contains("jane@example.com"), "{text}");
    assert!(text.contains("plugin=\"zoo\"") && text.contains("level=\"info\""), "{text}");
    // Ten a second are allowed; fifty take far less than four seconds.
    let count = logged(false, 50).lines().count();
    assert!((10..50).contains(&count), "{count} lines");
}

#[test]
fn lines_of_a_plugin_that_protects_are_withheld_while_it_sees_changes() {
    let text = logged(true, 1);
    assert!(!text.contains("jane"), "{text}");
    assert!(text.contains("withheld") && text.contains("bytes=23"), "{text}");
}

#[test]
fn over_fixtures_a_plugin_that_protects_is_heard_and_nowhere_else() {
    let mut guest = Guest { protects: true, ..Guest::doing("") };
    let at = guest.layout.put(b"row of jane@example.com");
    let line = format!("(call $log (i32.const 4) (i32.const {at}) (i32.const 23))");
    guest.process = format!("{line} (unreachable)");
    let plugin = load(&guest).unwrap();
    let fault = |plugin: &Plugin| {
        let mut text = String::new();
        let logged = captured(|| {
            let mut batch = batch(&schema(), &customers(1));
            let fault = plugin.instance().unwrap().process(&mut batch, &[0]).unwrap_err();
            text = fault.to_string();
        });
        (text, logged)
    };
    for quiet in [plugin.clone(), plugin.apart(), plugin.over_fixtures().withheld()] {
        let (fault, logged) = fault(&quiet);
        assert!(!fault.contains("jane") && !logged.contains("jane"), "{fault}\n{logged}");
    }
    for heard in [plugin.over_fixtures(), plugin.over_fixtures().apart()] {
        let (fault, logged) = fault(&heard);
        assert!(fault.contains("jane@example.com"), "{fault}");
        assert!(logged.contains("jane@example.com"), "{logged}");
    }
}
