//! A database with a gateway on it: what most end-to-end tests begin with, and what they ask of
//! both afterwards.
//!
//! Every fixture has a database, a slot and a folder of its own. A broken expectation panics with
//! what the gateway wrote, as an assertion of the test would.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio_postgres::Client;

use crate::gateway::{Gateway, binary};
use crate::postgres::Postgres;
use crate::subscriber::{Subscriber, text};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// `timeout`'s own exit status for a command that it had to end.
const TIMED_OUT: i32 = 124;
/// A log that needs no large disk.
const SMALL_LOG: &str = "[log]\ndir = \"data\"\nsegment = \"1MiB\"\nretain = { size = \"64MiB\" }";

/// A database, a gateway that is configured for it, and a superuser's connection.
#[derive(Debug)]
pub struct Fixture {
    /// The gateway, not yet started.
    pub gateway: Gateway,
    /// A superuser's connection to the database.
    pub client: Client,
    /// The database's name, and the pipeline's.
    pub database: String,
    /// The slot's name, and the publication's.
    pub slot: String,
    folder: tempfile::TempDir,
}

/// How a command ended and what a user reads of it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit status; `None`: by a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub errors: String,
}

impl Ended {
    /// Asserts the exit status and that the texts are in what was printed.
    #[track_caller]
    pub fn expect(self, status: i32, texts: &[&str]) -> Ended {
        assert_eq!(self.status, Some(status), "{self:#?}");
        for text in texts {
            let found = self.out.contains(text) || self.errors.contains(text);
            assert!(found, "there is no {text:?} in {}\n{}", self.out, self.errors);
        }
        self
    }

    /// Asserts an error with that code, a cause and a next step, and gives `cause` and next step
    /// as one text.
    #[track_caller]
    pub fn expect_error(self, status: i32, code: &str, texts: &[&str]) -> String {
        let ended = self.expect(status, &[]);
        let begin = format!("error[{code}]: ");
        let found = ended.errors.find(&begin).and_then(|at| ended.errors.get(at..));
        let message = found.unwrap_or_else(|| panic!("there is no {begin:?} in {}", ended.errors));
        let (cause, next) = message.split_once("\n  next: ").expect("an error has a next step");
        assert!(cause.len() > begin.len() && next.trim().len() > 10, "{message}");
        for text in texts {
            assert!(message.contains(text), "there is no {text:?} in {message}");
        }
        message.to_owned()
    }
}

impl Fixture {
    /// Creates a database, runs the SQL in it and configures a gateway for `public.*`. `source`
    /// are further lines of `[source]`, `rest` further sections; `[log]` is there.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn new(
        postgres: &Postgres,
        hint: &str,
        sql: &str,
        source: &str,
        rest: &str,
    ) -> Result<Fixture> {
        let database = postgres.create_database(hint).await?;
        let client = postgres.connect(&database).await?;
        client.batch_execute(sql).await.context("the fixture's SQL")?;
        let folder = tempfile::tempdir()?;
        let source =
            format!("url = \"{}\"\ntables = [\"public.*\"]\n{source}", postgres.url(&database));
        let rest = format!("{rest}\n\n{SMALL_LOG}");
        let gateway = Gateway::new(folder.path(), &database, &source, &rest)?;
        let slot = format!("offtake_{database}");
        Ok(Fixture { gateway, client, database, slot, folder })
    }

    /// The folder with configuration, log and output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on a halt ends the process, with its own exit status.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn exit_on_halt(&self) -> Result<()> {
        self.gateway.edit("\n\n[source]", "\non_halt = \"exit\"\n\n[source]")
    }

    /// Starts the gateway and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn start(&mut self) -> Result<()> {
        self.gateway.start("")?;
        self.gateway.wait_until_ready(PATIENCE)
    }

    /// Stops it as a service manager does; it must end well.
    ///
    /// # Errors
    /// It does not end in time, or with another exit status than 0.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.gateway.stop(Duration::from_secs(6))?;
        ensure!(status.success(), "the gateway ended with {status}: {}", self.gateway.output());
        Ok(())
    }

    /// `offtake run` until it ends by itself.
    ///
    /// # Errors
    /// It goes on running.
    pub fn run_to_its_end(&mut self) -> Result<Ended> {
        let before = self.gateway.output().len();
        self.gateway.start("")?;
        let status = self.gateway.wait_for_exit(PATIENCE)?;
        let errors = self.gateway.output().split_off(before);
        Ok(Ended { status: status.code(), out: String::new(), errors })
    }

    /// Another subcommand to its end, with a deadline and without a terminal.
    ///
    /// # Errors
    /// It cannot be started or does not end.
    pub fn command(&self, arguments: &[&str]) -> Result<Ended> {
        let output = Command::new("timeout")
            .arg(PATIENCE.as_secs().to_string())
            .arg(binary())
            .args(arguments)
            .arg("-c")
            .arg(self.gateway.config())
            .envs(self.gateway.environment.iter().cloned())
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .output()?;
        ensure!(output.status.code() != Some(TIMED_OUT), "offtake {arguments:?} does not end");
        Ok(Ended {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// What the slot has confirmed, as a number; `None`: there is no slot.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn confirmed(&self) -> Result<Option<i64>> {
        let sql = "SELECT (confirmed_flush_lsn - '0/0')::int8 FROM pg_replication_slots \
                   WHERE slot_name = $1";
        let row = self.client.query_opt(sql, &[&self.slot]).await?;
        Ok(row.and_then(|row| row.get(0)))
    }

    /// How many rows the server still holds for the slot, because nobody acknowledged them.
    ///
    /// # Errors
    /// The slot stays in use, or the server refuses.
    pub async fn unacknowledged_rows(&self) -> Result<i64> {
        self.wait_until_slot_is_free().await?;
        // The first byte tells a row's insert, update or delete from what is around it.
        let sql = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, \
                   'proto_version', '1', 'publication_names', $2) \
                   WHERE get_byte(data, 0) IN (ascii('I'), ascii('U'), ascii('D'))";
        let publication = format!("\"{}\"", self.slot);
        Ok(self.client.query_one(sql, &[&self.slot, &publication]).await?.get(0))
    }

    /// Waits until nobody reads from the slot: a walsender ends a moment after its client.
    ///
    /// # Errors
    /// It stays in use, or the server refuses.
    pub async fn wait_until_slot_is_free(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let active = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
        while self.client.query_one(active, &[&self.slot]).await?.get(0) {
            ensure!(Instant::now() < deadline, "slot {} stays in use", self.slot);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Drops the slot as somebody else would, with SQL.
    ///
    /// # Errors
    /// See [`Fixture::wait_until_slot_is_free`].
    pub async fn drop_slot(&self) -> Result<()> {
        self.wait_until_slot_is_free().await?;
        self.client.execute("SELECT pg_drop_replication_slot($1)", &[&self.slot]).await?;
        Ok(())
    }

    /// How many slots and publications the pipeline has in the database.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn created(&self) -> Result<(i64, i64)> {
        let sql = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1), \
                   (SELECT count(*) FROM pg_publication)";
        let row = self.client.query_one(sql, &[&self.slot]).await?;
        Ok((row.get(0), row.get(1)))
    }

    /// Waits until the subscriber has rows with these ids, and asserts that it has them in this
    /// order and each once.
    ///
    /// # Errors
    /// They do not come.
    pub async fn expect_ids(
        &self,
        subscriber: &Subscriber,
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<()> {
        let expected: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
        subscriber
            .wait_for("the rows", PATIENCE, |store| store.changes.len() >= expected.len())
            .await
            .with_context(|| self.gateway.output())?;
        let changes = subscriber.changes();
        let found: Vec<&str> = changes
            .iter()
            .map(|change| change.after.as_ref().and_then(|after| text(after, "id")).unwrap_or("-"))
            .collect();
        assert_eq!(found, expected, "{}", self.gateway.output());
        Ok(())
    }
}

/// Files under the folder that hold the text.
///
/// # Panics
/// One of them cannot be read.
pub fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("it is a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() {
            // A socket has no content.
            let bytes = std::fs::read(&path).expect("it can be read");
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}
