//! Claiming what is deliverable.
//!
//! A get lists four small directories (priorities, groups, leaves, one leaf), whatever the depth of the
//! queue, and renames the first name it finds into `claimed/`. Exactly one process wins a rename; who loses
//! takes the next name. A held claim is locked before it is renamed, so a held claim without a lock is always
//! one whose holder died.
//!
//! Invariants: no message in `claimed/` is handed out (I2); nothing is handed over before its length and
//! checksum are right (I3); the delivery count goes up by one (I6).

use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fs::{Access, Bell, Fault, FileHandle, Fs, is_of_the_file, is_out_of_space};
use super::layout::{parse_hex, parse_name, parse_second};
use super::moves::Moved;
use super::record::{BodyPlace, Opened, ReadError};
use super::sweep::Thoroughness;
use super::{Kind, Queue};
use crate::domain::lifecycle::{self, Event, Facts, Outcome, State};
use crate::domain::{ClaimPlace, Clock, MessageName, Policy, Priority, Receipt, UnixMillis, UnixSeconds, Visibility};
use crate::store::{At, Body, ClaimRequest, Claims, Delivery, Error, Hold, Message, Notice, Result, Watch};

/// What keeps a held claim: the locked description of the message file.
struct FileHold<H> {
    file: Arc<H>,
    place: BodyPlace,
}

impl<H: FileHandle> Hold for FileHold<H> {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }

    fn let_go(&mut self) {
        // A lock that cannot be dropped goes with the last copy of its description.
        let _ = self.file.unlock();
    }

    fn body_file(&self) -> io::Result<Option<std::fs::File>> {
        // With a log behind it the file does not end where the body ends.
        let Some(fd) = self.file.as_fd().filter(|_| !self.place.has_log) else { return Ok(None) };
        let mut file = std::fs::File::from(fd.try_clone_to_owned()?);
        io::Seek::seek(&mut file, io::SeekFrom::Start(self.place.start))?;
        Ok(Some(file))
    }
}

/// A message that has been read and found right.
type Checked<H> = (Message, Body, Arc<H>, BodyPlace);

/// Why a message could not be claimed.
struct Missed {
    error: Error,
    /// Whether it is that message's matter alone: the others can be claimed all the same.
    is_alone: bool,
}

impl Missed {
    /// The message has left `ready/`, and comes back when its claim has ended.
    fn after_it_was_taken(error: Error) -> Self {
        Self { error, is_alone: true }
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        let is_alone = match &error {
            // Something strayed to the very place that the message would go to.
            Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => true,
            // A bad sector, or permissions that were taken away.
            Error::Io { action: "open", source, .. } => is_of_the_file(source),
            _ => false,
        };
        Self { error, is_alone }
    }
}

/// Where a message was moved to, and as what.
pub(super) struct Placed {
    name: MessageName,
    path: PathBuf,
    state: State,
}

impl Placed {
    /// When the claim ends, if it is a timed one.
    pub(super) fn until(&self) -> Option<UnixSeconds> {
        if let State::Claimed { until } = self.state { Some(until) } else { None }
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn claim(&self, request: &ClaimRequest) -> Result<Claims> {
        let policy = self.policy()?;
        if policy.paused {
            return Err(Error::Paused(self.name.clone()));
        }
        let mut claims = Claims::default();
        claims.notices.extend(self.sweep_in_passing(Thoroughness::Usual, &policy));
        self.claim_ready(request, &policy, &mut claims)?;
        // What was too old, or dead, was somebody's turn.
        while self.give_turns(&policy) > 0 && claims.deliveries.len() < request.most {
            self.claim_ready(request, &policy, &mut claims)?;
        }
        if claims.deliveries.is_empty() {
            // Before this says that there is nothing, everything that could come back has to have come back.
            let swept = self.sweep(Thoroughness::Usual, &policy);
            claims.notices.extend(swept.notices);
            if swept.moved > 0 {
                self.claim_ready(request, &policy, &mut claims)?;
            }
            // There is something, and it cannot be had: that is not nothing.
            if let (Some(error), []) = (swept.failed, claims.deliveries.as_slice()) {
                return Err(error);
            }
        }
        Ok(claims)
    }

    fn claim_ready(&self, request: &ClaimRequest, policy: &Policy, claims: &mut Claims) -> Result<()> {
        match request.most {
            0 => Ok(()),
            1 => self.claim_in_order(request, policy, claims),
            _ => self.sharing_syncs(policy.durability, || self.claim_in_order(request, policy, claims)),
        }
    }

    fn claim_in_order(&self, request: &ClaimRequest, policy: &Policy, claims: &mut Claims) -> Result<()> {
        let mut in_the_way = None;
        let unread = self.visit_ready(true, &mut |name, path| {
            match self.claim_one(name, path, request.visibility, policy, &mut claims.notices) {
                Ok(Some(delivery)) => claims.deliveries.push(delivery),
                Ok(None) => {}
                // The others are not behind it.
                Err(Missed { error, is_alone: true }) => {
                    if in_the_way.is_none() {
                        in_the_way = Some(error);
                    }
                }
                // What is claimed is handed out. (On a full disk a directory of claims cannot grow: finishing some
                // makes room for the next.)
                Err(Missed { error, .. }) if !claims.deliveries.is_empty() => {
                    claims.notices.push(Notice::Stopped { why: crate::store::chain(&error) });
                    return Ok(ControlFlow::Break(()));
                }
                Err(Missed { error, .. }) => return Err(error),
            }
            let enough = claims.deliveries.len() >= request.most;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        match in_the_way.or(unread) {
            Some(error) if claims.deliveries.is_empty() => Err(error),
            Some(error) => {
                claims.notices.push(Notice::PassedOver { why: crate::store::chain(&error) });
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Shows what lies in `ready/`, the next to be delivered first. With `tidy`, empty leaves that are not
    /// the tail are removed. A directory that cannot be read hides what is in it and nothing else; the first of them is
    /// returned.
    pub(super) fn visit_ready(
        &self,
        tidy: bool,
        each: &mut dyn FnMut(MessageName, &Path) -> Result<ControlFlow<()>>,
    ) -> Result<Option<Error>> {
        let ready = self.layout.ready();
        let mut priorities = self.names_in(&ready)?;
        priorities.retain(|(name, kind)| *kind == Kind::Dir && name.parse::<Priority>().is_ok());
        let mut unread = None;
        for (priority, _) in priorities.iter().rev() {
            if self.visit_level(&ready.join(priority), 12, tidy, true, each, &mut unread)?.is_break() {
                break;
            }
        }
        Ok(unread)
    }

    /// Visits the groups of a priority (`digits` 12) or the leaves of a group (2), in order.
    pub(super) fn visit_level(
        &self,
        dir: &Path,
        digits: usize,
        tidy: bool,
        is_tail: bool,
        each: &mut dyn FnMut(MessageName, &Path) -> Result<ControlFlow<()>>,
        unread: &mut Option<Error>,
    ) -> Result<ControlFlow<()>> {
        let mut children = self.names_unless_unread(dir, unread);
        children.retain(|(name, kind)| *kind == Kind::Dir && parse_hex(name, digits).is_some());
        let last = children.len().wrapping_sub(1);
        for (at, (child, _)) in children.iter().enumerate() {
            let child = dir.join(child);
            let is_tail = is_tail && at == last;
            let flow = if digits == 2 {
                self.visit_leaf(&child, each, unread)?
            } else {
                self.visit_level(&child, 2, tidy, is_tail, each, unread)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
            if tidy && !is_tail {
                // Not empty, or gone already: both are as good. A putter who loses it makes it again.
                self.spool.remove_dir(&child);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn names_unless_unread(&self, dir: &Path, unread: &mut Option<Error>) -> Vec<(String, Kind)> {
        self.names_in(dir).unwrap_or_else(|error| {
            unread.get_or_insert(error);
            Vec::new()
        })
    }

    fn visit_leaf(
        &self,
        leaf: &Path,
        each: &mut dyn FnMut(MessageName, &Path) -> Result<ControlFlow<()>>,
        unread: &mut Option<Error>,
    ) -> Result<ControlFlow<()>> {
        let mut names = self.names_unless_unread(leaf, unread);
        names.retain(|(_, kind)| *kind == Kind::File);
        for (file_name, _) in names {
            let Some(name) = parse_name(file_name.as_ref()) else { continue };
            // In another leaf than its own no receipt would find it: it is a stray.
            if !self.layout.is_leaf_of(leaf, &name) {
                continue;
            }
            let flow = each(name, &leaf.join(file_name))?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Claims the message `name` at `path`. `None` if somebody else has it, or if it is not to be delivered.
    fn claim_one(
        &self,
        name: MessageName,
        path: &Path,
        visibility: Visibility,
        policy: &Policy,
        notices: &mut Vec<Notice>,
    ) -> Result<Option<Delivery>, Missed> {
        let now = self.now();
        let by_name = Facts { deliveries: name.deliveries, put_at: name.id.put_at(), expires_at: None };
        let mut outcome = lifecycle::next(State::Ready, Event::Claim(visibility), by_name, policy, now);
        if let Ok(Outcome::Expire) = outcome
            && let Some(facts) = self.facts_at(&name, path, policy)
        {
            // Its age may have begun anew since: the log tells.
            outcome = lifecycle::next(State::Ready, Event::Claim(visibility), facts, policy, now);
        }
        let (state, deliveries) = match outcome {
            Ok(Outcome::Become(state, deliveries)) => (state, deliveries),
            Ok(Outcome::Expire) => {
                self.expire(&name, path, policy, notices)?;
                return Ok(None);
            }
            // Age goes before the limit, and the name does not tell the message's own.
            Ok(Outcome::DeadLetter) if self.has_expired(&name, path, policy) => {
                self.expire(&name, path, policy, notices)?;
                return Ok(None);
            }
            Ok(Outcome::DeadLetter) => {
                notices.extend(self.bury(&name, path, policy));
                return Ok(None);
            }
            _ => return Ok(None),
        };
        let target = if self.commits(Fault::CountNotRaised) { name } else { name.with_deliveries(deliveries) };
        let taken = match visibility {
            Visibility::Held => self.take_held(&name, path, &target, policy)?,
            Visibility::Timed(_) => self.take_timed(&name, path, &target, state, policy)?,
        };
        let Some((placed, file)) = taken else { return Ok(None) };
        self.hand_out(file, &name, &placed, visibility, policy, notices).map_err(Missed::after_it_was_taken)
    }

    /// Hands out what was taken, unless it is damaged or too old.
    fn hand_out(
        &self,
        file: F::File,
        name: &MessageName,
        placed: &Placed,
        visibility: Visibility,
        policy: &Policy,
        notices: &mut Vec<Notice>,
    ) -> Result<Option<Delivery>> {
        match Opened::new(file).and_then(|opened| self.checked(opened)) {
            Ok(checked) if checked.0.id != name.id => {
                notices.extend(self.quarantine(placed, "it has another message's name", policy)?);
                Ok(None)
            }
            Ok((message, _, file, place))
                if lifecycle::is_expired(
                    self.facts_of(&message, &file, place, placed.name.deliveries, policy),
                    policy,
                    self.now(),
                ) =>
            {
                drop(file);
                // It is not delivered, so that is not counted.
                let deliveries = placed.name.deliveries.saturating_sub(1);
                self.expire_as(&placed.name, &placed.path, deliveries, policy, notices)?;
                Ok(None)
            }
            Ok(checked) => Ok(Some(self.deliver(checked, placed, visibility))),
            Err(ReadError::Damaged(why)) => {
                notices.extend(self.quarantine(placed, &why, policy)?);
                Ok(None)
            }
            Err(ReadError::Io(error)) => Err(error).at("read", &placed.path),
        }
    }

    fn checked(&self, opened: Opened<F::File>) -> Result<Checked<F::File>, ReadError> {
        if self.commits(Fault::NotChecked) { Ok(opened.unchecked()) } else { opened.check() }
    }

    /// Renames first and opens then: who loses the race has paid for one call.
    fn take_timed(
        &self,
        name: &MessageName,
        path: &Path,
        target: &MessageName,
        state: State,
        policy: &Policy,
    ) -> Result<Option<(Placed, F::File)>> {
        let Some(placed) = self.place_claim(name, path, target, state, policy)? else { return Ok(None) };
        match self.fs().open(&placed.path, Access::Read) {
            Ok(file) => Ok(Some((placed, file))),
            // Purged, or an extremely short claim that was swept already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                // Not readable: it goes back, as it was.
                let _ = self.transfer(target, &placed.path, path, policy.durability);
                Err(error).at("open", &placed.path)
            }
        }
    }

    /// Locks first and renames then: whoever sees the name in `claimed/held/` sees it locked.
    fn take_held(
        &self,
        name: &MessageName,
        path: &Path,
        target: &MessageName,
        policy: &Policy,
    ) -> Result<Option<(Placed, F::File)>> {
        let open = || match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.at("open", path).map(Some),
        };
        let to = self.layout.path(State::Held, target);
        if self.commits(Fault::LockAfterRename) {
            let Some(file) = open()? else { return Ok(None) };
            let moved = self.transfer(name, path, &to, policy.durability)?;
            file.try_lock().at("lock", path)?;
            let placed = Placed { name: *target, path: to, state: State::Held };
            return Ok((moved == Moved::Yes).then_some((placed, file)));
        }
        let file = loop {
            let Some(file) = open()? else { return Ok(None) };
            // Somebody is about to claim it, or a process that a former holder left behind still lives.
            if !file.try_lock().at("lock", path)? {
                return Ok(None);
            }
            // It may have got another body, and so another file, before that was locked.
            if self.commits(Fault::EditNotNoticed) || self.is_at(&file, path)? {
                break file;
            }
        };
        match self.transfer(name, path, &to, policy.durability)? {
            Moved::Gone => Ok(None),
            Moved::Yes => Ok(Some((Placed { name: *target, path: to, state: State::Held }, file))),
        }
    }

    /// Moves a message to the UNTIL directory it belongs in, or, on a full disk, to one that exists.
    pub(super) fn place_claim(
        &self,
        name: &MessageName,
        from: &Path,
        target: &MessageName,
        state: State,
        policy: &Policy,
    ) -> Result<Option<Placed>> {
        let to = self.layout.path(state, target);
        match self.transfer(name, from, &to, policy.durability) {
            Ok(Moved::Yes) => Ok(Some(Placed { name: *target, path: to, state })),
            Ok(Moved::Gone) => Ok(None),
            Err(Error::Io { source, .. }) if is_out_of_space(&source) => {
                for until in self.seconds_in(&self.layout.claimed())?.into_iter().rev() {
                    let state = State::Claimed { until };
                    let to = self.layout.path(state, target);
                    if until.is_due(self.now()) {
                        continue;
                    }
                    if let Ok(Moved::Yes) = self.transfer(name, from, &to, policy.durability) {
                        return Ok(Some(Placed { name: *target, path: to, state }));
                    }
                }
                Err(Error::Io { action: "claim into", path: to, source })
            }
            Err(error) => Err(error),
        }
    }

    fn deliver(&self, checked: Checked<F::File>, placed: &Placed, visibility: Visibility) -> Delivery {
        let (message, body, file, place) = checked;
        let (claim_place, visible_until) = match placed.state {
            State::Claimed { until } => (ClaimPlace::Until(until), Some(until)),
            _ => (ClaimPlace::Held, None),
        };
        let hold: Option<Box<dyn Hold>> = match visibility {
            Visibility::Held => Some(Box::new(FileHold { file, place })),
            Visibility::Timed(_) => None,
        };
        Delivery {
            message,
            body,
            deliveries: placed.name.deliveries,
            receipt: Receipt { queue: self.name.clone(), place: claim_place, name: placed.name },
            visible_until,
            hold,
        }
    }

    /// Sets a damaged message aside; nothing if somebody else has it by now.
    fn quarantine(&self, placed: &Placed, why: &str, policy: &Policy) -> Result<Option<Notice>> {
        let path = self.set_aside(&placed.name, &placed.path, why, policy.durability)?;
        Ok(path.map(|path| Notice::Quarantined { path, why: why.to_owned() }))
    }

    /// The directories of `claimed/` or `delayed/` that are named by a second, sorted.
    pub(super) fn seconds_in(&self, dir: &Path) -> Result<Vec<UnixSeconds>> {
        let mut seconds: Vec<UnixSeconds> = Vec::new();
        for (name, kind) in self.names_in(dir)? {
            if kind == Kind::Dir {
                seconds.extend(parse_second(&name));
            }
        }
        seconds.sort_unstable();
        Ok(seconds)
    }

    pub(super) fn watch(self) -> Result<QueueWatch<Self, F::Bell>> {
        let path = self.layout.wake();
        let bell = self.fs().open_bell(&path).at("open", &path)?;
        Ok(QueueWatch { queue: self, bell })
    }

    /// When the next claim ends or the next delayed message becomes due.
    fn next_due(&self) -> Result<Option<UnixSeconds>> {
        let claimed = self.seconds_in(&self.layout.claimed())?;
        let delayed = self.seconds_in(&self.layout.delayed())?;
        Ok(claimed.first().into_iter().chain(delayed.first()).min().copied())
    }
}

/// Waits on a queue's bell.
pub(super) struct QueueWatch<Q, B> {
    queue: Q,
    bell: B,
}

/// A ring can be lost (its receiver died before it looked), so nobody sleeps longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl<F: Fs, C: Clock> Watch for QueueWatch<Queue<'_, F, C>, F::Bell> {
    fn wait(&mut self, at_most: Duration) -> Result<()> {
        let now: UnixMillis = self.queue.now();
        let until_due = match self.queue.next_due()? {
            Some(due) => Duration::from_millis(due.start().0.saturating_sub(now.0)),
            None => LONGEST_SLEEP,
        };
        // What is due and still there could not be moved: looking at it again and again would help nobody.
        let until_due = if until_due.is_zero() { LONGEST_SLEEP } else { until_due };
        let sleep = at_most.min(until_due).min(LONGEST_SLEEP);
        self.bell.wait(sleep).at("wait on", &self.queue.layout.wake())
    }
}
