//! `mq replay`: puts deleted messages again that the queue's archive still has.

use anyhow::Result;
use clap::Args;

use super::bulk::{BulkArgs, Deed, count_archived};
use super::{Context, NO_STATES, Outcome, Usage, VerbArgs, note};
use crate::domain::QueueName;
use crate::domain::units::counted;
use crate::store::Store as _;

/// Put deleted messages of a queue again
///
/// Of a queue with the policy archive=DUR, messages that were deleted less than DUR ago are still there: all of them, or
/// those that the options mean, are put to the queue once more, in the order in which they were put at first. Each becomes a
/// new message, with an id of its own, now as the time of its put, and no deliveries; body, type, attributes, priority,
/// group, reply-to and the time that it has to live are what they were, a delay or a unique key it has none. The archived
/// ones stay until their time is over, and can be put yet again: a replay that was interrupted has put some of them, and if
/// it is repeated it puts those again as well. On a terminal it asks first.
///
/// mq list QUEUE --archived shows what there is. A message that cannot be read is left out, and the exit status is 74.
/// Where options choose among the messages and none of them is there, it is 1; an empty archive is status 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq set jobs archive=7d
  mq list jobs --archived
  mq replay jobs --newer 2h --dry-run
  mq replay jobs --newer 2h --attr source=cron
  mq replay jobs --id 018bcfe5-684b-722a-b1ba-804098e6cb29")]
pub(crate) struct ReplayArgs {
    /// The queue whose deleted messages to put again
    queue: QueueName,

    #[command(flatten)]
    bulk: BulkArgs,
}

impl VerbArgs for ReplayArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        if self.bulk.names_states() {
            return Err(Usage(NO_STATES.to_owned()).into());
        }
        let store = context.store()?;
        let queue = &self.queue;
        if store.policy(queue)?.archive.is_none() {
            note(format_args!(
                "'{queue}' has no archive: mq set {queue} archive=DUR keeps what is deleted from then on"
            ));
        }
        let deed = Deed {
            queue,
            done: "replayed",
            whence: format!("of '{queue}'"),
            question: &|n| format!("put {} of '{queue}' again?", counted(n, "deleted message")),
            count: &|which| count_archived(&store, queue, which),
        };
        self.bulk.carry_out(&deed, |which, progress| Ok(store.replay(queue, which, &mut || progress.step())?))
    }
}
