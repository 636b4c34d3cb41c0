//! fsck: says what is wrong with a spool and what would be done about it, and, when told to, does it.
//!
//! What each part owns: `finding`, what there is to say; `parts`, the building of a queue; `messages`, the
//! files in it; `copies`, messages that are there twice; `links`, names outside the spool; this file, the spool
//! itself and how a finding is told.
//!
//! Invariants:
//!
//! - One repairer at a time: it has the lock of the spool's own directory. That of the format file it takes only for a
//!   moment where queues are made or dropped, since a receiver may need it to make a dead-letter queue.
//! - A look changes nothing. It takes locks only for a moment: of what looks like litter, to know whether its maker
//!   lives, and of the moves in the classical order, to know that no mover is at work. No message is read meanwhile, and
//!   nothing told.
//! - A repair loses no message. It is a move, or the removal of what is proven dead, by the same means as the engine's
//!   own, so it is safe among senders and receivers, keeps both durability orders, and can be killed at any point: what
//!   is left is found again by the next one.
//! - What lives is no finding. Names vanish and move while they are looked at, so a thing is told only if it is still
//!   there at a second look.
//! - What the sweep does in passing (claims that have ended, delayed messages that are due) is no finding.
//! - Memory does not grow with the queue: directories are streamed, but for leaves, and copies are looked for in
//!   passes over a bounded number of ids.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub use self::finding::{Finding, FindingKind, Repair, Summary};
use self::parts::{OWN_FILE, QueueCheck, has_other_names};
use super::fs::{Access, FileHandle, Fs, Kind};
use super::layout::{self, Layout};
use super::{Heir, Queue, Spool, lock};
use crate::domain::{Clock, Durability, QueueName};
use crate::store::{At, Error, Result};

mod copies;
mod finding;
mod links;
mod messages;
mod parts;

/// What is not ours is left to its owner.
const NOT_OURS: &str = "move it away: it is not mq's, and is never touched";

impl<F: Fs, C: Clock> Spool<F, C> {
    /// Looks at the whole spool, or at `queues` alone if there are any, and tells `each` finding. With `repair` it mends
    /// what it can, one repairer at a time.
    ///
    /// Works on what [`Spool::open`] refuses if it was made by [`Spool::unchecked`]; a version of the format that is
    /// not known is told, and nothing else is looked at or touched.
    ///
    /// Errors: [`Error::NotASpool`], [`Error::NoSuchQueue`].
    pub fn fsck(&self, queues: &[QueueName], repair: bool, each: &mut dyn FnMut(Finding)) -> Result<Summary> {
        self.fsck_in_turn(queues, repair, &mut || {}, each)
    }

    /// As [`Spool::fsck`]. Calls `waits` once if another repair has to end first.
    ///
    /// Errors: as [`Spool::fsck`].
    pub fn fsck_in_turn(
        &self,
        queues: &[QueueName],
        repair: bool,
        waits: &mut dyn FnMut(),
        each: &mut dyn FnMut(Finding),
    ) -> Result<Summary> {
        let names = self.names();
        let summary = Summary {
            queues: 0,
            messages: 0,
            set_aside: 0,
            temporaries: 0,
            found: 0,
            repaired: 0,
            order: self.order(),
            names,
        };
        let mut check = Check { spool: self, repair, each, summary, device: 0, has_linked: false };
        check.run(queues, waits)?;
        Ok(check.summary)
    }

    /// Whether the directory `dir` is a queue, or what is left of one: without its counter, it has a place for messages and
    /// some more of what every queue has, each as what it should be.
    fn is_queue(&self, dir: &Path) -> bool {
        const ENOUGH: usize = 3;
        let layout = Layout::new(dir.to_owned());
        let count = |parts: &[PathBuf], kind: Kind| {
            let is_there = |part: &&PathBuf| match self.fs.status(part) {
                Ok(status) => status.kind == kind,
                // What cannot be looked at may be there, and whoever goes on to look at it is told why it cannot.
                Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
            };
            parts.iter().filter(is_there).count()
        };
        let places = count(&[layout.ready(), layout.delayed(), layout.claimed()], Kind::Dir);
        count(&[layout.state()], Kind::File) == 1
            || places > 0
                && places
                    + count(&[layout.tmp(), layout.corrupt(), layout.spares()], Kind::Dir)
                    + count(&[layout.lock(), layout.sweep()], Kind::File)
                    + count(&[layout.wake()], Kind::Other)
                    >= ENOUGH
    }
}

/// One run over a spool.
struct Check<'a, 'e, F: Fs, C: Clock> {
    spool: &'a Spool<F, C>,
    repair: bool,
    each: &'e mut dyn FnMut(Finding),
    summary: Summary,
    /// The file system that the spool's own directory is in.
    device: u64,
    /// Whether a message was met that has more than one name.
    has_linked: bool,
}

impl<F: Fs, C: Clock> Check<'_, '_, F, C> {
    fn run(&mut self, only: &[QueueName], waits: &mut dyn FnMut()) -> Result<()> {
        let spool = self.spool;
        match spool.fs.status(&spool.root) {
            Ok(status) => self.device = status.device,
            // No spool yet, which is nothing wrong.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return only.iter().try_for_each(|name| spool.queue(name).map(|_| ()));
            }
            Err(error) => return Err(error).at("read", &spool.root),
        }
        let _lock = if self.repair { Some(self.lock_repairs(waits)?) } else { None };
        if !self.look_at_format()? {
            return Ok(());
        }
        let names = if only.is_empty() {
            self.look_at_leftovers()?;
            self.look_at_root()?
        } else {
            only.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
        };
        for name in &names {
            match spool.queue(name) {
                Ok(queue) => self.look_at_queue(queue)?,
                // Dropped since it was listed.
                Err(Error::NoSuchQueue { .. }) if only.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        self.look_for_copies(&names)?;
        self.look_for_outside_names(&names)
    }

    /// The lock of those who repair. Where a directory cannot be locked, as on some file systems of the network, there may
    /// be two of them, who do one another no harm.
    fn lock_repairs(&self, waits: &mut dyn FnMut()) -> Result<F::File> {
        let root = &self.spool.root;
        let dir = self.spool.fs.open_dir(root).at("open", root)?;
        let locked = dir.try_lock().and_then(|is_ours| {
            if is_ours {
                return Ok(());
            }
            waits();
            dir.lock()
        });
        match locked {
            Err(error) if lock::are_none(&error) => Ok(dir),
            other => other.at("lock", root).map(|()| dir),
        }
    }

    /// Tells what a person has to see to.
    fn tell(&mut self, finding: Finding) {
        self.summary.found += 1;
        (self.each)(finding);
    }

    /// Tells what can be repaired, and does it if that was asked for. `mend` returns whether it was still there.
    fn mend(&mut self, mut finding: Finding, mend: impl FnOnce(&mut Self) -> Result<bool>) {
        if !self.repair {
            finding.repair = Repair::Would;
            return self.tell(finding);
        }
        match mend(self) {
            Ok(true) => {
                finding.repair = Repair::Done;
                self.summary.repaired += 1;
            }
            // Somebody else has mended it, or it was about to go.
            Ok(false) => return,
            Err(_) if finding.queue.as_ref().is_some_and(|queue| self.is_dropped(queue)) => return,
            Err(error) => finding.repair = Repair::Failed(crate::store::chain(&error)),
        }
        self.tell(finding);
    }

    fn is_dropped(&self, queue: &QueueName) -> bool {
        let status = self.spool.fs.status(&self.spool.root.join(queue.as_str()));
        status.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Lets `act` move messages of `queue`: in the classical order under the lock of the moves, so that what `act` sees of
    /// names stays so.
    fn moving<T>(
        queue: &Queue<'_, F, C>,
        durability: Durability,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        let mut outcome = None;
        queue.sharing_syncs(durability, || {
            outcome = Some(act()?);
            Ok(())
        })?;
        Ok(outcome)
    }

    /// Whether the format file lets the rest be looked at.
    fn look_at_format(&mut self) -> Result<bool> {
        let spool = self.spool;
        let path = spool.root.join(layout::FORMAT_FILE);
        match spool.read_format() {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(Error::UnknownFormat { found, known, .. }) => {
                let what = format!("says '{found}', and this mq knows '{known}'; nothing was looked at");
                let remedy = "use the mq that wrote it; if none did, mend the file";
                self.tell(Finding::new(FindingKind::FormatVersion, path, None, what, remedy));
                return Ok(false);
            }
            Err(_) if spool.fs.status(&path).is_ok_and(|status| status.kind != Kind::File) => {
                let what = "is not a regular file; nothing was looked at";
                self.tell(Finding::new(FindingKind::WrongKind, path, None, what, "move it away"));
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if !self.has_queues()? {
            // Nothing, or nothing of ours.
            return spool.check_format().map(|_| true);
        }
        let status = spool.fs.status(&path).ok();
        let what = if status.is_some() { "is empty, and there are queues" } else { "is missing, and there are queues" };
        let remedy = format!("write '{}' into it", layout::FORMAT);
        let finding = Finding::new(FindingKind::FormatMissing, path, None, what, remedy);
        if status.is_some_and(has_other_names) {
            self.tell(Finding { remedy: OWN_FILE.to_owned(), ..finding });
            return Ok(true);
        }
        self.mend(finding, |_| {
            let heir = Heir::of_dir(spool.fs.status(&spool.root).at("read", &spool.root)?);
            spool.write_format(spool.inherited_mode(), Some(heir)).map(|_| true)
        });
        Ok(true)
    }

    fn has_queues(&self) -> Result<bool> {
        let mut has = false;
        let root = &self.spool.root;
        let scanned = self.spool.fs.scan(root, &mut |name, kind| {
            has = kind == Kind::Dir && is_queue_name(name) && self.spool.is_queue(&root.join(name));
            if has { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        scanned.at("read", root).map(|()| has)
    }

    /// Looks at the directories whose names say that a queue was being made or dropped. Whether those who did it are
    /// dead, only the lock tells.
    fn look_at_leftovers(&mut self) -> Result<()> {
        let spool = self.spool;
        let lock = if self.repair && spool.read_format()? {
            spool.lock_queues()?
        } else {
            let Ok(format) = spool.fs.open(&spool.root.join(layout::FORMAT_FILE), Access::Read) else { return Ok(()) };
            // Somebody is at it.
            if !format.try_lock().unwrap_or(false) {
                return Ok(());
            }
            format
        };
        let mut left: Vec<(PathBuf, &str, String)> = Vec::new();
        let scanned = spool.fs.scan(&spool.root, &mut |name, kind| {
            let Some(text) = name.to_str().filter(|_| kind == Kind::Dir) else { return ControlFlow::Continue(()) };
            let path = spool.root.join(name);
            if text.starts_with(layout::MAKING_PREFIX) {
                left.push((path, "is a queue whose maker died before it was whole", "remove it".to_owned()));
            } else if text.starts_with(layout::DROPPING_PREFIX) {
                left.push((path, "is left of a queue that was dropped", "remove it".to_owned()));
            } else if let Some(queue) = text.strip_prefix(layout::CHECKING_PREFIX) {
                let remedy = format!("give the queue its name '{queue}' back");
                left.push((path, "is a queue; who was about to drop it died", remedy));
            }
            ControlFlow::Continue(())
        });
        scanned.at("read", &spool.root)?;
        left.sort();
        // Nobody waits while it is told.
        let lock = self.repair.then_some(lock);
        for (path, what, remedy) in left {
            let finding = Finding::new(FindingKind::Leftover, &path, None, what, remedy);
            self.mend(finding, |_| {
                spool.clear_away();
                is_gone(&spool.fs, &path, "something else has the queue's name, or its files cannot be removed")
            });
        }
        drop(lock);
        Ok(())
    }

    /// Looks at what lies in the spool's own directory, and returns the queues, sorted.
    fn look_at_root(&mut self) -> Result<Vec<QueueName>> {
        let spool = self.spool;
        let mut queues: Vec<QueueName> = Vec::new();
        let mut strays: Vec<(PathBuf, Kind)> = Vec::new();
        let scanned = spool.fs.scan(&spool.root, &mut |name, kind| {
            let path = spool.root.join(name);
            let text = name.to_str().unwrap_or_default();
            let is_leftover =
                [layout::MAKING_PREFIX, layout::CHECKING_PREFIX, layout::DROPPING_PREFIX].map(|p| text.starts_with(p));
            match kind {
                Kind::File if layout::RESERVED.contains(&text) => {}
                Kind::Dir if text == layout::LOST_AND_FOUND || is_leftover.contains(&true) => {}
                Kind::Dir if is_queue_name(name) && spool.is_queue(&path) => queues.extend(text.parse()),
                _ => strays.push((path, kind)),
            }
            ControlFlow::Continue(())
        });
        scanned.at("read", &spool.root)?;
        strays.sort();
        for (path, kind) in strays {
            // Gone since: a queue that was being dropped, say.
            let is_gone = spool.fs.status(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if !is_gone && (kind != Kind::Dir || !spool.is_queue(&path)) {
                let what = stray_words(kind, "the spool");
                self.tell(Finding::new(FindingKind::Stray, path, None, what, NOT_OURS));
            }
        }
        self.look_at_shared_files();
        queues.sort();
        Ok(queues)
    }

    /// The spool's own locks have to be taken by everybody in its group, and by its owner if it has none: root may have
    /// made one of them.
    fn look_at_shared_files(&mut self) {
        const SHARED: u32 = 0o2020;
        const ROOT: u32 = 0;
        let spool = self.spool;
        let mode = spool.inherited_mode();
        let is_shared = mode & SHARED == SHARED;
        let Ok(of_spool) = spool.fs.status(&spool.root) else { return };
        for path in layout::RESERVED.map(|name| spool.root.join(name)) {
            let Ok(status) = spool.fs.status(&path) else { continue };
            if is_shared && status.mode & 0o060 != 0o060 {
                let wanted = mode & 0o666;
                let what = format!("has mode {:04o}, and the group of the spool has to lock it", status.mode);
                let finding = Finding::new(FindingKind::WrongMode, &path, None, what, format!("set mode {wanted:04o}"));
                self.mend_rights(finding, status, 1, |file| file.set_mode(wanted).at("set the mode of", &path));
            }
            if !is_shared && status.owner == ROOT && of_spool.owner != ROOT {
                let (owner, group) = (of_spool.owner, of_spool.group);
                let what = format!("belongs to user {ROOT}, and the spool to user {owner}");
                let remedy = format!("give it to {owner}:{group}");
                let finding = Finding::new(FindingKind::WrongOwner, &path, None, what, remedy);
                self.mend_rights(finding, status, 1, |file| {
                    file.set_owner(owner, group).at("change the owner of", &path)
                });
            }
        }
    }

    fn look_at_queue(&mut self, queue: Queue<'_, F, C>) -> Result<()> {
        let spool = self.spool;
        let dir = queue.layout.dir().to_owned();
        let status = match spool.fs.status(&dir) {
            // Dropped since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.at("read", &dir)?,
        };
        self.summary.queues += 1;
        // No sweeper is needed meanwhile. Who sweeps all the same does no harm, so this is not waited for.
        let sweep = self.repair.then(|| spool.fs.open(&queue.layout.sweep(), Access::ReadWrite).ok()).flatten();
        let _ = sweep.as_ref().map(FileHandle::try_lock);
        let mut at = QueueCheck::new(queue, status);
        if self.is_elsewhere(&at, &dir, status) {
            return Ok(());
        }
        if let Err(error) = spool.fs.status(&at.queue.layout.state())
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            self.unreadable(&at, &dir, &error);
            return Ok(());
        }
        self.look_at_parts(&mut at);
        self.look_at_counter(&at);
        self.look_at_temporaries(&at);
        self.look_at_tree(&mut at);
        self.look_at_clock(&at);
        Ok(())
    }
}

/// Whether it is not there any more; if it is, `why` says what may keep it.
fn is_gone<F: Fs>(fs: &F, path: &Path, why: &'static str) -> Result<bool> {
    match fs.status(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).at("remove", path),
        Ok(_) => Err(io::Error::other(why)).at("remove", path),
    }
}

fn is_queue_name(name: &std::ffi::OsStr) -> bool {
    let name = name.to_str().and_then(|name| name.parse::<QueueName>().ok());
    name.is_some_and(|name| !layout::RESERVED.contains(&name.as_str()))
}

/// What is said of something that does not belong.
fn stray_words(kind: Kind, whose: &str) -> String {
    let thing = match kind {
        Kind::File => "a file",
        Kind::Dir => "a directory",
        Kind::Other => "a symbolic link or special file, which is not followed or opened, and",
    };
    format!("is {thing} that is no part of {whose}")
}
