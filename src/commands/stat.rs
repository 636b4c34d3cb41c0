//! `mq stat`: counts, ages, and where messages are stuck.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs, visible};
use crate::domain::units::format_duration;
use crate::domain::{Clock as _, Policy, QueueName, SystemClock, UnixMillis};
use crate::store::{AGE_LIMITS_S, DELIVERY_LIMITS, Error, Stat, Store as _};

/// Count messages by state, age and deliveries
///
/// Without QUEUE: a line for each queue. With QUEUE: its counts, its policy, and a table of messages by age and
/// deliveries in the manner of qshape(1), which shows where a queue is stuck. Files that do not belong in a queue
/// are named, and left alone.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq stat
  mq stat jobs
  mq stat --json | jq -r 'select(.oldest_age_ms > 3600000) | .queue'")]
pub(crate) struct StatArgs {
    /// The queue to count
    queue: Option<QueueName>,

    /// Write one line of JSON for each queue
    #[arg(long)]
    json: bool,
}

impl VerbArgs for StatArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        let now = SystemClock.now();
        let mut text = String::new();
        let mut failures = Vec::new();
        match &self.queue {
            Some(queue) if self.json => writeln!(text, "{}", as_json(queue, &store.stat(queue)?, now))?,
            Some(queue) => in_words(&mut text, queue, &store.stat(queue)?, now)?,
            None => {
                if !self.json {
                    text.push_str("QUEUE                     READY    DELAYED    CLAIMED       HELD   OLDEST  NOTES\n");
                }
                for queue in store.queues()? {
                    let stat = match store.stat(&queue) {
                        Ok(stat) => stat,
                        // Dropped since it was listed.
                        Err(Error::NoSuchQueue { .. }) => continue,
                        // One that is in trouble must not hide the others.
                        Err(error) => {
                            failures.push(error.into());
                            continue;
                        }
                    };
                    if self.json {
                        writeln!(text, "{}", as_json(&queue, &stat, now))?;
                    } else {
                        as_row(&mut text, &queue, &stat, now)?;
                    }
                }
            }
        }
        Stdout.write_all(text.as_bytes()).map_err(StdoutError)?;
        Ok(if failures.is_empty() { Outcome::Done } else { Outcome::Failed(failures) })
    }
}

/// An age in at most five columns: `59s`, `4m`, `23h`, `400d`.
pub(super) fn short_age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

fn oldest(stat: &Stat, now: UnixMillis) -> String {
    stat.oldest.map_or_else(|| "-".to_owned(), |oldest| short_age(oldest.age_at(now)))
}

fn as_row(text: &mut String, queue: &QueueName, stat: &Stat, now: UnixMillis) -> std::fmt::Result {
    let mut notes = Vec::new();
    if stat.policy.paused {
        notes.push("paused".to_owned());
    }
    if stat.corrupt > 0 {
        notes.push(format!("{} corrupt", stat.corrupt));
    }
    if stat.strays > 0 {
        notes.push(format!("{} stray", stat.strays));
    }
    let line = format!(
        "{:<20} {:>10} {:>10} {:>10} {:>10} {:>8}  {}",
        queue.as_str(),
        stat.ready,
        stat.delayed,
        stat.claimed,
        stat.held,
        oldest(stat, now),
        notes.join(", ")
    );
    writeln!(text, "{}", line.trim_end())
}

fn in_words(text: &mut String, queue: &QueueName, stat: &Stat, now: UnixMillis) -> std::fmt::Result {
    writeln!(text, "queue        {queue}{}", if stat.policy.paused { " (paused)" } else { "" })?;
    writeln!(text, "ready        {}", stat.ready)?;
    writeln!(text, "delayed      {}", stat.delayed)?;
    writeln!(text, "claimed      {}", stat.claimed)?;
    writeln!(text, "held         {}", stat.held)?;
    writeln!(text, "corrupt      {}", stat.corrupt)?;
    writeln!(text, "temporaries  {}", stat.temporaries)?;
    writeln!(text, "bytes        {}", stat.bytes)?;
    writeln!(text, "oldest       {}", oldest(stat, now))?;
    writeln!(text, "policy       {}", policy_words(&stat.policy))?;
    if stat.strays > 0 {
        writeln!(text, "strays       {} (not of this queue; left alone)", stat.strays)?;
        for path in &stat.stray_examples {
            writeln!(text, "             {}", visible(&path.display().to_string()))?;
        }
    }
    if stat.messages() > 0 {
        writeln!(text)?;
        shape(text, stat)?;
    }
    Ok(())
}

fn policy_words(policy: &Policy) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let retention = policy.retention.map_or_else(|| "none".to_owned(), format_duration);
    let mut words = format!(
        "visibility={} max-deliveries={} delay={} retention={} durability={}",
        format_duration(policy.visibility),
        number(policy.max_deliveries),
        format_duration(policy.delay),
        retention,
        policy.durability
    );
    if let Some(dead_letter) = &policy.dead_letter {
        let _ = write!(words, " dead-letter={dead_letter}");
    }
    words
}

/// The table of messages by deliveries (down) and age (across), with totals.
fn shape(text: &mut String, stat: &Stat) -> std::fmt::Result {
    write!(text, "{:>10} {:>8}", "deliveries", "total")?;
    for limit in AGE_LIMITS_S {
        write!(text, " {:>8}", format!("<{}", short_age(Duration::from_secs(limit))))?;
    }
    writeln!(text, " {:>8}", "older")?;
    for (row, counts) in stat.shape.iter().enumerate() {
        let total: u64 = counts.iter().sum();
        if total == 0 {
            continue;
        }
        write!(text, "{:>10} {total:>8}", row_label(row))?;
        for count in counts {
            write!(text, " {count:>8}")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn row_label(row: usize) -> String {
    let low = if row == 0 { 0 } else { DELIVERY_LIMITS[row - 1] + 1 };
    match DELIVERY_LIMITS.get(row) {
        Some(high) if *high == low => low.to_string(),
        Some(high) => format!("{low}-{high}"),
        None => format!("{low}+"),
    }
}

fn as_json(queue: &QueueName, stat: &Stat, now: UnixMillis) -> serde_json::Value {
    let rows: Vec<_> = stat
        .shape
        .iter()
        .enumerate()
        .map(|(row, counts)| json!({ "deliveries": row_label(row), "by_age": counts }))
        .collect();
    json!({
        "queue": queue,
        "ready": stat.ready,
        "delayed": stat.delayed,
        "claimed": stat.claimed,
        "held": stat.held,
        "corrupt": stat.corrupt,
        "temporaries": stat.temporaries,
        "bytes": stat.bytes,
        "oldest_put_at": stat.oldest.map(UnixMillis::to_rfc3339),
        "oldest_age_ms": stat.oldest.map(|oldest| u64::try_from(oldest.age_at(now).as_millis()).unwrap_or(u64::MAX)),
        "strays": stat.strays,
        // Names of files are bytes; JSON has none.
        "stray_examples": stat.stray_examples.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "policy": stat.policy,
        "age_limits_s": AGE_LIMITS_S,
        "shape": rows,
    })
}
