//! Groups: what is put, and what the books say of a delivery.
//!
//! Whoever has been acknowledged before another of its group was begun is before it: as long as it is in the queue for
//! sure, the other is not delivered. And whoever was first: no two of a group have live claims.

use std::time::Duration;

use mq::domain::{NewMessage, Priority};
use mq::store::Store as _;

use super::ledger::{Entry, Fate, Handed, Ledger, Verdict};
use super::operations::{Actor, OTHER, QUEUE, number_of, queue};
use super::world::World;

pub fn group_of(group: u8) -> mq::domain::Group {
    format!("group {group}").parse().expect("a group")
}

impl Actor {
    /// Puts one message of a group, or a batch of several, of which every other one is of no group.
    pub fn put_group(&self, group: u8, count: usize, delay_s: u64) {
        let opened: Vec<_> = (0..count)
            .map(|at| {
                let (number, body) = self.open_entry(delay_s, Priority::default(), 0, true, false);
                let is_of_it = at % 2 == 0;
                if is_of_it {
                    self.with(|world| world.ledger.entries[number].group = Some(group));
                }
                let new = NewMessage {
                    attributes: number_of(number),
                    media_type: Some("text/plain".parse().expect("a type")),
                    reply_to: Some(queue(OTHER)),
                    delay: Some(Duration::from_secs(delay_s)),
                    group: is_of_it.then(|| group_of(group)),
                    ..NewMessage::default()
                };
                (number, (new, body))
            })
            .collect();
        let result = self.spool().and_then(|spool| match opened.as_slice() {
            [(_, (new, body))] => spool.put(&queue(QUEUE), new, &mut body.as_slice()).map(|id| vec![id]),
            several => {
                let batch: Vec<_> = several.iter().map(|(_, message)| message.clone()).collect();
                let outcome = spool.put_batch(&queue(QUEUE), &batch);
                match outcome.error {
                    Some(error) if outcome.ids.is_empty() => Err(error),
                    _ => Ok(outcome.ids),
                }
            }
        });
        match result {
            Ok(ids) if self.lives_to_say() => self.with(|world| {
                for ((number, _), id) in opened.iter().zip(&ids) {
                    world.tell(Some(self.pid), || format!("message {number} of group {group} is put: {id}"));
                    world.ledger.acknowledge(*number, *id);
                }
            }),
            Ok(_) => {}
            Err(error) => self.say::<()>(Err(error), "put"),
        }
    }
}

impl World {
    /// Whether the order of groups is promised: not where the file system cannot be told, nor to what a power cut may have
    /// taken before it was synced; and a message that is damaged is set aside.
    pub fn promises_groups(&self) -> bool {
        self.promises_keys() && !self.ledger.may_be_damaged
    }

    /// A message is delivered: no other of its group is claimed, and none that was put before it is there.
    pub fn check_turn(&self, number: usize, handed: &Handed) -> Verdict {
        let ledger = &self.ledger;
        let entry = &ledger.entries[number];
        let Some(group) = entry.group.filter(|_| self.promises_groups() && handed.receipt.queue.as_str() == QUEUE)
        else {
            return Ok(());
        };
        if entry.was_moved {
            return Ok(());
        }
        let others = ledger.entries.iter().enumerate();
        for (other_number, other) in others.filter(|(at, other)| *at != number && other.group == Some(group)) {
            if is_before(other, entry) && ledger.is_surely_in_the_queue(other) {
                return Err(format!("group: message {number} was delivered, and message {other_number} is before it"));
            }
            let is_live = |old: &&Handed| {
                old.receipt.queue.as_str() == QUEUE
                    && ledger.is_after_the_last_cut(old)
                    && old.said < handed.began
                    && !old.has_ended
                    && old.until_ms.is_none_or(|until| until > handed.at_ms)
            };
            if !other.was_moved && other.fate == Fate::Kept && other.deliveries.iter().any(|old| is_live(&old)) {
                return Err(format!("group: messages {number} and {other_number} are claimed at once"));
            }
        }
        Ok(())
    }
}

fn is_before(first: &Entry, second: &Entry) -> bool {
    first.acknowledged.is_some_and(|moment| moment < second.began)
}

impl Ledger {
    /// Whether nothing has been begun that could have taken it away.
    fn is_surely_in_the_queue(&self, entry: &Entry) -> bool {
        entry.fate == Fate::Kept
            && entry.is_durable
            && !entry.was_moved
            && !self.has_dead_letters
            && entry.expires_ms.is_none()
            && !self.order_may_differ
    }

    /// Whether a message of a group is, for all that was said, the one whose turn it is.
    pub fn has_its_turn(&self, entry: &Entry) -> bool {
        let others = self.entries.iter().filter(|other| other.group == entry.group && other.began != entry.began);
        others.into_iter().all(|other| {
            matches!(other.fate, Fate::Deleted(..)) || entry.acknowledged.is_some_and(|moment| moment < other.began)
        })
    }
}
