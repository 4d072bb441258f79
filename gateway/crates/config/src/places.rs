//! Where each value of a plugin's `config` stands in the file, so that what others find wrong in it
//! is shown at its place.
//!
//! A place is named by the JSON Pointer (RFC 6901) of its value in the JSON that the plugin is given.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// The places of a configuration's values.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Place>);

/// Two configurations that say the same are equal, wherever in their files they say it.
impl PartialEq for Places {
    fn eq(&self, _: &Places) -> bool {
        true
    }
}

impl Eq for Places {}

/// Bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The value's key; of an element of a list, the element.
    pub(crate) key: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

/// What somebody else finds wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The value's JSON Pointer.
    pub pointer: String,
    /// What kind of mistake it is.
    pub kind: MisfitKind,
    /// What is wrong. Never holds a value.
    pub message: String,
    /// What to write.
    pub help: Option<String>,
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisfitKind {
    /// A key that there is not.
    UnknownKey,
    /// A key that must be there, of the table at the pointer.
    MissingKey,
    /// A value of another type.
    WrongType,
    /// A value that may not be.
    BadValue,
}

impl Places {
    pub(crate) fn put(&mut self, pointer: &str, place: Place) {
        self.0.insert(pointer.to_owned(), place);
    }

    /// The place of a value, or of the nearest one around it.
    fn find(&self, pointer: &str) -> Option<&Place> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.0.get(pointer) {
                return Some(place);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// What is wrong, at its places. `file`: anything that was said about the same file; `secrets`:
    /// pointers of values that are not shown.
    pub(crate) fn diagnose(
        &self,
        file: &Diagnostics,
        misfits: &[Misfit],
        secrets: &[String],
    ) -> Diagnostics {
        let hidden = secrets.iter().filter_map(|secret| Some(self.0.get(secret)?.value.clone()));
        let items = misfits.iter().map(|misfit| {
            let place = self.find(&misfit.pointer);
            let (code, of_key) = match misfit.kind {
                MisfitKind::UnknownKey => ("CONFIG_UNKNOWN_KEY", true),
                MisfitKind::MissingKey => ("CONFIG_MISSING_KEY", true),
                MisfitKind::WrongType => ("CONFIG_WRONG_TYPE", false),
                MisfitKind::BadValue => ("CONFIG_BAD_VALUE", false),
            };
            Diagnostic {
                code,
                severity: Severity::Error,
                message: misfit.message.clone(),
                span: place.map(|place| match of_key {
                    true => place.key.clone(),
                    false => place.value.clone(),
                }),
                help: misfit.help.clone(),
            }
        });
        file.of_same_file(items.collect(), hidden.collect())
    }

    /// A value's place as `file:line:column`.
    pub(crate) fn show(&self, file: &Diagnostics, pointer: &str) -> String {
        file.place_of(self.find(pointer).map(|place| &place.value))
    }
}

/// A reference token of a JSON Pointer.
pub(crate) fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
