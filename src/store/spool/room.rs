//! Room: how much a queue holds, where its policy caps that, and how much its disk has left.
//!
//! `room` says how many messages and bytes there are. Only queues with a cap have it. A put takes its room before the
//! message is complete, under the lock of the file; who takes a message out of the queue gives the room back afterwards.
//! Nothing of this is synced: a count of another boot, or made under another policy, is worth nothing, and is made anew.
//!
//! Invariants:
//! - The count is never too low, so a cap is never exceeded by a put: room is taken before there can be a message, and given
//!   back only once it is gone. Who dies in between leaves it too high.
//! - A count that is too high heals: before a put is refused the messages are counted, unless that was done just now.
//! - Whose room is taken and who has no place yet says so in `tmp/`, in the file's first bytes or in a batch's own file, so
//!   that whoever counts sees it there or in its place.
//! - A message that leaves while others are counted gives back nothing ([`Taken`] is of another count): whether it was
//!   counted is not known.
//!
//! What moves back and forth while it is counted may be missed, as in any look at a directory that others work in; the next
//! count finds it. Dead letters are never turned away: they count, and may exceed the cap.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Queue;
use super::fs::{Access, Bell, Fault, FileHandle, Fs, Status, is_of_the_file};
use super::layout::{EntryOf, Place, classify, parse_hex};
use super::record::{Opened, ReadError};
use super::sweep::Thoroughness;
use crate::domain::units::{counted, format_size, size_in_words};
use crate::domain::{Clock, MessageId, NewMessage, Policy, UnixMillis};
use crate::store::{At, Error, Result};

/// How many messages, and how many bytes their files have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn one(bytes: u64) -> Self {
        Self { messages: 1, bytes }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let messages = self.messages.saturating_add(other.messages);
        Self { messages, bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        let messages = self.messages.saturating_sub(other.messages);
        Self { messages, bytes: self.bytes.saturating_sub(other.bytes) }
    }

    /// What stands at the beginning of a temporary, or in a batch's own file, whose room is taken.
    fn as_mark(self) -> Vec<u8> {
        format!("{MARK}{} {}\n", self.messages, self.bytes).into_bytes()
    }

    fn of_mark(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes.split(|byte| *byte == b'\n').next()?).ok()?;
        let (messages, bytes) = text.strip_prefix(MARK)?.split_once(' ')?;
        Some(Self { messages: messages.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}

/// Shorter than any header, with its numbers; no header begins with it.
const MARK: &str = "room ";
const MARK_MAX: usize = 48;

/// What a batch's own file is called in its directory.
const BATCH_MARK: &str = "room";

/// Room that somebody has, by one count of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    count: u64,
    load: Load,
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// Which count it is: a random number.
    number: u64,
    /// The policy's file by which it was made: its inode and when it was written.
    policy: (u64, u64),
    held: Load,
    counted_at: UnixMillis,
    took_ms: u64,
}

/// Boot id (36), seven numbers (16 each), checksum (8), separators.
const COUNT_LEN: usize = 36 + 7 * 17 + 9 + 1;

/// So long a count is good at least, before it is made again for a put that would be refused …
const GOOD_FOR_MS: u64 = 1_000;

/// … and so many times as long as it took, lest a queue that is full does nothing else.
const GOOD_FOR_TIMES: u64 = 100;

/// … but never for longer: the machine may have slept while it was counted, or its clock been set forward.
const GOOD_FOR_MOST_MS: u64 = 600_000;

/// How long is waited before the disk is looked at again: nobody rings when it has room.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Count {
    fn encode(&self, boot: &str) -> String {
        let Self { number, policy: (inode, written), held: Load { messages, bytes }, counted_at, took_ms } = self;
        let values = [*number, *inode, *written, *messages, *bytes, counted_at.0, *took_ms];
        let text = values.iter().fold(format!("{boot:36.36}"), |text, value| format!("{text} {value:016x}"));
        format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
    }

    /// Nothing if the bytes are not what [`Self::encode`] makes in this boot.
    fn decode(bytes: &[u8], boot: &str) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.get(36..)?.split_whitespace();
        let mut value = || parse_hex(words.next()?, 16);
        let count = Self {
            number: value()?,
            policy: (value()?, value()?),
            held: Load { messages: value()?, bytes: value()? },
            counted_at: UnixMillis(value()?),
            took_ms: value()?,
        };
        (count.encode(boot) == text).then_some(count)
    }

    fn is_old(&self, now: UnixMillis) -> bool {
        let good_for_ms = self.took_ms.saturating_mul(GOOD_FOR_TIMES).clamp(GOOD_FOR_MS, GOOD_FOR_MOST_MS);
        now.0.abs_diff(self.counted_at.0) >= good_for_ms
    }
}

/// The cap that the load would exceed, and what it says.
fn cap_exceeded(held: Load, load: Load, policy: &Policy) -> Option<(&'static str, String)> {
    let after = held.plus(load);
    let messages = policy.max_messages.filter(|cap| after.messages > *cap);
    let bytes = policy.max_bytes.filter(|cap| after.bytes > *cap);
    match (messages, bytes) {
        (Some(cap), _) => Some(("max-messages", cap.to_string())),
        (_, Some(cap)) => Some(("max-bytes", format_size(cap))),
        _ => None,
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    /// An error if a put of so many bytes in so many files would take from the disk what is to stay free.
    pub(super) fn check_disk(&self, files: u64, bytes: u64, policy: &Policy) -> Result<()> {
        if policy.reserve == Some(0) && policy.reserve_inodes == Some(0) {
            return Ok(());
        }
        let dir = self.layout.dir();
        let space = self.fs().space(dir).at("look for room in", dir)?;
        let reserve = policy.reserve_of_disk(space.bytes, space.inodes);
        let no_reserve = |key, free, reserve| {
            let (queue, path) = (self.name.clone(), dir.to_owned());
            Err(Error::NoReserve { queue, path, free, reserve, key })
        };
        if reserve.bytes > 0 && space.free_bytes < reserve.bytes.saturating_add(bytes) {
            return no_reserve("reserve", size_in_words(space.free_bytes), size_in_words(reserve.bytes));
        }
        if reserve.inodes > 0 && space.inodes > 0 && space.free_inodes < reserve.inodes.saturating_add(files) {
            let files = |number: u64| format!("room for {number} files");
            return no_reserve("reserve-inodes", files(space.free_inodes), files(reserve.inodes));
        }
        Ok(())
    }

    /// What a put asks while a long body comes in, of which so much is written.
    pub(super) fn check_long(&self, written: u64, policy: &Policy) -> Result<()> {
        self.check_size(written, policy)?;
        self.check_disk(0, 0, policy)
    }

    /// An error if a message of so many bytes, its header included, would not even fit alone.
    pub(super) fn check_size(&self, len_bytes: u64, policy: &Policy) -> Result<()> {
        match policy.max_bytes {
            Some(cap) if len_bytes > cap => {
                Err(Error::TooLarge { queue: self.name.clone(), len_bytes, limit: format_size(cap) })
            }
            _ => Ok(()),
        }
    }

    /// Before anything is written, or read of a body: whether there is room for a message, as far as that can be seen.
    pub(super) fn look_for_room(&self, policy: &Policy) -> Result<()> {
        self.check_disk(1, 0, policy)?;
        if !policy.is_capped() {
            return Ok(());
        }
        let one = Load::one(0);
        match self.see_count()? {
            Some(count) if cap_exceeded(count.held, one, policy).is_some() => {
                self.count_with_room(one, policy).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Takes room, and lets `mark` say so in `tmp/`. Nothing where nobody counts.
    ///
    /// Errors: [`Error::Full`], [`Error::TooLarge`].
    pub(super) fn take_room(
        &self,
        load: Load,
        policy: &Policy,
        mark: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<Taken>> {
        if !policy.is_capped() {
            return Ok(None);
        }
        if load.messages == 1 {
            self.check_size(load.bytes, policy)?;
        }
        let (file, mut count) = self.count_with_room(load, policy)?;
        mark()?;
        count.held = count.held.plus(load);
        self.write_count(&file, &count)?;
        Ok(Some(Taken { count: count.number, load }))
    }

    /// The count, locked, in which there is room for so much.
    fn count_with_room(&self, load: Load, policy: &Policy) -> Result<(F::File, Count)> {
        let file = self.lock_room()?;
        let mut count = match self.read_count(&file)? {
            Some(count) => count,
            None => self.count_anew(&file)?,
        };
        if cap_exceeded(count.held, load, policy).is_some() && count.is_old(self.now()) {
            count = self.count_anew(&file)?;
        }
        let Some((cap, limit)) = cap_exceeded(count.held, load, policy) else { return Ok((file, count)) };
        let held = match cap {
            "max-messages" => counted(count.held.messages, "message"),
            _ => size_in_words(count.held.bytes),
        };
        Err(Error::Full { queue: self.name.clone(), held, cap, limit })
    }

    /// As [`Self::take_room`] for as many of these as there is room for, at least one; how many that are.
    pub(super) fn take_room_for_some(
        &self,
        loads: &[Load],
        policy: &Policy,
        dir: &Path,
    ) -> Result<(usize, Option<Taken>)> {
        let mut most = loads.len();
        loop {
            let load = loads[..most].iter().fold(Load::default(), |sum, load| sum.plus(*load));
            match self.take_room_for_batch(load, policy, dir) {
                // Half of them, and then the half of those: what is left over asks again by itself.
                Err(Error::Full { .. }) if most > 1 => most = most.div_ceil(2),
                other => return other.map(|taken| (most, taken)),
            }
        }
    }

    /// Takes room for messages in a directory of their own in `tmp/`, in which a file says so.
    pub(super) fn take_room_for_batch(&self, load: Load, policy: &Policy, dir: &Path) -> Result<Option<Taken>> {
        self.take_room(load, policy, &mut || {
            let path = dir.join(BATCH_MARK);
            let file = self.fs().open_or_create(&path, self.modes.file).at("create", &path)?;
            file.write_all_at(&load.as_mark(), 0).at("write", &path)
        })
    }

    /// Takes room for one message whose temporary says so from then on.
    pub(super) fn take_room_for(&self, len_bytes: u64, policy: &Policy, temporary: &F::File) -> Result<Option<Taken>> {
        let load = Load::one(len_bytes);
        self.take_room(load, policy, &mut || temporary.write_all_at(&load.as_mark(), 0).at("write", &self.layout.tmp()))
    }

    /// Counts what is there whatever the cap: a dead letter, or more bytes of a delivery log.
    pub(super) fn take_room_anyway(&self, load: Load) {
        if !self.is_capped() {
            return;
        }
        let Ok(file) = self.lock_room() else { return };
        if let Ok(Some(mut count)) = self.read_count(&file) {
            count.held = count.held.plus(load);
            let _ = self.write_count(&file, &count);
        }
    }

    /// Counts a dead letter that comes from `path`.
    pub(super) fn take_room_anyway_of(&self, path: &Path) {
        if self.is_capped()
            && let Ok(status) = self.fs().status(path)
        {
            self.take_room_anyway(Load::one(status.len_bytes));
        }
    }

    /// Tries until there is room, or until it has been waited for long enough: `attempt` says by its error that there is
    /// none. `began` is when the wait did.
    pub(super) fn until_room<T>(
        &self,
        wait: Duration,
        began: Instant,
        policy: &Policy,
        attempt: &mut dyn FnMut() -> Result<T>,
    ) -> Result<T> {
        let (mut bell, mut has_swept) = (None, false);
        loop {
            match attempt() {
                // What is too old, or dead, or was left by the dead, may be all that is in the way.
                Err(Error::Full { .. } | Error::NoReserve { .. }) if !has_swept => {
                    has_swept = true;
                    let _ = self.sweep(Thoroughness::Usual, policy);
                }
                Err(error @ (Error::Full { .. } | Error::NoReserve { .. })) => {
                    let Some(left) = wait.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) else {
                        return Err(error);
                    };
                    let Some(open) = &mut bell else {
                        // What is given back from here on rings, so it is looked once more.
                        let path = self.layout.vacancy();
                        match self.fs().make_bell(&path, self.modes.file) {
                            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                                return Err(error).at("create", &path);
                            }
                            _ => bell = Some(self.fs().open_bell(&path).at("open", &path)?),
                        }
                        continue;
                    };
                    let waited: io::Result<()> = open.wait(left.min(LOOK_EVERY));
                    waited.at("wait on", &self.layout.vacancy())?;
                    has_swept = false;
                }
                other => return other,
            }
        }
    }

    /// The room of a message that is about to leave the queue, to be given back when it has. Nothing where nobody counts, or
    /// nothing is known.
    pub(super) fn room_of(&self, len_bytes: u64) -> Option<Taken> {
        if !self.is_capped() {
            return None;
        }
        let count = self.see_count().ok()??;
        let taken = Taken { count: count.number, load: Load::one(len_bytes) };
        if self.commits(Fault::RoomGivenEarly) {
            self.give_room_back(Some(taken));
            return None;
        }
        Some(taken)
    }

    /// As [`Self::room_of`], of the message at `path`.
    pub(super) fn room_at(&self, path: &Path) -> Option<Taken> {
        if !self.is_capped() {
            return None;
        }
        self.fs().status(path).ok().and_then(|status| self.room_of(status.len_bytes))
    }

    /// Gives room back, and wakes one who waits for it. What cannot be given back is found by the next count.
    pub(super) fn give_room_back(&self, taken: Option<Taken>) {
        let Some(taken) = taken else { return };
        let given = || -> Result<()> {
            let path = self.layout.room();
            let file = self.fs().open(&path, Access::ReadWrite).at("open", &path)?;
            self.lock_unless_told(&file)?;
            if let Some(mut count) = self.read_count(&file)?.filter(|count| count.number == taken.count) {
                count.held = count.held.minus(taken.load);
                self.write_count(&file, &count)?;
            }
            Ok(())
        };
        let _ = given();
        self.fs().ring(&self.layout.vacancy(), 1);
    }

    fn is_capped(&self) -> bool {
        if self.capped.get().is_none() {
            let _ = self.policy();
        }
        self.capped.get().unwrap_or(false)
    }

    fn lock_room(&self) -> Result<F::File> {
        let path = self.layout.room();
        let file = self.fs().open_or_create(&path, self.modes.file).at("open", &path)?;
        if self.modes.file & 0o066 != 0 {
            // Whoever made it is of the same group; the umask must not keep that out.
            let _ = file.set_mode(self.modes.file);
        }
        self.lock_unless_told(&file)?;
        Ok(file)
    }

    fn lock_unless_told(&self, file: &F::File) -> Result<()> {
        if self.commits(Fault::RoomUnlocked) { Ok(()) } else { file.lock().at("lock", &self.layout.room()) }
    }

    /// The count as it is seen without the lock.
    fn see_count(&self) -> Result<Option<Count>> {
        let path = self.layout.room();
        match self.fs().open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("open", &path),
            Ok(file) => self.read_count(&file),
        }
    }

    /// What the file says, if that was counted in this boot and by this policy.
    fn read_count(&self, file: &F::File) -> Result<Option<Count>> {
        let path = self.layout.room();
        let mut bytes = [0; COUNT_LEN];
        let got = file.read_at(&mut bytes, 0).at("read", &path)?;
        let boot = self.fs().boot_id().at("read the boot id for", &path)?;
        let count = Count::decode(&bytes[..got], &boot);
        let policy = self.mark_of_policy()?;
        Ok(count.filter(|count| count.policy == policy))
    }

    fn mark_of_policy(&self) -> Result<(u64, u64)> {
        let path = self.layout.policy();
        let Status { inode, modified, .. } = self.fs().status(&path).at("read", &path)?;
        Ok((inode, modified.0))
    }

    fn write_count(&self, file: &F::File, count: &Count) -> Result<()> {
        let path = self.layout.room();
        let boot = self.fs().boot_id().at("read the boot id for", &path)?;
        file.write_all_at(count.encode(&boot).as_bytes(), 0).at("write", &path)
    }

    /// Counts what is there, in the order in which messages move; those that move back are looked for twice.
    fn count_anew(&self, file: &F::File) -> Result<Count> {
        let counted_at = self.now();
        let policy = self.mark_of_policy()?;
        let mut met: HashSet<MessageId> = HashSet::new();
        let mut held = Load::default();
        let layout = &self.layout;
        for part in [layout.claimed(), layout.delayed(), layout.tmp()] {
            self.count_part(&part, &mut met, &mut held)?;
        }
        for part in [layout.entries(EntryOf::Group), layout.ready(), layout.claimed(), layout.delayed()] {
            self.count_part(&part, &mut met, &mut held)?;
        }
        let random = self.fs().random();
        let number = random.iter().fold(0_u64, |number, byte| number.rotate_left(8) ^ u64::from(*byte));
        // (By the same clock: what a simulation does must not depend on the machine that it runs on.)
        let took_ms = self.now().0.saturating_sub(counted_at.0);
        let count = Count { number, policy, held, counted_at, took_ms };
        self.write_count(file, &count)?;
        Ok(count)
    }

    fn count_part(&self, part: &Path, met: &mut HashSet<MessageId>, held: &mut Load) -> Result<()> {
        let dir = self.layout.dir();
        let mut temporaries = Vec::new();
        let walked = self.fs().walk(part, &mut |path, status| {
            let inside = path.strip_prefix(dir).unwrap_or(path);
            match classify(inside, status.kind) {
                Place::Message(_, name) if met.insert(name.id) => *held = held.plus(Load::one(status.len_bytes)),
                Place::Temporary => temporaries.push((path.to_owned(), status)),
                _ => {}
            }
        });
        match walked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.at("read", part)?,
        }
        for (path, status) in temporaries {
            if self.commits(Fault::RoomOfWritersForgotten) {
                break;
            }
            let id = path.file_name().and_then(|name| name.to_str()?.parse::<MessageId>().ok());
            match (self.load_of_temporary(&path, status)?, id) {
                (Some(load), Some(id)) if met.insert(id) => *held = held.plus(load),
                _ => {}
            }
        }
        Ok(())
    }

    /// What room a temporary has: nothing if it has none yet. Of one that cannot be read it is taken that it has.
    fn load_of_temporary(&self, path: &Path, status: Status) -> Result<Option<Load>> {
        let path = if status.kind == super::Kind::Dir { path.join(BATCH_MARK) } else { path.to_owned() };
        let look = || -> Result<Option<Load>, ReadError> {
            let file = self.fs().open(&path, Access::Read)?;
            let mut start = [0; MARK_MAX];
            let got = file.read_at(&mut start, 0)?;
            if let Some(load) = Load::of_mark(&start[..got]) {
                return Ok(Some(load));
            }
            let len_bytes = file.status()?.len_bytes;
            Opened::<F::File>::new(file).map(|_| Some(Load::one(len_bytes)))
        };
        match look() {
            Ok(load) => Ok(load),
            Err(ReadError::Damaged(_)) => Ok(None),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(ReadError::Io(error)) if is_of_the_file(&error) => Ok(Some(Load::one(status.len_bytes))),
            Err(ReadError::Io(error)) => Err(error).at("read", &path),
        }
    }
}

/// How long the put of these messages waits for room.
pub(super) fn longest_wait<'a>(batch: impl Iterator<Item = &'a NewMessage>) -> Duration {
    batch.map(|new| new.wait).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_old(took_ms: u64, age_ms: u64) -> bool {
        let counted_at = UnixMillis(1_767_225_600_000);
        let count = Count { number: 1, policy: (2, 3), held: Load::default(), counted_at, took_ms };
        count.is_old(UnixMillis(counted_at.0 + age_ms))
    }

    #[test]
    fn a_count_is_good_for_longer_the_longer_it_took() {
        assert!(!is_old(0, 999) && is_old(0, 1000));
        assert!(!is_old(500, 49_999) && is_old(500, 50_000));
    }

    #[test]
    fn a_count_under_which_the_machine_slept_is_not_good_for_days() {
        let hours_ms = 3_600_000;
        assert!(is_old(8 * hours_ms, 600_000));
    }
}
