//! What there is to say: findings, and the summary after the last of them.

use std::path::PathBuf;

use super::super::Order;
use super::super::fs::Names;
use crate::domain::QueueName;

/// What sort of thing was found. As text, a word with hyphens that stays the same from version to version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The format file is missing or empty, and there are queues.
    FormatMissing,
    /// The format file says a version that this program does not know. Nothing else is looked at.
    FormatVersion,
    /// What a maker or dropper of queues left behind when it died.
    Leftover,
    /// A temporary whose writer is gone.
    OrphanTemporary,
    /// A message whose bytes are not what was put.
    Damaged,
    /// A file or directory that cannot be read.
    Unreadable,
    /// A whole message where no receiver finds it.
    Misplaced,
    /// One file that has two names as a message: its mover died half way.
    TwoNames,
    /// A message that has names outside the spool, where they make it slow to move.
    OutsideNames,
    /// Another file with the same message.
    Copy,
    /// Something that is not ours.
    Stray,
    /// A part that every queue has is not there.
    MissingPart,
    /// Something else has the name of a part of a queue.
    WrongKind,
    /// Other permissions than the queue's.
    WrongMode,
    /// Another owner, or in a queue of a group another group, than the queue's.
    WrongOwner,
    /// A part of the spool lies in another file system.
    MixedFileSystems,
    /// The clock shows less than it has shown before.
    Clock,
    /// The sequence counter is damaged, or could give a number that a message has.
    Counter,
    /// Two messages of one priority have the same sequence number.
    SameNumber,
    /// The entry of a unique key whose message is gone.
    KeyLeft,
    /// The policy cannot be read as one.
    Policy,
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A repair would do it.
    Would,
    /// It is done.
    Done,
    /// It was tried, and failed for this reason.
    Failed(String),
    /// It is left to a person, or to time.
    ByHand,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub path: PathBuf,
    /// In which queue, if in one.
    pub queue: Option<QueueName>,
    /// What sort of thing.
    pub kind: FindingKind,
    /// What is wrong, as the rest of a sentence that begins with the path.
    pub what: String,
    /// What is to be done, as an imperative.
    pub remedy: String,
    /// What became of it.
    pub repair: Repair,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        path: impl Into<PathBuf>,
        queue: Option<&QueueName>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            queue: queue.cloned(),
            kind,
            what: what.into(),
            remedy: remedy.into(),
            repair: Repair::ByHand,
        }
    }
}

/// What was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many queues.
    pub queues: u64,
    /// How many messages, in whatever state.
    pub messages: u64,
    /// How many messages lie in quarantine, which is no finding.
    pub set_aside: u64,
    /// How many messages are being written.
    pub temporaries: u64,
    /// How many findings.
    pub found: u64,
    /// How many of them were repaired.
    pub repaired: u64,
    /// Which order of syncs is in force.
    pub order: Order,
    /// What the file system does to names, which is the reason for the order.
    pub names: Names,
}

impl Summary {
    /// How many findings are left.
    pub fn left(&self) -> u64 {
        self.found - self.repaired
    }
}
