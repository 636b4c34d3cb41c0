//! Unique keys: of one key there is at most one message at a time, and nobody has to watch over it.
//!
//! The entry `unique/HH/HASH.ID` of a key is in force while its file has another name; when its message is gone the key is
//! free in the same moment. A window is in the entry's name (`HASH.ID.UNTIL`), and outlives its message as a small file of
//! its own that says that very name.
//!
//! Invariants:
//! - Only who has the lock of the key's shard gives a key away. He has it from before he looks until his message is
//!   durable, so whoever looks next sees a message that was put, or one whose writer died.
//! - The entry is made, and durable, before the message's file is complete: nothing that could become a message is ever
//!   without its entry. (A complete temporary of a dead writer may be published at any time.)
//! - Who finds the key in force makes that message durable before he says so: its sender may have died before he had.
//!
//! A message that leaves its queue (deleted, dead, moved, set aside) gives up its key right after; of one who dies in
//! between, what a delete left is taken by the next put with the key or by the sweep, which looks at one shard a second.
//! A message that goes to the archive or to another queue keeps its file, so its entry is marked before (`.leaving`): a
//! marked one is in force only while its message has a name where messages live in this queue.
//!
//! A message that is moved takes its key along (but for a window, which is the matter of the queue that it was put to): under
//! the lock of the key there, a marked entry is made first, the message moved, and the mark taken away. Where another message
//! has the key, it stays where it was.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::{Entry, is_same};
use super::fs::{Access, Fault, FileHandle, Fs, Names};
use super::layout::{EntryName, EntryOf};
use super::record::{Opened, ReadError};
use super::sweep::Swept;
use super::{Order, Queue};
use crate::domain::{Clock, Durability, KeyHash, MessageId, Policy, UniqueKey, UnixSeconds, lifecycle};
use crate::store::{At, Error, Result};

/// How often something may change under who looks.
const TRIES: usize = 32;

/// A unique key that is taken for a message on its way to the queue.
pub(super) struct KeyOnTheWay<L> {
    /// The lock of the key's shard: nobody takes it meanwhile.
    lock: L,
    entry: PathBuf,
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// The message of the key that is in force, if there is one. What is in force no more is removed. The caller has the
    /// lock of the key.
    pub(super) fn in_force(&self, hash: KeyHash, durability: Durability, policy: &Policy) -> Result<Option<MessageId>> {
        for Entry { name, path, .. } in self.entries_with(EntryOf::Unique, hash)? {
            let is_over = name.until.is_some_and(|until| until.is_due(self.now()));
            if !is_over && self.is_in_force(&name, &path, durability, policy)? {
                return Ok(Some(name.id));
            }
            self.forget(&path, is_over || durability == Durability::None)?;
        }
        Ok(None)
    }

    fn is_in_force(&self, entry: &EntryName, path: &Path, durability: Durability, policy: &Policy) -> Result<bool> {
        self.settle(entry.id, policy)?;
        let file = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.at("open", path)?,
        };
        let file = Arc::new(file);
        let status = file.status().at("read", path)?;
        if !self.is_kept_window(path, status) {
            // What could not be settled is in `tmp/` still, and may never be a message.
            if !self.has_message(entry.id, &file, Some(&self.layout.temporary(entry.id)))? {
                // Since it was opened its message may have been deleted, and its window kept in a file of its own: that
                // is done once, so this looks again once.
                return match self.fs().status(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Ok(now) if !is_same(now, status) => self.is_in_force(entry, path, durability, policy),
                    other => other.at("read", path).map(|_| false),
                };
            }
            // Who has marked it may be about to archive its message, or have died before or after that: the mark stays.
            if self.is_marked(entry, path) && self.is_elsewhere(entry.id, path, status)? {
                return Ok(false);
            }
            match Opened::<F::File>::new(Arc::clone(&file)) {
                // A window goes on whatever becomes of the message.
                _ if entry.until.is_some() => {}
                // Who has claimed it in time may be at work on it.
                Ok(opened) => {
                    let (message, _, file, place) = opened.unchecked();
                    let is_expired =
                        lifecycle::is_expired(self.facts_of(&message, &file, place, 0, policy), policy, self.now());
                    if is_expired && !self.is_claimed(entry.id)? {
                        return Ok(false);
                    }
                }
                // It will be set aside.
                Err(ReadError::Damaged(_)) => return Ok(false),
                Err(ReadError::Io(error)) => return Err(error).at("read", path),
            }
        }
        if durability == Durability::Full {
            self.make_all_durable(&*file, path)?;
        }
        Ok(true)
    }

    /// Takes the key for the message at `path`, which is about to be moved to this queue. Its entry is marked: before the
    /// message is here it is in force for nobody, whoever dies meanwhile. Nothing if the message is gone.
    ///
    /// Errors: [`Error::KeyTaken`], by another message.
    pub(super) fn take_key(
        &self,
        key: &UniqueKey,
        id: MessageId,
        path: &Path,
        durability: Durability,
        policy: &Policy,
    ) -> Result<Option<KeyOnTheWay<F::File>>> {
        let lock = self.lock_shard(EntryOf::Unique, key.hash())?;
        match self.in_force(key.hash(), durability, policy)? {
            Some(holder) if holder != id => {
                return Err(Error::KeyTaken { queue: self.name.clone(), id, key: key.clone(), holder });
            }
            _ => {}
        }
        let is_leaving = !self.commits(Fault::KeyBeforeMessage);
        let entry = self.layout.entry(EntryOf::Unique, &EntryName { hash: key.hash(), id, until: None, is_leaving });
        for _ in 0..TRIES {
            match self.make_entry(EntryOf::Unique, path, &entry, durability) {
                Ok(()) => return Ok(Some(KeyOnTheWay { lock, entry })),
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
                // Of a mover who died; the message may have got another file since.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    self.forget(&entry, true)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.vanished(&entry))
    }

    /// Lets a key be in force whose message is here, or gives it up; where it is not known which, it stays marked.
    pub(super) fn settle_key(&self, key: KeyOnTheWay<F::File>, is_here: Option<bool>, durability: Durability) {
        let KeyOnTheWay { lock, entry } = key;
        // Whoever meets the mark looks whether the message is here: the rest is for speed.
        let _ = match (is_here, plain_of(&entry)) {
            (Some(true), Some(plain)) => self.rename_entry(&entry, &plain, durability).map(drop),
            (Some(false), _) => self.forget(&entry, true),
            _ => Ok(()),
        };
        drop(lock);
    }

    fn is_claimed(&self, id: MessageId) -> Result<bool> {
        let mut is_claimed = false;
        let flow = self.each_claimed(&mut |_, name, _| {
            is_claimed |= name.id == id;
            if is_claimed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(flow.is_break())
    }

    /// Makes durable what another sender may have died over: the message and the name that it has now.
    fn make_all_durable(&self, file: &F::File, entry: &Path) -> Result<()> {
        if self.spool.names() != Names::Ordered {
            let root = self.spool.root();
            return self.fs().sync_file_system(root).at("sync", root);
        }
        file.sync().at("sync", entry)?;
        // Whichever of its names it has: this one was the first, and all that came later is in order.
        let tmp = self.layout.tmp();
        self.fs().sync_dir(&tmp).at("sync", &tmp)?;
        self.sync_entry(entry)
    }

    /// Lets what a dead writer left become a message, or nothing. (The caller has the lock of the key, and the writer had
    /// it, so he is dead or has failed.)
    fn settle(&self, id: MessageId, policy: &Policy) -> Result<()> {
        let path = self.layout.temporary(id);
        for _ in 0..TRIES {
            let file = match self.fs().open(&path, Access::ReadWrite) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other.at("open", &path)?,
            };
            // A sweeper may have it, for a moment.
            file.lock().at("lock", &path)?;
            if self.spool.order() == Order::Classical {
                let file = Arc::new(file);
                let is_complete = || Opened::<F::File>::new(Arc::clone(&file)).and_then(Opened::check).is_ok();
                // It is a message or it is none: whoever knows the file system will say.
                if self.spool.names() == Names::Unknown && is_complete() {
                    return Ok(());
                }
                return match self.fs().unlink(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("delete", &path),
                    _ => Ok(()),
                };
            }
            drop(file);
            self.begin_boot()?;
            self.sweep_this(id, &path, policy, true)?;
        }
        let source = io::Error::other("the temporary of the message that has the unique key stays");
        Err(Error::Io { action: "sweep", path, source })
    }

    /// Removes the entries that are left of messages, in one shard.
    pub(super) fn sweep_keys(&self, _: &Policy, _: &mut Swept) -> Result<()> {
        let now = self.now();
        let shard = self.layout.shard_at(EntryOf::Unique, turn_of(now.floor_seconds()));
        for (file_name, _) in self.names_in(&shard)? {
            let Ok(entry) = file_name.parse::<EntryName>() else { continue };
            let path = shard.join(file_name);
            if entry.until.is_some_and(|until| until.is_due(now)) {
                let _ = self.fs().unlink(&path);
            } else {
                // Another one will, if this one cannot.
                let _ = self.forget_unless_doubled(&path);
            }
        }
        Ok(())
    }
}

/// The name of a marked entry without its mark.
fn plain_of(entry: &Path) -> Option<PathBuf> {
    let name: EntryName = entry.file_name()?.to_str()?.parse().ok()?;
    Some(entry.with_file_name(EntryName { is_leaving: false, ..name }.to_string()))
}

/// Which shard is swept in a second. Multiples of the golden ratio (Knuth, volume 3, section 6.4) come to all shards
/// alike, also for a receiver that cron starts, always in the same second of a minute.
pub(super) fn turn_of(second: UnixSeconds) -> u64 {
    second.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}
