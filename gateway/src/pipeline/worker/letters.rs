//! Dead letters on their way into the log: of a sink in a group of their own, of a plugin in the place
//! of the row.

use offtake_failpoint::crash_point;
use offtake_sink_kafka::DeadLetterRequest;

use super::super::halt::Halt;
use super::plans::TargetPlan;
use super::work::{Output, Work};
use super::{Worker, log_halt};

impl Worker {
    /// Writes a dead letter as a group of its own. Between two pieces of a transaction the group
    /// carries no position, so that a restart goes by the piece before it.
    pub(super) fn take_letter(&mut self, request: DeadLetterRequest) -> Result<(), Halt> {
        self.submit()?;
        let sequence = self.letters.write(&mut self.writer, &request)?;
        crash_point("pipeline.before_dead_letter");
        self.writer.submit().map_err(|error| log_halt(&error))?;
        crash_point("pipeline.after_dead_letter");
        request.written(sequence);
        Ok(())
    }

    /// Writes the dead letter of a row that a plugin failed at, if that is what became of it: in the
    /// row's place, so that the position that passes the row is durable with it and not before.
    pub(super) fn push_dead(
        &mut self,
        work: &Work,
        target: &TargetPlan,
        output: &Output,
    ) -> Result<(), Halt> {
        let batch = &work.batch;
        let Some(dead) = work.made.dead.iter().find(|dead| dead.row == output.row) else {
            return Ok(());
        };
        let Some(schema) = batch.schemas.get(dead.original.schema as usize) else { return Ok(()) };
        let id = self.writer.register_schema(schema);
        let stream = (&*target.name, target.stream);
        self.letters.write_of_plugin(&mut self.writer, batch, dead, stream, (schema, id))
    }
}
