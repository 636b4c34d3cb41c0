//! What writers left in `tmp/` who died, or lost power, before they could publish it.
//!
//! Roll-forward: a complete temporary whose writer is gone *is* a message, and is published; an incomplete one is
//! removed. In the classical order every temporary of a dead writer is removed: the promise is given only when the
//! published name is durable, and a temporary's name can come back after that. Where the file system could not be told, a
//! complete one stays: another process may know it, and may have made the promise. A directory is a batch that was never
//! acknowledged, and is removed in both.
//!
//! Invariants: an acknowledged message that a power cut put back into `tmp/` gets its number before anything that
//! is put in the new boot does, and several of them get theirs in the order of their puts (I8): so the first who
//! needs a number in a boot, and every sweep, rolls them forward first, under the counter's lock. A temporary whose
//! writer lives is left alone (I9): it is locked from before its first byte to its publication, and what is
//! still empty is only taken for an orphan's when it is old.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Access, Fault, FileHandle, Fs, Names};
use super::layout::EntryOf;
use super::moves::id_in;
use super::record::{Opened, ReadError};
use super::sweep::Swept;
use super::{Kind, Order, Queue};
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, Group, MessageId, MessageName, Policy, Seq};
use crate::store::{At, Error, Message, Result};

/// What is not complete is left alone for so long after it was last written: between making and locking it, its
/// writer looks like a dead one.
const TEMPORARY_IS_OLD_MS: u64 = 5_000;

/// A name in `tmp/`.
struct Temporary {
    id: MessageId,
    path: PathBuf,
    kind: Kind,
}

/// A message without a place, whose writer is gone.
pub(super) struct Orphan<H> {
    temporary: Temporary,
    message: Message,
    file: Arc<H>,
}

/// What a temporary turns out to be.
enum Found<H> {
    /// Its writer lives, or another sweeper is at it, or it cannot be read now.
    NotOurs,
    /// Its writer died while writing. Locked, lest a writer that was only slow begins to write into what is about
    /// to be removed.
    Incomplete(Arc<H>),
    /// A message. Locked.
    Complete(Box<Message>, Arc<H>),
}

/// How often a sweeper may take a temporary for an orphan's before it is locked.
const TRIES: usize = 32;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Makes a writer's file in `tmp/` and locks it: from here on no sweeper removes it.
    pub(super) fn create_temporary(&self, path: &Path) -> Result<F::File> {
        self.until_locked(path, &|| self.create_file(path))
    }

    /// Makes a writer's directory in `tmp/` and locks it: from here on no sweeper removes it.
    pub(super) fn create_temporary_dir(&self, path: &Path) -> Result<F::File> {
        self.until_locked(path, &|| {
            self.fs().mkdir(path, self.modes.dir).at("create", path)?;
            self.fs().open_dir(path).at("open", path)
        })
    }

    /// Who sleeps for long between making and locking finds that a sweeper has taken it for an orphan's.
    fn until_locked(&self, path: &Path, make: &dyn Fn() -> Result<F::File>) -> Result<F::File> {
        for _ in 0..TRIES {
            let file = match make() {
                Err(Error::Io { source, action: "open", .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            file.lock().at("lock", path)?;
            if file.status().at("read", path)?.links > 0 {
                return Ok(file);
            }
        }
        Err(self.vanished(path))
    }

    /// What is in `tmp/`, at most so much, in the order of the puts.
    fn temporaries(&self, most: usize) -> Result<Vec<Temporary>> {
        let tmp = self.layout.tmp();
        let mut found: Vec<Temporary> = Vec::new();
        let scanned = self.fs().scan(&tmp, &mut |name, kind| {
            // What has no id for a name is not ours.
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                found.push(Temporary { id, path: tmp.join(name), kind });
            }
            if found.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        scanned.at("read", &tmp)?;
        found.sort_unstable_by_key(|temporary| temporary.id);
        Ok(found)
    }

    pub(super) fn sweep_temporaries(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let found = self.temporaries(swept.left)?;
        if found.is_empty() {
            return Ok(());
        }
        if self.spool.order() == Order::RollForward {
            // Nobody holds one of them locked while he waits for that.
            self.begin_boot()?;
        }
        for temporary in found {
            let Ok(status) = self.fs().status(&temporary.path) else { continue };
            if status.links > 1 && temporary.kind == Kind::File {
                // (Looked for first, lest a look at all names is paid for while somebody puts with a unique key.)
                if self.has_writer(&temporary.path) {
                    continue;
                }
                match self.was_published(&temporary) {
                    Ok(false) => {}
                    // It is not known whether it is a message: it waits until it is.
                    done => {
                        swept.note(done.map(|_| ()));
                        continue;
                    }
                }
            }
            let is_old = status.modified.0.abs_diff(self.now().0) > TEMPORARY_IS_OLD_MS;
            match temporary.kind {
                Kind::File if is_old || status.len_bytes > 0 => {
                    self.sweep_temporary(&temporary, is_old, policy, swept);
                }
                Kind::Dir if is_old => {
                    self.remove_orphaned_dir(&temporary.path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a batch whose writer died.
    pub(super) fn remove_orphaned_dir(&self, path: &Path) {
        if let Ok(dir) = self.fs().open_dir(path)
            && is_orphan(&dir)
        {
            self.spool.remove_tree(path);
        }
    }

    /// Whether somebody has the lock of a temporary.
    fn has_writer(&self, path: &Path) -> bool {
        self.fs().open(path, Access::Read).is_ok_and(|file| !file.try_lock().unwrap_or(true))
    }

    /// Whether the temporary has its place already: where a power cut can leave both names of a rename. Then its name
    /// in `tmp/` is removed.
    fn was_published(&self, temporary: &Temporary) -> Result<bool> {
        let _lock = self.lock_moves()?;
        let Ok(status) = self.fs().status(&temporary.path) else { return Ok(true) };
        let Some(status) = self.without_entries(temporary.id, &temporary.path, status)? else { return Ok(true) };
        if status.links < 2 {
            return Ok(false);
        }
        let others = self.other_names(temporary.id, &[], &temporary.path, status)?;
        // Somebody outside may have a link to it, or a person may have given it a name that no receiver finds.
        if !others.iter().any(|other| id_in(other) == Some(temporary.id)) {
            return Ok(false);
        }
        let _ = self.fs().unlink(&temporary.path);
        Ok(true)
    }

    /// Whether a temporary has not been written for so long that its writer has had the time to lock it.
    pub(super) fn is_old(&self, path: &Path) -> bool {
        self.fs().status(path).is_ok_and(|status| status.modified.0.abs_diff(self.now().0) > TEMPORARY_IS_OLD_MS)
    }

    /// Sweeps the one temporary at `path`, which is a file. With `is_orphan` its writer is known to be dead.
    pub(super) fn sweep_this(&self, id: MessageId, path: &Path, policy: &Policy, is_orphan: bool) -> Result<()> {
        if self.spool.order() == Order::RollForward {
            self.begin_boot()?;
        }
        let temporary = Temporary { id, path: path.to_owned(), kind: Kind::File };
        if self.fs().status(path).is_ok_and(|status| status.links > 1) && self.was_published(&temporary)? {
            return Ok(());
        }
        let mut swept = Swept::default();
        self.sweep_temporary(&temporary, is_orphan || self.is_old(path), policy, &mut swept);
        swept.failed.map_or(Ok(()), Err)
    }

    /// Publishes a dead writer's temporary if it is complete, and removes it if not.
    fn sweep_temporary(&self, temporary: &Temporary, is_old: bool, policy: &Policy, swept: &mut Swept) {
        let is_classical = self.spool.order() == Order::Classical;
        if is_classical && !is_old {
            return;
        }
        match self.examine(temporary) {
            Found::Complete(message, file) if !is_classical => {
                let published = self.take_seq().and_then(|seq| self.adopt(temporary, &message, &file, seq, policy));
                drop(file);
                match published {
                    Ok(state) => {
                        if state == Some(State::Ready) {
                            self.ring(1);
                        }
                        swept.moved += usize::from(state.is_some());
                    }
                    Err(error) => swept.note(Err(error)),
                }
            }
            // It is a message or it is none: whoever knows the file system will say.
            Found::Complete(..) if self.spool.names() == Names::Unknown => {}
            Found::Complete(_, _lock) | Found::Incomplete(_lock) if is_old => {
                let _ = self.fs().unlink(&temporary.path);
            }
            _ => {}
        }
    }

    /// Every complete temporary of a dead writer, in the order of the puts, locked; none in the classical order. What
    /// cannot be read now is passed over, lest one bad sector holds up the queue, and comes when it can be.
    pub(super) fn orphans(&self) -> Result<Vec<Orphan<F::File>>> {
        let mut found = Vec::new();
        if self.spool.order() == Order::Classical {
            return Ok(found);
        }
        for temporary in self.temporaries(usize::MAX)? {
            // One that has another name as well was published, and is left to the sweep, which has the lock for that.
            let is_single = || {
                let status = self.fs().status(&temporary.path).ok();
                let counted =
                    status.and_then(|status| self.without_entries(temporary.id, &temporary.path, status).ok()?);
                counted.is_some_and(|status| status.links == 1)
            };
            if temporary.kind == Kind::File
                && is_single()
                && let Found::Complete(message, file) = self.examine(&temporary)
            {
                found.push(Orphan { temporary, message: *message, file });
            }
        }
        Ok(found)
    }

    /// Publishes what a power cut put back into `tmp/`, under numbers from `first` on. The caller has the counter's lock,
    /// and has made it durable that the numbers are taken.
    pub(super) fn roll_forward(&self, orphans: &[Orphan<F::File>], first: u64) -> Result<()> {
        if orphans.is_empty() {
            return Ok(());
        }
        let policy = self.policy()?;
        for (seq, orphan) in (first..).map(Seq).zip(orphans) {
            if self.adopt(&orphan.temporary, &orphan.message, &orphan.file, seq, &policy)? == Some(State::Ready) {
                self.ring(1);
            }
        }
        if self.spool.names() == Names::Whole {
            // A later sync of whatever is put now would bring its name alone: it would be in its place after the next
            // power cut, and these, which are older, in `tmp/` again.
            let root = self.spool.root();
            self.fs().sync_file_system(root).at("sync", root)?;
        }
        Ok(())
    }

    fn examine(&self, temporary: &Temporary) -> Found<F::File> {
        let Ok(file) = self.fs().open(&temporary.path, Access::ReadWrite) else { return Found::NotOurs };
        if !is_orphan(&file) && !self.commits(Fault::SweepTakesWriters) {
            return Found::NotOurs;
        }
        let file = Arc::new(file);
        let opened = Opened::<F::File>::new(Arc::clone(&file));
        if self.commits(Fault::PublishIncomplete)
            && let Ok(opened) = opened
        {
            return Found::Complete(Box::new(opened.message), file);
        }
        match opened.and_then(Opened::check) {
            Ok((message, ..)) if message.id == temporary.id => Found::Complete(Box::new(message), file),
            Ok(_) | Err(ReadError::Damaged(_)) => Found::Incomplete(file),
            Err(ReadError::Io(_)) => Found::NotOurs,
        }
    }

    /// Publishes a complete temporary. `None` if somebody else was faster, or it cannot be made durable.
    fn adopt(
        &self,
        temporary: &Temporary,
        message: &Message,
        file: &F::File,
        seq: Seq,
        policy: &Policy,
    ) -> Result<Option<State>> {
        // Its writer may have died before its own sync.
        if policy.durability == Durability::Full && file.sync().is_err() {
            return Ok(None);
        }
        let group = message.group.as_ref().map(Group::hash).filter(|group| !self.has_own_turn(message, *group, file));
        if let Some(group) = group {
            drop(self.open_shard(EntryOf::Group, group)?);
            self.note_turn(group);
        }
        let state = match message.due {
            _ if group.is_some() => group.map_or(State::Ready, |group| State::Waiting { group }),
            Some(due) if !due.is_due(self.now()) => State::Delayed { due },
            _ => State::Ready,
        };
        let name = MessageName { seq, priority: message.priority, id: message.id, deliveries: 0 };
        self.mark_expiry(&name, message.expires_at, message.group.as_ref().map(Group::hash));
        match self.publish(&temporary.path, &name, state, policy.durability) {
            Ok(()) => Ok(Some(state)),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether a temporary has lost its writer. It is locked then, and is what its path leads to: somebody may have removed
/// it and its slow writer have made another since it was opened.
pub(super) fn is_orphan<H: FileHandle>(file: &H) -> bool {
    file.try_lock().unwrap_or(false) && file.status().is_ok_and(|status| status.links > 0)
}
