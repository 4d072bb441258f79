//! The database that is measured: a server of its own, the table of twelve columns, its rows, and
//! slots that wait.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use offtake_tests::postgres::{Postgres, Setup, Version};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

/// Rows that one transaction of the load inserts.
pub const ROWS_A_TRANSACTION: u64 = 100;

/// The columns, as a workaday table has them.
const COLUMNS: &str = "id bigint PRIMARY KEY, customer_id integer NOT NULL, sku text NOT NULL, \
    status text NOT NULL, email text NOT NULL, amount numeric(12,2) NOT NULL, \
    quantity integer NOT NULL, paid boolean NOT NULL, created_at timestamptz NOT NULL, \
    reference uuid NOT NULL, address text NOT NULL, note text";

/// The row of number `n`: the same on every run, about 870 bytes as JSON.
const ROW: &str = "n, (n * 7919 % 100000)::int, 'SKU-' || lpad((n % 99991)::text, 8, '0'), \
    (ARRAY['new','paid','packed','shipped','returned'])[1 + n % 5], \
    'customer.' || n % 100000 || '@mail.example.com', (n % 1000000)::numeric / 100, \
    (1 + n % 9)::int, n % 3 = 0, timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second', \
    md5(n::text)::uuid, n % 200 || ' Long Street, ' || md5((n * 3)::text) || ', Exampleton', \
    repeat(md5((n * 5)::text) || ' ', 16) || 'the end of this note'";

/// A server and one database of it.
pub struct Database {
    /// The server.
    pub postgres: Postgres,
    /// The database's name.
    pub name: String,
    client: Client,
    runtime: Runtime,
}

impl Database {
    /// Starts a server that does not stop for checkpoints while it is measured, and makes a
    /// database in it.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub fn start() -> Result<Database> {
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let setup = Setup {
            settings: vec![
                setting("shared_buffers", "256MB"),
                setting("max_wal_size", "8GB"),
                setting("checkpoint_timeout", "1h"),
                setting("autovacuum", "off"),
                setting("wal_sender_timeout", "60s"),
                setting("timezone", "UTC"),
            ],
            ..Setup::default()
        };
        let postgres = Postgres::start_with(Version::System, &setup)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (name, client) = runtime.block_on(async {
            let name = postgres.create_database("bench").await?;
            let client = postgres.connect(&name).await?;
            anyhow::Ok((name, client))
        })?;
        Ok(Database { postgres, name, client, runtime })
    }

    /// Connection URL.
    pub fn url(&self) -> String {
        self.postgres.url(&self.name)
    }

    /// Process id of the server's first process.
    ///
    /// # Errors
    /// The server is not ours.
    pub fn server_pid(&self) -> Result<u32> {
        let data = self.postgres.data().context("the benchmark needs a server of its own")?;
        let lock = std::fs::read_to_string(data.join("postmaster.pid"))?;
        Ok(lock.lines().next().context("an empty lock file")?.trim().parse()?)
    }

    /// The server's version, in words.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn version(&self) -> Result<String> {
        self.text("SELECT current_setting('server_version')")
    }

    /// Runs statements.
    ///
    /// # Errors
    /// The server refuses.
    pub fn execute(&self, statements: &str) -> Result<()> {
        self.runtime
            .block_on(self.client.batch_execute(statements))
            .with_context(|| statements.to_owned())
    }

    /// The text of a query's only value.
    ///
    /// # Errors
    /// The server refuses, or the value is no text.
    pub fn text(&self, query: &str) -> Result<String> {
        let row =
            self.runtime.block_on(self.client.query_one(query, &[])).context(query.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// Makes an empty table of the twelve columns, and a publication of the same name for it.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_table(&self, table: &str) -> Result<()> {
        self.execute(&format!(
            "CREATE TABLE public.{table} ({COLUMNS}); \
             CREATE PUBLICATION {table} FOR TABLE public.{table}"
        ))
    }

    /// Makes a slot that waits from now on.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_slot(&self, slot: &str) -> Result<()> {
        self.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
    }

    /// Inserts rows, [`ROWS_A_TRANSACTION`] at a time, and gives how large one is as JSON.
    ///
    /// # Errors
    /// The server refuses.
    pub fn load(&self, table: &str, rows: u64) -> Result<u64> {
        self.execute(&format!(
            "CREATE OR REPLACE PROCEDURE load(rows bigint) LANGUAGE plpgsql AS $$ BEGIN \
               SET synchronous_commit = off; \
               FOR start IN 1..rows BY {ROWS_A_TRANSACTION} LOOP \
                 INSERT INTO public.{table} SELECT {ROW} FROM \
                   generate_series(start, least(rows, start + {ROWS_A_TRANSACTION} - 1)) n; \
                 COMMIT; \
               END LOOP; \
             END $$"
        ))?;
        self.execute(&format!("CALL load({rows})"))?;
        self.execute(&format!("SET synchronous_commit = on; ANALYZE public.{table}; CHECKPOINT"))?;
        let size = self.text(&format!(
            "SELECT avg(length(row_to_json(t)::text))::bigint::text FROM \
             (SELECT * FROM public.{table} LIMIT 1000) t"
        ))?;
        Ok(size.parse()?)
    }

    /// Inserts rows one a transaction, `rate` a second, numbered from `first` on. The pace is kept by
    /// the clock: a slow commit is followed by quicker ones.
    ///
    /// # Errors
    /// The server refuses.
    pub fn insert_steadily(&self, table: &str, first: u64, rows: u64, rate: u64) -> Result<()> {
        self.runtime.block_on(async {
            let insert =
                format!("INSERT INTO public.{table} SELECT {ROW} FROM (SELECT $1::bigint n) n");
            let insert = self.client.prepare(&insert).await?;
            let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
            for number in first..first + rows {
                pace.tick().await;
                self.client.execute(&insert, &[&number.cast_signed()]).await?;
            }
            Ok(())
        })
    }

    /// `pg_current_wal_lsn()`.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn current_lsn(&self) -> Result<String> {
        self.text("SELECT pg_current_wal_lsn()::text")
    }

    /// Seconds that `COPY table TO STDOUT` takes a client that throws it away.
    ///
    /// # Errors
    /// `psql` cannot be run or fails.
    pub fn copy_seconds(&self, table: &str) -> Result<f64> {
        let begin = Instant::now();
        let status = Command::new("psql")
            .args(["-X", "-q", &self.url(), "-c", &format!("COPY public.{table} TO STDOUT")])
            .stdout(Stdio::null())
            .status()
            .context("psql cannot be run; install the `postgresql-client` package")?;
        ensure!(status.success(), "COPY failed");
        Ok(begin.elapsed().as_secs_f64())
    }
}
