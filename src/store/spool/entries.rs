//! Entries: second names of message files, by which the file system itself counts what has to be known of a key or a
//! group.
//!
//! While a message has a name, anywhere in the spool, its file has one more for its entry; when that is gone, by whomever
//! and however, the entry is the last one, and says so by its link count. What an entry means is its kind's to say:
//! `unique` and `groups`.
//!
//! Invariants:
//! - Only who has the lock of an entry's shard, its directory, makes one.
//! - An entry has its message's id in its name and so is nobody else's: removing it needs no lock.
//! - The entries of a message are no names that it could be found by: whoever counts names takes them off first.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Access, Fault, FileHandle, Fs, Names, Status, is_out_of_space};
use super::layout::{EntryName, EntryOf, SHARDS};
use super::moves::Moved;
use super::record::{Opened, ReadError};
use super::{Layout, Queue};
use crate::domain::{Clock, Durability, KeyHash, MessageId, MessageName, UnixSeconds};
use crate::store::{At, Error, Message, Result};

/// How often something may change under who looks.
const TRIES: usize = 32;

/// The entries that a message has, once it is in its place: in this state of things, or another.
pub(super) fn entries_of(message: &Message) -> Vec<(EntryOf, EntryName)> {
    let plain = |hash, until| EntryName { hash, id: message.id, until, is_leaving: false };
    let unique = message.unique.as_ref().map(|key| (EntryOf::Unique, plain(key.hash(), message.unique_until)));
    let group = message.group.as_ref().map(|group| (EntryOf::Group, plain(group.hash(), None)));
    let with_mark = |(of, entry): (EntryOf, EntryName)| {
        let leaving = entry.until.is_none().then_some((of, EntryName { is_leaving: true, ..entry }));
        [Some((of, entry)), leaving].into_iter().flatten()
    };
    unique.into_iter().chain(group).flat_map(with_mark).collect()
}

/// A message's entry, found.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) of: EntryOf,
    pub(super) name: EntryName,
    pub(super) path: PathBuf,
}

/// An entry that is about to be given up: without the mark, and with it.
pub(super) struct Marked {
    pub(super) of: EntryOf,
    pub(super) hash: KeyHash,
    plain: PathBuf,
    leaving: PathBuf,
}

impl Entry {
    fn window(&self) -> Option<UnixSeconds> {
        self.name.until
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// The lock of a hash, and of those that share its shard: first in the order of `lock`.
    pub(super) fn lock_shard(&self, of: EntryOf, hash: KeyHash) -> Result<F::File> {
        let shard = self.open_shard(of, hash)?;
        let is_left_out = match of {
            EntryOf::Unique => self.commits(Fault::UniqueUnlocked),
            EntryOf::Group => self.commits(Fault::GroupUnlocked),
        };
        if !is_left_out {
            shard.lock().at("lock", &self.layout.shard(of, hash))?;
        }
        Ok(shard)
    }

    /// The directory of a hash's entries, which is made if it is not there.
    pub(super) fn open_shard(&self, of: EntryOf, hash: KeyHash) -> Result<F::File> {
        let shard = self.layout.shard(of, hash);
        for _ in 0..TRIES {
            match self.fs().open_dir(&shard) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other.at("open", &shard),
            }
            // It is never removed, since it is a lock.
            for dir in [self.layout.entries(of), shard.clone()] {
                // (The spare ones are for those who take messages out.)
                match self.fs().mkdir(&dir, self.modes.dir) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).at("create", &dir),
                    _ => {}
                }
            }
        }
        Err(self.vanished(&shard))
    }

    /// The entries of a hash. The caller has its lock, or takes what he sees for what it was.
    pub(super) fn entries_with(&self, of: EntryOf, hash: KeyHash) -> Result<Vec<Entry>> {
        let shard = self.layout.shard(of, hash);
        let found = self.names_in(&shard)?.into_iter().filter_map(|(file_name, _)| {
            let name: EntryName = file_name.parse().ok()?;
            (name.hash == hash).then(|| Entry { of, name, path: shard.join(file_name) })
        });
        Ok(found.collect())
    }

    pub(super) fn make_entry(&self, of: EntryOf, message: &Path, entry: &Path, durability: Durability) -> Result<()> {
        self.fs().link(message, entry).at("make the entry at", entry)?;
        let is_left_out = match of {
            EntryOf::Unique => self.commits(Fault::UniqueNotSynced),
            // In order of the metadata no later name comes without it, and without it nothing is lost but a turn.
            EntryOf::Group => self.spool.names() == Names::Ordered || self.commits(Fault::GroupNotSynced),
        };
        if durability == Durability::Full && !is_left_out { self.sync_entry(entry) } else { Ok(()) }
    }

    /// Makes an entry's name durable; the directory of all of its kind, too, was made by the first who needed it.
    pub(super) fn sync_entry(&self, entry: &Path) -> Result<()> {
        let shard = entry.parent().unwrap_or(entry);
        if self.spool.names() == Names::Ordered {
            self.sync_upward(shard)
        } else {
            self.sync_from(self.layout.dir(), shard)
        }
    }

    /// The entries of the message at `path`, in whichever queue it was put to. A message that cannot be read does not say
    /// what it is the only one of, and is looked for by its id.
    pub(super) fn entries_at(&self, id: MessageId, path: &Path, status: Status) -> Result<Vec<Entry>> {
        if status.links < 2 {
            return Ok(Vec::new());
        }
        let opened = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(ReadError::Io).and_then(Opened::<F::File>::new),
        };
        match opened {
            Ok(opened) => self.entries_that_are(&opened.message, status),
            Err(_) => only_same(self.entries_by_id(id)?, status, self.fs()),
        }
    }

    /// Those entries of a message that are there, and are its file.
    fn entries_that_are(&self, message: &Message, status: Status) -> Result<Vec<Entry>> {
        let put_to = Layout::new(self.spool.root().join(message.queue.as_str()));
        let mut candidates = Vec::new();
        for (of, name) in entries_of(message) {
            // Here, too, if the queue's directory was given another name.
            let mut paths = vec![self.layout.entry(of, &name), put_to.entry(of, &name)];
            paths.dedup();
            candidates.extend(paths.into_iter().map(|path| Entry { of, name, path }));
        }
        only_same(candidates, status, self.fs())
    }

    /// Whether the file of an entry of the message `id` has other names than entries, and than `besides`: its message is
    /// somewhere.
    ///
    /// Nobody holds still meanwhile: an entry that was counted among the names may be removed before it is looked for, and
    /// one that is given another name be met under both. So it is what two looks in a row agree on.
    pub(super) fn has_message(&self, id: MessageId, file: &Arc<F::File>, besides: Option<&Path>) -> Result<bool> {
        let mut last = None;
        for _ in 0..TRIES {
            let status = file.status().at("read", self.layout.dir())?;
            if status.links < 2 {
                return Ok(false);
            }
            let entries = match Opened::<F::File>::new(Arc::clone(file)) {
                Ok(opened) => self.entries_that_are(&opened.message, status)?,
                // Damaged; or its writer died between making an entry and the header.
                Err(_) => only_same(self.entries_by_id(id)?, status, self.fs())?,
            };
            let is_same_file = |path: &Path| self.fs().status(path).is_ok_and(|its| is_same(its, status));
            let known = entries.len() as u64 + u64::from(besides.is_some_and(is_same_file));
            let found = (status.links, known);
            if last.replace(found) == Some(found) {
                return Ok(status.links > known);
            }
        }
        // Somebody is at it all the time: it is there.
        Ok(true)
    }

    /// The entries that have the id in their names, in this queue.
    fn entries_by_id(&self, id: MessageId) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        for of in EntryOf::ALL {
            for shard in (0..SHARDS).map(|number| self.layout.shard_at(of, number)) {
                for (file_name, _) in self.names_in(&shard)? {
                    if let Some(name) = file_name.parse::<EntryName>().ok().filter(|entry| entry.id == id) {
                        found.push(Entry { of, name, path: shard.join(file_name) });
                    }
                }
            }
        }
        Ok(found)
    }

    /// What is known of a message's file, its names counted without those of its entries; nothing if it is gone. An error
    /// is no answer: who takes an entry for another name of the message would look for that one, and remove it.
    pub(super) fn without_entries(&self, id: MessageId, path: &Path, mut status: Status) -> Result<Option<Status>> {
        while status.links > 1 {
            let entries = self.entries_at(id, path, status)?.len() as u64;
            if entries + 1 >= status.links {
                return Ok(Some(Status { links: 1, ..status }));
            }
            // Some may have been removed, or made, since the names were counted.
            match self.fs().status(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).at("read", path),
                Ok(now) if now.links == status.links => {
                    return Ok(Some(Status { links: status.links - entries, ..status }));
                }
                Ok(now) => status = now,
            }
        }
        Ok(Some(status))
    }

    /// Before a message is removed: keeps the window of its key, which goes on. On a full disk it ends with the message.
    pub(super) fn keep_window(&self, entry: &Entry, durability: Durability) -> Result<()> {
        if entry.window().is_none_or(|until| until.is_due(self.now())) {
            return Ok(());
        }
        let path = self.layout.temporary(self.spool.new_id(self.now()));
        let kept = self.create_temporary(&path).and_then(|file| {
            file.write_all_at(&window_text(&entry.path), 0).at("write", &path)?;
            if durability == Durability::Full {
                file.sync().at("sync", &path)?;
            }
            self.fs().replace(&path, &entry.path).at("keep the unique key at", &entry.path)?;
            if durability == Durability::Full { self.sync_entry(&entry.path) } else { Ok(()) }
        });
        match kept {
            Err(error) => {
                let _ = self.fs().unlink(&path);
                let is_full = matches!(&error, Error::Io { source, .. } if is_out_of_space(source));
                if is_full { Ok(()) } else { Err(error) }
            }
            kept => kept,
        }
    }

    /// After a message was removed: what it had an entry for is free, unless there is a window. Left to others if that
    /// fails.
    pub(super) fn free(&self, entry: &Entry, durability: Durability) {
        if entry.of == EntryOf::Group {
            // A removal that a power cut can still take back must not come back to another one's turn.
            if self.spool.names() == Names::Ordered || durability == Durability::None {
                let _ = self.fs().unlink(&entry.path);
            }
            self.note_turn(entry.name.hash);
        } else if entry.window().is_none_or(|until| until.is_due(self.now())) {
            let _ = self.fs().unlink(&entry.path);
        } else {
            let _ = self.forget_unless_doubled(&entry.path);
        }
    }

    /// Moves a message out of the queue, to `to` in another one or among what is set aside, and lets go what it had
    /// entries for; its key in the queue `keeping` is in force there. That is best effort once the message is where it should
    /// be: who meets an entry that is marked as given up looks whether it is.
    pub(super) fn transfer_out(
        &self,
        name: &MessageName,
        from: &Path,
        to: &Path,
        durability: Durability,
        keeping: Option<&Layout>,
    ) -> Result<Moved> {
        let marked = self.mark_leaving(&EntryOf::ALL, name.id, from, durability)?;
        let (room, expiry) = (self.room_at(from), self.marker_of(name, from));
        let moved = self.transfer(name, from, to, durability);
        match moved {
            Ok(Moved::Yes) => {
                self.give_room_back(room);
                self.remove_marker(expiry);
            }
            // Whoever was faster took it to another place of the queue, or has freed it already.
            Ok(Moved::Gone) => {
                for Marked { plain, leaving, .. } in &marked {
                    let _ = self.rename_entry(leaving, plain, durability);
                }
                return moved;
            }
            // It may have got there, or not: that will be looked for.
            Err(_) => {
                for Marked { hash, .. } in marked.iter().filter(|marked| marked.of == EntryOf::Group) {
                    self.note_turn(*hash);
                }
                return moved;
            }
        }
        if let Ok(status) = self.fs().status(to)
            && let Ok(entries) = self.entries_at(name.id, to, status)
        {
            let is_kept = |entry: &Entry| {
                entry.of == EntryOf::Unique && keeping.is_some_and(|there| entry.path.starts_with(there.dir()))
            };
            for entry in entries.into_iter().filter(|entry| !is_kept(entry)) {
                if entry.window().is_some() {
                    if self.keep_window(&entry, durability).is_ok() {
                        self.free(&entry, durability);
                    }
                    continue;
                }
                // Where the old name is to be removed later, it stays marked until then.
                if self.shared.borrow().is_none() {
                    let _ = self.forget(&entry.path, durability == Durability::None);
                }
                if entry.of == EntryOf::Group {
                    self.note_turn(entry.name.hash);
                }
            }
        }
        moved
    }

    /// Marks what a message has entries for, of these kinds, as about to be given up: its message will be elsewhere, and
    /// its entry still have two names.
    pub(super) fn mark_leaving(
        &self,
        kinds: &[EntryOf],
        id: MessageId,
        path: &Path,
        durability: Durability,
    ) -> Result<Vec<Marked>> {
        let mut marked = Vec::new();
        let is_left_out = |of: EntryOf| match of {
            EntryOf::Group => self.commits(Fault::GroupUnmarked),
            EntryOf::Unique => self.commits(Fault::ArchiveUnmarked),
        };
        let status = match self.fs().status(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(marked),
            other => other.at("read", path)?,
        };
        for entry in self.entries_at(id, path, status)? {
            let is_meant = kinds.contains(&entry.of) && !is_left_out(entry.of);
            if !is_meant || entry.name.is_leaving || entry.name.until.is_some() {
                continue;
            }
            let leaving = entry.path.with_file_name(EntryName { is_leaving: true, ..entry.name }.to_string());
            if self.rename_entry(&entry.path, &leaving, durability)? == Moved::Gone {
                continue;
            }
            marked.push(Marked { of: entry.of, hash: entry.name.hash, plain: entry.path, leaving });
        }
        Ok(marked)
    }

    /// Gives an entry another name, durably where its message may be moved durably before.
    pub(super) fn rename_entry(&self, from: &Path, to: &Path, durability: Durability) -> Result<Moved> {
        let is_classical = self.is_classical(durability);
        // Where the halves of a rename may part, there is a name at every moment; both are as good as the marked one.
        let moved = if is_classical { self.fs().link(from, to) } else { self.fs().rename(from, to) };
        match moved {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::Gone),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.forget(from, true)?,
            Err(error) => return Err(error).at("rename", from),
        }
        if durability == Durability::Full && self.spool.names() != Names::Ordered {
            self.sync_entry(to)?;
        }
        if is_classical {
            self.forget(from, true)?;
        }
        Ok(Moved::Yes)
    }

    /// Removes an entry that is the last name of its file, and that is no window's.
    pub(super) fn forget_unless_doubled(&self, entry: &Path) -> Result<()> {
        if self.is_left_over(entry) { self.forget(entry, false) } else { Ok(()) }
    }

    /// Removes an entry whose message is gone, or may be there (then its window is over). A power cut must not bring that
    /// back when its key is another's: what removed it may not have come to the sync.
    pub(super) fn forget(&self, entry: &Path, may_be_there: bool) -> Result<()> {
        if !may_be_there && self.spool.names() != Names::Ordered {
            let root = self.spool.root();
            self.fs().sync_file_system(root).at("sync", root)?;
        }
        match self.fs().unlink(entry) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("delete", entry),
            _ => Ok(()),
        }
    }

    /// Whether an entry's file has no names but entries, and keeps no window.
    pub(super) fn is_left_over(&self, entry: &Path) -> bool {
        let name = entry.file_name().and_then(|name| name.to_str()?.parse::<EntryName>().ok());
        let (Some(name), Ok(file)) = (name, self.fs().open(entry, Access::Read)) else { return false };
        let Ok(status) = file.status() else { return false };
        if self.is_kept_window(entry, status) {
            return false;
        }
        match self.has_message(name.id, &Arc::new(file), None) {
            Ok(false) => true,
            // A turn is looked at by who gives turns.
            Ok(true) => {
                entry.starts_with(self.layout.entries(EntryOf::Unique))
                    && self.is_marked(&name, entry)
                    && self.is_elsewhere(name.id, entry, status).is_ok_and(|is_elsewhere| is_elsewhere)
            }
            Err(_) => false,
        }
    }

    /// Whether an entry has the mark, or there is one beside it that has.
    pub(super) fn is_marked(&self, name: &EntryName, entry: &Path) -> bool {
        let leaving = || entry.with_file_name(EntryName { is_leaving: true, ..*name }.to_string());
        name.is_leaving || name.until.is_none() && self.fs().status(&leaving()).is_ok()
    }

    /// Whether the message of an entry that has the mark has left: it has names, and none of them in this queue, but for
    /// what is set aside or archived.
    pub(super) fn is_elsewhere(&self, id: MessageId, entry: &Path, status: Status) -> Result<bool> {
        let names = self.other_names(id, &[], entry, status)?;
        let away = [self.layout.corrupt(), self.layout.archive()];
        let is_here =
            |path: &PathBuf| path.starts_with(self.layout.dir()) && !away.iter().any(|dir| path.starts_with(dir));
        Ok(!names.is_empty() && !names.iter().any(is_here))
    }

    /// Whether an entry is that of a window whose message is gone. (What a power cut left of a message is not.)
    pub(super) fn is_kept_window(&self, entry: &Path, status: Status) -> bool {
        let text = window_text(entry);
        status.links == 1
            && status.len_bytes == text.len() as u64
            && self.fs().open(entry, Access::Read).is_ok_and(|file| {
                let mut found = vec![0; text.len()];
                file.read_at(&mut found, 0).is_ok() && found == text
            })
    }
}

/// What the entry of a window says when its message is gone: its name.
fn window_text(entry: &Path) -> Vec<u8> {
    let mut text = entry.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    text.push(b'\n');
    text
}

/// Those of the entries that are this file.
fn only_same<F: Fs>(candidates: Vec<Entry>, status: Status, fs: &F) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in candidates {
        match fs.status(&entry.path) {
            Ok(its) if is_same(its, status) => found.push(entry),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("read", &entry.path),
            _ => {}
        }
    }
    Ok(found)
}

pub(super) fn is_same(a: Status, b: Status) -> bool {
    (a.device, a.inode) == (b.device, b.inode)
}
