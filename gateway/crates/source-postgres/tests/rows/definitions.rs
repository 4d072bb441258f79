//! Definitions of tables as the stream tells them, completed from the catalogue: one definition has
//! one schema, a changed one the next version, whatever time the catalogue tells of.

use std::sync::Arc;

use offtake_change::ReplicaIdentity;
use offtake_source_postgres::{ColumnFacts, RelationCache, TypeCatalog};

use super::*;

#[test]
fn the_stream_and_the_catalogue_describe_a_table_alike() {
    let types = TypeCatalog::new();
    let columns = vec![
        ColumnFacts { nullable: false, ..column("line", INT4) },
        ColumnFacts { default: Some("'x'::text".to_owned()), ..column("note", TEXT) },
        ColumnFacts { nullable: false, ..column("id", INT8) },
        ColumnFacts { type_modifier: 24, ..column("größe", 1043) },
    ];
    let facts = facts(ReplicaIdentity::Key, &["id", "line"], columns);
    let mut cache = RelationCache::new("shop");
    let described = cache.describe(&facts, &types);
    let told = [
        (true, "line", INT4, -1),
        (false, "note", TEXT, -1),
        (true, "id", INT8, -1),
        (false, "größe", 1043, 24),
    ];
    let announced = announce(&mut cache, &relation_message(b'd', &told), Some(&facts), &types);
    assert!(Arc::ptr_eq(&described.schema, &announced.schema), "one definition, one schema");
    let schema = &announced.schema;
    assert_eq!(schema.qualified_name(), "public.orders");
    assert_eq!((schema.version, schema.database.as_str()), (1, "shop"));
    assert_eq!(schema.key, [2, 0], "in the order of the primary key");
    assert!(!schema.columns[0].nullable && schema.columns[1].nullable);
    assert_eq!(schema.columns[1].default.as_deref(), Some("'x'::text"));
    assert_eq!(schema.columns[3].logical, "varchar(20)");
}

#[test]
fn a_relation_that_is_told_again_after_a_rename_in_the_catalogue_is_the_same_definition() {
    let types = TypeCatalog::new();
    let mut cache = RelationCache::new("shop");
    let at_first = |name| {
        let amount =
            ColumnFacts { nullable: false, default: Some("0".to_owned()), ..column(name, INT4) };
        let columns = vec![ColumnFacts { nullable: false, ..column("id", INT8) }, amount];
        facts(ReplicaIdentity::Key, &["id"], columns)
    };
    let told = relation_message(b'd', &[(true, "id", INT8, -1), (false, "amount", INT4, -1)]);
    let before = announce(&mut cache, &told, Some(&at_first("amount")), &types);
    assert!(!before.schema.columns[1].nullable);
    // Rows from before the rename are still to come.
    let again = announce(&mut cache, &told, Some(&at_first("total")), &types);
    assert!(Arc::ptr_eq(&before.schema, &again.schema));
    let gone = announce(&mut cache, &told, None, &types);
    assert!(Arc::ptr_eq(&before.schema, &gone.schema), "the table was dropped since");
    // Another type is another definition, of which the catalogue says nothing.
    let told = relation_message(b'd', &[(true, "id", INT8, -1), (false, "amount", INT8, -1)]);
    let changed = announce(&mut cache, &told, Some(&at_first("total")), &types);
    assert_eq!((changed.schema.version, changed.schema.columns[1].nullable), (2, true));
}

#[test]
fn a_changed_definition_has_the_next_version_and_an_equal_one_keeps_it() {
    let types = TypeCatalog::new();
    let mut cache = RelationCache::new("shop");
    let first = [(true, "id", INT8, -1)];
    let second = [(true, "id", INT8, -1), (false, "note", TEXT, -1)];
    let one = announce(&mut cache, &relation_message(b'd', &first), None, &types);
    let again = announce(&mut cache, &relation_message(b'd', &first), None, &types);
    assert!(Arc::ptr_eq(&one.schema, &again.schema));
    let two = announce(&mut cache, &relation_message(b'd', &second), None, &types);
    assert_eq!((one.schema.version, two.schema.version), (1, 2));
    assert!(cache.get(7).is_some_and(|relation| Arc::ptr_eq(relation, &two)));

    cache.clear_session();
    assert!(cache.get(7).is_none(), "the next session announces its own");
    let same = announce(&mut cache, &relation_message(b'd', &second), None, &types);
    assert!(Arc::ptr_eq(&same.schema, &two.schema), "the definition outlives the session");
    let identity = announce(&mut cache, &relation_message(b'f', &second), None, &types);
    assert_eq!(identity.schema.version, 3, "the replica identity is part of the definition");

    let mut later = RelationCache::new("shop");
    later.seed(Arc::clone(&two.schema));
    later.seed(Arc::clone(&one.schema));
    let same = announce(&mut later, &relation_message(b'd', &second), None, &types);
    assert!(Arc::ptr_eq(&same.schema, &two.schema), "versions go on from an earlier process");
}

#[test]
fn the_key_is_the_streams_where_the_catalogue_tells_of_another_time() {
    let types = TypeCatalog::new();
    let told = [(true, "id", INT8, -1), (false, "code", TEXT, -1)];
    let columns = || vec![column("id", INT8), column("code", TEXT)];
    for (identity, told_key, catalogued, expected) in [
        (b'd', told, &["id"][..], &[0_u32][..]),
        // The primary key was moved to another column since.
        (b'd', told, &["code"], &[0]),
        // It has a column since that the stream does not have.
        (b'd', told, &["id", "added"], &[0]),
        (b'i', told, &["code"], &[1]),
        (b'i', told, &[], &[0]),
        (b'n', told, &["id"], &[0]),
        (b'n', told, &[], &[]),
        // Under FULL every column is marked, which makes no key.
        (b'f', told, &[], &[]),
        (b'f', told, &["code", "id"], &[1, 0]),
    ] {
        let mut told_key = told_key;
        if matches!(identity, b'f' | b'n') {
            told_key.iter_mut().for_each(|column| column.0 = identity == b'f');
        }
        let facts = facts(ReplicaIdentity::Key, catalogued, columns());
        let mut cache = RelationCache::new("shop");
        let bytes = relation_message(identity, &told_key);
        let relation = announce(&mut cache, &bytes, Some(&facts), &types);
        assert_eq!(relation.schema.key, expected, "{} {catalogued:?}", char::from(identity));
    }
}

#[test]
fn a_table_without_a_primary_key_goes_by_its_unique_index() {
    let types = TypeCatalog::new();
    let columns = || vec![column("id", INT8), column("code", TEXT)];
    let unmarked = [(false, "id", INT8, -1), (false, "code", TEXT, -1)];
    let marked = [(true, "id", INT8, -1), (true, "code", TEXT, -1)];
    for (identity, told, primary, unique, expected) in [
        (b'd', unmarked, &[][..], &["code", "id"][..], &[1_u32, 0][..]),
        (b'n', unmarked, &[], &["code"], &[1]),
        (b'f', marked, &[], &["code"], &[1]),
        (b'f', marked, &["id"], &["code"], &[0]),
        // A column of it is not published.
        (b'f', marked, &[], &["hidden"], &[]),
        // What the stream marks is in every old row, which a key must be.
        (b'i', marked, &[], &["code"], &[0, 1]),
    ] {
        let mut facts = facts(ReplicaIdentity::Key, primary, columns());
        facts.unique_key = unique.iter().map(|&name| name.to_owned()).collect();
        let bytes = relation_message(identity, &told);
        let relation = announce(&mut RelationCache::new("shop"), &bytes, Some(&facts), &types);
        assert_eq!(relation.schema.key, expected, "{} {unique:?}", char::from(identity));
    }
}
