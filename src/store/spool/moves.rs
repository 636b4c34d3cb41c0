//! How a message's name gets from one place to another.
//!
//! Where renames are journaled whole ([`Order::RollForward`]) a move is one rename: after a power cut the
//! message has its old name or its new one. Nothing is synced, because a move promises nothing that a later
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

use super::fs::{FileHandle, Fs, Names, is_out_of_space};
use super::layout::{self, SPARES, parse_name};
use super::{Kind, Queue};
use crate::domain::{Clock, Durability, MessageName};
use crate::store::{At, Error, Result};

/// How often a directory that was removed in passing is made again before giving up.
const TRIES: usize = 32;

/// Moves that are to be finished together.
pub(super) struct SharedMoves<L> {
    /// The lock of the moves.
    lock: Option<L>,
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
        if !self.is_classical(durability) {
            return self.rename_into(from, to, false);
        }
        let _lock = self.lock_moves()?;
        let status = match self.fs().status(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::Gone),
            other => other.at("read", from)?,
        };
        if status.links > 1 {
            self.remove_other_names(name, from, status.links)?;
        }
        match self.link_into(from, to)? {
            Some(Moved::Gone) => return Ok(Moved::Gone),
            Some(Moved::Yes) => {
                if let Some(shared) = self.shared.borrow_mut().as_mut() {
                    shared.linked.push((from.to_owned(), parent(to).to_owned()));
                    return Ok(Moved::Yes);
                }
                self.sync_upward(parent(to))?;
                self.fs().unlink(from).at("remove", from)?;
            }
            None => {
                if self.rename_into(from, to, true)? == Moved::Gone {
                    return Ok(Moved::Gone);
                }
                self.sync_upward(parent(to))?;
            }
        }
        self.sync_upward(parent(from))?;
        Ok(Moved::Yes)
    }

    /// The lock under which moves of the classical order are done; nothing where it is held already. One for the
    /// whole spool, because a message can move between two queues, and whoever meets one with two names has to know
    /// that no mover of either queue is at it.
    fn lock_moves(&self) -> Result<Option<F::File>> {
        if self.shared.borrow().is_some() {
            return Ok(None);
        }
        let path = self.spool.root().join(layout::MOVES_FILE);
        let file = self.fs().open_or_create(&path, self.modes.file).at("open", &path)?;
        file.lock().at("lock", &path)?;
        Ok(Some(file))
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
        let dirs: BTreeSet<&Path> = linked.iter().map(|(_, to_dir)| to_dir.as_path()).collect();
        dirs.into_iter().try_for_each(|dir| self.sync_upward(dir))?;
        for (from, _) in &linked {
            match self.fs().unlink(from) {
                // Set aside or deleted since, with all its names.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.at("remove", from)?,
            }
        }
        let dirs: BTreeSet<&Path> = linked.iter().map(|(from, _)| parent(from)).collect();
        dirs.into_iter().try_for_each(|dir| self.sync_upward(dir))?;
        drop(lock);
        acted
    }

    /// Renames, and makes the directories that are missing on the way, as [`Self::make_parents`] does.
    pub(super) fn rename_into(&self, from: &Path, to: &Path, durable: bool) -> Result<Moved> {
        for _ in 0..TRIES {
            match self.fs().rename(from, to) {
                Ok(()) => return Ok(Moved::Yes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.is_gone(from) {
                        return Ok(Moved::Gone);
                    }
                    self.make_parents(to, durable)?;
                }
                Err(error) => return Err(error).at("move a message to", to),
            }
        }
        Err(no_place(to))
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
                    self.make_parents(to, true)?;
                }
                Err(error) if has_no_links(&error) => return Ok(None),
                Err(error) => return Err(error).at("move a message to", to),
            }
        }
        Err(no_place(to))
    }

    /// Makes the directories above `path` that are missing, with their own parents made durable if
    /// `durable`. Returns whether any was missing.
    pub(super) fn make_parents(&self, path: &Path, durable: bool) -> Result<bool> {
        let dir = parent(path);
        let made = match self.make_dir(dir) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if durable {
                    self.sync_what_others_made(dir)?;
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What a queue always has is not made here: without it, the queue was dropped.
                if !parent(dir).starts_with(self.fixed_dir_of(dir)) || !self.make_parents(dir, durable)? {
                    return Ok(false);
                }
                match self.make_dir(dir) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error).at("create", dir);
                    }
                    _ => true,
                }
            }
            Err(error) => return Err(error).at("create", dir),
        };
        if made && durable {
            self.sync_upward(parent(dir))?;
        }
        Ok(made)
    }

    /// Makes the names of `dir` and of the directories above it durable where somebody else may have made them and not
    /// have come to sync them yet, or ever. What was not changed for a while has been written back.
    fn sync_what_others_made(&self, dir: &Path) -> Result<()> {
        const RECENT_MS: u64 = 60_000;
        let fixed = self.fixed_dir_of(dir);
        for above in dir.ancestors().skip(1).take_while(|above| above.starts_with(&fixed)) {
            let changed = self.fs().status(above).map(|status| status.modified.0);
            if changed.is_ok_and(|changed| changed.abs_diff(self.now().0) < RECENT_MS) {
                self.sync_upward(above)?;
            }
        }
        Ok(())
    }

    /// The first level inside the queue that `dir` is in: `ready/`, `claimed/` and so on.
    fn fixed_dir_of(&self, dir: &Path) -> PathBuf {
        let root = self.spool.root();
        let inside = dir.strip_prefix(root).unwrap_or(dir);
        root.join(inside.components().take(2).collect::<PathBuf>())
    }

    /// Makes a directory; on a full disk, out of one that stands by for that.
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match self.fs().mkdir(dir, self.modes.dir) {
            Err(error) if is_out_of_space(&error) => {
                let from_spare = |number| self.fs().rename(&self.layout.spare(number), dir).is_ok();
                if (0..SPARES).any(from_spare) { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Removes every name of a message but `keep`: what a mover left that died between link and unlink, or a power
    /// cut that came upon a rename.
    fn remove_other_names(&self, name: &MessageName, keep: &Path, links: u64) -> Result<()> {
        let mut others = Vec::new();
        let temporary = self.layout.temporary(name.id);
        if self.fs().status(&temporary).is_ok_and(|status| status.kind == Kind::File) {
            others.push(temporary);
        }
        let leaf = self.layout.leaf(name.priority, name.seq);
        // Where it most likely is; and, when the move was to another queue, wherever it is.
        let near = [leaf, self.layout.claimed(), self.layout.delayed()];
        for dir in near.iter().map(PathBuf::as_path).chain([self.spool.root()]) {
            if others.len() as u64 + 1 >= links {
                break;
            }
            let walked = self.fs().walk(dir, &mut |path, status| {
                let same = path.file_name().and_then(parse_name).is_some_and(|other| other.id == name.id);
                if same && status.kind == Kind::File && path != keep && !others.iter().any(|other| other == path) {
                    others.push(path.to_owned());
                }
            });
            match walked {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.at("read", dir)?,
            }
        }
        for other in others {
            self.fs().unlink(&other).at("remove", &other)?;
            self.sync_upward(parent(&other))?;
        }
        Ok(())
    }

    /// Removes a message's file for good, but for the sync of its directory. `false` if it is not there.
    pub(super) fn remove(&self, name: &MessageName, path: &Path, durability: Durability) -> Result<bool> {
        if self.is_classical(durability) {
            let _lock = self.lock_moves()?;
            if let Ok(status) = self.fs().status(path)
                && status.links > 1
            {
                self.remove_other_names(name, path, status.links)?;
            }
            return self.unlink(path);
        }
        // Here no move makes two names, but a power cut can leave both of a rename's.
        if durability == Durability::Full
            && self.spool.names() == Names::Whole
            && let Ok(status) = self.fs().status(path)
            && status.links > 1
        {
            self.remove_other_names(name, path, status.links)?;
        }
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

/// The message is where it was, and where it should go is no place: the queue was dropped.
fn no_place(to: &Path) -> Error {
    let source = io::Error::new(io::ErrorKind::NotFound, "the queue is not there any more");
    Error::Io { action: "move a message to", path: to.to_owned(), source }
}

/// Whether a link failed because there are none: on this file system, or to somebody else's file.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks)
}
