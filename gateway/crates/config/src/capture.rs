//! `[capture]`: what is kept of changes as they come in, for trials of plugins.

use crate::keys::{Key, Kind, key};
use crate::model::Capture;
use crate::reader::Section;
use crate::redact;

/// Shortest secret, in bytes: what `openssl rand -base64 24` prints.
const SHORTEST: usize = 32;

/// What the table is for.
pub(crate) const TEXT: &str = "Keeps some of the changes as they come in, a batch a second at most, \
     in the folder `capture` of the log's, so that `offtake plugin try` and `reload` have something \
     to run over after a restart too. These are rows as the database has them, before any plugin \
     masks or removes a thing: therefore they are encrypted (ChaCha20-Poly1305), and nothing is \
     captured where the table is left out. Whoever has the secret and the folder reads them.";

/// The keys, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key {
        default: Some("nothing is captured"),
        text: "Changes kept for trials over restarts; see [capture].",
        ..key("", "capture", Kind::Table)
    },
    Key {
        default: Some("\"64MiB\""),
        range: "1MiB to 1GiB",
        example: "\"256MiB\"",
        text: "What all of it takes on the disk. The oldest eighth goes when it is full.",
        ..key("capture", "size", Kind::Size)
    },
    Key {
        range: "32 bytes or more",
        example: "\"${env:OFFTAKE_CAPTURE_SECRET}\"",
        text: "What it is encrypted with; `openssl rand -hex 32` makes one. With another secret the \
               gateway does not start until the folder `capture` of the log's is removed.",
        ..key("capture", "secret", Kind::Secret)
    },
];

/// The table, where it is there.
pub(crate) fn capture(top: &Section<'_, '_>) -> Option<Capture> {
    let section = top.section("capture", "capture");
    let bytes = section.size("size", 1 << 20..=1 << 30).unwrap_or(64 << 20);
    let raw = section.raw_text("secret");
    top.get("capture")?;
    section.require("secret");
    let raw = raw?;
    if !redact::is_reference(&raw.value) {
        section.context.hide(&raw.span);
    }
    let secret = section.context.resolve(&raw, false)?;
    if secret.expose().len() < SHORTEST {
        section.context.error(
            "CONFIG_BAD_VALUE",
            &raw.span,
            format!("`secret` is shorter than {SHORTEST} bytes"),
            Some("make one with `openssl rand -hex 32`".to_owned()),
        );
    }
    Some(Capture { bytes, secret })
}
