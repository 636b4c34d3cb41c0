//! Whether a policy makes sense: what no queue may have, and what is refused to who would set it.

use std::time::Duration;

use super::{Expired, MAX_BYTES, MAX_DELIVERIES, MAX_MESSAGES, Policy, QueueName};
use crate::domain::Invalid;
use crate::domain::units::format_duration;

const DURATION: &str = "a duration in quotes, such as \"30s\"";
const OPTIONAL_DURATION: &str = "a duration in quotes, such as \"30s\"; leave the setting out for none";
const OPTIONAL_SIZE: &str = "a size in quotes, such as \"64MiB\"; leave the setting out for the default";

/// What each member of a policy's file is to be.
const IN_FILE: [(&str, &str); 17] = [
    ("visibility", DURATION),
    ("max-deliveries", "a number of deliveries from 1 up, without quotes; leave the setting out for none"),
    ("dead-letter", "the name of a queue in quotes; leave the setting out for the default"),
    ("delay", DURATION),
    ("retention", OPTIONAL_DURATION),
    ("durability", "\"full\" or \"none\""),
    ("max-messages", "a number of messages from 1 up, without quotes; leave the setting out for none"),
    ("max-bytes", OPTIONAL_SIZE),
    ("reserve", OPTIONAL_SIZE),
    ("reserve-inodes", "a number of files, without quotes; leave the setting out for the default"),
    ("expired", "\"delete\" or \"dead-letter\""),
    ("retry-delay", DURATION),
    ("retry-factor", "a factor from 1 to 100, without quotes"),
    ("retry-max", DURATION),
    ("retry-jitter", "a percentage in quotes, such as \"25%\""),
    ("archive", OPTIONAL_DURATION),
    ("paused", "true or false"),
];

/// A setting that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No such setting.
    #[error("there is no setting '{0}'; a queue has {keys}", keys = Policy::KEYS.join(", "))]
    UnknownKey(String),
    /// Not of the form KEY=VALUE.
    #[error("'{0}' is not a setting: KEY=VALUE, such as visibility=5m")]
    NotAPair(String),
    /// The setting does not take this value.
    #[error("{key}: {source}")]
    BadValue {
        /// The setting.
        key: &'static str,
        /// What is wrong with the value.
        source: Invalid,
    },
    /// The first delay is longer than any may be.
    #[error(
        "retry-delay is {} and its ceiling, retry-max, is {}: set retry-max to no less than retry-delay",
        format_duration(*delay),
        format_duration(*max)
    )]
    RetryMaxTooShort {
        /// The first delay.
        delay: Duration,
        /// The ceiling.
        max: Duration,
    },
    /// What is held back for so long is too old by then.
    #[error(
        "{key} is {} and retention is {}: a message would be too old before it is deliverable; set {key} to less than \
         retention",
        format_duration(*delay),
        format_duration(*retention)
    )]
    NeverDeliverable {
        /// The setting that holds it back.
        key: &'static str,
        /// For how long.
        delay: Duration,
        /// How old a message may become.
        retention: Duration,
    },
    /// One of two values would be lost.
    #[error("{0} is set twice: say it once")]
    SetTwice(&'static str),
}

impl PolicyError {
    /// The settings that it is about, the most likely culprit first.
    pub fn keys(&self) -> &[&'static str] {
        match self {
            Self::UnknownKey(_) | Self::NotAPair(_) => &[],
            Self::BadValue { key, .. } | Self::SetTwice(key) | Self::NeverDeliverable { key, .. } => {
                std::slice::from_ref(key)
            }
            Self::RetryMaxTooShort { .. } => &["retry-max", "retry-delay"],
        }
    }
}

impl Policy {
    /// Whether this policy makes sense for the queue `name`, whoever it comes from: by one that does not, messages would be
    /// lost without a word.
    pub fn check_for(&self, name: &QueueName) -> Result<(), PolicyError> {
        let bad = |source| PolicyError::BadValue { key: "dead-letter", source };
        if self.dead_letter.as_ref() == Some(name) {
            return Err(bad(Invalid::new(name.as_str(), "a dead-letter queue: it must be another queue")));
        }
        if self.max_deliveries == Some(0) {
            let source = Invalid::new("0", MAX_DELIVERIES);
            return Err(PolicyError::BadValue { key: "max-deliveries", source });
        }
        if self.max_deliveries.is_some() || self.expired == Expired::DeadLetter {
            self.dead_letter_queue(name).map_err(bad)?;
        }
        for (key, cap, expected) in
            [("max-messages", self.max_messages, MAX_MESSAGES), ("max-bytes", self.max_bytes, MAX_BYTES)]
        {
            if cap == Some(0) {
                return Err(PolicyError::BadValue { key, source: Invalid::new("0", expected) });
            }
        }
        if self.retry_max < self.retry_delay {
            return Err(PolicyError::RetryMaxTooShort { delay: self.retry_delay, max: self.retry_max });
        }
        self.check_times()
    }

    /// What is wrong with the value that a policy's file has for a setting, of which it has been found that it has none of the
    /// right kind.
    pub fn wrong_in_file(key: &str, value: &serde_json::Value) -> PolicyError {
        let Some((key, expected)) = IN_FILE.into_iter().find(|(known, _)| *known == key) else {
            return PolicyError::UnknownKey(key.to_owned());
        };
        let text = value.as_str().filter(|text| !text.contains(char::is_control));
        // As a setting it would be refused for a better reason, if it is.
        let refused = text.and_then(|text| Self::default().apply(&format!("{key}={text}")).err());
        match refused {
            Some(error @ PolicyError::BadValue { .. }) => error,
            _ => PolicyError::BadValue { key, source: Invalid::new(value.to_string(), expected) },
        }
    }

    /// Whether a message can be delivered, and handled.
    fn check_times(&self) -> Result<(), PolicyError> {
        let zero = |key, expected| Err(PolicyError::BadValue { key, source: Invalid::new("0s", expected) });
        if self.visibility.is_zero() {
            return zero("visibility", "a time to handle a message in: longer than 0s");
        }
        if self.archive.is_some_and(|archive| archive.is_zero()) {
            return zero("archive", "a time to keep deleted messages for: longer than 0s, or none");
        }
        let Some(retention) = self.retention else { return Ok(()) };
        if retention.is_zero() {
            return zero("retention", "a time to deliver a message in: longer than 0s, or none");
        }
        let retry = self.longest_retry();
        // What is said at first is the first to be blamed.
        let retry_key = if self.retry_delay < retention { "retry-max" } else { "retry-delay" };
        for (key, delay) in [("delay", self.delay), (retry_key, retry)] {
            if delay >= retention {
                return Err(PolicyError::NeverDeliverable { key, delay, retention });
            }
        }
        Ok(())
    }

    /// How long a message that failed is left alone at most, before it is dead.
    fn longest_retry(&self) -> Duration {
        let deliveries = self.max_deliveries.map_or(u32::MAX, |most| most.saturating_sub(1));
        if deliveries == 0 { Duration::ZERO } else { self.backoff().longest(deliveries) }
    }
}
