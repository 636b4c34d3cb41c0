//! Unique keys: of one key there is at most one message at a time, and nobody has to watch over it.
//!
//! The entry `unique/HH/HASH.ID` of a key is a second name of the message's own file, so the file system itself counts
//! what has to be known: while the message has a name, anywhere in the queue, its file has two; when that is gone, by
//! whomever and however, the entry is the last one, and the key is free in the same moment. A window is in the entry's
//! name (`HASH.ID.UNTIL`), and outlives its message as a small file of its own that says that very name.
//!
//! Invariants:
//! - Only who has the lock of the key's shard, its directory, gives a key away. He has it from before he looks until his
//!   message is durable, so whoever looks next sees a message that was put, or one whose writer died.
//! - The entry is made, and durable, before the message's file is complete: nothing that could become a message is ever
//!   without its entry. (A complete temporary of a dead writer may be published at any time.)
//! - An entry has its message's id in its name and so is nobody else's: removing it needs no lock.
//! - Who finds the key in force makes that message durable before he says so: its sender may have died before he had.
//!
//! A message that leaves its queue (deleted, dead, moved, set aside) gives up its key right after; of one who dies in
//! between, what a delete left is taken by the next put with the key or by the sweep, which looks at one shard a second.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Access, Fault, FileHandle, Fs, Names, Status, is_out_of_space};
use super::layout::{EntryName, SHARDS};
use super::put::write_body;
use super::record::{Draft, Opened, ReadError};
use super::sweep::Swept;
use super::{Order, Queue};
use crate::domain::{
    Clock, Durability, KeyHash, MessageId, MessageName, NewMessage, Policy, Unique, UnixSeconds, lifecycle,
};
use crate::store::{At, Error, Message, Result, UniquePut};

/// How often something may change under who looks.
const TRIES: usize = 32;

/// The entry that a message has, if it is the only one of a key.
fn entry_of(message: &Message) -> Option<EntryName> {
    let key = message.unique.as_ref()?;
    Some(EntryName { hash: key.hash(), id: message.id, until: message.unique_until })
}

/// A message's entry, found.
pub(super) struct Entry {
    path: PathBuf,
    until: Option<UnixSeconds>,
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn put_unique(&self, new: &NewMessage, unique: &Unique, body: &mut dyn Read) -> Result<UniquePut> {
        let policy = self.policy()?;
        if let (Some(window), Some(retention)) = (unique.window, policy.retention)
            && window > retention
        {
            return Err(Error::UniqueForTooLong { queue: self.name.clone(), window, retention });
        }
        let durability = new.durability.unwrap_or(policy.durability);
        let now = self.now();
        let (mut message, state) = self.describe(new, &policy, now);
        message.unique = Some(unique.key.clone());
        message.unique_until = unique.window.map(|window| now.plus(window).ceil_seconds());
        let entry = EntryName { hash: unique.key.hash(), id: message.id, until: message.unique_until };
        let draft = Draft::new(&message)?;

        let mut temporary = self.begin_temporary(message.id)?;
        // Nobody waits for the lock of the key while a body comes in.
        let (len_bytes, crc) = write_body(&temporary.file, &temporary.path, draft.len(), body)?;
        let lock = self.lock_key(entry.hash)?;
        if let Some(id) = self.in_force(entry.hash, durability, &policy)? {
            return Ok(UniquePut::Present(id));
        }
        let path = self.layout.entry(&entry);
        let is_late = self.commits(Fault::UniqueAfterPublish);
        let put = || -> Result<()> {
            if !is_late {
                self.make_entry(&temporary.path, &path, durability)?;
            }
            temporary.file.write_all_at(&draft.finish(len_bytes, crc), 0).at("write", &temporary.path)?;
            let to = self.publish_temporary(&mut temporary, &message, new.deliveries(), state, durability)?;
            if is_late { self.make_entry(&to, &path, durability) } else { Ok(()) }
        }();
        drop(temporary);
        if put.is_err() {
            // Where it could not be taken back, it keeps its key.
            let _ = self.forget_unless_doubled(&path);
        }
        drop(lock);
        put?;
        self.after_put(state, &policy);
        Ok(UniquePut::New(message.id))
    }

    /// The lock of a key, and of those that share its shard: before all others in the order of `lock`.
    fn lock_key(&self, hash: KeyHash) -> Result<F::File> {
        let shard = self.layout.shard(hash);
        for _ in 0..TRIES {
            match self.fs().open_dir(&shard) {
                Ok(dir) => {
                    if !self.commits(Fault::UniqueUnlocked) {
                        dir.lock().at("lock", &shard)?;
                    }
                    return Ok(dir);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at("open", &shard),
            }
            // It is never removed, since it is a lock.
            for dir in [self.layout.unique(), shard.clone()] {
                // (The spare ones are for those who take messages out.)
                match self.fs().mkdir(&dir, self.modes.dir) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).at("create", &dir),
                    _ => {}
                }
            }
        }
        Err(self.vanished(&shard))
    }

    fn make_entry(&self, message: &Path, entry: &Path, durability: Durability) -> Result<()> {
        self.fs().link(message, entry).at("make the entry of the unique key at", entry)?;
        if durability == Durability::Full && !self.commits(Fault::UniqueNotSynced) {
            self.sync_entry(entry)
        } else {
            Ok(())
        }
    }

    /// Makes an entry's name durable; `unique/` itself, too, was made by the first who needed it.
    fn sync_entry(&self, entry: &Path) -> Result<()> {
        let shard = entry.parent().unwrap_or(entry);
        if self.spool.names() == Names::Ordered {
            self.sync_upward(shard)
        } else {
            self.sync_from(self.layout.dir(), shard)
        }
    }

    /// The message of the key that is in force, if there is one. What is in force no more is removed. The caller has the
    /// lock of the key.
    fn in_force(&self, hash: KeyHash, durability: Durability, policy: &Policy) -> Result<Option<MessageId>> {
        let shard = self.layout.shard(hash);
        for (file_name, _) in self.names_in(&shard)? {
            let Some(entry) = file_name.parse::<EntryName>().ok().filter(|entry| entry.hash == hash) else { continue };
            let path = shard.join(file_name);
            let is_over = entry.until.is_some_and(|until| until.is_due(self.now()));
            if !is_over && self.is_in_force(&entry, &path, durability, policy)? {
                return Ok(Some(entry.id));
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
            let temporary = self.fs().status(&self.layout.temporary(entry.id));
            let is_temporary = temporary.is_ok_and(|temporary| is_same(temporary, status));
            if status.links < 2 + u64::from(is_temporary) {
                // Since it was opened its message may have been deleted, and its window kept in a file of its own: that
                // is done once, so this looks again once.
                return match self.fs().status(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Ok(now) if !is_same(now, status) => self.is_in_force(entry, path, durability, policy),
                    other => other.at("read", path).map(|_| false),
                };
            }
            match Opened::<F::File>::new(Arc::clone(&file)) {
                // A window goes on whatever becomes of the message.
                _ if entry.until.is_some() => {}
                // Who has claimed it in time may be at work on it.
                Ok(opened) if lifecycle::is_expired(opened.message.facts(0), policy, self.now()) => {
                    if !self.is_claimed(entry.id)? {
                        return Ok(false);
                    }
                }
                Ok(_) => {}
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

    /// The entry of the message at `path`, if it has one, in whichever queue it was put to. A message that cannot be read
    /// does not say its key, and is looked for by its id.
    pub(super) fn entry_at(&self, id: MessageId, path: &Path, status: Status) -> Result<Option<Entry>> {
        if status.links < 2 {
            return Ok(None);
        }
        let opened = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ReadError::Io).and_then(Opened::new),
        };
        let found = match opened {
            Ok(opened) => {
                let Some(entry) = entry_of(&opened.message) else { return Ok(None) };
                let layout = super::Layout::new(self.spool.root().join(opened.message.queue.as_str()));
                // Here, too, if the queue's directory was given another name.
                let mut paths = vec![layout.entry(&entry), self.layout.entry(&entry)];
                paths.dedup();
                paths.into_iter().map(|path| (path, entry.until)).collect()
            }
            Err(_) => self.entries_by_id(id)?,
        };
        for (path, until) in found {
            match self.fs().status(&path) {
                Ok(entry) if is_same(entry, status) => return Ok(Some(Entry { path, until })),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("read", &path),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The entries that have the id in their names, in this queue.
    fn entries_by_id(&self, id: MessageId) -> Result<Vec<(PathBuf, Option<UnixSeconds>)>> {
        let mut found = Vec::new();
        for shard in (0..SHARDS).map(|number| self.layout.shard_at(number)) {
            for (file_name, _) in self.names_in(&shard)? {
                if let Some(entry) = file_name.parse::<EntryName>().ok().filter(|entry| entry.id == id) {
                    found.push((shard.join(file_name), entry.until));
                }
            }
        }
        Ok(found)
    }

    /// What is known of a message's file, its names counted without that of its entry; nothing if it is gone. An error is
    /// no answer: who takes an entry for another name of the message would look for that one, and remove it.
    pub(super) fn without_entry(&self, id: MessageId, path: &Path, mut status: Status) -> Result<Option<Status>> {
        while status.links > 1 {
            if self.entry_at(id, path, status)?.is_some() {
                return Ok(Some(Status { links: status.links - 1, ..status }));
            }
            // It may have been removed since the names were counted.
            match self.fs().status(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).at("read", path),
                Ok(now) if now.links == status.links => break,
                Ok(now) => status = now,
            }
        }
        Ok(Some(status))
    }

    /// Before a message is removed: keeps the window of its key, which goes on. On a full disk it ends with the message.
    pub(super) fn keep_window(&self, entry: &Entry, durability: Durability) -> Result<()> {
        if entry.until.is_none_or(|until| until.is_due(self.now())) {
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

    /// After a message was removed: its key is free, unless there is a window. Left to others if that fails.
    pub(super) fn free_key(&self, entry: &Entry) {
        if entry.until.is_none_or(|until| until.is_due(self.now())) {
            let _ = self.fs().unlink(&entry.path);
        } else {
            let _ = self.forget_unless_doubled(&entry.path);
        }
    }

    /// The message has left the queue, and lies at `path` now: its key is free, or goes on for its window. Best effort, as
    /// the message is where it should be: where it fails the key is free when the message is deleted there.
    pub(super) fn leave_key(&self, name: &MessageName, path: &Path, durability: Durability) {
        if let Ok(status) = self.fs().status(path)
            && let Ok(Some(entry)) = self.entry_at(name.id, path, status)
            && self.keep_window(&entry, durability).is_ok()
        {
            self.free_key(&entry);
        }
    }

    /// Removes an entry that is the last name of its file, and that is no window's.
    pub(super) fn forget_unless_doubled(&self, entry: &Path) -> Result<()> {
        if self.is_left_over(entry) { self.forget(entry, false) } else { Ok(()) }
    }

    /// Removes an entry whose message is gone, or may be there (then its window is over). A power cut must not bring that
    /// back when its key is another's: what removed it may not have come to the sync.
    fn forget(&self, entry: &Path, may_be_there: bool) -> Result<()> {
        if !may_be_there && self.spool.names() != Names::Ordered {
            let root = self.spool.root();
            self.fs().sync_file_system(root).at("sync", root)?;
        }
        match self.fs().unlink(entry) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("delete", entry),
            _ => Ok(()),
        }
    }

    /// Whether an entry is the last name of its file, and keeps no window.
    pub(super) fn is_left_over(&self, entry: &Path) -> bool {
        self.fs().status(entry).is_ok_and(|status| status.links == 1 && !self.is_kept_window(entry, status))
    }

    /// Whether an entry is that of a window whose message is gone. (What a power cut left of a message is not.)
    fn is_kept_window(&self, entry: &Path, status: Status) -> bool {
        let text = window_text(entry);
        status.links == 1
            && status.len_bytes == text.len() as u64
            && self.fs().open(entry, Access::Read).is_ok_and(|file| {
                let mut found = vec![0; text.len()];
                file.read_at(&mut found, 0).is_ok() && found == text
            })
    }

    /// Removes the entries that are left of messages, in one shard.
    pub(super) fn sweep_keys(&self, _: &Policy, _: &mut Swept) -> Result<()> {
        let now = self.now();
        let shard = self.layout.shard_at(turn_of(now.floor_seconds()));
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

/// Which shard is swept in a second. Multiples of the golden ratio (Knuth, volume 3, section 6.4) come to all shards
/// alike, also for a receiver that cron starts, always in the same second of a minute.
fn turn_of(second: UnixSeconds) -> u64 {
    second.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}

/// What the entry of a window says when its message is gone: its name.
fn window_text(entry: &Path) -> Vec<u8> {
    let mut text = entry.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    text.push(b'\n');
    text
}

fn is_same(a: Status, b: Status) -> bool {
    (a.device, a.inode) == (b.device, b.inode)
}
