//! `mq peek`: reads without claiming.

use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::envelope::Facts;
use super::frames::{Count, FrameArgs, Unwritten};
use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs};
use crate::domain::{MessageId, QueueName};
use crate::store::{Peeked, Store as _, Which};

/// Read messages without claiming them
///
/// Shows what would be delivered next, or with --id a message in any state. No delivery is counted, and nobody is kept
/// from claiming what is shown. Exit status 1 says that nothing is deliverable.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq peek jobs
  mq peek jobs --count 10 --json | jq .attrs")]
pub(crate) struct PeekArgs {
    /// The queue to look at
    queue: QueueName,

    /// Up to N messages, or `all`; more than one need a framing option: --lines, --null, --length-prefixed or --json
    #[arg(short, long, value_name = "N|all", default_value = "1")]
    count: Count,

    /// The message with this id, whatever its state
    #[arg(long, value_name = "ID", conflicts_with = "count")]
    id: Option<MessageId>,

    #[command(flatten)]
    frames: FrameArgs,

    /// Write each message as an envelope: one line of JSON, as `mq get --json` does, with its state and why earlier
    /// deliveries failed, but without a receipt
    #[arg(long, visible_alias = "jsonl", group = "framing")]
    json: bool,
}

impl VerbArgs for PeekArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        self.frames.check(self.count != Count::UpTo(1), self.json)?;
        let store = context.store()?;
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let mut outcome = Outcome::Nothing;
        let mut failure = Ok(());
        let which = self.id.map_or(Which::Next(self.count.most()), Which::Id);
        store.peek(&self.queue, which, &mut |peeked| {
            outcome = Outcome::Done;
            failure = self.show(peeked, &mut output);
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let flushed = output.flush();
        let (_, _) = output.into_parts();
        failure?;
        flushed.map_err(StdoutError)?;
        Ok(outcome)
    }
}

impl PeekArgs {
    fn show(&self, mut peeked: Peeked, to: &mut BufWriter<Stdout>) -> Result<()> {
        if self.json {
            let listed = &peeked.listed;
            let facts = Facts::new(&listed.message, &self.queue, listed.deliveries)
                .in_state(listed.state)
                .with_failures(&peeked.listed.failures);
            return Ok(facts.write_with_body(&mut peeked.body, to).map_err(StdoutError)?);
        }
        self.frames.write(&mut peeked.body, to).map_err(|error| match error {
            Unwritten::Output(error) => StdoutError(error).into(),
            Unwritten::Body(error) => error.into(),
        })
    }
}
