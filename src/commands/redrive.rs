//! `mq redrive`: sends dead letters back to where they come from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;

use super::bulk::{BulkArgs, Deed, is_unclaimed};
use super::{Context, Outcome, Usage, VerbArgs, creating, note};
use crate::domain::units::{counted, parse_rate};
use crate::domain::{MessageId, QueueName};
use crate::store::{self, Filter, Store};

/// Send dead letters back to the queues that they come from
///
/// Takes the messages of QUEUE, a queue of dead letters, all of them or those that the options mean, and moves each to the
/// end of the queue that it was put to first, or with --to all to one. They keep their ids and the log of their failures;
/// their delivery counts begin again, and so does the age of one for which the retention there is over. A unique key is in
/// force again; where another message has it by now, the dead letter stays, and the status is 75. What is claimed, or was put
/// to QUEUE itself, stays. On a terminal it asks first. A dry run counts what is meant, and does not look whether
/// keys are taken or there is room in the other queues. Interrupted, it says how many it has sent back, and can be done again.
///
/// Where options choose among the messages and none of them could be sent back, the exit status is 1; an empty queue is
/// status 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq redrive jobs.dead --dry-run
  mq redrive jobs.dead --reason timeout --rate 10/s
  mq redrive graves --put-to jobs --to jobs-again
  mq redrive jobs.dead --id 018bcfe5-684b-722a-b1ba-804098e6cb29")]
pub(crate) struct RedriveArgs {
    /// The queue of dead letters
    queue: QueueName,

    /// Send all of them to QUEUE; it is made if it does not exist
    #[arg(long, value_name = "QUEUE")]
    to: Option<QueueName>,

    /// No more than N a second, or as in 100/m and 5/h a minute or an hour
    #[arg(long, value_name = "N[/s|/m|/h]", value_parser = parse_rate)]
    rate: Option<Duration>,

    #[command(flatten)]
    bulk: BulkArgs,
}

/// Where dead letters come from, and how many from each.
#[derive(Default)]
struct Origins {
    counts: BTreeMap<QueueName, u64>,
    /// How many come from nowhere.
    own: u64,
    /// The first of which nobody can say, and why.
    unread: Option<(MessageId, String)>,
}

impl Origins {
    fn of(store: &dyn Store, queue: &QueueName, which: &Filter) -> store::Result<Self> {
        let mut origins = Self::default();
        store.list(queue, which, &mut |listed| {
            if is_unclaimed(listed.state) {
                if let Some(why) = listed.unread {
                    origins.unread.get_or_insert((listed.message.id, why));
                } else if listed.message.queue == *queue {
                    origins.own += 1;
                } else {
                    *origins.counts.entry(listed.message.queue).or_default() += 1;
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(origins)
    }
}

impl VerbArgs for RedriveArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        if self.to.as_ref() == Some(&self.queue) {
            return Err(
                Usage(format!("'{0}' cannot be sent back to itself: --to names another queue", self.queue)).into()
            );
        }
        let store = context.store()?;
        let Self { queue, to, rate, bulk } = self;
        let (queue, to) = (&queue, &to);
        // What was counted for the question is not counted again for the answer.
        let found: RefCell<Option<Origins>> = RefCell::default();
        let deed = Deed {
            queue,
            done: "redriven",
            whence: format!("from '{queue}'"),
            question: &|n| format!("send {} of '{queue}' back?", counted(n, "message")),
            count: &|which| {
                let origins = Origins::of(&store, queue, which)?;
                let count = origins.counts.values().sum();
                *found.borrow_mut() = Some(origins);
                Ok(count)
            },
        };
        bulk.carry_out(&deed, |which, progress| {
            let origins = match found.take() {
                Some(origins) => origins,
                None => Origins::of(&store, queue, which)?,
            };
            if origins.counts.is_empty() && origins.own > 0 {
                let (were, come) = if origins.own == 1 { ("was", "comes") } else { ("were", "come") };
                let own = counted(origins.own, "message");
                note(format_args!("{own} of '{queue}' {were} put to it, and {come} from no other queue"));
            }
            for origin in origins.counts.keys().filter(|_| to.is_none()) {
                // Before any is moved.
                store.policy(origin).context("some cannot go back where they come from; --to says where else")?;
            }
            if let Some(to) = to {
                creating(&store, to, true, || store.policy(to))?;
            }
            let mut pace = Pace::new(rate, origins.counts.values().sum());
            let (mut redriven, mut taken) = (0, None);
            for origin in origins.counts.keys() {
                let of_origin = Filter { put_to: Some(origin.clone()), ..which.clone() };
                let moved = store.move_some(queue, to.as_ref().unwrap_or(origin), &of_origin, &mut || {
                    progress.step()?;
                    pace.until_next().map_or(ControlFlow::Continue(()), |time| progress.rest(time))
                });
                match moved {
                    // It is that message's matter alone.
                    Err(error @ store::Error::KeyTaken { .. }) => {
                        taken.get_or_insert(error);
                    }
                    other => redriven += other?,
                }
                if progress.interrupted().is_some() {
                    break;
                }
            }
            match (origins.unread, taken) {
                (None, None) => Ok(redriven),
                (None, Some(error)) => Err(error.into()),
                (Some((id, why)), _) => {
                    let (path, source) = (id.to_string().into(), std::io::Error::other(why));
                    Err(store::Error::Io { action: "read message", path, source }.into())
                }
            }
        })
    }
}

/// Keeps from going faster than was asked for.
struct Pace {
    interval: Option<Duration>,
    next: Instant,
    /// How many are to come: after the last one nobody waits.
    left: u64,
}

impl Pace {
    fn new(interval: Option<Duration>, left: u64) -> Self {
        Self { interval, next: Instant::now(), left }
    }

    /// One is done: how long to wait until the next one may be.
    fn until_next(&mut self) -> Option<Duration> {
        // (More may come than were counted.)
        let was_last = self.left == 1;
        self.left = self.left.saturating_sub(1);
        let interval = self.interval.filter(|_| !was_last)?;
        // From when the last one was due, so that the time that each takes does not add up.
        self.next = (self.next + interval).max(Instant::now().checked_sub(interval).unwrap_or(self.next));
        Some(self.next.saturating_duration_since(Instant::now()))
    }
}
