//! Messages that have become too old, and how the sweep finds them without going through the queue.
//!
//! A message whose sender gave it a time to live has a marker, a file `expiry/HOUR/MINUTE/NAME` for the minute in which that
//! is over, with the hash of its group if it is of one: the sweep opens only what is due, and a marker says by its number in
//! which leaf the message lies, in `ready/` or in the line of its group. One that is elsewhere then is claimed or delayed: it
//! loses its marker, and gets it again when it comes back.
//! What is too old for the queue's retention lies at the low end of each priority, since numbers rise with time.
//!
//! Invariants: a marker is a hint and nothing else. Whether a message is too old says the message, at every claim, so one
//! without a marker is not delivered either; and a marker without a message is removed when it is due. So none of them is
//! ever synced, and no put or delete fails because of one.
//!
//! A message that has gone to the dead letters because it was too old says so in its delivery log. What its sender had said
//! of its time is over with that, and its age begins anew: who looks at it there, or sends it back, wants it. It begins anew,
//! too, when a message is moved to a queue whose retention is over for it.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::Queue;
use super::fs::{Access, FileHandle, Fs};
use super::layout::parse_name;
use super::record::{BodyPlace, Opened, log_entry, read_log};
use super::room::Load;
use super::sweep::Swept;
use crate::domain::lifecycle::{self, Facts, State};
use crate::domain::queue::Expired;
use crate::domain::{Clock, Durability, Failure, Group, KeyHash, MessageName, Policy, Priority, UnixMillis};
use crate::store::{At, Error, Message, Notice, Result};

/// How many milliseconds a directory of markers stands for.
const MINUTE_MS: u64 = 60_000;
const MINUTES_PER_HOUR: u64 = 60;

/// How long the hash of a group is, as text.
const HASH_DIGITS: usize = 32;

/// How often a directory that was removed in passing is made again before giving up.
const TRIES: usize = 8;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// Where the marker of a message is that is too old from `expires_at` on: by then, and not before, it is looked for.
    fn marker(&self, name: &MessageName, expires_at: UnixMillis) -> PathBuf {
        let minute = expires_at.0.div_ceil(MINUTE_MS);
        let hour = minute / MINUTES_PER_HOUR;
        self.layout.expiry().join(format!("{hour}/{minute}/{}", name.with_deliveries(0)))
    }

    /// Makes the marker of a message that is about to get the name, if it can become too old. It says in which group's line
    /// the message may wait.
    pub(super) fn mark_expiry(&self, name: &MessageName, expires_at: Option<UnixMillis>, group: Option<KeyHash>) {
        let Some(expires_at) = expires_at else { return };
        let path = self.marker(name, expires_at);
        for _ in 0..TRIES {
            match self.create_file(&path) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Ok(file) => {
                    if let Some(group) = group {
                        let _ = file.write_all_at(group.to_string().as_bytes(), 0);
                    }
                    return;
                }
                Err(_) => return,
            }
            let minute = path.parent().unwrap_or(&path);
            let hour = minute.parent().unwrap_or(minute);
            for dir in [self.layout.expiry(), hour.to_owned(), minute.to_owned()] {
                let _ = self.fs().mkdir(&dir, self.modes.dir);
            }
        }
    }

    /// Marks a message that has come back, by the name that it has now: its time may have come while it was away, and its
    /// marker be gone.
    pub(super) fn mark_again(&self, name: &MessageName, path: &Path) {
        if self.has_markers()
            && let Some(file) = self.fs().open(path, Access::Read).ok()
            && let Ok(Opened { message, .. }) = Opened::<F::File>::new(file)
        {
            self.mark_expiry(name, message.expires_at, message.group.as_ref().map(Group::hash));
        }
    }

    /// Whether any message of the queue has, or had, a marker.
    fn has_markers(&self) -> bool {
        let has_markers = match self.has_markers.get() {
            Some(has_markers) => has_markers,
            None => self.fs().status(&self.layout.expiry()).is_ok(),
        };
        self.has_markers.set(Some(has_markers));
        has_markers
    }

    /// The marker of a message that is about to leave the queue. Only a queue that has any reads a header for that.
    pub(super) fn marker_of(&self, name: &MessageName, path: &Path) -> Option<PathBuf> {
        if !self.has_markers() {
            return None;
        }
        let opened = self.fs().open(path, Access::Read).ok().and_then(|file| Opened::<F::File>::new(file).ok())?;
        opened.message.expires_at.map(|expires_at| self.marker(name, expires_at))
    }

    pub(super) fn remove_marker(&self, marker: Option<PathBuf>) {
        if let Some(marker) = marker {
            let _ = self.fs().unlink(&marker);
        }
    }

    /// What the life cycle needs to know of a message whose file is open. Its log is read only where that could save it.
    pub(super) fn facts_of(
        &self,
        message: &Message,
        file: &F::File,
        place: BodyPlace,
        deliveries: u32,
        policy: &Policy,
    ) -> Facts {
        let facts = message.facts(deliveries, &[]);
        if !(place.has_log && lifecycle::is_expired(facts, policy, self.now())) {
            return facts;
        }
        read_log(file, place).map_or(facts, |log| message.facts(deliveries, &log))
    }

    /// What the life cycle needs to know of the message at `path`; nothing if that cannot be read.
    pub(super) fn facts_at(&self, name: &MessageName, path: &Path, policy: &Policy) -> Option<Facts> {
        let opened = self.fs().open(path, Access::Read).ok().and_then(|file| Opened::<F::File>::new(file).ok());
        opened.map(|opened| {
            let (message, _, file, place) = opened.unchecked();
            self.facts_of(&message, &file, place, name.deliveries, policy)
        })
    }

    /// Whether the message at `path` is too old. What cannot be read is not known to be.
    pub(super) fn has_expired(&self, name: &MessageName, path: &Path, policy: &Policy) -> bool {
        let facts = self.facts_at(name, path, policy);
        facts.is_some_and(|facts| lifecycle::is_expired(facts, policy, self.now()))
    }

    /// Lets the age of a message begin anew that is about to be moved to a queue whose retention is over for it, lest it
    /// goes away, or back, at once.
    pub(super) fn begin_age(&self, path: &Path, deliveries: u32, durability: Durability) -> Result<()> {
        self.note(path, &Failure::age_anew(self.now(), deliveries), durability).map(drop)
    }

    /// Notes how a delivery ended, unless its log says so already. That is a courtesy: nothing fails for want of it, and it
    /// is not synced.
    pub(super) fn note_end(&self, path: &Path, end: &Failure) {
        let is_told = |file: F::File| {
            let (_, _, file, place) = Opened::<F::File>::new(file).ok()?.unchecked();
            let log = if place.has_log { read_log(&*file, place).ok()? } else { Vec::new() };
            Some(log.iter().any(|line| line.delivery == end.delivery))
        };
        if self.fs().open(path, Access::Read).ok().and_then(is_told) != Some(false) {
            return;
        }
        if let Ok(mut file) = self.fs().open(path, Access::Append) {
            let entry = log_entry(end);
            self.take_room_anyway(Load { messages: 0, bytes: entry.len() as u64 });
            let _ = file.write_all(&entry);
        }
    }

    /// Adds a line to the delivery log of a message that nobody has. `false` if it is gone.
    fn note(&self, path: &Path, line: &Failure, durability: Durability) -> Result<bool> {
        let mut file = match self.fs().open(path, Access::Append) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.at("open", path)?,
        };
        file.write_all(&log_entry(line)).at("write", path)?;
        if durability == Durability::Full {
            file.sync().at("sync", path)?;
        }
        Ok(true)
    }

    /// Takes a message that is too old out of the queue, as the policy says. `false` if it was gone.
    pub(super) fn expire(
        &self,
        name: &MessageName,
        path: &Path,
        policy: &Policy,
        notices: &mut Vec<Notice>,
    ) -> Result<bool> {
        self.expire_as(name, path, name.deliveries, policy, notices)
    }

    /// As [`Self::expire`], of a message that was claimed so often, whatever its name says.
    pub(super) fn expire_as(
        &self,
        name: &MessageName,
        path: &Path,
        deliveries: u32,
        policy: &Policy,
        notices: &mut Vec<Notice>,
    ) -> Result<bool> {
        if policy.expired == Expired::Delete {
            return self.remove(name, path, policy.durability);
        }
        // Before it is a dead letter: without this it would be too old there as well, and go.
        if !self.note(path, &Failure::of_age(self.now(), deliveries), policy.durability)? {
            return Ok(false);
        }
        let notice = self.bury_as(name, path, deliveries, policy);
        let is_buried = notice.is_none();
        notices.extend(notice);
        Ok(is_buried)
    }

    /// Takes out what is too old, as far as this sweep may.
    pub(super) fn sweep_expired(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        if policy.retention.is_some() {
            self.sweep_low_ends(policy, swept)?;
        }
        let now_minute = self.now().0 / MINUTE_MS;
        let expiry = self.layout.expiry();
        for (hour, path) in self.numbers_in(&expiry)? {
            if hour > now_minute / MINUTES_PER_HOUR {
                continue;
            }
            for (minute, path) in self.numbers_in(&path)? {
                if minute <= now_minute {
                    self.sweep_minute(&path, policy, swept)?;
                    self.spool.remove_dir(&path);
                }
            }
            self.spool.remove_dir(&path);
        }
        Ok(())
    }

    fn sweep_minute(&self, minute: &Path, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let mut markers = Vec::new();
        let most = swept.left;
        let scanned = self.fs().scan(minute, &mut |file_name, _| {
            markers.extend(parse_name(file_name));
            if markers.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match scanned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.at("read", minute)?,
        }
        markers.sort_unstable();
        for name in markers {
            let marker = minute.join(name.to_string());
            let group = self.group_of_marker(&marker);
            if self.expire_if_there(&name, group, policy, &mut swept.notices)? {
                swept.moved += 1;
            }
            swept.left = swept.left.saturating_sub(1);
            let _ = self.fs().unlink(&marker);
            // One that is claimed, or delayed, gets another marker when it comes back: that may have been just now.
            if self.expire_if_there(&name, group, policy, &mut swept.notices)? {
                swept.moved += 1;
            }
        }
        Ok(())
    }

    /// Which group's line a message may wait in, as its marker has it.
    fn group_of_marker(&self, marker: &Path) -> Option<KeyHash> {
        let file = self.fs().open(marker, Access::Read).ok()?;
        let mut text = [0; HASH_DIGITS];
        let len = file.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..len]).ok()?.parse().ok()
    }

    /// Takes out a message that is too old and that nobody has, wherever it can be by its number. `false` if it is not there.
    fn expire_if_there(
        &self,
        name: &MessageName,
        group: Option<KeyHash>,
        policy: &Policy,
        notices: &mut Vec<Notice>,
    ) -> Result<bool> {
        let waiting = group.map(|group| State::Waiting { group });
        for state in [Some(State::Ready), waiting].into_iter().flatten() {
            if let Some((name, path)) = self.in_its_leaf(state, name)?
                && self.has_expired(&name, &path, policy)
            {
                return self.expire(&name, &path, policy, notices);
            }
        }
        Ok(false)
    }

    /// A message that is ready or waits, by its number.
    fn in_its_leaf(&self, state: State, name: &MessageName) -> Result<Option<(MessageName, PathBuf)>> {
        let path = self.layout.path(state, name);
        if self.fs().status(&path).is_ok() {
            return Ok(Some((*name, path)));
        }
        // Claimed and given back, its name has another count.
        let mut found = None;
        let leaf = path.parent().unwrap_or(&path);
        self.scan_messages(leaf, &mut |other, path| {
            if other.id == name.id {
                found = Some((other, path));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Of each priority those first messages that the retention is over for.
    fn sweep_low_ends(&self, policy: &Policy, swept: &mut Swept) -> Result<()> {
        let ready = self.layout.ready();
        for (priority, _) in self.names_in(&ready)?.iter().filter(|(name, _)| name.parse::<Priority>().is_ok()) {
            let mut unread = None;
            let _ = self.visit_level(
                &ready.join(priority),
                12,
                true,
                true,
                &mut |name, path| {
                    let by_name = Facts { deliveries: name.deliveries, put_at: name.id.put_at(), expires_at: None };
                    if swept.left == 0 || !lifecycle::is_expired(by_name, policy, self.now()) {
                        return Ok(ControlFlow::Break(()));
                    }
                    // By its name it is; its log may know better.
                    let facts = self.facts_at(&name, path, policy);
                    if facts.is_some_and(|facts| !lifecycle::is_expired(facts, policy, self.now())) {
                        return Ok(ControlFlow::Break(()));
                    }
                    swept.left -= 1;
                    match self.expire(&name, path, policy, &mut swept.notices) {
                        Ok(is_gone) => swept.moved += usize::from(is_gone),
                        Err(error) => swept.note(Err(error)),
                    }
                    Ok(ControlFlow::Continue(()))
                },
                &mut unread,
            )?;
            swept.note(unread.map_or(Ok(()), Err));
        }
        Ok(())
    }

    /// The directories that are called by a number, the lowest first.
    fn numbers_in(&self, dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
        let names = self.names_in(dir)?;
        let mut numbers: Vec<_> =
            names.iter().filter_map(|(name, _)| Some((super::layout::parse_second(name)?.0, dir.join(name)))).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}
