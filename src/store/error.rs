//! The errors that all engines speak.
//!
//! Each says which queue or path it is about, and what was tried; what to do about it is the command line's to add.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Uneditable;
use crate::domain::lifecycle::Refusal;
use crate::domain::queue::PolicyError;
use crate::domain::{MessageId, NewMessage, Policy, QueueName, UniqueKey};

/// What went wrong, with the queue or path and what was tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue, or the whole spool, is not there.
    #[error("there is no queue '{queue}' in {place}")]
    NoSuchQueue {
        /// The queue that was asked for.
        queue: QueueName,
        /// Where it was looked for.
        place: String,
    },
    /// A name that a file of the spool itself has.
    #[error("no queue can be called '{0}': a file of the spool has that name")]
    ReservedName(QueueName),
    /// A queue of that name exists already.
    #[error("the queue '{0}' exists already")]
    QueueExists(QueueName),
    /// The queue cannot be dropped as it is.
    #[error("the queue '{queue}' still holds {}", held_in_words(*messages))]
    QueueNotEmpty {
        /// The queue.
        queue: QueueName,
        /// How many messages it holds, in whatever state, strays included.
        messages: u64,
    },
    /// Receivers of this queue are held off.
    #[error("the queue '{0}' is paused")]
    Paused(QueueName),
    /// No message of that id, in any state.
    #[error("there is no message {id} in the queue '{queue}'")]
    NoSuchMessage {
        /// The queue that was searched.
        queue: QueueName,
        /// The id that was asked for.
        id: MessageId,
    },
    /// The receipt's delivery is over: the message was deleted, or delivered again, or is dead.
    #[error("stale receipt: message {id} of the queue '{queue}' was deleted or delivered again since")]
    StaleReceipt {
        /// The receipt's queue.
        queue: QueueName,
        /// The receipt's message.
        id: MessageId,
    },
    /// The message's state does not allow what was asked.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The policy does not make sense for its queue.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A policy file that cannot be read as one.
    #[error("the policy file {path} is wrong: {reason}")]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        reason: String,
    },
    /// A key cannot be unique for longer than the queue keeps its messages.
    #[error(
        "a key cannot be unique for {} in '{queue}': its retention keeps a message for {} at most",
        crate::domain::units::format_duration(*window),
        crate::domain::units::format_duration(*retention)
    )]
    UniqueForTooLong {
        /// The queue.
        queue: QueueName,
        /// What was asked for.
        window: Duration,
        /// The queue's retention.
        retention: Duration,
    },
    /// A message cannot come to a queue where another one has its unique key.
    #[error("message {id} stays: its unique key '{key}' is that of message {holder} in the queue '{queue}'")]
    KeyTaken {
        /// The queue that it cannot come to.
        queue: QueueName,
        /// The message.
        id: MessageId,
        /// Its key.
        key: UniqueKey,
        /// The message that has it there.
        holder: MessageId,
    },
    /// A message would be held back for longer than the queue keeps it.
    #[error(
        "a message cannot be delayed for {} in '{queue}': its retention keeps a message for {}, and it would be too old \
         before it is deliverable",
        crate::domain::units::format_duration(*delay),
        crate::domain::units::format_duration(*retention)
    )]
    DelayTooLong {
        /// The queue.
        queue: QueueName,
        /// What was asked for.
        delay: Duration,
        /// The queue's retention.
        retention: Duration,
    },
    /// The queue holds as much as its policy allows.
    #[error("the queue '{queue}' is full: it holds {held}, and its {cap} is {limit}")]
    Full {
        /// The queue.
        queue: QueueName,
        /// What it holds, in words.
        held: String,
        /// Which setting of the policy.
        cap: &'static str,
        /// What that is, as it is set.
        limit: String,
    },
    /// What cannot be put together with others, all or none.
    #[error("nothing of the batch was put: {why}")]
    NotInABatch {
        /// Why, as a sentence without its end.
        why: String,
    },
    /// No emptying of the queue would make room for that much.
    #[error(
        "the queue '{queue}' never has room for this: it takes {len_bytes} bytes or more, and max-bytes is {limit}"
    )]
    TooLarge {
        /// The queue.
        queue: QueueName,
        /// How long the message is, as far as it was read, its header included.
        len_bytes: u64,
        /// The queue's cap, as it is set.
        limit: String,
    },
    /// The disk is so full that only what makes room may go on.
    #[error("the disk of {path} has {free} left, and puts leave {reserve} free ({key})")]
    NoReserve {
        /// The queue that the message was to come to.
        queue: QueueName,
        /// A directory on the disk.
        path: PathBuf,
        /// What is free, in words.
        free: String,
        /// What the policy says, or what holds without a word from it.
        reserve: String,
        /// The setting of the policy.
        key: &'static str,
    },
    /// The message's own facts are too large for a header.
    #[error("the message's attributes and names take {len_bytes} bytes; a header may have {most_bytes}")]
    HeaderTooLong {
        /// How long the header would be.
        len_bytes: usize,
        /// How long it may be.
        most_bytes: usize,
    },
    /// A directory that holds other things than a spool.
    #[error("{path} is not a spool: it is not empty and has no '{missing}' file")]
    NotASpool {
        /// The directory.
        path: PathBuf,
        /// The file that every spool has.
        missing: &'static str,
    },
    /// A spool of a version that this program does not know.
    #[error("{path} says '{found}'; this mq reads '{known}'")]
    UnknownFormat {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it would have to say.
        known: &'static str,
    },
    /// A message that was to get another body has kept its own.
    #[error("message {id} of the queue '{queue}' {why}")]
    NotEdited {
        /// The queue.
        queue: QueueName,
        /// The message.
        id: MessageId,
        /// Why.
        why: Uneditable,
    },
    /// The sender's bytes could not be read.
    #[error("cannot read the body")]
    Body(#[source] io::Error),
    /// A call to the system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Refuses what a sender says of a message that the queue would never deliver. (What is imported goes on as it was.)
    pub(super) fn check_delay(queue: &QueueName, new: &NewMessage, policy: &Policy) -> Result<()> {
        let delay = new.delay.filter(|_| new.origin.is_none());
        Self::check_held_back(queue, delay, policy)
    }

    /// Refuses to hold a message back until it is too old to be delivered.
    pub(super) fn check_held_back(queue: &QueueName, delay: Option<Duration>, policy: &Policy) -> Result<()> {
        match (delay, policy.retention) {
            (Some(delay), Some(retention)) if delay >= retention => {
                Err(Self::DelayTooLong { queue: queue.clone(), delay, retention })
            }
            _ => Ok(()),
        }
    }
}

/// What a queue that cannot be dropped holds.
fn held_in_words(messages: u64) -> String {
    let (message, file) = if messages == 1 { ("message", "file") } else { ("messages", "files") };
    format!("{messages} {message} or other {file}")
}

/// The result of asking an engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Gives an I/O error the path and the operation that it lacks.
pub(crate) trait At<T> {
    /// `action` completes the sentence "cannot … PATH".
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}

/// An error and its causes in one sentence: what was tried, then why it failed, then why that.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        // A cause that only repeats its effect says nothing new.
        if !text.ends_with(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = error.source();
    }
    text
}
