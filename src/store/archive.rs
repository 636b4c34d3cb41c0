//! Deleted messages that are kept for a while, and what becomes of one that is put again.

use super::{Failure, Message};
use crate::domain::{NewMessage, UnixSeconds};

/// A deleted message that the archive of its queue still has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The message.
    pub message: Message,
    /// When it will not be kept any more, if the policy stays as it is.
    pub kept_until: UnixSeconds,
    /// How many times it had been claimed.
    pub deliveries: u32,
    /// Why deliveries before the last one failed.
    pub failures: Vec<Failure>,
    /// Why its file could not be read, if it could not: then all that is not in its name is left empty.
    pub unread: Option<String>,
}

impl Message {
    /// The message that is put when this one is put again: what its sender said of it, but for what was about that one
    /// time (the delay) or about being the only one (the unique key). It has as long to live as this one had.
    pub(crate) fn again(&self) -> NewMessage {
        NewMessage {
            priority: self.priority,
            ttl: self.expires_at.map(|expires_at| self.put_at.age_at(expires_at)),
            media_type: self.media_type.clone(),
            attributes: self.attributes.clone(),
            reply_to: self.reply_to.clone(),
            group: self.group.clone(),
            ..NewMessage::default()
        }
    }
}
