//! `mq move`: moves messages of a queue to another.

use anyhow::Result;
use clap::Args;

use super::bulk::{BulkArgs, Deed, count_unclaimed};
use super::{Context, Outcome, Usage, VerbArgs, creating};
use crate::domain::QueueName;
use crate::domain::units::counted;
use crate::store::Store as _;

/// Move messages of a queue to another
///
/// Moves what is not claimed, all of it or what the options mean, in order, to the end of the other queue. The messages
/// keep their ids; their delivery counts begin again, and so does the age of one for which the retention there is over. A
/// unique key goes along, but for its window; where another message has it, the message stays, and the status is 75. On a
/// terminal it asks first. A dry run counts what is meant, and does not look whether keys are taken or there is room in the
/// other queue. Interrupted, it says how many it has moved, and can be done again.
///
/// Where options choose among the messages and none of them could be moved, the exit status is 1; an empty queue is status 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq move jobs.dead jobs              give dead letters another chance
  mq move jobs archive --yes          do not ask
  mq move jobs slow --attr size=big   only some")]
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
        let deed = Deed {
            queue: from,
            done: "moved",
            whence: format!("from '{from}' to '{to}'"),
            question: &|n| format!("move {} from '{from}' to '{to}'?", counted(n, "message")),
            count: &|which| count_unclaimed(&store, from, which),
        };
        self.bulk.carry_out(&deed, |which, progress| {
            // Before anything is made: is there something to move from?
            store.policy(from)?;
            creating(&store, to, true, || store.policy(to))?;
            Ok(store.move_some(from, to, which, &mut || progress.step())?)
        })
    }
}
