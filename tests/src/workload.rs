//! A seeded load that knows what it did: the ground truth of the kill tests.
//!
//! Every transaction does some work on `kv` (few keys, many conflicts), `bank` (transfers) and `doc`
//! (large values), then writes one row into `journal` with its own number and how many rows it
//! changed, and commits or rolls back. Some have logical messages among their rows, which count as
//! rows, and some write one outside of themselves right before their end, which stays whatever becomes
//! of them. The writer remembers which numbers were acknowledged, so the checker needs no trust in the
//! database or the gateway. Each `kv` row has a generation (new with every insert) and a version (plus
//! one with every update), which makes a lost, doubled or swapped change visible in the chain.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use tokio_postgres::{Client, NoTls};

/// Tables of the load. `doc` is larger than a batch, so that a snapshot of it has more than one chunk.
pub const TABLES: &str = "
create sequence generation;
create table kv (id int primary key, gen bigint not null, ver bigint not null, note text);
alter table kv replica identity full;
create table bank (id int primary key, balance bigint not null);
alter table bank replica identity full;
create table doc (id int primary key, ver bigint not null, body text not null);
create table journal (tx bigint primary key, changed int not null);
insert into bank select i, 1000 from generate_series(1, 8) i;
insert into kv select i, nextval('generation'), 1, 'seed' from generate_series(1, 20) i;
insert into doc select i, 1, repeat(md5(i::text), 200) from generate_series(1, 150) i;
";

/// The prefix of messages of which nothing may arrive, as the note of such rows.
pub const NEVER: &str = "never";

/// What every balance adds up to.
pub const BANK_TOTAL: i64 = 8_000;

/// What became of the load's transactions, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Acknowledged by the database.
    pub committed: BTreeSet<i64>,
    /// Rolled back, or refused.
    pub rolled_back: BTreeSet<i64>,
    /// The connection broke before the answer to COMMIT.
    pub unknown: BTreeSet<i64>,
    /// Those that wrote a message outside of themselves, whatever became of them.
    pub messages: BTreeSet<i64>,
}

impl Journal {
    /// The writer of the transaction of that number.
    pub fn writer(number: i64) -> i64 {
        number.div_euclid(NUMBERS_OF_A_WRITER)
    }
}

/// Where the numbers of the next writer begin.
const NUMBERS_OF_A_WRITER: i64 = 1_000_000_000;

/// Writers at work; they stop when told.
#[derive(Debug)]
pub struct Workload {
    /// What became of the transactions.
    pub journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Workload {
    /// Starts `writers` connections, each with its own random sequence of the seed.
    pub fn start(url: &str, seed: u64, writers: u32, pause: std::time::Duration) -> Workload {
        let journal = Arc::new(Mutex::new(Journal::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..writers)
            .map(|writer| {
                let (url, journal, stop) =
                    (url.to_owned(), Arc::clone(&journal), Arc::clone(&stop));
                let random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(writer.into()));
                tokio::spawn(write(url, random, writer, journal, stop, pause))
            })
            .collect();
        Workload { journal, stop, tasks }
    }

    /// Stops the writers and gives what they did.
    pub async fn stop(self) -> Result<Journal> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(self.journal.lock().expect("no holder panics").clone())
    }
}

/// A small generator of its own, so that a seed means the same for ever (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator of that seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn write(
    url: String,
    mut random: Random,
    writer: u32,
    journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
    pause: std::time::Duration,
) -> Result<()> {
    let mut client = connect(&url).await?;
    let mut number = i64::from(writer) * NUMBERS_OF_A_WRITER;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let commits = random.below(10) > 1;
        let done = transaction(&client, &mut random, number).await;
        if done.is_ok() && random.below(3) == 0 {
            // Right before the commit: in the log nothing may be between the two.
            let sql = format!("select pg_logical_emit_message(false, '{number}', 'outside')");
            client.batch_execute(&sql).await?;
            journal.lock().expect("no holder panics").messages.insert(number);
        }
        let end = match (&done, commits) {
            (Ok(()), true) => client.batch_execute("commit").await.map(|()| true),
            _ => client.batch_execute("rollback").await.map(|()| false),
        };
        {
            let mut journal = journal.lock().expect("no holder panics");
            match end {
                Ok(true) => journal.committed.insert(number),
                Ok(false) => journal.rolled_back.insert(number),
                Err(_) if done.is_ok() && commits => journal.unknown.insert(number),
                Err(_) => journal.rolled_back.insert(number),
            };
        }
        if client.is_closed() {
            client = reconnect(&url, &stop).await?;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

async fn reconnect(url: &str, stop: &AtomicBool) -> Result<Client> {
    loop {
        match connect(url).await {
            Ok(client) => return Ok(client),
            Err(error) if stop.load(Ordering::Relaxed) => return Err(error),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

/// One transaction up to, not including, its end. An error (a conflict, a deadlock) is rolled back
/// by the caller.
async fn transaction(client: &Client, random: &mut Random, number: i64) -> Result<()> {
    client.batch_execute("begin").await?;
    let mut changed = 0;
    for _ in 0..=random.below(4) {
        changed += step(client, random, number).await?;
    }
    let sql = format!("insert into journal values ({number}, {changed})");
    client.execute(&sql, &[]).await?;
    Ok(())
}

/// One step; gives the number of rows and messages that last.
async fn step(client: &Client, random: &mut Random, number: i64) -> Result<u64> {
    let key = 1 + random.below(40);
    let other = 1 + random.below(40);
    let sql = match random.below(11) {
        0 | 1 => format!(
            "insert into kv values ({key}, nextval('generation'), 1, 'n{number}') on conflict do nothing"
        ),
        2 | 3 => format!("update kv set ver = ver + 1, note = 'u{number}' where id = {key}"),
        4 => format!("delete from kv where id = {key}"),
        5 => format!(
            "update kv set id = {other}, ver = ver + 1 where id = {key} and not exists \
             (select 1 from kv where id = {other})"
        ),
        6 => format!("update kv set ver = ver + 1 where id between {key} and {key} + 5"),
        7 => {
            let (from, to) = (1 + random.below(4), 5 + random.below(4));
            let amount = 1 + random.below(20);
            let sql = format!(
                "update bank set balance = balance + case id when {from} then -{amount} else \
                 {amount} end where id in ({from}, {to})"
            );
            return Ok(client.execute(&sql, &[]).await?);
        }
        8 => {
            // Work that a savepoint takes back leaves nothing.
            let sql = format!(
                "savepoint s; update kv set note = '{NEVER}', ver = ver + 1 where id = {key}; \
                 insert into kv values (10000 + {key}, nextval('generation'), 1, '{NEVER}') \
                 on conflict do nothing; select pg_logical_emit_message(true, '{NEVER}', 'x'); \
                 rollback to s"
            );
            client.batch_execute(&sql).await?;
            return Ok(0);
        }
        9 => format!("select pg_logical_emit_message(true, '{number}', repeat('m', 9 * {key}))"),
        _ if random.below(2) == 0 => {
            let id = 1 + random.below(5);
            format!("update doc set ver = ver + 1 where id = {id}")
        }
        _ => {
            let id = 1 + random.below(5);
            format!(
                "update doc set ver = ver + 1, body = repeat(md5('{number}'), 150 + {key}) where id = {id}"
            )
        }
    };
    Ok(client.execute(&sql, &[]).await?)
}
