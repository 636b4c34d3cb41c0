//! The kinds of operations: how they are drawn, and what they are called, to count how each of them ends.

use super::choices::Choices;
use super::operations::{Operation, Then};

/// What the operations are called, by [`Operation::kind`].
pub const KINDS: [&str; 29] = [
    "Put",
    "PutBatch",
    "Claim",
    "ClaimHeld",
    "Delete",
    "Release",
    "Extend",
    "NoteFailure",
    "Look",
    "Wait",
    "Purge",
    "MoveAll",
    "Create",
    "Drop",
    "SetPolicy",
    "SetLimit",
    "Pause",
    "Resume",
    "DropForce",
    "ClaimWaiting",
    "Fsck",
    "PutUnique",
    "PurgeOne",
    "MoveOne",
    "PutGroup",
    "PutAtomic",
    "Pass",
    "Edit",
    "Replay",
];

impl Operation {
    /// Where it stands in [`KINDS`].
    pub const fn kind(self) -> usize {
        match self {
            Self::Put { .. } => 0,
            Self::PutBatch { .. } => 1,
            Self::Claim { .. } => 2,
            Self::ClaimHeld { .. } => 3,
            Self::Delete { .. } => 4,
            Self::Release { .. } => 5,
            Self::Extend { .. } => 6,
            Self::NoteFailure { .. } => 7,
            Self::Look => 8,
            Self::Wait => 9,
            Self::Purge => 10,
            Self::MoveAll { .. } => 11,
            Self::Create => 12,
            Self::Drop => 13,
            Self::SetPolicy => 14,
            Self::SetLimit { .. } => 15,
            Self::Pause => 16,
            Self::Resume => 17,
            Self::DropForce => 18,
            Self::ClaimWaiting => 19,
            Self::Fsck { .. } => 20,
            Self::PutUnique { .. } => 21,
            Self::PurgeOne { .. } => 22,
            Self::MoveOne { .. } => 23,
            Self::PutGroup { .. } => 24,
            Self::PutAtomic { .. } => 25,
            Self::Pass { .. } => 26,
            Self::Edit { .. } => 27,
            Self::Replay { .. } => 28,
        }
    }
}

impl Operation {
    /// Any operation, drawn: the common ones more often, and a replay where there may be something for it.
    pub fn any(choices: &mut Choices, may_be_archived: bool) -> Self {
        if may_be_archived && choices.pick(4) == 3 {
            return Self::any_replay(choices);
        }
        match choices.pick(54) {
            0..6 => Self::any_put(choices),
            6..9 => Self::PutUnique {
                key: [0, 0, 1][choices.pick(3)],
                window_s: [0, 0, 0, 40][choices.pick(4)],
                delay_s: [0, 0, 3][choices.pick(3)],
                group: [None, None, Some(0)][choices.pick(3)],
            },
            9..12 => {
                // One in a while, a whole leaf and more.
                let count = if choices.pick(100) < 99 { [2, 3, 5][choices.pick(3)] } else { 300 };
                Self::PutBatch { count, delay_s: [0, 0, 3][choices.pick(3)] }
            }
            12..18 => Self::Claim { most: [1, 1, 3][choices.pick(3)], visibility_s: [30, 2, 90][choices.pick(3)] },
            18..23 => {
                let then = [Then::Delete, Then::Release, Then::Fail, Then::Vanish, Then::Command][choices.pick(5)];
                Self::ClaimHeld { most: [1, 1, 2][choices.pick(3)], then }
            }
            23..29 => Self::Delete { which: choices.pick(4), count: [1, 1, 3][choices.pick(3)] },
            29 | 30 => Self::Release { which: choices.pick(4), delay_s: [Some(0), Some(4), None][choices.pick(3)] },
            31 | 32 => Self::Extend { which: choices.pick(4), visibility_s: [60, 31, 0][choices.pick(3)] },
            33 => Self::NoteFailure { which: choices.pick(4) },
            34 => Self::Look,
            35 => Self::Fsck { repair: choices.pick(4) > 0 },
            36 => Self::MoveAll { back: choices.pick(2) > 0 },
            37 => Self::Create,
            38 => [Self::Drop, Self::SetPolicy][choices.pick(2)],
            39 => Self::SetLimit { limit: [None, Some(2), Some(3)][choices.pick(3)] },
            40 => [Self::Pause, Self::Resume, Self::Resume][choices.pick(3)],
            41 => [Self::ClaimWaiting, Self::ClaimWaiting, Self::ClaimWaiting, Self::DropForce][choices.pick(4)],
            42 => [Self::Wait, Self::Purge][choices.pick(2)],
            43 => Self::PurgeOne { which: choices.pick(3) },
            44..48 => Self::PutGroup {
                group: [0, 0, 0, 1][choices.pick(4)],
                count: [1, 1, 1, 3][choices.pick(4)],
                delay_s: [0, 0, 0, 3][choices.pick(4)],
            },
            48 | 49 => {
                let count = if choices.pick(200) < 199 { [1, 2, 3][choices.pick(3)] } else { 300 };
                Self::PutAtomic { count }
            }
            50 | 51 => Self::Edit { which: choices.pick(3) },
            52 => Self::MoveOne { which: choices.pick(3) },
            _ => Self::any_replay(choices),
        }
    }

    fn any_replay(choices: &mut Choices) -> Self {
        Self::Replay {
            which: [None, None, Some(0), Some(1)][choices.pick(4)],
            most: [u64::MAX, u64::MAX, 1][choices.pick(3)],
        }
    }

    fn any_put(choices: &mut Choices) -> Self {
        Self::Put {
            delay_s: [0, 0, 0, 3][choices.pick(4)],
            priority: [5, 5, 5, 9][choices.pick(4)],
            ttl_s: [0, 0, 0, 0, 0, 20][choices.pick(6)],
            durable: choices.pick(12) < 11,
            long: choices.pick(40) == 39,
        }
    }
}
