//! Messages that are there twice: one file under two names, or two files.
//!
//! A message that moves while names are listed shows twice or not at all, so whatever looks double is looked at
//! again, both names at once. Ids are compared by a hash of 64 bits, a bounded number of them at a time: a queue of any
//! depth is listed again for each [`IDS_AT_ONCE`] messages of the spool, and never held in memory.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::super::fs::{Access, FileHandle, Fs, Names, Status};
use super::super::layout;
use super::super::{Order, Queue};
use super::messages::Verdict;
use super::parts::QueueCheck;
use super::{Check, FindingKind, is_gone};
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, MessageId, MessageName, QueueName};
use crate::store::{At, Error, Result};

/// How many ids are in memory at a time: 8 MiB of hashes.
const IDS_AT_ONCE: u64 = 1 << 20;

/// How many of them are looked at more closely. If more of them are double, the next run finds the rest.
const SUSPECTS: usize = 16 * 1024;

/// A name of a message, in a queue.
#[derive(Clone)]
struct Named {
    queue: QueueName,
    state: State,
    name: MessageName,
    path: PathBuf,
}

fn hash_of(id: MessageId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Shows the name of every message, by what the directories say alone.
    fn each_name(&self, each: &mut dyn FnMut(State, MessageName, &Path)) -> Result<()> {
        let unread = self.visit_ready(false, &mut |name, path| {
            each(State::Ready, name, path);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut dirs = vec![(State::Held, self.layout.held())];
        for due in self.seconds_in(&self.layout.delayed())? {
            dirs.push((State::Delayed { due }, self.layout.delayed().join(due.0.to_string())));
        }
        for until in self.seconds_in(&self.layout.claimed())? {
            dirs.push((State::Claimed { until }, self.layout.claimed().join(until.0.to_string())));
        }
        for (state, dir) in dirs {
            self.scan_messages(&dir, &mut |name, path| {
                each(state, name, &path);
                ControlFlow::Continue(())
            })?;
        }
        let (_, hidden) = self.visit_lines(&mut |state, name, path| {
            each(state, name, path);
            Ok(ControlFlow::Continue(()))
        })?;
        unread.or(hidden).map_or(Ok(()), Err)
    }
}

impl<'a, F: Fs, C: Clock> Check<'a, '_, F, C> {
    pub(super) fn look_for_copies(&mut self, queues: &[QueueName]) -> Result<()> {
        let passes = self.summary.messages / IDS_AT_ONCE + 1;
        let mut messages = 0;
        for pass in 0..passes {
            let mut hashes: Vec<u64> = Vec::new();
            self.each_name(queues, &mut |_, _, name, _| {
                let hash = hash_of(name.id);
                if hash % passes == pass {
                    hashes.push(hash);
                }
            });
            messages += hashes.len() as u64;
            hashes.sort_unstable();
            let mut double: Vec<u64> =
                hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
            drop(hashes);
            double.dedup();
            double.truncate(SUSPECTS);
            if double.is_empty() {
                continue;
            }
            let mut suspects: BTreeMap<MessageId, Vec<Named>> = BTreeMap::new();
            self.each_name(queues, &mut |queue, state, name, path| {
                if double.binary_search(&hash_of(name.id)).is_ok() {
                    let named = Named { queue: queue.clone(), state, name, path: path.to_owned() };
                    suspects.entry(name.id).or_default().push(named);
                }
            });
            for (_, named) in suspects {
                self.look_at_names(named)?;
            }
        }
        // What was moved or set aside since it was looked at is counted where it lies now.
        self.summary.messages = messages;
        Ok(())
    }

    fn each_name(&self, queues: &[QueueName], each: &mut dyn FnMut(&QueueName, State, MessageName, &Path)) {
        for name in queues {
            let Ok(queue) = self.spool.queue(name) else { continue };
            // What cannot be read is told where it lies.
            let _ = queue.each_name(&mut |state, message, path| each(name, state, message, path));
        }
    }

    /// Which of the names are there at one time, and what they stand for.
    fn still_there(&self, mut named: Vec<Named>) -> Vec<(Named, Status)> {
        // A listing can show a name twice when names come and go meanwhile.
        named.sort_by(|one, other| one.path.cmp(&other.path));
        named.dedup_by(|one, other| one.path == other.path);
        let status = |named: &Named| self.spool.fs.status(&named.path).ok();
        let mut there: Vec<(Named, Status)> =
            named.into_iter().filter_map(|named| status(&named).map(|status| (named, status))).collect();
        // From the last to the first: what is there again was there when the others were looked at.
        there.reverse();
        there.retain(|(named, before)| status(named).is_some_and(|now| now.inode == before.inode));
        there
    }

    /// The lock of the moves, if there are movers who take it. It is not made for the sake of a look.
    pub(super) fn lock_moves_for_a_look(&self) -> Result<Option<F::File>> {
        if self.spool.order() == Order::RollForward {
            return Ok(None);
        }
        let path = self.spool.root.join(layout::MOVES_FILE);
        let Ok(lock) = self.spool.fs.open(&path, Access::Read) else { return Ok(None) };
        lock.lock().at("lock", &path)?;
        Ok(Some(lock))
    }

    fn look_at_names(&mut self, named: Vec<Named>) -> Result<()> {
        // In the classical order a message has two names while it moves, and its mover has the lock.
        let there = {
            let _lock = self.lock_moves_for_a_look()?;
            self.still_there(named)
        };
        let checks = self.checks_of(&there)?;
        let mut worths = Vec::new();
        for (named, status) in there {
            let is_live = checks.get(&named.queue).is_some_and(|at| self.is_live(at, named.state, &named.path));
            let is_whole = match self.verify(&named.path, Some(named.name.id)) {
                // Which of them is to stay cannot be told now.
                Some(Verdict::Unreadable(error)) => {
                    if let Some(at) = checks.get(&named.queue) {
                        self.unreadable(at, &named.path, &error);
                    }
                    return Ok(());
                }
                verdict => matches!(verdict, Some(Verdict::Whole(_))),
            };
            let deliveries = named.name.deliveries;
            worths.push(((is_whole, deliveries, is_live, named.state == State::Ready), named, status));
        }
        worths.sort_by(|(worth, one, _), (of_other, other, _)| (worth, &one.path).cmp(&(of_other, &other.path)));
        let mut there: Vec<(Named, Status)> = worths.into_iter().map(|(_, named, status)| (named, status)).collect();
        let Some((keep, kept)) = there.pop() else { return Ok(()) };
        for (other, status) in there {
            let Some(at) = checks.get(&other.queue) else { continue };
            if (status.device, status.inode) == (kept.device, kept.inode) {
                // One name can be seen by two ways: a directory that is mounted a second time, say.
                if status.links < 2 {
                    continue;
                }
                self.look_at_second_name(&checks, &keep, &other, kept);
            } else if other.queue == keep.queue {
                self.look_at_copy(at, &keep, &other);
            }
        }
        Ok(())
    }

    fn checks_of(&self, named: &[(Named, Status)]) -> Result<BTreeMap<QueueName, QueueCheck<'a, F, C>>> {
        let spool = self.spool;
        let mut checks = BTreeMap::new();
        for (named, _) in named {
            let queue = match spool.queue(&named.queue) {
                Err(Error::NoSuchQueue { .. }) => continue,
                other => other?,
            };
            let status = spool.fs.status(queue.layout.dir()).at("read", queue.layout.dir())?;
            checks.insert(named.queue.clone(), QueueCheck::new(queue, status));
        }
        Ok(checks)
    }

    /// One file under two names. In the classical order that is what a mover leaves that dies half way, and the other
    /// names go, as they would at the next move. Elsewhere nobody but a person makes it, and moves have no lock, so the
    /// other name is set aside: whatever happens meanwhile, a name is left.
    fn look_at_second_name(
        &mut self,
        checks: &BTreeMap<QueueName, QueueCheck<'_, F, C>>,
        keep: &Named,
        other: &Named,
        kept: Status,
    ) {
        let (Some(at), Some(at_keep)) = (checks.get(&other.queue), checks.get(&keep.queue)) else { return };
        let what = format!("is a second name of the message {}", keep.path.display());
        let is_locked = |at: &QueueCheck<'_, F, C>| at.queue.is_classical(at.policy.durability);
        let is_durable = [at, at_keep].iter().all(|at| at.policy.durability == Durability::Full);
        if is_durable && self.spool.names() == Names::Whole {
            // A power cut has left both names of a rename.
            let finding = at.finding(FindingKind::TwoNames, &other.path, what, "remove this name");
            return self.mend(finding, |check| {
                drop(at_keep.queue.make_single(&keep.name, &keep.path, Durability::Full)?);
                is_gone(&check.spool.fs, &other.path, "it came back")
            });
        }
        if !(is_locked(at) && is_locked(at_keep)) {
            return self.look_at_extra(at, FindingKind::TwoNames, what, keep, other);
        }
        let finding = at.finding(FindingKind::TwoNames, &other.path, what, "remove this name");
        self.mend(finding, |check| {
            let fs = &check.spool.fs;
            let removed = Self::moving(&at_keep.queue, Durability::Full, || {
                // Whoever was moving it is done by now.
                let is_double = [&keep.path, &other.path]
                    .iter()
                    .all(|path| fs.status(path).is_ok_and(|now| (now.device, now.inode) == (kept.device, kept.inode)));
                if !is_double {
                    return Ok(false);
                }
                at_keep.queue.remove_other_names(&keep.name, &keep.path, kept, None)?;
                is_gone(fs, &other.path, "it came back")
            })?;
            Ok(removed == Some(true))
        });
    }

    /// Two files with one message: the one that has been delivered more often stays, if it is whole.
    fn look_at_copy(&mut self, at: &QueueCheck<'_, F, C>, keep: &Named, other: &Named) {
        let what = format!("is another file with the message {}", keep.path.display());
        self.look_at_extra(at, FindingKind::Copy, what, keep, other);
    }

    fn look_at_extra(
        &mut self,
        at: &QueueCheck<'_, F, C>,
        kind: FindingKind,
        what: String,
        keep: &Named,
        other: &Named,
    ) {
        if self.is_live(at, other.state, &other.path) {
            let remedy = "wait until its claim ends, and repair it then";
            return self.tell(at.finding(kind, &other.path, what, remedy));
        }
        let durability = at.policy.durability;
        if kind == FindingKind::TwoNames && at.queue.is_classical(durability) {
            let remedy = "delete the message, or remove one of the names while nobody uses the queues";
            return self.tell(at.finding(kind, &other.path, what, remedy));
        }
        let why = format!("{what}, which stays in the queue");
        self.mend(
            at.finding(kind, &other.path, what, "set it aside in corrupt/, with the reason beside it"),
            |check| {
                let aside = Self::moving(&at.queue, durability, || {
                    if check.still_there(vec![keep.clone(), other.clone()]).len() < 2 {
                        return Ok(None);
                    }
                    at.queue.set_aside(&other.name, &other.path, &why, durability)
                })?;
                Ok(aside.flatten().is_some())
            },
        );
    }
}
