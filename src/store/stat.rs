//! What is in a queue, counted: by state, and by age and deliveries in the manner of qshape(1).

use super::StateName;
use crate::domain::lifecycle::State;
use crate::domain::{Policy, UnixMillis};

/// The upper ends of the table's age columns, in seconds; older ones have a last column to themselves.
pub const AGE_LIMITS_S: [u64; 7] = [10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600];

/// The upper ends (inclusive) of the table's delivery rows; more deliveries have a last row to themselves.
pub const DELIVERY_LIMITS: [u32; 5] = [0, 1, 2, 4, 8];

/// How many messages there are of each age: one column per limit, and a last one for the older ones.
pub type Ages = [u64; AGE_LIMITS_S.len() + 1];

/// The messages of one state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InState {
    /// How many there are.
    pub messages: u64,
    /// When the oldest of them was put.
    pub oldest: Option<UnixMillis>,
    /// How many there are of each age.
    pub by_age: Ages,
}

/// How far the queue's numbers have come, and how many of them are still in use.
///
/// What has come in between two looks is the difference of `next`, what has gone out is that less the difference of
/// `there`. It is no count of puts since ever: numbers jump where a counter could not be trusted, and some are never used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The number that the next message would get.
    pub next: u64,
    /// How many messages with numbers below that are there, in whatever state; those of a batch that is being put too.
    pub there: u64,
}

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
    /// The messages of each state, in the order of [`StateName::ALL`].
    pub by_state: [InState; StateName::ALL.len()],
    /// How many messages, by deliveries (rows) and age (columns).
    pub shape: [Ages; DELIVERY_LIMITS.len() + 1],
    /// What two looks at a queue tell of what came in and went out between them; `None` if it cannot be told.
    pub numbers: Option<Numbers>,
    /// How many things lie in the queue that do not belong there.
    pub strays: u64,
    /// How many deleted messages are kept in the archive.
    pub archived: u64,
    /// Some of the strays, by their path.
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
        let in_state = &mut self.by_state[StateName::of(state) as usize];
        in_state.messages += 1;
        in_state.oldest = Some(in_state.oldest.map_or(put_at, |oldest| oldest.min(put_at)));
        in_state.by_age[column] += 1;
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

    /// Whether a put would be refused, or wait: the queue holds what its policy allows, or more.
    pub fn is_full(&self) -> bool {
        self.policy.max_messages.is_some_and(|cap| self.messages() >= cap)
            || self.policy.max_bytes.is_some_and(|cap| self.bytes >= cap)
    }

    /// All messages, whatever their state.
    pub fn messages(&self) -> u64 {
        self.by_state.iter().map(|in_state| in_state.messages).sum()
    }

    /// The messages of one state.
    pub fn of(&self, state: StateName) -> &InState {
        &self.by_state[state as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_a_place_of_its_own() {
        for (place, state) in StateName::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place, "{state} is not where StateName::ALL has it");
        }
    }
}
