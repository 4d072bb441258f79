//! Schemas against those that Debezium 3.6.3 gave for the same table: a column of nearly every type
//! that has a default, with `schemas.enable=true`, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, column, list, schema};
use offtake_change::wire::ChangeView;
use offtake_change::{Column, Kind, Operation, Subject, TableSchema};
use offtake_encode::EncodeError;
use offtake_encode::debezium::{
    Encoder, HeartbeatRecords, MessageFormat, NameAdjustment, Options, Plan, PlanOptions,
    TransactionRecords, UnfitValues, UnknownTypes,
};

/// Name, type, OID, modifier and default; a name that ends in `!` is a column that is NOT NULL.
const DEFAULTS: &[(&str, &str, u32, i32, &str)] = &[
    ("id!", "int4", 23, -1, "nextval('defaults_id_seq'::regclass)"),
    ("big_id!", "int8", 20, -1, "nextval('defaults_big_id_seq'::regclass)"),
    ("small_id!", "int2", 21, -1, "nextval('defaults_small_id_seq'::regclass)"),
    ("i", "int4", 23, -1, "42"),
    ("i_neg", "int4", 23, -1, "'-1'::integer"),
    ("i_must!", "int4", 23, -1, "42"),
    ("i2", "int2", 21, -1, "3"),
    ("i8", "int8", 20, -1, "'9223372036854775807'::bigint"),
    ("b", "bool", 16, -1, "true"),
    ("b_must!", "bool", 16, -1, "false"),
    ("f4", "float4", 700, -1, "1.5"),
    ("f8", "float8", 701, -1, "'-25000000000'::numeric"),
    ("n", "numeric", 1700, -1, "3.14"),
    ("nf", "numeric", 1700, 524_295, "1.5"),
    ("n_must!", "numeric", 1700, 524_295, "'-1'::integer"),
    ("t", "text", 25, -1, "'it''s a \"text\"'::text"),
    ("t_empty", "text", 25, -1, "''::text"),
    ("t_must!", "text", 25, -1, "'must'::text"),
    ("v", "varchar", 1043, 14, "'v'::character varying"),
    ("c", "bpchar", 1042, 9, "'c'::bpchar"),
    ("t_null", "text", 25, -1, ""),
    ("t_cast", "text", 25, -1, "NULL::text"),
    ("ci", "public.citext", 16_500, -1, "'Ci'::citext"),
    ("by", "bytea", 17, -1, "'\\x00ff'::bytea"),
    ("bi", "bit", 1560, 1, "'1'::\"bit\""),
    ("bi3", "bit", 1560, 3, "'101'::\"bit\""),
    ("vb", "varbit", 1562, -1, "'11'::\"bit\""),
    ("d", "date", 1082, -1, "'2020-01-02'::date"),
    ("ti", "time", 1083, -1, "'12:34:56.789'::time without time zone"),
    ("ts", "timestamp", 1114, -1, "'2020-01-02 03:04:05.678901'::timestamp without time zone"),
    ("ts3", "timestamp", 1114, 3, "'2020-01-02 03:04:05.678'::timestamp without time zone"),
    ("tz", "timestamptz", 1184, -1, "'2020-01-02 03:04:05.678901+00'::timestamp with time zone"),
    ("ttz", "timetz", 1266, -1, "'12:34:56+02'::time with time zone"),
    ("iv", "interval", 1186, -1, "'P1DT2H'::interval"),
    ("d_now", "date", 1082, -1, "CURRENT_DATE"),
    ("ts_now", "timestamp", 1114, -1, "now()"),
    ("tz_now", "timestamptz", 1184, -1, "now()"),
    ("tz_must!", "timestamptz", 1184, -1, "CURRENT_TIMESTAMP"),
    ("ti_now", "time", 1083, -1, "CURRENT_TIME"),
    ("u", "uuid", 2950, -1, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid"),
    ("u_gen", "uuid", 2950, -1, "gen_random_uuid()"),
    ("u_must!", "uuid", 2950, -1, "gen_random_uuid()"),
    ("j", "json", 114, -1, "'{\"a\": 1}'::json"),
    ("jb", "jsonb", 3802, -1, "'{\"a\": 1}'::jsonb"),
    ("h", "public.hstore", 16_501, -1, "'\"a\"=>\"1\"'::hstore"),
    ("m", "public.mood", 16_502, -1, "'ok'::mood"),
    ("m_must!", "public.mood", 16_502, -1, "'sad'::mood"),
    ("mo", "money", 790, -1, "12.5"),
    ("a", "inet", 869, -1, "'10.0.0.1'::inet"),
    ("ia", "int4[]", 1007, -1, "'{1,2}'::integer[]"),
    ("ta", "text[]", 1009, -1, "ARRAY['a'::text, 'b'::text]"),
    ("e_expr", "int4", 23, -1, "(1 + 2)"),
    ("e_fun", "int4", 23, -1, "seven()"),
    ("e_text", "text", 25, -1, "('a'::text || 'b'::text)"),
    ("e_seq", "int8", 20, -1, "nextval('counter'::regclass)"),
    ("e_cast", "int4", 23, -1, "5"),
    ("p", "point", 600, -1, "'(1,2)'::point"),
    ("x", "xml", 142, -1, "'<a/>'::xml"),
    ("l", "public.ltree", 16_503, -1, "'a.b'::ltree"),
    ("o", "oid", 26, -1, "7"),
    ("st", "public.short_text", 16_504, -1, "'st'::character varying"),
    ("who", "text", 25, -1, "CURRENT_USER"),
];

fn defaults() -> TableSchema {
    let one = |&(name, native, oid, modifier, default): &(&str, &str, u32, i32, &str)| {
        let kind = match native {
            "bool" => Kind::Boolean,
            "int2" | "int4" | "int8" | "oid" => Kind::Integer,
            "float4" => Kind::Single,
            "float8" => Kind::Number,
            "bytea" => Kind::Bytes,
            _ => Kind::Text,
        };
        let mut made = match native {
            "int4[]" => list("", column("", Kind::Integer, "int4", 23, -1)),
            "text[]" => list("", column("", Kind::Text, "text", 25, -1)),
            native => column("", kind, native, oid, modifier),
        };
        if native.ends_with("mood") {
            made.logical = "enum".to_owned();
            made.labels = ["sad", "calm", "ok", "happy, or so"].map(str::to_owned).to_vec();
        }
        if native.ends_with("short_text") {
            made.domain_base = "varchar".to_owned();
        }
        made.name = name.trim_end_matches('!').to_owned();
        made.nullable = !name.ends_with('!');
        made.default = (!default.is_empty()).then(|| default.to_owned());
        made
    };
    let mut table = schema(DEFAULTS.iter().map(one).collect(), &[0]);
    table.table = "defaults".to_owned();
    table
}

fn options(format: MessageFormat, debezium: Options) -> PlanOptions {
    PlanOptions { format, prefix: "srv".to_owned(), debezium, ..PlanOptions::default() }
}

fn with_schemas() -> PlanOptions {
    let debezium = Options { schemas: true, ..Options::default() };
    options(MessageFormat::DebeziumJson, debezium)
}

/// Key and value of the only message of a change.
fn message(plan: &Plan, encoded: &[u8]) -> (String, String) {
    let change = ChangeView::parse(encoded).unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"").to_vec()).unwrap();
    let mut sent = Vec::new();
    Encoder::default()
        .messages(plan, &change, |message| {
            sent.push((text(message.key), text(message.value)));
            Ok::<(), EncodeError>(())
        })
        .unwrap();
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

#[test]
fn every_default_is_the_peers() {
    let plan = Plan::new(&with_schemas(), &defaults()).unwrap();
    let row = [Value::Integer(1)];
    let (key, value) = message(&plan, &change(Operation::Create, None, Some(&row)));
    let (key_schema, payload) = key.split_once(",\"payload\":").unwrap();
    let golden = include_str!("golden/debezium_defaults.txt");
    let (expected_key, expected_value) = golden.split_once('\n').unwrap();
    assert_eq!(key_schema, format!("{{\"schema\":{expected_key}"));
    assert_eq!(payload, "{\"id\":1}}");
    let (value_schema, payload) = value.split_once(",\"payload\":").unwrap();
    let expected = format!("{{\"schema\":{}", expected_value.trim_end());
    for (at, (one, other)) in value_schema.bytes().zip(expected.bytes()).enumerate() {
        let from = at.saturating_sub(120);
        assert_eq!(one, other, "{}", &value_schema[from..(at + 80).min(value_schema.len())]);
    }
    assert_eq!(value_schema.len(), expected.len());
    // What the row does not reach shows its default.
    assert!(payload.contains("\"i\":42,\"i_neg\":-1,\"i_must\":42"), "{payload}");
    assert!(payload.contains("\"n\":null,\"nf\":\"Bdw=\",\"n_must\":\"/Bg=\""), "{payload}");
    serde_json::from_str::<serde_json::Value>(&value).unwrap();
}

#[test]
fn a_required_column_without_a_value_shows_its_types_zero() {
    let must = |mut column: Column| {
        column.nullable = false;
        column
    };
    let columns = vec![
        must(column("i", Kind::Integer, "int4", 23, -1)),
        must(column("t", Kind::Text, "text", 25, -1)),
        must(column("n", Kind::Text, "numeric", 1700, -1)),
        must(column("nf", Kind::Text, "numeric", 1700, ((5 << 16) | 2) + 4)),
        must(column("tz", Kind::Text, "timestamptz", 1184, -1)),
        must(column("by", Kind::Bytes, "bytea", 17, -1)),
        must(list("a", column("", Kind::Integer, "int4", 23, -1))),
    ];
    let plan =
        Plan::new(&options(MessageFormat::DebeziumJson, Options::default()), &schema(columns, &[]));
    let (_, value) = message(&plan.unwrap(), &change(Operation::Create, None, Some(&[])));
    // Recorded from the peer.
    let expected = "\"after\":{\"i\":0,\"t\":\"\",\"n\":{\"scale\":0,\"value\":\"AA==\"},\
                    \"nf\":\"AA==\",\"tz\":\"1970-01-01T00:00:00Z\",\"by\":\"\",\"a\":[]}";
    assert!(value.contains(expected), "{value}");
}

#[test]
fn without_replacing_nulls_a_null_is_a_null() {
    let mut column = column("i", Kind::Integer, "int4", 23, -1);
    column.default = Some("42".to_owned());
    let debezium = Options { replace_null_with_default: false, ..Options::default() };
    let plan =
        Plan::new(&options(MessageFormat::DebeziumJson, debezium), &schema(vec![column], &[]));
    let (_, value) =
        message(&plan.unwrap(), &change(Operation::Create, None, Some(&[Value::Null])));
    assert!(value.contains("\"after\":{\"i\":null}"), "{value}");
    assert!(value.contains("\"snapshot\":\"false\""), "{value}");
}

#[test]
fn unknown_types_are_text_or_left_out() {
    let columns = || {
        vec![
            column("q", Kind::Text, "tsquery", 3615, -1),
            column("i", Kind::Integer, "int4", 23, -1),
            list("m", column("", Kind::Text, "money", 790, -1)),
        ]
    };
    let row = [build::text("'a'"), Value::Integer(7), Value::List(vec![build::text("$1.00")])];
    for (unknown_types, expected) in [
        (UnknownTypes::Text, "\"after\":{\"q\":\"'a'\",\"i\":7,\"m\":[\"$1.00\"]}"),
        (UnknownTypes::Omit, "\"after\":{\"i\":7}"),
    ] {
        let debezium = Options { unknown_types, ..Options::default() };
        let options = options(MessageFormat::DebeziumJson, debezium);
        let plan = Plan::new(&options, &schema(columns(), &[])).unwrap();
        let (_, value) = message(&plan, &change(Operation::Create, None, Some(&row)));
        assert!(value.contains(expected), "{value}");
    }
}

#[test]
fn some_types_have_a_schema_and_no_values_where_unknown_ones_are_left_out() {
    let bits = list("b", column("", Kind::Text, "bit", 1560, 3));
    let columns = vec![bits, column("v", Kind::Text, "oidvector", 30, -1)];
    let debezium =
        Options { schemas: true, unknown_types: UnknownTypes::Omit, ..Options::default() };
    let options = options(MessageFormat::DebeziumJson, debezium);
    let plan = Plan::new(&options, &schema(columns, &[])).unwrap();
    let row = [Value::List(vec![build::text("101")]), build::text("1 2")];
    let (_, value) = message(&plan, &change(Operation::Create, None, Some(&row)));
    // Recorded from the peer.
    assert!(value.contains(
        "{\"type\":\"bytes\",\"optional\":true,\"name\":\"io.debezium.data.Bits\",\"version\":1,\
         \"parameters\":{\"length\":\"3\"},\"field\":\"b\"},{\"type\":\"array\",\"items\":{\"type\":\
         \"int64\",\"optional\":false},\"optional\":true,\"field\":\"v\"}"
    ));
    assert!(value.contains("\"after\":{\"b\":null,\"v\":null}"), "{value}");
}

#[test]
fn an_array_with_bounds_of_its_own_loses_them() {
    let columns = vec![list("a", column("", Kind::Integer, "int4", 23, -1))];
    for format in [MessageFormat::DebeziumJson, MessageFormat::Avro] {
        let plan = Plan::new(&options(format, Options::default()), &schema(columns.clone(), &[]));
        let encoded = change(Operation::Create, None, Some(&[build::text("[0:1]={5,6}")]));
        let change = ChangeView::parse(&encoded).unwrap();
        let mut out = Vec::new();
        Encoder::default().value(&plan.unwrap(), &change, &mut out).unwrap();
        if format == MessageFormat::DebeziumJson {
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("\"after\":{\"a\":[5,6]}"), "{text}");
        }
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_by_name_or_null_on_request() {
    let columns = || vec![column("n", Kind::Text, "numeric", 1700, -1)];
    let encoded = change(Operation::Create, None, Some(&[build::text("NaN")]));
    let strict = options(MessageFormat::Avro, Options::default());
    let plan = Plan::new(&strict, &schema(columns(), &[])).unwrap();
    let change = ChangeView::parse(&encoded).unwrap();
    let refused = Encoder::default().value(&plan, &change, &mut Vec::new()).unwrap_err();
    assert_eq!(refused.code(), "ENCODE_VALUE");
    let told = refused.to_string();
    assert!(told.contains("\"n\"") && told.contains("Avro") && !told.contains("NaN"), "{told}");
    let debezium = Options { unfit_values: UnfitValues::Null, ..Options::default() };
    let lenient = options(MessageFormat::DebeziumJson, debezium);
    let plan = Plan::new(&lenient, &schema(columns(), &[])).unwrap();
    assert!(message(&plan, &encoded).1.contains("\"after\":{\"n\":null}"));
}

#[test]
fn a_key_may_be_made_of_other_columns() {
    let columns = || {
        vec![column("a", Kind::Integer, "int4", 23, -1), column("b", Kind::Text, "text", 25, -1)]
    };
    let keyed = |key: &[&str]| PlanOptions {
        key: Some(key.iter().map(|&name| name.to_owned()).collect()),
        ..options(MessageFormat::DebeziumJson, Options::default())
    };
    let row = [Value::Integer(1), build::text("x")];
    let encoded = change(Operation::Create, None, Some(&row));
    let plan = Plan::new(&keyed(&["b", "a"]), &schema(columns(), &[0])).unwrap();
    assert_eq!(message(&plan, &encoded).0, r#"{"b":"x","a":1}"#);
    let refused = Plan::new(&keyed(&["c"]), &schema(columns(), &[0])).unwrap_err();
    assert_eq!(refused.code(), "ENCODE_KEY_COLUMN");
    assert!(
        refused.to_string().contains("public.cash_table") && refused.to_string().contains("\"c\"")
    );
}

#[test]
fn columns_whose_adjusted_names_are_one_are_refused() {
    let columns = vec![
        column("a b", Kind::Integer, "int4", 23, -1),
        column("a-b", Kind::Integer, "int4", 23, -1),
    ];
    let debezium = Options { field_names: NameAdjustment::Avro, ..Options::default() };
    let options = options(MessageFormat::DebeziumJson, debezium);
    let refused = Plan::new(&options, &schema(columns, &[])).unwrap_err();
    assert_eq!(refused.code(), "ENCODE_SCHEMA");
    assert!(refused.to_string().contains("\"a_b\""), "{refused}");
}

#[test]
fn a_frame_stands_before_each_key_and_value() {
    let columns = vec![column("pk", Kind::Integer, "int4", 23, -1)];
    let options = PlanOptions {
        key_frame: vec![0, 0, 0, 0, 1],
        value_frame: vec![0, 0, 0, 0, 2],
        ..options(MessageFormat::Avro, Options::default())
    };
    let plan = Plan::new(&options, &schema(columns, &[0])).unwrap();
    let encoded = change(Operation::Create, None, Some(&[Value::Integer(-1)]));
    let change = ChangeView::parse(&encoded).unwrap();
    Encoder::default()
        .messages(&plan, &change, |message| {
            // A nullable column is a union: its second branch, then -1 as zigzag.
            assert_eq!(message.key, Some(&[0, 0, 0, 0, 1, 2, 1][..]));
            assert_eq!(message.value.map(|value| &value[..7]), Some(&[0, 0, 0, 0, 2, 0, 2][..]));
            Ok::<(), EncodeError>(())
        })
        .unwrap();
}

#[test]
fn a_transaction_tells_its_beginning_its_order_and_its_end() {
    let debezium = Options { transactions: true, ..Options::default() };
    let options = options(MessageFormat::DebeziumJson, debezium);
    let columns = vec![column("pk", Kind::Integer, "int4", 23, -1)];
    let plan = Plan::new(&options, &schema(columns, &[0])).unwrap();
    let mut encoder = Encoder::default();
    let mut blocks = Vec::new();
    // The key moves: two events of one change.
    for (before, after) in [(1, 1), (1, 2)] {
        let encoded = change(
            Operation::Update,
            Some(&[Value::Integer(before)]),
            Some(&[Value::Integer(after)]),
        );
        let change = ChangeView::parse(&encoded).unwrap();
        encoder
            .messages(&plan, &change, |message| {
                if let Some(value) = message.value {
                    let value: serde_json::Value = serde_json::from_slice(value).unwrap();
                    blocks.push(value["transaction"].to_string());
                }
                Ok::<(), EncodeError>(())
            })
            .unwrap();
    }
    let expected = [1, 2, 3].map(|order| {
        format!(
            "{{\"id\":\"758:24962808\",\"total_order\":{order},\"data_collection_order\":{order}}}"
        )
    });
    assert_eq!(blocks, expected);
    let mut records = TransactionRecords::new(&options);
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let begin = records.begin(b"758", 24_962_808, 1_795_286_911_536_789).unwrap();
    assert_eq!(text(begin.key), r#"{"id":"758:24962808"}"#);
    assert_eq!(
        text(begin.value),
        "{\"status\":\"BEGIN\",\"id\":\"758:24962808\",\"event_count\":null,\
         \"data_collections\":null,\"ts_ms\":1795286911536}"
    );
    let end = records.end(b"758", 24_962_900, 1_795_286_911_536_789, encoder.counts()).unwrap();
    assert_eq!(
        text(end.value),
        "{\"status\":\"END\",\"id\":\"758:24962900\",\"event_count\":3,\"data_collections\":\
         [{\"data_collection\":\"public.cash_table\",\"event_count\":3}],\"ts_ms\":1795286911536}"
    );
}

#[test]
fn records_about_no_row_have_the_peers_schemas() {
    // Recorded from the peer.
    let mut heartbeats = HeartbeatRecords::new(&with_schemas());
    let beat = heartbeats.beat(1_795_286_910_364).unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    assert_eq!(
        text(beat.key),
        "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\
         \"field\":\"serverName\"}],\"optional\":false,\"name\":\
         \"io.debezium.connector.common.ServerNameKey\",\"version\":1},\
         \"payload\":{\"serverName\":\"srv\"}}"
    );
    assert_eq!(
        text(beat.value),
        "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int64\",\"optional\":false,\
         \"field\":\"ts_ms\"}],\"optional\":false,\"name\":\
         \"io.debezium.connector.common.Heartbeat\",\"version\":1},\
         \"payload\":{\"ts_ms\":1795286910364}}"
    );
    let mut transactions = TransactionRecords::new(&with_schemas());
    let begin = transactions.begin(b"1750", 79_118_912, 1_795_286_911_536_000).unwrap();
    assert!(text(begin.value).contains(
        "{\"type\":\"array\",\"items\":{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\
         \"optional\":false,\"field\":\"data_collection\"},{\"type\":\"int64\",\"optional\":false,\
         \"field\":\"event_count\"}],\"optional\":true,\"name\":\"event.collection\",\
         \"version\":1},\"optional\":true,\"field\":\"data_collections\"}"
    ));
}

#[test]
fn a_logical_message_has_its_own_schemas() {
    let mut table = schema(
        vec![
            Column::new("prefix", Kind::Text, "text"),
            Column::new("content", Kind::Bytes, "bytes"),
        ],
        &[],
    );
    table.subject = Subject::Message;
    table.namespace.clear();
    table.table.clear();
    let plan = Plan::new(&with_schemas(), &table).unwrap();
    let row = [build::text("p"), Value::Bytes(vec![1])];
    let (key, value) = message(&plan, &change(Operation::Message, None, Some(&row)));
    assert!(key.ends_with(
        "\"name\":\"io.debezium.connector.postgresql.MessageKey\",\"version\":1},\
         \"payload\":{\"prefix\":\"p\"}}"
    ));
    assert!(value.contains(
        "\"name\":\"io.debezium.connector.postgresql.Message\",\"version\":1,\"field\":\"message\"}"
    ));
    assert!(value.ends_with("\"message\":{\"prefix\":\"p\",\"content\":\"AQ==\"}}}"));
}
