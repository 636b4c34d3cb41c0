//! The directory engine: a queue is a directory, a message a file, a transition one rename.
//!
//! What each part owns:
//!
//! - [`fs`]: the calls to the system, as a trait; `lock`: the locks and their order;
//! - `layout`: which path means what; `record`: the bytes of a message file;
//! - `moves`: how a name gets from one place to another so that a power cut cannot lose it;
//! - `modes`: who may do what with what is made;
//! - `sequence`: the counter that orders a queue;
//! - `queues`: how queues are made and dropped; `policy`: what one is told to do;
//! - `temporaries`: what writers left who died before they had published it;
//! - `entries`: second names of messages, for `unique`, the keys of which there is one message at a time, and for
//!   `groups`, of which one message at a time is deliverable;
//! - `room`: how much a queue holds, where that is capped, and how much its disk has left;
//! - `expiry`: what is too old, and how it is found;
//! - `put`, `keyed`, `batch`, `atomic`, `claim`, `finish`, `archive`, `sweep`, `look`, `bulk`, `edit`: the methods of [`Store`], by theme;
//! - `fsck`: explains what is wrong, and mends it;
//! - this file: a spool and its queues as things: opening, making, dropping, and the policy.
//!
//! Invariants: all mutable state of a message is in its path, its bytes are written once; what is named in
//! `ready/`, `delayed/` or `claimed/` is complete; a queue's directory is there whole or not at all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use self::fs::{Access, Fault, FileHandle, Fs, Kind, Names, RealFs, Status};
use self::layout::Layout;
use self::modes::{Heir, Modes, PRIVATE};
use self::moves::SharedMoves;
use super::{
    AfterEach, Archived, At, AtomicBatch, BatchOutcome, ClaimRequest, Claims, Error, Failure, Filter, Listed, Peeked,
    Result, Rewrite, Stat, Store, UniquePut, Watch, Which,
};
use crate::domain::queue::PolicyError;
use crate::domain::{
    Clock, Durability, KeyHash, MessageId, NewMessage, Policy, QueueName, Receipt, SystemClock, Unique, UnixMillis,
    UnixSeconds,
};

mod archive;
mod atomic;
mod batch;
mod bulk;
mod claim;
mod edit;
mod entries;
mod expiry;
mod fault;
mod finish;
pub mod fs;
pub mod fsck;
#[cfg(fuzzing)]
pub mod fuzzing;
mod groups;
mod keyed;
mod layout;
mod lock;
mod look;
mod modes;
mod move_lock;
mod moves;
mod policy;
mod put;
mod queues;
mod record;
mod room;
mod sequence;
mod sweep;
mod temporaries;
mod unique;

pub use sequence::JUMP;

/// How a put becomes durable; which of the two is right is the file system's to say ([`Fs::names`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The message is durable as a complete temporary; after a power cut it is there or already published,
    /// and the sweep publishes what is complete. One flush a put, none for any other move.
    RollForward,
    /// Bare POSIX: a rename's two halves may part. The published name is synced, and every move of a message
    /// is a link, a sync, an unlink and a sync, so that at each moment one durable name exists.
    Classical,
}

/// A spool: the directory that holds queues.
pub struct Spool<F: Fs = RealFs, C: Clock = SystemClock> {
    root: PathBuf,
    fs: F,
    clock: C,
    names: OnceLock<Names>,
}

impl Spool {
    /// The spool at `root`, which need not be there yet: the first queue makes it. Nothing is written here. A
    /// symbolic link to a spool is as good; inside a spool none is followed.
    ///
    /// Errors: [`Error::NotASpool`], [`Error::UnknownFormat`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(fs::followed(root.into()), RealFs, SystemClock)
    }

    /// The spool at `root` for [`Spool::fsck`], which explains also what [`Spool::open`] refuses.
    pub fn for_fsck(root: impl Into<PathBuf>) -> Self {
        Self::unchecked(fs::followed(root.into()), RealFs, SystemClock)
    }
}

impl<F: Fs, C: Clock> Spool<F, C> {
    /// As [`Spool::open`], on another file system or by another clock.
    pub fn open_with(root: impl Into<PathBuf>, fs: F, clock: C) -> Result<Self> {
        let spool = Self::unchecked(root, fs, clock);
        spool.check_format()?;
        Ok(spool)
    }

    /// The spool at `root`, whatever its format file says: only [`Spool::fsck`] is to be asked of it.
    pub fn unchecked(root: impl Into<PathBuf>, fs: F, clock: C) -> Self {
        Self { root: root.into(), fs, clock, names: OnceLock::new() }
    }

    /// The same, with the order given instead of found out: for tests of the one that this machine's file
    /// system would not choose.
    #[must_use]
    pub fn with_order(self, order: Order) -> Self {
        let names = match order {
            Order::RollForward => Names::Ordered,
            Order::Classical => Names::Bare,
        };
        Self { names: OnceLock::from(names), ..self }
    }

    /// Where the spool is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which order is in force on this spool's file system.
    pub fn order(&self) -> Order {
        match self.names() {
            Names::Ordered | Names::Whole => Order::RollForward,
            Names::Bare | Names::Unknown => Order::Classical,
        }
    }

    fn names(&self) -> Names {
        *self.names.get_or_init(|| self.fs.names(&self.root))
    }

    /// Makes it durable that files were deleted from `dir`, also where they had been moved there unsynced.
    fn sync_deletes(&self, dir: &Path) -> io::Result<()> {
        if matches!(self.names(), Names::Whole | Names::Unknown) {
            return self.fs.sync_file_system(&self.root);
        }
        self.sync_upward(dir)
    }

    /// Makes the entries of `dir` durable, or, where it was emptied and removed by somebody since, its own
    /// removal: what it held would come back with it. (A group can go with its leaf.)
    fn sync_upward(&self, dir: &Path) -> io::Result<()> {
        let mut dir = dir;
        loop {
            match (self.fs.sync_dir(dir), dir.parent()) {
                (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound && dir != self.root => {
                    // What was in it has moved on, and a sync of the directory above would not be about that.
                    if matches!(self.names(), Names::Whole | Names::Unknown) {
                        return self.fs.sync_file_system(&self.root);
                    }
                    dir = above;
                }
                (other, _) => return other,
            }
        }
    }

    /// Whether there is a spool. What is there and is not one is an error.
    fn check_format(&self) -> Result<bool> {
        if self.read_format()? {
            return Ok(true);
        }
        if self.is_vacant()? {
            return Ok(false);
        }
        // Somebody may have made it, and more in it, between the two looks.
        if self.read_format()? { Ok(true) } else { Err(self.not_a_spool()) }
    }

    /// Whether the format file is there and written; what it says has to be known.
    fn read_format(&self) -> Result<bool> {
        let path = self.root.join(layout::FORMAT_FILE);
        let file = match self.fs.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // The spool's own path runs through a file.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(error).at("open", &path),
            Err(error) => return Err(error).at("read", &path),
        };
        let mut text = String::new();
        match file.take(100).read_to_string(&mut text) {
            // Made this moment by somebody who has not written it yet.
            Ok(0) => Ok(false),
            Ok(_) if text.trim_end() == layout::FORMAT => Ok(true),
            Ok(_) => Err(unknown_format(path, &text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(unknown_format(path, "other bytes")),
            Err(error) => Err(error).at("read", &path),
        }
    }

    fn not_a_spool(&self) -> Error {
        Error::NotASpool { path: self.root.clone(), missing: layout::FORMAT_FILE }
    }

    /// Whether nothing lies where the spool would be.
    fn is_vacant(&self) -> Result<bool> {
        let mut vacant = true;
        let scanned = self.fs.scan(&self.root, &mut |name, _| {
            // A file system of its own has this in its root.
            vacant = name == OsStr::new(layout::LOST_AND_FOUND) || name == OsStr::new(layout::FORMAT_FILE);
            if vacant { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match scanned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            other => other.at("read", &self.root).map(|()| vacant),
        }
    }

    /// The permissions of what is made without a word about them: those of a directory that was made for a group
    /// (setgid says so), without any for others; the owner's alone anywhere else, whatever the umask had in mind.
    fn inherited_mode(&self) -> u32 {
        match self.fs.status(&self.root) {
            Ok(status) if status.mode & 0o2000 != 0 => status.mode & 0o2770,
            _ => PRIVATE,
        }
    }

    /// Makes the spool if it is not there. The lock on the format file holds off a second maker, who finds
    /// the file written once it has the lock.
    fn establish(&self, mode: Option<u32>) -> Result<()> {
        if self.check_format()? {
            return Ok(());
        }
        // A directory that somebody made for a group says so itself.
        let mode = mode.unwrap_or_else(|| self.inherited_mode());
        self.make_dir_and_parents(&self.root, mode)?;
        self.write_format(mode, None)?;
        self.check_format().map(|_| ())
    }

    /// Makes and writes the format file unless it is written, and returns it locked.
    fn write_format(&self, mode: u32, heir: Option<Heir>) -> Result<F::File> {
        let path = self.root.join(layout::FORMAT_FILE);
        let modes = Modes::of_dir(mode);
        let mut file = self.fs.open_or_create(&path, modes.file).at("create", &path)?;
        file.lock().at("lock", &path)?;
        if file.status().at("read", &path)?.len_bytes == 0 {
            if modes.file & 0o066 != 0 {
                file.set_mode(modes.file).at("set the mode of", &path)?;
            }
            if let Some(heir) = heir {
                heir.inherits(&file).at("give away", &path)?;
            }
            file.write_all(format!("{}\n", layout::FORMAT).as_bytes()).at("write", &path)?;
            file.sync().at("sync", &path)?;
            self.fs.sync_dir(&self.root).at("sync", &self.root)?;
        }
        Ok(file)
    }

    fn make_dir_and_parents(&self, dir: &Path, mode: u32) -> Result<()> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match self.fs.mkdir(dir, mode) {
            Ok(()) => self.fs.sync_dir(parent).at("sync", parent),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Where the parent is there all the same (in /proc), there is nothing that could be made.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.fs.status(parent).is_err() => {
                self.make_dir_and_parents(parent, PRIVATE)?;
                self.make_dir_and_parents(dir, mode)
            }
            Err(error) => Err(error).at("create", dir),
        }
    }

    /// The queue `name`, if it is there.
    fn queue(&self, name: &QueueName) -> Result<Queue<'_, F, C>> {
        if layout::RESERVED.contains(&name.as_str()) {
            return Err(Error::ReservedName(name.clone()));
        }
        let dir = self.root.join(name.as_str());
        let missing = || Error::NoSuchQueue { queue: name.clone(), place: self.root.display().to_string() };
        match self.fs.status(&dir) {
            Ok(status) if status.kind == Kind::Dir => {
                let modes = Modes::of_dir(status.mode);
                Ok(Queue {
                    spool: self,
                    name: name.clone(),
                    layout: Layout::new(dir),
                    modes,
                    heir: None,
                    shared: RefCell::new(None),
                    turns: RefCell::default(),
                    capped: Cell::default(),
                    has_markers: Cell::default(),
                })
            }
            Ok(_) => Err(missing()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(error).at("open", &dir),
        }
    }

    /// Does something to a queue. One that is dropped meanwhile is as good as one that never was.
    fn on<T>(&self, name: &QueueName, act: impl FnOnce(&Queue<'_, F, C>) -> Result<T>) -> Result<T> {
        let queue = self.queue(name)?;
        act(&queue).map_err(|error| queue.dropped_or(error))
    }

    /// Removes a directory if it is empty.
    ///
    /// On bare POSIX durably, and the directory itself as well: a name that comes back could stand for what the file
    /// system has made out of the directory's place since, and a repair that finds the directory unchanged takes the
    /// blocks that others have by now for its own (e2fsck on ext4 without a journal, seen in images of a disk).
    fn remove_dir(&self, dir: &Path) {
        if self.order() == Order::RollForward {
            let _ = self.fs.rmdir(dir);
            return;
        }
        let Ok(handle) = self.fs.open_dir(dir) else { return };
        if self.fs.rmdir(dir).is_ok() {
            let _ = handle.sync();
            let _ = self.sync_upward(dir.parent().unwrap_or(dir));
        }
    }

    /// Shows all that lies in the spool, but for the directory that a file system of its own has: only root may look into
    /// that, and mq puts nothing there.
    fn walk_all(&self, each: &mut dyn FnMut(&Path, Status)) -> io::Result<()> {
        let mut paths = Vec::new();
        self.fs.scan(&self.root, &mut |name, _| {
            if name != OsStr::new(layout::LOST_AND_FOUND) {
                paths.push(self.root.join(name));
            }
            ControlFlow::Continue(())
        })?;
        let mut show = |path: &Path| {
            let status = self.fs.status(path)?;
            each(path, status);
            if status.kind == Kind::Dir { self.fs.walk(path, each) } else { Ok(()) }
        };
        paths.iter().try_for_each(|path| match show(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
    }

    fn new_id(&self, now: UnixMillis) -> MessageId {
        MessageId::new(now, &self.fs.random())
    }
}

fn unknown_format(path: PathBuf, found: &str) -> Error {
    let found = found.trim().chars().take(60).collect();
    Error::UnknownFormat { path, found, known: layout::FORMAT }
}

/// One queue of a spool, open.
struct Queue<'a, F: Fs, C: Clock> {
    spool: &'a Spool<F, C>,
    name: QueueName,
    layout: Layout,
    modes: Modes,
    /// Whose what is made in the queue is to be, if it is not to be its maker's.
    heir: Option<Heir>,
    /// Moves of the classical order whose syncs are shared; the lock of the moves is held meanwhile.
    shared: RefCell<Option<SharedMoves<F::File>>>,
    /// Groups in which somebody may wait for a turn that was given up.
    turns: RefCell<BTreeSet<KeyHash>>,
    /// Whether its policy, when it was last read, has a cap.
    capped: Cell<Option<bool>>,
    /// Whether it has markers of messages that become too old.
    has_markers: Cell<Option<bool>>,
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    fn fs(&self) -> &F {
        &self.spool.fs
    }

    fn now(&self) -> UnixMillis {
        self.spool.clock.now()
    }

    /// Whether a simulation wants this mistake made.
    fn commits(&self, fault: Fault) -> bool {
        self.fs().commits(fault)
    }

    /// Whether moves have to be done the long way: only a promise about power cuts asks for it.
    fn is_classical(&self, durability: Durability) -> bool {
        durability == Durability::Full && self.spool.order() == Order::Classical
    }

    /// Makes a new file with the queue's permissions.
    fn create_file(&self, path: &Path) -> Result<F::File> {
        let file = self.fs().create(path, self.modes.file).at("create", path)?;
        if let Some(heir) = self.heir {
            heir.inherits(&file).at("give away", path)?;
        }
        // The umask must not take a group's rights away.
        if self.modes.file & 0o066 != 0 {
            file.set_mode(self.modes.file).at("set the mode of", path)?;
        }
        Ok(file)
    }

    fn ring(&self, times: usize) {
        self.fs().ring(&self.layout.wake(), times);
    }
}

#[allow(clippy::redundant_closure_for_method_calls)] // A method's path is not general enough in its lifetime.
impl<F: Fs, C: Clock> Store for Spool<F, C> {
    fn create_queue(&self, queue: &QueueName, policy: &Policy, mode: Option<u32>) -> Result<()> {
        self.make_queue(queue, policy, mode)
    }

    fn policy(&self, queue: &QueueName) -> Result<Policy> {
        self.on(queue, |queue| queue.policy())
    }

    fn change_policy(
        &self,
        queue: &QueueName,
        change: &mut dyn FnMut(&mut Policy) -> Result<(), PolicyError>,
    ) -> Result<Policy> {
        self.on(queue, |queue| queue.change_policy(change))
    }

    fn drop_queue(&self, queue: &QueueName, force: bool) -> Result<u64> {
        self.on(queue, |queue| queue.drop_all(force))
    }

    fn queues(&self) -> Result<Vec<QueueName>> {
        let mut names: Vec<QueueName> = Vec::new();
        let scanned = self.fs.scan(&self.root, &mut |name, kind| {
            if kind == Kind::Dir
                && let Some(name) = name.to_str().and_then(|name| name.parse().ok())
            {
                names.push(name);
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.at("read", &self.root)?,
        }
        // One that cannot be looked into is one: whoever asks for more than its name hears why.
        let is_none =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let state_of = |name: &QueueName| self.fs.status(&Layout::new(self.root.join(name.as_str())).state());
        names.retain(|name| !state_of(name).is_err_and(|error| is_none(&error)));
        names.sort();
        Ok(names)
    }

    fn put(&self, queue: &QueueName, new: &NewMessage, body: &mut dyn io::Read) -> Result<MessageId> {
        self.on(queue, |queue| queue.put(new, body))
    }

    fn put_unique(
        &self,
        queue: &QueueName,
        new: &NewMessage,
        unique: &Unique,
        body: &mut dyn io::Read,
    ) -> Result<UniquePut> {
        self.on(queue, |queue| queue.put_keyed(new, Some(unique), body, &queue.policy()?))
    }

    fn begin_atomic<'a>(&'a self, queue: &QueueName) -> Result<Box<dyn AtomicBatch + 'a>> {
        Ok(Box::new(self.gather(queue)?))
    }

    fn put_batch(&self, queue: &QueueName, batch: &[(NewMessage, Vec<u8>)]) -> BatchOutcome {
        match self.queue(queue) {
            Ok(queue) => {
                let outcome = queue.put_batch(batch);
                BatchOutcome { error: outcome.error.map(|error| queue.dropped_or(error)), ..outcome }
            }
            Err(error) => BatchOutcome { ids: Vec::new(), error: Some(error) },
        }
    }

    fn claim(&self, queue: &QueueName, request: &ClaimRequest) -> Result<Claims> {
        self.on(queue, |queue| queue.claim(request))
    }

    fn watch<'a>(&'a self, queue: &QueueName) -> Result<Box<dyn Watch + 'a>> {
        Ok(Box::new(self.queue(queue)?.watch()?))
    }

    fn delete(&self, receipts: &[Receipt]) -> Vec<Result<()>> {
        self.delete_all(receipts)
    }

    fn release(&self, receipts: &[Receipt], delay: Option<Duration>) -> Vec<Result<()>> {
        receipts.iter().map(|receipt| self.on(&receipt.queue, |queue| queue.release(receipt, delay))).collect()
    }

    fn is_held(&self, receipt: &Receipt) -> Result<bool> {
        self.on(&receipt.queue, |queue| queue.is_held(receipt))
    }

    fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Vec<Result<UnixSeconds>> {
        receipts.iter().map(|receipt| self.on(&receipt.queue, |queue| queue.extend(receipt, visibility))).collect()
    }

    fn note_failure(&self, receipt: &Receipt, failure: &Failure) -> Result<()> {
        self.on(&receipt.queue, |queue| queue.note_failure(receipt, failure))
    }

    fn peek(&self, queue: &QueueName, which: Which, each: &mut dyn FnMut(Peeked) -> ControlFlow<()>) -> Result<()> {
        self.on(queue, |queue| queue.peek(which, each))
    }

    fn list(&self, queue: &QueueName, which: &Filter, each: &mut dyn FnMut(Listed) -> ControlFlow<()>) -> Result<()> {
        self.on(queue, |queue| queue.list(which, each))
    }

    fn stat(&self, queue: &QueueName) -> Result<Stat> {
        self.on(queue, |queue| queue.stat())
    }

    fn purge_some(&self, queue: &QueueName, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        self.on(queue, |queue| queue.purge(which, after_each))
    }

    fn move_some(
        &self,
        from: &QueueName,
        to: &QueueName,
        which: &Filter,
        after_each: &mut AfterEach<'_>,
    ) -> Result<u64> {
        self.on(from, |from| self.on(to, |to| from.move_to(to, which, after_each)))
    }

    fn edit(&self, queue: &QueueName, id: MessageId, rewrite: &mut Rewrite<'_>) -> Result<bool> {
        self.on(queue, |queue| queue.edit(id, rewrite))
    }

    fn list_archived(
        &self,
        queue: &QueueName,
        which: &Filter,
        each: &mut dyn FnMut(Archived) -> ControlFlow<()>,
    ) -> Result<()> {
        self.on(queue, |queue| queue.list_archived(which, each))
    }

    fn replay(&self, queue: &QueueName, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        self.on(queue, |queue| queue.replay(which, after_each))
    }
}
