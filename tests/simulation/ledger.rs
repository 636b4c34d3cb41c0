//! The books: what was promised to whom, and whether what is seen agrees with it.
//!
//! An entry is opened when a put begins, under a body that no other has; what is heard of it afterwards (its
//! acknowledgement, its deliveries, its deletion) is held against the invariants at once or when all is drained. What a
//! process did not live to say counts as perhaps done.

use std::collections::BTreeMap;

use mq::domain::{MessageId, Priority, Receipt};

use super::edits::Version;
use super::replays::Copied;
use super::world::Pid;

/// A moment in the order in which things were said.
pub type Moment = u64;

/// One delivery.
#[derive(Debug, Clone)]
pub struct Handed {
    pub receipt: Receipt,
    pub pid: Pid,
    pub at_ms: u64,
    /// When the operation that claimed it began.
    pub began: Moment,
    pub said: Moment,
    /// When the claim ends; `None` for one that is held.
    pub until_ms: Option<u64>,
    /// It was finished, given back, or its holder died: whatever happens now does not break it.
    pub has_ended: bool,
    /// A command has it too, and outlived the process.
    pub is_inherited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has to be there.
    Kept,
    /// Something was begun that may have ended it.
    MaybeGone,
    /// It was acknowledged, then and for this delivery, that it is gone for good.
    Deleted(Moment, u32),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub body: Vec<u8>,
    pub queue: &'static str,
    pub priority: Priority,
    pub due_ms: u64,
    /// Until when it was last given back to rest.
    pub held_back_ms: u64,
    pub expires_ms: Option<u64>,
    /// Whether it was promised to survive a power cut.
    pub is_durable: bool,
    pub began: Moment,
    pub acknowledged: Option<Moment>,
    pub id: Option<MessageId>,
    pub fate: Fate,
    pub deliveries: Vec<Handed>,
    /// Somebody has used a receipt from before a power cut.
    pub old_receipt_is_used: bool,
    pub drained: Option<Moment>,
    pub drained_from_other: bool,
    /// It was taken out of the queue that it was put to.
    pub drained_at_home: bool,
    /// It left its place in the order: it was moved, or a power cut took it back.
    pub was_moved: bool,
    /// The unique key, and when its window ends at the earliest and, once the put has ended, at the latest, if it has one.
    pub key: Option<(u8, Option<(u64, u64)>)>,
    /// The group.
    pub group: Option<u8>,
    /// The first message of those that it was put with as one.
    pub batch: Option<usize>,
    /// Whose put it is, and when that ended, one way or the other.
    pub pid: Pid,
    pub put_ended: Option<Moment>,
    pub began_ms: u64,
    /// What it was given for bodies after the first one.
    pub versions: Vec<Version>,
    /// Of which it is a copy, if a replay has put it.
    pub copied: Option<Copied>,
}

/// What is known of all messages.
#[derive(Debug, Default)]
pub struct Ledger {
    pub entries: Vec<Entry>,
    by_body: BTreeMap<Vec<u8>, usize>,
    /// What each replay that runs puts next.
    pub replaying: BTreeMap<Pid, usize>,
    /// What was drawn for ids by then, and for what.
    pub drawn: BTreeMap<u128, usize>,
    now: Moment,
    /// Counts began anew for some: messages were moved from queue to queue.
    pub counts_restart: bool,
    /// The halves of a rename may part.
    pub is_bare: bool,
    /// The queue's durability is `none`: a power cut may lose what was put, and bring back what was deleted.
    pub is_unsynced: bool,
    /// How often a message may be delivered, if the queue says.
    pub limit: Option<u32>,
    /// The lowest limit that was ever in force.
    pub lowest_limit: Option<u32>,
    /// What is too old goes to the dead letters.
    pub keeps_expired: bool,
    /// How many messages the queue may hold, if it says.
    pub cap: Option<u64>,
    /// There may be dead letters, which lie in another queue.
    pub has_dead_letters: bool,
    /// Receivers may be held off.
    pub is_paused: bool,
    /// Somebody has begun to drop the queue.
    pub may_be_away: bool,
    /// Somebody has begun to drop the other queue.
    pub other_may_be_away: bool,
    /// Receivers are held off for sure.
    pub is_surely_paused: bool,
    /// How often messages were moved from queue to queue.
    pub moves: u32,
    /// What was put without a promise may be found damaged.
    pub may_be_damaged: bool,
    /// A power cut has forgotten moves.
    cuts: Moment,
    /// Messages that were said to be there already, to somebody who has then put nothing.
    pub said_to_be_there: Vec<MessageId>,
    /// Messages were taken away without a look at each.
    pub swept_off: bool,
    /// One was.
    pub purged_one: bool,
    /// What is archived stays to the end.
    pub keeps_archive: bool,
    /// It does not.
    pub forgets_archive: bool,
    /// A call failed after a power cut: what could not be rolled forward at once comes later than its turn.
    pub order_may_differ: bool,
}

/// A finding: which invariant, and how it is broken.
pub type Verdict = Result<(), String>;

impl Ledger {
    /// When the power went last; 0 if it never did.
    pub fn cuts(&self) -> Moment {
        self.cuts
    }

    pub fn moment(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// Opens an entry; its number is in the body.
    pub fn open(&mut self, make: impl FnOnce(usize, Moment) -> Entry) -> usize {
        let (number, began) = (self.entries.len(), self.moment());
        let entry = make(number, began);
        self.by_body.insert(entry.body.clone(), number);
        self.entries.push(entry);
        number
    }

    /// Another body of a message.
    pub fn know(&mut self, body: Vec<u8>, number: usize) {
        self.by_body.insert(body, number);
    }

    pub fn has_lost_power(&self) -> bool {
        self.cuts > 0
    }

    pub fn acknowledge(&mut self, number: usize, id: MessageId) {
        let moment = self.moment();
        let entry = &mut self.entries[number];
        (entry.acknowledged, entry.id) = (Some(moment), Some(id));
    }

    pub fn number_of(&self, body: &[u8]) -> Result<usize, String> {
        let known = self.by_body.get(body).copied();
        known.ok_or_else(|| {
            format!("I3: a body that nobody put: {:?}", String::from_utf8_lossy(&body[..body.len().min(60)]))
        })
    }

    /// A message was delivered.
    pub fn deliver(&mut self, handed: Handed, body: &[u8], id: MessageId) -> Result<usize, String> {
        let number = self.entry_of(body, id)?;
        self.check_version(number, body, handed.began)?;
        self.check_original(number, handed.began)?;
        let (moves, cuts) = (self.counts_restart, self.cuts);
        let entry = &mut self.entries[number];
        let who = format!("message {number} (delivery {} of {})", handed.receipt.name.deliveries, handed.receipt.queue);
        if *entry.id.get_or_insert(id) != id {
            return Err(format!("I3: {who} has two ids"));
        }
        if let Fate::Deleted(when, count) = entry.fate {
            // A claim from before, that ended before it came to be heard of. And a power cut may forget a claim, and
            // the count with it: a receipt of before then fits the next claim too.
            let is_late = handed.receipt.name.deliveries < count || self.cuts > 0 || moves;
            if handed.began > when || !is_late {
                return Err(format!("I4: {who} was deleted and came back"));
            }
        }
        if handed.at_ms < entry.due_ms.max(entry.held_back_ms) {
            return Err(format!("I8: {who} was delivered before it was due"));
        }
        // Without a sync, a power cut may leave both names of a rename: then there are two of the message.
        let may_be_two = !entry.is_durable && cuts > 0;
        for other in entry.deliveries.iter().filter(|other| other.said > cuts && !may_be_two) {
            check_claims(&handed, other, moves).map_err(|why| format!("{why}: {who}"))?;
        }
        let has_ended = handed.has_ended || entry.old_receipt_is_used;
        entry.deliveries.push(Handed { has_ended, ..handed });
        Ok(number)
    }

    pub fn is_after_the_last_cut(&self, handed: &Handed) -> bool {
        handed.said > self.cuts
    }

    /// Whether this delivery is, for all that was said, the latest of its message, which is there.
    pub fn is_latest(&self, number: usize, at: usize) -> bool {
        let Entry { deliveries, fate, .. } = &self.entries[number];
        if matches!(fate, Fate::Deleted(..)) {
            return false;
        }
        let count = deliveries[at].receipt.name.deliveries;
        deliveries.iter().all(|other| other.receipt.name.deliveries <= count || other.said <= self.cuts)
    }

    /// An operation begins that may end a claim; with `for_good` the message with it.
    pub fn begin_ending(&mut self, number: usize, at: usize, for_good: bool) {
        self.entries[number].held_back_ms = 0;
        if self.entries[number].deliveries[at].said <= self.cuts {
            // A power cut may have forgotten that claim, and then its receipt fits the next one, too.
            let entry = &mut self.entries[number];
            entry.old_receipt_is_used = true;
            entry.deliveries.iter_mut().for_each(|handed| handed.has_ended = true);
        }
        // By an older receipt nothing may change, so it is no excuse for anything.
        if self.is_latest(number, at) || self.counts_restart {
            let entry = &mut self.entries[number];
            entry.deliveries[at].has_ended = true;
            if for_good && entry.fate == Fate::Kept {
                entry.fate = Fate::MaybeGone;
            }
        }
    }

    /// An operation begins that may move the end of a claim.
    pub fn begin_moving(&mut self, number: usize, at: usize, until_ms: u64) {
        if self.entries[number].deliveries[at].said <= self.cuts {
            self.begin_ending(number, at, false);
        }
        self.entries[number].held_back_ms = 0;
        let handed = &mut self.entries[number].deliveries[at];
        handed.until_ms = handed.until_ms.map(|old| old.min(until_ms));
    }

    /// An operation by a receipt has succeeded; `latest` says what was known when it began.
    pub fn ended(&mut self, number: usize, at: usize, was_latest: bool, for_good: bool) -> Verdict {
        let (moves, moment) = (self.counts_restart, self.moment());
        let entry = &mut self.entries[number];
        if !was_latest && !moves && entry.deliveries[at].said > self.cuts {
            return Err(format!("I5: a stale receipt of message {number} was honoured"));
        }
        entry.deliveries[at].has_ended = true;
        if for_good && (entry.is_durable || self.cuts == 0) {
            entry.fate = Fate::Deleted(moment, entry.deliveries[at].receipt.name.deliveries);
        }
        Ok(())
    }

    /// Whatever lies in the queue may go.
    pub fn may_all_go(&mut self, queue: &str) {
        self.swept_off = true;
        for entry in self.entries.iter_mut().filter(|entry| entry.queue == queue || entry.was_moved) {
            if entry.fate == Fate::Kept {
                entry.fate = Fate::MaybeGone;
            }
            entry.deliveries.iter_mut().for_each(|handed| handed.has_ended = true);
        }
    }

    /// One message may go.
    pub fn may_go(&mut self, number: usize) {
        self.purged_one = true;
        let entry = &mut self.entries[number];
        if entry.fate == Fate::Kept {
            entry.fate = Fate::MaybeGone;
        }
        entry.deliveries.iter_mut().for_each(|handed| handed.has_ended = true);
    }

    /// It was said that it is gone for good, whatever receipts there are.
    pub fn is_gone(&mut self, number: usize) {
        let (moment, cuts) = (self.moment(), self.cuts);
        let entry = &mut self.entries[number];
        if entry.is_durable || cuts == 0 {
            entry.fate = Fate::Deleted(moment, u32::MAX);
        }
    }

    pub fn died(&mut self, pid: Pid, commands_live: bool, now_ms: u64) {
        self.end_puts(now_ms, |entry| entry.pid == pid);
        for handed in self.entries.iter_mut().flat_map(|entry| &mut entry.deliveries) {
            if handed.pid == pid && handed.until_ms.is_none() && !(commands_live && handed.is_inherited) {
                handed.has_ended = true;
            }
        }
    }

    pub fn all_died(&mut self, now_ms: u64) {
        self.end_puts(now_ms, |_| true);
        for handed in self.entries.iter_mut().flat_map(|entry| &mut entry.deliveries) {
            handed.has_ended |= handed.until_ms.is_none();
        }
    }

    pub fn power_was_cut(&mut self) {
        self.cuts = self.moment();
        self.may_be_damaged |= self.entries.iter().any(|entry| !entry.is_durable);
        for entry in &mut self.entries {
            entry.deliveries.iter_mut().for_each(|handed| handed.has_ended = true);
            entry.held_back_ms = 0;
            if !entry.is_durable {
                entry.fate = Fate::MaybeGone;
            }
        }
    }

    /// A message was taken out of the queues at the end of everything.
    pub fn drain(&mut self, body: &[u8], id: MessageId, queue: &str, now_ms: u64) -> Result<usize, String> {
        let number = self.entry_of(body, id)?;
        let moment = self.moment();
        self.check_version(number, body, moment)?;
        let entry = &mut self.entries[number];
        let may_be_two = !entry.is_durable && self.cuts > 0;
        if entry.drained.replace(moment).is_some() && !may_be_two {
            return Err(format!("I2: message {number} was there twice"));
        }
        if matches!(entry.fate, Fate::Deleted(..)) {
            return Err(format!("I4: message {number} was deleted and came back"));
        }
        // (Where it lies when it was parked for that, it is there to be looked at.)
        if entry.expires_ms.is_some_and(|at| at <= now_ms) && !self.keeps_expired {
            return Err(format!("message {number} was delivered although it was too old"));
        }
        if queue == "r" && !entry.was_moved {
            return Err(format!("message {number} was moved, and another was meant"));
        }
        entry.drained_from_other = queue == "r";
        entry.drained_at_home = queue == entry.queue;
        entry.was_moved |= queue != entry.queue;
        Ok(number)
    }

    /// All is drained: what should have been there was there, and in order.
    pub fn close(&self, now_ms: u64) -> Verdict {
        // (What is dead for its deliveries has its time to live among the dead letters, too.)
        let is_parked = self.keeps_expired && self.lowest_limit.is_none();
        for (number, entry) in self.entries.iter().enumerate() {
            let is_expected = entry.acknowledged.is_some()
                && entry.fate == Fate::Kept
                && (is_parked && !entry.was_moved || entry.expires_ms.is_none_or(|at| at > now_ms));
            if is_expected && entry.drained.is_none() {
                return Err(format!("I1: message {number} was acknowledged and is lost"));
            }
        }
        self.check_originals()?;
        self.check_order()
    }

    /// Of two messages in one queue, one of which was acknowledged before the other was begun, it came first.
    fn check_order(&self) -> Verdict {
        if self.order_may_differ {
            return Ok(());
        }
        // What was moved once, by one who moved all, kept its order, too, but for what was not ready then.
        let was_moved_well = |e: &Entry| e.drained_from_other && self.moves == 1 && self.cuts == 0 && e.due_ms == 0;
        let may_be_parked = |e: &Entry| self.keeps_expired && e.expires_ms.is_some();
        let keeps_order = |e: &Entry| !may_be_parked(e) && !e.was_moved || was_moved_well(e) && e.deliveries.is_empty();
        let drained = || self.entries.iter().enumerate().filter(|(_, e)| keeps_order(e) && e.drained.is_some());
        for (first, a) in drained() {
            for (second, b) in drained() {
                let in_order = a.acknowledged.is_some_and(|moment| moment < b.began);
                if in_order
                    && a.drained_from_other == b.drained_from_other
                    && a.priority == b.priority
                    // Who waits is behind those that were put after it; but in its group the order is strict.
                    && a.group == b.group
                    && a.is_durable
                    && a.drained > b.drained
                {
                    return Err(format!(
                        "I8: message {second} was delivered before message {first}, which was put before it"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Two deliveries of one message, of which `new` was heard of later.
fn check_claims(new: &Handed, old: &Handed, counts_restart: bool) -> Verdict {
    let (count, earlier) = (new.receipt.name.deliveries, old.receipt.name.deliveries);
    if counts_restart || new.receipt.queue != old.receipt.queue {
        return Ok(());
    }
    if count == earlier {
        return Err("I2: two deliveries with one count".to_owned());
    }
    if count < earlier {
        if old.said < new.began {
            return Err("I6: the delivery count fell".to_owned());
        }
        // This claim was made before the other, and is heard of after it.
        return if new.until_ms.is_some_and(|until| until <= old.at_ms) {
            Ok(())
        } else {
            Err("I2: it was claimed again while this claim was live".to_owned())
        };
    }
    if old.has_ended || old.until_ms.is_some_and(|until| until <= new.at_ms) {
        Ok(())
    } else {
        Err(format!("I2: delivery {earlier} by p{} is live", old.pid))
    }
}
