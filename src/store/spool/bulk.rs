//! Doing it to every message: purge and move. Each message is one step; interrupted, the rest is as it was.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::Queue;
use super::fs::Fs;
use super::layout::LEAF_LEN;
use super::moves::Moved;
use super::sequence::Block;
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, MessageName, Seq};
use crate::store::{At, Result};

/// How many names of a large directory are in memory at a time.
const AT_ONCE: usize = 1024;

/// The same where they are wanted in order: each time costs a listing of the whole directory.
const IN_ORDER_AT_ONCE: usize = 16 * 1024;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn purge(&self) -> Result<u64> {
        let durability = self.policy()?.durability;
        let mut deleted = 0;
        let mut last_dir = PathBuf::new();
        let unread = self.visit_ready(true, &mut |name, path| {
            let dir = path.parent().unwrap_or(path);
            if dir != last_dir {
                self.sync_emptied(&last_dir, durability)?;
                dir.clone_into(&mut last_dir);
            }
            deleted += u64::from(self.remove(&name, path, durability)?);
            Ok(ControlFlow::Continue(()))
        })?;
        self.sync_emptied(&last_dir, durability)?;
        for dir in self.dated_dirs()?.into_iter().map(|(_, dir)| dir).chain([self.layout.held()]) {
            self.visit_dir(&dir, &mut |name, path| {
                let removed = self.remove(name, path, durability)?;
                deleted += u64::from(removed);
                Ok(removed)
            })?;
            self.sync_emptied(&dir, durability)?;
            if dir != self.layout.held() {
                self.spool.remove_dir(&dir);
            }
        }
        unread.map_or(Ok(deleted), Err)
    }

    pub(super) fn move_all(&self, to: &Self) -> Result<u64> {
        // What goes to the end of the queue that is being emptied would be met again, and again.
        if self.name == to.name {
            return Ok(0);
        }
        let durability = self.policy()?.durability;
        let mut numbers = Block { first: 0, len: 0 };
        let mut moved = 0;
        let mut move_one = |state: State, name: &MessageName, path: &Path| -> Result<bool> {
            if numbers.len == 0 {
                numbers = to.take_seqs(LEAF_LEN)?;
            }
            let name_there = MessageName { seq: Seq(numbers.first), deliveries: 0, ..*name };
            let target = to.layout.path(state, &name_there);
            let was_moved = self.transfer_to(to, name, path, &target, durability)?;
            if was_moved {
                numbers = Block { first: numbers.first + 1, len: numbers.len - 1 };
                moved += 1;
            }
            Ok(was_moved)
        };
        let unread = self.visit_ready(true, &mut |name, path| {
            move_one(State::Ready, &name, path)?;
            Ok(ControlFlow::Continue(()))
        })?;
        for (state, dir) in self.dated_dirs()? {
            if matches!(state, State::Delayed { .. }) {
                self.visit_dir_in_order(&dir, &mut |name, path| move_one(state, name, path))?;
                self.spool.remove_dir(&dir);
            }
        }
        unread.map_or(Ok(moved), Err)
    }

    /// A move into another queue: its directories, its bell.
    fn transfer_to(
        &self,
        to: &Self,
        name: &MessageName,
        path: &Path,
        target: &Path,
        durability: Durability,
    ) -> Result<bool> {
        to.make_parents(target)?;
        let moved = self.transfer(name, path, target, durability)? == Moved::Yes;
        if moved {
            self.leave_key(name, target, durability);
            to.ring(1);
        }
        Ok(moved)
    }

    /// The directories of `delayed/` and `claimed/` that are named by a second.
    fn dated_dirs(&self) -> Result<Vec<(State, PathBuf)>> {
        let (delayed, claimed) = (self.layout.delayed(), self.layout.claimed());
        let mut dirs = Vec::new();
        for due in self.seconds_in(&delayed)? {
            dirs.push((State::Delayed { due }, delayed.join(due.0.to_string())));
        }
        for until in self.seconds_in(&claimed)? {
            dirs.push((State::Claimed { until }, claimed.join(until.0.to_string())));
        }
        Ok(dirs)
    }

    /// Shows every message of a directory, some at a time, until `each` takes none of those any more.
    fn visit_dir(&self, dir: &Path, each: &mut dyn FnMut(&MessageName, &Path) -> Result<bool>) -> Result<()> {
        loop {
            let mut found = Vec::new();
            self.scan_messages(dir, &mut |name, path| {
                found.push((name, path));
                if found.len() >= AT_ONCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let mut taken = 0;
            for (name, path) in &found {
                taken += usize::from(each(name, path)?);
            }
            if taken == 0 || found.len() < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// As [`Self::visit_dir`], in the order of the numbers: a directory lists its names in any order.
    fn visit_dir_in_order(&self, dir: &Path, each: &mut dyn FnMut(&MessageName, &Path) -> Result<bool>) -> Result<()> {
        loop {
            let mut first: Vec<MessageName> = Vec::new();
            self.scan_messages(dir, &mut |name, _| {
                first.push(name);
                if first.len() >= 2 * IN_ORDER_AT_ONCE {
                    first.sort_unstable();
                    first.truncate(IN_ORDER_AT_ONCE);
                }
                ControlFlow::Continue(())
            })?;
            first.sort_unstable();
            first.truncate(IN_ORDER_AT_ONCE);
            let mut taken = 0;
            for name in &first {
                taken += usize::from(each(name, &dir.join(name.to_string()))?);
            }
            if taken == 0 || first.len() < IN_ORDER_AT_ONCE {
                return Ok(());
            }
        }
    }

    fn sync_emptied(&self, dir: &Path, durability: Durability) -> Result<()> {
        if durability == Durability::None || dir.as_os_str().is_empty() {
            return Ok(());
        }
        self.spool.sync_deletes(dir).at("sync", dir)
    }
}
