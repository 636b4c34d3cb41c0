//! The sweep: whatever the living and the dead left behind is brought where it belongs, in passing.
//!
//! Expired claims return under their own number, so to the head of the queue, or go to the dead letters;
//! delayed messages that are due become ready; held claims whose lock can be taken have lost their holder;
//! what dead writers left in `tmp/` is published or removed (`temporaries`); what is archived no more goes (`archive`).
//!
//! Invariants: after a sweep nothing due is left over (I7) unless there was more than it may do at once, and
//! then the next one goes on; two sweepers at once do no harm, since each step is one move that one of them
//! wins. The clock is the wall clock: one that steps back delays, one that steps forward delivers again, and
//! neither loses (but a message whose sender or queue gave it a time to live is too old when the clock says so).

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Queue;
use super::fs::{Access, Fault, FileHandle, Fs};
use super::layout::parse_name;
use super::moves::Moved;
use crate::domain::lifecycle::{self, Event, Facts, Outcome, State};
use crate::domain::{Clock, MessageId, MessageName, Policy, UnixMillis};
use crate::store::{Error, Failure, Notice, Result, Store as _};

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
    pub(super) left: usize,
    /// What somebody should hear of.
    pub(super) notices: Vec<Notice>,
    /// Why the first of those could not be moved that could not: it is no reason to leave the others where they are.
    pub(super) failed: Option<Error>,
}

impl Swept {
    /// Keeps the first failure.
    pub(super) fn note(&mut self, done: Result<()>) {
        self.failed = self.failed.take().or(done.err());
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Sweeps unless somebody has in this second, or is at it. Never fails: who passes by came for something else.
    ///
    /// Where something else stands in the place of the marker nobody knows when that was, and everybody sweeps: else
    /// what is due would wait for as long as there is anything ready.
    pub(super) fn sweep_in_passing(&self, thoroughness: Thoroughness, policy: &Policy) -> Vec<Notice> {
        // A fixed width, so that a shorter number leaves nothing of a longer one, nor of what else was in the file.
        let second = format!("{:<20}", self.now().floor_seconds().0);
        let marker = self.open_marker().ok();
        if let Some((marker, last)) = &marker
            && (*last == second.as_bytes() || !marker.try_lock().unwrap_or(true))
        {
            return Vec::new();
        }
        self.top_up_spares();
        let swept = self.sweep(thoroughness, policy);
        if swept.left > 0
            && let Some((marker, _)) = &marker
        {
            // Who cannot be told that this is done does it again.
            let _ = marker.write_all_at(format!("{second}\n").as_bytes(), 0);
        }
        swept.notices
    }

    /// The marker of the last sweep, and what it says.
    fn open_marker(&self) -> io::Result<(F::File, Vec<u8>)> {
        let mut marker = self.fs().open_or_create(&self.layout.sweep(), self.modes.file)?;
        let mut last = Vec::new();
        Read::by_ref(&mut marker).take(20).read_to_end(&mut last)?;
        Ok((marker, last))
    }

    /// Sweeps now. What fails is noted, and is no reason to leave the rest where it is.
    pub(super) fn sweep(&self, thoroughness: Thoroughness, policy: &Policy) -> Swept {
        let mut swept = Swept { left: thoroughness.most_moves(), ..Swept::default() };
        let parts = [
            Self::sweep_claimed,
            Self::sweep_delayed,
            Self::sweep_held,
            Self::sweep_temporaries,
            Self::sweep_keys,
            Self::sweep_groups,
            Self::sweep_expired,
            Self::sweep_archive,
        ];
        for part in parts {
            let done = part(self, policy, &mut swept);
            swept.note(done);
        }
        swept.moved += self.give_turns(policy);
        if swept.moved > 1 {
            // This process takes one of them; the others are for those who wait.
            self.ring(swept.moved - 1);
        }
        swept
    }

    fn sweep_claimed(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        for until in self.seconds_in(&self.layout.claimed())? {
            if until.is_due(self.now_of_sweep()) {
                self.sweep_due(State::Claimed { until }, policy, swept);
            }
            // Whether its second has come or its last claim was finished before: an empty one is left over. (One
            // that somebody is about to use is made again.)
            self.spool.remove_dir(&self.layout.claimed().join(until.0.to_string()));
        }
        Ok(())
    }

    fn sweep_delayed(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        for due in self.seconds_in(&self.layout.delayed())? {
            if due.is_due(self.now_of_sweep()) {
                self.sweep_due(State::Delayed { due }, policy, swept);
            }
            self.spool.remove_dir(&self.layout.delayed().join(due.0.to_string()));
        }
        Ok(())
    }

    fn now_of_sweep(&self) -> UnixMillis {
        if self.commits(Fault::SweepTakesLive) { self.now().plus(Duration::from_secs(3600)) } else { self.now() }
    }

    /// Empties a directory whose second has come.
    fn sweep_due(&self, state: State, policy: &Policy, swept: &mut Swept) {
        let dir = match state {
            State::Claimed { until } => self.layout.claimed().join(until.0.to_string()),
            State::Delayed { due } => self.layout.delayed().join(due.0.to_string()),
            State::Ready | State::Held | State::Waiting { .. } => return,
        };
        let mut found = Vec::new();
        let most = swept.left;
        let scanned = self.scan_messages(&dir, &mut |name, path| {
            found.push((name, path));
            if found.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        swept.note(scanned);
        // A directory lists its names in any order; dead letters should lie in that of their puts.
        found.sort_unstable();
        let event = Event::Sweep { holder_gone: false };
        for (name, path) in found {
            self.sweep_one(state, event, &name, &path, policy, swept);
        }
    }

    fn sweep_one(
        &self,
        state: State,
        event: Event,
        name: &MessageName,
        path: &Path,
        policy: &Policy,
        swept: &mut Swept,
    ) {
        let facts = Facts { deliveries: name.deliveries, put_at: name.id.put_at(), expires_at: None };
        let outcome = lifecycle::next(state, event, facts, policy, self.now_of_sweep());
        match (state, &outcome) {
            (_, Ok(Outcome::Stay) | Err(_)) => {}
            (State::Claimed { until }, _) => {
                self.note_end(path, &Failure::of_timeout(until.start(), name.deliveries));
            }
            (State::Held, _) => self.note_end(path, &Failure::of_death(self.now(), name.deliveries)),
            _ => {}
        }
        match outcome {
            Ok(Outcome::Become(state, deliveries)) => {
                let name_after = name.with_deliveries(deliveries);
                let to = self.layout.path(state, &name_after);
                match self.transfer(name, path, &to, policy.durability) {
                    Ok(Moved::Yes) => {
                        self.mark_again(&name_after, &to);
                        swept.moved += 1;
                        swept.left = swept.left.saturating_sub(1);
                    }
                    Ok(Moved::Gone) => {}
                    Err(error) => swept.note(Err(error)),
                }
            }
            Ok(Outcome::DeadLetter) => {
                swept.notices.extend(self.bury(name, path, policy));
                swept.left = swept.left.saturating_sub(1);
            }
            _ => {}
        }
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
            if file.try_lock().unwrap_or(false) || self.commits(Fault::SweepTakesHeld) {
                let event = Event::Sweep { holder_gone: true };
                self.sweep_one(State::Held, event, &name, &path, policy, swept);
            }
        }
        Ok(())
    }

    /// Moves a message to the dead-letter queue, at its end. If that fails it stays where it is, undelivered
    /// and not lost, and the notice says why.
    pub(super) fn bury(&self, name: &MessageName, path: &Path, policy: &Policy) -> Option<Notice> {
        self.bury_as(name, path, name.deliveries, policy)
    }

    /// As [`Self::bury`], with another delivery count.
    pub(super) fn bury_as(&self, name: &MessageName, path: &Path, deliveries: u32, policy: &Policy) -> Option<Notice> {
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
            let name_there = MessageName { seq: dead.take_seq()?, deliveries, ..*name };
            let target = dead.layout.path(State::Ready, &name_there);
            dead.take_room_anyway_of(path);
            if self.transfer_out(name, path, &target, policy.durability, None)? == Moved::Yes {
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
