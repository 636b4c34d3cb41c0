//! `mq list`: queues, or a queue's messages.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::envelope::{ARCHIVED, Facts, state_word};
use super::filter::FilterArgs;
use super::stat::short_age;
use super::streams::{Stdout, StdoutError};
use super::{Context, NO_STATES, Outcome, Usage, VerbArgs, visible};
use crate::domain::{Clock as _, MediaType, QueueName, SystemClock, UnixMillis};
use crate::store::{Archived, Failure, Filter, Listed, Message, Store, last_reason};

/// List queues, or the messages of a queue
///
/// Without QUEUE: the name of each queue, one a line. With QUEUE: each message, or those that the options mean, with its
/// state, age, size and deliveries, the queue that it was put to if that is another one (as of a dead letter), and when
/// and why its last delivery failed; the deliverable ones first, in the order in which they would be delivered.
///
/// With --archived: of a queue with the policy archive=DUR, the messages that were deleted less than DUR ago, which
/// mq replay puts again; as JSON, kept_until says when that ends.
///
/// Where options or ids choose among the messages and none of them is there, the exit status is 1; an empty queue of which
/// all was asked for is status 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq list
  mq list jobs
  mq list jobs.dead --reason timeout --older 1h
  mq list jobs --archived --newer 2h
  mq list jobs --json | jq 'select(.deliveries > 3)'")]
pub(crate) struct ListArgs {
    /// The queue whose messages to list
    queue: Option<QueueName>,

    /// List the deleted messages that the queue's archive still has, in the order in which they were put
    #[arg(long)]
    archived: bool,

    /// Write one line of JSON for each: a queue's name as queue; of a message id, state, deliveries, put_at,
    /// visible_until or due, expires_at, priority, bytes, type, attrs, reply_to,
    /// put_to, failures, and unread: why it could not be read, if so; with --archived also kept_until
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

impl VerbArgs for ListArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let mut output = BufWriter::with_capacity(64 * 1024, Stdout);
        if self.archived && self.filter.names_states() {
            return Err(Usage(NO_STATES.to_owned()).into());
        }
        let which = self.filter.into_filter()?;
        let listed = match &self.queue {
            Some(queue) if self.archived => archived(queue, &which, self.json, context, &mut output),
            Some(queue) => messages(queue, &which, self.json, context, &mut output),
            None if self.archived || !which.is_all() => {
                return Err(Usage("which messages? The options choose among those of a QUEUE".to_owned()).into());
            }
            None => queues(self.json, context, &mut output),
        };
        let flushed = output.flush();
        let (_, _) = output.into_parts();
        let count = listed?;
        flushed.map_err(StdoutError)?;
        Ok(Outcome::of_matched(count, &which))
    }
}

fn queues(json: bool, context: &Context, output: &mut impl Write) -> Result<u64> {
    let queues = context.store()?.queues()?;
    for queue in &queues {
        let line = if json { serde_json::json!({ "queue": queue }).to_string() } else { queue.to_string() };
        writeln!(output, "{line}").map_err(StdoutError)?;
    }
    Ok(queues.len() as u64)
}

/// Returns how many there are.
fn messages(queue: &QueueName, which: &Filter, json: bool, context: &Context, output: &mut impl Write) -> Result<u64> {
    let now = SystemClock.now();
    let (mut written, mut count) = (Ok(()), 0);
    let store = context.store()?;
    begin(&store, queue, 7, json, output)?;
    store.list(queue, which, &mut |listed| {
        let Listed { message, state, deliveries, failures, unread } = &listed;
        written = if json {
            let facts = Facts::new(message, queue, *deliveries).in_state(*state);
            facts.with_failures(failures).unread(unread.as_deref()).write(output)
        } else {
            let state = state_word(*state);
            Row { message, state, deliveries: *deliveries, failures, unread: unread.as_deref() }
                .write(queue, now, output)
        };
        count += 1;
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.map_err(StdoutError)?;
    Ok(count)
}

/// Returns how many there are.
fn archived(queue: &QueueName, which: &Filter, json: bool, context: &Context, output: &mut impl Write) -> Result<u64> {
    let now = SystemClock.now();
    let (mut written, mut count) = (Ok(()), 0);
    let store = context.store()?;
    begin(&store, queue, ARCHIVED.len(), json, output)?;
    store.list_archived(queue, which, &mut |archived| {
        let Archived { message, kept_until, deliveries, failures, unread } = &archived;
        written = if json {
            let facts = Facts::new(message, queue, *deliveries).archived(*kept_until);
            facts.with_failures(failures).unread(unread.as_deref()).write(output)
        } else {
            let state = ARCHIVED;
            Row { message, state, deliveries: *deliveries, failures, unread: unread.as_deref() }
                .write(queue, now, output)
        };
        count += 1;
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.map_err(StdoutError)?;
    Ok(count)
}

/// Writes the heading, with so many columns for the state, when it is known that there is such a queue.
fn begin(store: &dyn Store, queue: &QueueName, width: usize, json: bool, output: &mut impl Write) -> Result<()> {
    store.policy(queue)?;
    if json {
        return Ok(());
    }
    let heading = format!(
        "{:<36}  {:<width$}  {:>5}  {:>10}  {:>10}  {:>8}  {:<12}  {:<12}  LAST FAILURE",
        "ID", "STATE", "AGE", "BYTES", "DELIVERIES", "PRIORITY", "TYPE", "PUT TO"
    );
    Ok(writeln!(output, "{heading}").map_err(StdoutError)?)
}

/// One message in a line.
struct Row<'a> {
    message: &'a Message,
    state: &'a str,
    deliveries: u32,
    failures: &'a [Failure],
    unread: Option<&'a str>,
}

impl Row<'_> {
    fn write(&self, queue: &QueueName, now: UnixMillis, output: &mut impl Write) -> std::io::Result<()> {
        let message = self.message;
        let failure = match (self.unread, last_reason(self.failures)) {
            (Some(why), _) => format!("cannot be read: {}", visible(why)),
            (None, Some(failure)) => {
                format!("{} ago: {}", short_age(failure.at.age_at(now)), visible(&failure.reason))
            }
            (None, None) => "-".to_owned(),
        };
        let line = format!(
            "{}  {:<7}  {:>5}  {:>10}  {:>10}  {:>8}  {:<12}  {:<12}  {failure}",
            message.id,
            self.state,
            short_age(message.put_at.age_at(now)),
            message.len_bytes,
            self.deliveries,
            message.priority,
            message.media_type.as_ref().map_or("-", MediaType::as_str),
            if message.queue == *queue { "-" } else { message.queue.as_str() },
        );
        writeln!(output, "{line}")
    }
}
