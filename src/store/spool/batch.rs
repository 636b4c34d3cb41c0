//! Putting many messages with few syncs.
//!
//! The files are written into a directory `tmp/ID/`, one subdirectory for each run of sequence numbers that
//! shares a leaf, made durable together, and published: a full leaf by the rename of its directory, the rest
//! file by file. The batch is acknowledged when the directories that got the names are durable, so a
//! directory in `tmp/` whose writer is gone holds nothing that anybody was promised, and the sweep removes it.
//!
//! The numbers are taken before the files are written, since a leaf's files need their names before it can be
//! renamed: a single put that overlaps with a batch may so come out behind it although it completed first.
//! Puts that do not overlap are never turned around (I8). Where some are of groups, whose order is strict, all numbers are
//! taken at the end (`keyed`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::fs::{Fault, Fs, Names};
use super::layout::LEAF_LEN;
use super::moves::Moved;
use super::put::write_record;
use super::record::{Draft, log_entry};
use super::room::{Load, Taken, longest_wait};
use super::sequence::Block;
use super::sweep::Thoroughness;
use super::{Order, Queue};
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, MessageId, MessageName, NewMessage, Policy, Priority, Seq};
use crate::store::{At, BatchOutcome, Error, Result};

/// A message of the batch, written.
struct Written {
    name: MessageName,
    state: State,
    path: PathBuf,
}

/// The messages of one run of sequence numbers.
struct Run {
    dir: PathBuf,
    /// Its priority, if the whole of it can become a leaf by one rename.
    leaf_of: Option<Priority>,
    messages: Vec<Written>,
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn put_batch(&self, batch: &[(NewMessage, Vec<u8>)]) -> BatchOutcome {
        let mut outcome = BatchOutcome::default();
        let policy = match self.policy() {
            Ok(policy) => policy,
            Err(error) => return BatchOutcome { error: Some(error), ..outcome },
        };
        // What is before one that is refused is put.
        let refusal = |(new, _): &(NewMessage, Vec<u8>)| Error::check_delay(&self.name, new, &policy).err();
        let refused = batch.iter().enumerate().find_map(|(at, one)| Some((at, refusal(one)?)));
        let (batch, refused) = refused.map_or((batch, None), |(at, error)| (&batch[..at], Some(error)));
        // One promise for all of them: the strongest that any of them was given.
        let is_full = |new: &NewMessage| new.durability.unwrap_or(policy.durability) == Durability::Full;
        let durability = if batch.iter().any(|(new, _)| is_full(new)) { Durability::Full } else { Durability::None };
        let (wait, began) = (longest_wait(batch.iter().map(|(new, _)| new)), Instant::now());
        // As many at a time as there is room for.
        while let (None, Some(rest)) = (&outcome.error, batch.get(outcome.ids.len()..).filter(|rest| !rest.is_empty()))
        {
            let dir = self.layout.temporary(self.spool.new_id(self.now()));
            let part = self.create_temporary_dir(&dir).and_then(|lock| {
                let (most, room) =
                    self.until_room(wait, began, &policy, &mut || self.room_for_batch(rest, &policy, &dir))?;
                let put = self.put_part(&dir, &rest[..most], &policy, durability, &lock);
                if put.is_err() {
                    self.give_room_back(room);
                }
                put
            });
            match part {
                Ok(part) => {
                    outcome.ids.extend(part.ids);
                    outcome.error = part.error;
                }
                Err(error) => outcome.error = Some(error),
            }
            self.spool.remove_tree(&dir);
        }
        self.give_turns(&policy);
        if self.is_classical(durability) {
            let _ = self.fs().sync_dir(&self.layout.tmp());
        }
        self.sweep_in_passing(Thoroughness::Little, &policy);
        outcome.error = outcome.error.or(refused);
        outcome
    }

    /// How many of these there is room for, and that room.
    fn room_for_batch(
        &self,
        batch: &[(NewMessage, Vec<u8>)],
        policy: &Policy,
        dir: &Path,
    ) -> Result<(usize, Option<Taken>)> {
        let bytes = batch.iter().map(|(_, body)| body.len() as u64).sum();
        self.check_disk(batch.len() as u64, bytes, policy)?;
        if !policy.is_capped() {
            return Ok((batch.len(), None));
        }
        let load = |(new, body): &(NewMessage, Vec<u8>)| {
            let (message, _) = self.describe(new, policy, self.now());
            let log: usize = new.failures().iter().map(|failure| log_entry(failure).len()).sum();
            Ok(Load::one((Draft::new(&message)?.len() + body.len() + log) as u64))
        };
        let loads = batch.iter().map(load).collect::<Result<Vec<_>>>()?;
        self.take_room_for_some(&loads, policy, dir)
    }

    /// Writes and publishes messages whose room is taken.
    fn put_part(
        &self,
        dir: &Path,
        batch: &[(NewMessage, Vec<u8>)],
        policy: &Policy,
        durability: Durability,
        lock: &F::File,
    ) -> Result<BatchOutcome> {
        if batch.iter().any(|(new, _)| new.group.is_some()) {
            return self.put_with_groups(dir, batch, policy, durability, lock);
        }
        let runs = self.write_batch(dir, batch, policy, durability, lock)?;
        Ok(self.publish_batch(&runs, durability))
    }

    /// Writes all messages and makes them durable. `lock` keeps the sweep away.
    fn write_batch(
        &self,
        dir: &Path,
        batch: &[(NewMessage, Vec<u8>)],
        policy: &Policy,
        durability: Durability,
        lock: &F::File,
    ) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        let mut rest = batch;
        while !rest.is_empty() {
            let block = self.take_seqs((rest.len() as u64).min(LEAF_LEN))?;
            let (now, later) = rest.split_at(usize::try_from(block.len).unwrap_or(rest.len()));
            runs.push(self.write_run(&dir.join(runs.len().to_string()), now, block, policy)?);
            rest = later;
        }
        if durability == Durability::Full {
            let files: Vec<PathBuf> =
                runs.iter().flat_map(|run| run.messages.iter().map(|message| message.path.clone())).collect();
            let dirs: Vec<PathBuf> = runs.iter().map(|run| run.dir.clone()).collect();
            self.fs().sync_many(lock, &files, &dirs).at("sync", dir)?;
        }
        Ok(runs)
    }

    fn write_run(&self, dir: &Path, batch: &[(NewMessage, Vec<u8>)], block: Block, policy: &Policy) -> Result<Run> {
        self.fs().mkdir(dir, self.modes.dir).at("create", dir)?;
        let now = self.now();
        let mut messages = Vec::with_capacity(batch.len());
        for (seq, (new, body)) in (block.first..).map(Seq).zip(batch) {
            let (message, state) = self.describe(new, policy, now);
            let name = MessageName { seq, priority: message.priority, id: message.id, deliveries: new.deliveries() };
            let path = dir.join(name.to_string());
            let file = self.create_file(&path)?;
            write_record(&file, &path, Draft::new(&message)?, &mut body.as_slice(), new.failures(), &|_| Ok(()))?;
            self.mark_expiry(&name, message.expires_at, None);
            messages.push(Written { name, state, path });
        }
        let priority = batch[0].0.priority;
        let is_leaf =
            block.is_whole_leaf() && messages.iter().all(|m| m.state == State::Ready && m.name.priority == priority);
        Ok(Run { dir: dir.to_owned(), leaf_of: is_leaf.then_some(priority), messages })
    }

    /// Publishes run by run; the first failure ends it, and what is published by then is acknowledged once
    /// it is durable.
    fn publish_batch(&self, runs: &[Run], durability: Durability) -> BatchOutcome {
        let mut ids: Vec<MessageId> = Vec::new();
        let mut dirs = BTreeSet::new();
        let mut error = None;
        for run in runs {
            let published = self.publish_run(run, &mut ids, &mut dirs);
            if let Err(failure) = published {
                error = Some(failure);
                break;
            }
        }
        if durability == Durability::Full
            && let Err(failure) = self.sync_published(&dirs)
        {
            // Which names are durable is not known, so none is promised.
            return BatchOutcome { ids: Vec::new(), error: Some(failure) };
        }
        self.ring(ids.len());
        BatchOutcome { ids, error }
    }

    /// Makes the names of a batch durable: where a sync is about one directory alone, with all that came before, or
    /// a message that was put before it could come out behind it after a power cut (I8).
    pub(super) fn sync_published(&self, dirs: &BTreeSet<PathBuf>) -> Result<()> {
        if self.commits(Fault::NoBatchSync) {
            return Ok(());
        }
        let is_classical = self.spool.order() == Order::Classical;
        if matches!(self.spool.names(), Names::Whole | Names::Unknown) {
            let root = self.spool.root();
            return self.fs().sync_file_system(root).at("sync", root);
        }
        dirs.iter().try_for_each(|dir| if is_classical { self.sync_into(dir) } else { self.sync_upward(dir) })
    }

    fn publish_run(&self, run: &Run, ids: &mut Vec<MessageId>, dirs: &mut BTreeSet<PathBuf>) -> Result<()> {
        if let (Some(priority), Some(first)) = (run.leaf_of, run.messages.first()) {
            let leaf = self.layout.leaf(priority, first.name.seq);
            let group = leaf.parent().unwrap_or(&leaf).to_owned();
            // Nobody else has numbers of it.
            self.replace_into(&run.dir, &leaf)?;
            dirs.insert(group);
            ids.extend(run.messages.iter().map(|message| message.name.id));
            return Ok(());
        }
        for message in &run.messages {
            let to = self.layout.path(message.state, &message.name);
            let dir = to.parent().unwrap_or(&to);
            if self.rename_into(&message.path, &to)? == Moved::Gone {
                return Err(self.vanished(&message.path));
            }
            dirs.insert(dir.to_owned());
            ids.push(message.name.id);
        }
        Ok(())
    }
}
