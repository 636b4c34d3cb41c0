//! `mq move`: moves a queue's messages to another.

use anyhow::Result;
use clap::Args;

use super::purge::say_count;
use super::{Context, Outcome, Usage, VerbArgs, confirmed, creating, note};
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

    /// Say how many messages there are, and move none
    #[arg(long)]
    dry_run: bool,

    /// Do not ask, not even on a terminal
    #[arg(short, long)]
    yes: bool,

    /// Say how many in JSON on stdout, instead of in words on stderr
    #[arg(long)]
    json: bool,
}

impl VerbArgs for MoveArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let (from, to) = (&self.from, &self.to);
        if from == to {
            return Err(Usage(format!("'{from}' cannot be moved to itself")).into());
        }
        let store = context.store()?;
        let there = if self.dry_run || !self.yes {
            let stat = store.stat(from)?;
            stat.ready + stat.delayed
        } else {
            // Before anything is made: is there something to move from?
            store.policy(from)?;
            0
        };
        let messages = if self.dry_run {
            there
        } else if confirmed(self.yes, &format!("move {there} message(s) from '{from}' to '{to}'?"))? {
            creating(&store, to, true, || store.policy(to))?;
            store.move_all(from, to)?
        } else {
            note("nothing was moved");
            return Ok(Outcome::Done);
        };
        say_count(from, "moved", messages, self.dry_run, self.json)
    }
}
