//! The tree that a text is parsed to: what was written, with its place, and nothing resolved.

/// A place in the source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

impl Span {
    pub(crate) fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// A parsed expression. Two are equal where their trees are, wherever the parts stood; `Display`
/// prints one that parses to the same tree.
#[derive(Clone, Debug)]
pub struct Expression {
    pub(crate) source: String,
    pub(crate) root: Node,
}

impl Expression {
    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The text that was parsed, to which [`crate::Error::report`] refers.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.root == other.root
    }
}

/// A part of an expression and where it stands. Equality does not look at the place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub term: Term,
    /// Where it stands.
    pub at: Span,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.term == other.term
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A value written in the text.
    Literal(Literal),
    /// A column, of the image that was named or of the one that the row has.
    Column {
        /// `before.`, `after.` or neither.
        image: Option<Image>,
        /// The name as in the database.
        name: String,
    },
    /// `$op` and its like.
    Metadata(Metadata),
    /// `$header('name')`.
    Header(String),
    /// `function(arguments)`.
    Call {
        /// Which.
        function: Function,
        /// As many as it takes.
        arguments: Vec<Node>,
    },
    /// `value ->> 'name'`: the member of a JSON object as text.
    Member {
        /// The object.
        value: Box<Node>,
        /// The member's name.
        name: String,
    },
    /// `left = right`.
    Compare {
        /// Which comparison.
        relation: Relation,
        /// Its left side.
        left: Box<Node>,
        /// Its right side.
        right: Box<Node>,
    },
    /// `value in (…)`.
    In {
        /// What is looked for.
        value: Box<Node>,
        /// At least one.
        list: Vec<Node>,
        /// `not in`.
        negated: bool,
    },
    /// `value between low and high`.
    Between {
        /// What is compared.
        value: Box<Node>,
        /// The least that it may be.
        low: Box<Node>,
        /// The most that it may be.
        high: Box<Node>,
        /// `not between`.
        negated: bool,
    },
    /// `value like 'pattern'`.
    Like {
        /// What is matched.
        value: Box<Node>,
        /// The pattern as written.
        pattern: String,
        /// `ilike`: upper and lower case are alike.
        folded: bool,
        /// `not like`.
        negated: bool,
    },
    /// `value is null`.
    IsNull {
        /// What is asked about.
        value: Box<Node>,
        /// `is not null`.
        negated: bool,
    },
    /// `left is distinct from right`.
    IsDistinct {
        /// Its left side.
        left: Box<Node>,
        /// Its right side.
        right: Box<Node>,
        /// `is not distinct from`.
        negated: bool,
    },
    /// `column is changed`.
    IsChanged {
        /// The column.
        name: String,
        /// `is not changed`.
        negated: bool,
    },
    /// `not condition`.
    Not(Box<Node>),
    /// `a and b and c`; two or more.
    And(Vec<Node>),
    /// `a or b or c`; two or more.
    Or(Vec<Node>),
}

/// A value written in the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a point, or a whole one beyond 64 bits: sign and digits as written.
    Decimal(String),
    /// A number with an exponent.
    Float(f64),
    /// `'text'`.
    Text(String),
    /// `x'00ff'`.
    Bytes(Vec<u8>),
}

/// Which row of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// The row before the change.
    Before,
    /// The row after the change.
    After,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The word of the language.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// What is known of a change beside its row.
    Metadata {
        /// `c`, `u`, `d`, `r` (read by a snapshot), `t`, `m`.
        Operation = "op",
        /// The table's name.
        Table = "table",
        /// The schema in which the table is.
        Schema = "schema",
        /// The database.
        Database = "database",
        /// When the transaction was committed; NULL for rows of a snapshot.
        CommitTime = "commit_time",
        /// The transaction as opaque text; NULL for rows of a snapshot.
        Transaction = "transaction",
        /// Whether a snapshot read the row.
        Snapshot = "snapshot",
    }
}

words! {
    /// A function.
    Function {
        /// Whether a text begins with another.
        StartsWith = "starts_with",
        /// Whether a text ends with another.
        EndsWith = "ends_with",
        /// Whether a text is somewhere in another.
        Contains = "contains",
        /// A text in lower case.
        Lower = "lower",
        /// A text in upper case.
        Upper = "upper",
        /// Characters of a text, bytes of bytes.
        Length = "length",
        /// A part of a text, by its first character from 1 and its length.
        Substring = "substring",
        /// The first argument that is not NULL.
        Coalesce = "coalesce",
    }
}

impl Function {
    /// How many arguments it takes at least and at most.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Function::StartsWith | Function::EndsWith | Function::Contains => (2, 2),
            Function::Lower | Function::Upper | Function::Length => (1, 1),
            Function::Substring => (2, 3),
            Function::Coalesce => (1, usize::MAX),
        }
    }
}

words! {
    /// A comparison.
    Relation {
        /// Equal.
        Equal = "=",
        /// Not equal; also written `!=`.
        NotEqual = "<>",
        /// Less.
        Less = "<",
        /// Less or equal.
        AtMost = "<=",
        /// Greater.
        Greater = ">",
        /// Greater or equal.
        AtLeast = ">=",
    }
}

impl Relation {
    /// Whether it asks for an order and not for equality alone.
    pub fn orders(self) -> bool {
        !matches!(self, Relation::Equal | Relation::NotEqual)
    }
}
