//! Messages: what a sender says of one, and how one is named.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lifecycle::{self, Facts};
use super::{Durability, Group, Invalid, Policy, QueueName, UnixMillis, UnixSeconds};

/// A message's identity for good: a UUID of version 7, so ids sort by the time of their put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(Uuid);

impl MessageId {
    /// The id of a message put at `now`; `random` makes it unique.
    pub fn new(now: UnixMillis, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now.0, random).into_uuid())
    }

    /// All of the id but when the message was put.
    pub fn random(self) -> u128 {
        let Self(uuid) = self;
        uuid.as_u128() & (u128::MAX >> 48)
    }

    /// When the message was put, as the id has it: its first 48 bits.
    pub fn put_at(self) -> UnixMillis {
        let bytes = self.0.as_bytes();
        UnixMillis(bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // One spelling only, or two names could mean one message.
        Uuid::try_parse(text)
            .ok()
            .filter(|uuid| uuid.as_hyphenated().to_string() == text)
            .map(Self)
            .ok_or_else(|| Invalid::new(text, "a message id (a UUID, as put prints it)"))
    }
}

/// The place of a message in its queue's order. Dense, and never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// 0 to 9; 9 is delivered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The priority `level`, if it is one.
    pub fn new(level: u8) -> Option<Self> {
        (level <= 9).then_some(Self(level))
    }

    /// As a number.
    pub fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Priority {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.as_bytes() {
            [digit @ b'0'..=b'9'] => Ok(Self(digit - b'0')),
            _ => Err(Invalid::new(text, "a priority from 0 to 9 (9 is delivered first)")),
        }
    }
}

impl TryFrom<u8> for Priority {
    type Error = Invalid;

    fn try_from(level: u8) -> Result<Self, Invalid> {
        Self::new(level).ok_or_else(|| Invalid::new(level.to_string(), "a priority from 0 to 9"))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}

/// All that changes in a message's life, and all that orders it, in one name:
/// `SEQ.PRIORITY.ID.DELIVERIES`, SEQ in 16 hexadecimal digits. Sorting names sorts by sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageName {
    /// The message's place in the order of its queue.
    pub seq: Seq,
    /// Its priority.
    pub priority: Priority,
    /// Its id.
    pub id: MessageId,
    /// How many times it has been claimed.
    pub deliveries: u32,
}

impl MessageName {
    /// The same message, with another delivery count.
    #[must_use]
    pub fn with_deliveries(self, deliveries: u32) -> Self {
        Self { deliveries, ..self }
    }
}

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}.{}.{}", self.seq.0, self.priority, self.id, self.deliveries)
    }
}

impl FromStr for MessageName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let mut parts = text.split('.');
            let seq = u64::from_str_radix(parts.next()?, 16).ok().map(Seq)?;
            let priority = parts.next()?.parse().ok()?;
            let id = parts.next()?.parse().ok()?;
            let deliveries = parts.next()?.parse().ok()?;
            let name = Self { seq, priority, id, deliveries };
            // One spelling only: no signs, no capitals, no leading zeros beyond the fixed width.
            (parts.next().is_none() && name.to_string() == text).then_some(name)
        };
        parse().ok_or_else(|| Invalid::new(text, "the name of a message"))
    }
}

/// What a body is, in the sender's words: a MIME type or a short name, 1 to 127 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

impl MediaType {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MediaType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=127).contains(&text.len());
        // A space is allowed inside, as in `text/plain; charset=utf-8`.
        let visible = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if fits && visible && text.trim() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(text, "a type: a MIME type or a short name such as json, up to 127 ASCII characters"))
        }
    }
}

impl TryFrom<String> for MediaType {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> String {
        media_type.0
    }
}

/// The sender's own facts about a message: names to text.
///
/// A name is 1 to 128 of `A-Z a-z 0-9 _ . -`, starting with a letter or `_`; a value is any text without
/// NUL (it can become an environment variable). All of them together are at most [`Attributes::MAX_BYTES`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// How many bytes the names and values may have together. They live in the message's header, which
    /// every get reads whole.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Adds one. An attribute that is there already is replaced.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let all_allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !starts_well || !all_allowed || name.len() > 128 {
            return Err(Invalid::new(
                name,
                "an attribute's name: 1 to 128 of A-Z a-z 0-9 _ . -, starting with a letter or _",
            ));
        }
        if value.contains('\0') {
            return Err(Invalid::new(value, "an attribute's value: text without NUL bytes"));
        }
        let others: usize = self.0.iter().filter(|(n, _)| *n != name).map(|(n, v)| n.len() + v.len()).sum();
        if others + name.len() + value.len() > Self::MAX_BYTES {
            return Err(Invalid::new(name, "an attribute that fits: all of them together may have 16 KiB"));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Adds one written as `NAME=VALUE`.
    pub fn insert_pair(&mut self, pair: &str) -> Result<(), Invalid> {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Invalid::new(pair, "an attribute: NAME=VALUE, such as source=cron"))?;
        self.insert(name, value)
    }

    /// The value of the attribute `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = Invalid;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut attributes = Self::default();
        for (name, value) in &map {
            attributes.insert(name, value)?;
        }
        Ok(attributes)
    }
}

impl From<Attributes> for BTreeMap<String, String> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}

/// Why a delivery failed: one line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: UnixMillis,
    /// Which delivery it was.
    pub delivery: u32,
    /// The handler's exit status, or what else ended it.
    pub reason: String,
}

impl Failure {
    /// What the delivery log says of a message that became too old.
    const OF_AGE: &str = "it became too old";

    /// That a message was taken out of its queue because it was too old, when it had been claimed so often.
    pub fn of_age(at: UnixMillis, deliveries: u32) -> Self {
        Self { at, delivery: deliveries, reason: Self::OF_AGE.to_owned() }
    }

    /// Whether it says that.
    fn is_of_age(&self) -> bool {
        self.reason == Self::OF_AGE
    }

    /// That a claim ended at `at`, and its holder had not finished it.
    pub fn of_timeout(at: UnixMillis, delivery: u32) -> Self {
        Self { at, delivery, reason: "timeout: its claim ended".to_owned() }
    }

    /// That the holder of a claim was found to be gone.
    pub fn of_death(at: UnixMillis, delivery: u32) -> Self {
        Self { at, delivery, reason: "the holder of its claim died".to_owned() }
    }

    /// What the delivery log says of a message that came to a queue whose retention was over for it.
    const AGE_ANEW: &str = "it came when it was too old, and its age counts from then on";

    /// Whether it says why a delivery failed, or the message is dead: not only how old it is.
    pub fn is_a_reason(&self) -> bool {
        self.reason != Self::AGE_ANEW
    }

    /// That a message came to a queue for which it was too old, when it had been claimed so often.
    pub fn age_anew(at: UnixMillis, deliveries: u32) -> Self {
        Self { at, delivery: deliveries, reason: Self::AGE_ANEW.to_owned() }
    }

    /// The facts of a message as its delivery log makes them: what has gone to the dead letters because it was too old, or
    /// was moved to where it would be, is as young as that line; and of the first, the time that its sender gave it is over.
    pub fn age_of(log: &[Self], mut facts: Facts) -> Facts {
        for line in log {
            if line.is_of_age() {
                (facts.put_at, facts.expires_at) = (line.at, None);
            } else if line.reason == Self::AGE_ANEW {
                facts.put_at = line.at;
            }
        }
        facts
    }
}

/// What a message was in another queue, which it goes on to be in the one that it is put to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its id.
    pub id: MessageId,
    /// The queue that it was put to first.
    pub queue: QueueName,
    /// When it was put there.
    pub put_at: UnixMillis,
    /// How many times it has been claimed.
    pub deliveries: u32,
    /// Not deliverable before this second.
    pub due: Option<UnixSeconds>,
    /// Not deliverable from this instant on.
    pub expires_at: Option<UnixMillis>,
    /// Why its deliveries failed.
    pub failures: Vec<Failure>,
}

/// A message as its sender describes it; the body travels beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// Delivered before messages of a lower one.
    pub priority: Priority,
    /// Not deliverable before this long after the put; the queue's policy when `None`.
    pub delay: Option<Duration>,
    /// Not deliverable after this long after the put.
    pub ttl: Option<Duration>,
    /// What the body is.
    pub media_type: Option<MediaType>,
    /// The sender's own facts.
    pub attributes: Attributes,
    /// The queue that an answer should be put to.
    pub reply_to: Option<QueueName>,
    /// What it is handled in order with, one message at a time.
    pub group: Option<Group>,
    /// Overrides the queue's policy for this put.
    pub durability: Option<Durability>,
    /// How long the put waits for room where the queue or the disk has none.
    pub wait: Duration,
    /// What it was before it was taken out of another queue; then `delay` and `ttl` say nothing.
    pub origin: Option<Box<Origin>>,
}

impl NewMessage {
    /// How many times it has been claimed before.
    pub(crate) fn deliveries(&self) -> u32 {
        self.origin.as_ref().map_or(0, |origin| origin.deliveries)
    }

    /// Lets the age of a message that was put before begin anew, if the retention of the queue that it is put to is over
    /// for it.
    pub(crate) fn begin_age(&mut self, policy: &Policy, now: UnixMillis) {
        let Some(origin) = &mut self.origin else { return };
        let facts = Facts { deliveries: origin.deliveries, put_at: origin.put_at, expires_at: None };
        if lifecycle::is_too_old_for(Failure::age_of(&origin.failures, facts), policy, now) {
            origin.failures.push(Failure::age_anew(now, origin.deliveries));
        }
    }

    /// Why those deliveries failed.
    pub(crate) fn failures(&self) -> &[Failure] {
        self.origin.as_ref().map_or(&[], |origin| &origin.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> MessageId {
        MessageId::new(UnixMillis(1_763_872_585_123), &[7; 10])
    }

    #[test]
    fn an_id_tells_when_it_was_put() {
        assert_eq!(id().put_at(), UnixMillis(1_763_872_585_123));
        assert_eq!(id().random(), MessageId::new(UnixMillis(0), &[7; 10]).random());
        assert_ne!(id().random(), MessageId::new(id().put_at(), &[8; 10]).random());
        assert_eq!(id().to_string().parse(), Ok(id()));
        assert!(id().to_string().to_uppercase().parse::<MessageId>().is_err());
    }

    #[test]
    fn names_round_trip_in_one_spelling_only() {
        let name = MessageName { seq: Seq(258), priority: Priority(9), id: id(), deliveries: 3 };
        let text = name.to_string();
        assert_eq!(text.parse(), Ok(name));
        for wrong in [
            text.replace(".3", ".+3"),
            text.replace(".3", ".03"),
            text.replacen('0', "", 1),
            format!("{text}.1"),
            format!("+{}", &text[1..]),
            String::new(),
            "..".to_owned(),
        ] {
            assert!(wrong.parse::<MessageName>().is_err(), "{wrong} was taken for a name");
        }
    }

    #[test]
    fn attributes_have_limits() {
        let mut attributes = Attributes::default();
        assert!(attributes.insert_pair("source=cron=daily").is_ok());
        assert_eq!(attributes.get("source"), Some("cron=daily"));
        for wrong in ["", "=x", "a b=c", "noequals", "9=x", "ü=x", "a=nul\0"] {
            assert!(attributes.insert_pair(wrong).is_err(), "{wrong:?} was taken for an attribute");
        }
        assert!(attributes.insert("big", &"x".repeat(Attributes::MAX_BYTES)).is_err());
    }
}
