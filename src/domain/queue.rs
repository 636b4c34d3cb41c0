//! Queues: their names and their policies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::text::{duration_text, optional_duration_text, optional_size_text};
use super::retry::{Backoff, Factor, Percent};
use super::units::{parse_duration, parse_size};
use super::{Invalid, MessageName};

mod check;
mod text;

pub use check::PolicyError;

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
    /// A put that would make it more messages is refused, or waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_messages: Option<u64>,
    /// A put that would make it more bytes, headers included, is refused, or waits.
    #[serde(with = "optional_size_text", skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// A put that would leave less free on the disk, in bytes, is refused, or waits; [`Reserve`] when it is not said.
    #[serde(with = "optional_size_text", skip_serializing_if = "Option::is_none")]
    pub reserve: Option<u64>,
    /// The same for the number of files that the disk has room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_inodes: Option<u64>,
    /// What becomes of messages that are too old.
    #[serde(skip_serializing_if = "Expired::is_default")]
    pub expired: Expired,
    /// How long a message that failed is left alone after its first delivery; zero: not at all.
    #[serde(with = "duration_text", skip_serializing_if = "Duration::is_zero")]
    pub retry_delay: Duration,
    /// How many times longer after each further delivery.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_factor: Factor,
    /// No longer than this.
    #[serde(with = "duration_text", skip_serializing_if = "is_default_retry_max")]
    pub retry_max: Duration,
    /// Up to so much less, so that those that failed together do not all come back together.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_jitter: Percent,
    /// Deleted messages are kept for this long, to be put again; without it they are gone at once.
    #[serde(with = "optional_duration_text", skip_serializing_if = "Option::is_none")]
    pub archive: Option<Duration>,
}

/// What becomes of a message that is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expired {
    /// It is deleted.
    #[default]
    Delete,
    /// It goes to the dead-letter queue.
    DeadLetter,
}

impl Expired {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde hands over a reference to the field.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Expired {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "delete" => Ok(Self::Delete),
            "dead-letter" => Ok(Self::DeadLetter),
            _ => Err(Invalid::new(text, "what becomes of a message that is too old: delete or dead-letter")),
        }
    }
}

/// What puts leave free on a disk when the policy does not say: enough to log in, look, and delete something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// In bytes.
    pub bytes: u64,
    /// In files.
    pub inodes: u64,
}

impl Reserve {
    /// The most bytes that are left free without a word about it.
    pub const MOST_BYTES: u64 = 64 << 20;
    /// The most files.
    pub const MOST_INODES: u64 = 1024;

    /// Of a disk of so many bytes and inodes: a hundredth, and no more than is of use. (A file system that makes inodes as it
    /// needs them says that it has none.)
    pub fn of_disk(bytes: u64, inodes: u64) -> Self {
        Self { bytes: (bytes / 100).min(Self::MOST_BYTES), inodes: (inodes / 100).min(Self::MOST_INODES) }
    }
}

/// The longest that a message is left alone, when nobody says.
const DEFAULT_RETRY_MAX: Duration = Duration::from_secs(3600);

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_default_retry_max(retry_max: &Duration) -> bool {
    *retry_max == DEFAULT_RETRY_MAX
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
            max_messages: None,
            max_bytes: None,
            reserve: None,
            reserve_inodes: None,
            expired: Expired::Delete,
            retry_delay: Duration::ZERO,
            retry_factor: Factor::default(),
            retry_max: DEFAULT_RETRY_MAX,
            // What is asked for is what is done: of those that come back together no more are tried at once than there
            // are receivers.
            retry_jitter: Percent::default(),
            archive: None,
        }
    }
}

impl Policy {
    /// What [`Policy::apply`] can set.
    pub const KEYS: [&'static str; 16] = [
        "visibility",
        "max-deliveries",
        "dead-letter",
        "delay",
        "retention",
        "durability",
        "max-messages",
        "max-bytes",
        "reserve",
        "reserve-inodes",
        "expired",
        "retry-delay",
        "retry-factor",
        "retry-max",
        "retry-jitter",
        "archive",
    ];

    /// Applies settings as [`Self::apply`] does, of each key one at most.
    pub fn apply_all(&mut self, settings: &[String]) -> Result<(), PolicyError> {
        for (at, setting) in settings.iter().enumerate() {
            let key = setting.split_once('=').map_or("", |(key, _)| key);
            let is_again = settings[..at].iter().any(|other| other.split_once('=').is_some_and(|(k, _)| k == key));
            if let Some(key) = Self::KEYS.into_iter().find(|known| is_again && *known == key) {
                return Err(PolicyError::SetTwice(key));
            }
            self.apply(setting)?;
        }
        Ok(())
    }

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
            "max-messages" => self.max_messages = optional(value, parse_max_messages).map_err(bad)?,
            "max-bytes" => self.max_bytes = optional(value, parse_size).map_err(bad)?,
            "reserve" => self.reserve = reserve(value, parse_size).map_err(bad)?,
            "expired" => self.expired = value.parse().map_err(bad)?,
            "reserve-inodes" => self.reserve_inodes = reserve(value, parse_inodes).map_err(bad)?,
            "archive" => self.archive = optional(value, parse_duration).map_err(bad)?,
            "retry-delay" => self.retry_delay = parse_duration(value).map_err(bad)?,
            "retry-factor" => self.retry_factor = value.parse().map_err(bad)?,
            "retry-max" => self.retry_max = parse_duration(value).map_err(bad)?,
            "retry-jitter" => self.retry_jitter = value.parse().map_err(bad)?,
            _ => self.durability = value.parse().map_err(bad)?,
        }
        Ok(())
    }

    /// Whether what the queue holds has to be counted.
    pub fn is_capped(&self) -> bool {
        self.max_messages.is_some() || self.max_bytes.is_some()
    }

    /// What puts leave free on a disk of so many bytes and inodes.
    pub fn reserve_of_disk(&self, bytes: u64, inodes: u64) -> Reserve {
        let default = Reserve::of_disk(bytes, inodes);
        Reserve { bytes: self.reserve.unwrap_or(default.bytes), inodes: self.reserve_inodes.unwrap_or(default.inodes) }
    }

    /// How long a message that failed is left alone: what its holder says, or else the queue's back-off.
    pub fn delay_of_release(&self, name: &MessageName, said: Option<Duration>) -> Duration {
        said.unwrap_or_else(|| self.backoff().delay_after(name.id, name.deliveries))
    }

    fn backoff(&self) -> Backoff {
        let Self { retry_delay: initial, retry_factor: factor, retry_max: ceiling, retry_jitter: jitter, .. } = *self;
        Backoff { initial, factor, ceiling, jitter }
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

const MAX_MESSAGES: &str = "a number of messages from 1 up, or none";
const MAX_BYTES: &str = "a size from 1B up, or none: to hold receivers off there is pause, and to put nothing, drop";

fn parse_max_messages(value: &str) -> Result<u64, Invalid> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|n| is_number && *n > 0).ok_or_else(|| Invalid::new(value, MAX_MESSAGES))
}

fn parse_inodes(value: &str) -> Result<u64, Invalid> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let invalid = || Invalid::new(value, "a number of files to leave room for, or none, or default");
    value.parse().ok().filter(|_| is_number).ok_or_else(invalid)
}

/// Of a reserve there is a default, which is not none.
fn reserve(value: &str, parse: impl Fn(&str) -> Result<u64, Invalid>) -> Result<Option<u64>, Invalid> {
    match value {
        "default" => Ok(None),
        "none" => Ok(Some(0)),
        value => parse(value).map(Some),
    }
}

fn optional<T>(value: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> Result<Option<T>, Invalid> {
    if value == "none" { Ok(None) } else { parse(value).map(Some) }
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
        let settings =
            ["visibility=5m", "max-deliveries=3", "dead-letter=graves", "delay=1s", "retention=14d", "durability=none"];
        let caps = ["max-messages=10", "max-bytes=64KiB", "reserve=none", "reserve-inodes=5", "expired=dead-letter"];
        for setting in settings.into_iter().chain(caps) {
            policy.apply(setting).unwrap();
        }
        assert_eq!((policy.max_bytes, policy.reserve, policy.reserve_inodes), (Some(65536), Some(0), Some(5)));
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        for setting in ["max-deliveries=none", "reserve=default", "max-bytes=none"] {
            policy.apply(setting).unwrap();
        }
        assert_eq!((policy.reserve, policy.max_bytes), (None, None));
        for setting in ["retry-delay=10s", "retry-factor=1.5", "retry-max=2h", "retry-jitter=25%", "archive=7d"] {
            policy.apply(setting).unwrap();
        }
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        let retry = r#""retry-delay":"10s","retry-factor":1.5,"retry-max":"2h","retry-jitter":"25%","archive":"7d"}"#;
        assert!(text.ends_with(retry), "{text}");
        policy.apply("max-deliveries=none").unwrap();
        assert_eq!(policy.max_deliveries, None);
        for wrong in ["visibility", "visibility=", "visibility=5", "max-deliveries=0", "colour=red", "durability=some"]
            .into_iter()
            .chain([
                "max-messages=0",
                "max-messages=+1",
                "max-bytes=10",
                "reserve=-1B",
                "reserve-inodes=few",
                "expired=burn",
            ])
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
        for nothing in
            [Policy { max_messages: Some(0), ..Policy::default() }, Policy { max_bytes: Some(0), ..Policy::default() }]
        {
            assert!(nothing.check_for(&name).is_err());
        }
        assert_eq!(Reserve::of_disk(100 << 20, 1000), Reserve { bytes: 1 << 20, inodes: 10 });
        assert_eq!(Reserve::of_disk(1 << 40, 0), Reserve { bytes: Reserve::MOST_BYTES, inodes: 0 });
        let hour = Duration::from_secs(3600);
        let backing_off = Policy { retry_delay: hour, ..Policy::default() };
        assert!(backing_off.check_for(&name).is_ok());
        let too_long = Policy { retry_delay: hour + Duration::from_millis(1), ..Policy::default() };
        assert_eq!(too_long.check_for(&name).unwrap_err().keys(), ["retry-max", "retry-delay"]);
        let useless = Policy { retry_max: Duration::ZERO, ..Policy::default() };
        assert!(useless.check_for(&name).is_ok(), "without a delay the rest says nothing");
    }

    #[test]
    fn a_policy_by_which_nothing_can_be_delivered_is_refused() {
        let name: QueueName = "jobs".parse().unwrap();
        let with = |settings: &[&str]| {
            let mut policy = Policy::default();
            policy.apply_all(&settings.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
            policy
        };
        for (settings, key) in [
            (&["visibility=0s"][..], "visibility"),
            (&["retention=0s"], "retention"),
            (&["archive=0s"], "archive"),
            (&["retention=1h", "delay=1h"], "delay"),
            (&["retention=1h", "retry-delay=1h", "retry-max=2h"], "retry-delay"),
            (&["retention=1h", "retry-delay=10s", "retry-max=2h"], "retry-max"),
            (&["retention=30s", "retry-delay=10s", "max-deliveries=4"], "retry-max"),
        ] {
            let policy = with(settings);
            assert_eq!(policy.check_for(&name).unwrap_err().keys(), [key], "{settings:?}");
        }
        for settings in [
            &["retention=1h"][..],
            &["retention=1h", "delay=59m"],
            &["retention=1h", "retry-delay=10s", "retry-max=59m"],
            &["retention=1h", "retry-max=2h"],
            &["retention=30s", "retry-delay=10s", "max-deliveries=3"],
            &["retention=30s", "retry-delay=10s", "retry-factor=1"],
            &["retention=30s", "retry-delay=1m", "max-deliveries=1"],
        ] {
            assert_eq!(with(settings).check_for(&name), Ok(()), "{settings:?}");
        }
    }

    #[test]
    fn every_setting_that_a_file_can_have_says_what_it_is_to_be() {
        for key in Policy::KEYS.into_iter().chain(["paused"]) {
            let wrong = serde_json::json!({ "a": 1 });
            assert!(serde_json::from_value::<Policy>(serde_json::json!({ key: wrong })).is_err(), "{key}");
            let error = Policy::wrong_in_file(key, &wrong);
            assert_eq!(error.keys(), [key]);
        }
        let said = |key, value: serde_json::Value| Policy::wrong_in_file(key, &value).to_string();
        assert!(said("retention", "5".into()).contains("'5' is not a duration: a number with a unit"));
        assert!(said("retention", "none".into()).contains("leave the setting out for none"));
        assert!(said("colour", "red".into()).contains("there is no setting 'colour'"));
    }

    #[test]
    fn a_setting_is_said_once() {
        let twice = ["delay=1s", "retention=1h", "delay=1s"].map(str::to_owned);
        assert_eq!(Policy::default().apply_all(&twice), Err(PolicyError::SetTwice("delay")));
        let unknown = ["colour=red", "colour=blue"].map(str::to_owned);
        assert_eq!(Policy::default().apply_all(&unknown), Err(PolicyError::UnknownKey("colour".to_owned())));
    }

    #[test]
    fn what_is_default_is_left_out_of_the_file() {
        let text = serde_json::to_string(&Policy::default()).unwrap();
        assert!(!text.contains("retry"), "a version without them could not read it: {text}");
    }
}
