//! The nouns and the rules of a message queue. No I/O happens here, and nothing here reads a clock
//! (the [`clock`] trait is declared here so that everyone else has to be given one).
//!
//! Invariants of the room: a value that exists is valid ([`QueueName`], [`Priority`], [`MessageName`]
//! and the rest can only be made by checking), and [`lifecycle`] is the one table of what may become of
//! a message: every engine asks it, none decides for itself.

pub mod archive;
pub mod claim;
pub mod clock;
pub mod key;
pub mod lifecycle;
pub mod message;
pub mod queue;
pub mod retry;
pub mod units;

pub use claim::{ClaimPlace, Receipt, Visibility};
pub use clock::{Clock, ManualClock, SystemClock};
pub use key::{Group, KeyHash, Unique, UniqueKey};
pub use message::{Attributes, Failure, MediaType, MessageId, MessageName, NewMessage, Origin, Priority, Seq};
pub use queue::{Durability, Policy, QueueName};
pub use units::{UnixMillis, UnixSeconds};

/// A text that does not say what it should: what was written, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not {expected}")]
pub struct Invalid {
    given: String,
    expected: &'static str,
}

impl Invalid {
    /// `given` is quoted in the error; `expected` completes the sentence "… is not …".
    pub fn new(given: impl Into<String>, expected: &'static str) -> Self {
        let mut given: String = given.into();
        // An error must stay readable when somebody pipes a film into an argument.
        if given.chars().count() > 120 {
            given = given.chars().take(117).chain("...".chars()).collect();
        }
        Self { given, expected }
    }
}
