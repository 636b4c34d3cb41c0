//! Caps: no put makes a queue hold more than its policy allows, whatever befalls others; and in the end there is room again.

use std::collections::BTreeSet;
use std::path::Path;

use mq::domain::{MessageName, NewMessage, Policy, Priority};
use mq::store::{Error, Store as _};

use super::disk::{Ino, Node};
use super::operations::{Actor, QUEUE, ROOT, number_of, queue};
use super::plan::with_archive;
use super::world::World;

impl World {
    /// How many messages lie in the queue, those included that two names stand for.
    fn messages_there(&self) -> usize {
        let mut met: BTreeSet<Ino> = BTreeSet::new();
        for part in ["ready", "claimed", "delayed", "groups"] {
            let Ok(top) = self.disk.find(&Path::new(ROOT).join(QUEUE).join(part)) else { continue };
            let mut todo = vec![top];
            while let Some(dir) = todo.pop() {
                for (name, ino) in self.disk.dir(dir).expect("a directory") {
                    match self.disk.inodes[*ino].node {
                        Node::Dir(_) => todo.push(*ino),
                        _ if name.parse::<MessageName>().is_ok() => drop(met.insert(*ino)),
                        _ => {}
                    }
                }
            }
        }
        met.len()
    }

    /// The cap is kept. (A power cut may bring back what was deleted and not synced, and its room was another's by then.)
    pub fn check_cap(&mut self) {
        let there = self.messages_there();
        if let Some(cap) = self.ledger.cap
            && there as u64 > cap
            && self.boot == 0
        {
            self.violate(format!("cap: {there} messages are in a queue of {cap}"));
        }
    }

    /// Whether a queue may be called full: it is, or somebody died, failed or was at it who had room.
    pub fn may_be_full(&self) -> bool {
        // A batch that is put as one needs room for all of it.
        let most_at_once = if self.ledger.entries.iter().any(|entry| entry.batch.is_some()) { 3 } else { 1 };
        self.ledger.cap.is_some_and(|cap| (self.messages_there() + most_at_once) as u64 > cap)
            || self.counts.errors + self.counts.kills + self.counts.cuts > 0
            || !self.all_is_heard_of()
    }
}

impl Actor {
    /// In peace, and long after: a put is refused if the queue is full, and else it is not.
    pub fn check_room(&self) {
        let Some(cap) = self.with(|world| world.ledger.cap.filter(|_| !world.is_unknown)) else { return };
        let Ok(spool) = self.spool() else { return };
        // What the dead left is there, or it is gone.
        let _ = spool.stat(&queue(QUEUE));
        let there = self.with(|world| world.messages_there()) as u64;
        let (number, body) = self.open_entry(0, Priority::default(), 0, true, false);
        let new = NewMessage { attributes: number_of(number), ..NewMessage::default() };
        let new = NewMessage {
            media_type: Some("text/plain".parse().expect("a type")),
            reply_to: Some(queue(super::operations::OTHER)),
            ..new
        };
        let put = spool.put(&queue(QUEUE), &new, &mut body.as_slice());
        self.with(|world| match put {
            Ok(id) if there < cap => world.ledger.acknowledge(number, id),
            Err(Error::Full { .. }) if there >= cap => {}
            Err(Error::NoSuchQueue { .. }) => {}
            Ok(_) => {
                world.violate(format!("cap: one more than the {there} that are there was put, and the cap is {cap}"));
            }
            Err(error) => world.violate(format!("cap: there are {there} of {cap}, and a put was refused: {error}")),
        });
    }
}

/// A policy with room for one message.
pub fn room_for_one() -> Policy {
    Policy { max_messages: Some(1), ..Policy::default() }
}

/// The same, and what is deleted is kept.
pub fn room_and_archive() -> Policy {
    Policy { max_messages: Some(1), ..with_archive() }
}

/// A policy with room for two.
pub fn room_for_two() -> Policy {
    Policy { max_messages: Some(2), ..Policy::default() }
}
