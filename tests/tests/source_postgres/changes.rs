//! What a change looks like when it arrives.

use offtake_change::{ReplicaIdentity, Snapshot};
use offtake_tests::postgres::Postgres;

use crate::recorder::{Log, Seen, each, options, start};
use crate::versions;

fn briefs(rows: &[Seen]) -> Vec<String> {
    rows.iter().map(Seen::brief).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_changes_arrive_in_order_and_rolled_back_ones_never() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("changes").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE a (id int PRIMARY KEY, v text);
                 CREATE TABLE b (x int, y text, n numeric, PRIMARY KEY (y, x));
                 CREATE TABLE hidden (id int PRIMARY KEY)",
            )
            .await
            .unwrap();
        let mut chosen = options(server, &database, &["public.*"]);
        chosen.exclude = vec!["public.hidden".to_owned()];
        let mut source = start(chosen, Log::default());
        source
            .until("the empty snapshot", |log| log.is_done("public.a") && log.is_done("public.b"))
            .await;
        each(
            &client,
            &[
                "BEGIN; INSERT INTO a VALUES (1, 'one'); INSERT INTO b VALUES (1, 'k', 1.50);
                 INSERT INTO hidden VALUES (1); UPDATE a SET v = 'uno' WHERE id = 1; COMMIT",
                "BEGIN; INSERT INTO a VALUES (2, 'never'); ROLLBACK",
                "BEGIN; INSERT INTO a VALUES (3, 'three'); SAVEPOINT s; INSERT INTO a VALUES (4, 'never');
                 ROLLBACK TO s; INSERT INTO a VALUES (5, 'five'); COMMIT",
                "UPDATE a SET id = 30 WHERE id = 3",
                "DELETE FROM a WHERE id = 5",
                "UPDATE b SET y = 'q'",
            ],
        )
        .await;
        let rows = source.rows(8).await;
        assert_eq!(
            briefs(&rows),
            [
                "c public.a 1|one",
                "c public.b 1|k|1.50",
                "u public.a 1|uno",
                "c public.a 3|three",
                "c public.a 5|five",
                "u public.a 30|three",
                "d public.a 5|<absent>",
                "u public.b 1|q|1.50",
            ]
        );
        let orders: Vec<(u64, u64)> =
            rows.iter().map(|row| (row.order, row.order_in_table)).collect();
        assert_eq!(orders, [(1, 1), (2, 1), (3, 2), (1, 1), (2, 2), (1, 1), (1, 1), (1, 1)]);
        assert_eq!(rows[2].before, None);
        assert_eq!(rows[5].before.as_ref().unwrap(), &["3", "<absent>"]);
        assert_eq!(rows[7].before.as_ref().unwrap(), &["1", "k", "<absent>"]);
        assert_eq!(rows[1].schema.key, [1, 0], "the key's own order");
        assert_eq!(rows[0].transaction, rows[2].transaction);
        assert_ne!(rows[2].transaction, rows[3].transaction);
        assert!(rows[2].commit < rows[3].previous_commit, "just past the commit before");
        assert!(rows[3].previous_commit <= rows[3].begin && rows[3].begin <= rows[3].lsn);
        assert!(rows.iter().all(|row| row.lsn <= row.commit && row.snapshot == Snapshot::None));
        assert!(rows.windows(2).all(|pair| pair[0].commit <= pair[1].commit));
        source.until("the last commit", |log| log.transactions == 5).await;
        let log = source.stop().await;
        assert!(log.position.unwrap().partial.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncates_messages_full_identity_and_unchanged_values_arrive_as_what_they_are() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("kinds").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE \"Größe \"\"x\"\"\" (\"Schlüssel\" int PRIMARY KEY, \"Wert 😀\" text);
                 CREATE TABLE loose (v text, n int); ALTER TABLE loose REPLICA IDENTITY FULL;
                 CREATE TABLE big (id int PRIMARY KEY, body text, n int);
                 ALTER TABLE big ALTER body SET STORAGE EXTERNAL;
                 CREATE TABLE big_full (id int PRIMARY KEY, body text, n int);
                 ALTER TABLE big_full ALTER body SET STORAGE EXTERNAL;
                 ALTER TABLE big_full REPLICA IDENTITY FULL;
                 CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
                 CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
                 CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
            )
            .await
            .unwrap();
        let mut source = start(options(server, &database, &["*"]), Log::default());
        source
            .until("the empty snapshot", |log| {
                log.snapshots.len() == 5 && log.is_done("public.loose")
            })
            .await;
        source.until("all of it", |log| log.snapshots.keys().all(|table| log.is_done(table))).await;
        each(
            &client,
            &[
                "INSERT INTO \"Größe \"\"x\"\"\" VALUES (1, 'ä😀')",
                "INSERT INTO loose VALUES ('a', 1), ('a', 1)",
                "UPDATE loose SET n = 2 WHERE ctid = '(0,1)'",
                "DELETE FROM loose WHERE n = 1",
                "INSERT INTO big VALUES (1, repeat('x', 9000), 1)",
                "UPDATE big SET n = 2",
                "INSERT INTO big_full VALUES (1, repeat('x', 9000), 1)",
                "UPDATE big_full SET n = 2",
                "INSERT INTO parts VALUES (1, '2024-05-05'), (2, '2025-05-05')",
                "TRUNCATE loose, big",
                "BEGIN; SELECT pg_logical_emit_message(true, 'p', 'in'); INSERT INTO loose VALUES ('z', 9); COMMIT",
                "SELECT pg_logical_emit_message(false, 'q', 'out')",
            ],
        )
        .await;
        let rows = source.rows(16).await;
        let x = "x".repeat(9000);
        assert_eq!(rows[0].brief(), "c public.Größe \"x\" 1|ä😀");
        assert_eq!(rows[0].schema.columns[1].name, "Wert 😀");
        assert_eq!(rows[3].before.as_ref().unwrap(), &["a", "1"]);
        assert_eq!(rows[3].after.as_ref().unwrap(), &["a", "2"]);
        assert_eq!(rows[3].schema.replica_identity, ReplicaIdentity::Full);
        assert!(rows[3].schema.key.is_empty());
        assert_eq!(rows[4].brief(), "d public.loose a|1");
        assert_eq!(rows[6].after.as_ref().unwrap(), &["1", "<unchanged>", "2"]);
        assert_eq!(rows[8].after.as_ref().unwrap(), &["1", x.as_str(), "2"]);
        assert_eq!(rows[8].schema.key, [0]);
        assert_eq!(rows[9].brief(), "c public.parts 1|2024-05-05");
        assert_eq!(rows[10].brief(), "c public.parts 2|2025-05-05");
        assert_eq!((rows[11].operation, rows[12].operation), ('t', 't'));
        assert_eq!((&rows[11].before, &rows[11].after), (&None, &None));
        assert_eq!(rows[12].order, 2);
        assert_eq!(rows[13].after.as_ref().unwrap(), &["p", "[69, 6e]"]);
        assert_eq!((rows[13].operation, rows[13].order, rows[14].order), ('m', 1, 2));
        assert_eq!(rows[13].transaction, rows[14].transaction);
        assert_eq!((rows[15].operation, rows[15].transaction.as_str()), ('m', ""));
        // A message outside of a transaction is passed by an idle position, and not sent again.
        let message = rows[15].lsn;
        source.until("the message's place", |log| log.idle() > message).await;
        let log = source.stop().await;
        let mut source = start(options(server, &database, &["*"]), log);
        client.batch_execute("INSERT INTO loose VALUES ('y', 1)").await.unwrap();
        assert_eq!(source.rows(17).await[16].brief(), "c public.loose y|1");
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_changes_is_followed() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("ddl").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        client
            .batch_execute(
                "CREATE TYPE mood AS ENUM ('sad', 'glad');
                 CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')",
            )
            .await
            .unwrap();
        let mut source = start(options(server, &database, &["t"]), Log::default());
        source.rows(1).await;
        each(
            &client,
            &[
                "BEGIN; INSERT INTO t VALUES (2, 'b'); ALTER TABLE t ADD m mood DEFAULT 'glad';
                 INSERT INTO t VALUES (3, 'c', 'sad'); ALTER TABLE t DROP v;
                 INSERT INTO t VALUES (4, 'glad'); COMMIT",
                "ALTER TABLE t RENAME m TO n",
                "INSERT INTO t VALUES (5, NULL)",
            ],
        )
        .await;
        let rows = source.rows(5).await;
        assert_eq!(
            briefs(&rows),
            [
                "r public.t 1|a",
                "c public.t 2|b",
                "c public.t 3|c|sad",
                "c public.t 4|glad",
                "c public.t 5|NULL",
            ]
        );
        assert_eq!(rows[2].schema.columns[2].labels, ["sad", "glad"]);
        assert_eq!(rows[0].schema, rows[1].schema, "snapshot and stream agree on the definition");
        assert_eq!(rows[3].schema.version, rows[1].schema.version + 2);
        assert_eq!(rows[4].schema.columns[1].name, "n");
        let orders: Vec<u64> = rows[1..4].iter().map(|row| row.order_in_table).collect();
        assert_eq!(orders, [1, 2, 3]);
        source.stop().await;
    }
}

/// Columns of every kind of type, with values at their edges.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("real", &["'NaN'", "'-Infinity'", "1.1", "1e-40"]),
    ("double precision", &["'Infinity'", "0.1", "1e308", "-0.0"]),
    ("numeric", &["'NaN'", "123456789012345678901234567890.000000001", "0.00"]),
    ("numeric(12,2)", &["1.5"]),
    ("money", &["'12.34'"]),
    ("text", &["E'a\\tb\\nc\\\\d\\r\\x08\\f\\x0b'", "''", "'\\N'", "'ä😀'"]),
    ("varchar(20)", &["'x'"]),
    ("char(5)", &["'ab'"]),
    ("bytea", &["'\\x00ff0a5c'", "''"]),
    ("date", &["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'2024-02-29'"]),
    ("time(3)", &["'12:34:56.789'"]),
    ("timetz", &["'12:34:56+05:30'"]),
    ("timestamp", &["'infinity'", "'294276-12-31 23:59:59.999999'", "'0001-01-01 00:00 BC'"]),
    ("timestamptz", &["'2024-06-01 12:00+02'", "'-infinity'"]),
    ("interval", &["'1 year -2 days 03:04:05.6'", "'0'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("json", &["'{\"b\": 1,  \"a\": [1, null]}'"]),
    ("jsonb", &["'{\"b\": 1, \"a\": \"\\\\u00e9\"}'"]),
    ("inet", &["'10.0.0.1/8'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("bit(3)", &["B'101'"]),
    ("int4range", &["'[1,5)'"]),
    ("point", &["'(1.5,2)'"]),
    ("tsvector", &["'a fat cat'"]),
    ("xml", &["'<a>b</a>'"]),
    ("regclass", &["'pg_class'", "'own'"]),
    ("mood", &["'glad'"]),
    ("positive", &["7"]),
    ("pair", &["ROW(1, 'a,\"b')::pair"]),
    ("int[]", &["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"]),
    ("text[]", &["ARRAY['a,b', 'c\"d', NULL, 'NULL', '', E'x\\\\y\\n']"]),
    ("bytea[]", &["ARRAY['\\x00ff'::bytea, NULL]"]),
    ("mood[]", &["ARRAY['sad'::mood]"]),
    ("timestamptz[]", &["ARRAY['2024-06-01 12:00+02'::timestamptz]"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_has_the_same_value_in_snapshot_and_stream() {
    for version in versions() {
        let server = Postgres::shared(version);
        let database = server.create_database("types").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        let columns: Vec<String> =
            TYPES.iter().enumerate().map(|(index, (name, _))| format!("c{index} {name}")).collect();
        let inserts: Vec<String> = TYPES
            .iter()
            .enumerate()
            .flat_map(|(index, (_, values))| {
                values
                    .iter()
                    .map(move |value| format!("INSERT INTO own (c{index}) VALUES ({value});"))
            })
            .collect();
        let definition = format!(
            "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
             CREATE TYPE pair AS (a int, b text);
             CREATE TABLE own (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {})",
            columns.join(", ")
        );
        client.batch_execute(&definition).await.unwrap();
        client.batch_execute(&inserts.concat()).await.unwrap();
        let count: usize = TYPES.iter().map(|(_, values)| values.len()).sum();
        let mut source = start(options(server, &database, &["own"]), Log::default());
        source.rows(count).await;
        client.batch_execute("UPDATE own SET id = DEFAULT").await.unwrap();
        let rows = source.rows(2 * count).await;
        for (read, streamed) in rows[..count].iter().zip(&rows[count..]) {
            let (read_values, streamed_values) = (read.after.as_ref(), streamed.after.as_ref());
            assert_eq!(read_values.unwrap()[1..], streamed_values.unwrap()[1..]);
            assert_eq!(read.schema, streamed.schema);
        }
        let value = |column: usize, nth: usize| -> String {
            let column_values: Vec<&String> = rows[..count]
                .iter()
                .map(|row| &row.after.as_ref().unwrap()[column + 1])
                .filter(|value| *value != "NULL")
                .collect();
            column_values[nth].clone()
        };
        let named = |name: &str| TYPES.iter().position(|(found, _)| *found == name).unwrap();
        assert_eq!(value(named("date"), 2), "0044-03-15 BC");
        assert_eq!(value(named("timestamptz"), 0), "2024-06-01 10:00:00+00");
        assert_eq!(value(named("interval"), 0), "P1Y-2DT3H4M5.6S");
        assert_eq!(value(named("bytea"), 0), "[00, ff, 0a, 5c]");
        assert_eq!(value(named("money"), 0), "$12.34");
        assert_eq!(value(named("text"), 0), "a\tb\nc\\d\r\u{8}\u{c}\u{b}");
        assert_eq!(value(named("text"), 2), "\\N");
        assert_eq!(value(named("regclass"), 1), "public.own");
        assert_eq!(value(named("int[]"), 0), "[1,NULL,3]");
        assert_eq!(value(named("real"), 3), format!("{}", 1e-40_f32));
        source.stop().await;
    }
}
