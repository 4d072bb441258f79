//! Write a plugin for the Offtake gateway: a struct and one trait.
//!
//! A plugin sees the changes of a database on their way to the gateway's log, up to 256 at a time
//! and only the columns that it asked for, and says what becomes of them. `sdk/README.md` goes from
//! nothing to a plugin on one's own stream; this page is the reference.
//!
//! ```
//! use offtake_sdk::{Batch, Config, Failure, Image, Info, Interest, Schema, Transform, Verdict};
//!
//! /// Writes one text column in capitals.
//! struct Capitals {
//!     column: String,
//! }
//!
//! impl Transform for Capitals {
//!     fn configure(config: Config) -> Result<Self, Failure> {
//!         let mut fields = config.fields()?;
//!         let column = fields.required_text("column")?;
//!         fields.finish()?; // refuses keys that nobody asked for
//!         Ok(Capitals { column })
//!     }
//!
//!     fn info(&self) -> Info {
//!         Info::new("capitals", "1.0.0")
//!     }
//!
//!     fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
//!         Ok(Interest::in_columns(schema, [&self.column]))
//!     }
//!
//!     fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
//!         if let Some(column) = batch.text(Image::After, &self.column)? {
//!             for (row, text) in column.values() {
//!                 verdict.write_text(column.id(), row).push_str(&text.to_uppercase());
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! offtake_sdk::export!(Capitals);
//! # fn main() {}
//! ```
//!
//! Where one change at a time is preferred to columns: [`each_row`].
//!
//! What holds for every plugin:
//! - **No surroundings.** No file, network, clock or randomness; equal batches give equal answers,
//!   and cutting the same changes into other batches changes nothing. What a plugin keeps in its
//!   struct is a cache: the gateway may start a fresh instance between two calls.
//! - **Saying nothing passes everything.** Only what the verdict names is touched.
//! - **Four states.** A column of a row has a value, or is NULL, or is *unchanged* (a large value
//!   that the update left alone; the database does not send it), or *absent* (not in this image, as
//!   in the before image of an update under the default replica identity). They differ, see
//!   [`Field`].
//! - **Failures name no values.** Messages and log lines end up in files; rows must not.

// The examples and the macro say `offtake_sdk::…`, also in this crate's own bindings.
extern crate self as offtake_sdk;

mod batch;
#[doc(hidden)]
pub mod bindings;
mod config;
mod emit;
mod host;
#[doc(hidden)]
pub mod instance;
mod json;
mod row;
mod row_image;
mod schema;
mod setter;
mod shape;
pub mod state;
mod verdict;

pub use batch::{Batch, Column, ColumnId, Field, Image, Operation, TextColumn, Value};
pub use bindings::exports::offtake::transform::plugin::{Failure, Schema};
pub use bindings::offtake::transform::types::{ColumnInfo, Kind, Metadata, Subject};
pub use config::{Config, Fields};
pub use emit::Emission;
pub use host::{Counter, Level, log};
pub use json::Json;
pub use row::{Row, each_newest, each_row};
pub use row_image::RowImage;
pub use schema::{Info, Interest};
pub use shape::Output;
pub use verdict::{TextWriter, Verdict};

/// A plugin. One value of it lives as long as an instance does; calls come one at a time.
pub trait Transform: Sized + 'static {
    /// Makes the plugin from the `config` table of its TOML.
    ///
    /// # Errors
    /// A [`Failure`] refuses the configuration; the gateway shows its message and does not start.
    fn configure(config: Config) -> Result<Self, Failure>;

    /// Name, version and promises.
    fn info(&self) -> Info;

    /// Says what the plugin wants to see of a table. Called once a table, and again when its
    /// definition changed.
    ///
    /// # Errors
    /// A [`Failure`] stops the pipeline: the plugin cannot work on such a table.
    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure>;

    /// Looks at changes of one table and fills in the verdict.
    ///
    /// # Errors
    /// A [`Failure`] fails the whole call; nothing of the verdict is used. To fail one change, use
    /// [`Verdict::fail`].
    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure>;
}

impl Failure {
    /// A failure that another attempt would meet again. The message must not repeat row values.
    pub fn permanent(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), permanent: true }
    }

    /// A failure that a fresh instance may not meet.
    pub fn transient(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), permanent: false }
    }
}

/// Makes a type that implements [`Transform`] the plugin of this crate. Once a crate, which is
/// built as a `cdylib`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[doc(hidden)]
        #[allow(unsafe_code, reason = "the exported functions pass memory between host and guest")]
        #[allow(dead_code, reason = "outside WebAssembly nothing is exported, only tested")]
        mod offtake_component {
            use super::*;
            use $crate::bindings::exports::offtake::transform::plugin;

            std::thread_local! {
                static INSTANCE: $crate::instance::Slot<$plugin> =
                    const { $crate::instance::Slot::new() };
            }

            pub(crate) struct Component;

            impl plugin::Guest for Component {
                fn configure(config_json: String) -> Result<plugin::Info, plugin::Failure> {
                    INSTANCE.with(|slot| slot.configure(config_json))
                }
                fn on_schema(schema: plugin::Schema) -> Result<plugin::Interest, plugin::Failure> {
                    INSTANCE.with(|slot| slot.on_schema(schema))
                }
                fn process(batch: plugin::Batch) -> Result<plugin::Verdict, plugin::Failure> {
                    INSTANCE.with(|slot| slot.process(&batch))
                }
            }

            // The names of the exports are no symbols that a native linker takes.
            #[cfg(target_family = "wasm")]
            $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        }
    };
}

/// Puts the JSON Schema of the plugin's configuration into the plugin, from a file whose path starts
/// at the source file that says this. The gateway then shows every mistake in `config` at its place in
/// the TOML, before the plugin is started; `sdk/README.md` says what a schema may have. The plugin
/// still judges what it is given.
///
/// ```ignore
/// offtake_sdk::export!(Capitals);
/// offtake_sdk::config_schema!("../config.schema.json");
/// ```
#[macro_export]
macro_rules! config_schema {
    ($path:literal) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "a section's name could be one that means something else")]
        #[unsafe(link_section = "offtake:config-schema")]
        #[used]
        static OFFTAKE_CONFIG_SCHEMA: [u8; include_bytes!($path).len()] = *include_bytes!($path);
    };
}
