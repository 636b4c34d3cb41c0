//! The reference model: the contract of [`Store`] in the fewest lines, in memory.
//!
//! It says what is right, and owns nothing but the bookkeeping: what an event makes of a message is what
//! [`lifecycle::next`] says, and nothing else changes a state or a delivery count. The spool is compared
//! against it step by step, so it has no speed, no durability and no cleverness to be wrong about.
//!
//! Invariants: a message is one entry of one queue; its [`MessageName`](crate::domain::MessageName) names one
//! delivery, so a receipt works exactly as long as an entry of that name exists (I5). One mutex guards
//! everything, so every method is atomic; of what callers bring along only a change of a policy runs while it is
//! held.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{
    AfterEach, Archived, AtomicBatch, BatchOutcome, ClaimRequest, Claims, Error, Failure, Filter, Hold, Listed,
    Message, Numbers, Peeked, Result, Rewrite, Stat, Store, Uneditable, UniquePut, Watch, Which,
};
use crate::domain::lifecycle::{self, Event, Outcome, State};
use crate::domain::queue::PolicyError;
use crate::domain::{
    Clock, Group, MessageId, NewMessage, Policy, QueueName, Receipt, SystemClock, Unique, UnixMillis, UnixSeconds,
};

mod contents;

use contents::{Contents, Entry, Queue};

/// Queues in memory, for as long as this lives.
pub struct MemoryStore<C: Clock = SystemClock> {
    clock: C,
    contents: Mutex<Contents>,
    rung: Condvar,
}

/// Keeps a held claim for as long as it is there.
struct MemoryHold(Arc<()>);

impl Hold for MemoryHold {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn let_go(&mut self) {
        self.0 = Arc::new(());
    }

    fn body_file(&self) -> io::Result<Option<std::fs::File>> {
        Ok(None)
    }
}

/// Messages that are put as one.
struct MemoryBatch<'a, C: Clock> {
    store: &'a MemoryStore<C>,
    queue: QueueName,
    messages: Vec<(NewMessage, Vec<u8>)>,
}

impl<C: Clock> AtomicBatch for MemoryBatch<'_, C> {
    fn add(&mut self, new: &NewMessage, body: &mut dyn Read) -> Result<()> {
        let policy = self.store.policy(&self.queue)?;
        let refuse = |why: &str| Err(Error::NotInABatch { why: why.to_owned() });
        let (_, state) = Message::of(
            new,
            &self.queue,
            || MessageId::new(UnixMillis(0), &[0; 10]),
            policy.delay,
            self.store.clock.now(),
        );
        match self.messages.first() {
            _ if new.group.is_some() => return refuse("a message of a group has its own place in the line of that"),
            _ if state != State::Ready => return refuse("a delayed message is not deliverable with the others"),
            Some((first, _)) if first.priority != new.priority => return refuse("its messages have one priority"),
            _ if self.messages.len() >= 65_536 => return refuse("65536 messages are the most"),
            _ if policy.max_messages.is_some_and(|cap| self.messages.len() as u64 >= cap) => {
                return refuse("it has more messages than the queue may hold");
            }
            _ => {}
        }
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map_err(Error::Body)?;
        let together = self.messages.iter().map(|(_, body)| body.len()).sum::<usize>() + bytes.len();
        if let Some(cap) = policy.max_bytes.filter(|cap| together as u64 > *cap) {
            let limit = crate::domain::units::format_size(cap);
            return Err(Error::TooLarge { queue: self.queue.clone(), len_bytes: together as u64, limit });
        }
        self.messages.push((new.clone(), bytes));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<Vec<MessageId>> {
        let wait = self.messages.iter().map(|(new, _)| new.wait).max().unwrap_or_default();
        let (contents, ids) = self.store.until_room(wait, &self.queue, |contents| {
            let bytes = self.messages.iter().map(|(_, body)| body.len()).sum();
            let now = self.store.clock.now();
            contents.queue(&self.queue)?.admit(&self.queue, self.messages.len(), bytes)?;
            self.messages.iter().map(|(new, body)| contents.put(&self.queue, new, body.clone(), now)).collect()
        })?;
        self.store.ring(contents);
        Ok(ids)
    }
}

/// Waits for the next ring, of whatever queue.
struct MemoryWatch<'a, C: Clock> {
    store: &'a MemoryStore<C>,
    queue: QueueName,
    heard: u64,
}

/// The end of a hold rings nobody, so nobody sleeps longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl<C: Clock> Watch for MemoryWatch<'_, C> {
    fn wait(&mut self, at_most: Duration) -> Result<()> {
        let mut contents = self.store.contents();
        let due = contents.queue(&self.queue)?.next_due();
        let until_due = due.map(|due| Duration::from_millis(due.start().0.saturating_sub(self.store.clock.now().0)));
        let sleep = at_most.min(LONGEST_SLEEP).min(until_due.unwrap_or(LONGEST_SLEEP));
        let heard = self.heard;
        let waited = self.store.rung.wait_timeout_while(contents, sleep, |contents| contents.rings == heard);
        self.heard = waited.unwrap_or_else(PoisonError::into_inner).0.rings;
        Ok(())
    }
}

impl<C: Clock> MemoryStore<C> {
    /// An empty one.
    pub fn new(clock: C) -> Self {
        Self { clock, contents: Mutex::default(), rung: Condvar::new() }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // A panic elsewhere left whole entries behind, or none.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what needs room, at the latest when `wait` is over.
    fn until_room<T>(
        &self,
        wait: Duration,
        queue: &QueueName,
        mut attempt: impl FnMut(&mut Contents) -> Result<T>,
    ) -> Result<(MutexGuard<'_, Contents>, T)> {
        let (mut contents, began, mut has_swept) = (self.contents(), Instant::now(), false);
        loop {
            let left = wait.saturating_sub(began.elapsed());
            match attempt(&mut contents) {
                Err(Error::Full { .. }) if !has_swept => {
                    has_swept = true;
                    contents.sweep(queue, self.clock.now())?;
                }
                Err(Error::Full { .. }) if !left.is_zero() => {
                    let rung = self.rung.wait_timeout(contents, left.min(LONGEST_SLEEP));
                    contents = rung.unwrap_or_else(PoisonError::into_inner).0;
                    has_swept = false;
                }
                done => return done.map(|done| (contents, done)),
            }
        }
    }

    fn ring(&self, mut contents: MutexGuard<'_, Contents>) {
        contents.rings += 1;
        self.rung.notify_all();
    }
}

impl<C: Clock> Store for MemoryStore<C> {
    fn create_queue(&self, queue: &QueueName, policy: &Policy, _mode: Option<u32>) -> Result<()> {
        policy.check_for(queue)?;
        let mut contents = self.contents();
        if contents.queues.contains_key(queue) {
            return Err(Error::QueueExists(queue.clone()));
        }
        contents.queues.insert(queue.clone(), Queue { policy: policy.clone(), ..Queue::default() });
        Ok(())
    }

    fn policy(&self, queue: &QueueName) -> Result<Policy> {
        Ok(self.contents().queue(queue)?.policy.clone())
    }

    fn change_policy(
        &self,
        queue: &QueueName,
        change: &mut dyn FnMut(&mut Policy) -> Result<(), PolicyError>,
    ) -> Result<Policy> {
        let mut contents = self.contents();
        let mut policy = contents.queue(queue)?.policy.clone();
        change(&mut policy)?;
        policy.check_for(queue)?;
        contents.queue(queue)?.policy = policy.clone();
        self.ring(contents);
        Ok(policy)
    }

    fn drop_queue(&self, queue: &QueueName, force: bool) -> Result<u64> {
        let mut contents = self.contents();
        let messages = contents.queue(queue)?.entries.len() as u64;
        if messages > 0 && !force {
            return Err(Error::QueueNotEmpty { queue: queue.clone(), messages });
        }
        contents.queues.remove(queue);
        Ok(messages)
    }

    fn queues(&self) -> Result<Vec<QueueName>> {
        Ok(self.contents().queues.keys().cloned().collect())
    }

    fn put(&self, queue: &QueueName, new: &NewMessage, body: &mut dyn Read) -> Result<MessageId> {
        Error::check_delay(queue, new, &self.contents().queue(queue)?.policy)?;
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map_err(Error::Body)?;
        let (contents, id) =
            self.until_room(new.wait, queue, |contents| contents.put(queue, new, bytes.clone(), self.clock.now()))?;
        self.ring(contents);
        Ok(id)
    }

    fn put_unique(
        &self,
        queue: &QueueName,
        new: &NewMessage,
        unique: &Unique,
        body: &mut dyn Read,
    ) -> Result<UniquePut> {
        let retention = self.contents().queue(queue)?.policy.retention;
        if let (Some(window), Some(retention)) = (unique.window, retention)
            && window > retention
        {
            return Err(Error::UniqueForTooLong { queue: queue.clone(), window, retention });
        }
        Error::check_delay(queue, new, &self.contents().queue(queue)?.policy)?;
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map_err(Error::Body)?;
        let (contents, put) = self.until_room(new.wait, queue, |contents| {
            let now = self.clock.now();
            if let Some(id) = contents.queue(queue)?.in_force(&unique.key, now) {
                return Ok(UniquePut::Present(id));
            }
            let id = contents.put(queue, new, bytes.clone(), now)?;
            let until = unique.window.map(|window| now.plus(window).ceil_seconds());
            let here = contents.queue(queue)?;
            here.keys.insert(unique.key.clone(), (id, until));
            if let Some(entry) = here.entries.values_mut().find(|entry| entry.message.id == id) {
                (entry.message.unique, entry.message.unique_until) = (Some(unique.key.clone()), until);
                entry.is_keyed = true;
            }
            Ok(UniquePut::New(id))
        })?;
        self.ring(contents);
        Ok(put)
    }

    fn begin_atomic<'a>(&'a self, queue: &QueueName) -> Result<Box<dyn AtomicBatch + 'a>> {
        self.contents().queue(queue)?;
        Ok(Box::new(MemoryBatch { store: self, queue: queue.clone(), messages: Vec::new() }))
    }

    fn put_batch(&self, queue: &QueueName, batch: &[(NewMessage, Vec<u8>)]) -> BatchOutcome {
        let mut contents = self.contents();
        if let Err(error) = contents.queue(queue) {
            return BatchOutcome { ids: Vec::new(), error: Some(error) };
        }
        let mut outcome = BatchOutcome::default();
        let wait = batch.iter().map(|(new, _)| new.wait).max().unwrap_or_default();
        let (now, began) = (self.clock.now(), Instant::now());
        drop(contents);
        for (new, body) in batch {
            let wait = wait.saturating_sub(began.elapsed());
            match self.until_room(wait, queue, |contents| {
                Error::check_delay(queue, new, &contents.queue(queue)?.policy)?;
                contents.put(queue, new, body.clone(), now)
            }) {
                Ok((_, id)) => outcome.ids.push(id),
                Err(error) => {
                    outcome.error = Some(error);
                    break;
                }
            }
        }
        let mut contents = self.contents();
        // They have their turns when the batch is put, those that are not too old by then.
        if let Ok(here) = contents.queue(queue) {
            here.line_up(&outcome.ids);
        }
        let _ = contents.give_turns(queue, now);
        self.ring(contents);
        outcome
    }

    fn claim(&self, queue: &QueueName, request: &ClaimRequest) -> Result<Claims> {
        let mut contents = self.contents();
        if contents.queue(queue)?.policy.paused {
            return Err(Error::Paused(queue.clone()));
        }
        let now = self.clock.now();
        let mut claims = Claims::default();
        contents.sweep(queue, now)?;
        loop {
            for seq in contents.queue(queue)?.in_order() {
                if claims.deliveries.len() < request.most {
                    claims.deliveries.extend(contents.claim(queue, seq, request.visibility, now)?);
                }
            }
            // What was too old, or dead, was somebody's turn.
            if !contents.give_turns(queue, now)? || claims.deliveries.len() >= request.most {
                return Ok(claims);
            }
        }
    }

    fn watch<'a>(&'a self, queue: &QueueName) -> Result<Box<dyn Watch + 'a>> {
        let mut contents = self.contents();
        contents.queue(queue)?;
        Ok(Box::new(MemoryWatch { store: self, queue: queue.clone(), heard: contents.rings }))
    }

    fn delete(&self, receipts: &[Receipt]) -> Vec<Result<()>> {
        let (mut contents, now) = (self.contents(), self.clock.now());
        let results =
            receipts.iter().map(|receipt| contents.happen_by_receipt(receipt, Event::Delete, now).map(drop)).collect();
        for receipt in receipts {
            let _ = contents.give_turns(&receipt.queue, now);
        }
        self.ring(contents);
        results
    }

    fn release(&self, receipts: &[Receipt], delay: Option<Duration>) -> Vec<Result<()>> {
        let (mut contents, now) = (self.contents(), self.clock.now());
        let mut release_one = |receipt: &Receipt| {
            let policy = &contents.queue(&receipt.queue)?.policy;
            Error::check_held_back(&receipt.queue, delay, policy)?;
            let delay = policy.delay_of_release(&receipt.name, delay);
            contents.happen_by_receipt(receipt, Event::Release { delay }, now).map(drop)
        };
        let results = receipts.iter().map(&mut release_one).collect();
        for receipt in receipts {
            let _ = contents.give_turns(&receipt.queue, now);
        }
        self.ring(contents);
        results
    }

    fn is_held(&self, receipt: &Receipt) -> Result<bool> {
        match self.contents().entry(receipt) {
            Ok(entry) => Ok(entry.state == State::Held),
            Err(Error::StaleReceipt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Vec<Result<UnixSeconds>> {
        let (mut contents, now) = (self.contents(), self.clock.now());
        let event = Event::Extend { visibility };
        let mut extend_one = |receipt| match contents.happen_by_receipt(receipt, event, now)? {
            Outcome::Become(State::Claimed { until }, _) => Ok(until),
            _ => Err(Error::StaleReceipt { queue: receipt.queue.clone(), id: receipt.name.id }),
        };
        receipts.iter().map(&mut extend_one).collect()
    }

    fn note_failure(&self, receipt: &Receipt, failure: &Failure) -> Result<()> {
        self.contents().entry(receipt)?.failures.push(failure.clone());
        Ok(())
    }

    fn peek(&self, queue: &QueueName, which: Which, each: &mut dyn FnMut(Peeked) -> ControlFlow<()>) -> Result<()> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let here = contents.sweep(queue, now)?;
        let entries = here.in_order().into_iter().map(|seq| &here.entries[&seq]);
        let shown: Vec<Peeked> = match which {
            Which::Id(id) => {
                let found = entries.filter(|entry| entry.message.id == id).map(Entry::peeked).next();
                vec![found.ok_or_else(|| Error::NoSuchMessage { queue: queue.clone(), id })?]
            }
            Which::All => {
                let order = |entry: &&Entry| match entry.state {
                    State::Claimed { .. } | State::Held => 0,
                    State::Delayed { .. } => 1,
                    State::Ready => 2,
                    State::Waiting { .. } => 3,
                };
                let mut all: Vec<&Entry> = entries.collect();
                all.sort_by_key(order);
                all.into_iter().map(Entry::peeked).collect()
            }
            Which::Next(most) => {
                let is_expired = |e: &Entry| lifecycle::is_expired(e.facts(), &here.policy, now);
                let ready = entries.filter(|entry| entry.state == State::Ready && !is_expired(entry));
                ready.take(most).map(Entry::peeked).collect()
            }
        };
        drop(contents);
        let _ = shown.into_iter().try_for_each(each);
        Ok(())
    }

    fn list(&self, queue: &QueueName, which: &Filter, each: &mut dyn FnMut(Listed) -> ControlFlow<()>) -> Result<()> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let here = contents.sweep(queue, now)?;
        let listed: Vec<Listed> = here.in_order().into_iter().map(|seq| here.entries[&seq].listed()).collect();
        drop(contents);
        let _ = listed.into_iter().filter(|listed| which.matches(listed, now)).try_for_each(each);
        Ok(())
    }

    fn stat(&self, queue: &QueueName) -> Result<Stat> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let here = contents.sweep(queue, now)?;
        let numbers = Numbers { next: here.next_seq, there: here.entries.len() as u64 };
        let archived = here.archive.len() as u64;
        let mut stat = Stat { policy: here.policy.clone(), numbers: Some(numbers), archived, ..Stat::default() };
        for Entry { message, state, deliveries, .. } in here.entries.values() {
            stat.count(*state, message.put_at, *deliveries, message.len_bytes, now);
        }
        Ok(stat)
    }

    fn purge_some(&self, queue: &QueueName, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let here = contents.sweep(queue, now)?;
        let mut deleted = 0;
        for seq in here.in_order() {
            if which.matches(&here.entries[&seq].listed(), now) {
                here.entries.remove(&seq);
                deleted += 1;
                if after_each().is_break() {
                    break;
                }
            }
        }
        contents.give_turns(queue, now)?;
        self.ring(contents);
        Ok(deleted)
    }

    fn move_some(
        &self,
        from: &QueueName,
        to: &QueueName,
        which: &Filter,
        after_each: &mut AfterEach<'_>,
    ) -> Result<u64> {
        let now = self.clock.now();
        let mut contents = self.contents();
        contents.queue(to)?;
        let order = if from == to { Vec::new() } else { contents.sweep(from, now)?.in_order() };
        let (mut moved, mut taken, mut full) = (0, None, None);
        // A queue moved to itself stays as it is.
        for seq in order {
            let here = contents.queue(from)?;
            let entry = &here.entries[&seq];
            if matches!(entry.state, State::Ready | State::Delayed { .. } | State::Waiting { .. })
                && which.matches(&entry.listed(), now)
                && let Some(mut entry) = here.entries.remove(&seq)
            {
                if let Err(error) = contents.queue(to)?.admit_key(to, &entry.message, now) {
                    contents.queue(from)?.entries.insert(seq, entry);
                    taken.get_or_insert(error);
                    continue;
                }
                let room = contents.queue(to)?.admit(to, 1, entry.body.len());
                let room = room.or_else(|_| contents.sweep(to, now)?.admit(to, 1, entry.body.len()));
                if let Err(error) = room {
                    contents.queue(from)?.entries.insert(seq, entry);
                    full = Some(error);
                    break;
                }
                let here = contents.queue(from)?;
                here.leave_key(entry.message.id);
                let group = entry.message.group.as_ref().map(Group::hash);
                let state = group.map_or(entry.state, |group| State::Waiting { group });
                let there = contents.queue(to)?;
                there.bring_key(&mut entry);
                if lifecycle::is_too_old_for(entry.facts(), &there.policy, now) {
                    entry.failures.push(Failure::age_anew(now, entry.deliveries));
                }
                there.append(Entry { deliveries: 0, state, group, ..entry });
                contents.give_turns(to, now)?;
                moved += 1;
                if after_each().is_break() {
                    break;
                }
            }
        }
        contents.give_turns(from, now)?;
        self.ring(contents);
        full.or(taken).map_or(Ok(moved), Err)
    }

    fn edit(&self, queue: &QueueName, id: MessageId, rewrite: &mut Rewrite<'_>) -> Result<bool> {
        let mut contents = self.contents();
        contents.sweep(queue, self.clock.now())?;
        let seq = contents.editable(queue, id, self.clock.now())?;
        let entry = &contents.queue(queue)?.entries[&seq];
        let (name, old, peeked) = (entry.name(seq), entry.body.clone(), entry.peeked());
        drop(contents);
        let Some(mut body) = rewrite(peeked) else { return Ok(false) };
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map_err(Error::Body)?;

        let mut contents = self.contents();
        let unedited = |why| Error::NotEdited { queue: queue.clone(), id, why };
        let is_as_shown = |entry: &Entry| entry.name(seq) == name && entry.body == old;
        if !contents.queue(queue)?.entries.get(&seq).is_some_and(is_as_shown) {
            return Err(unedited(Uneditable::Changed));
        }
        contents.editable(queue, id, self.clock.now())?;
        let cap = contents.queue(queue)?.policy.max_bytes.filter(|cap| bytes.len() as u64 > *cap);
        if let Some(cap) = cap.filter(|_| bytes.len() > old.len()) {
            let (len_bytes, limit) = (bytes.len() as u64, crate::domain::units::format_size(cap));
            return Err(Error::TooLarge { queue: queue.clone(), len_bytes, limit });
        }
        let Some(entry) = contents.queue(queue)?.entries.get_mut(&seq) else { return Ok(false) };
        if entry.is_held() {
            return Err(unedited(Uneditable::Claimed));
        }
        entry.message.len_bytes = bytes.len() as u64;
        entry.body = bytes;
        self.ring(contents);
        Ok(true)
    }

    fn list_archived(
        &self,
        queue: &QueueName,
        which: &Filter,
        each: &mut dyn FnMut(Archived) -> ControlFlow<()>,
    ) -> Result<()> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let archived = contents.sweep(queue, now)?.archived(which, now);
        let shown: Vec<Archived> = archived.into_iter().map(|(archived, _)| archived).collect();
        drop(contents);
        let _ = shown.into_iter().try_for_each(each);
        Ok(())
    }

    fn replay(&self, queue: &QueueName, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let archived = contents.sweep(queue, now)?.archived(which, now);
        let again: Vec<_> =
            archived.into_iter().map(|(archived, entry)| (archived.message.again(), entry.body.clone())).collect();
        let mut replayed = 0;
        for (new, body) in again {
            contents.put(queue, &new, body, now)?;
            replayed += 1;
            if after_each().is_break() {
                break;
            }
        }
        self.ring(contents);
        Ok(replayed)
    }
}
