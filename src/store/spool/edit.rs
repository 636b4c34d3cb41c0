//! Giving a message another body.
//!
//! 1. Read the message, and show it to whoever writes the new body. Nothing is locked for so long.
//! 2. Write a whole new file in `tmp/`, under a name that is not the message's id, and sync it: the old header but for
//!    length and checksum, the new body, the old delivery log.
//! 3. Try the lock of the old file: from here on nobody can make a held claim on it. In the classical order, take the lock
//!    of the moves.
//! 4. Exchange the two names, if the old file still has the name that it had.
//! 5. Sync the directory of the message, remove the old file, and ring.
//!
//! Invariants: at every moment one file, the old one or the new one, has the message's name, whoever dies and whenever the
//! power fails; an exchange, unlike a rename over it, fails where the old one was claimed, moved or deleted in between, so
//! it brings nothing back. What is left in `tmp/` is never taken for a message: its name is another one than its
//! header's id.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Queue;
use super::fs::{Access, Fault, FileHandle, Fs};
use super::layout::EntryOf;
use super::moves::Moved;
use super::put::{Temporary, write_body};
use super::record::{BodyPlace, Draft, Opened, read_log};
use super::room::Load;
use crate::domain::lifecycle::{self, Facts, State};
use crate::domain::{Clock, Durability, MessageId, MessageName, Policy};
use crate::store::{At, Error, Listed, Peeked, Result, Rewrite, Uneditable};

/// A message can be moved while it is edited: when its delay has passed, when its place is mended.
const SEARCHES: usize = 3;

/// How much of a delivery log is in memory at a time.
const CHUNK: usize = 64 * 1024;

/// The message as it was when it was shown.
struct Shown<H> {
    name: MessageName,
    file: Arc<H>,
    header: Vec<u8>,
    place: BodyPlace,
    facts: Facts,
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn edit(&self, id: MessageId, rewrite: &mut Rewrite<'_>) -> Result<bool> {
        let policy = self.sweep_first()?;
        let missing = || Error::NoSuchMessage { queue: self.name.clone(), id };
        let (state, name, path) = self.find(id)?.ok_or_else(missing)?;
        self.refuse_by_state(state, id)?;
        let (shown, peeked) =
            self.open_to_edit(state, name, &path)?.ok_or_else(|| self.unedited(id, Uneditable::Changed))?;
        self.refuse_by_age(&shown, &policy)?;
        self.refuse_by_entries(&name, &path, &shown.file)?;
        let Some(mut body) = rewrite(peeked) else { return Ok(false) };
        // That may have taken long: what holds now is what counts.
        let policy = self.policy()?;

        let mut temporary = self.begin_temporary(self.spool.new_id(self.now()))?;
        let draft = Draft::again(&shown.header);
        self.check_disk(1, 0, &policy)?;
        let so_far = |written| self.check_long(written, &policy);
        let (len_bytes, crc) = write_body(&temporary.file, &temporary.path, draft.len(), &mut *body, &[], &so_far)?;
        copy_log(&shown, &temporary.file, draft.len() as u64 + len_bytes)
            .at("copy the delivery log to", &temporary.path)?;
        temporary.file.write_all_at(&draft.finish(len_bytes, crc), 0).at("write", &temporary.path)?;
        if policy.durability == Durability::Full && !self.commits(Fault::EditNotSynced) {
            temporary.file.sync().at("sync", &temporary.path)?;
        }
        // What is longer counts; what is shorter is found by the next count.
        let longer = len_bytes.saturating_sub(shown.place.len_bytes);
        if longer > 0 {
            self.check_size(temporary.file.status().at("read", &temporary.path)?.len_bytes, &policy)?;
        }
        self.take_room_anyway(Load { messages: 0, bytes: longer });
        let state = self.take_its_place(&mut temporary, &shown, &policy)?;
        // The lock first: who is woken while it is held would take the message for somebody's.
        drop(temporary);
        if self.is_classical(policy.durability) {
            // A name that comes back could stand for whatever has the file's place by then.
            let _ = self.fs().sync_dir(&self.layout.tmp());
        }
        drop(shown);
        if state == State::Ready {
            self.ring(1);
        }
        Ok(true)
    }

    fn unedited(&self, id: MessageId, why: Uneditable) -> Error {
        Error::NotEdited { queue: self.name.clone(), id, why }
    }

    fn refuse_by_state(&self, state: State, id: MessageId) -> Result<()> {
        match state {
            State::Claimed { .. } | State::Held => Err(self.unedited(id, Uneditable::Claimed)),
            State::Waiting { .. } => Err(self.unedited(id, Uneditable::Grouped)),
            State::Ready | State::Delayed { .. } => Ok(()),
        }
    }

    /// Refuses a message that nobody will be delivered any more.
    fn refuse_by_age(&self, shown: &Shown<F::File>, policy: &Policy) -> Result<()> {
        let is_expired = lifecycle::is_expired(shown.facts, policy, self.now());
        if is_expired { Err(self.unedited(shown.name.id, Uneditable::Expired)) } else { Ok(()) }
    }

    /// Refuses a message whose file has names beside its own that mean something: another file would have to get all of
    /// them at the same moment. What is in a dead-letter queue has none.
    fn refuse_by_entries(&self, name: &MessageName, path: &Path, file: &F::File) -> Result<()> {
        let status = file.status().at("read", path)?;
        let entries = self.entries_at(name.id, path, status)?;
        if entries.iter().any(|entry| entry.of == EntryOf::Group) {
            return Err(self.unedited(name.id, Uneditable::Grouped));
        }
        for entry in entries {
            if entry.name.until.is_none_or(|until| !until.is_due(self.now())) {
                return Err(self.unedited(name.id, Uneditable::Keyed));
            }
            // Its window is over: it says nothing any more.
            self.forget(&entry.path, true)?;
        }
        Ok(())
    }

    /// `None` if the message has gone meanwhile.
    fn open_to_edit(&self, state: State, name: MessageName, path: &Path) -> Result<Option<(Shown<F::File>, Peeked)>> {
        let file = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("open", path)?,
        };
        let checked = Opened::new(file).and_then(|opened| {
            let header = opened.header().to_vec();
            opened.check().map(|checked| (header, checked))
        });
        let (header, (message, body, file, place)) = checked.map_err(|error| error.at(path))?;
        let failures = if place.has_log { read_log(&*file, place).at("read", path)? } else { Vec::new() };
        let facts = message.facts(name.deliveries, &failures);
        let listed = Listed { message, state, deliveries: name.deliveries, failures, unread: None };
        Ok(Some((Shown { name, file, header, place, facts }, Peeked { listed, body })))
    }

    /// Exchanges the old file for the new one, durably. Returns the message's state.
    fn take_its_place(
        &self,
        temporary: &mut Temporary<'_, F>,
        shown: &Shown<F::File>,
        policy: &Policy,
    ) -> Result<State> {
        let id = shown.name.id;
        // Somebody is about to claim it, or a process that a former holder left behind still lives.
        if !shown.file.try_lock().at("lock", &temporary.path)? {
            let is_as_shown = self.find_as_shown(shown)?.is_some();
            return Err(self.unedited(id, if is_as_shown { Uneditable::Claimed } else { Uneditable::Changed }));
        }
        let is_classical = self.is_classical(policy.durability);
        let lock = if is_classical { self.lock_moves()? } else { None };
        // From here on it may be the message, or the old one be in its place.
        temporary.may_be_moved = true;
        for _ in 0..SEARCHES {
            let Some((state, path)) = self.find_as_shown(shown)? else { break };
            self.refuse_by_state(state, id)?;
            self.refuse_by_age(shown, policy)?;
            self.refuse_by_entries(&shown.name, &path, &shown.file)?;
            // Names that a mover or a power cut has left would be those of another message.
            let status = shown.file.status().at("read", &path)?;
            if lock.is_some() && status.links > 1 {
                self.remove_other_names(&shown.name, &path, status, lock.as_ref())?;
            }
            let _single = if lock.is_none() { self.make_single(&shown.name, &path, policy.durability)? } else { None };
            if self.exchange(&temporary.path, &path, is_classical)? == Moved::Yes {
                if policy.durability == Durability::Full {
                    self.sync_into(path.parent().unwrap_or(&path))?;
                }
                return Ok(state);
            }
        }
        Err(self.unedited(id, Uneditable::Changed))
    }

    /// Where the message lies, if it is what it was: under the same name, so neither claimed nor moved to another queue and
    /// back since, and the same file, so not edited.
    fn find_as_shown(&self, shown: &Shown<F::File>) -> Result<Option<(State, PathBuf)>> {
        let Some((state, name, path)) = self.find(shown.name.id)? else { return Ok(None) };
        let is_same = name == shown.name && self.is_at(&shown.file, &path)?;
        Ok(is_same.then_some((state, path)))
    }

    /// Whether an open file is what has this name now.
    pub(super) fn is_at(&self, file: &F::File, path: &Path) -> Result<bool> {
        match self.fs().status(path) {
            Ok(there) => Ok(super::entries::is_same(there, file.status().at("read", path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("read", path),
        }
    }

    fn exchange(&self, new: &Path, old: &Path, is_locked: bool) -> Result<Moved> {
        let is_left_out = self.commits(Fault::EditByReplace);
        match if is_left_out { self.fs().replace(new, old) } else { self.fs().exchange(new, old) } {
            Ok(()) => Ok(Moved::Yes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Moved::Gone),
            // Nobody moves or deletes it while the lock of the moves is held, so it may be overwritten.
            Err(error) if error.kind() == io::ErrorKind::Unsupported && is_locked => {
                self.fs().replace(new, old).at("replace", old).map(|()| Moved::Yes)
            }
            Err(error) => Err(error).at("replace", old),
        }
    }
}

/// Copies what stands behind the old body, torn lines too, to behind the new one.
fn copy_log<H: FileHandle>(shown: &Shown<H>, new: &H, to: u64) -> io::Result<()> {
    let from = shown.place.start + shown.place.len_bytes;
    let (mut chunk, mut copied) = (vec![0; if shown.place.has_log { CHUNK } else { 0 }], 0);
    loop {
        let got = shown.file.read_at(&mut chunk, from + copied)?;
        if got == 0 {
            return Ok(());
        }
        new.write_all_at(&chunk[..got], to + copied)?;
        copied += got as u64;
    }
}
