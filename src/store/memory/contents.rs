//! What the model keeps: queues and their messages, and what an event makes of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use super::MemoryHold;
use crate::domain::lifecycle::{self, Event, Facts, Outcome, State};
use crate::domain::queue::{Expired, PolicyError};
use crate::domain::units::format_size;
use crate::domain::{
    ClaimPlace, Group, KeyHash, MessageId, MessageName, NewMessage, Policy, QueueName, Receipt, Seq, UniqueKey,
    UnixMillis, UnixSeconds, Visibility, archive,
};
use crate::store::{
    Archived, Body, Delivery, Error, Failure, Filter, Hold, Listed, Message, Peeked, Result, Uneditable,
};

/// All that there is.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) queues: BTreeMap<QueueName, Queue>,
    /// How many ids were given.
    pub(super) ids: u64,
    /// How many times something may have become deliverable.
    pub(super) rings: u64,
}

/// One queue.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) policy: Policy,
    pub(super) next_seq: u64,
    /// The message of each unique key, and until when it is in force; `None`: while that is there.
    pub(super) keys: BTreeMap<UniqueKey, (MessageId, Option<UnixSeconds>)>,
    pub(super) entries: BTreeMap<Seq, Entry>,
    /// What was deleted and is kept for a while, with the mark of its time.
    pub(super) archive: BTreeMap<Seq, (UnixSeconds, Entry)>,
}

/// One message as it stands.
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) body: Vec<u8>,
    pub(super) state: State,
    pub(super) deliveries: u32,
    /// The group in whose order it stands in this queue.
    pub(super) group: Option<KeyHash>,
    /// Dead when the holder of the last held claim is gone.
    pub(super) hold: Weak<()>,
    /// It was put to this queue as the only one of its unique key.
    pub(super) is_keyed: bool,
    pub(super) failures: Vec<Failure>,
}

impl Entry {
    pub(super) fn name(&self, seq: Seq) -> MessageName {
        MessageName { seq, priority: self.message.priority, id: self.message.id, deliveries: self.deliveries }
    }

    /// What the life cycle needs to know of it.
    pub(super) fn facts(&self) -> Facts {
        self.message.facts(self.deliveries, &self.failures)
    }

    pub(super) fn is_held(&self) -> bool {
        self.hold.strong_count() > 0
    }

    pub(super) fn listed(&self) -> Listed {
        let Self { message, state, deliveries, failures, .. } = self;
        Listed {
            message: message.clone(),
            state: *state,
            deliveries: *deliveries,
            failures: failures.clone(),
            unread: None,
        }
    }

    pub(super) fn peeked(&self) -> Peeked {
        let body = Body::from_bytes(self.body.clone());
        Peeked { listed: self.listed(), body }
    }
}

impl Queue {
    /// An error if the policy has no room for so many messages more, of so many bytes. (What a file has besides its body, this
    /// engine has not.)
    pub(super) fn admit(&self, name: &QueueName, messages: usize, len_bytes: usize) -> Result<()> {
        let held = self.entries.values().map(|entry| entry.body.len() as u64).sum::<u64>();
        let full = |held, cap, limit| Err(Error::Full { queue: name.clone(), held, cap, limit });
        match (self.policy.max_messages, self.policy.max_bytes) {
            (Some(cap), _) if (self.entries.len() + messages) as u64 > cap => {
                full(format!("{} messages", self.entries.len()), "max-messages", cap.to_string())
            }
            (_, Some(cap)) if len_bytes as u64 > cap => {
                let limit = format_size(cap);
                Err(Error::TooLarge { queue: name.clone(), len_bytes: len_bytes as u64, limit })
            }
            (_, Some(cap)) if held + len_bytes as u64 > cap => full(format!("{held} B"), "max-bytes", format_size(cap)),
            _ => Ok(()),
        }
    }

    /// Adds at the end of its group, if it is of one, and of all.
    pub(super) fn append_in_group(&mut self, entry: Entry) {
        let group = entry.message.group.as_ref().map(Group::hash);
        let is_first = self.entries.values().all(|other| other.group != group);
        let state = group.filter(|_| !is_first).map_or(entry.state, |group| State::Waiting { group });
        self.append(Entry { state, group, ..entry });
    }

    /// Lets those of these messages wait that are of groups.
    pub(super) fn line_up(&mut self, ids: &[MessageId]) {
        for entry in self.entries.values_mut().filter(|entry| ids.contains(&entry.message.id)) {
            entry.state = entry.group.map_or(entry.state, |group| State::Waiting { group });
        }
    }

    /// Adds at the end.
    pub(super) fn append(&mut self, entry: Entry) {
        self.entries.insert(Seq(self.next_seq), entry);
        self.next_seq += 1;
    }

    /// Everything: first what is deliverable, as it would be delivered, then what is delayed and claimed by
    /// the second in which that ends, then what is held.
    pub(super) fn in_order(&self) -> Vec<Seq> {
        let mut seqs: Vec<Seq> = self.entries.keys().copied().collect();
        seqs.sort_by_key(|seq| {
            let Entry { state, message, .. } = &self.entries[seq];
            match state {
                State::Ready => (0, 0, Some(Reverse(message.priority)), *seq),
                State::Delayed { due } => (1, due.0, None, *seq),
                State::Claimed { until } => (2, until.0, None, *seq),
                State::Held => (3, 0, None, *seq),
                State::Waiting { .. } => (4, 0, None, *seq),
            }
        });
        seqs.sort_by_key(|seq| if let State::Waiting { group } = self.entries[seq].state { Some(group) } else { None });
        seqs
    }

    /// The first of each group that waits for nobody any more.
    pub(super) fn next_turns(&self) -> Vec<Seq> {
        let mut met = BTreeSet::new();
        let mut firsts = self.entries.iter().filter(|(_, entry)| entry.group.is_some_and(|group| met.insert(group)));
        let mut turns = Vec::new();
        for (seq, entry) in firsts.by_ref() {
            let has_turn = |other: &Entry| other.group == entry.group && !matches!(other.state, State::Waiting { .. });
            if !self.entries.values().any(has_turn) {
                turns.push(*seq);
            }
        }
        turns
    }

    /// Removes a message, or archives it.
    fn delete(&mut self, seq: Seq, now: UnixMillis) {
        if let (Some(entry), Some(keep)) = (self.entries.remove(&seq), self.policy.archive) {
            self.archive.insert(seq, (archive::mark(now, keep), entry));
        }
    }

    /// What the archive has of the messages that are meant, in order.
    pub(super) fn archived(&self, which: &Filter, now: UnixMillis) -> Vec<(Archived, &Entry)> {
        let keep = self.policy.archive.unwrap_or_default();
        let archived = self.archive.values().map(|(mark, entry)| {
            let Listed { message, deliveries, failures, unread, .. } = entry.listed();
            let kept_until = archive::kept_until(*mark, keep);
            (Archived { message, kept_until, deliveries, failures, unread }, entry)
        });
        archived.filter(|(archived, _)| which.matches_archived(archived, now)).collect()
    }

    /// The message of a key that is in force.
    pub(super) fn in_force(&self, key: &UniqueKey, now: UnixMillis) -> Option<MessageId> {
        let (id, until) = self.keys.get(key)?;
        let is_claimed = |e: &Entry| matches!(e.state, State::Claimed { .. } | State::Held);
        let is_expired = |e: &Entry| !is_claimed(e) && lifecycle::is_expired(e.facts(), &self.policy, now);
        let is_in_force = match until {
            Some(until) => !until.is_due(now),
            None => self.entries.values().any(|entry| entry.message.id == *id && !is_expired(entry)),
        };
        is_in_force.then_some(*id)
    }

    /// An error if a message on its way to this queue would be a second one of its unique key. (A window is the matter of the
    /// queue that it was put to.)
    pub(super) fn admit_key(&self, name: &QueueName, message: &Message, now: UnixMillis) -> Result<()> {
        let key = message.unique.as_ref().filter(|_| message.unique_until.is_none());
        match key.and_then(|key| Some((key, self.in_force(key, now).filter(|holder| *holder != message.id)?))) {
            Some((key, holder)) => {
                Err(Error::KeyTaken { queue: name.clone(), id: message.id, key: key.clone(), holder })
            }
            None => Ok(()),
        }
    }

    /// A message has come: its key is in force here.
    pub(super) fn bring_key(&mut self, entry: &mut Entry) {
        let message = &entry.message;
        let key = message.unique.as_ref().filter(|_| message.unique_until.is_none());
        entry.is_keyed = key.is_some();
        if let Some(key) = key {
            self.keys.insert(key.clone(), (message.id, None));
        }
    }

    /// A message has left: its key does not wait for it to come back.
    pub(super) fn leave_key(&mut self, id: MessageId) {
        self.keys.retain(|_, (of, until)| *of != id || until.is_some());
    }

    pub(super) fn next_due(&self) -> Option<UnixSeconds> {
        let due = |entry: &Entry| match entry.state {
            State::Delayed { due: second } | State::Claimed { until: second } => Some(second),
            State::Ready | State::Held | State::Waiting { .. } => None,
        };
        self.entries.values().filter_map(due).min()
    }
}

impl Contents {
    pub(super) fn queue(&mut self, name: &QueueName) -> Result<&mut Queue> {
        let missing = || Error::NoSuchQueue { queue: name.clone(), place: "memory".to_owned() };
        self.queues.get_mut(name).ok_or_else(missing)
    }

    /// Lets `event` happen to a message, and does what the table of the life cycle says.
    pub(super) fn happen(&mut self, name: &QueueName, seq: Seq, event: Event, now: UnixMillis) -> Result<Outcome> {
        let queue = self.queue(name)?;
        let Some(entry) = queue.entries.get_mut(&seq) else { return Ok(Outcome::Stay) };
        let facts = entry.facts();
        let outcome = lifecycle::next(entry.state, event, facts, &queue.policy, now)
            .map_err(|refusal| Error::Refused { refusal })?;
        if let (Event::Sweep { .. }, false) = (event, outcome == Outcome::Stay) {
            let end = match entry.state {
                State::Claimed { until } => Some(Failure::of_timeout(until.start(), entry.deliveries)),
                State::Held => Some(Failure::of_death(now, entry.deliveries)),
                _ => None,
            };
            let is_told = entry.failures.iter().any(|line| line.delivery == entry.deliveries);
            entry.failures.extend(end.filter(|_| !is_told));
        }
        match outcome {
            Outcome::Stay => {}
            Outcome::Become(state, deliveries) => (entry.state, entry.deliveries) = (state, deliveries),
            Outcome::Delete => queue.delete(seq, now),
            Outcome::Expire => self.expire(name, seq, now)?,
            Outcome::DeadLetter => self.bury(name, seq)?,
        }
        Ok(outcome)
    }

    /// Takes out a message that is too old, as the policy says.
    fn expire(&mut self, name: &QueueName, seq: Seq, now: UnixMillis) -> Result<()> {
        let queue = self.queue(name)?;
        if queue.policy.expired == Expired::Delete {
            queue.entries.remove(&seq);
            return Ok(());
        }
        if let Some(entry) = queue.entries.get_mut(&seq) {
            entry.failures.push(Failure::of_age(now, entry.deliveries));
        }
        self.bury(name, seq)
    }

    /// Takes out what nobody has and is too old: by its sender's word when the minute is full, by the queue's from the first
    /// of its priority on that is not.
    fn expire_all(&mut self, name: &QueueName, now: UnixMillis) -> Result<()> {
        let queue = self.queue(name)?;
        let mut young = BTreeSet::new();
        let mut old = Vec::new();
        let is_nobodys = |entry: &Entry| matches!(entry.state, State::Ready | State::Waiting { .. });
        for (seq, entry) in queue.entries.iter().filter(|(_, entry)| is_nobodys(entry)) {
            let by_queue = Facts { expires_at: None, ..entry.facts() };
            let is_first = entry.state == State::Ready && !young.contains(&entry.message.priority);
            if is_first && lifecycle::is_expired(by_queue, &queue.policy, now) {
                old.push(*seq);
                continue;
            }
            if entry.state == State::Ready {
                young.insert(entry.message.priority);
            }
            let is_full = |at: UnixMillis| at.0.div_ceil(60_000) <= now.0 / 60_000;
            if entry.facts().expires_at.is_some_and(is_full) {
                old.push(*seq);
            }
        }
        old.into_iter().try_for_each(|seq| self.expire(name, seq, now))
    }

    /// Moves a message to the end of the dead-letter queue, its delivery count as it is.
    pub(super) fn bury(&mut self, name: &QueueName, seq: Seq) -> Result<()> {
        let queue = self.queue(name)?;
        let bad_name = |source| PolicyError::BadValue { key: "dead-letter", source };
        let dead = queue.policy.dead_letter_queue(name).map_err(bad_name)?;
        let policy = Policy { durability: queue.policy.durability, ..Policy::default() };
        if let Some(entry) = queue.entries.remove(&seq) {
            queue.leave_key(entry.message.id);
            let dead = self.queues.entry(dead).or_insert_with(|| Queue { policy, ..Queue::default() });
            dead.append(Entry { state: State::Ready, group: None, is_keyed: false, ..entry });
        }
        Ok(())
    }

    /// Returns what has come to its end, all of it.
    pub(super) fn sweep(&mut self, name: &QueueName, now: UnixMillis) -> Result<&mut Queue> {
        for seq in self.queue(name)?.in_order() {
            let holder_gone = !self.queue(name)?.entries[&seq].is_held();
            self.happen(name, seq, Event::Sweep { holder_gone }, now)?;
        }
        self.give_turns(name, now)?;
        self.expire_all(name, now)?;
        self.give_turns(name, now)?;
        let queue = self.queue(name)?;
        let keep = queue.policy.archive;
        queue.archive.retain(|_, (mark, _)| !archive::is_over(*mark, keep, now));
        Ok(queue)
    }

    /// Lets the next of each group have its turn where that was given up. Returns whether there was any.
    pub(super) fn give_turns(&mut self, name: &QueueName, now: UnixMillis) -> Result<bool> {
        let mut any = false;
        loop {
            let turns = self.queue(name)?.next_turns();
            if turns.is_empty() {
                return Ok(any);
            }
            any = true;
            for seq in &turns {
                self.take_turn(name, *seq, now)?;
            }
        }
    }

    /// What has waited becomes what it would be if it were put now; what is too old by now goes.
    pub(super) fn take_turn(&mut self, name: &QueueName, seq: Seq, now: UnixMillis) -> Result<()> {
        let queue = self.queue(name)?;
        let entry = &queue.entries[&seq];
        let due = entry.message.due;
        if lifecycle::is_expired(entry.facts(), &queue.policy, now) {
            return self.expire(name, seq, now);
        }
        self.happen(name, seq, Event::Turn { due }, now).map(drop)
    }

    /// The message of a receipt, wherever it stands, as long as it has not been delivered again.
    pub(super) fn entry(&mut self, receipt: &Receipt) -> Result<&mut Entry> {
        let Receipt { queue, name, .. } = receipt;
        let entry = self.queue(queue)?.entries.get_mut(&name.seq).filter(|entry| entry.name(name.seq) == *name);
        entry.ok_or_else(|| Error::StaleReceipt { queue: queue.clone(), id: name.id })
    }

    pub(super) fn happen_by_receipt(&mut self, receipt: &Receipt, event: Event, now: UnixMillis) -> Result<Outcome> {
        self.entry(receipt)?;
        self.happen(&receipt.queue, receipt.name.seq, event, now)
    }

    pub(super) fn put(
        &mut self,
        name: &QueueName,
        new: &NewMessage,
        body: Vec<u8>,
        now: UnixMillis,
    ) -> Result<MessageId> {
        self.queue(name)?.admit(name, 1, body.len())?;
        self.ids += 1;
        let mut distinct = [0; 10];
        distinct[2..].copy_from_slice(&self.ids.to_be_bytes());
        let queue = self.queue(name)?;
        let fresh = || MessageId::new(now, &distinct);
        let (message, state) = Message::of(new, name, fresh, queue.policy.delay, now);
        let message = Message { len_bytes: body.len() as u64, ..message };
        let id = message.id;
        let (deliveries, failures) = (new.deliveries(), new.failures().to_vec());
        queue.append_in_group(Entry {
            message,
            body,
            state,
            deliveries,
            group: None,
            hold: Weak::new(),
            is_keyed: false,
            failures,
        });
        Ok(id)
    }

    /// Claims one message. `None` if it is not to be delivered.
    pub(super) fn claim(
        &mut self,
        name: &QueueName,
        seq: Seq,
        how: Visibility,
        now: UnixMillis,
    ) -> Result<Option<Delivery>> {
        let entry = &self.queue(name)?.entries[&seq];
        // Given back by its receipt while its holder lives on: there is one hold of a message at a time.
        if entry.state != State::Ready || (how == Visibility::Held && entry.is_held()) {
            return Ok(None);
        }
        let Outcome::Become(state, deliveries) = self.happen(name, seq, Event::Claim(how), now)? else {
            return Ok(None);
        };
        let Some(entry) = self.queue(name)?.entries.get_mut(&seq) else { return Ok(None) };
        let (place, visible_until, hold) = match state {
            State::Claimed { until } => (ClaimPlace::Until(until), Some(until), None),
            _ => (ClaimPlace::Held, None, Some(MemoryHold(Arc::new(())))),
        };
        if let Some(hold) = &hold {
            entry.hold = Arc::downgrade(&hold.0);
        }
        Ok(Some(Delivery {
            message: entry.message.clone(),
            body: Body::from_bytes(entry.body.clone()),
            deliveries,
            receipt: Receipt { queue: name.clone(), place, name: entry.name(seq) },
            visible_until,
            hold: hold.map(|hold| Box::new(hold) as Box<dyn Hold>),
        }))
    }

    /// Where a message stands, if its body can be replaced.
    pub(super) fn editable(&mut self, name: &QueueName, id: MessageId, now: UnixMillis) -> Result<Seq> {
        let here = self.queue(name)?;
        let missing = || Error::NoSuchMessage { queue: name.clone(), id };
        let (seq, entry) = here.entries.iter().find(|(_, entry)| entry.message.id == id).ok_or_else(missing)?;
        let is_in_force = |of: &(MessageId, Option<UnixSeconds>)| of.0 == id && of.1.is_none_or(|at| !at.is_due(now));
        let key = entry.message.unique.as_ref().filter(|_| entry.is_keyed).and_then(|key| here.keys.get(key));
        let why = match entry.state {
            State::Claimed { .. } | State::Held => Uneditable::Claimed,
            State::Waiting { .. } => Uneditable::Grouped,
            _ if lifecycle::is_expired(entry.facts(), &here.policy, now) => Uneditable::Expired,
            _ if entry.group.is_some() => Uneditable::Grouped,
            _ if key.is_some_and(is_in_force) => Uneditable::Keyed,
            _ => return Ok(*seq),
        };
        Err(Error::NotEdited { queue: name.clone(), id, why })
    }
}
