//! Which messages are meant: the one filter that list, purge, move, redrive and replay have in common.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Archived, Failure, Listed, Message};
use crate::domain::lifecycle::State;
use crate::domain::{Attributes, Group, Invalid, MediaType, MessageId, QueueName, UnixMillis};

/// A choice among the messages of a queue. What it says has all to hold; one that says nothing means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those with one of these ids.
    pub ids: Vec<MessageId>,
    /// Those in one of these states.
    pub states: Vec<StateName>,
    /// Those that were put longer ago than this.
    pub older: Option<Duration>,
    /// Those that were put less long ago than this.
    pub newer: Option<Duration>,
    /// Those that have all of these attributes.
    pub attributes: Vec<AttributeFilter>,
    /// Those of this type, as it was written at the put.
    pub media_type: Option<MediaType>,
    /// Those that were put to this queue first, wherever they lie now.
    pub put_to: Option<QueueName>,
    /// Those of this group.
    pub group: Option<Group>,
    /// Those that have been claimed at least so often.
    pub deliveries: Option<u32>,
    /// Those whose last failure says this somewhere in its reason.
    pub reason: Option<String>,
}

/// The last line of a delivery log that says why a delivery failed.
pub(crate) fn last_reason(failures: &[Failure]) -> Option<&Failure> {
    failures.iter().rfind(|failure| failure.is_a_reason())
}

impl Filter {
    /// Whether every message is meant, whatever it is.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a message of this id can be meant: what is known without opening it.
    pub fn may_be(&self, id: MessageId) -> bool {
        self.ids.is_empty() || self.ids.contains(&id)
    }

    /// Whether the message is meant; of one that could not be read, whether it may be.
    pub fn matches(&self, listed: &Listed, now: UnixMillis) -> bool {
        (self.states.is_empty() || self.states.contains(&StateName::of(listed.state)))
            && self.matches_history(&listed.message, listed.deliveries, &listed.failures, listed.unread.is_some(), now)
    }

    /// Whether an archived message is meant, which is in no state: none of those is asked for.
    pub fn matches_archived(&self, archived: &Archived, now: UnixMillis) -> bool {
        let Archived { message, deliveries, failures, unread, .. } = archived;
        self.states.is_empty() && self.matches_history(message, *deliveries, failures, unread.is_some(), now)
    }

    fn matches_history(
        &self,
        message: &Message,
        deliveries: u32,
        failures: &[Failure],
        is_unread: bool,
        now: UnixMillis,
    ) -> bool {
        let age = message.put_at.age_at(now);
        self.may_be(message.id)
            && self.older.is_none_or(|than| age > than)
            && self.newer.is_none_or(|than| age < than)
            && self.deliveries.is_none_or(|least| deliveries >= least)
            && (is_unread || self.matches_header(message, failures))
    }

    fn matches_header(&self, message: &Message, failures: &[Failure]) -> bool {
        let reason_of_last = || last_reason(failures).map_or("", |failure| failure.reason.as_str());
        self.attributes.iter().all(|wanted| wanted.matches(&message.attributes))
            && (self.media_type.is_none() || self.media_type == message.media_type)
            && self.put_to.as_ref().is_none_or(|queue| *queue == message.queue)
            && (self.group.is_none() || self.group == message.group)
            && self.reason.as_ref().is_none_or(|text| reason_of_last().contains(text.as_str()))
    }

    /// Whether it takes more than a message's name to know.
    pub fn asks_for_the_header(&self) -> bool {
        let Self { attributes, media_type, put_to, group, reason, .. } = self;
        !attributes.is_empty() || media_type.is_some() || put_to.is_some() || group.is_some() || reason.is_some()
    }
}

/// An attribute that a message is to have: with a value, or with any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeFilter {
    name: String,
    value: Option<String>,
}

impl AttributeFilter {
    fn matches(&self, attributes: &Attributes) -> bool {
        let found = attributes.get(&self.name);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|wanted| wanted == found))
    }
}

impl FromStr for AttributeFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        // What no message can have is a mistake, and not a filter that finds nothing.
        Attributes::default().insert(name, value.unwrap_or_default())?;
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

/// A state without its second, as users name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateName {
    /// Deliverable.
    Ready,
    /// Not deliverable yet.
    Delayed,
    /// Claimed until some second.
    Claimed,
    /// Claimed for as long as its receiver lives.
    Held,
    /// Behind an earlier message of its group.
    Waiting,
}

impl StateName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Delayed, Self::Claimed, Self::Held, Self::Waiting];

    /// The name of a state.
    pub fn of(state: State) -> Self {
        match state {
            State::Ready => Self::Ready,
            State::Delayed { .. } => Self::Delayed,
            State::Claimed { .. } => Self::Claimed,
            State::Held => Self::Held,
            State::Waiting { .. } => Self::Waiting,
        }
    }

    /// As users know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Claimed => "claimed",
            Self::Held => "held",
            Self::Waiting => "waiting",
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StateName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let named = Self::ALL.into_iter().find(|state| state.as_str() == text);
        named.ok_or_else(|| Invalid::new(text, "a state: ready, delayed, claimed, held or waiting"))
    }
}
