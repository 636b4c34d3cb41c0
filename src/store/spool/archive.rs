//! The archive: deleted messages that are kept for a while, where the policy asks for it, to be looked at and put again.
//!
//! A delete renames the message into `archive/MARK/NAME` instead of removing it; [`archive`] says what MARK is, and when
//! what has it is kept no more. The sweep removes that, the oldest first. To replay is to read and to put.
//!
//! Invariants:
//! - What lies in the archive is no message of the queue: nothing delivers, counts, finds or moves it, it holds up no drop,
//!   has no unique key and no turn in its group. No way leads back from there into the queue but a put.
//! - Deleted stays deleted (I4): the move is as durable as a removal when the delete is acknowledged.
//! - History is given up before a delete is refused: what cannot be archived, as on a full disk, is removed. The spare
//!   directories are not for it.
//! - A second name there of a message that is in the queue is that of a delete that somebody died over, and goes as any
//!   second name does.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Queue;
use super::entries::Marked;
use super::fs::{Fault, Fs};
use super::layout::EntryOf;
use super::moves::Moved;
use super::sweep::Swept;
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, MessageName, NewMessage, Policy, UnixSeconds, archive};
use crate::store::{AfterEach, Archived, At, Filter, Listed, Peeked, Result};

/// How often the entries of a message are looked for that still has other names.
const LOOKS: usize = 3;

/// How many names are in memory at a time: each time costs a listing of the archive.
const AT_ONCE: usize = 16 * 1024;

/// Who is shown what is in the archive.
type Visit<'a> = dyn FnMut(UnixSeconds, &MessageName, &Path) -> Result<ControlFlow<()>> + 'a;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Takes a message whose holder is done with it out of the queue, but for the sync of the directory that loses it:
    /// into the archive, if there is one. `false` if it is not there.
    pub(super) fn finish(&self, name: &MessageName, path: &Path, policy: &Policy) -> Result<bool> {
        let Some(keep) = policy.archive else { return self.remove(name, path, policy.durability) };
        match self.move_to_archive(name, path, keep, policy.durability) {
            Ok(moved) => Ok(moved == Moved::Yes),
            Err(error) => {
                // Where the message is gone all the same, something is not durable.
                if self.remove(name, path, policy.durability)? { Ok(true) } else { Err(error) }
            }
        }
    }

    fn move_to_archive(
        &self,
        name: &MessageName,
        path: &Path,
        keep: Duration,
        durability: Durability,
    ) -> Result<Moved> {
        let status = match self.fs().status(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::Gone),
            other => other.at("read", path)?,
        };
        let entries = self.entries_at(name.id, path, status)?;
        entries.iter().try_for_each(|entry| self.keep_window(entry, durability))?;
        let to = self.layout.archived(archive::mark(self.now(), keep), name);
        let marked = self.mark_leaving(&EntryOf::ALL, name.id, path, durability)?;
        let (room, expiry) = (self.room_of(status.len_bytes), self.marker_of(name, path));
        let moved = self.transfer(name, path, &to, durability);
        // What is marked stays so, also where somebody else was faster: he may be about to give it up, and who meets it looks
        // where the message is.
        for Marked { hash, .. } in marked.iter().filter(|marked| marked.of == EntryOf::Group) {
            self.note_turn(*hash);
        }
        if matches!(moved, Ok(Moved::Yes)) {
            self.give_room_back(room);
            self.remove_marker(expiry);
            self.give_up_entries(name, &to, durability);
        }
        moved
    }

    /// Gives up what an archived message had entries for. Best effort: who meets a marked one looks where its message is.
    fn give_up_entries(&self, name: &MessageName, path: &Path, durability: Durability) {
        // One that got or lost its mark while it was looked for was met under neither name.
        for _ in 0..LOOKS {
            let Ok(status) = self.fs().status(path) else { return };
            let Ok(entries) = self.entries_at(name.id, path, status) else { return };
            if status.links < 2 {
                return;
            }
            for entry in entries {
                // (The marked one last: while it is there, its key is not taken for one in force.)
                let _ = self.forget(&entry.path, durability == Durability::None);
                if entry.of == EntryOf::Group {
                    self.note_turn(entry.name.hash);
                }
            }
        }
    }

    /// Removes what is kept no more.
    pub(super) fn sweep_archive(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let now = self.now();
        for mark in self.seconds_in(&self.layout.archive())? {
            if swept.left == 0 || !archive::is_over(mark, policy.archive, now) {
                break;
            }
            let dir = self.dir_of(mark);
            let mut found = Vec::new();
            self.scan_messages(&dir, &mut |_, path| {
                found.push(path);
                if found.len() >= swept.left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            for path in &found {
                match self.fs().unlink(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("delete", path),
                    _ => swept.left -= 1,
                }
            }
            self.spool.remove_dir(&dir);
        }
        Ok(())
    }

    pub(super) fn list_archived(
        &self,
        which: &Filter,
        each: &mut dyn FnMut(Archived) -> ControlFlow<()>,
    ) -> Result<()> {
        let policy = self.sweep_first()?;
        self.visit_archive(&policy, &mut |mark, name, path| {
            Ok(match self.archived_if_meant(which, &policy, mark, name, path) {
                Some(archived) => each(archived),
                None => ControlFlow::Continue(()),
            })
        })
    }

    pub(super) fn replay(&self, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        let policy = self.sweep_first()?;
        // What is put now can be deleted and archived meanwhile: it would be met again, and again.
        let end = match self.next_number()? {
            Some(next) => next,
            None => self.take_seq()?.0,
        };
        let (mut replayed, mut unread) = (0, None);
        self.visit_archive(&policy, &mut |mark, name, path| {
            if name.seq.0 >= end || !which.may_be(name.id) {
                return Ok(ControlFlow::Continue(()));
            }
            // (What cannot be read may be meant.)
            let is_meant = which.is_all() || self.archived_if_meant(which, &policy, mark, name, path).is_some();
            if !is_meant || !self.is_deleted(name, path)? {
                return Ok(ControlFlow::Continue(()));
            }
            // (The state is of no account.)
            let Peeked { listed, mut body } = match self.peek_one(State::Ready, name, path) {
                Ok(Some(peeked)) => peeked,
                Ok(None) => return Ok(ControlFlow::Continue(())),
                Err(error) => {
                    unread.get_or_insert(error);
                    return Ok(ControlFlow::Continue(()));
                }
            };
            let durability = self.commits(Fault::ReplayNotSynced).then_some(Durability::None);
            self.put(&NewMessage { durability, ..listed.message.again() }, &mut body)?;
            replayed += 1;
            Ok(after_each())
        })?;
        unread.map_or(Ok(replayed), Err)
    }

    /// Whether the message has no other name: that of one whose delete somebody died over is to be delivered again.
    fn is_deleted(&self, name: &MessageName, path: &Path) -> Result<bool> {
        let status = match self.fs().status(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.at("read", path)?,
        };
        if self.commits(Fault::ReplayOfUndeleted) {
            return Ok(true);
        }
        Ok(self.without_entries(name.id, path, status)?.is_some_and(|status| status.links == 1))
    }

    fn archived_if_meant(
        &self,
        which: &Filter,
        policy: &Policy,
        mark: UnixSeconds,
        name: &MessageName,
        path: &Path,
    ) -> Option<Archived> {
        if !which.may_be(name.id) {
            return None;
        }
        let Listed { message, deliveries, failures, unread, .. } = self.list_one(State::Ready, name, path)?;
        let kept_until = archive::kept_until(mark, policy.archive.unwrap_or_default());
        let archived = Archived { message, kept_until, deliveries, failures, unread };
        which.matches_archived(&archived, self.now()).then_some(archived)
    }

    /// Shows what is kept, in the order of the numbers, a bounded number of names in memory.
    fn visit_archive(&self, policy: &Policy, each: &mut Visit<'_>) -> Result<()> {
        let mut shown: Option<(MessageName, UnixSeconds)> = None;
        loop {
            let mut next: Vec<(MessageName, UnixSeconds)> = Vec::new();
            for mark in self.seconds_in(&self.layout.archive())? {
                if archive::is_over(mark, policy.archive, self.now()) {
                    continue;
                }
                self.scan_messages(&self.dir_of(mark), &mut |name, _| {
                    if shown.is_none_or(|shown| (name, mark) > shown) {
                        next.push((name, mark));
                    }
                    if next.len() >= 2 * AT_ONCE {
                        next.sort_unstable();
                        next.truncate(AT_ONCE);
                    }
                    ControlFlow::Continue(())
                })?;
            }
            next.sort_unstable();
            next.truncate(AT_ONCE);
            for (name, mark) in &next {
                if each(*mark, name, &self.layout.archived(*mark, name))?.is_break() {
                    return Ok(());
                }
            }
            if next.len() < AT_ONCE {
                return Ok(());
            }
            shown = next.last().copied();
        }
    }

    fn dir_of(&self, mark: UnixSeconds) -> PathBuf {
        self.layout.archive().join(mark.0.to_string())
    }
}
