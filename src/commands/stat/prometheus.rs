//! `stat --prometheus`: the counts in the text exposition format 0.0.4 of Prometheus, for node_exporter's textfile collector.
//!
//! Invariants: HELP and TYPE once for each metric, before all of its samples; no series twice; every line ends.
//!
//! All are gauges. A histogram's buckets and a counter must never fall, and what lies in a queue falls with every delete; so
//! a distribution is a gauge with a label, its buckets apart and not within one another (`le` is a histogram's own):
//! they add up to the number of messages. There is no count of puts: the numbers that a queue gives jump after a boot, which
//! `rate()` would take for half a million messages.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use super::words::{row_label, short_age};
use super::{Look, Looks};
use crate::commands::Usage;
use crate::domain::{Invalid, QueueName, UnixMillis};
use crate::store::{AGE_LIMITS_S, Error, Stat, StateName, Store};

/// The labels that are used here.
const OWN: [&str; 4] = ["queue", "state", "age", "deliveries"];

/// A label that the user wants on every series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    name: String,
    value: String,
}

impl FromStr for Label {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid =
            || Invalid::new(text, "a label: NAME=VALUE, the name of A-Z a-z 0-9 _, and not one of a metric's own");
        let (name, value) = text.split_once('=').ok_or_else(invalid)?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        // What begins with two underscores is Prometheus' own.
        if !is_name || name.starts_with("__") || OWN.contains(&name) {
            return Err(invalid());
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// Refuses a label that is there twice.
pub(super) fn check(labels: &[Label]) -> Result<(), Usage> {
    let twice =
        labels.iter().enumerate().find(|(at, label)| labels[..*at].iter().any(|other| other.name == label.name));
    match twice {
        Some((_, label)) => Err(Usage(format!("the label '{}' is there twice", label.name))),
        None => Ok(()),
    }
}

/// A value as it stands between the quotes of a label.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The age columns by name, as the delivery rows are.
fn age_label(column: usize) -> String {
    let short = |limit: u64| short_age(Duration::from_secs(limit));
    let low = if column == 0 { "0s".to_owned() } else { short(AGE_LIMITS_S[column - 1]) };
    AGE_LIMITS_S.get(column).map_or_else(|| format!("{low}+"), |high| format!("{low}-{}", short(*high)))
}

/// How many messages there are in each queue that dead letters of those looked at go to. Each once, however many
/// queues share it. One that is not there yet has none, if messages can become dead letters.
pub(super) fn dead_letters(store: &dyn Store, looks: &Looks) -> BTreeMap<QueueName, u64> {
    let mut found = BTreeMap::new();
    for Look { queue, stat, .. } in &looks.counted {
        let policy = &stat.policy;
        let Ok(dead) = policy.dead_letter_queue(queue) else { continue };
        if found.contains_key(&dead) || looks.failed.iter().any(|(failed, _)| *failed == dead) {
            continue;
        }
        let messages = match looks.counted.iter().find(|look| look.queue == dead) {
            Some(look) => Ok(look.stat.messages()),
            None => store.stat(&dead).map(|stat| stat.messages()),
        };
        let may_come = policy.max_deliveries.is_some() || policy.dead_letter.is_some();
        match messages {
            Ok(messages) => drop(found.insert(dead, messages)),
            Err(Error::NoSuchQueue { .. }) if may_come => drop(found.insert(dead, 0)),
            // If it is in trouble, that is told where all queues are counted.
            Err(_) => {}
        }
    }
    found
}

/// All metrics of the queues that were looked at, with `labels` on each.
pub(super) fn metrics(looks: &Looks, dead_letters: &BTreeMap<QueueName, u64>, labels: &[Label]) -> String {
    let mut text = Exposition { text: String::new(), labels };
    text.metric("mq_queues", "Number of queues looked at.");
    text.sample("mq_queues", &[], looks.counted.len() + looks.failed.len());
    up(&mut text, looks);
    by_state(&mut text, looks);
    distributions(&mut text, looks);
    of_queues(&mut text, looks);
    if !dead_letters.is_empty() {
        text.metric("mq_dead_letters", "Number of messages in a queue that dead letters of others go to.");
        for (queue, messages) in dead_letters {
            text.sample("mq_dead_letters", &[("queue", queue.as_str())], messages);
        }
    }
    text.text
}

fn up(text: &mut Exposition<'_>, looks: &Looks) {
    if looks.counted.is_empty() && looks.failed.is_empty() {
        return;
    }
    text.metric("mq_queue_up", "Whether the queue could be counted.");
    for look in &looks.counted {
        text.sample("mq_queue_up", &[("queue", look.queue.as_str())], 1);
    }
    for (queue, _) in &looks.failed {
        text.sample("mq_queue_up", &[("queue", queue.as_str())], 0);
    }
}

fn by_state(text: &mut Exposition<'_>, looks: &Looks) {
    let series = |look: &Look| StateName::ALL.map(|state| (look.queue.to_string(), state, *look.stat.of(state)));
    let all: Vec<_> = looks.counted.iter().flat_map(series).collect();
    if all.is_empty() {
        return;
    }
    text.metric("mq_messages", "Number of messages in the queue, by state.");
    for (queue, state, found) in &all {
        text.sample("mq_messages", &[("queue", queue), ("state", state.as_str())], found.messages);
    }
    text.metric(
        "mq_oldest_message_age_seconds",
        "Age since its put of the oldest message, by state; 0 if there is none.",
    );
    for (queue, state, found) in &all {
        let age = found.oldest.map_or(Duration::ZERO, |oldest: UnixMillis| oldest.age_at(looks.now));
        let age_s = format!("{}.{:03}", age.as_secs(), age.subsec_millis());
        text.sample("mq_oldest_message_age_seconds", &[("queue", queue), ("state", state.as_str())], age_s);
    }
    text.metric("mq_messages_by_age", "Number of messages by state and age since their put, each under one age.");
    for (queue, state, found) in &all {
        for (column, messages) in found.by_age.iter().enumerate() {
            let labels = [("queue", queue.as_str()), ("state", state.as_str()), ("age", &age_label(column))];
            text.sample("mq_messages_by_age", &labels, messages);
        }
    }
}

fn distributions(text: &mut Exposition<'_>, looks: &Looks) {
    if looks.counted.is_empty() {
        return;
    }
    text.metric(
        "mq_messages_by_deliveries",
        "Number of messages by how often they have been delivered, each under one number.",
    );
    for Look { queue, stat, .. } in &looks.counted {
        for (row, ages) in stat.shape.iter().enumerate() {
            let labels = [("queue", queue.as_str()), ("deliveries", &row_label(row))];
            text.sample("mq_messages_by_deliveries", &labels, ages.iter().sum::<u64>());
        }
    }
}

/// What there is one number of for each queue.
fn of_queues(text: &mut Exposition<'_>, looks: &Looks) {
    type Number = fn(&Stat) -> u64;
    let numbers: [(&str, &str, Number); 6] = [
        ("mq_queue_size_bytes", "Size of all messages as stored, headers included.", |stat| stat.bytes),
        ("mq_queue_paused", "Whether receivers are held off.", |stat| u64::from(stat.policy.paused)),
        ("mq_corrupt_messages", "Number of damaged messages that were set aside.", |stat| stat.corrupt),
        ("mq_temporaries", "Number of messages being written, or left by writers that died.", |stat| stat.temporaries),
        ("mq_archived_messages", "Number of deleted messages that the archive keeps.", |stat| stat.archived),
        ("mq_strays", "Number of files that do not belong in the queue.", |stat| stat.strays),
    ];
    for (name, help, number) in numbers {
        if !looks.counted.is_empty() {
            text.metric(name, help);
        }
        for Look { queue, stat, .. } in &looks.counted {
            text.sample(name, &[("queue", queue.as_str())], number(stat));
        }
    }
}

/// The text as it grows.
struct Exposition<'a> {
    text: String,
    labels: &'a [Label],
}

impl Exposition<'_> {
    /// Begins a metric: a gauge.
    fn metric(&mut self, name: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let of_user = self.labels.iter().map(|label| (label.name.as_str(), label.value.as_str()));
        let pairs = of_user.chain(labels.iter().copied()).map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
        let pairs: Vec<String> = pairs.collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_deliveries_are_named_without_gaps() {
        let ages: Vec<String> = (0..=AGE_LIMITS_S.len()).map(age_label).collect();
        assert_eq!(ages, ["0s-10s", "10s-1m", "1m-10m", "10m-1h", "1h-6h", "6h-1d", "1d-7d", "7d+"]);
        let rows: Vec<String> = (0..=crate::store::DELIVERY_LIMITS.len()).map(row_label).collect();
        assert_eq!(rows, ["0", "1", "2", "3-4", "5-8", "9+"]);
    }

    #[test]
    fn values_are_escaped_as_the_format_asks() {
        assert_eq!(escape("a\\b\"c\nd{}=,ü"), "a\\\\b\\\"c\\nd{}=,ü");
    }

    #[test]
    fn labels_that_would_break_the_text_are_refused() {
        for text in ["spool=/var/lib/mq", "a=", "_a1=b=c", "A=\"\n\\"] {
            assert!(text.parse::<Label>().is_ok(), "{text}");
        }
        for text in [
            "",
            "=",
            "=x",
            "spool",
            "1a=x",
            "a b=x",
            "a-b=x",
            "ä=x",
            "__name__=x",
            "queue=x",
            "state=x",
            "age=x",
            "deliveries=x",
        ] {
            assert!(text.parse::<Label>().is_err(), "{text} was taken for a label");
        }
        let labels = ["a=1", "b=1", "a=2"].map(|text| text.parse().unwrap());
        assert!(check(&labels).is_err() && check(&labels[..2]).is_ok());
    }
}
