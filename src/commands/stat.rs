//! `mq stat`: counts, ages, and where messages are stuck; once, again and again, or for Prometheus.
//!
//! One look costs one walk over each queue's directories: names and sizes, no message is opened. The states that are
//! shown, in whatever form, are those of [`StateName::ALL`](crate::store::StateName::ALL).

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use self::prometheus::Label;
use super::streams::{Output, Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs};
use crate::domain::{Clock as _, Invalid, QueueName, SystemClock, UnixMillis};
use crate::store::{self, Error, Stat, Store};

mod flow;
mod json;
mod prometheus;
mod watch;
mod words;

pub(super) use words::short_age;

/// Count messages by state, age and deliveries
///
/// Without QUEUE: a line for each queue. With QUEUE: its counts, its policy, and two tables in the manner of qshape(1),
/// messages by state and age, and by deliveries and age, which show where a queue is stuck: work that is not taken grows old
/// as ready, work that fails is delivered again and again. An age counts from the put. Files that do not belong in a queue are
/// named, and left alone. No message is opened: a look at a queue costs one walk over its directories, and a system call for
/// each message.
///
/// One look cannot tell a rate. With --watch there is one from the second look on: IN/S counts the messages that were put
/// or moved into the queue since the look before, OUT/S those that were deleted, moved away, too old, or set aside. They are
/// told by the numbers that the queue gives its messages, so messages that came and went in between count. Such numbers
/// are not a count of puts since ever: after a boot, or when a counter was lost, they begin 524288 further on; where
/// that seems to have happened between two looks, the rate is shown as `-`. A move of a few messages into the queue
/// counts as up to 256 that came in and went out.
///
/// With --prometheus the counts are in the text format of Prometheus, all of them gauges: what is in a queue falls as it
/// rises, which neither a counter nor a histogram of Prometheus may. So ages and deliveries are labels on gauges, each message
/// counts under one age only, and the sum is the number of messages. With --output the file is replaced in one
/// step, as the textfile collector of node_exporter asks for, and its name has to end in .prom there. A queue
/// that cannot be counted has mq_queue_up 0; the other ones are written, and the status is that of the error. The queue of
/// mq_dead_letters is the one that they lie in.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq stat
  mq stat jobs
  mq stat --shape
  mq stat --json | jq -r 'select(.oldest_age_ms > 3600000) | .queue'
  mq stat jobs --watch
  mq stat jobs --watch=10s --times 6 > minute.log

Cron:
  * * * * *  mq stat --prometheus --output /var/lib/prometheus/node-exporter/mq.prom

Metrics:
  mq_queues
  mq_queue_up{queue}
  mq_messages{queue, state}
  mq_oldest_message_age_seconds{queue, state}
  mq_messages_by_age{queue, state, age}
  mq_messages_by_deliveries{queue, deliveries}
  mq_queue_size_bytes{queue}
  mq_queue_paused{queue}
  mq_corrupt_messages{queue}
  mq_temporaries{queue}
  mq_archived_messages{queue}
  mq_strays{queue}
  mq_dead_letters{queue}")]
pub(crate) struct StatArgs {
    /// The queue to count
    queue: Option<QueueName>,

    /// Without QUEUE: also show tables over all queues, by queue, state and deliveries, each by age
    #[arg(long, conflicts_with_all = ["queue", "json"])]
    shape: bool,

    /// Write one line of JSON for each queue; with --watch, at is when it was looked at, and flow what came in and went out
    /// since the look before (over_ms, in, out, in_per_s, out_per_s), or null if that cannot be told
    #[arg(long)]
    json: bool,

    /// Look again after this long [default: 2s], until interrupted: in place on a terminal, else as a line for each queue
    /// and look
    #[arg(long, value_name = "DURATION", value_parser = interval, num_args = 0..=1, require_equals = true,
          default_missing_value = "2s")]
    watch: Option<Duration>,

    /// Look so many times, and end
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,

    /// Write metrics for Prometheus
    #[arg(long, conflicts_with_all = ["json", "shape", "watch"])]
    prometheus: bool,

    /// Write the metrics to this file, which is replaced in one step
    #[arg(long, value_name = "FILE", requires = "prometheus", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Add a label to every metric: to tell two spools of one machine apart
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "prometheus")]
    labels: Vec<Label>,
}

/// Reads how long to wait from one look to the next.
fn interval(text: &str) -> Result<Duration, Invalid> {
    let interval = super::duration(text)?;
    if interval.is_zero() { Err(Invalid::new(text, "a time to wait: longer than 0")) } else { Ok(interval) }
}

/// One queue as it was found.
struct Look {
    queue: QueueName,
    stat: Stat,
    /// When it was looked at, on a clock that does not jump.
    at: Instant,
}

/// All queues as they were found.
struct Looks {
    now: UnixMillis,
    counted: Vec<Look>,
    /// Those that are in trouble: they must not hide the others.
    failed: Vec<(QueueName, Error)>,
}

impl Looks {
    /// Counts one queue, or all of them.
    fn take(store: &dyn Store, queue: Option<&QueueName>) -> store::Result<Self> {
        let queues = queue.map_or_else(|| store.queues(), |queue| Ok(vec![queue.clone()]))?;
        let mut looks = Self { now: SystemClock.now(), counted: Vec::new(), failed: Vec::new() };
        for name in queues {
            let at = Instant::now();
            match store.stat(&name) {
                Ok(stat) => looks.counted.push(Look { queue: name, stat, at }),
                // Dropped since it was listed.
                Err(Error::NoSuchQueue { .. }) if queue.is_none() => {}
                Err(error) => looks.failed.push((name, error)),
            }
        }
        Ok(looks)
    }

    fn outcome(self) -> Outcome {
        if self.failed.is_empty() {
            return Outcome::Done;
        }
        Outcome::Failed(self.failed.into_iter().map(|(_, error)| error.into()).collect())
    }
}

impl VerbArgs for StatArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        prometheus::check(&self.labels)?;
        let store = context.store()?;
        if let Some(every) = self.watch {
            return watch::run(&store, &self, every);
        }
        let looks = Looks::take(&store, self.queue.as_ref())?;
        if self.prometheus {
            let text = prometheus::metrics(&looks, &prometheus::dead_letters(&store, &looks), &self.labels);
            let mut output = Output::to(self.output.as_deref())?;
            output.write_all(text.as_bytes()).map_err(|error| output.failed(error))?;
            output.finish(false)?;
            return Ok(looks.outcome());
        }
        let text = if self.json { json::lines(&looks, None) } else { words::shown(&self, &looks, None)? };
        Stdout.write_all(text.as_bytes()).map_err(StdoutError)?;
        Ok(looks.outcome())
    }
}
