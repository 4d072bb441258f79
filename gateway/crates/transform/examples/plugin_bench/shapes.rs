//! What the plugins do, and whether one does it: every shape of every language is held against the
//! rows that it must give, once, before it is measured.

use offtake_change::{Batch, ValueRef};
use offtake_transform::{CALL_ROWS, Isolated, Processed};

use crate::changes::{AMOUNT, Changes, EMAIL, Images, NAME, PHONE, ROWS, amount, masked};
use crate::record::Records;

/// Changes in a call, at most; `Shape::Json` has one.
pub(crate) const CALL: usize = CALL_ROWS;

/// What a plugin is configured to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Empty,
    /// One column, named here by its ordinal.
    Mask1(usize),
    Mask3,
    Filter,
    Add,
    FanOut,
    Json,
}

/// In the order of the table.
pub(crate) const COLUMNAR: [Shape; 6] =
    [Shape::Empty, Shape::Mask1(EMAIL), Shape::Mask3, Shape::Filter, Shape::Add, Shape::FanOut];

impl Shape {
    /// The name in the plugins' configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shape::Empty => "empty",
            Shape::Mask1(_) => "mask1",
            Shape::Mask3 => "mask3",
            Shape::Filter => "filter",
            Shape::Add => "add",
            Shape::FanOut => "fan_out",
            Shape::Json => "json",
        }
    }

    /// What a person reads.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Shape::Empty => "nothing (one column sent)",
            Shape::Mask1(_) => "mask 1 of 12 columns",
            Shape::Mask3 => "mask 3 of 12 columns",
            Shape::Filter => "filter on an integer",
            Shape::Add => "add a column",
            Shape::FanOut => "fan-out 1 to 2",
            Shape::Json => "mask 1, JSON a record",
        }
    }

    pub(crate) fn config_json(self, images: Images) -> String {
        let column = match self {
            Shape::Mask1(PHONE) => "phone",
            Shape::Mask1(NAME) => "name",
            _ => "email",
        };
        let (shape, both_images) = (self.name(), images == Images::Both);
        format!(r#"{{"shape":"{shape}","column":"{column}","both_images":{both_images}}}"#)
    }

    /// The columns that leave with every character but the first covered.
    fn masks(self, ordinal: usize) -> bool {
        match self {
            Shape::Mask1(of) => of == ordinal,
            Shape::Mask3 => matches!(ordinal, EMAIL | PHONE | NAME),
            _ => false,
        }
    }

    /// Whether the plugin does what the shape says, to every row and to nothing else.
    pub(crate) fn verify(
        self,
        plugin: &mut Isolated,
        changes: &Changes,
        images: Images,
    ) -> Result<(), String> {
        let mut batch = Batch::new();
        changes.fill(&mut batch, images);
        if self == Shape::Json {
            return Records::new(changes).verify(plugin, changes, &batch);
        }
        let rows: Vec<u32> = (0..ROWS as u32).collect();
        let mut done = Processed::default();
        for piece in rows.chunks(CALL) {
            plugin.process(&mut batch, piece, &mut done).map_err(|fault| fault.to_string())?;
        }
        if !done.failed.is_empty() {
            return Err(format!("{}: rows failed", self.name()));
        }
        let wrong = (0..ROWS).find(|&row| !self.is_right(changes, &batch, row));
        let emitted = if self == Shape::FanOut { ROWS } else { 0 };
        if let Some(row) = wrong {
            return Err(format!("{}: row {row} is not what it must be", self.name()));
        }
        if done.emitted.len() != emitted || batch.rows.len() != ROWS + emitted {
            return Err(format!("{}: {} rows emitted", self.name(), done.emitted.len()));
        }
        let contact = |emission: &offtake_transform::Emission| {
            let after = batch.rows[emission.row as usize].after;
            let parent = emission.parent as usize;
            batch.column(after, 0) == ValueRef::Integer(parent as i64)
                && batch.column(after, 1).as_str() == Some(changes.text(parent, EMAIL))
        };
        if !done.emitted.iter().all(contact) {
            return Err(format!("{}: a row was emitted wrong", self.name()));
        }
        Ok(())
    }

    fn is_right(self, changes: &Changes, batch: &Batch, row: usize) -> bool {
        let head = batch.rows[row];
        let columns = changes.table.columns.len();
        let is_right_image = |image| {
            let texts = (EMAIL..columns).all(|ordinal| {
                let text = changes.text(row, ordinal);
                let found = batch.column(image, ordinal).as_str();
                if self.masks(ordinal) { found == Some(&masked(text)) } else { found == Some(text) }
            });
            texts
                && batch.column(image, 0) == ValueRef::Integer(row as i64)
                && batch.column(image, AMOUNT) == ValueRef::Integer(amount(row))
        };
        let (_, domain) = changes.text(row, EMAIL).split_once('@').unwrap_or_default();
        head.dropped == (self == Shape::Filter && amount(row) < 1000)
            && is_right_image(head.after)
            && (!head.before.is_some() || is_right_image(head.before))
            && (self != Shape::Add || batch.column(head.after, columns).as_str() == Some(domain))
    }
}
