//! The life of a message, as one pure table: (state, event, now) → what becomes of it.
//!
//! ```text
//!            put ──(delay)──► delayed ──(due)──┐
//!             │                  ▲             ▼
//!             └──────────────────┼─────────► ready ──claim──► claimed (timed | held)
//!                                │             ▲                 │
//!                                │             └── release, the claim's end ──┤
//!                                └── release with a delay ───────┤
//!                 dead-letter queue ◄── deliveries used up ──────┤
//!                              gone ◄── delete; too old ─────────┘
//! ```
//!
//! A message of a group that is put while an earlier one of the group is in the queue waits, and enters this table as if
//! it were put when that one has left.
//!
//! What is deleted is gone, also where the policy has it archived: nothing leads from there into this table but a put.
//!
//! Every engine obeys it: the spool's renames and the reference model's assignments are both what
//! [`next`] says. Invariants kept here: only a claim raises the delivery count and nothing lowers it (I6);
//! what is claimed cannot be claimed (I2); what is too old is never handed out.

use std::time::Duration;

use super::{KeyHash, Policy, UnixMillis, UnixSeconds, Visibility};

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not deliverable while an earlier message of its group is in the queue.
    Waiting {
        /// The group.
        group: KeyHash,
    },
    /// Deliverable.
    Ready,
    /// Deliverable from `due` on.
    Delayed {
        /// The second from which on it is.
        due: UnixSeconds,
    },
    /// Claimed until the second `until` begins.
    Claimed {
        /// The second in which the claim ends.
        until: UnixSeconds,
    },
    /// Claimed for as long as its holder lives.
    Held,
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A receiver wants it.
    Claim(Visibility),
    /// The holder of its latest receipt is done with it.
    Delete,
    /// The holder of its latest receipt gives it back.
    Release {
        /// Not deliverable before this long from now.
        delay: Duration,
    },
    /// The holder of its latest receipt wants to keep it until this long from now.
    Extend {
        /// How long from now.
        visibility: Duration,
    },
    /// No earlier message of its group is in the queue any more.
    Turn {
        /// Not deliverable before this second.
        due: Option<UnixSeconds>,
    },
    /// The sweep comes by.
    Sweep {
        /// For a held claim: whether nobody holds it any more.
        holder_gone: bool,
    },
}

/// What the table needs to know of a message beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// How many times it has been claimed.
    pub deliveries: u32,
    /// When it was put.
    pub put_at: UnixMillis,
    /// From when on it is too old, if its sender said so.
    pub expires_at: Option<UnixMillis>,
}

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changes.
    Stay,
    /// It enters this state with this delivery count.
    Become(State, u32),
    /// It goes to the dead-letter queue.
    DeadLetter,
    /// It is too old, and goes away.
    Expire,
    /// It is finished for good.
    Delete,
}

/// Why an event cannot happen to a message in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A claim of what is not ready.
    #[error("the message is not deliverable now")]
    NotDeliverable,
    /// An extension of a held claim.
    #[error("the claim is held by its command and lasts as long as that runs: there is no end to move")]
    HeldHasNoEnd,
}

/// What the `event` makes of a message in `state`. Pure.
pub fn next(state: State, event: Event, facts: Facts, policy: &Policy, now: UnixMillis) -> Result<Outcome, Refusal> {
    match (state, event) {
        (_, Event::Delete) => Ok(Outcome::Delete),
        (State::Ready, Event::Claim(visibility)) => Ok(claimed(facts, policy, visibility, now)),
        (State::Delayed { due }, Event::Claim(visibility)) if due.is_due(now) => {
            Ok(claimed(facts, policy, visibility, now))
        }
        (_, Event::Claim(_)) => Err(Refusal::NotDeliverable),
        (State::Waiting { .. }, Event::Turn { due }) => Ok(Outcome::Become(state_until(due, now), facts.deliveries)),
        // It has no receipt.
        (State::Waiting { .. }, _) | (_, Event::Turn { .. }) => Ok(Outcome::Stay),
        (_, Event::Release { delay }) => Ok(returned(facts, policy, due_after(now, delay), state)),
        (State::Held, Event::Extend { .. }) => Err(Refusal::HeldHasNoEnd),
        (_, Event::Extend { visibility }) => {
            let until = now.plus(visibility).ceil_seconds();
            Ok(Outcome::Become(State::Claimed { until }, facts.deliveries))
        }
        (State::Claimed { until }, Event::Sweep { .. }) if until.is_due(now) => {
            Ok(returned(facts, policy, None, state))
        }
        (State::Held, Event::Sweep { holder_gone: true }) => Ok(returned(facts, policy, None, state)),
        (State::Delayed { due }, Event::Sweep { .. }) if due.is_due(now) => {
            Ok(Outcome::Become(State::Ready, facts.deliveries))
        }
        (_, Event::Sweep { .. }) => Ok(Outcome::Stay),
    }
}

/// The state of a message that is put at `now` with `delay`.
pub fn first_state(delay: Duration, now: UnixMillis) -> State {
    due_after(now, delay).map_or(State::Ready, |due| State::Delayed { due })
}

/// The state of a message that nobody has claimed and that is not deliverable before `due`.
pub fn state_until(due: Option<UnixSeconds>, now: UnixMillis) -> State {
    due.filter(|due| !due.is_due(now)).map_or(State::Ready, |due| State::Delayed { due })
}

/// Whether a message may not be handed out any more.
pub fn is_expired(facts: Facts, policy: &Policy, now: UnixMillis) -> bool {
    facts.expires_at.is_some_and(|at| at <= now) || is_too_old_for(facts, policy, now)
}

/// Whether a queue's retention is over for a message.
pub fn is_too_old_for(facts: Facts, policy: &Policy, now: UnixMillis) -> bool {
    policy.retention.is_some_and(|retention| facts.put_at.plus(retention) <= now)
}

/// Whether a message has been claimed as often as `policy` allows.
pub fn is_used_up(deliveries: u32, policy: &Policy) -> bool {
    policy.max_deliveries.is_some_and(|most| deliveries >= most)
}

fn claimed(facts: Facts, policy: &Policy, visibility: Visibility, now: UnixMillis) -> Outcome {
    if is_expired(facts, policy, now) {
        return Outcome::Expire;
    }
    // The limit may have been lowered while the message lay here.
    if is_used_up(facts.deliveries, policy) {
        return Outcome::DeadLetter;
    }
    let state = match visibility {
        Visibility::Held => State::Held,
        Visibility::Timed(visibility) => {
            State::Claimed { until: now.plus(visibility.unwrap_or(policy.visibility)).ceil_seconds() }
        }
    };
    Outcome::Become(state, facts.deliveries.saturating_add(1))
}

fn returned(facts: Facts, policy: &Policy, due: Option<UnixSeconds>, from: State) -> Outcome {
    if is_used_up(facts.deliveries, policy) {
        return Outcome::DeadLetter;
    }
    let to = due.map_or(State::Ready, |due| State::Delayed { due });
    if to == from { Outcome::Stay } else { Outcome::Become(to, facts.deliveries) }
}

fn due_after(now: UnixMillis, delay: Duration) -> Option<UnixSeconds> {
    (!delay.is_zero()).then(|| now.plus(delay).ceil_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(10_500);

    fn facts(deliveries: u32) -> Facts {
        Facts { deliveries, put_at: UnixMillis(0), expires_at: None }
    }

    fn on(state: State, event: Event, deliveries: u32, policy: &Policy) -> Result<Outcome, Refusal> {
        next(state, event, facts(deliveries), policy, NOW)
    }

    const TIMED: Event = Event::Claim(Visibility::Timed(None));

    #[test]
    fn i2_what_is_claimed_cannot_be_claimed() {
        let policy = Policy::default();
        let waiting = State::Waiting { group: KeyHash(1) };
        let delayed = State::Delayed { due: UnixSeconds(11) };
        for state in [State::Held, State::Claimed { until: UnixSeconds(0) }, delayed, waiting] {
            assert_eq!(on(state, TIMED, 1, &policy), Err(Refusal::NotDeliverable));
        }
    }

    #[test]
    fn i8_what_waits_goes_on_when_its_turn_has_come_and_by_nothing_else() {
        let policy = Policy::default();
        let waiting = State::Waiting { group: KeyHash(1) };
        let on_turn = |due| on(waiting, Event::Turn { due }, 0, &policy);
        let due = UnixSeconds(11);
        assert_eq!(on_turn(None), Ok(Outcome::Become(State::Ready, 0)));
        assert_eq!(on_turn(Some(UnixSeconds(10))), Ok(Outcome::Become(State::Ready, 0)));
        assert_eq!(on_turn(Some(due)), Ok(Outcome::Become(State::Delayed { due }, 0)));
        for event in [Event::Sweep { holder_gone: true }, Event::Release { delay: Duration::ZERO }] {
            assert_eq!(on(waiting, event, 0, &policy), Ok(Outcome::Stay));
        }
        assert_eq!(on(State::Held, Event::Turn { due: None }, 1, &policy), Ok(Outcome::Stay));
    }

    #[test]
    fn a_claim_counts_and_ends_on_a_second_rounded_up() {
        let claimed = State::Claimed { until: UnixSeconds(41) };
        assert_eq!(on(State::Ready, TIMED, 0, &Policy::default()), Ok(Outcome::Become(claimed, 1)));
    }

    #[test]
    fn a_claim_ends_when_its_second_begins() {
        let policy = Policy::default();
        let sweep = Event::Sweep { holder_gone: false };
        let back = Ok(Outcome::Become(State::Ready, 1));
        assert_eq!(on(State::Claimed { until: UnixSeconds(10) }, sweep, 1, &policy), back);
        assert_eq!(on(State::Claimed { until: UnixSeconds(11) }, sweep, 1, &policy), Ok(Outcome::Stay));
        assert_eq!(on(State::Held, sweep, 1, &policy), Ok(Outcome::Stay));
        assert_eq!(on(State::Held, Event::Sweep { holder_gone: true }, 1, &policy), back);
    }

    #[test]
    fn used_up_deliveries_lead_to_the_dead_letters_by_every_way_back() {
        let policy = Policy { max_deliveries: Some(2), ..Policy::default() };
        let release = Event::Release { delay: Duration::from_secs(5) };
        let sweep = Event::Sweep { holder_gone: true };
        assert_eq!(on(State::Held, release, 2, &policy), Ok(Outcome::DeadLetter));
        assert_eq!(on(State::Held, sweep, 2, &policy), Ok(Outcome::DeadLetter));
        assert_eq!(on(State::Ready, TIMED, 2, &policy), Ok(Outcome::DeadLetter));
        let due = UnixSeconds(16);
        assert_eq!(on(State::Held, release, 1, &policy), Ok(Outcome::Become(State::Delayed { due }, 1)));
    }

    #[test]
    fn what_is_too_old_expires_by_its_own_or_the_queues_word() {
        let own = Facts { expires_at: Some(NOW), ..facts(0) };
        assert_eq!(next(State::Ready, TIMED, own, &Policy::default(), NOW), Ok(Outcome::Expire));
        let policy = Policy { retention: Some(Duration::from_millis(10_500)), ..Policy::default() };
        assert_eq!(on(State::Ready, TIMED, 0, &policy), Ok(Outcome::Expire));
        let longer = Policy { retention: Some(Duration::from_millis(10_501)), ..Policy::default() };
        assert!(matches!(on(State::Ready, TIMED, 0, &longer), Ok(Outcome::Become(..))));
    }

    #[test]
    fn i6_only_a_claim_changes_the_count() {
        let policy = Policy::default();
        let events = [
            Event::Release { delay: Duration::ZERO },
            Event::Release { delay: Duration::from_secs(1) },
            Event::Extend { visibility: Duration::from_secs(1) },
            Event::Sweep { holder_gone: true },
        ];
        let states = [
            State::Ready,
            State::Held,
            State::Claimed { until: UnixSeconds(10) },
            State::Delayed { due: UnixSeconds(10) },
        ];
        for (state, event) in states.into_iter().flat_map(|s| events.map(|e| (s, e))) {
            if let Ok(Outcome::Become(_, deliveries)) = on(state, event, 4, &policy) {
                assert_eq!(deliveries, 4, "{event:?} on {state:?}");
            }
        }
    }
}
