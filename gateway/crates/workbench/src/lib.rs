//! The workbench: what the author of a plugin works with, on the production host.
//!
//! A fixture (`sdk/fixtures.md`) is a folder with a configuration, tables, changes and what is
//! expected of them. [`check`] runs a plugin over fixtures as the pipeline would and compares;
//! [`report`] says what came of it. [`bench`] measures, [`inspect`] looks at a file,
//! [`language`] begins and builds a plugin, [`record`] writes changes down as a fixture. Nothing of it is part of a running gateway: no source, no log and
//! no sink is known here.

mod batches;
pub mod bench;
mod changes;
pub mod check;
mod difference;
pub mod fixture;
pub mod inspect;
mod json_place;
pub mod language;
mod mistake;
pub mod record;
pub mod report;
mod run;
mod tables;
mod time;
mod values;

pub use changes::Changes;
pub use difference::Difference;
pub use mistake::Mistake;
pub use run::{Outcome, Refusal, run};
