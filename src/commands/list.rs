//! `mq list`: queues, or a queue's messages.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::envelope::{Facts, state_word};
use super::filter::FilterArgs;
use super::stat::short_age;
use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, Usage, VerbArgs, visible};
use crate::domain::{Clock as _, MediaType, QueueName, SystemClock, UnixMillis};
use crate::store::{Filter, Listed, Store as _};

/// List queues, or the messages of a queue
///
/// Without QUEUE: the name of each queue, one a line. With QUEUE: each message, or those that the options mean, with its
/// state, age, size and deliveries, the queue that it was put to if that is another one (as of a dead letter), and when
/// and why its last delivery failed; the deliverable ones first, in the order in which they would be delivered.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq list
  mq list jobs
  mq list jobs.dead --reason timeout --older 1h
  mq list jobs --json | jq 'select(.deliveries > 3)'")]
pub(crate) struct ListArgs {
    /// The queue whose messages to list
    queue: Option<QueueName>,

    /// Write one line of JSON for each: a queue's name as queue; of a message id, state, deliveries, put_at,
    /// visible_until or due, expires_at, priority, bytes, type, attrs, reply_to,
    /// put_to, failures, and unread: why it could not be read, if so
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

impl VerbArgs for ListArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        let which = self.filter.into_filter();
        let listed = match &self.queue {
            Some(queue) => messages(queue, &which, self.json, context, &mut output),
            None if !which.is_all() => {
                return Err(Usage("which messages? The options choose among those of a QUEUE".to_owned()).into());
            }
            None => queues(self.json, context, &mut output),
        };
        let flushed = output.flush();
        let (_, _) = output.into_parts();
        listed?;
        flushed.map_err(StdoutError)?;
        Ok(Outcome::Done)
    }
}

fn queues(json: bool, context: &Context, output: &mut impl Write) -> Result<()> {
    for queue in context.store()?.queues()? {
        let line = if json { serde_json::json!({ "queue": queue }).to_string() } else { queue.to_string() };
        writeln!(output, "{line}").map_err(StdoutError)?;
    }
    Ok(())
}

fn messages(queue: &QueueName, which: &Filter, json: bool, context: &Context, output: &mut impl Write) -> Result<()> {
    let now = SystemClock.now();
    let mut written = Ok(());
    let store = context.store()?;
    // Asked before the heading is written.
    store.policy(queue)?;
    if !json {
        let heading = format!(
            "{:<36}  {:<7}  {:>5}  {:>10}  {:>10}  {:>8}  {:<12}  {:<12}  LAST FAILURE",
            "ID", "STATE", "AGE", "BYTES", "DELIVERIES", "PRIORITY", "TYPE", "PUT TO"
        );
        writeln!(output, "{heading}").map_err(StdoutError)?;
    }
    store.list(queue, which, &mut |listed| {
        written = if json {
            let facts = Facts::new(&listed.message, queue, listed.deliveries).in_state(listed.state);
            facts.with_failures(&listed.failures).unread(listed.unread.as_deref()).write(output)
        } else {
            row(&listed, queue, now, output)
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(written.map_err(StdoutError)?)
}

fn row(listed: &Listed, queue: &QueueName, now: UnixMillis, output: &mut impl Write) -> std::io::Result<()> {
    let message = &listed.message;
    let failure = match (&listed.unread, listed.failures.last()) {
        (Some(why), _) => format!("cannot be read: {}", visible(why)),
        (None, Some(failure)) => format!("{} ago: {}", short_age(failure.at.age_at(now)), visible(&failure.reason)),
        (None, None) => "-".to_owned(),
    };
    let line = format!(
        "{}  {:<7}  {:>5}  {:>10}  {:>10}  {:>8}  {:<12}  {:<12}  {failure}",
        message.id,
        state_word(listed.state),
        short_age(message.put_at.age_at(now)),
        message.len_bytes,
        listed.deliveries,
        message.priority,
        message.media_type.as_ref().map_or("-", MediaType::as_str),
        if message.queue == *queue { "-" } else { message.queue.as_str() },
    );
    writeln!(output, "{line}")
}
