//! `mq purge`: deletes every message of a queue.

use anyhow::Result;
use clap::Args;

use super::bulk::BulkArgs;
use super::{Context, Outcome, VerbArgs};
use crate::domain::QueueName;
use crate::store::Store as _;

/// Delete every message of a queue
///
/// Claimed and delayed messages too: the receipts of claims that are out become stale. The queue and its policy stay;
/// `mq drop` removes them. On a terminal it asks first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq purge jobs
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
        let count = || store.stat(queue).map(|stat| stat.messages());
        self.bulk.carry_out(
            queue,
            "deleted",
            &format!("of '{queue}'"),
            |n| format!("delete all {n} message(s) of '{queue}'?"),
            count,
            || store.purge(queue),
        )
    }
}
