//! What has to come of an operation when nobody else was at it and no call failed: then it is no matter of luck.
//!
//! The ledger's other checks hold under all circumstances and so have to allow for much; these hold an operation to
//! its contract where nothing can excuse it.

use std::path::Path;

use mq::domain::Policy;
use mq::store::spool::fsck::{Finding, FindingKind};
use mq::store::{Delivery, Error};

use super::disk::Node;
use super::ledger::{Entry, Fate, Verdict};
use super::operations::{Actor, OTHER, QUEUE, ROOT};
use super::world::World;

impl World {
    /// No call has failed, nobody was killed, the power stayed on: all that was done was also heard of.
    pub fn all_is_heard_of(&self) -> bool {
        self.counts.errors + self.counts.kills + self.counts.cuts == 0
    }

    /// Whether a refusal is right, as things stand.
    pub fn may_refuse(&self, error: &Error) -> bool {
        let is_there = |name: &str| self.disk.find(&Path::new(ROOT).join(name)).is_ok();
        match error {
            Error::NoSuchQueue { queue, .. } => !is_there(queue.as_str()),
            Error::QueueExists(queue) => is_there(queue.as_str()),
            Error::Paused(_) => self.ledger.is_paused,
            Error::Full { .. } => self.may_be_full(),
            Error::NotInABatch { .. } => self.ledger.cap.is_some(),
            Error::QueueNotEmpty { .. }
            | Error::StaleReceipt { .. }
            | Error::NoSuchMessage { .. }
            | Error::Refused { .. }
            | Error::KeyTaken { .. }
            | Error::NotEdited { .. } => true,
            _ => false,
        }
    }

    /// Whether a delivery's claim lives for sure: its receipt has to be honoured.
    pub fn is_surely_live(&self, number: usize, at: usize) -> bool {
        let entry = &self.ledger.entries[number];
        let handed = &entry.deliveries[at];
        self.all_is_heard_of()
            && !self.ledger.counts_restart
            && self.ledger.is_latest(number, at)
            && entry.fate == Fate::Kept
            && entry.expires_ms.is_none()
            && !handed.has_ended
            && handed.until_ms.is_none_or(|until| until > self.disk.now_ms)
    }

    /// Whether a message lies in the queue for sure, and may be delivered at this moment.
    pub fn is_surely_ready(&self, entry: &Entry) -> bool {
        entry.acknowledged.is_some()
            && entry.queue == QUEUE
            && entry.fate == Fate::Kept
            && entry.deliveries.is_empty()
            && !entry.was_moved
            && entry.due_ms == 0
            && (entry.group.is_none() || self.ledger.has_its_turn(entry))
            // When it was written is not known to the second, but that it can be no older.
            && entry.expires_ms.is_none_or(|expires| self.disk.now_ms + 1000 < expires)
    }

    /// A claim alone: no more than was asked for, for as long as was asked for, the first ones first, and none is
    /// overlooked.
    pub fn check_claim(&mut self, deliveries: &[(usize, &Delivery)], asked: &Asked) -> Verdict {
        if deliveries.len() > asked.most {
            return Err(format!("{} messages were claimed, and {} asked for", deliveries.len(), asked.most));
        }
        if let Some(visibility_ms) = asked.visibility_ms {
            let (early, late) = (asked.began_ms + visibility_ms, self.disk.now_ms + visibility_ms + 1000);
            for until in deliveries.iter().filter_map(|(_, delivery)| delivery.visible_until) {
                if !(early..=late).contains(&until.start().0) {
                    return Err("a claim does not last as long as was asked for".to_owned());
                }
            }
        }
        if !self.all_is_heard_of() || self.ledger.counts_restart {
            return Ok(());
        }
        for (number, entry) in self.ledger.entries.iter().enumerate() {
            if !self.is_surely_ready(entry) {
                continue;
            }
            if deliveries.len() < asked.most {
                return Err(format!("I1: message {number} was overlooked"));
            }
            let goes_before = |other: &Entry| {
                other.priority < entry.priority
                    || other.priority == entry.priority && entry.acknowledged.is_some_and(|moment| moment < other.began)
            };
            if let Some((other, _)) = deliveries.iter().find(|(other, _)| goes_before(&self.ledger.entries[*other])) {
                return Err(format!("I8: message {other} was delivered before message {number}"));
            }
        }
        Ok(())
    }

    /// Whether the message is in the queue for certain, in whatever state.
    pub fn is_surely_there(&self, number: usize) -> bool {
        let entry = &self.ledger.entries[number];
        entry.fate == Fate::Kept
            && entry.is_durable
            && entry.acknowledged.is_some()
            && entry.expires_ms.is_none()
            && !entry.was_moved
            && !self.ledger.has_dead_letters
            && !self.ledger.may_be_away
            && !self.is_unknown
            && self.counts.cuts == 0
    }

    /// A purge or drop alone: what was there is gone for good.
    pub fn purged(&mut self) {
        let is_known = !self.ledger.has_dead_letters && !self.ledger.counts_restart && self.counts.cuts == 0;
        let moment = self.ledger.moment();
        for entry in self.ledger.entries.iter_mut().filter(|entry| entry.queue == QUEUE && entry.is_durable) {
            if is_known && entry.acknowledged.is_some() {
                entry.fate = Fate::Deleted(moment, u32::MAX);
            }
        }
    }

    /// What a delivery says of a message beside its body.
    pub fn check_facts(&self, number: usize, delivery: &Delivery) -> Verdict {
        let message = &delivery.message;
        let said = message.attributes.get("number").map(str::to_owned);
        let is_right = said == Some(self.ledger.put_as(number).to_string())
            && message.priority == self.ledger.entries[number].priority
            && message.media_type.as_ref().is_some_and(|media_type| media_type.as_str() == "text/plain")
            && message.reply_to.as_ref().is_some_and(|queue| queue.as_str() == OTHER);
        if is_right { Ok(()) } else { Err(format!("I3: message {number} has other facts than it was put with")) }
    }

    /// How often a message may be delivered, and when it is dead.
    pub fn check_limit(&self, queue: &str, number: usize, deliveries: u32) -> Verdict {
        if let Some(limit) = self.ledger.limit
            && queue == QUEUE
            && deliveries > limit
        {
            return Err(format!("message {number} was delivered {deliveries} times; {limit} were allowed"));
        }
        let Some(limit) = self.ledger.lowest_limit else { return Ok(()) };
        let known = self.ledger.entries[number].deliveries.len();
        // (A claim that ends before its receiver has the body was a delivery, and nobody hears of it.)
        // (Nor is it told what was parked for its age.)
        let may_be_parked = self.ledger.keeps_expired && self.ledger.entries[number].expires_ms.is_some();
        if queue == "q.dead" && !may_be_parked && self.all_is_heard_of() && !self.has_jumped && known < limit as usize {
            return Err(format!("message {number} is dead after {known} deliveries of {limit}"));
        }
        Ok(())
    }
}

/// What a receiver asked for.
pub struct Asked {
    pub most: usize,
    pub visibility_ms: Option<u64>,
    pub began_ms: u64,
}

/// A policy after a change: it has to be there.
pub fn check_policy(before: &Policy, after: &Policy) -> Verdict {
    if after.visibility > before.visibility { Ok(()) } else { Err("the policy was not changed".to_owned()) }
}

/// What is done to a spool by hand, so that a repair has something to do.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// A bit of a body flips.
    Flip,
    /// A message lies where no receiver looks.
    Misplace,
    /// The counter is lost.
    LoseCounter,
    /// A directory of the queue is lost.
    LoseDirectory,
}

impl Actor {
    /// Damages the spool, and has it repaired: it is found, no other message is lost by it, and what can be mended is.
    pub fn damage_and_repair(&self) {
        let damage = self.with(|world| {
            let all = [Damage::Flip, Damage::Misplace, Damage::LoseCounter, Damage::LoseDirectory];
            all[world.choices.pick(all.len())]
        });
        let Some(wanted) = self.with(|world| world.harm(damage)) else { return };
        let (findings, repaired) = self.fsck_findings(true);
        self.with(|world| {
            let is_told = |finding: &Finding| wanted.contains(&finding.kind);
            if repaired.is_err() || !findings.iter().any(is_told) {
                world.violate(format!("fsck: {damage:?} was not found: {findings:?}"));
            }
        });
    }
}

impl World {
    /// Does damage; what fsck has to call it. Nothing where there is nothing to damage.
    fn harm(&mut self, damage: Damage) -> Option<Vec<FindingKind>> {
        self.tell(None, || format!("by hand: {damage:?}"));
        let queue = Path::new(ROOT).join(QUEUE);
        let counter = queue.join("state");
        match damage {
            Damage::LoseCounter => {
                self.disk.remove(&counter, false).ok()?;
                return Some(vec![FindingKind::MissingPart, FindingKind::Counter]);
            }
            Damage::LoseDirectory => {
                self.disk.remove(&queue.join("spare/0"), true).ok()?;
                return Some(vec![FindingKind::MissingPart]);
            }
            Damage::Flip | Damage::Misplace => {}
        }
        // The first message in the queue whose place is a leaf.
        let mut dir = queue.join("ready");
        for _ in 0..4 {
            let ino = self.disk.find(&dir).ok()?;
            let name = self.disk.dir(ino).ok()?.keys().next()?.to_string();
            dir.push(name);
        }
        let ino = self.disk.find(&dir).ok()?;
        if let Damage::Misplace = damage {
            let stray = queue.join("ready").join(dir.file_name()?);
            self.disk.rename(&dir, &stray, false).ok()?;
            return Some(vec![FindingKind::Misplaced]);
        }
        let Node::File(content) = &mut self.disk.inodes[ino].node else { return None };
        let body = content.bytes.iter().position(|byte| *byte == b'\n')? + 1;
        // (It may be one of several copies.)
        let is_it = |entry: &&mut Entry| content.bytes[body..].starts_with(&entry.body);
        let it: Vec<_> = self.ledger.entries.iter_mut().filter(is_it).collect();
        if it.is_empty() {
            return None;
        }
        for entry in it {
            entry.fate = Fate::MaybeGone;
        }
        content.bytes[body] ^= 1;
        self.ledger.may_be_damaged = true;
        Some(vec![FindingKind::Damaged])
    }
}
