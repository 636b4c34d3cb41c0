//! `mq drop`: removes a queue.

use anyhow::Result;
use clap::Args;

use super::{Context, Outcome, VerbArgs, note};
use crate::domain::QueueName;
use crate::domain::units::counted;
use crate::store::Store as _;

/// Remove a queue
///
/// A queue that still holds messages is kept, unless --force says that they go with it. An archive of deleted messages
/// keeps no queue: it goes with it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq drop jobs
  mq drop --force scratch")]
pub(crate) struct DropArgs {
    /// The queue to remove
    queue: QueueName,

    /// Remove its messages with it
    #[arg(long)]
    force: bool,
}

impl VerbArgs for DropArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let messages = context.store()?.drop_queue(&self.queue, self.force)?;
        if messages > 0 {
            note(format_args!("dropped '{}' with {}", self.queue, counted(messages, "message")));
        }
        Ok(Outcome::Done)
    }
}
