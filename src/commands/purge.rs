//! `mq purge`: deletes messages of a queue.

use anyhow::Result;
use clap::Args;

use super::bulk::{BulkArgs, Deed, count_meant};
use super::{Context, Outcome, VerbArgs};
use crate::domain::QueueName;
use crate::domain::units::counted;
use crate::store::Store as _;

/// Delete messages of a queue
///
/// All of them, or those that the options mean; claimed and delayed messages too: the receipts of claims that are out
/// become stale. What is purged is not archived, and what an archive has stays. The queue and its policy stay; `mq drop`
/// removes them. On a terminal it asks first. Interrupted, it says how many it has deleted, and can be done again.
///
/// Where options choose among the messages and none of them is there, the exit status is 1; an empty queue is status 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq purge jobs
  mq purge jobs --older 30d --attr source=cron
  mq purge jobs --dry-run --json
  mq purge jobs --yes")]
pub(crate) struct PurgeArgs {
    /// The queue to empty
    queue: QueueName,

    #[command(flatten)]
    bulk: BulkArgs,
}

impl VerbArgs for PurgeArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        let queue = &self.queue;
        let deed = Deed {
            queue,
            done: "deleted",
            whence: format!("of '{queue}'"),
            question: &|n| format!("delete {} of '{queue}'?", counted(n, "message")),
            count: &|which| count_meant(&store, queue, which),
        };
        self.bulk.carry_out(&deed, |which, progress| Ok(store.purge_some(queue, which, &mut || progress.step())?))
    }
}
