//! Groups: of a group one message at a time is deliverable or claimed, in the order of their puts.
//!
//! The message whose turn it is has an entry `groups/HH/HASH.ID` and lies where any other message lies. Those behind it
//! wait in the line of their group, `groups/HH/HASH/`, in leaves as in `ready/`: a get does not see them, so what it costs
//! does not grow with them. Who takes a message out of the queue gives its entry up after it, and then the next in the line
//! its turn. A message of a group that is the first one goes straight to its place, with its entry.
//!
//! Invariants:
//! - Only who has the lock of the group's shard gives a turn. He has it from before he takes the message's number until it
//!   has its name, so the order of a group is that of its puts (I8).
//! - What is in `ready/`, `delayed/` or `claimed/` and is of a group has its entry there, and the entry was there, durable,
//!   before it. So an entry tells that it is somebody's turn, also after a power cut, and a message without one, that of a
//!   dead writer, goes to the line.
//! - An entry is given up when its message is gone for good: after a power cut that brings the message back, it is still
//!   its turn. Who moves it elsewhere marks the entry first (`.leaving`), since a message that lies elsewhere looks, by its
//!   entry, like one that is here.
//! - Nobody waits for another's lock of a group while he has one.
//!
//! Who dies before he has given the next one its turn leaves that to the next put of the group, or to the sweep. In a
//! dead-letter queue the dead lie in the order of their deaths and wait for nobody: a person is to look at them.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::{Entry, is_same};
use super::fs::{Access, Fault, FileHandle, Fs, Names, Status};
use super::layout::{EntryName, EntryOf, SHARDS, parse_hex};
use super::moves::Moved;
use super::record::{Opened, ReadError};
use super::sweep::Swept;
use super::unique::turn_of;
use super::{Kind, Queue};
use crate::domain::lifecycle::{self, Event, Outcome, State};
use crate::domain::{Clock, Durability, KeyHash, MessageId, MessageName, Policy};
use crate::store::{At, Error, Message, Notice, Result};

/// How many names a sweep looks at.
const MOST_NAMES: usize = 1024;

/// Who is shown a message in its order, and can break it off.
type Visit<'a> = dyn FnMut(State, MessageName, &Path) -> Result<ControlFlow<()>> + 'a;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// The state that a message of a group is put in: as any other, if nobody is before it. The caller has the lock.
    pub(super) fn state_in_group(&self, group: KeyHash, alone: State) -> Result<State> {
        if self.spool.order() == super::Order::RollForward {
            // What a power cut put back into `tmp/` was put before.
            self.begin_boot()?;
        }
        let is_free = self.turn_of_group(group)?.is_none() && self.first_in_line(group)?.is_none();
        Ok(if is_free { alone } else { State::Waiting { group } })
    }

    /// Whose turn it is. What entries are left over are removed. The caller has the lock.
    fn turn_of_group(&self, group: KeyHash) -> Result<Option<MessageId>> {
        let entries = self.entries_with(EntryOf::Group, group)?;
        for entry in &entries {
            let is_leaving = entries.iter().any(|other| other.name.id == entry.name.id && other.name.is_leaving);
            if self.has_turn(entry, is_leaving)? {
                return Ok(Some(entry.name.id));
            }
            self.forget(&entry.path, false)?;
        }
        Ok(None)
    }

    fn has_turn(&self, entry: &Entry, is_leaving: bool) -> Result<bool> {
        let file = match self.fs().open(&entry.path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => Arc::new(other.at("open", &entry.path)?),
        };
        let status = file.status().at("read", &entry.path)?;
        if !self.has_message(entry.name.id, &file, None)? || self.is_dead_writers(entry, &file, status)? {
            return Ok(false);
        }
        if !is_leaving {
            return Ok(true);
        }
        // Somebody takes it elsewhere this moment, or died at that.
        if self.is_elsewhere(entry.name.id, &entry.path, status)? {
            return Ok(false);
        }
        let [plain, leaving] =
            [false, true].map(|is_leaving| self.layout.entry(EntryOf::Group, &EntryName { is_leaving, ..entry.name }));
        self.rename_entry(&leaving, &plain, Durability::Full)?;
        Ok(true)
    }

    /// Whether the message is a temporary and nothing else: who wrote it had the lock, so he is dead or has failed. If it
    /// becomes a message it will find itself without an entry, and wait.
    fn is_dead_writers(&self, entry: &Entry, message: &Arc<F::File>, status: Status) -> Result<bool> {
        let path = self.layout.temporary(entry.name.id);
        let file = match self.fs().open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.at("open", &path)?,
        };
        // Whoever sweeps it has the lock, and has seen the entry.
        if !file.try_lock().at("lock", &path)? {
            return Ok(false);
        }
        if !self.fs().status(&path).is_ok_and(|now| is_same(now, status)) {
            return Ok(false);
        }
        // (After a power cut it may have its place as well.)
        let is_nothing_else = !self.has_message(entry.name.id, message, Some(&path))?;
        if is_nothing_else {
            self.forget(&entry.path, true)?;
        }
        Ok(is_nothing_else)
    }

    /// Whether it is the turn of a temporary's message, whose file the caller has locked.
    pub(super) fn has_own_turn(&self, message: &Message, group: KeyHash, file: &F::File) -> bool {
        let name = EntryName { hash: group, id: message.id, until: None, is_leaving: false };
        let entry = self.fs().status(&self.layout.entry(EntryOf::Group, &name));
        matches!((entry, file.status()), (Ok(entry), Ok(status)) if is_same(entry, status))
    }

    /// Remembers that somebody may wait for a turn in this group: [`Self::give_turns`] is to be called when all is done,
    /// and no lock is held.
    pub(super) fn note_turn(&self, group: KeyHash) {
        self.turns.borrow_mut().insert(group);
    }

    /// Gives the next ones their turns in the groups that were noted. Returns how many are deliverable now. What fails is
    /// left to the sweep.
    pub(super) fn give_turns(&self, policy: &Policy) -> usize {
        let mut ready = 0;
        loop {
            let next = self.turns.borrow_mut().pop_first();
            let Some(group) = next else { return ready };
            let given = self.lock_shard(EntryOf::Group, group).and_then(|_lock| self.give_turn(group, policy));
            ready += usize::from(matches!(given, Ok(true)));
        }
    }

    /// Gives the next in the line its turn, unless it is somebody's. Returns whether one is deliverable now that was not.
    /// The caller has the lock.
    pub(super) fn give_turn(&self, group: KeyHash, policy: &Policy) -> Result<bool> {
        for _ in 0..MOST_NAMES {
            let turn = self.turn_of_group(group)?;
            let Some((name, path)) = self.first_in_line(group)? else { break };
            match turn {
                Some(id) if id != name.id => break,
                _ => {}
            }
            if let Some(state) = self.promote(group, &name, &path, turn.is_some(), policy)? {
                self.tidy_line(group);
                if state == State::Ready {
                    self.ring(1);
                }
                return Ok(state == State::Ready);
            }
        }
        self.tidy_line(group);
        Ok(false)
    }

    /// Moves the first of a line to where messages lie that wait for nobody; its state there. `None` if there was none to be
    /// delivered: another one is the first.
    fn promote(
        &self,
        group: KeyHash,
        name: &MessageName,
        path: &Path,
        has_entry: bool,
        policy: &Policy,
    ) -> Result<Option<State>> {
        let durability = policy.durability;
        let opened = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ReadError::Io).and_then(Opened::<F::File>::new),
        };
        let (message, facts) = match opened {
            Ok(opened) => {
                let (message, _, file, place) = opened.unchecked();
                let facts = self.facts_of(&message, &file, place, name.deliveries, policy);
                (message, facts)
            }
            Err(ReadError::Damaged(why)) => {
                self.set_aside(name, path, &why, durability)?;
                return Ok(None);
            }
            Err(ReadError::Io(error)) => return Err(error).at("read", path),
        };
        if lifecycle::is_expired(facts, policy, self.now()) {
            // (What cannot go to the dead letters stays, and holds up its group.)
            let mut notices = Vec::new();
            let is_gone = self.expire(name, path, policy, &mut notices)?;
            return if is_gone || notices.is_empty() { Ok(None) } else { Err(unburied(&notices, path)) };
        }
        let event = Event::Turn { due: message.due };
        let outcome = lifecycle::next(State::Waiting { group }, event, facts, policy, self.now());
        let Ok(Outcome::Become(state, _)) = outcome else { return Ok(None) };
        let make_entry = || -> Result<()> {
            if has_entry {
                return Ok(());
            }
            if durability == Durability::Full
                && self.spool.names() != Names::Ordered
                && !self.commits(Fault::GroupNotSynced)
            {
                // The one before may have been removed, and that not be durable yet.
                let root = self.spool.root();
                self.fs().sync_file_system(root).at("sync", root)?;
            }
            let entry = EntryName { hash: group, id: name.id, until: None, is_leaving: false };
            let file = self.layout.path(state, name);
            let at = if self.commits(Fault::GroupEntryLate) { &file } else { path };
            self.make_entry(EntryOf::Group, at, &self.layout.entry(EntryOf::Group, &entry), durability)
        };
        if !self.commits(Fault::GroupEntryLate) {
            match make_entry() {
                // Purged, or moved away.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            }
        }
        if self.transfer(name, path, &self.layout.path(state, name), durability)? == Moved::Gone {
            return Ok(None);
        }
        if self.commits(Fault::GroupEntryLate) {
            make_entry()?;
        }
        Ok(Some(state))
    }

    /// The first of a line.
    fn first_in_line(&self, group: KeyHash) -> Result<Option<(MessageName, PathBuf)>> {
        let mut first = None;
        let mut unread = None;
        let line = self.layout.line(group);
        let _ = self.visit_line(&line, &mut unread, &mut |name, path| {
            first = Some((name, path.to_owned()));
            Ok(ControlFlow::Break(()))
        })?;
        unread.map_or(Ok(first), Err)
    }

    /// Removes what is empty of a line; the caller has the lock, and whoever puts to it makes it again.
    fn tidy_line(&self, group: KeyHash) {
        let line = self.layout.line(group);
        let dirs_in =
            |dir: &Path| self.names_in(dir).unwrap_or_default().into_iter().filter(|(_, kind)| *kind == Kind::Dir);
        for (above, _) in dirs_in(&line) {
            let above = line.join(above);
            for (leaf, _) in dirs_in(&above) {
                let leaf = above.join(leaf);
                // Only what is before the first one can have become empty.
                if self.names_in(&leaf).is_ok_and(|names| !names.is_empty()) {
                    return;
                }
                self.spool.remove_dir(&leaf);
            }
            self.spool.remove_dir(&above);
        }
        self.spool.remove_dir(&line);
    }

    /// Shows every message that waits, group by group, the next one first. A directory that cannot be read hides what is
    /// in it and nothing else; the first of them is returned.
    pub(super) fn visit_lines(&self, each: &mut Visit<'_>) -> Result<(ControlFlow<()>, Option<Error>)> {
        let mut unread = None;
        for shard in self.shards_of_groups()? {
            let shard = self.layout.shard_at(EntryOf::Group, shard);
            for (name, kind) in self.names_in(&shard)? {
                let (Kind::Dir, Ok(group)) = (kind, name.parse::<KeyHash>()) else { continue };
                let state = State::Waiting { group };
                let flow =
                    self.visit_line(&shard.join(name), &mut unread, &mut |name, path| each(state, name, path))?;
                if flow.is_break() {
                    return Ok((flow, unread));
                }
            }
        }
        Ok((ControlFlow::Continue(()), unread))
    }

    fn visit_line(
        &self,
        line: &Path,
        unread: &mut Option<Error>,
        each: &mut dyn FnMut(MessageName, &Path) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        self.visit_level(line, 12, false, true, each, unread)
    }

    fn shards_of_groups(&self) -> Result<Vec<u64>> {
        let dirs = self.names_in(&self.layout.entries(EntryOf::Group))?;
        Ok(dirs.iter().filter_map(|(name, _)| parse_hex(name, 2)).collect())
    }

    /// Finds groups in which somebody waits and it is nobody's turn, and entries that are left of messages.
    pub(super) fn sweep_groups(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let mut shards = self.shards_of_groups()?;
        // Where there are more groups than one sweep looks at, each of them gets its turn.
        let first = turn_of(self.now().floor_seconds()) % SHARDS;
        let at = shards.partition_point(|shard| *shard < first);
        shards.rotate_left(at);
        let mut left = MOST_NAMES;
        for shard in shards {
            let dir = self.layout.shard_at(EntryOf::Group, shard);
            let names = self.names_in(&dir)?;
            for group in groups_in(&names) {
                if !self.looks_right(group, &names)? {
                    swept.moved += usize::from(self.give_turn_in_passing(group, policy)?);
                } else if shard == first {
                    swept.moved += usize::from(self.fetch_in_passing(group, policy)?);
                }
            }
            left = left.saturating_sub(names.len());
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether it is somebody's turn in a group, for all that is seen without its lock.
    fn looks_right(&self, group: KeyHash, names: &[(String, Kind)]) -> Result<bool> {
        let shard = self.layout.shard(EntryOf::Group, group);
        let mut has_turn = None;
        for (file_name, _) in names {
            let Some(entry) = file_name.parse::<EntryName>().ok().filter(|entry| entry.hash == group) else { continue };
            let is_temporary = || self.fs().status(&self.layout.temporary(entry.id)).is_ok();
            if entry.is_leaving || has_turn.is_some() || self.is_left_over(&shard.join(file_name)) || is_temporary() {
                return Ok(false);
            }
            has_turn = Some(entry.id);
        }
        let line = group.to_string();
        if !names.iter().any(|(name, kind)| *kind == Kind::Dir && *name == line) {
            return Ok(true);
        }
        // Who died between making its entry and moving it?
        let first = self.first_in_line(group)?;
        Ok(has_turn.is_some() && first.is_some_and(|(name, _)| Some(name.id) != has_turn))
    }

    /// As [`Self::give_turn`], unless somebody has the lock.
    fn give_turn_in_passing(&self, group: KeyHash, policy: &Policy) -> Result<bool> {
        let lock = self.open_shard(EntryOf::Group, group)?;
        let shard = self.layout.shard(EntryOf::Group, group);
        if !lock.try_lock().at("lock", &shard)? {
            return Ok(false);
        }
        self.give_turn(group, policy)
    }

    /// Finds the message whose turn it is if it waits in the line all the same, behind others: somebody died between making
    /// its entry and moving it, and lower numbers than its own were given out after that. (The counter went back, because a
    /// sync of it had failed; or a power cut put one back into `tmp/`.) To look for it costs a listing of the whole line,
    /// so that is done where it is the shard's turn.
    fn fetch_in_passing(&self, group: KeyHash, policy: &Policy) -> Result<bool> {
        let lock = self.open_shard(EntryOf::Group, group)?;
        if !lock.try_lock().at("lock", &self.layout.shard(EntryOf::Group, group))? {
            return Ok(false);
        }
        let Some(id) = self.turn_of_group(group)? else { return Ok(false) };
        let (mut found, mut unread) = (None, None);
        let _ = self.visit_line(&self.layout.line(group), &mut unread, &mut |name, path| {
            if name.id != id {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some((name, path.to_owned()));
            Ok(ControlFlow::Break(()))
        })?;
        let Some((name, path)) = found else { return Ok(false) };
        Ok(self.promote(group, &name, &path, true, policy)? == Some(State::Ready))
    }
}

fn unburied(notices: &[Notice], path: &Path) -> Error {
    let why = notices.first().map(ToString::to_string).unwrap_or_default();
    Error::Io { action: "move to the dead letters", path: path.to_owned(), source: io::Error::other(why) }
}

/// The groups of which there is anything among the names of a shard.
fn groups_in(names: &[(String, Kind)]) -> BTreeSet<KeyHash> {
    let group_of = |(name, kind): &(String, Kind)| match kind {
        Kind::Dir => name.parse().ok(),
        _ => name.parse::<EntryName>().ok().map(|entry| entry.hash),
    };
    names.iter().filter_map(group_of).collect()
}
