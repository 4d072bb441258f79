//! Types of columns, as far as comparisons care.

/// What a column's values are and how they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Boolean,
    /// Signed, up to 64 bits.
    Integer,
    /// Unsigned, up to 64 bits.
    Unsigned,
    /// A 32-bit float; a number in the text is rounded to it.
    Float32,
    /// A 64-bit float.
    Float64,
    /// A decimal as text, compared exactly.
    Decimal,
    /// Free text, ordered by code points.
    Text,
    /// Text that the database fills with blanks; those at the end do not count.
    Char,
    /// Bytes.
    Bytes,
    /// A UUID as text; upper and lower case are alike.
    Uuid,
    /// `2026-11-22`
    Date,
    /// `18:00:00.5`
    Time,
    /// A date and a time without a zone.
    Timestamp,
    /// An instant: a date and a time with an offset.
    TimestampTz,
    /// A JSON text: equality of the text, and `->>`.
    Json,
    /// Every other type that travels as text: equality of its canonical text.
    Canonical,
    /// A list, which is not compared.
    List,
}

impl Type {
    /// The type of a column whose values travel as text, from the name of its logical type
    /// (`decimal(12,2)`, `timestamptz`, `list<int4>`).
    pub fn of_text(logical: &str) -> Type {
        if logical.starts_with("list<") {
            return Type::List;
        }
        let base = logical.split('(').next().unwrap_or_default();
        match base {
            "text" | "string" | "varchar" | "citext" | "name" => Type::Text,
            "char" | "bpchar" | "character" => Type::Char,
            "decimal" | "numeric" => Type::Decimal,
            "uuid" => Type::Uuid,
            "date" => Type::Date,
            "time" => Type::Time,
            "timestamp" => Type::Timestamp,
            "timestamptz" => Type::TimestampTz,
            "json" | "jsonb" => Type::Json,
            _ => Type::Canonical,
        }
    }

    /// What a value of it is called in messages.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Type::Boolean => "a condition",
            Type::Integer | Type::Unsigned => "a whole number",
            Type::Float32 | Type::Float64 => "a float",
            Type::Decimal => "a decimal",
            Type::Text | Type::Char => "a text",
            Type::Bytes => "bytes",
            Type::Uuid => "a UUID",
            Type::Date => "a date",
            Type::Time => "a time of day",
            Type::Timestamp => "a timestamp without a zone",
            Type::TimestampTz => "an instant",
            Type::Json => "a JSON text",
            Type::Canonical => "of a type that is compared as text",
            Type::List => "a list",
        }
    }

    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Type::Integer | Type::Unsigned)
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Type::Float32 | Type::Float64)
    }

    pub(crate) fn is_number(self) -> bool {
        self.is_whole() || self.is_float() || self == Type::Decimal
    }

    /// Whether the functions of texts take it.
    pub(crate) fn is_textual(self) -> bool {
        matches!(self, Type::Text | Type::Char | Type::Uuid | Type::Json | Type::Canonical)
    }

    /// Whether one of its values can be less than another.
    pub(crate) fn has_order(self) -> bool {
        !matches!(self, Type::Boolean | Type::Json | Type::Canonical | Type::List)
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'t> {
    /// Its name as in the database.
    pub name: &'t str,
    /// How its values are compared.
    pub ty: Type,
    /// The type's name for messages, as the database has it.
    pub type_name: &'t str,
}

/// What an expression is compiled against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'t> {
    /// The database, for `$database`.
    pub database: &'t str,
    /// The schema in which the table is, for `$schema`; may be empty.
    pub schema: &'t str,
    /// The table, for `$table`.
    pub name: &'t str,
    /// Its columns; their places here are the ordinals that a program names.
    pub columns: &'t [Column<'t>],
}

impl Table<'_> {
    /// The table as a person writes it: `public.orders`.
    pub(crate) fn qualified_name(&self) -> String {
        if self.schema.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{}", self.schema, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_from_the_logical_name() {
        for (logical, ty) in [
            ("text", Type::Text),
            ("varchar(20)", Type::Text),
            ("char(10)", Type::Char),
            ("decimal(12,2)", Type::Decimal),
            ("timestamptz(3)", Type::TimestampTz),
            ("timestamp", Type::Timestamp),
            ("jsonb", Type::Json),
            ("timetz", Type::Canonical),
            ("enum", Type::Canonical),
            ("list<text>", Type::List),
            ("", Type::Canonical),
        ] {
            assert_eq!(Type::of_text(logical), ty, "{logical}");
        }
    }
}
