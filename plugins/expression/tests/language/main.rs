//! The language as its users meet it: operators, tables of truth, errors, and properties that hold
//! of every expression and every text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod errors;
mod generate;
mod naive;
mod operators;
mod properties;
mod row;
