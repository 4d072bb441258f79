//! What `offtake check` finds in a real database: each fault is arranged and must be told, with a
//! next step, and nothing may be created by looking.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use anyhow::Result;
use offtake_proto::v1;
use offtake_source_postgres::{
    ConnectOptions, Finding, Level, Preflight, Resume, SourceOptions, check,
};
use offtake_tests::postgres::{Postgres, Setup, Version};
use tokio_postgres::Client;

/// A database with one sound table, and options for it.
struct Database {
    name: String,
    client: Client,
    options: SourceOptions,
}

impl Database {
    async fn new(hint: &str, sql: &str) -> Result<Database> {
        Database::on(Postgres::shared(Version::System), hint, sql).await
    }

    async fn on(server: &'static Postgres, hint: &str, sql: &str) -> Result<Database> {
        let name = server.create_database(hint).await?;
        let client = server.connect(&name).await?;
        client.batch_execute("CREATE TABLE customers (id int PRIMARY KEY, email text)").await?;
        client.batch_execute(sql).await?;
        let connect: ConnectOptions = server.url(&name).parse()?;
        // Slots are the server's: each database has its own name for one.
        let options = SourceOptions::new(connect, &name);
        Ok(Database { name, client, options })
    }

    async fn check(&self) -> Preflight {
        let resume = Resume { log_is_empty: true, ..Resume::default() };
        check(&self.options, &resume, true).await
    }

    /// What is not as it should be, as `(level, code)` in the report's order.
    async fn faults(&self) -> Vec<(Level, &'static str)> {
        faults(&self.check().await.findings)
    }
}

fn faults(findings: &[Finding]) -> Vec<(Level, &'static str)> {
    let faults: Vec<&Finding> = findings.iter().filter(|f| f.level != Level::Ok).collect();
    for fault in &faults {
        assert!(!fault.code.is_empty() && !fault.next_step.is_empty(), "{fault:?}");
    }
    faults.iter().map(|fault| (fault.level, fault.code)).collect()
}

fn text_of(findings: &[Finding], code: &str) -> String {
    let of_code = findings.iter().filter(|finding| finding.code == code);
    of_code.map(|finding| format!("{}: {}\n", finding.item, finding.text)).collect()
}

fn lsn(at: u64) -> Option<v1::Position> {
    Some(v1::Position { at: Some(v1::position::At::Lsn(at)) })
}

#[tokio::test]
async fn a_sound_database_has_no_fault_and_stays_as_it_was() -> Result<()> {
    let database = Database::new(
        "preflight_sound",
        "CREATE TABLE orders (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); \
         CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01'); \
         INSERT INTO customers SELECT n, 'x' FROM generate_series(1, 1000) n; \
         INSERT INTO orders VALUES (1, '2024-05-05'); ANALYZE",
    )
    .await?;
    let report = database.check().await;
    assert_eq!(faults(&report.findings), [], "{:#?}", report.findings);
    let names: Vec<String> = report.tables.iter().map(|table| table.qualified_name()).collect();
    assert_eq!(names, ["public.customers", "public.orders"]);
    assert!(report.snapshot_bytes >= 40_000, "{}", report.snapshot_bytes);

    let routes = report.judge_routes(|_, table| match table {
        "customers" => vec!["shop.customers".to_owned()],
        _ => Vec::new(),
    });
    assert_eq!(faults(&routes), [(Level::Error, "ROUTE_MISSING")]);
    assert!(text_of(&routes, "ROUTE_MISSING").contains("public.orders"));

    let sql = format!(
        "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots \
         WHERE slot_name = '{}')",
        database.options.slot
    );
    assert_eq!(database.client.query_one(&sql, &[]).await?.get::<_, i64>(0), 0);
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_told_in_one_line() -> Result<()> {
    let database = Database::new("preflight_connection", "").await?;
    let mut options = database.options.clone();
    options.connect.port = 1;
    let resume = Resume { log_is_empty: true, ..Resume::default() };
    let report = check(&options, &resume, true).await;
    assert_eq!(faults(&report.findings), [(Level::Error, "PG_UNREACHABLE")]);

    let mut options = database.options.clone();
    options.connect.database = "nowhere".to_owned();
    let report = check(&options, &resume, true).await;
    assert_eq!(faults(&report.findings), [(Level::Error, "PG_DATABASE_MISSING")]);

    let mut options = database.options.clone();
    options.tables = vec!["sales.*".to_owned()];
    let report = check(&options, &resume, true).await;
    assert_eq!(faults(&report.findings), [(Level::Error, "PG_NO_TABLES")]);
    Ok(())
}

#[tokio::test]
async fn rights_that_are_missing_are_found_by_trying() -> Result<()> {
    let database = Database::new(
        "preflight_rights",
        "CREATE TABLE secrets (id int PRIMARY KEY); CREATE TABLE hidden (id int PRIMARY KEY); \
         ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
    )
    .await?;
    let role = format!("{}_role", database.name);
    database
        .client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT ON customers, hidden TO {role}"
        ))
        .await?;
    let mut options = database.options.clone();
    options.connect.user.clone_from(&role);
    options.connect.password = None;
    let resume = Resume { log_is_empty: true, ..Resume::default() };
    let report = check(&options, &resume, true).await;
    assert_eq!(
        faults(&report.findings),
        [
            (Level::Error, "PG_RIGHTS"),
            (Level::Error, "PG_RIGHTS"),
            (Level::Error, "PG_ROW_SECURITY"),
            (Level::Error, "PG_PUBLICATION"),
        ],
        "{:#?}",
        report.findings
    );
    let rights = text_of(&report.findings, "PG_RIGHTS");
    assert!(rights.contains("public.secrets") && !rights.contains("public.customers"), "{rights}");
    assert!(text_of(&report.findings, "PG_ROW_SECURITY").contains("public.hidden"));

    // All that the manual of the gateway asks for.
    let owner = format!(
        "ALTER ROLE {role} REPLICATION BYPASSRLS; GRANT SELECT ON secrets TO {role}; \
         CREATE PUBLICATION \"{}\" FOR TABLE customers, secrets, hidden",
        options.publication
    );
    database.client.batch_execute(&owner).await?;
    let report = check(&options, &resume, true).await;
    assert_eq!(faults(&report.findings), [], "{:#?}", report.findings);
    database.client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    Ok(())
}

#[tokio::test]
async fn a_table_whose_update_would_fail_is_an_error_before_the_publication_is_touched()
-> Result<()> {
    let database = Database::new(
        "preflight_identity",
        "CREATE TABLE no_key (id int); \
         CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE); \
         CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING; \
         CREATE TABLE dropped (id int NOT NULL); CREATE UNIQUE INDEX dropped_id ON dropped (id); \
         ALTER TABLE dropped REPLICA IDENTITY USING INDEX dropped_id; DROP INDEX dropped_id; \
         CREATE TABLE leaves (id int, at int) PARTITION BY RANGE (at); \
         ALTER TABLE leaves REPLICA IDENTITY FULL; \
         CREATE TABLE leaf PARTITION OF leaves FOR VALUES FROM (0) TO (10); \
         CREATE TABLE keyless (id int); ALTER TABLE keyless REPLICA IDENTITY FULL; \
         CREATE TABLE generated (a int, id int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)",
    )
    .await?;
    let report = database.check().await;
    let mut found: Vec<(Level, &str, &str)> = report
        .findings
        .iter()
        .filter(|finding| finding.item.starts_with("table "))
        .map(|finding| (finding.level, finding.code, finding.item.as_str()))
        .collect();
    found.sort_by_key(|(_, _, item)| *item);
    assert_eq!(
        found,
        [
            (Level::Error, "PG_TABLE", "table public.deferred"),
            (Level::Error, "PG_TABLE", "table public.dropped"),
            (Level::Error, "PG_GENERATED_KEY", "table public.generated"),
            (Level::Warning, "PG_NO_KEY", "table public.keyless"),
            (Level::Warning, "PG_NO_KEY", "table public.leaves"),
            (Level::Error, "PG_TABLE", "table public.leaves"),
            (Level::Error, "PG_TABLE", "table public.no_key"),
            (Level::Error, "PG_TABLE", "table public.nothing"),
        ],
        "{:#?}",
        report.findings
    );
    // The verdict is the server's: what was called an error does fail once it is published.
    database.client.batch_execute("CREATE PUBLICATION proof FOR ALL TABLES").await?;
    for table in ["no_key", "deferred", "nothing", "dropped", "leaf"] {
        let row = if table == "leaf" { "(1, 1)" } else { "(1)" };
        let sql = format!("INSERT INTO {table} VALUES {row}; UPDATE {table} SET id = 2");
        let refused = database.client.batch_execute(&sql).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains("replica identity"), "{table}");
    }
    for table in ["keyless", "customers"] {
        let sql = format!("INSERT INTO {table} VALUES (1); UPDATE {table} SET id = 2");
        database.client.batch_execute(&sql).await?;
    }
    Ok(())
}

#[tokio::test]
async fn tables_that_match_and_cannot_be_captured_are_named() -> Result<()> {
    let mut database = Database::new(
        "preflight_unfit",
        "CREATE UNLOGGED TABLE cache (id int PRIMARY KEY); \
         CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere; \
         CREATE FOREIGN TABLE distant (id int) SERVER far; \
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); \
         CREATE VIEW seen AS SELECT * FROM customers",
    )
    .await?;
    let report = database.check().await;
    assert_eq!(faults(&report.findings), [(Level::Warning, "PG_NOT_CAPTURED"); 2]);
    let text = text_of(&report.findings, "PG_NOT_CAPTURED");
    assert!(text.contains("public.cache") && text.contains("public.distant"), "{text}");
    assert!(!text.contains("part_1") && !text.contains("seen"), "{text}");

    database.options.tables = vec!["public.customers".to_owned(), "public.part_*".to_owned()];
    let report = database.check().await;
    assert!(text_of(&report.findings, "PG_NOT_CAPTURED").contains("public.part_1"));
    Ok(())
}

#[tokio::test]
async fn what_a_publication_leaves_out_is_told() -> Result<()> {
    let database = Database::new(
        "preflight_publication",
        "CREATE TABLE orders (id int PRIMARY KEY, note text, price int)",
    )
    .await?;
    let name = database.options.publication.clone();
    let faults_of = async |definition: &str| -> Result<Vec<(Level, &'static str)>> {
        let sql = format!(
            "DROP PUBLICATION IF EXISTS \"{name}\"; CREATE PUBLICATION \"{name}\" {definition}"
        );
        database.client.batch_execute(&sql).await?;
        Ok(database.faults().await)
    };
    use Level::{Error, Warning};
    assert_eq!(faults_of("FOR TABLE customers, orders").await?, []);
    // Ours to extend: no fault. Not allowed to: an error that names the table.
    assert_eq!(faults_of("FOR TABLE customers").await?, []);
    let resume = Resume { log_is_empty: true, ..Resume::default() };
    let report = check(&database.options, &resume, false).await;
    assert_eq!(faults(&report.findings), [(Error, "PG_PUBLICATION")]);
    assert!(text_of(&report.findings, "PG_PUBLICATION").contains("public.orders"));

    let without_delete = "FOR TABLE customers, orders WITH (publish = 'insert, update')";
    assert_eq!(
        faults_of(without_delete).await?,
        [(Error, "PG_PUBLICATION"), (Warning, "PG_PUBLICATION_TRUNCATE")]
    );
    assert_eq!(faults_of("FOR ALL TABLES").await?, [(Warning, "PG_PUBLICATION_ALL_TABLES")]);
    assert_eq!(
        faults_of("FOR TABLE customers WHERE (id > 5), orders (id, note)").await?,
        [(Warning, "PG_ROW_FILTER"), (Warning, "PG_COLUMN_LIST")]
    );
    database
        .client
        .batch_execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        .await?;
    let via_leaves = faults_of("FOR TABLE customers, orders, parts").await?;
    assert_eq!(via_leaves, [(Error, "PG_PUBLICATION")]);
    let via_root = "FOR TABLE customers, orders, parts WITH (publish_via_partition_root)";
    assert_eq!(faults_of(via_root).await?, []);
    Ok(())
}

#[tokio::test]
async fn the_slot_is_compared_with_the_log() -> Result<()> {
    let database = Database::new("preflight_slot", "").await?;
    let slot = database.options.slot.clone();
    let row =
        database.client.query_one("SELECT system_identifier::text FROM pg_control_system()", &[]);
    let system_id: String = row.await?.get(0);
    let log_to = |end: u64, system_id: &str| Resume {
        position: Some(v1::SourcePosition {
            source: Some(v1::SourceIdentity {
                kind: "postgres".to_owned(),
                system_id: system_id.to_owned(),
                timeline: 1,
                database: database.name.clone(),
                slot: slot.clone(),
                publication: database.options.publication.clone(),
                ..Default::default()
            }),
            end: lsn(end),
            ..Default::default()
        }),
        ..Resume::default()
    };
    let with =
        async |resume: &Resume| faults(&check(&database.options, resume, true).await.findings);
    let far = u64::MAX / 2;
    assert_eq!(with(&log_to(far, &system_id)).await, [(Level::Error, "PG_SLOT_MISSING")]);

    let create =
        |plugin: &str| format!("SELECT pg_create_logical_replication_slot('{slot}', '{plugin}')");
    let drop_slot = format!("SELECT pg_drop_replication_slot('{slot}')");
    database.client.batch_execute(&create("pgoutput")).await?;
    assert_eq!(database.faults().await, [(Level::Error, "PG_SLOT_EXISTS")]);
    assert_eq!(with(&log_to(far, &system_id)).await, []);
    assert_eq!(with(&log_to(1, &system_id)).await, [(Level::Error, "PG_SLOT_AHEAD")]);
    assert_eq!(with(&log_to(far, "42")).await, [(Level::Error, "PG_SYSTEM_MISMATCH")]);

    database.client.batch_execute(&drop_slot).await?;
    let physical = format!("SELECT pg_create_physical_replication_slot('{slot}')");
    database.client.batch_execute(&physical).await?;
    assert_eq!(with(&log_to(far, &system_id)).await, [(Level::Error, "PG_SLOT_UNUSABLE")]);
    database.client.batch_execute(&drop_slot).await?;
    Ok(())
}

/// A server of its own that lasts as long as the process, for settings that others must not see.
fn server_with(version: Version, settings: &[(&str, &str)]) -> Result<&'static Postgres> {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let server = Postgres::start_with(version, &Setup { settings, ..Setup::default() })?;
    Ok(Box::leak(Box::new(server)))
}

#[tokio::test]
async fn settings_of_the_server_that_are_in_the_way_are_told() -> Result<()> {
    let server = server_with(
        Version::System,
        &[("wal_level", "replica"), ("max_slot_wal_keep_size", "-1")],
    )?;
    let database = Database::on(server, "preflight_level", "").await?;
    assert_eq!(database.faults().await, [(Level::Error, "PG_WAL_LEVEL")]);
    server.stop()?;

    let server = server_with(
        Version::System,
        &[
            ("max_slot_wal_keep_size", "1MB"),
            ("max_replication_slots", "1"),
            ("max_wal_senders", "1"),
        ],
    )?;
    let database = Database::on(server, "preflight_limits", "").await?;
    database
        .client
        .batch_execute("SELECT pg_create_logical_replication_slot('other', 'pgoutput')")
        .await?;
    assert_eq!(
        database.faults().await,
        [
            (Level::Error, "PG_NO_FREE_SLOT"),
            (Level::Warning, "PG_NO_FREE_WALSENDER"),
            (Level::Warning, "PG_SMALL_WAL_LIMIT"),
        ]
    );

    // More than the limit is written: the server gives the slot up.
    let mut options = database.options.clone();
    options.slot = "other".to_owned();
    for _ in 0..4 {
        database
            .client
            .batch_execute(
                "SELECT pg_logical_emit_message(false, 'x', 'y'); SELECT pg_switch_wal()",
            )
            .await?;
    }
    database.client.batch_execute("CHECKPOINT").await?;
    let resume = Resume { position: Some(v1::SourcePosition::default()), ..Resume::default() };
    let report = check(&options, &resume, true).await;
    assert!(
        faults(&report.findings).contains(&(Level::Error, "PG_SLOT_LOST")),
        "{:#?}",
        report.findings
    );
    server.stop()
}

#[tokio::test]
async fn a_timeout_of_idle_slots_is_told() -> Result<()> {
    let server = server_with(Version::V18, &[("idle_replication_slot_timeout", "1h")])?;
    let database = Database::on(server, "preflight_timeout", "").await?;
    let report = database.check().await;
    assert_eq!(faults(&report.findings), [(Level::Warning, "PG_IDLE_SLOT_TIMEOUT")]);
    assert!(text_of(&report.findings, "PG_IDLE_SLOT_TIMEOUT").contains("1h"));
    server.stop()
}
