//! Types: from the catalogue's facts to a column's kind, its logical and native names, and the form
//! its text is read in.
//!
//! A logical name says what a value is in terms that do not depend on the database. A type modifier
//! is part of it: `decimal(12,2)`, `varchar(20)`, `timestamp(3)`.
//!
//! | PostgreSQL type | kind | logical name |
//! |---|---|---|
//! | `boolean` | boolean | `bool` |
//! | `smallint`, `integer`, `bigint` | integer | `int2`, `int4`, `int8` |
//! | `oid` | integer | `oid` |
//! | `real` | single | `float4` |
//! | `double precision` | number | `float8` |
//! | `numeric` | text | `decimal`, `decimal(12,2)` |
//! | `money` | text | `money` |
//! | `text`, `name` | text | `text` |
//! | `varchar` | text | `varchar`, `varchar(20)` |
//! | `char(n)`; `bpchar` without length; `"char"` | text | `char(10)`; `char`; `char(1)` |
//! | `bytea` | bytes | `bytes` |
//! | `date` | text | `date` |
//! | `time`, `timetz` | text | `time`, `time(3)`, `timetz`, `timetz(3)` |
//! | `timestamp`, `timestamptz` | text | `timestamp`, `timestamp(3)`, `timestamptz`, `timestamptz(3)` |
//! | `interval` | text | `interval`, `interval(3)` |
//! | `uuid`, `json`, `jsonb`, `xml` | text | `uuid`, `json`, `jsonb`, `xml` |
//! | `inet`, `cidr`, `macaddr`, `macaddr8` | text | the same |
//! | `bit`, `varbit` | text | `bit(3)`, `varbit`, `varbit(8)` |
//! | an enum | text | `enum`, with the labels in the column |
//! | a composite type | text | `composite` |
//! | ranges, multiranges, geometric types, `tsvector`, `pg_lsn` and every other | text | the type's name |
//! | types of extensions (`hstore`, `citext`, `ltree`, `vector`) | text | the type's name |
//! | an array | list | `list<` element `>` |
//! | a domain | its base's | its base's, the base's name in `domain_base` |
//! | a type that the catalogue no longer has | text | its name, or `unknown` |
//!
//! A list does not say how many dimensions its values have, and a value with lower bounds other
//! than 1 comes as text, see `array`.

use std::collections::HashMap;

use offtake_change::{Column, Kind};
use offtake_pgoutput as pgoutput;

use crate::array::ListForm;
use crate::built_in_types::BUILT_IN;
use crate::value::ValueForm;

/// One row of `pg_type`, with its schema's name and, of an enum, its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFacts {
    /// `oid`.
    pub oid: u32,
    /// `typname`.
    pub name: String,
    /// `nspname` of `typnamespace`.
    pub namespace: String,
    /// `typtype`: `b` base, `c` composite, `d` domain, `e` enum, `m` multirange, `r` range.
    pub typtype: u8,
    /// `typcategory`: `A` for arrays.
    pub typcategory: u8,
    /// `typelem`: an array's element; 0: none.
    pub typelem: u32,
    /// `typbasetype`: the type under a domain; 0: none.
    pub typbasetype: u32,
    /// `typtypmod`: a domain's modifier of its base; -1: none.
    pub typtypmod: i32,
    /// `typdelim`: between this type's values in an array.
    pub typdelim: u8,
    /// `enumlabel` in the order of `enumsortorder`.
    pub labels: Vec<String>,
}

/// A column as `pg_attribute` and the stream tell it; its type is looked up in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnFacts {
    /// Name, unquoted.
    pub name: String,
    /// OID of its type.
    pub type_id: u32,
    /// Type modifier; -1: none.
    pub type_modifier: i32,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// The default as the server prints it.
    pub default: Option<String>,
}

/// Types by OID: the built-in ones from the start, others as the source reads them.
#[derive(Clone, Debug)]
pub struct TypeCatalog {
    facts: HashMap<u32, TypeFacts>,
    /// Names that the stream told, for types that were dropped since.
    streamed_names: HashMap<u32, (String, String)>,
}

/// Domains over domains and arrays of domains over arrays that are followed; PostgreSQL has no
/// limit, people have.
const MAX_NESTING: usize = 16;

/// OID of the first type that is not built in (`FirstNormalObjectId`).
const FIRST_NORMAL_OID: u32 = 16_384;

impl Default for TypeCatalog {
    fn default() -> TypeCatalog {
        TypeCatalog::new()
    }
}

impl TypeCatalog {
    /// The built-in types that columns commonly have, with their arrays.
    pub fn new() -> TypeCatalog {
        let mut catalog = TypeCatalog { facts: HashMap::new(), streamed_names: HashMap::new() };
        for &(oid, name, array) in BUILT_IN {
            let element = TypeFacts {
                oid,
                name: name.to_owned(),
                namespace: "pg_catalog".to_owned(),
                typtype: b'b',
                typcategory: b'U',
                typelem: 0,
                typbasetype: 0,
                typtypmod: -1,
                typdelim: if name == "box" { b';' } else { b',' },
                labels: Vec::new(),
            };
            catalog.insert(TypeFacts {
                oid: array,
                name: format!("_{name}"),
                typcategory: b'A',
                typelem: oid,
                ..element.clone()
            });
            catalog.insert(element);
        }
        catalog
    }

    /// Adds a type, or replaces what was known of it.
    pub fn insert(&mut self, facts: TypeFacts) {
        self.facts.insert(facts.oid, facts);
    }

    /// The facts of a type.
    pub fn get(&self, oid: u32) -> Option<&TypeFacts> {
        self.facts.get(&oid)
    }

    /// Keeps the name that the stream told of a type. It serves where the catalogue no longer has
    /// the type; of a domain the server tells its base's name.
    pub fn note_name(&mut self, message: &pgoutput::Type<'_>) {
        let namespace = qualified_namespace(message.namespace).to_owned();
        self.streamed_names.insert(message.id, (namespace, message.name.to_owned()));
    }

    /// The OIDs whose facts are to be read before columns of these types can be made: ask until
    /// there is none, or the server knows no more, for facts name further types.
    pub fn missing(&self, type_ids: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut missing = Vec::new();
        for type_id in type_ids {
            let mut next = type_id;
            for _ in 0..MAX_NESTING {
                let Some(facts) = self.facts.get(&next) else {
                    missing.push(next);
                    break;
                };
                next = if facts.typtype == b'd' { facts.typbasetype } else { facts.typelem };
                if next == 0 {
                    break;
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Forgets every type that is not built in, so that it is read anew: `ALTER TYPE` may have
    /// changed it.
    pub fn forget_user_types(&mut self) {
        self.facts.retain(|&oid, _| oid < FIRST_NORMAL_OID);
    }

    /// The column of these facts, and how its text is read.
    pub(crate) fn column(&self, facts: &ColumnFacts) -> (Column, ValueForm) {
        let (mut column, form) = self.resolve(facts.type_id, facts.type_modifier, 0);
        column.name.clone_from(&facts.name);
        column.nullable = facts.nullable;
        column.default.clone_from(&facts.default);
        (column, form)
    }

    fn resolve(&self, type_id: u32, modifier: i32, depth: usize) -> (Column, ValueForm) {
        let Some(facts) = self.facts.get(&type_id).filter(|_| depth < MAX_NESTING) else {
            return self.resolve_by_name(type_id, modifier, depth);
        };
        if facts.typtype == b'd' {
            return self.resolve_domain(facts, modifier, depth);
        }
        if is_array(facts) {
            return self.resolve_array(facts, modifier, depth);
        }
        let (kind, logical, form) = scalar(facts, modifier);
        let column = Column {
            native: native_name(facts),
            type_id,
            type_modifier: modifier,
            labels: facts.labels.clone(),
            ..Column::new("", kind, logical)
        };
        (column, form)
    }

    /// A domain has its base's kind and form. The modifier is the domain's; a column of a domain
    /// has none of its own.
    fn resolve_domain(
        &self,
        facts: &TypeFacts,
        modifier: i32,
        depth: usize,
    ) -> (Column, ValueForm) {
        let modifier = if modifier == -1 { facts.typtypmod } else { modifier };
        let (base, form) = self.resolve(facts.typbasetype, modifier, depth + 1);
        let domain_base =
            if base.domain_base.is_empty() { base.native.clone() } else { base.domain_base };
        let column = Column { native: native_name(facts), type_id: facts.oid, domain_base, ..base };
        (column, form)
    }

    /// An array's modifier is its element's.
    fn resolve_array(&self, facts: &TypeFacts, modifier: i32, depth: usize) -> (Column, ValueForm) {
        let (element, form) = self.resolve(facts.typelem, modifier, depth + 1);
        let delimiter = self.facts.get(&facts.typelem).map_or(b',', |element| element.typdelim);
        let column = Column {
            native: format!("{}[]", element.native),
            type_id: facts.oid,
            type_modifier: modifier,
            ..Column::new("", Kind::List, format!("list<{}>", element.logical))
        };
        let column = Column { element: Some(Box::new(element)), ..column };
        (column, ValueForm::List(Box::new(ListForm { delimiter, element: form })))
    }

    /// A type without facts: dropped since the change was written. The stream told its name, or the
    /// name of the built-in type under a domain.
    fn resolve_by_name(&self, type_id: u32, modifier: i32, depth: usize) -> (Column, ValueForm) {
        let named = self.streamed_names.get(&type_id);
        if let Some((namespace, name)) = named
            && namespace == "pg_catalog"
            && let Some(base) =
                BUILT_IN.iter().find(|&&(oid, built_in, _)| built_in == name && oid != type_id)
            && depth < MAX_NESTING
        {
            let (column, form) = self.resolve(base.0, modifier, depth + 1);
            return (Column { type_id, ..column }, form);
        }
        let (logical, native) = match named {
            Some((namespace, name)) => (name.clone(), qualify(namespace, name)),
            None => ("unknown".to_owned(), "unknown".to_owned()),
        };
        let column = Column {
            native,
            type_id,
            type_modifier: modifier,
            ..Column::new("", Kind::Text, logical)
        };
        (column, ValueForm::Text)
    }
}

/// The schema of a name on the wire, where `pg_catalog` is the empty string.
pub(crate) fn qualified_namespace(namespace: &str) -> &str {
    if namespace.is_empty() { "pg_catalog" } else { namespace }
}

/// Whether the type is an array with array text. `int2vector` and `oidvector` are of the category
/// and have elements, but print them with spaces.
fn is_array(facts: &TypeFacts) -> bool {
    const VECTORS: [u32; 2] = [22, 30];
    facts.typcategory == b'A' && facts.typelem != 0 && !VECTORS.contains(&facts.oid)
}

fn native_name(facts: &TypeFacts) -> String {
    qualify(&facts.namespace, &facts.name)
}

/// A type's name, qualified where it is not built in.
fn qualify(namespace: &str, name: &str) -> String {
    if namespace == "pg_catalog" { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// Kind, logical name and form of a type that is no domain and no array.
fn scalar(facts: &TypeFacts, modifier: i32) -> (Kind, String, ValueForm) {
    let text = |logical: String| (Kind::Text, logical, ValueForm::Text);
    match facts.typtype {
        b'e' => return text("enum".to_owned()),
        b'c' => return text("composite".to_owned()),
        _ if facts.namespace != "pg_catalog" => return text(facts.name.clone()),
        _ => {}
    }
    match facts.name.as_str() {
        "bool" => (Kind::Boolean, "bool".to_owned(), ValueForm::Boolean),
        name @ ("int2" | "int4" | "int8" | "oid") => {
            (Kind::Integer, name.to_owned(), ValueForm::Integer)
        }
        "float4" => (Kind::Single, "float4".to_owned(), ValueForm::Single),
        "float8" => (Kind::Number, "float8".to_owned(), ValueForm::Number),
        "bytea" => (Kind::Bytes, "bytes".to_owned(), ValueForm::Bytes),
        name => text(text_logical(name, modifier)),
    }
}

/// Logical name of a built-in type whose values are text.
fn text_logical(name: &str, modifier: i32) -> String {
    /// Bytes of a header that the modifier of counted types includes (`VARHDRSZ`).
    const HEADER: i32 = 4;
    /// An interval's precision where none was given (`INTERVAL_FULL_PRECISION`).
    const FULL_PRECISION: i32 = 0xffff;
    let with = |logical: &str, length: i32| {
        if length < 0 { logical.to_owned() } else { format!("{logical}({length})") }
    };
    match name {
        "numeric" if modifier >= HEADER => {
            let packed = modifier - HEADER;
            let precision = packed >> 16 & 0xffff;
            // Eleven bits with a sign: since version 15 a scale may be negative.
            let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
            format!("decimal({precision},{scale})")
        }
        "numeric" => "decimal".to_owned(),
        "name" => "text".to_owned(),
        "char" => "char(1)".to_owned(),
        "varchar" => with("varchar", modifier.saturating_sub(HEADER)),
        "bpchar" => with("char", modifier.saturating_sub(HEADER)),
        "bit" | "varbit" | "time" | "timetz" | "timestamp" | "timestamptz" => with(name, modifier),
        "interval" if modifier >= 0 && modifier & 0xffff != FULL_PRECISION => {
            with("interval", modifier & 0xffff)
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(oid: u32, name: &str, typtype: u8) -> TypeFacts {
        TypeFacts {
            oid,
            name: name.to_owned(),
            namespace: "public".to_owned(),
            typtype,
            typcategory: b'U',
            typelem: 0,
            typbasetype: 0,
            typtypmod: -1,
            typdelim: b',',
            labels: Vec::new(),
        }
    }

    fn array_of(oid: u32, element: &TypeFacts) -> TypeFacts {
        TypeFacts {
            typcategory: b'A',
            typelem: element.oid,
            ..facts(oid, &format!("_{}", element.name), b'b')
        }
    }

    fn resolve(catalog: &TypeCatalog, type_id: u32, type_modifier: i32) -> (Column, ValueForm) {
        let name = "c".to_owned();
        catalog.column(&ColumnFacts { name, type_id, type_modifier, nullable: true, default: None })
    }

    #[test]
    fn modifiers_are_part_of_the_logical_name() {
        let catalog = TypeCatalog::new();
        for (type_id, modifier, logical) in [
            (1700, -1, "decimal"),
            (1700, (12 << 16 | 2) + 4, "decimal(12,2)"),
            (1700, (5 << 16 | (-3 & 0x7ff)) + 4, "decimal(5,-3)"),
            (1043, 24, "varchar(20)"),
            (1043, -1, "varchar"),
            (1042, 14, "char(10)"),
            (1042, -1, "char"),
            (18, -1, "char(1)"),
            (1114, 3, "timestamp(3)"),
            (1184, -1, "timestamptz"),
            (1184, 0, "timestamptz(0)"),
            (1083, 6, "time(6)"),
            (1186, -1, "interval"),
            (1186, 0x7fff_ffff, "interval"),
            (1186, 0x7fff_0003, "interval(3)"),
            (1560, 3, "bit(3)"),
            (1562, -1, "varbit"),
            (17, -1, "bytes"),
            (3904, -1, "int4range"),
            (1231, (12 << 16 | 2) + 4, "list<decimal(12,2)>"),
            (1007, -1, "list<int4>"),
        ] {
            assert_eq!(resolve(&catalog, type_id, modifier).0.logical, logical);
        }
        // No modifier, however odd, makes it panic.
        for &(type_id, _, array) in BUILT_IN {
            for modifier in [i32::MIN, -2, 0, 3, 4, i32::MAX] {
                resolve(&catalog, type_id, modifier);
                resolve(&catalog, array, modifier);
            }
        }
    }

    #[test]
    fn kinds_and_forms_agree() {
        let catalog = TypeCatalog::new();
        for (type_id, kind, form) in [
            (16, Kind::Boolean, ValueForm::Boolean),
            (21, Kind::Integer, ValueForm::Integer),
            (26, Kind::Integer, ValueForm::Integer),
            (700, Kind::Single, ValueForm::Single),
            (701, Kind::Number, ValueForm::Number),
            (1700, Kind::Text, ValueForm::Text),
            (17, Kind::Bytes, ValueForm::Bytes),
            (3802, Kind::Text, ValueForm::Text),
        ] {
            let (column, found) = resolve(&catalog, type_id, -1);
            assert_eq!((column.kind, found), (kind, form), "{}", column.native);
        }
    }

    #[test]
    fn an_enum_has_its_labels_and_its_array_has_the_enum() {
        let mut catalog = TypeCatalog::new();
        let labels = vec!["sad".to_owned(), "happy".to_owned()];
        let mood = TypeFacts { labels: labels.clone(), ..facts(90_000, "mood", b'e') };
        assert_eq!(catalog.missing([90_001, 23]), [90_001]);
        catalog.insert(array_of(90_001, &mood));
        assert_eq!(catalog.missing([90_001, 23]), [90_000]);
        catalog.insert(mood);
        assert_eq!(catalog.missing([90_001, 23]), Vec::<u32>::new());

        let (column, _) = resolve(&catalog, 90_000, -1);
        assert_eq!((column.logical.as_str(), column.native.as_str()), ("enum", "public.mood"));
        assert_eq!(column.labels, labels);
        let (column, _) = resolve(&catalog, 90_001, -1);
        assert_eq!(column.logical, "list<enum>");
        assert_eq!(column.native, "public.mood[]");
        assert_eq!(column.element.unwrap().labels, labels);

        catalog.forget_user_types();
        assert_eq!(catalog.missing([90_001, 1007]), [90_001]);
    }

    #[test]
    fn a_domain_decodes_as_its_base() {
        let mut catalog = TypeCatalog::new();
        let price = TypeFacts {
            typbasetype: 1700,
            typtypmod: (12 << 16 | 2) + 4,
            ..facts(90_000, "price", b'd')
        };
        let net = TypeFacts { typbasetype: 90_000, ..facts(90_001, "net", b'd') };
        let tags = TypeFacts { typbasetype: 1009, ..facts(90_002, "tags", b'd') };
        for domain in [&price, &net, &tags] {
            catalog.insert(domain.clone());
        }
        catalog.insert(array_of(90_003, &tags));

        let (column, form) = resolve(&catalog, 90_001, -1);
        assert_eq!(column.logical, "decimal(12,2)");
        assert_eq!(column.native, "public.net");
        assert_eq!(column.domain_base, "numeric");
        assert_eq!(column.type_id, 90_001);
        assert_eq!(form, ValueForm::Text);

        let (column, form) = resolve(&catalog, 90_002, -1);
        assert_eq!((column.kind, column.logical.as_str()), (Kind::List, "list<text>"));
        assert_eq!(column.domain_base, "text[]");
        assert!(matches!(form, ValueForm::List(_)));

        let (column, form) = resolve(&catalog, 90_003, -1);
        assert_eq!(column.logical, "list<list<text>>");
        let ValueForm::List(list) = form else { panic!("no list") };
        assert!(matches!(list.element, ValueForm::List(_)));
    }

    #[test]
    fn vectors_are_text_and_boxes_part_at_semicolons() {
        let mut catalog = TypeCatalog::new();
        let vector = TypeFacts {
            namespace: "pg_catalog".to_owned(),
            typcategory: b'A',
            typelem: 21,
            ..facts(22, "int2vector", b'b')
        };
        catalog.insert(vector);
        assert_eq!(resolve(&catalog, 22, -1).1, ValueForm::Text);
        let (_, form) = resolve(&catalog, 1020, -1);
        let ValueForm::List(list) = form else { panic!("no list") };
        assert_eq!(list.delimiter, b';');
    }

    #[test]
    fn extensions_composites_and_unknown_types_are_text() {
        let mut catalog = TypeCatalog::new();
        catalog.insert(facts(90_000, "hstore", b'b'));
        // An extension's type does not pass for a built-in one of the same name.
        catalog.insert(facts(90_001, "int4", b'b'));
        catalog.insert(facts(90_002, "address", b'c'));
        for (type_id, logical, native) in [
            (90_000, "hstore", "public.hstore"),
            (90_001, "int4", "public.int4"),
            (90_002, "composite", "public.address"),
            (90_003, "unknown", "unknown"),
        ] {
            let (column, form) = resolve(&catalog, type_id, -1);
            assert_eq!((column.logical.as_str(), column.native.as_str()), (logical, native));
            assert_eq!((column.kind, form), (Kind::Text, ValueForm::Text));
        }
    }

    #[test]
    fn a_dropped_type_goes_by_the_name_that_the_stream_told() {
        let mut catalog = TypeCatalog::new();
        for (id, namespace, name) in [(90_000, "public", "mood"), (90_001, "", "int4")] {
            catalog.note_name(&pgoutput::Type { xid: None, id, namespace, name });
        }
        let (column, _) = resolve(&catalog, 90_000, -1);
        assert_eq!((column.logical.as_str(), column.native.as_str()), ("mood", "public.mood"));
        // Of a domain the server tells the base.
        let (column, form) = resolve(&catalog, 90_001, -1);
        assert_eq!((column.logical.as_str(), column.type_id), ("int4", 90_001));
        assert_eq!(form, ValueForm::Integer);
    }

    #[test]
    fn types_that_refer_to_themselves_end() {
        let mut catalog = TypeCatalog::new();
        catalog.insert(TypeFacts { typbasetype: 90_000, ..facts(90_000, "loop", b'd') });
        catalog.insert(TypeFacts {
            typelem: 90_001,
            typcategory: b'A',
            ..facts(90_001, "_l", b'b')
        });
        resolve(&catalog, 90_000, -1);
        resolve(&catalog, 90_001, -1);
        assert_eq!(catalog.missing([90_000, 90_001]), Vec::<u32>::new());
    }
}
