//! `SPOOL/lock`: the lock of the moves, and the mark of a removal that is not durable yet.
//!
//! Whoever moves a message in the classical order removes its old name and then syncs that directory. If he dies in
//! between, or the sync fails, the old name is gone for everybody and may yet come back with a power cut: after
//! somebody else has deleted the message, synced that and said so (I4). Nobody can see from the message that it ever had
//! that name. So the lock's file says it: before an old name is removed it is made one byte long, and empty again once
//! the removal is synced. Who gets the lock and finds a byte there syncs the whole file system before anything else.
//!
//! The length, because it is seen by the look at the file that is taken anyway, and because it can be set on a full
//! disk: a file with a hole needs no block. After a power cut it means nothing and does no harm.

use std::cell::Cell;
use std::io;

use super::fs::{Access, Fault, FileHandle, Fs};
use super::{Heir, Modes, Order, Queue, layout};
use crate::domain::Clock;
use crate::store::{At, Error, Result};

/// The lock of the moves, held. One for the whole spool, because a message can move between two queues, and whoever
/// meets one with two names has to know that no mover of either queue is at it.
pub(super) struct MoveLock<L> {
    file: L,
    /// The mark is set: a removal under this lock is not durable.
    is_marked: Cell<bool>,
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Waits for the lock under which moves of the classical order are done; nothing where it is held already.
    pub(super) fn lock_moves(&self) -> Result<Option<MoveLock<F::File>>> {
        if self.shared.borrow().is_some() {
            return Ok(None);
        }
        let path = self.spool.root().join(layout::MOVES_FILE);
        let file = match self.fs().open(&path, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_move_lock()?,
            other => other.at("open", &path)?,
        };
        // The lock of a message that is held would be waited for by its own holder.
        let status = file.status().at("read", &path)?;
        if status.links > 1 && status.len_bytes > 1 {
            let source = io::Error::other("it is a second name of some other file");
            return Err(Error::Io { action: "lock", path, source });
        }
        file.lock().at("lock", &path)?;
        let lock = MoveLock { file, is_marked: Cell::new(false) };
        self.settle_removals(&lock)?;
        Ok(Some(lock))
    }

    fn make_move_lock(&self) -> Result<F::File> {
        let root = self.spool.root();
        let path = root.join(layout::MOVES_FILE);
        // It is the spool's, whichever queue's receiver makes it, and the umask must not keep its group out.
        let mode = Modes::of_dir(self.spool.inherited_mode() | self.modes.dir).file;
        let file = self.fs().open_or_create(&path, mode).at("open", &path)?;
        if mode & 0o066 != 0 {
            // Somebody else may have made it this moment, with the same mode.
            let _ = file.set_mode(mode);
        }
        if self.heir.is_some() {
            let heir = Heir::of_dir(self.fs().status(root).at("read", root)?);
            heir.inherits(&file).at("give away", &path)?;
        }
        Ok(file)
    }

    /// Makes durable what one removed who had the lock before, and died or failed at making it so.
    fn settle_removals(&self, lock: &MoveLock<F::File>) -> Result<()> {
        let root = self.spool.root();
        let path = root.join(layout::MOVES_FILE);
        // Only now: whoever had it was at it when the file was opened.
        if self.spool.order() != Order::Classical || lock.file.status().at("read", &path)?.len_bytes == 0 {
            return Ok(());
        }
        self.fs().sync_file_system(root).at("sync", root)?;
        lock.file.set_len(0).at("write", &path)
    }

    /// Lets `act` remove old names of messages and sync the directories that lost them, and keeps the mark meanwhile;
    /// beyond it, if it fails. `lock` is what [`Self::lock_moves`] gave.
    pub(super) fn removing<T>(&self, lock: Option<&MoveLock<F::File>>, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let shared = self.shared.borrow();
        let lock = lock.or_else(|| shared.as_ref().and_then(|shared| shared.lock.as_ref()));
        let Some(lock) = lock.filter(|lock| !lock.is_marked.get() && self.spool.order() == Order::Classical) else {
            // An earlier one that failed has left the mark: it stays.
            return act();
        };
        let path = self.spool.root().join(layout::MOVES_FILE);
        if !self.commits(Fault::RemovalUnmarked) {
            lock.file.set_len(1).at("write", &path)?;
        }
        lock.is_marked.set(true);
        let done = act()?;
        // (Whoever finds it there syncs for nothing.)
        if self.commits(Fault::RemovalUnmarked) || lock.file.set_len(0).is_ok() {
            lock.is_marked.set(false);
        }
        Ok(done)
    }
}
