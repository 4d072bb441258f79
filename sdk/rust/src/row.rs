//! Row by row, for plugins that would rather have one change at a time than columns.
//!
//! It stands on the columns: each is checked once a call, each access looks one up by its name, and
//! what is set is gathered into one patch a column as ever. What is done to a whole column is done
//! there faster; `sdk/README.md` has the figures. It keeps nothing, and does nothing that
//! [`Batch`] and [`Verdict`] do not.

use crate::row_image::word;
use crate::{
    Batch, ColumnId, Emission, Failure, Field, Image, Json, Kind, Operation, RowImage, TextWriter,
    Value, Verdict,
};

/// Calls a function with every image of each change of a batch, in order: of an update the row before
/// it, where the gateway sends one, then the row after it; of all others the one that they have. So
/// what [`Row::set`] covers is covered in both, and nothing plain is left in the old row.
///
/// What is said of the change as a whole (a row to emit, a stream) is said in its newest image, so
/// once: [`Row::is_newest`] tells which, and [`each_newest`] visits no other. Saying nothing passes the
/// row as it is. An error fails that change alone, as [`Verdict::fail`] does; its next image is not
/// visited, and whatever else was said of it is void.
///
/// ```
/// use offtake_sdk::{Batch, Failure, Field, Verdict, each_row};
///
/// fn process(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
///     each_row(batch, verdict, |row| {
///         if let Field::Value(email) = row.text("email")? {
///             row.set("email", &email.to_lowercase());
///         }
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
/// A column was set that does not leave, or to a value of another kind: a mistake of the plugin,
/// which fails the whole call. So does a column that is set twice in one image, and what is of the
/// whole change said elsewhere than in its newest image.
pub fn each_row(
    batch: &Batch<'_>,
    verdict: &mut Verdict<'_>,
    each: impl FnMut(&mut Row<'_, '_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    visit(batch, verdict, true, each)
}

/// [`each_row`] for those who decide by the new row, such as a filter: the function is called once a
/// change, with the row after it, or the row before a delete. What it sets is not set in the row
/// before an update.
///
/// ```
/// use offtake_sdk::{Batch, Failure, Field, Verdict, each_newest};
///
/// fn process(batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
///     each_newest(batch, verdict, |row| {
///         if row.integer("visits")? == Field::Value(0) {
///             row.drop_row();
///         }
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
/// Those of [`each_row`].
pub fn each_newest(
    batch: &Batch<'_>,
    verdict: &mut Verdict<'_>,
    each: impl FnMut(&mut Row<'_, '_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    visit(batch, verdict, false, each)
}

fn visit(
    batch: &Batch<'_>,
    verdict: &mut Verdict<'_>,
    every: bool,
    mut each: impl FnMut(&mut Row<'_, '_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (before, after) = (batch.columns(Image::Before)?, batch.columns(Image::After)?);
    for (index, operation) in (0..).zip(batch.operations()) {
        let schema = batch.schema();
        let newest = match operation {
            Operation::Delete => Image::Before,
            _ => Image::After,
        };
        let mut row = Row {
            before: RowImage { image: Image::Before, columns: &before, schema, index },
            after: RowImage { image: Image::After, columns: &after, schema, index },
            visited: Image::Before,
            newest,
            operation,
            verdict,
            dropped: false,
            mistake: None,
        };
        let has_older = every && newest == Image::After && row.before.is_there();
        let mut outcome = if has_older { each(&mut row) } else { Ok(()) };
        if outcome.is_ok() {
            row.visited = newest;
            outcome = each(&mut row);
        }
        let Row { dropped, mistake, .. } = row;
        if let Some(mistake) = mistake {
            return Err(Failure::permanent(mistake));
        }
        match outcome {
            Err(failure) => verdict.fail(index, failure),
            // Only now: a row that was to be dropped and then failed is not to vanish.
            Ok(()) if dropped => verdict.drop(index),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// An image of a change, until the function that was given it returns.
///
/// It is read and set in the image that is visited; [`Row::before`] and [`Row::after`] read one of the
/// two, [`Row::set_in`] sets it. Reading gives what came, whatever was set meanwhile.
#[derive(Debug)]
pub struct Row<'r, 'v> {
    before: RowImage<'r>,
    after: RowImage<'r>,
    visited: Image,
    newest: Image,
    operation: Operation,
    verdict: &'r mut Verdict<'v>,
    dropped: bool,
    /// The plugin's own mistake, told once the function returns.
    mistake: Option<String>,
}

impl<'r> Row<'r, '_> {
    /// The row's number in the batch, as [`Verdict`] and [`Batch::metadata`] count.
    pub fn index(&self) -> u32 {
        self.after.index
    }

    /// What happened to it. A truncate comes as a change too; it has no value in either image, and
    /// can be given none.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The row before the change. An insert has none: every column of it is absent.
    pub fn before(&self) -> RowImage<'r> {
        self.before
    }

    /// The row after the change. A delete has none: every column of it is absent.
    pub fn after(&self) -> RowImage<'r> {
        self.after
    }

    /// The image that is visited: read and set unless another is named.
    pub fn image(&self) -> RowImage<'r> {
        match self.visited {
            Image::Before => self.before,
            Image::After => self.after,
        }
    }

    /// Whether the image that is visited is the one that counts: the row after the change, or before a
    /// delete. It is so once a change.
    pub fn is_newest(&self) -> bool {
        self.visited == self.newest
    }

    /// See [`RowImage::field`].
    ///
    /// # Errors
    /// As there.
    pub fn field(&self, column: &str) -> Result<Field<Value<'r>>, Failure> {
        self.image().field(column)
    }

    /// See [`RowImage::boolean`].
    ///
    /// # Errors
    /// As there.
    pub fn boolean(&self, column: &str) -> Result<Field<bool>, Failure> {
        self.image().boolean(column)
    }

    /// See [`RowImage::integer`].
    ///
    /// # Errors
    /// As there.
    pub fn integer(&self, column: &str) -> Result<Field<i64>, Failure> {
        self.image().integer(column)
    }

    /// See [`RowImage::unsigned`].
    ///
    /// # Errors
    /// As there.
    pub fn unsigned(&self, column: &str) -> Result<Field<u64>, Failure> {
        self.image().unsigned(column)
    }

    /// See [`RowImage::float`].
    ///
    /// # Errors
    /// As there.
    pub fn float(&self, column: &str) -> Result<Field<f64>, Failure> {
        self.image().float(column)
    }

    /// See [`RowImage::text`].
    ///
    /// # Errors
    /// As there.
    pub fn text(&self, column: &str) -> Result<Field<&'r str>, Failure> {
        self.image().text(column)
    }

    /// See [`RowImage::json`].
    ///
    /// # Errors
    /// As there.
    pub fn json(&self, column: &str) -> Result<Field<Json>, Failure> {
        self.image().json(column)
    }

    /// See [`RowImage::bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn bytes(&self, column: &str) -> Result<Field<&'r [u8]>, Failure> {
        self.image().bytes(column)
    }

    /// Sets a column, by its name as it leaves; once an image. A column that does not leave, or that is of
    /// another kind, is a mistake that fails the call.
    pub fn set<'a>(&mut self, column: &str, value: impl Into<Value<'a>>) {
        self.set_in(self.image().side(), column, value);
    }

    /// Sets SQL NULL.
    pub fn set_null(&mut self, column: &str) {
        self.set_field(column, Field::Null);
    }

    /// Sets what a field is: a value, NULL, unchanged or absent.
    pub fn set_field(&mut self, column: &str, field: Field<Value<'_>>) {
        self.set_field_in(self.image().side(), column, field);
    }

    /// Sets a text, written in place: what is pushed to the writer becomes the value.
    pub fn write_text(&mut self, column: &str) -> TextWriter<'_> {
        let index = self.index();
        let column = self.column(self.image().side(), column, Some(Kind::Text));
        self.verdict.write_text(column, index)
    }

    /// Sets a column of an image. The row has to have that image.
    pub fn set_in<'a>(&mut self, image: Image, column: &str, value: impl Into<Value<'a>>) {
        self.set_field_in(image, column, Field::Value(value.into()));
    }

    /// Sets what a field of an image is. The row has to have that image.
    pub fn set_field_in(&mut self, image: Image, column: &str, field: Field<Value<'_>>) {
        let column = self.column(image, column, field.value().map(|value| value.kind()));
        self.verdict.set_field(column, self.index(), field);
    }

    /// Leaves the change out, in whichever image it is said. Wins over everything else that is said of
    /// it, but for an error that the function returns.
    pub fn drop_row(&mut self) {
        self.dropped = true;
    }

    /// Makes the change one of another kind.
    pub fn set_operation(&mut self, operation: Operation) {
        self.once();
        self.verdict.set_operation(self.index(), operation);
    }

    /// Sends the row to another stream. The last word counts.
    pub fn set_stream(&mut self, stream: &str) {
        self.once();
        self.verdict.set_stream(self.index(), stream);
    }

    /// Chooses the partition of the row's messages, modulo those of the topic; once a row.
    pub fn set_partition(&mut self, partition: u32) {
        self.once();
        self.verdict.set_partition(self.index(), partition);
    }

    /// Adds a header; one of the same name is replaced.
    pub fn set_header(&mut self, name: &str, value: &[u8]) {
        self.once();
        self.verdict.set_header(self.index(), name, value);
    }

    /// Takes a header away.
    pub fn remove_header(&mut self, name: &str) {
        self.once();
        self.verdict.remove_header(self.index(), name);
    }

    /// Emits a row of an output behind this one, see [`Verdict::emit`].
    pub fn emit(&mut self, output: u32, operation: Operation) -> Emission<'_> {
        self.once();
        self.verdict.emit(output, self.index(), operation)
    }

    /// For what is said of a change as a whole: in two visits it would be said twice.
    fn once(&mut self) {
        if !self.is_newest() {
            let message = "what is of a whole change was said in an image that is not its newest";
            self.mistake = Some(message.to_owned());
        }
    }

    /// The column of that name as it leaves. Where there is none of that kind, one that the verdict
    /// takes values for until the call fails.
    fn column(&mut self, image: Image, name: &str, kind: Option<Kind>) -> ColumnId {
        let (found, is) = match self.verdict.leaving(image, name) {
            Some((found, is)) => (found, Some(is)),
            None => (ColumnId { image, ordinal: u32::MAX }, None),
        };
        match (is, kind) {
            (None, _) => self.mistake = Some(format!("column {name} was set, and does not leave")),
            (Some(is), Some(kind)) if is != kind => {
                let (is, kind) = (word(is), word(kind));
                self.mistake =
                    Some(format!("column {name} is of kind {is}, and was set to {kind}"));
            }
            _ => {}
        }
        found
    }
}

#[cfg(test)]
mod tests;
