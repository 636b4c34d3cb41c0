//! `mq list`: queues, or a queue's messages.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::envelope::{Facts, state_word};
use super::stat::short_age;
use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs};
use crate::domain::{Clock as _, MediaType, QueueName, SystemClock, UnixMillis};
use crate::store::{Listed, Store as _};

/// List queues, or the messages of a queue
///
/// Without QUEUE: the name of each queue, one a line. With QUEUE: each message with its state, age, size and
/// deliveries, the deliverable ones first, in the order in which they would be delivered.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq list
  mq list jobs
  mq list jobs --json | jq 'select(.deliveries > 3)'")]
pub(crate) struct ListArgs {
    /// The queue whose messages to list
    queue: Option<QueueName>,

    /// Write one line of JSON for each: a queue's name as queue; of a message id, state, deliveries, put_at,
    /// visible_until or due, expires_at, priority, bytes, type, attrs and reply_to
    #[arg(long)]
    json: bool,
}

impl VerbArgs for ListArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let listed = match &self.queue {
            Some(queue) => self.messages(queue, context, &mut output),
            None => self.queues(context, &mut output),
        };
        let flushed = output.flush();
        let (_, _) = output.into_parts();
        listed?;
        flushed.map_err(StdoutError)?;
        Ok(Outcome::Done)
    }
}

impl ListArgs {
    fn queues(&self, context: &Context, output: &mut impl Write) -> Result<()> {
        for queue in context.store()?.queues()? {
            let line = if self.json { serde_json::json!({ "queue": queue }).to_string() } else { queue.to_string() };
            writeln!(output, "{line}").map_err(StdoutError)?;
        }
        Ok(())
    }

    fn messages(&self, queue: &QueueName, context: &Context, output: &mut impl Write) -> Result<()> {
        let now = SystemClock.now();
        let mut written = Ok(());
        let store = context.store()?;
        // Asked before the heading is written.
        store.policy(queue)?;
        if !self.json {
            let heading = format!(
                "{:<36}  {:<7}  {:>5}  {:>10}  {:>10}  {:>8}  TYPE",
                "ID", "STATE", "AGE", "BYTES", "DELIVERIES", "PRIORITY"
            );
            writeln!(output, "{heading}").map_err(StdoutError)?;
        }
        store.list(queue, &mut |listed| {
            written = if self.json {
                Facts::new(&listed.message, queue, listed.deliveries).in_state(listed.state).write(output)
            } else {
                row(&listed, now, output)
            };
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(written.map_err(StdoutError)?)
    }
}

fn row(listed: &Listed, now: UnixMillis, output: &mut impl Write) -> std::io::Result<()> {
    let message = &listed.message;
    let line = format!(
        "{}  {:<7}  {:>5}  {:>10}  {:>10}  {:>8}  {}",
        message.id,
        state_word(listed.state),
        short_age(message.put_at.age_at(now)),
        message.len_bytes,
        listed.deliveries,
        message.priority,
        message.media_type.as_ref().map_or("-", MediaType::as_str),
    );
    writeln!(output, "{line}")
}
