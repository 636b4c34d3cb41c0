//! What came into a queue and went out of it between two looks.
//!
//! Told by the numbers that a queue gives: they are dense, so their difference is what came in, also of what has gone
//! again meanwhile. A look is not atomic: a message that moves while it is counted can be met twice or not at all, and one
//! has its number a moment before it is there. What one look is wrong by, the next one puts right: what would be less than
//! nothing going out is kept, and taken off what goes out later. So the sum over many looks is right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Looks;
use crate::domain::QueueName;
use crate::store::Numbers;
use crate::store::spool::JUMP;

/// More messages a second than this do not come and go: each is a file that is made, renamed and removed.
const MOST_PER_S: f64 = 10_000.0;

/// What came in and went out, and in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) over: Duration,
    pub(super) came_in: u64,
    pub(super) went_out: u64,
}

impl Flow {
    pub(super) fn in_per_s(self) -> f64 {
        per_s(self.came_in, self.over)
    }

    pub(super) fn out_per_s(self) -> f64 {
        per_s(self.went_out, self.over)
    }
}

#[allow(clippy::cast_precision_loss)] // It is shown with a few digits.
fn per_s(messages: u64, over: Duration) -> f64 {
    // Two looks in the same instant of a coarse clock.
    messages as f64 / over.as_secs_f64().max(1e-9)
}

/// What is between two looks, and what the next one will be wrong by; `None` if it cannot be told: the numbers went
/// back (another queue of that name), or seem to have jumped.
fn between(before: Numbers, after: Numbers, carried: i128, over: Duration) -> Option<(Flow, i128)> {
    let came_in = after.next.checked_sub(before.next)?;
    let went_out = i128::from(came_in) - (i128::from(after.there) - i128::from(before.there)) + carried;
    let flow = Flow { over, came_in, went_out: u64::try_from(went_out.max(0)).ok()? };
    // In an hour so many may really have come and gone; then a jump cannot be told from them.
    let has_jumped = came_in >= JUMP && went_out >= i128::from(JUMP) && flow.out_per_s() > MOST_PER_S;
    (!has_jumped).then_some((flow, went_out.min(0)))
}

/// The last look at a queue.
struct Before {
    at: Instant,
    numbers: Option<Numbers>,
    carried: i128,
}

/// What flows in each queue, from look to look.
#[derive(Default)]
pub(super) struct Flows {
    before: BTreeMap<QueueName, Before>,
    flows: BTreeMap<QueueName, Flow>,
}

impl Flows {
    /// Compares with the looks before.
    pub(super) fn look(&mut self, looks: &Looks) {
        let mut next = BTreeMap::new();
        self.flows.clear();
        for look in &looks.counted {
            let (at, numbers) = (look.at, look.stat.numbers);
            let mut carried = 0;
            if let Some(before) = self.before.get(&look.queue)
                && let (Some(then), Some(now)) = (before.numbers, numbers)
                && let Some((flow, left)) = between(then, now, before.carried, at.duration_since(before.at))
            {
                self.flows.insert(look.queue.clone(), flow);
                carried = left;
            }
            next.insert(look.queue.clone(), Before { at, numbers, carried });
        }
        self.before = next;
    }

    /// What there was between the last two looks; `None` if that cannot be told.
    pub(super) fn of(&self, queue: &QueueName) -> Option<Flow> {
        self.flows.get(queue).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: Duration = Duration::from_secs(2);

    fn numbers(next: u64, there: u64) -> Numbers {
        Numbers { next, there }
    }

    fn counted(before: Numbers, after: Numbers, over: Duration) -> Option<(u64, u64)> {
        between(before, after, 0, over).map(|(flow, _)| (flow.came_in, flow.went_out))
    }

    #[test]
    fn what_came_and_went_in_between_counts() {
        assert_eq!(counted(numbers(10, 4), numbers(10, 4), SECONDS), Some((0, 0)));
        assert_eq!(counted(numbers(10, 4), numbers(15, 4), SECONDS), Some((5, 5)));
        assert_eq!(counted(numbers(10, 4), numbers(13, 7), SECONDS), Some((3, 0)));
        assert_eq!(counted(numbers(10, 4), numbers(10, 0), SECONDS), Some((0, 4)));
        let (flow, _) = between(numbers(10, 4), numbers(15, 6), 0, SECONDS).unwrap();
        assert_eq!((flow.in_per_s().to_string(), flow.out_per_s().to_string()), ("2.5".into(), "1.5".into()));
    }

    #[test]
    fn a_look_that_was_wrong_is_made_good_by_the_next() {
        // A message was met twice, then once, and nothing went out.
        let (first, carried) = between(numbers(10, 4), numbers(10, 5), 0, SECONDS).unwrap();
        let (second, carried) = between(numbers(10, 5), numbers(10, 4), carried, SECONDS).unwrap();
        assert_eq!((first.went_out, second.went_out, carried), (0, 0, 0));
        let (third, carried) = between(numbers(10, 4), numbers(12, 4), carried, SECONDS).unwrap();
        assert_eq!((third.came_in, third.went_out, carried), (2, 2, 0));
    }

    #[test]
    fn a_jump_is_not_taken_for_messages() {
        assert_eq!(JUMP, 524_288, "mq-stat(1) says so");
        assert_eq!(counted(numbers(10, 4), numbers(10 + JUMP, 4), SECONDS), None);
        assert_eq!(counted(numbers(10, 4), numbers(20 + JUMP, 14), SECONDS), None);
        assert_eq!(counted(numbers(10, 4), numbers(10 + 2 * JUMP, 0), SECONDS), None);
        // Nor is a queue that was made anew.
        assert_eq!(counted(numbers(10, 4), numbers(9, 4), SECONDS), None);
    }

    #[test]
    fn many_messages_are_not_taken_for_a_jump() {
        // They came, and are there.
        assert_eq!(counted(numbers(10, 4), numbers(10 + JUMP, 4 + JUMP), SECONDS), Some((JUMP, 0)));
        // They came and went, in an hour.
        let hour = Duration::from_secs(3600);
        assert_eq!(counted(numbers(10, 4), numbers(10 + JUMP, 4), hour), Some((JUMP, JUMP)));
        // One less than a jump.
        assert_eq!(counted(numbers(10, 4), numbers(9 + JUMP, 4), SECONDS), Some((JUMP - 1, JUMP - 1)));
    }

    #[test]
    fn two_looks_in_one_instant_are_no_division_by_nothing() {
        let (flow, _) = between(numbers(0, 0), numbers(1, 1), 0, Duration::ZERO).unwrap();
        assert!(flow.in_per_s().is_finite());
        assert!((flow.out_per_s()).abs() < f64::EPSILON);
    }
}
