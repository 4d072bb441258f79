//! The demo's shop: four tables and an application that never stops trading.
//!
//! The application is `psql` fed with statements; it knows nothing of Offtake, which is the point.

use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::postgres::Postgres;
use crate::pipeline::Halt;

/// Pause between two of the application's transactions.
const PAUSE: Duration = Duration::from_millis(150);

const TABLES: &str = "
create table customers (id bigint generated always as identity primary key, name text not null,
                        email text not null, created_at timestamptz not null default now());
create table orders (id bigint generated always as identity primary key,
                     customer_id bigint not null references customers, status text not null,
                     is_test boolean not null default false, total numeric(10,2) not null);
create table order_lines (order_id bigint not null references orders on delete cascade,
                          line int not null, product text not null, quantity int not null,
                          primary key (order_id, line));
create table payments (id bigint generated always as identity primary key,
                       order_id bigint not null references orders, card_number text not null,
                       amount numeric(10,2) not null);
insert into customers (name, email) values
  ('Ada Lovelace', 'ada@analytical.example'), ('Grace Hopper', 'grace@navy.example'),
  ('Edsger Dijkstra', 'edsger@structured.example');
";

const NAMES: [(&str, &str); 6] = [
    ("Barbara Liskov", "barbara@substitution.example"),
    ("Tony Hoare", "tony@quicksort.example"),
    ("Margaret Hamilton", "margaret@apollo.example"),
    ("Donald Knuth", "donald@art.example"),
    ("Radia Perlman", "radia@spanning.example"),
    ("Leslie Lamport", "leslie@clocks.example"),
];
const PRODUCTS: [&str; 5] = ["teapot", "lantern", "notebook", "compass", "umbrella"];

/// The application at work; stopped when dropped.
pub struct Shop {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    /// Creates the database and its tables.
    pub fn create(postgres: &Postgres) -> Result<(), Halt> {
        run(postgres, "postgres", "create database shop")?;
        run(postgres, "shop", TABLES)
    }

    /// Starts the application.
    pub fn open(postgres: &Postgres) -> Result<Shop, Halt> {
        let mut psql = postgres
            .psql("shop")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error.to_string()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            trade(&mut psql, &stopping);
            let _ = psql.kill();
            let _ = psql.wait();
        });
        Ok(Shop { stop, thread: Some(thread) })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn trade(psql: &mut Child, stop: &AtomicBool) {
    let Some(mut input) = psql.stdin.take() else { return };
    for round in 0.. {
        if stop.load(Ordering::Relaxed) || input.write_all(transaction(round).as_bytes()).is_err() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// One transaction of the application. Every fourth order is a cancelled test, which the demo's
/// filter leaves out.
fn transaction(round: usize) -> String {
    let (name, email) = NAMES[round % NAMES.len()];
    let product = PRODUCTS[round % PRODUCTS.len()];
    let card = format!("4000{:012}", 123_456_789 + round * 7_919);
    match round % 8 {
        0 => format!("insert into customers (name, email) values ('{name}', '{email}');\n"),
        1 | 2 | 4 => format!(
            "begin; with o as (insert into orders (customer_id, status, total) \
             values (1 + {round} % 3, 'placed', {total}.50) returning id), \
             l as (insert into order_lines select id, 1, '{product}', 2 from o) \
             insert into payments (order_id, card_number, amount) \
             select id, '{card}', {total}.50 from o; commit;\n",
            total = 10 + round % 90,
        ),
        3 => "insert into orders (customer_id, status, is_test, total) \
              values (1, 'cancelled', true, 1.00);\n"
            .to_owned(),
        5 => "update orders set status = 'shipped' where id = \
              (select max(id) from orders where status = 'placed');\n"
            .to_owned(),
        6 => format!(
            "update customers set email = 'new-{round}@mail.example' where id = 1 + {round} % 3;\n"
        ),
        _ => "delete from order_lines where order_id = (select min(order_id) from order_lines);\n"
            .to_owned(),
    }
}

fn run(postgres: &Postgres, database: &str, sql: &str) -> Result<(), Halt> {
    let output = postgres
        .psql(database)
        .args(["-c", sql])
        .output()
        .map_err(|error| failed(&error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(&String::from_utf8_lossy(&output.stderr)))
    }
}

fn failed(why: &str) -> Halt {
    Halt::new(
        "DEMO_SHOP",
        format!("the shop could not be set up: {}", why.trim()),
        "report this as a defect",
    )
}
