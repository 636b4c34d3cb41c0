//! The building of a queue: what it always has, whose it is and who may use it, its counter, its policy, its clock.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::fs::{Access, FileHandle, Fs, Kind, Status, is_a_link};
use super::super::moves::id_in;
use super::super::{Heir, Modes, PRIVATE, Queue};
use super::{Check, Finding, FindingKind};
use crate::domain::{Clock, Policy, UnixMillis, UnixSeconds};
use crate::store::{At, Error, Result};

/// Clocks of one machine may differ by so much before it is told.
const CLOCK_SLACK_MS: u64 = 60_000;

/// How long a maker of a directory may take from making it to setting its mode, and who deletes a message from that to
/// its key.
pub(super) const MAKING: Duration = Duration::from_millis(20);

/// What is to be done where a repair would write into a file that may be somebody else's, too.
pub(super) const OWN_FILE: &str = "remove it, which has another name, and let a repair make one of its own";

/// A queue that is looked at, and what is known of it so far.
pub(super) struct QueueCheck<'a, F: Fs, C: Clock> {
    pub(super) queue: Queue<'a, F, C>,
    /// The defaults where it cannot be read: the safest durability is one of them.
    pub(super) policy: Policy,
    /// Of the queue's directory, which says how all in it should be.
    status: Status,
    /// What lies furthest in the future, and when that is.
    ahead: Option<(PathBuf, UnixMillis)>,
    /// Entries of unique keys whose messages seem to be gone.
    pub(super) keys_left: Vec<PathBuf>,
    /// How often more to wait for makers of directories, who may be slow on a busy machine.
    waits_left: Cell<u32>,
}

impl<'a, F: Fs, C: Clock> QueueCheck<'a, F, C> {
    pub(super) fn new(queue: Queue<'a, F, C>, status: Status) -> Self {
        let policy = queue.policy().unwrap_or_default();
        let queue = Queue { heir: Some(Heir::of_dir(status)), ..queue };
        Self { queue, policy, status, ahead: None, keys_left: Vec::new(), waits_left: Cell::new(50) }
    }

    pub(super) fn modes(&self) -> Modes {
        self.queue.modes
    }

    /// Whether the queue's directory still is the one that is looked at.
    pub(super) fn is_there(&self) -> bool {
        let status = self.queue.fs().status(self.queue.layout.dir());
        status.is_ok_and(|status| (status.device, status.inode) == (self.status.device, self.status.inode))
    }

    pub(super) fn finding(
        &self,
        kind: FindingKind,
        path: &Path,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(kind, path, Some(&self.queue.name), what, remedy)
    }

    /// Keeps an instant in mind if it is still to come, although it has been.
    pub(super) fn note_instant(&mut self, path: &Path, instant: UnixMillis) {
        let is_ahead = instant.0 > self.queue.now().0.saturating_add(CLOCK_SLACK_MS);
        if is_ahead && self.ahead.as_ref().is_none_or(|(_, furthest)| *furthest < instant) {
            self.ahead = Some((path.to_owned(), instant));
        }
    }

    /// What should stand at a path that every queue has; `None` for others.
    pub(super) fn is_part(&self, path: &Path) -> bool {
        let layout = &self.queue.layout;
        let files = [layout.state(), layout.lock(), layout.sweep(), layout.wake(), layout.policy()];
        files.iter().chain(&layout.fixed_dirs()).any(|part| part == path)
    }
}

/// How a part is made where it is missing.
#[derive(Clone, Copy)]
enum Part {
    Dir,
    Counter,
    LockFile,
    Bell,
    Policy,
}

impl<F: Fs, C: Clock> Check<'_, '_, F, C> {
    /// Whether `path` lies in another file system than the spool, where no rename leads; if so, tells it. Only
    /// directories are asked: an overlay shows its files with other numbers.
    pub(super) fn is_elsewhere(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, status: Status) -> bool {
        let is_elsewhere = status.kind == Kind::Dir && status.device != self.device;
        if is_elsewhere {
            let what =
                "is in another file system than the spool; nothing can be moved there, and nothing was looked at";
            let remedy = "move its files into a directory of the spool's own file system";
            self.tell(at.finding(FindingKind::MixedFileSystems, path, what, remedy));
        }
        is_elsewhere
    }

    /// Compares owner and permissions with those of the queue.
    pub(super) fn look_at_rights(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, status: Status) {
        self.look_at_owner(at, path, status);
        let modes = at.modes();
        let wanted = if status.kind == Kind::Dir { modes.dir } else { modes.file };
        if is_mode(status, wanted) {
            return;
        }
        let mut status = status;
        if status.kind == Kind::Dir && status.modified.0.abs_diff(at.queue.now().0) < 5_000 {
            // Made this moment, perhaps, by somebody who is about to set its mode.
            loop {
                std::thread::sleep(MAKING);
                match at.queue.fs().status(path) {
                    Ok(again) if !is_mode(again, wanted) => status = again,
                    _ => return,
                }
                let left = at.waits_left.get();
                if left == 0 {
                    break;
                }
                at.waits_left.set(left - 1);
            }
        }
        let what = format!("has mode {:04o} in a queue of mode {:04o}", status.mode, modes.dir);
        let finding = at.finding(FindingKind::WrongMode, path, what, format!("set mode {wanted:04o}"));
        let names = own_names(at, path, status);
        self.mend_rights(finding, status, names, |file| file.set_mode(wanted).at("set the mode of", path));
    }

    fn look_at_owner(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, status: Status) {
        let of_queue = at.status;
        let (is_right, what, wanted) = if at.modes().dir & 0o070 == 0 {
            let what = format!("belongs to user {}, and the queue to user {}", status.owner, of_queue.owner);
            (status.owner == of_queue.owner, what, (of_queue.owner, of_queue.group))
        } else {
            let what = format!("belongs to group {}, and the queue to group {}", status.group, of_queue.group);
            (status.group == of_queue.group, what, (status.owner, of_queue.group))
        };
        if is_right {
            return;
        }
        let remedy = format!("give it to {}:{}", wanted.0, wanted.1);
        let finding = at.finding(FindingKind::WrongOwner, path, what, remedy);
        let names = own_names(at, path, status);
        self.mend_rights(finding, status, names, |file| {
            file.set_owner(wanted.0, wanted.1).at("change the owner of", path)
        });
    }

    /// Lets `mend` change the owner or mode of what was examined, and of nothing else: not of what has its name by now,
    /// and not of a file that has more than its own `names`, of which one may be outside the spool.
    pub(super) fn mend_rights(
        &mut self,
        mut finding: Finding,
        examined: Status,
        names: u64,
        mend: impl FnOnce(&F::File) -> Result<()>,
    ) {
        let has_others = |status: Status| status.kind != Kind::Dir && status.links > names;
        if has_others(examined) {
            finding.remedy += " by hand, if its other name is the spool's as well";
            return self.tell(finding);
        }
        let path = finding.path.clone();
        self.mend(finding, |check| {
            let fs = &check.spool.fs;
            let opened = if examined.kind == Kind::Dir { fs.open_dir(&path) } else { fs.open(&path, Access::Read) };
            let file = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => other.at("open", &path)?,
            };
            let status = file.status().at("read", &path)?;
            if (status.device, status.inode, status.kind) != (examined.device, examined.inode, examined.kind) {
                return Ok(false);
            }
            if has_others(status) {
                let why = io::Error::other("it has got another name, which may be one outside the spool");
                return Err(why).at("change", &path);
            }
            mend(&file).map(|()| true)
        });
    }

    /// Looks at what every queue has, a directory before what is in it.
    pub(super) fn look_at_parts(&mut self, at: &mut QueueCheck<'_, F, C>) {
        let layout = at.queue.layout.clone();
        let mut parts: Vec<(PathBuf, Part)> = layout.fixed_dirs().into_iter().map(|dir| (dir, Part::Dir)).collect();
        parts.extend([
            (layout.state(), Part::Counter),
            (layout.lock(), Part::LockFile),
            (layout.sweep(), Part::LockFile),
            (layout.wake(), Part::Bell),
            (layout.policy(), Part::Policy),
        ]);
        for (path, part) in parts {
            match at.queue.fs().status(&path) {
                Ok(status) => self.look_at_part(at, &path, part, status),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.look_at_missing(at, &path, part),
                // Its parent is told.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
                Err(error) => self.unreadable(at, &path, &error),
            }
        }
        if let Ok(mut marker) = at.queue.fs().open(&layout.sweep(), Access::Read) {
            let mut last = String::new();
            let read = io::Read::read_to_string(&mut io::Read::take(&mut marker, 32), &mut last);
            if let (Ok(_), Ok(second)) = (read, last.trim().parse()) {
                at.note_instant(&layout.sweep(), UnixSeconds(second).start());
            }
        }
    }

    fn look_at_part(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, part: Part, status: Status) {
        let (kind, wanted) = match part {
            Part::Dir => (Kind::Dir, "a directory"),
            Part::Bell => (Kind::Other, "a FIFO"),
            Part::Counter | Part::LockFile | Part::Policy => (Kind::File, "a regular file"),
        };
        let fs = &self.spool.fs;
        let is_link = || fs.open(path, Access::Read).is_err_and(|error| is_a_link(&error));
        if status.kind == kind && !(kind == Kind::Other && is_link()) {
            if !self.is_elsewhere(at, path, status) {
                self.look_at_rights(at, path, status);
            }
            if matches!(part, Part::Policy) {
                self.look_at_policy(at, path);
            }
            return;
        }
        let what = format!("is not {wanted}");
        if kind == Kind::Other && status.kind == Kind::File && status.len_bytes == 0 {
            // A copy of a spool that knew no FIFOs.
            let finding = at.finding(FindingKind::WrongKind, path, what, "put a FIFO in its place");
            return self.mend(finding, |check| {
                fs.unlink(path).at("remove", path)?;
                check.make_bell(at, path).map(|()| true)
            });
        }
        let remedy = format!("move it away, and let a repair make {wanted}");
        self.tell(at.finding(FindingKind::WrongKind, path, what, remedy));
    }

    fn look_at_missing(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, part: Part) {
        let fs = &self.spool.fs;
        let parent_is_there = path.parent().is_some_and(|parent| fs.status(parent).is_ok());
        // Dropped, or on its way to be dropped and back.
        if matches!(part, Part::Policy) || !at.is_there() || fs.status(path).is_ok() {
            return;
        }
        if !parent_is_there && self.repair {
            // It could not be made either, which is told.
            return;
        }
        let finding = at.finding(FindingKind::MissingPart, path, "is missing; every queue has it", "make it");
        self.mend(finding, |check| {
            // Nobody drops the queue meanwhile.
            let _lock = check.spool.lock_queues()?;
            if !at.is_there() {
                return Ok(false);
            }
            let made = match part {
                Part::Dir => check.make_dir(at, path),
                Part::Counter => at.queue.create_file(path).and_then(|_| at.queue.mend_counter()),
                Part::LockFile => at.queue.create_file(path).map(|_| ()),
                Part::Bell => check.make_bell(at, path),
                Part::Policy => Ok(()),
            };
            match made {
                // A sweep has made it.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                other => other?,
            }
            let parent = path.parent().unwrap_or(path);
            fs.sync_dir(parent).at("sync", parent).map(|()| true)
        });
    }

    /// Makes a directory that is missing. Not by the queue's mode at once: what is not open yet cannot be put out of the way
    /// before its rights are set.
    fn make_dir(&self, at: &QueueCheck<'_, F, C>, path: &Path) -> Result<()> {
        let fs = &self.spool.fs;
        fs.mkdir(path, PRIVATE).at("create", path)?;
        let dir = fs.open_dir(path).at("open", path)?;
        set_rights(at, &dir, path, at.modes().dir)
    }

    fn make_bell(&self, at: &QueueCheck<'_, F, C>, path: &Path) -> Result<()> {
        let fs = &self.spool.fs;
        fs.make_bell(path, PRIVATE & 0o666).at("create", path)?;
        let bell = fs.open(path, Access::Read).at("open", path)?;
        set_rights(at, &bell, path, at.modes().file)
    }

    fn look_at_policy(&mut self, at: &QueueCheck<'_, F, C>, path: &Path) {
        match at.queue.policy() {
            Err(Error::PolicyFile { reason, .. }) => {
                let what = format!("is no policy: {reason}");
                self.tell(at.finding(FindingKind::Policy, path, what, "mend it, or remove it for the defaults"));
            }
            Err(Error::Io { source, .. }) => self.unreadable(at, path, &source),
            _ => {}
        }
    }

    /// Compares the counter with the numbers in the queue, which are looked at first: it only grows.
    pub(super) fn look_at_counter(&mut self, at: &QueueCheck<'_, F, C>) {
        let queue = &at.queue;
        let path = queue.layout.state();
        let which = || queue.fs().status(queue.layout.dir()).ok().map(|status| status.inode);
        let before = which();
        // What cannot be read is told where it lies.
        let highest = queue.highest_seq().ok().flatten();
        let Some(status) = queue.fs().status(&path).ok().filter(|status| status.kind == Kind::File) else { return };
        let what = match queue.next_number() {
            Ok(Some(next)) if highest.is_none_or(|highest| highest < next || highest == u64::MAX) => return,
            Ok(Some(next)) => {
                // Dropped meanwhile and made again: the messages were those of another queue of that name.
                if which() != before {
                    return;
                }
                let highest = highest.unwrap_or_default();
                format!("would give the number {next:016x}, and a message has {highest:016x}")
            }
            Ok(None) => "is not a sequence counter: torn, or overwritten".to_owned(),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return,
            Err(Error::Io { source, .. }) => return self.unreadable(at, &path, &source),
            Err(_) => return,
        };
        let remedy = "write a number above every message's";
        let finding = at.finding(FindingKind::Counter, &path, what, remedy);
        if has_other_names(status) {
            return self.tell(Finding { remedy: OWN_FILE.to_owned(), ..finding });
        }
        self.mend(finding, |_| queue.mend_counter().map(|()| true));
    }

    /// Tells what cannot be read, unless it is that it has gone.
    pub(super) fn unreadable(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "look as the queue's owner, or as root",
            _ => "look at the disk, and at what the kernel says of it",
        };
        let what = format!("cannot be read: {error}");
        self.tell(at.finding(FindingKind::Unreadable, path, what, remedy));
    }

    /// One finding, however many messages say it.
    pub(super) fn look_at_clock(&mut self, at: &QueueCheck<'_, F, C>) {
        let Some((path, instant)) = &at.ahead else { return };
        let now = at.queue.now().to_rfc3339();
        let what =
            format!("is of {}, and the clock says {now}: it is behind, or it was ahead then", instant.to_rfc3339());
        let remedy = "set the clock right; if it is, claims and delays made before may last longer";
        self.tell(at.finding(FindingKind::Clock, path, what, remedy));
    }
}

/// Gives what was just made the owner and the mode of the queue.
fn set_rights<F: Fs, C: Clock>(at: &QueueCheck<'_, F, C>, file: &F::File, path: &Path, mode: u32) -> Result<()> {
    Heir::of_dir(at.status).inherits(file).at("give away", path)?;
    file.set_mode(mode).at("set the mode of", path)
}

/// How many names a file may have: one, and one for each entry.
fn own_names<F: Fs, C: Clock>(at: &QueueCheck<'_, F, C>, path: &Path, status: Status) -> u64 {
    let id = id_in(path).filter(|_| status.kind == Kind::File);
    let entries = |id| at.queue.entries_at(id, path, status).map_or(0, |entries| entries.len() as u64);
    1 + id.map_or(0, entries)
}

/// Whether a file has more than one name. (Of a directory the links are those of its subdirectories.)
pub(super) fn has_other_names(status: Status) -> bool {
    status.kind != Kind::Dir && status.links > 1
}

/// Whether the permissions are these. A special bit too many does no harm; a group needs its setgid bit.
fn is_mode(status: Status, wanted: u32) -> bool {
    let needs_setgid = status.kind == Kind::Dir && wanted & 0o2070 > 0o2000;
    status.mode & 0o777 == wanted & 0o777 && (!needs_setgid || status.mode & 0o2000 != 0)
}
