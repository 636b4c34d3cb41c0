//! What is in a queue, counted: by state, and by age and deliveries in the manner of qshape(1).

use crate::domain::lifecycle::State;
use crate::domain::{Policy, UnixMillis};

/// The upper ends of the table's age columns, in seconds; older ones have a last column to themselves.
pub const AGE_LIMITS_S: [u64; 7] = [10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600];

/// The upper ends (inclusive) of the table's delivery rows; more deliveries have a last row to themselves.
pub const DELIVERY_LIMITS: [u32; 5] = [0, 1, 2, 4, 8];

/// What is in a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// Its policy.
    pub policy: Policy,
    /// Deliverable messages.
    pub ready: u64,
    /// Messages that are not deliverable yet.
    pub delayed: u64,
    /// Messages in timed claims.
    pub claimed: u64,
    /// Messages in held claims.
    pub held: u64,
    /// Messages behind an earlier one of their group.
    pub waiting: u64,
    /// Damaged messages, set aside.
    pub corrupt: u64,
    /// Messages being written, or left by writers that died.
    pub temporaries: u64,
    /// The size of all messages as stored, headers included.
    pub bytes: u64,
    /// When the oldest message was put.
    pub oldest: Option<UnixMillis>,
    /// How many messages, by deliveries (rows) and age (columns).
    pub shape: [[u64; AGE_LIMITS_S.len() + 1]; DELIVERY_LIMITS.len() + 1],
    /// How many things lie in the queue that do not belong there.
    pub strays: u64,
    /// Some of them, by their path.
    pub stray_examples: Vec<std::path::PathBuf>,
}

impl Stat {
    /// How many strays are named.
    pub(crate) const STRAYS_NAMED: usize = 10;

    /// Counts one message.
    pub(crate) fn count(&mut self, state: State, put_at: UnixMillis, deliveries: u32, len_bytes: u64, now: UnixMillis) {
        match state {
            State::Ready => self.ready += 1,
            State::Delayed { .. } => self.delayed += 1,
            State::Claimed { .. } => self.claimed += 1,
            State::Held => self.held += 1,
            State::Waiting { .. } => self.waiting += 1,
        }
        self.bytes += len_bytes;
        self.oldest = Some(self.oldest.map_or(put_at, |oldest| oldest.min(put_at)));
        let age_s = put_at.age_at(now).as_secs();
        let column = AGE_LIMITS_S.partition_point(|limit| *limit <= age_s);
        let row = DELIVERY_LIMITS.partition_point(|limit| *limit < deliveries);
        self.shape[row][column] += 1;
    }

    /// Counts something that does not belong.
    pub(crate) fn count_stray(&mut self, path: std::path::PathBuf) {
        self.strays += 1;
        if self.stray_examples.len() < Self::STRAYS_NAMED {
            self.stray_examples.push(path);
        }
    }

    /// All messages, whatever their state.
    pub fn messages(&self) -> u64 {
        self.ready + self.delayed + self.claimed + self.held + self.waiting
    }
}
