//! The sweep: whatever the living and the dead left behind is brought where it belongs, in passing.
//!
//! Expired claims return under their own number, so to the head of the queue, or go to the dead letters;
//! delayed messages that are due become ready; held claims whose lock can be taken have lost their holder;
//! a complete temporary whose writer is gone *is* a message and is published, an incomplete one is removed.
//! (On bare POSIX every temporary of a dead writer is removed: the promise is given only when the published name
//! is durable, and a temporary's name can come back after that. Where the file system could not be told, a complete
//! one stays: another process may know it, and may have made the promise.)
//!
//! Invariants: after a sweep nothing due is left over (I7) unless there was more than it may do at once, and
//! then the next one goes on; two sweepers at once do no harm, since each step is one move that one of them
//! wins. The clock is the wall clock: one that steps back delays, one that steps forward delivers again, and
//! neither loses (but a message whose sender or queue gave it a time to live is too old when the clock says so).

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::fs::{Access, FileHandle, Fs, Names};
use super::layout::parse_name;
use super::moves::Moved;
use super::record::{Opened, ReadError};
use super::{Kind, Order, Queue};
use crate::domain::lifecycle::{self, Event, Facts, Outcome, State};
use crate::domain::{Clock, Durability, MessageId, MessageName, Policy};
use crate::store::{Error, Notice, Result, Store as _};

/// How much a sweep may do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thoroughness {
    /// By a putter, who has come for something else.
    Little,
    /// By a receiver, who wants what there is.
    Usual,
}

impl Thoroughness {
    fn most_moves(self) -> usize {
        match self {
            Self::Little => 64,
            Self::Usual => 1024,
        }
    }
}

/// What a sweep did.
#[derive(Default)]
pub(super) struct Swept {
    /// How many messages it moved or published.
    pub(super) moved: usize,
    /// How many more it may move.
    left: usize,
    /// What somebody should hear of.
    pub(super) notices: Vec<Notice>,
}

/// A temporary is left alone for so long after it was last written: between making and locking it its writer
/// looks like a dead one.
const TEMPORARY_IS_OLD_MS: u64 = 5_000;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Sweeps unless somebody has in this second, or is at it. Never fails: who passes by came for something else.
    pub(super) fn sweep_in_passing(&self, thoroughness: Thoroughness, policy: &Policy) -> Vec<Notice> {
        let second = self.now().floor_seconds().0.to_string();
        let swept = || -> io::Result<Vec<Notice>> {
            let mut marker = self.fs().open_or_create(&self.layout.sweep(), self.modes.file)?;
            let mut last = String::new();
            Read::by_ref(&mut marker).take(32).read_to_string(&mut last)?;
            if last.trim_end() == second || !marker.try_lock()? {
                return Ok(Vec::new());
            }
            self.top_up_spares();
            let swept = self.sweep(thoroughness, policy).map_err(io::Error::other)?;
            if swept.left > 0 {
                // A fixed width, so that a shorter number leaves nothing of a longer one.
                marker.write_all_at(format!("{second:<20}\n").as_bytes(), 0)?;
            }
            Ok(swept.notices)
        };
        swept().unwrap_or_default()
    }

    /// Sweeps now.
    pub(super) fn sweep(&self, thoroughness: Thoroughness, policy: &Policy) -> Result<Swept> {
        let mut swept = Swept { left: thoroughness.most_moves(), ..Swept::default() };
        let now = self.now();
        for until in self.seconds_in(&self.layout.claimed())? {
            if until.is_due(now) {
                self.sweep_due(State::Claimed { until }, policy, &mut swept)?;
            }
            // Whether its second has come or its last claim was finished before: an empty one is left over. (One
            // that somebody is about to use is made again.)
            self.spool.remove_dir(&self.layout.claimed().join(until.0.to_string()));
        }
        for due in self.seconds_in(&self.layout.delayed())? {
            if due.is_due(now) {
                self.sweep_due(State::Delayed { due }, policy, &mut swept)?;
            }
            self.spool.remove_dir(&self.layout.delayed().join(due.0.to_string()));
        }
        self.sweep_held(policy, &mut swept)?;
        self.sweep_temporaries(policy, &mut swept)?;
        if swept.moved > 1 {
            // This process takes one of them; the others are for those who wait.
            self.ring(swept.moved - 1);
        }
        Ok(swept)
    }

    /// Empties a directory whose second has come.
    fn sweep_due(&self, state: State, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let dir = match state {
            State::Claimed { until } => self.layout.claimed().join(until.0.to_string()),
            State::Delayed { due } => self.layout.delayed().join(due.0.to_string()),
            State::Ready | State::Held => return Ok(()),
        };
        let mut found = Vec::new();
        let most = swept.left;
        self.scan_messages(&dir, &mut |name, path| {
            found.push((name, path));
            if found.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // A directory lists its names in any order; dead letters should lie in that of their puts.
        found.sort_unstable();
        let event = Event::Sweep { holder_gone: false };
        for (name, path) in found {
            self.sweep_one(state, event, &name, &path, policy, swept)?;
        }
        Ok(())
    }

    fn sweep_one(
        &self,
        state: State,
        event: Event,
        name: &MessageName,
        path: &Path,
        policy: &Policy,
        swept: &mut Swept,
    ) -> Result<()> {
        let facts = Facts { deliveries: name.deliveries, put_at: name.id.put_at(), expires_at: None };
        match lifecycle::next(state, event, facts, policy, self.now()) {
            Ok(Outcome::Become(state, deliveries)) => {
                let name_after = name.with_deliveries(deliveries);
                let to = self.layout.path(state, &name_after);
                if self.transfer(name, path, &to, policy.durability)? == Moved::Yes {
                    swept.moved += 1;
                    swept.left = swept.left.saturating_sub(1);
                }
            }
            Ok(Outcome::DeadLetter) => {
                swept.notices.extend(self.bury(name, path, policy));
                swept.left = swept.left.saturating_sub(1);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns held claims whose holders are gone.
    fn sweep_held(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let mut held = Vec::new();
        self.scan_messages(&self.layout.held(), &mut |name, path| {
            held.push((name, path));
            ControlFlow::Continue(())
        })?;
        held.sort_unstable();
        for (name, path) in held {
            // Gone, or not ours to read: either way not ours to return.
            let Ok(file) = self.fs().open(&path, Access::Read) else { continue };
            if file.try_lock().unwrap_or(false) {
                let event = Event::Sweep { holder_gone: true };
                self.sweep_one(State::Held, event, &name, &path, policy, swept)?;
            }
        }
        Ok(())
    }

    fn sweep_temporaries(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let tmp = self.layout.tmp();
        let mut found: Vec<(MessageId, PathBuf, Kind)> = Vec::new();
        let most = swept.left;
        let scanned = self.fs().scan(&tmp, &mut |name, kind| {
            // What has no id for a name is not ours.
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                found.push((id, tmp.join(name), kind));
            }
            if found.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if scanned.is_err() {
            return Ok(());
        }
        for (id, path, kind) in found {
            if !self.is_old(&path) {
                continue;
            }
            match kind {
                Kind::File => self.sweep_temporary(id, &path, policy, swept)?,
                Kind::Dir => {
                    let Ok(dir) = self.fs().open_dir(&path) else { continue };
                    if dir.try_lock().unwrap_or(false) {
                        self.spool.remove_tree(&path);
                    }
                }
                Kind::Other => {}
            }
        }
        Ok(())
    }

    fn is_old(&self, path: &Path) -> bool {
        self.fs().status(path).is_ok_and(|status| status.modified.0.abs_diff(self.now().0) > TEMPORARY_IS_OLD_MS)
    }

    /// Rolls a dead writer's temporary forward if it is complete, and removes it if not.
    fn sweep_temporary(&self, id: MessageId, path: &Path, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let Ok(file) = self.fs().open(path, Access::ReadWrite) else { return Ok(()) };
        if !file.try_lock().unwrap_or(false) {
            return Ok(());
        }
        if self.spool.names() == Names::Bare {
            // Its name may have come back with a power cut after it was published, and the message may be
            // deleted by now. Nobody was promised anything by a temporary in this order.
            let _ = self.fs().unlink(path);
            return Ok(());
        }
        let (message, file) = match Opened::new(file).and_then(Opened::check) {
            Ok((message, _, file, _)) if message.id == id => (message, file),
            Ok(_) | Err(ReadError::Damaged(_)) => {
                let _ = self.fs().unlink(path);
                return Ok(());
            }
            Err(ReadError::Io(_)) => return Ok(()),
        };
        if self.fs().status(path).is_ok_and(|status| status.links > 1) && self.find(id)?.is_some() {
            // It was published: Btrfs can bring a power cut's rename back with both of its names.
            let _ = self.fs().unlink(path);
            return Ok(());
        }
        if self.spool.order() == Order::Classical {
            // It is a message or it is none: whoever knows the file system will say.
            return Ok(());
        }
        if policy.durability == Durability::Full {
            // Its writer may have died before its own sync.
            if file.sync().is_err() {
                return Ok(());
            }
        }
        let state = match message.due {
            Some(due) if !due.is_due(self.now()) => State::Delayed { due },
            _ => State::Ready,
        };
        let name = MessageName { seq: self.take_seq()?, priority: message.priority, id, deliveries: 0 };
        match self.publish(path, &name, state, policy.durability) {
            Ok(()) => {
                drop(file);
                if state == State::Ready {
                    self.ring(1);
                }
                swept.moved += 1;
            }
            // Its writer lives after all, or another sweeper had it.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Moves a message to the dead-letter queue, at its end. If that fails it stays where it is, undelivered
    /// and not lost, and the notice says why.
    pub(super) fn bury(&self, name: &MessageName, path: &Path, policy: &Policy) -> Option<Notice> {
        let buried = || -> Result<()> {
            let to = policy
                .dead_letter_queue(&self.name)
                .map_err(|source| crate::domain::queue::PolicyError::BadValue { key: "dead-letter", source })?;
            let dead = match self.spool.queue(&to) {
                Err(Error::NoSuchQueue { .. }) => {
                    let own = Policy { durability: policy.durability, ..Policy::default() };
                    match self.spool.create_queue(&to, &own, Some(self.modes.dir)) {
                        Ok(()) | Err(Error::QueueExists(_)) => self.spool.queue(&to)?,
                        Err(error) => return Err(error),
                    }
                }
                other => other?,
            };
            let name_there = MessageName { seq: dead.take_seq()?, ..*name };
            let target = dead.layout.path(State::Ready, &name_there);
            if self.transfer(name, path, &target, policy.durability)? == Moved::Yes {
                dead.ring(1);
            }
            Ok(())
        };
        let error = buried().err()?;
        Some(Notice::NotBuried { id: name.id, why: crate::store::chain(&error) })
    }

    /// The name of a message file anywhere in the queue, by its id.
    pub(super) fn find(&self, id: MessageId) -> Result<Option<(State, MessageName, PathBuf)>> {
        let mut found = None;
        let dir = self.layout.dir();
        let walked = self.fs().walk(dir, &mut |path, status| {
            let inside = path.strip_prefix(dir).unwrap_or(path);
            if found.is_none()
                && path.file_name().and_then(parse_name).is_some_and(|name| name.id == id)
                && let super::layout::Place::Message(state, name) = super::layout::classify(inside, status.kind)
            {
                found = Some((state, name, path.to_owned()));
            }
        });
        crate::store::At::at(walked, "read", dir)?;
        Ok(found)
    }
}
