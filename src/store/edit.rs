//! Giving a message another body: who writes it, and why it was not given.

use std::fmt;
use std::io::Read;

use super::Peeked;

/// Who is shown a message with its body, and gives the new body; nothing if it is to stay as it is. May take as long as a
/// person at an editor does: nothing is locked meanwhile.
pub type Rewrite<'a> = dyn FnMut(Peeked) -> Option<Box<dyn Read>> + 'a;

/// Why a message has kept its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uneditable {
    /// Somebody has it, or is about to.
    Claimed,
    /// It is the only one of its unique key.
    Keyed,
    /// It is one of a group.
    Grouped,
    /// It is not what it was when it was shown.
    Changed,
    /// Nobody would be delivered the new body.
    Expired,
}

impl fmt::Display for Uneditable {
    /// Completes "message ID of the queue 'QUEUE' …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claimed => "is claimed, or was until now by a process that still runs: its body stays as it is",
            Self::Keyed => "is the only one of its unique key, which is bound to its file: its body stays as it is",
            Self::Grouped => "is one of a group, whose order is bound to its file: its body stays as it is",
            Self::Expired => "is too old to be delivered: its body stays as it is",
            Self::Changed => "was claimed, moved, deleted or edited meanwhile: its body was left as it is",
        })
    }
}
