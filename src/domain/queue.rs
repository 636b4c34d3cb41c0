//! Queues: their names and their policies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Invalid;
use super::units::{format_duration, parse_duration};

/// 1 to 80 of `A-Z a-z 0-9 . _ -`, not starting with `.` or `-`: safe as a file name and as a shell word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(String);

impl QueueName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where this queue's dead letters go unless its policy says otherwise: `NAME.dead`.
    pub fn dead_letter_default(&self) -> Result<QueueName, Invalid> {
        format!("{}.dead", self.0).parse()
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for QueueName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=80).contains(&text.len());
        let all_allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits && all_allowed && !text.starts_with(['.', '-']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(text, "a queue name: 1 to 80 of A-Z a-z 0-9 . _ -, not starting with . or -"))
        }
    }
}

impl TryFrom<String> for QueueName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> String {
        name.0
    }
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The message survives a power cut from the moment its id is printed, and a deleted one stays deleted.
    #[default]
    Full,
    /// Survives the death of any process, not a power cut.
    None,
}

impl FromStr for Durability {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "full" => Ok(Self::Full),
            "none" => Ok(Self::None),
            _ => Err(Invalid::new(text, "a durability: full or none")),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::None => "none",
        })
    }
}

/// How a queue treats its messages. A queue without a policy of its own has [`Policy::default`].
///
/// It is kept as JSON, with the keys of [`Policy::KEYS`] and durations as text; what is default is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// How long a timed claim lasts when the receiver does not say.
    #[serde(with = "duration_text")]
    pub visibility: Duration,
    /// A message that has been claimed this often and comes back goes to the dead-letter queue; without
    /// a number it is delivered until it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_deliveries: Option<u32>,
    /// Where dead letters go; `QUEUE.dead` when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<QueueName>,
    /// How long a message is not deliverable after its put, when the sender does not say.
    #[serde(with = "duration_text")]
    pub delay: Duration,
    /// Messages older than this are never delivered.
    #[serde(with = "optional_duration_text", skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Whether receivers are held off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            visibility: Duration::from_secs(30),
            max_deliveries: None,
            dead_letter: None,
            delay: Duration::ZERO,
            retention: None,
            durability: Durability::Full,
            paused: false,
        }
    }
}

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
}

impl Policy {
    /// What [`Policy::apply`] can set.
    pub const KEYS: [&'static str; 6] =
        ["visibility", "max-deliveries", "dead-letter", "delay", "retention", "durability"];

    /// Applies one setting written as `KEY=VALUE`; `none` takes an optional one away.
    pub fn apply(&mut self, setting: &str) -> Result<(), PolicyError> {
        let (key, value) = setting.split_once('=').ok_or_else(|| PolicyError::NotAPair(setting.to_owned()))?;
        let key = Self::KEYS
            .into_iter()
            .find(|known| *known == key)
            .ok_or_else(|| PolicyError::UnknownKey(key.to_owned()))?;
        let bad = |source| PolicyError::BadValue { key, source };
        match key {
            "visibility" => self.visibility = parse_duration(value).map_err(bad)?,
            "delay" => self.delay = parse_duration(value).map_err(bad)?,
            "retention" => self.retention = optional(value, parse_duration).map_err(bad)?,
            "max-deliveries" => self.max_deliveries = optional(value, parse_max_deliveries).map_err(bad)?,
            "dead-letter" => self.dead_letter = optional(value, str::parse).map_err(bad)?,
            _ => self.durability = value.parse().map_err(bad)?,
        }
        Ok(())
    }

    /// Whether this policy makes sense for the queue `name`.
    pub fn check_for(&self, name: &QueueName) -> Result<(), PolicyError> {
        let bad = |source| PolicyError::BadValue { key: "dead-letter", source };
        if self.dead_letter.as_ref() == Some(name) {
            return Err(bad(Invalid::new(name.as_str(), "a dead-letter queue: it must be another queue")));
        }
        if self.max_deliveries == Some(0) {
            let source = Invalid::new("0", MAX_DELIVERIES);
            return Err(PolicyError::BadValue { key: "max-deliveries", source });
        }
        if self.max_deliveries.is_some() {
            self.dead_letter_queue(name).map_err(bad)?;
        }
        Ok(())
    }

    /// Where the dead letters of the queue `name` go.
    pub fn dead_letter_queue(&self, name: &QueueName) -> Result<QueueName, Invalid> {
        self.dead_letter.clone().map_or_else(|| name.dead_letter_default(), Ok)
    }
}

const MAX_DELIVERIES: &str = "a number of deliveries from 1 up, or none";

fn parse_max_deliveries(value: &str) -> Result<u32, Invalid> {
    value.parse().ok().filter(|n| *n > 0).ok_or_else(|| Invalid::new(value, MAX_DELIVERIES))
}

fn optional<T>(value: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> Result<Option<T>, Invalid> {
    if value == "none" { Ok(None) } else { parse(value).map(Some) }
}

mod duration_text {
    use super::{Deserializer, Duration, Serializer, fmt, format_duration, parse_duration};

    /// Parses where the text is read, so that an error has the text's own place in the file.
    struct Visitor;

    impl serde::de::Visitor<'_> for Visitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration in quotes, such as \"30s\"")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            parse_duration(text).map_err(E::custom)
        }
    }

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(Visitor)
    }
}

mod optional_duration_text {
    use super::{Deserializer, Duration, Serializer, duration_text};

    #[allow(clippy::ref_option)] // serde's `with` hands over a reference to the field.
    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => duration_text::serialize(duration, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        duration_text::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_hurt_are_refused() {
        for good in ["a", "jobs", "Jobs_2.dead", "0-9", &"x".repeat(80)] {
            assert!(good.parse::<QueueName>().is_ok(), "{good} was refused");
        }
        for bad in ["", ".", "..", ".hidden", "-rf", "a/b", "a b", "a\n", "ü", &"x".repeat(81), "a\0"] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn settings_apply_and_survive_their_file() {
        let mut policy = Policy::default();
        for setting in
            ["visibility=5m", "max-deliveries=3", "dead-letter=graves", "delay=1s", "retention=14d", "durability=none"]
        {
            policy.apply(setting).unwrap();
        }
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        policy.apply("max-deliveries=none").unwrap();
        assert_eq!(policy.max_deliveries, None);
        for wrong in ["visibility", "visibility=", "visibility=5", "max-deliveries=0", "colour=red", "durability=some"]
        {
            assert!(policy.apply(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_policy_that_cannot_work_is_refused() {
        let name: QueueName = "jobs".parse().unwrap();
        let to_itself = Policy { dead_letter: Some(name.clone()), ..Policy::default() };
        assert!(to_itself.check_for(&name).is_err());
        let long: QueueName = "x".repeat(80).parse().unwrap();
        let nameless = Policy { max_deliveries: Some(1), ..Policy::default() };
        assert!(nameless.check_for(&long).is_err());
        assert!(nameless.check_for(&name).is_ok());
    }
}
