//! The envelope on the way in: a line of JSON of a sender's, or of an export.
//!
//! Invariants: what an envelope says is heeded, or passed over because only a receiver can know it, or refused by its name;
//! an error names the line, and what is expected there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::commands::check_times;
use crate::domain::{Attributes, Invalid, NewMessage, Origin, Priority, Unique, UnixMillis};
use crate::store::Failure;

/// What only who receives or exports a message knows of it. A sender's envelope may say it, and nothing comes of it, so that
/// what `get --json` wrote can be put again.
const OF_RECEIVERS: [&str; 15] = [
    "id",
    "queue",
    "put_to",
    "receipt",
    "state",
    "deliveries",
    "put_at",
    "visible_until",
    "due",
    "kept_until",
    "expires_at",
    "bytes",
    "unique_until",
    "failures",
    "unread",
];

/// A line that is no envelope.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeError {
    /// Not a JSON object.
    #[error("line {number} {why}; an envelope is an object such as {{\"body\":\"text\"}}")]
    NoObject {
        /// Which, from 1.
        number: u64,
        /// What is wrong.
        why: String,
    },
    /// No body, or two.
    #[error(
        "the envelope in line {number} needs either \"body\" or \"body_base64\"; to put each line as a body of its own, use --lines --type json"
    )]
    NotOneBody {
        /// Which, from 1.
        number: u64,
    },
    /// Something in it is not valid.
    #[error("the envelope in line {number}: {why}")]
    Invalid {
        /// Which, from 1.
        number: u64,
        /// What is wrong.
        why: String,
    },
}

/// What a sender says of a message in an envelope.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// How the message is to be put.
    pub(crate) new: NewMessage,
    /// What it is to be the only one of.
    pub(crate) unique: Option<Unique>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// Reads the envelope in line `number`; what it does not say is as in `defaults`.
pub(crate) fn read(line: &[u8], number: u64, defaults: &NewMessage) -> Result<Envelope, EnvelopeError> {
    let mut members = Members::of_line(line, number)?;
    let envelope = members.envelope(defaults)?;
    members.finish()?;
    Ok(envelope)
}

/// How often an imported message may have been delivered: half of what can be counted.
const MOST_DELIVERIES: u32 = u32::MAX / 2;

/// Reads line `number` of an export: an envelope whose message goes on to be what it was.
pub(crate) fn read_exported(line: &[u8], number: u64) -> Result<(NewMessage, Vec<u8>), EnvelopeError> {
    let mut members = Members::of_line(line, number)?;
    let Envelope { new, body, .. } = members.envelope(&NewMessage::default())?;
    let put_to = members.parsed("put_to")?;
    let queue = members.required("queue")?;
    let deliveries = members.number("deliveries", u64::from(u32::MAX), "a number of deliveries")?.unwrap_or(0);
    // A count that cannot rise any more would let an old receipt fit a later delivery.
    let deliveries = u32::try_from(deliveries).ok().filter(|deliveries| *deliveries <= MOST_DELIVERIES);
    let too_many = || members.invalid("deliveries", "there are more than any message has had");
    let origin = Origin {
        deliveries: deliveries.ok_or_else(too_many)?,
        id: members.required("id")?,
        queue: put_to.unwrap_or(queue),
        put_at: members.required::<Time>("put_at")?.0,
        due: members.parsed::<Time>("due")?.map(|due| due.0.ceil_seconds()),
        expires_at: members.parsed::<Time>("expires_at")?.map(|at| at.0),
        failures: members.failures()?,
    };
    members.finish()?;
    Ok((NewMessage { origin: Some(Box::new(origin)), ..new }, body))
}

/// A time as all times are shown.
struct Time(UnixMillis);

impl FromStr for Time {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        UnixMillis::from_rfc3339(text).map(Self)
    }
}

/// A duration as all durations are written.
struct Span(Duration);

impl FromStr for Span {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        crate::commands::duration(text).map(Self)
    }
}

/// An object as it stands in its line.
struct Object {
    members: BTreeMap<String, Value>,
    /// One that is there again, with what may be another value.
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object { members: BTreeMap::new(), twice: None };
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    match object.members.entry(name) {
                        Entry::Vacant(place) => drop(place.insert(value)),
                        Entry::Occupied(place) => object.twice = Some(place.key().clone()),
                    }
                }
                Ok(object)
            }
        }

        from.deserialize_map(Each)
    }
}

/// The members of an envelope that nobody has asked for yet.
struct Members {
    number: u64,
    left: BTreeMap<String, Value>,
}

impl Members {
    fn of_line(line: &[u8], number: u64) -> Result<Self, EnvelopeError> {
        let object: Object = serde_json::from_slice(line).map_err(|error| {
            let why = match error.classify() {
                serde_json::error::Category::Data => "is no object".to_owned(),
                serde_json::error::Category::Eof => "ends in the middle of JSON".to_owned(),
                _ => format!("is not JSON at column {}", error.column().max(1)),
            };
            EnvelopeError::NoObject { number, why }
        })?;
        match object.twice {
            Some(name) => Err(EnvelopeError::Invalid { number, why: format!("it says {name:?} twice") }),
            None => Ok(Self { number, left: object.members }),
        }
    }

    /// What a sender may say.
    fn envelope(&mut self, defaults: &NewMessage) -> Result<Envelope, EnvelopeError> {
        let body = match (self.text("body")?, self.text("body_base64")?) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(&text).map_err(|_| {
                let error = Invalid::new(text, "base64: A-Z a-z 0-9 + /, padded with = to four at a time");
                self.invalid("body_base64", error)
            })?,
            _ => return Err(EnvelopeError::NotOneBody { number: self.number }),
        };
        let mut attributes = defaults.attributes.clone();
        self.attributes(&mut attributes)?;
        let new = NewMessage {
            priority: self.priority()?.unwrap_or(defaults.priority),
            delay: self.duration("delay")?.or(defaults.delay),
            ttl: self.duration("ttl")?.or(defaults.ttl),
            media_type: self.parsed("type")?.or_else(|| defaults.media_type.clone()),
            attributes,
            reply_to: self.parsed("reply_to")?.or_else(|| defaults.reply_to.clone()),
            group: self.parsed("group")?.or_else(|| defaults.group.clone()),
            durability: defaults.durability,
            wait: defaults.wait,
            origin: None,
        };
        check_times(&new).map_err(|why| EnvelopeError::Invalid { number: self.number, why })?;
        Ok(Envelope { new, unique: self.unique()?, body })
    }

    fn unique(&mut self) -> Result<Option<Unique>, EnvelopeError> {
        let (key, window) = (self.parsed("unique")?, self.duration("unique_for")?);
        match (key, window) {
            (_, Some(window)) if window.is_zero() => {
                Err(self.invalid("unique_for", "0s: the key would never be taken"))
            }
            (None, Some(_)) => Err(self.invalid("unique_for", "there is no \"unique\" that it is about")),
            (key, window) => Ok(key.map(|key| Unique { key, window })),
        }
    }

    /// Refuses what is left, if nobody can know what to make of it.
    fn finish(self) -> Result<(), EnvelopeError> {
        match self.left.keys().find(|name| !OF_RECEIVERS.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let why = format!(
                    "it says {name:?}, which means nothing; a sender may say body or body_base64, type, attrs, priority, \
                     delay, ttl, group, reply_to, unique and unique_for"
                );
                Err(EnvelopeError::Invalid { number: self.number, why })
            }
        }
    }

    fn invalid(&self, name: &str, why: impl fmt::Display) -> EnvelopeError {
        EnvelopeError::Invalid { number: self.number, why: format!("\"{name}\": {why}") }
    }

    /// A member; null is as good as none.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, EnvelopeError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.invalid(name, Invalid::new(other.to_string(), "text in quotes"))),
        }
    }

    fn parsed<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Result<Option<T>, EnvelopeError> {
        let text = self.text(name)?;
        text.map(|text| text.parse()).transpose().map_err(|error| self.invalid(name, error))
    }

    fn required<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Result<T, EnvelopeError> {
        self.parsed(name)?.ok_or_else(|| {
            let why = format!("it has no \"{name}\", which mq export writes");
            EnvelopeError::Invalid { number: self.number, why }
        })
    }

    fn duration(&mut self, name: &str) -> Result<Option<Duration>, EnvelopeError> {
        Ok(self.parsed::<Span>(name)?.map(|span| span.0))
    }

    fn number(&mut self, name: &str, most: u64, expected: &'static str) -> Result<Option<u64>, EnvelopeError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| *number <= most);
        number.map(Some).ok_or_else(|| self.invalid(name, Invalid::new(value.to_string(), expected)))
    }

    fn priority(&mut self) -> Result<Option<Priority>, EnvelopeError> {
        let level = self.number("priority", 9, "a priority: a number from 0 to 9")?;
        Ok(level.and_then(|level| u8::try_from(level).ok()).and_then(Priority::new))
    }

    /// Adds the attributes to those that are there.
    fn attributes(&mut self, to: &mut Attributes) -> Result<(), EnvelopeError> {
        const EXPECTED: &str = "attributes: an object of names, each with text in quotes";
        let attrs = match self.take("attrs") {
            None => return Ok(()),
            Some(Value::Object(attrs)) => attrs,
            Some(other) => return Err(self.invalid("attrs", Invalid::new(other.to_string(), EXPECTED))),
        };
        attrs.iter().try_for_each(|(name, value)| match value {
            Value::String(text) => to.insert(name, text).map_err(|error| self.invalid("attrs", error)),
            other => Err(self.invalid("attrs", Invalid::new(format!("{name:?}:{other}"), EXPECTED))),
        })
    }

    /// The log of failed deliveries.
    fn failures(&mut self) -> Result<Vec<Failure>, EnvelopeError> {
        const EXPECTED: &str = "a log of failed deliveries: a list of objects, each with at, delivery and reason";
        let Some(value) = self.take("failures") else { return Ok(Vec::new()) };
        let failure = |value: &Value| {
            let at = UnixMillis::from_rfc3339(value.get("at")?.as_str()?).ok()?;
            let delivery = u32::try_from(value.get("delivery")?.as_u64()?).ok()?;
            Some(Failure { at, delivery, reason: value.get("reason")?.as_str()?.to_owned() })
        };
        let failures = value.as_array().and_then(|log| log.iter().map(failure).collect());
        failures.ok_or_else(|| self.invalid("failures", Invalid::new(value.to_string(), EXPECTED)))
    }
}
