//! How a message's name gets from one place to another.
//!
//! Where renames are journaled whole ([`Order::RollForward`]) a move is one rename: after a power cut the
//! message has its old name or its new one (on Btrfs at times both: whoever touches either removes the other). Nothing is synced, because a move promises nothing that a later
//! look could miss.
//!
//! On bare POSIX ([`Order::Classical`]) the two halves of a rename may part, and the removal of the old name
//! can reach the disk first, by anybody's sync of that directory or by write-back: the message would be in
//! neither place. So a move there is `link`, sync of the new directory, `unlink`, sync of the old one: at
//! every moment one durable name exists. It is done under the spool's lock for moves, because a link does not take the
//! old name away from a competitor as a rename does. A mover that dies in between leaves two names of one
//! file, which its link count tells; the next one who touches either removes the others. (An order that
//! keeps the rename and only locks out other syncs cannot keep write-back from parting the halves.) File
//! systems without hard links get a rename and both syncs: the best that can be had there.
//!
//! With durability `none` nothing is promised about power cuts, and every move is one rename.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::fs::{Fault, FileHandle, Fs, Names, Status, is_out_of_space};
use super::layout::{self, ARCHIVE, EntryOf, SPARES, parse_name};
use super::move_lock::MoveLock;
use super::{Kind, Order, Queue};
use crate::domain::{Clock, Durability, MessageId, MessageName};
use crate::store::{At, Error, Result};

/// How often a directory that was removed in passing is made again before giving up.
const TRIES: usize = 32;

/// Moves that are to be finished together.
pub(super) struct SharedMoves<L> {
    /// The lock of the moves.
    pub(super) lock: Option<MoveLock<L>>,
    /// Old names that are still there, and the directories that have the new ones.
    linked: Vec<(PathBuf, PathBuf)>,
}

/// What came of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// The name is where it should be.
    Yes,
    /// It was not there to be moved: somebody else was first.
    Gone,
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Moves the message `name` from `from` to `to`, which may be in another queue.
    pub(super) fn transfer(&self, name: &MessageName, from: &Path, to: &Path, durability: Durability) -> Result<Moved> {
        if from == to {
            return Ok(Moved::Yes);
        }
        if !self.is_classical(durability) || self.commits(Fault::MoveByRename) {
            let _lock = self.make_single(name, from, durability)?;
            return match self.rename_into(from, to) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    self.complete_move(from, to)
                }
                other => other,
            };
        }
        let lock = self.lock_moves()?;
        let status = match self.fs().status(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::Gone),
            other => other.at("read", from)?,
        };
        let Some(status) = self.without_entries(name.id, from, status)? else { return Ok(Moved::Gone) };
        if status.links > 1 {
            self.remove_other_names(name, from, status, lock.as_ref())?;
        }
        match self.link_into(from, to)? {
            Some(Moved::Gone) => return Ok(Moved::Gone),
            Some(Moved::Yes) => {
                if let Some(shared) = self.shared.borrow_mut().as_mut() {
                    // What comes back to where it was (it could not be read) keeps that name.
                    shared.linked.retain(|(old, _)| old != to);
                    shared.linked.push((from.to_owned(), parent(to).to_owned()));
                    return Ok(Moved::Yes);
                }
                self.sync_into(parent(to))?;
                self.removing(lock.as_ref(), || {
                    // A put that failed to sync its name may have taken that away by now.
                    self.unlink(from)?;
                    self.sync_upward(parent(from))
                })?;
            }
            None => {
                return self.removing(lock.as_ref(), || {
                    if self.rename_into(from, to)? == Moved::Gone {
                        return Ok(Moved::Gone);
                    }
                    self.sync_into(parent(to))?;
                    self.sync_upward(parent(from))?;
                    Ok(Moved::Yes)
                });
            }
        }
        Ok(Moved::Yes)
    }

    /// Lets the moves that `act` makes share their syncs, where there are any: all links first, then the syncs of
    /// the directories that got them, then the unlinks, then the syncs of the directories that lost a name. What
    /// `act` moved is durable when this returns without an error.
    pub(super) fn sharing_syncs(&self, durability: Durability, act: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.is_classical(durability) {
            return act();
        }
        let lock = self.lock_moves()?;
        *self.shared.borrow_mut() = Some(SharedMoves { lock, linked: Vec::new() });
        let acted = act();
        let Some(SharedMoves { lock, linked }) = self.shared.borrow_mut().take() else { return acted };
        if linked.is_empty() {
            return acted;
        }
        let dirs: BTreeSet<&Path> = linked.iter().map(|(_, to_dir)| to_dir.as_path()).collect();
        dirs.into_iter().try_for_each(|dir| self.sync_into(dir))?;
        self.removing(lock.as_ref(), || {
            for (from, _) in &linked {
                // It may be gone: set aside or deleted since, with all its names.
                self.unlink(from)?;
            }
            let dirs: BTreeSet<&Path> = linked.iter().map(|(from, _)| parent(from)).collect();
            dirs.into_iter().try_for_each(|dir| self.sync_upward(dir))
        })?;
        acted
    }

    /// Renames, and makes the directories that are missing on the way, as [`Self::make_parents`] does.
    pub(super) fn rename_into(&self, from: &Path, to: &Path) -> Result<Moved> {
        for _ in 0..TRIES {
            match self.fs().rename(from, to) {
                Ok(()) => return Ok(Moved::Yes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.is_gone(from) {
                        return Ok(Moved::Gone);
                    }
                    self.make_parents(to)?;
                }
                Err(error) => return Err(error).at("move a message to", to),
            }
        }
        Err(no_place(to))
    }

    /// As [`Self::rename_into`], of a directory, over an empty one if it is there.
    pub(super) fn replace_into(&self, from: &Path, to: &Path) -> Result<()> {
        for _ in 0..TRIES {
            self.make_parents(to)?;
            match self.fs().replace(from, to) {
                // Somebody has tidied up the one above it, which was empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_gone(from) => {}
                other => return other.at("publish", to),
            }
        }
        Err(no_place(to))
    }

    /// Where a power cut has left both names of a move that nobody had synced: the old one is to go.
    fn complete_move(&self, from: &Path, to: &Path) -> Result<Moved> {
        let (old, new) = (self.fs().status(from), self.fs().status(to));
        match (old, new) {
            (Ok(old), Ok(new)) if (old.device, old.inode) == (new.device, new.inode) => {
                Ok(if self.unlink(from)? { Moved::Yes } else { Moved::Gone })
            }
            // Whoever had the message under the other name is done with it.
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => self.rename_into(from, to),
            _ => {
                let source = io::Error::from(io::ErrorKind::AlreadyExists);
                Err(Error::Io { action: "move a message to", path: to.to_owned(), source })
            }
        }
    }

    /// Whether it was the old name that a move did not find. That a directory of the new one is there proves
    /// nothing: somebody else may have made it since.
    fn is_gone(&self, from: &Path) -> bool {
        self.fs().status(from).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Makes the entries of a directory durable, which others may have emptied and removed meanwhile.
    pub(super) fn sync_upward(&self, dir: &Path) -> Result<()> {
        self.spool.sync_upward(dir).at("sync", dir)
    }

    /// Links, and makes the directories that are missing on the way. `None` where there are no links.
    fn link_into(&self, from: &Path, to: &Path) -> Result<Option<Moved>> {
        for _ in 0..TRIES {
            match self.fs().link(from, to) {
                Ok(()) => return Ok(Some(Moved::Yes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.is_gone(from) {
                        return Ok(Some(Moved::Gone));
                    }
                    self.make_parents(to)?;
                }
                Err(error) if has_no_links(&error) => return Ok(None),
                Err(error) => return Err(error).at("move a message to", to),
            }
        }
        Err(no_place(to))
    }

    /// Makes the directories above `path` that are missing. Returns whether any was.
    pub(super) fn make_parents(&self, path: &Path) -> Result<bool> {
        let dir = parent(path);
        match self.make_dir(dir) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What a queue always has is not made here: without it, the queue was dropped.
                if !parent(dir).starts_with(self.fixed_dir_of(dir)) || !self.make_parents(dir)? {
                    return Ok(false);
                }
                match self.make_dir(dir) {
                    // Somebody has tidied up the new one above it already: the caller tries again.
                    Err(error) if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                        Err(error).at("create", dir)
                    }
                    _ => Ok(true),
                }
            }
            Err(error) => Err(error).at("create", dir),
        }
    }

    /// Makes new names in `dir` durable, and the names of `dir` and of the directories above it: somebody else may
    /// have made them who did not come to sync them yet, or never will. What was not changed for a minute has been
    /// written back (Linux does so after half of one).
    pub(super) fn sync_into(&self, dir: &Path) -> Result<()> {
        let top = self.fixed_dir_of(dir);
        // These are made by the first who needs them.
        let is_fixed = EntryOf::ALL.iter().map(|of| of.dir()).chain([ARCHIVE]).all(|dir| !top.ends_with(dir));
        self.sync_from(if is_fixed { &top } else { parent(&top) }, dir)
    }

    /// As [`Self::sync_into`], from the directory `top` on downwards.
    pub(super) fn sync_from(&self, top: &Path, dir: &Path) -> Result<()> {
        const RECENT_MS: u64 = 60_000;
        let on_the_way = if self.commits(Fault::NoParentSync) { 0 } else { usize::MAX };
        for above in dir.ancestors().skip(1).take(on_the_way).take_while(|above| above.starts_with(top)) {
            let changed = self.fs().status(above).map(|status| status.modified.0);
            if changed.map_or(true, |changed| changed.abs_diff(self.now().0) < RECENT_MS) {
                self.sync_upward(above)?;
            }
        }
        self.sync_upward(dir)
    }

    /// The first level inside the queue that `dir` is in: `ready/`, `claimed/` and so on.
    fn fixed_dir_of(&self, dir: &Path) -> PathBuf {
        let root = self.spool.root();
        let inside = dir.strip_prefix(root).unwrap_or(dir);
        root.join(inside.components().take(2).collect::<PathBuf>())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.make_dir_or_take_spare(dir)?;
        match self.heir {
            Some(heir) => match self.fs().open_dir(dir) {
                // It was empty, and somebody has tidied it up: it is made again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                opened => heir.inherits(&opened?),
            },
            None => Ok(()),
        }
    }

    /// Makes a directory; on a full disk, out of one that stands by for that. On bare POSIX in its place: a directory
    /// that is renamed could have both names after a power cut, and a repair would choose between them.
    fn make_dir_or_take_spare(&self, dir: &Path) -> io::Result<()> {
        match self.fs().mkdir(dir, self.modes.dir) {
            // (What is deleted can do without a place.)
            Err(error) if is_out_of_space(&error) && !dir.starts_with(self.layout.archive()) => {
                let from_spare = |number| {
                    let spare = self.layout.spare(number);
                    if self.spool.order() == Order::RollForward {
                        return self.fs().rename(&spare, dir).is_ok();
                    }
                    self.spool.remove_dir(&spare);
                    self.fs().mkdir(dir, self.modes.dir).is_ok()
                };
                if (0..SPARES).any(from_spare) { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Moves a message to `corrupt/`, with the reason beside it, and returns its path there; nothing if it was gone.
    pub(super) fn set_aside(
        &self,
        name: &MessageName,
        from: &Path,
        why: &str,
        durability: Durability,
    ) -> Result<Option<PathBuf>> {
        let mut name_there = *name;
        loop {
            let (path, reason) = self.layout.quarantine(&name_there);
            match self.transfer_out(name, from, &path, durability, None) {
                Ok(Moved::Yes) => {
                    // The reason is a courtesy: without it the message is set aside all the same.
                    if let Ok(file) = self.create_file(&reason) {
                        let _ = file.write_all_at(format!("{why}\n").as_bytes(), 0);
                    }
                    return Ok(Some(path));
                }
                Ok(Moved::Gone) => return Ok(None),
                // A copy of it lies there already: neither is to be lost, so this one gets a number of its own.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    name_there.seq = self.take_seq()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes every name of a message but `keep`: what a mover left that died between link and unlink. The caller has
    /// the lock of the moves. A copy of the message is another file, and stays.
    pub(super) fn remove_other_names(
        &self,
        name: &MessageName,
        keep: &Path,
        kept: Status,
        lock: Option<&MoveLock<F::File>>,
    ) -> Result<()> {
        let leaf = self.layout.leaf(name.priority, name.seq);
        // Where it most likely is; and, when the move was to another queue, wherever it is.
        let near = [leaf, self.layout.claimed(), self.layout.delayed(), self.layout.tmp()];
        let others = self.other_names(name.id, &near, keep, kept)?;
        if !others.is_empty() {
            // The mover may have died before it had synced the name that is kept now.
            self.sync_into(parent(keep))?;
        }
        others.iter().try_for_each(|other| self.remove_name(other, lock))
    }

    /// Removes the name `other` of a message whose name `keep` is one that receivers find. The caller has the lock of the
    /// moves.
    pub(super) fn remove_second_name(&self, keep: &Path, other: &Path, lock: Option<&MoveLock<F::File>>) -> Result<()> {
        self.sync_into(parent(keep))?;
        self.remove_name(other, lock)
    }

    fn remove_name(&self, path: &Path, lock: Option<&MoveLock<F::File>>) -> Result<()> {
        self.removing(lock, || {
            // (Who sweeps up after a batch may be faster.)
            self.unlink(path)?;
            self.sync_upward(parent(path))
        })
    }

    /// The other names of the message's file at `keep`, in the whole spool; `near` is looked through first. One that is
    /// called like no message is among them where messages lie: a repair that brings the message to its place can die half
    /// way, and the next one would bring it back from there.
    pub(super) fn other_names(
        &self,
        id: MessageId,
        near: &[PathBuf],
        keep: &Path,
        kept: Status,
    ) -> Result<Vec<PathBuf>> {
        let mut others: Vec<PathBuf> = Vec::new();
        for dir in near.iter().map(PathBuf::as_path).chain([self.spool.root()]) {
            if others.len() as u64 + 1 >= kept.links {
                break;
            }
            let mut compare = |path: &Path, status: Status| {
                let same_file = (status.device, status.inode) == (kept.device, kept.inode);
                if same_file && path != keep && self.may_name(path, id) && !others.iter().any(|other| other == path) {
                    others.push(path.to_owned());
                }
            };
            let walked = if dir == self.spool.root() {
                self.spool.walk_all(&mut compare)
            } else {
                self.fs().walk(dir, &mut compare)
            };
            match walked {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.at("read", dir)?,
            }
        }
        Ok(others)
    }

    /// Whether a path can be a name of the message: that of no other one.
    fn may_name(&self, path: &Path, id: MessageId) -> bool {
        id_in(path).map_or_else(
            || path.strip_prefix(self.spool.root()).is_ok_and(layout::lies_among_messages),
            |of_name| of_name == id,
        )
    }

    /// Where a power cut can leave both names of a rename: removes every name but `path`, and returns the lock under
    /// which that was done. Nobody makes a second name there, so one look without it is enough to know that there is none.
    pub(super) fn make_single(
        &self,
        name: &MessageName,
        path: &Path,
        durability: Durability,
    ) -> Result<Option<MoveLock<F::File>>> {
        if durability == Durability::None
            || self.spool.names() != Names::Whole
            || self.status_if_doubled(name, path)?.is_none()
        {
            return Ok(None);
        }
        let lock = self.lock_moves()?;
        if let Some(status) = self.status_if_doubled(name, path)? {
            self.remove_other_names(name, path, status, lock.as_ref())?;
        }
        Ok(lock)
    }

    /// What is known of a file that has more than one name, those of its entries not counted; nothing if it has
    /// one, or is not there. An error is no answer: a name that is overlooked would bring a deleted message back.
    fn status_if_doubled(&self, name: &MessageName, path: &Path) -> Result<Option<Status>> {
        match self.fs().status(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => {
                let status = self.without_entries(name.id, path, other.at("read", path)?)?;
                Ok(status.filter(|status| status.links > 1))
            }
        }
    }

    /// Removes a message's file for good, but for the sync of its directory, and frees what it had entries for. `false` if it is
    /// not there.
    pub(super) fn remove(&self, name: &MessageName, path: &Path, durability: Durability) -> Result<bool> {
        let status = match self.fs().status(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.at("read", path)?,
        };
        let entries = self.entries_at(name.id, path, status)?;
        entries.iter().try_for_each(|entry| self.keep_window(entry, durability))?;
        let (room, marker) = (self.room_of(status.len_bytes), self.marker_of(name, path));
        let removed = self.remove_names(name, path, durability)?;
        if removed {
            self.give_room_back(room);
            self.remove_marker(marker);
            for entry in &entries {
                self.free(entry, durability);
            }
        }
        Ok(removed)
    }

    fn remove_names(&self, name: &MessageName, path: &Path, durability: Durability) -> Result<bool> {
        if self.is_classical(durability) {
            let lock = self.lock_moves()?;
            if let Some(status) = self.status_if_doubled(name, path)? {
                self.remove_other_names(name, path, status, lock.as_ref())?;
            }
            return self.unlink(path);
        }
        let _lock = self.make_single(name, path, durability)?;
        self.unlink(path)
    }

    fn unlink(&self, path: &Path) -> Result<bool> {
        match self.fs().unlink(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("delete", path),
        }
    }

    /// Shows every message file directly in `dir`; none if it is not there.
    pub(super) fn scan_messages(
        &self,
        dir: &Path,
        each: &mut dyn FnMut(MessageName, PathBuf) -> ControlFlow<()>,
    ) -> Result<()> {
        let scanned = self.fs().scan(dir, &mut |file_name, kind| match parse_name(file_name) {
            Some(name) if kind == Kind::File => each(name, dir.join(file_name)),
            _ => ControlFlow::Continue(()),
        });
        match scanned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.at("read", dir),
        }
    }
}

/// The id of the message that a file is, by its name or by that of a temporary.
pub(super) fn id_in(path: &Path) -> Option<MessageId> {
    let name = path.file_name()?;
    let is_temporary = parent(path).file_name().is_some_and(|dir| dir == layout::TMP);
    if is_temporary { name.to_str()?.parse().ok() } else { parse_name(name).map(|name| name.id) }
}

/// The message is where it was, and where it should go is no place: the queue was dropped.
fn no_place(to: &Path) -> Error {
    let source = io::Error::new(io::ErrorKind::NotFound, "the queue is not there any more");
    Error::Io { action: "move a message to", path: to.to_owned(), source }
}

/// Whether a link failed because there are none: on this file system, or to somebody else's file.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks)
}
