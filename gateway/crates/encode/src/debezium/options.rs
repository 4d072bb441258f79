//! Debezium's options that change bytes, by the names that its users know.
//!
//! Values only: what each does is where the bytes are made. Parsing text is the configuration's.

use offtake_change::Operation;

/// `decimal.handling.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecimalHandling {
    /// Connect's `Decimal`, and `VariableScaleDecimal` where the column has no scale.
    #[default]
    Precise,
    /// A double, which loses digits.
    Double,
    /// The digits as text.
    String,
}

/// `time.precision.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimePrecision {
    /// Milliseconds up to three digits of fraction, else microseconds.
    #[default]
    Adaptive,
    /// As adaptive, but times of day always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Connect's own types, in milliseconds.
    Connect,
    /// ISO 8601 text in UTC.
    IsoString,
    /// Always microseconds.
    Microseconds,
    /// Always nanoseconds.
    Nanoseconds,
}

/// `binary.handling.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinaryHandling {
    /// Connect's bytes.
    #[default]
    Bytes,
    /// Base64 text.
    Base64,
    /// Base64 text in the alphabet for URLs.
    Base64UrlSafe,
    /// Hexadecimal text, lower case.
    Hex,
}

/// `interval.handling.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalHandling {
    /// Microseconds, a month being a twelfth of 365.25 days.
    #[default]
    Numeric,
    /// ISO 8601 with every unit.
    String,
}

/// `hstore.handling.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HstoreHandling {
    /// JSON text.
    #[default]
    Json,
    /// A map.
    Map,
}

/// `field.name.adjustment.mode` and `schema.name.adjustment.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameAdjustment {
    /// Names as they are.
    #[default]
    None,
    /// What Avro does not allow becomes `_`.
    Avro,
    /// What Avro does not allow becomes `_uXXXX`.
    AvroUnicode,
}

/// What becomes of a column of a type that Debezium does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownTypes {
    /// Its canonical text as a string.
    #[default]
    Text,
    /// The column is left out, as Debezium does.
    Omit,
}

/// What becomes of a value that its schema cannot hold, for instance `NaN` in a `numeric`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnfitValues {
    /// Its text where the format allows any value anywhere (JSON without schemas), else an error.
    #[default]
    Keep,
    /// Null or the column's default, as Debezium does
    /// (`event.converting.failure.handling.mode=warn`).
    Null,
}

/// The operations that are not published (`skipped.operations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedOperations(u8);

impl SkippedOperations {
    /// Publishes every operation (`none`).
    pub const NONE: SkippedOperations = SkippedOperations(0);

    /// Leaves out one more.
    #[must_use]
    pub fn with(self, operation: Operation) -> SkippedOperations {
        SkippedOperations(self.0 | 1 << operation as u8)
    }

    /// Whether the operation is left out.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u8 != 0
    }
}

/// Truncates are left out, as Debezium's default has it.
impl Default for SkippedOperations {
    fn default() -> SkippedOperations {
        SkippedOperations::NONE.with(Operation::Truncate)
    }
}

/// Everything that Debezium leaves to its user and that changes bytes. The default is Debezium's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// JSON comes with its schema around it (`schemas.enable`).
    pub schemas: bool,
    /// `decimal.handling.mode`.
    pub decimal: DecimalHandling,
    /// `time.precision.mode`.
    pub time_precision: TimePrecision,
    /// `binary.handling.mode`.
    pub binary: BinaryHandling,
    /// `interval.handling.mode`.
    pub interval: IntervalHandling,
    /// `hstore.handling.mode`.
    pub hstore: HstoreHandling,
    /// Digits after the point of an amount of money (`money.fraction.digits`).
    pub money_fraction_digits: u8,
    /// What stands for a large value that an update left alone (`unavailable.value.placeholder`);
    /// with `hex:` before it, bytes in hexadecimal.
    pub unavailable_value: String,
    /// A null value after each delete, so that a compacted topic forgets the key
    /// (`tombstones.on.delete`).
    pub tombstones: bool,
    /// How names of fields are adjusted (`field.name.adjustment.mode`).
    pub field_names: NameAdjustment,
    /// How names of schemas are adjusted (`schema.name.adjustment.mode`).
    pub schema_names: NameAdjustment,
    /// `skipped.operations`.
    pub skipped_operations: SkippedOperations,
    /// The envelope tells the change's place in its transaction
    /// (`provide.transaction.metadata`).
    pub transactions: bool,
    /// Headers `__debezium.context.*` on every message (`extended.headers.enabled`).
    pub context_headers: bool,
    /// A null in a field with a default shows the default, in JSON
    /// (`JsonConverter`'s `replace.null.with.default`).
    pub replace_null_with_default: bool,
    /// Columns of types that Debezium does not know.
    pub unknown_types: UnknownTypes,
    /// Values that their schema cannot hold.
    pub unfit_values: UnfitValues,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            schemas: false,
            decimal: DecimalHandling::default(),
            time_precision: TimePrecision::default(),
            binary: BinaryHandling::default(),
            interval: IntervalHandling::default(),
            hstore: HstoreHandling::default(),
            money_fraction_digits: 2,
            unavailable_value: UNAVAILABLE_VALUE.to_owned(),
            tombstones: true,
            field_names: NameAdjustment::default(),
            schema_names: NameAdjustment::default(),
            skipped_operations: SkippedOperations::default(),
            transactions: false,
            context_headers: false,
            replace_null_with_default: true,
            unknown_types: UnknownTypes::default(),
            unfit_values: UnfitValues::default(),
        }
    }
}

/// Debezium's default stand-in for a large value that an update left alone.
pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";
