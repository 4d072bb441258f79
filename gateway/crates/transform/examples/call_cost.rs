//! Prints what a change costs in the plugin host, in nanoseconds: the bundled mask plugin over one
//! text column, by rows a call, with and without before images, beside the same work done natively.
//!
//! `cargo run --release -p offtake-transform --example call_cost`

use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, Operation, ReplicaIdentity, Row, TableSchema, ValueRef,
};
use offtake_transform::{Engine, EngineOptions, Limits, Plugin, PluginSpec, builtin};

const ROWS: usize = 4096;
const COLUMNS: usize = 12;
const EMAIL: usize = 3;
const SAMPLE: Duration = Duration::from_millis(50);
const SAMPLES: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::new(EngineOptions::default())?;
    let component = builtin("mask").ok_or("the mask plugin is not built in")?.to_vec();
    let spec = PluginSpec {
        name: "mask".to_owned(),
        component,
        config_json: r#"{"columns":["email"],"keep_last":4}"#.to_owned(),
        limits: Limits::default(),
        state: None,
    };
    let begin = Instant::now();
    let plugin = Plugin::load(&engine, spec)?;
    println!("load (compile, start, configure)  {:>10.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    let mut instance = plugin.instance()?;
    println!("instance (start, configure)       {:>10.1} us", begin.elapsed().as_secs_f64() * 1e6);
    let schema = schema();
    for images in [1, 2] {
        println!("\n{images} image(s)      ns a change");
        for per_call in [1, 4, 16, 64, 256] {
            let cost = best(&schema, images, |batch, rows| {
                for piece in rows.chunks(per_call) {
                    instance.process(batch, piece).map_err(|fault| fault.to_string())?;
                }
                Ok(())
            })?;
            println!("  {per_call:>4} a call     {cost:>10.1}");
        }
        let native = best(&schema, images, |batch, rows| {
            rows.iter().for_each(|&row| mask_natively(batch, row));
            Ok(())
        })?;
        println!("  native          {native:>10.1}");
    }
    Ok(())
}

/// The least cost a row of several samples. The batch is made anew before each pass, outside the
/// time taken.
fn best(
    schema: &Arc<TableSchema>,
    images: usize,
    mut work: impl FnMut(&mut Batch, &[u32]) -> Result<(), String>,
) -> Result<f64, String> {
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let mut batch = Batch::new();
    let mut least = f64::INFINITY;
    for _ in 0..SAMPLES {
        let (mut spent, mut count) = (Duration::ZERO, 0);
        while spent < SAMPLE {
            fill(&mut batch, schema, images);
            let begin = Instant::now();
            work(&mut batch, &rows)?;
            spent += begin.elapsed();
            count += ROWS;
        }
        least = least.min(spent.as_nanos() as f64 / count as f64);
    }
    Ok(least)
}

fn schema() -> Arc<TableSchema> {
    let mut columns: Vec<Column> =
        (0..COLUMNS).map(|at| Column::new(format!("c{at}"), Kind::Text, "text")).collect();
    columns[0] = Column::new("id", Kind::Integer, "int8");
    columns[EMAIL].name = "email".to_owned();
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new("shop", "public", "customers", columns, &[0])
    })
}

fn fill(batch: &mut Batch, schema: &Arc<TableSchema>, images: usize) {
    batch.clear();
    let schema = batch.schema_index(schema);
    for row in 0..ROWS {
        let after = image(batch, row);
        let before = if images == 2 { image(batch, row) } else { Image::NONE };
        batch.rows.push(Row {
            schema,
            lsn: Lsn(row as u64),
            ..Row::new(
                if images == 2 { Operation::Update } else { Operation::Create },
                before,
                after,
            )
        });
    }
}

fn image(batch: &mut Batch, row: usize) -> Image {
    let begin = batch.begin_image();
    batch.push_cell(Cell::integer(row as i64));
    for column in 1..COLUMNS {
        let cell = if column == EMAIL {
            batch.text(b"somebody.with.a.name@mail.example.com")
        } else {
            batch.text(b"forty bytes of text, as columns often...")
        };
        batch.push_cell(cell);
    }
    batch.end_image(begin)
}

fn mask_natively(batch: &mut Batch, row: u32) {
    let head = batch.rows[row as usize];
    for image in [head.before, head.after] {
        if let ValueRef::Text(text) = batch.column(image, EMAIL) {
            let mut masked = text.to_vec();
            let covered = masked.len().saturating_sub(4);
            masked[..covered].fill(b'*');
            let cell = batch.text(&masked);
            batch.set(image, EMAIL, cell);
        }
    }
}
