//! `mq pause` and `mq resume`: hold receivers off, and let them go on.

use anyhow::Result;
use clap::Args;

use super::{Context, Outcome, VerbArgs};
use crate::domain::QueueName;
use crate::store::Store as _;

/// Hold receivers of a queue off
///
/// Puts go on; claims that are out can be deleted, released and extended. `mq get` ends with status 75, or waits
/// if it was told to. `mq resume` lets them go on.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The queue to pause
    queue: QueueName,
}

/// Let receivers of a paused queue go on
///
/// Those who wait on the queue look again at once. A queue that is not paused stays as it is.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The queue to resume
    queue: QueueName,
}

fn set_paused(queue: &QueueName, paused: bool, context: &Context) -> Result<Outcome> {
    context.store()?.change_policy(queue, &mut |policy| {
        policy.paused = paused;
        Ok(())
    })?;
    Ok(Outcome::Done)
}

impl VerbArgs for PauseArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        set_paused(&self.queue, true, context)
    }
}

impl VerbArgs for ResumeArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        set_paused(&self.queue, false, context)
    }
}
