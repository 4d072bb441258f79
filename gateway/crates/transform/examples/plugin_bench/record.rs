//! A record a call as JSON, which is what rivals do: the host writes the row as JSON, the plugin reads
//! it with its language's JSON, masks the e-mail, writes JSON, and the host reads that. All of it counts.

use std::sync::Arc;

use offtake_change::{Batch, Image, Operation, Row, TableSchema};
use offtake_transform::{Isolated, Processed};
use serde_json::Value;

use crate::changes::{Changes, EMAIL, ROWS, masked};

pub(crate) struct Records {
    schema: Arc<TableSchema>,
    batch: Batch,
    json: Vec<u8>,
    done: Processed,
}

impl Records {
    pub(crate) fn new(changes: &Changes) -> Records {
        let schema = Arc::clone(&changes.records);
        Records { schema, batch: Batch::new(), json: Vec::new(), done: Processed::default() }
    }

    /// One row there and back.
    pub(crate) fn send(
        &mut self,
        plugin: &mut Isolated,
        changes: &Changes,
        source: &Batch,
        row: u32,
    ) -> Result<Value, String> {
        let head = &source.rows[row as usize];
        changes
            .write_json(source, head, &mut self.json)
            .ok_or("a row cannot be written as JSON")?;
        let batch = &mut self.batch;
        batch.clear();
        let schema = batch.schema_index(&self.schema);
        let begin = batch.begin_image();
        let cell = batch.text(&self.json);
        batch.push_cell(cell);
        let after = batch.end_image(begin);
        let head = Row::new(Operation::Create, Image::NONE, after);
        batch.rows.push(Row { schema, ..head });
        plugin.process(batch, &[0], &mut self.done).map_err(|fault| fault.to_string())?;
        if !self.done.failed.is_empty() {
            return Err("json: a row failed".to_owned());
        }
        let text = batch.column(batch.rows[0].after, 0);
        let text = text.as_str().ok_or("json: the record is no text")?;
        serde_json::from_str(text).map_err(|error| format!("json: {error}"))
    }

    /// Whether every record comes back with the e-mail masked and all else as it was.
    pub(crate) fn verify(
        mut self,
        plugin: &mut Isolated,
        changes: &Changes,
        source: &Batch,
    ) -> Result<(), String> {
        for row in 0..ROWS {
            let found = self.send(plugin, changes, source, row as u32)?;
            let mut expected: Value =
                serde_json::from_slice(&self.json).map_err(|error| error.to_string())?;
            expected["email"] = Value::from(masked(changes.text(row, EMAIL)));
            if found != expected {
                return Err(format!("json: row {row} is not what it must be"));
            }
        }
        Ok(())
    }
}
