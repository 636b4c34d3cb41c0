//! `mq peek`: reads without claiming.

use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::envelope::Facts;
use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, Usage, VerbArgs};
use crate::codec::framing::{Framing, FramingError, check_frame, write_frame};
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

    /// Up to N messages; more than one need a framing option: --lines, --null, --length-prefixed or --json
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    count: usize,

    /// The message with this id, whatever its state
    #[arg(long, value_name = "ID", conflicts_with = "count")]
    id: Option<MessageId>,

    /// Write a newline after each body; a body that holds one is refused
    #[arg(long, group = "framing")]
    lines: bool,

    /// Write a NUL byte after each body; a body that holds one is refused
    #[arg(short = '0', long, group = "framing")]
    null: bool,

    /// Write each body as a netstring (`5:hello,`), which takes any bytes
    #[arg(long, group = "framing")]
    length_prefixed: bool,

    /// Write each message as an envelope: one line of JSON, as `mq get --json` does, with its state and why earlier
    /// deliveries failed, but without a receipt
    #[arg(long, visible_alias = "jsonl", group = "framing")]
    json: bool,
}

impl VerbArgs for PeekArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let framing = match (self.lines, self.null, self.length_prefixed) {
            (true, ..) => Some(Framing::Lines),
            (_, true, _) => Some(Framing::Null),
            (_, _, true) => Some(Framing::LengthPrefixed),
            _ => None,
        };
        if self.count > 1 && framing.is_none() && !self.json {
            let framings = "--lines, --null, --length-prefixed or --json";
            return Err(Usage(format!("more than one message needs a framing: {framings}")).into());
        }
        let store = context.store()?;
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let mut outcome = Outcome::Nothing;
        let mut failure = Ok(());
        let which = self.id.map_or(Which::Next(self.count), Which::Id);
        store.peek(&self.queue, which, &mut |peeked| {
            outcome = Outcome::Done;
            failure = show(peeked, &self.queue, framing, self.json, &mut output);
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let flushed = output.flush();
        let (_, _) = output.into_parts();
        failure?;
        flushed.map_err(StdoutError)?;
        Ok(outcome)
    }
}

fn show(
    mut peeked: Peeked,
    queue: &QueueName,
    framing: Option<Framing>,
    json: bool,
    to: &mut BufWriter<Stdout>,
) -> Result<()> {
    let body = &mut peeked.body;
    if json {
        let listed = &peeked.listed;
        let facts = Facts::new(&listed.message, queue, listed.deliveries)
            .in_state(listed.state)
            .with_failures(&peeked.failures);
        return Ok(facts.write_with_body(body, to).map_err(StdoutError)?);
    }
    let Some(framing) = framing else {
        std::io::copy(body, to).map_err(StdoutError)?;
        return Ok(());
    };
    if framing.delimiter().is_some() {
        check_frame(framing, body)?;
        body.rewind()?;
    }
    let len_bytes = body.len_bytes();
    match write_frame(framing, body, len_bytes, to) {
        Err(FramingError::Write(error)) => Err(StdoutError(error).into()),
        other => Ok(other?),
    }
}
