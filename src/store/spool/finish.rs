//! What the holder of a receipt can do: delete, release, extend.
//!
//! A receipt says where its claim was made. The message may have moved since without being delivered again:
//! extended into another UNTIL, or swept back into `ready/`. Its name holds the delivery count, so wherever
//! that very name is found, it is still this delivery; where it is not found at all, the receipt is stale
//! (I5). The search costs nothing in the common case, where the first place is the right one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fs::{Access, Fault, Fs};
use super::layout::state_of_claim;
use super::moves::Moved;
use super::record::log_entry;
use super::room::Load;
use super::{Queue, Spool};
use crate::domain::lifecycle::{self, Event, Facts, Outcome, State};
use crate::domain::{Clock, Durability, MessageName, Policy, Receipt, UnixSeconds};
use crate::store::{At, Error, Failure, Notice, Result};

/// A message can move while it is looked for; it cannot do so for ever.
const SEARCHES: usize = 3;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Runs `act` where the receipt's message lies, until it says that it was there.
    fn with_claim<T>(&self, receipt: &Receipt, act: &mut dyn FnMut(State, &Path) -> Result<Option<T>>) -> Result<T> {
        let name = &receipt.name;
        if self.commits(Fault::CountNotCompared)
            && let Some((state, _, path)) = self.find(name.id)?
            && let Some(done) = act(state, &path)?
        {
            return Ok(done);
        }
        let first = state_of_claim(receipt.place);
        for _ in 0..SEARCHES {
            let mut states = vec![first];
            let mut at = 0;
            while let Some(state) = states.get(at).copied() {
                if let Some(done) = act(state, &self.layout.path(state, name))? {
                    return Ok(done);
                }
                if at == 0 {
                    // In the order in which a message moves, so that one that moves on is met again.
                    let claimed = self.seconds_in(&self.layout.claimed())?;
                    states.extend(claimed.into_iter().map(|until| State::Claimed { until }));
                    states.push(State::Ready);
                    let delayed = self.seconds_in(&self.layout.delayed())?;
                    states.extend(delayed.into_iter().map(|due| State::Delayed { due }));
                }
                at += 1;
            }
        }
        Err(self.stale(receipt))
    }

    fn stale(&self, receipt: &Receipt) -> Error {
        Error::StaleReceipt { queue: self.name.clone(), id: receipt.name.id }
    }

    /// Removes or archives the message's file; the directory that lost it is still to be synced.
    fn delete_unsynced(&self, receipt: &Receipt, policy: &Policy) -> Result<PathBuf> {
        self.with_claim(receipt, &mut |_, path| {
            let removed = self.finish(&receipt.name, path, policy)?;
            Ok(removed.then(|| path.parent().unwrap_or(path).to_owned()))
        })
    }

    fn outcome(&self, state: State, event: Event, name: &MessageName, policy: &Policy) -> Result<Outcome> {
        let facts = Facts { deliveries: name.deliveries, put_at: name.id.put_at(), expires_at: None };
        lifecycle::next(state, event, facts, policy, self.now()).map_err(|refusal| Error::Refused { refusal })
    }

    pub(super) fn release(&self, receipt: &Receipt, delay: Option<Duration>) -> Result<()> {
        let policy = self.policy()?;
        Error::check_held_back(&self.name, delay, &policy)?;
        let name = &receipt.name;
        let delay = policy.delay_of_release(name, delay);
        let released = self.with_claim(receipt, &mut |state, path| {
            let to = match self.outcome(state, Event::Release { delay }, name, &policy)? {
                Outcome::Become(to, _) => to,
                Outcome::DeadLetter if self.fs().status(path).is_ok() => {
                    return match self.bury(name, path, &policy) {
                        None => Ok(Some(())),
                        Some(notice) => Err(unburied(&notice, path)),
                    };
                }
                Outcome::Stay if self.fs().status(path).is_ok() => return Ok(Some(())),
                _ => return Ok(None),
            };
            let target = self.layout.path(to, name);
            let moved = self.transfer(name, path, &target, policy.durability)?;
            if moved == Moved::Yes {
                self.mark_again(name, &target);
            }
            if moved == Moved::Yes && to == State::Ready {
                self.ring(1);
            }
            Ok((moved == Moved::Yes).then_some(()))
        });
        self.give_turns(&policy);
        released
    }

    pub(super) fn is_held(&self, receipt: &Receipt) -> Result<bool> {
        let path = self.layout.path(State::Held, &receipt.name);
        match self.fs().status(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("read", &path),
        }
    }

    pub(super) fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<UnixSeconds> {
        let policy = self.policy()?;
        let name = &receipt.name;
        self.with_claim(receipt, &mut |state, path| {
            if self.fs().status(path).is_err() {
                return Ok(None);
            }
            let Outcome::Become(to, _) = self.outcome(state, Event::Extend { visibility }, name, &policy)? else {
                return Ok(None);
            };
            let placed = self.place_claim(name, path, name, to, &policy)?;
            Ok(placed.and_then(|placed| placed.until()))
        })
    }

    pub(super) fn note_failure(&self, receipt: &Receipt, failure: &Failure) -> Result<()> {
        self.with_claim(receipt, &mut |_, path| match self.fs().open(path, Access::Append) {
            Ok(mut file) => {
                let entry = log_entry(failure);
                self.take_room_anyway(Load { messages: 0, bytes: entry.len() as u64 });
                io::Write::write_all(&mut file, &entry).at("write", path).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("open", path),
        })
    }
}

fn unburied(notice: &Notice, path: &Path) -> Error {
    let source = io::Error::other(notice.to_string());
    Error::Io { action: "move to the dead letters", path: path.to_owned(), source }
}

impl<F: Fs, C: Clock> Spool<F, C> {
    /// Deletes all, then syncs each directory that lost a name once.
    pub(super) fn delete_all(&self, receipts: &[Receipt]) -> Vec<Result<()>> {
        let mut queues = BTreeMap::new();
        let mut results: Vec<Result<()>> = Vec::with_capacity(receipts.len());
        let mut unsynced: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for (at, receipt) in receipts.iter().enumerate() {
            let deleted = self.delete_one(&mut queues, receipt).map(|(dir, durability)| {
                if durability == Durability::Full {
                    unsynced.entry(dir).or_default().push(at);
                }
            });
            results.push(deleted);
        }
        for (dir, whose) in unsynced.iter().filter(|_| !self.fs.commits(Fault::NoDeleteSync)) {
            if let Err(error) = self.sync_deletes(dir) {
                for at in whose {
                    let source = io::Error::new(error.kind(), error.to_string());
                    results[*at] = Err(Error::Io { action: "sync", path: dir.clone(), source });
                }
            }
        }
        // What was deleted was somebody's turn.
        for (queue, policy) in queues.values() {
            queue.give_turns(policy);
        }
        results
    }

    fn delete_one<'a>(
        &'a self,
        queues: &mut BTreeMap<crate::domain::QueueName, (Queue<'a, F, C>, Policy)>,
        receipt: &Receipt,
    ) -> Result<(PathBuf, Durability)> {
        if !queues.contains_key(&receipt.queue) {
            let queue = self.queue(&receipt.queue)?;
            let policy = queue.policy()?;
            queues.insert(receipt.queue.clone(), (queue, policy));
        }
        let (queue, policy) = &queues[&receipt.queue];
        let dir = queue.delete_unsynced(receipt, policy)?;
        let is_done = policy.archive.is_some() && self.fs.commits(Fault::ArchiveNotSynced);
        Ok((dir, if is_done { Durability::None } else { policy.durability }))
    }
}
