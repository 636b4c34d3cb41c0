//! `mq set`: changes a queue's policy.

use anyhow::Result;
use clap::Args;

use super::{Context, Outcome, VerbArgs};
use crate::domain::QueueName;
use crate::store::Store as _;

/// Change the policy of a queue
///
/// Takes the settings of `mq create`; what is not named stays as it is, and `none` takes an optional one away. The
/// change is atomic, and holds for every command that starts after it. `mq stat QUEUE` shows the policy in force.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq set jobs visibility=10m
  mq set jobs max-deliveries=5 dead-letter=graveyard
  mq set jobs max-deliveries=none")]
pub(crate) struct SetArgs {
    /// The queue whose policy to change
    queue: QueueName,

    /// What to change
    #[arg(value_name = "KEY=VALUE", required = true)]
    settings: Vec<String>,
}

impl VerbArgs for SetArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        context.store()?.change_policy(&self.queue, &mut |policy| policy.apply_all(&self.settings))?;
        Ok(Outcome::Done)
    }
}
