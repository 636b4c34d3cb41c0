//! Making and dropping queues: each is there whole, or not at all.
//!
//! A queue is built under a hidden name and renamed to its own. To be dropped, it is first renamed to a name that
//! says which queue it was, so that nobody can publish into it any more; only then is it looked through, and it is
//! renamed back if it is not empty. All of this happens under the lock of the spool's format file, so who finds a
//! hidden name and has the lock knows that its maker or dropper is dead: what was being built goes, what was being
//! looked through goes back, what was given up goes.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::fs::{Access, FileHandle, Fs, Kind};
use super::layout::{self, Layout};
use super::{Modes, Queue, Spool};
use crate::domain::queue::PolicyError;
use crate::domain::{Clock, Policy, QueueName};
use crate::store::{At, Error, Result};

impl<F: Fs, C: Clock> Spool<F, C> {
    /// The lock under which queues are made and dropped: first in the order of `lock`.
    pub(super) fn lock_queues(&self) -> Result<F::File> {
        let path = self.root.join(layout::FORMAT_FILE);
        let file = self.fs.open(&path, Access::ReadWrite).at("open", &path)?;
        file.lock().at("lock", &path)?;
        Ok(file)
    }

    /// Builds a queue under a hidden name, and gives it its own when it is whole.
    pub(super) fn make_queue(&self, name: &QueueName, policy: &Policy, mode: Option<u32>) -> Result<()> {
        if layout::RESERVED.contains(&name.as_str()) {
            return Err(Error::ReservedName(name.clone()));
        }
        policy.check_for(name)?;
        self.establish(mode)?;
        let _lock = self.lock_queues()?;
        self.clear_away();
        let dir = self.root.join(name.as_str());
        if self.fs.status(&dir).is_ok() {
            return Err(Error::QueueExists(name.clone()));
        }
        // One that somebody died at dropping is this queue: beside a new one it would be out of reach for good.
        let checked = self.root.join(format!("{}{name}", layout::CHECKING_PREFIX));
        match self.fs.rename(&checked, &dir) {
            Ok(()) => return Err(Error::QueueExists(name.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("restore", &dir),
        }
        let mode = match mode {
            Some(mode) => mode,
            None => self.inherited_mode(),
        };
        let building = self.root.join(format!("{}{}", layout::MAKING_PREFIX, self.new_id(self.clock.now())));
        let built = self.build_queue(&building, policy, mode).and_then(|()| {
            match self.fs.rename(&building, &dir) {
                Ok(()) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) =>
                {
                    return Err(Error::QueueExists(name.clone()));
                }
                Err(error) => return Err(error).at("create", &dir),
            }
            self.fs.sync_dir(&self.root).at("sync", &self.root)
        });
        if built.is_err() {
            self.remove_tree(&building);
        }
        built
    }

    /// Removes a directory and all that is in it, as far as that goes.
    pub(super) fn remove_tree(&self, dir: &Path) {
        let mut dirs = vec![dir.to_owned()];
        let _ = self.fs.walk(dir, &mut |path, status| {
            if status.kind == Kind::Dir {
                dirs.push(path.to_owned());
            } else {
                let _ = self.fs.unlink(path);
            }
        });
        dirs.iter().rev().for_each(|dir| self.remove_dir(dir));
    }

    fn build_queue(&self, building: &Path, policy: &Policy, mode: u32) -> Result<()> {
        self.fs.mkdir(building, mode).at("create", building)?;
        let queue = Queue {
            spool: self,
            name: "building".parse().map_err(|invalid| PolicyError::BadValue { key: "name", source: invalid })?,
            layout: Layout::new(building.to_owned()),
            modes: Modes::of_dir(mode),
            heir: None,
            shared: RefCell::new(None),
            turns: RefCell::default(),
            capped: Cell::default(),
            has_markers: Cell::default(),
        };
        let dirs = queue.layout.fixed_dirs();
        for dir in &dirs {
            self.fs.mkdir(dir, mode).at("create", dir)?;
        }
        queue.make_counter()?;
        for path in [queue.layout.lock(), queue.layout.sweep()] {
            queue.create_file(&path)?;
        }
        let bell = queue.layout.wake();
        match self.fs.make_bell(&bell, queue.modes.file) {
            Ok(()) => {}
            // Not every file system has FIFOs; receivers look once a second anyway.
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {}
            Err(error) => return Err(error).at("create", &bell),
        }
        if *policy != Policy::default() {
            queue.write_policy(policy)?;
        }
        for dir in dirs.iter().map(PathBuf::as_path).chain([building]) {
            self.fs.sync_dir(dir).at("sync", dir)?;
        }
        Ok(())
    }

    /// Gives a queue that is not dropped its name back, durably: that it was taken away is not synced, and where names come and
    /// go one by one a power cut could leave it neither of the two.
    fn restore(&self, checked: &Path, own: &Path) -> Result<()> {
        self.fs.rename(checked, own).at("restore", own)?;
        self.fs.sync_dir(&self.root).at("sync", &self.root)
    }

    /// Puts in order what makers and droppers of queues left behind when they died. Best effort; the caller has
    /// the lock.
    pub(super) fn clear_away(&self) {
        let mut left = Vec::new();
        let _ = self.fs.scan(&self.root, &mut |name, kind| {
            if let (Kind::Dir, Some(name)) = (kind, name.to_str()) {
                left.push(name.to_owned());
            }
            ControlFlow::Continue(())
        });
        for name in left {
            let dir = self.root.join(&name);
            if let Some(queue) = name.strip_prefix(layout::CHECKING_PREFIX) {
                // Only what a queue can be called was a queue: a name is checked before it is a path.
                if !layout::RESERVED.contains(&queue) && queue.parse::<QueueName>().is_ok() {
                    let _ = self.fs.rename(&dir, &self.root.join(queue)).and_then(|()| self.fs.sync_dir(&self.root));
                }
            } else if name.starts_with(layout::MAKING_PREFIX) || name.starts_with(layout::DROPPING_PREFIX) {
                self.remove_tree(&dir);
            }
        }
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn drop_all(&self, force: bool) -> Result<u64> {
        let spool = self.spool;
        let _lock = spool.lock_queues()?;
        spool.clear_away();
        // Most refusals need nobody to be disturbed.
        let mut messages = self.count_for_drop()?;
        if messages > 0 && !force {
            return Err(Error::QueueNotEmpty { queue: self.name.clone(), messages });
        }
        let (root, own) = (spool.root(), self.layout.dir());
        let checked = root.join(format!("{}{}", layout::CHECKING_PREFIX, self.name));
        self.fs().rename(own, &checked).at("drop", own)?;
        if !force {
            // From here on nobody can publish by the queue's name; who was faster is seen now.
            let hidden = self.at(checked.clone());
            let counted = hidden.count_for_drop();
            if !matches!(counted, Ok(0)) {
                let own = root.join(hidden.name.as_str());
                let restored = spool.restore(&checked, &own);
                messages = counted?;
                restored?;
                return Err(Error::QueueNotEmpty { queue: hidden.name, messages });
            }
        }
        let doomed = root.join(format!("{}{}", layout::DROPPING_PREFIX, spool.new_id(spool.clock.now())));
        if let Err(error) = spool.fs.rename(&checked, &doomed) {
            // (If that fails as well, whoever makes or drops a queue next restores it.)
            let _ = spool.restore(&checked, &root.join(self.name.as_str()));
            return Err(error).at("drop", &checked);
        }
        spool.fs.sync_dir(root).at("sync", root)?;
        spool.remove_tree(&doomed);
        Ok(messages)
    }

    /// The same queue under another name for its directory.
    fn at(&self, dir: PathBuf) -> Self {
        Queue {
            spool: self.spool,
            name: self.name.clone(),
            layout: Layout::new(dir),
            modes: self.modes,
            heir: self.heir,
            shared: RefCell::new(None),
            turns: RefCell::default(),
            capped: Cell::default(),
            has_markers: Cell::default(),
        }
    }

    /// What holds up a drop. The archive does not: what is in it was deleted.
    fn count_for_drop(&self) -> Result<u64> {
        let stat = self.stat_now()?;
        Ok(stat.messages() + stat.corrupt + stat.temporaries + stat.strays)
    }
}
