//! `mq move`: moves a queue's messages to another.

use anyhow::Result;
use clap::Args;

use super::bulk::BulkArgs;
use super::{Context, Outcome, Usage, VerbArgs, creating};
use crate::domain::QueueName;
use crate::store::Store as _;

/// Move the messages of a queue to another
///
/// Moves what is not claimed, in order, to the end of the other queue. The messages keep their ids; their delivery
/// counts begin again. On a terminal it asks first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq move jobs.dead jobs              give dead letters another chance
  mq move jobs archive --yes          do not ask")]
pub(crate) struct MoveArgs {
    /// The queue to empty
    from: QueueName,

    /// The queue to fill; it is made if it does not exist
    to: QueueName,

    #[command(flatten)]
    bulk: BulkArgs,
}

impl VerbArgs for MoveArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let (from, to) = (&self.from, &self.to);
        if from == to {
            return Err(Usage(format!("'{from}' cannot be moved to itself")).into());
        }
        let store = context.store()?;
        let count = || store.stat(from).map(|stat| stat.ready + stat.delayed);
        let question = |n| format!("move {n} message(s) from '{from}' to '{to}'?");
        let whence = format!("from '{from}' to '{to}'");
        self.bulk.carry_out(from, "moved", &whence, question, count, || {
            // Before anything is made: is there something to move from?
            store.policy(from)?;
            creating(&store, to, true, || store.policy(to))?;
            store.move_all(from, to)
        })
    }
}
