//! `mq create`: makes a queue.

use anyhow::Result;
use clap::Args;

use super::{Context, Outcome, VerbArgs};
use crate::domain::{Invalid, Policy, QueueName};
use crate::store::{Error, Store as _};

/// Make a queue with a policy
///
/// Settings are KEY=VALUE, with their defaults in brackets:
///
///   visibility=DUR        how long a claim lasts, unless get says it [30s]
///   max-deliveries=N      a message that comes back from its Nth delivery
///                         goes to the dead-letter queue [none]
///   dead-letter=QUEUE     where it goes; made when it is needed, for which a full
///                         disk has no room, or before [QUEUE.dead]
///   delay=DUR             new messages are not deliverable before this [0s]
///   retention=DUR         messages older than this are never delivered; dead
///                         letters count from their put, so keep them longer,
///                         unless they died of their age [none]
///   expired=delete|dead-letter  what becomes of those, and of messages whose
///                         time to live (put --ttl) is over [delete]
///   durability=full|none  whether a printed id survives power loss [full]
///   max-messages=N        a put that would make it more fails with status 75,
///                         or waits (put --wait) [none]
///   max-bytes=SIZE        the same for the size of all messages, such as
///                         64MiB; headers count, the archive does not [none]
///   reserve=SIZE          puts leave so much of the disk free; none, default
///                         [a hundredth of it, 64MiB at most]
///   reserve-inodes=N      and room for so many files [a hundredth, 1024 at
///                         most]
///   retry-delay=DUR       a message that was released, or whose command failed,
///                         is not deliverable before this, the first time [0s]
///   retry-factor=N        then N times longer each time, 1 to 100 [2]
///   retry-max=DUR         but never longer than this [1h]
///   retry-jitter=N%       and up to N% shorter, by chance but always the same
///                         for the same delivery of a message [0%]
///   archive=DUR           deleted messages are kept this long, for mq replay
///                         [none]
///
/// `mq put` makes a missing queue with the defaults. `mq set` changes the settings of one that exists.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  mq create jobs visibility=5m max-deliveries=3
  mq create mail retry-delay=10s retry-max=15m retry-jitter=25% max-deliveries=20
  mq create scratch durability=none
  mq create inbox max-messages=10000 max-bytes=1GiB
  mq create --mode 2770 shared              for everybody of the directory's group"
)]
pub(crate) struct CreateArgs {
    /// The queue to make
    queue: QueueName,

    /// Settings of its policy
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Permissions of its directories in octal; a group's rights and setgid let a group share it
    /// [default: 0700, or as the spool's directory if that was made for a group]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    mode: Option<u32>,

    /// Do nothing if the queue exists, whatever its settings
    #[arg(long)]
    if_missing: bool,
}

fn parse_mode(text: &str) -> Result<u32, Invalid> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o7777 && mode & 0o700 == 0o700 && mode & 0o5002 == 0).ok_or_else(|| {
        Invalid::new(text, "a mode such as 0700, 0750 or 2770: the owner has all rights, others may not write")
    })
}

impl VerbArgs for CreateArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let mut policy = Policy::default();
        policy.apply_all(&self.settings)?;
        match context.store()?.create_queue(&self.queue, &policy, self.mode) {
            Err(Error::QueueExists(_)) if self.if_missing => Ok(Outcome::Done),
            other => Ok(other.map(|()| Outcome::Done)?),
        }
    }
}
