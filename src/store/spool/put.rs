//! Putting one message.
//!
//! 1. Create `tmp/ID`, exclusively, and lock it.
//! 2. Write the header's room, the body, then the header; sync the file. Where renames are whole, sync
//!    `tmp/` too: from here on the message is durable, for whoever finds it complete publishes it.
//! 3. Take a number; rename into `ready/` (or `delayed/`), making what directories are missing.
//! 4. Elsewhere, sync the directory that got the name: from here on it is durable. Then the one that lost it.
//! 5. Ring.
//!
//! A put that fails anywhere removes its temporary, or spoils it where that fails, too; one that dies leaves it to the
//! sweep. A sync that fails is a put that failed: it is never tried again, because what the kernel could not write it
//! has forgotten.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::fs::{Access, Fault, FileHandle, Fs};
use super::moves::Moved;
use super::record::{Draft, log_entry};
use super::sweep::Thoroughness;
use super::{Order, Queue};
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, Group, MessageId, MessageName, NewMessage, Policy, UnixMillis};
use crate::store::{At, Error, Failure, Message, Result, UniquePut, read_full};

/// How much of a body is in memory at a time.
const CHUNK: usize = 128 * 1024;

/// After so many bytes of a long body it is asked again whether there is room for more.
const ASK_EVERY: u64 = 8 * 1024 * 1024;

/// Who says whether a body may go on, of which so many bytes are written with its header.
pub(super) type SoFar<'a> = dyn Fn(u64) -> Result<()> + 'a;

/// A file in `tmp/` that goes away unless it is published.
pub(super) struct Temporary<'a, F: Fs> {
    fs: &'a F,
    pub(super) path: PathBuf,
    pub(super) file: F::File,
    pub(super) may_be_moved: bool,
    is_published: bool,
}

impl<F: Fs> Temporary<'_, F> {
    /// Whether somebody may have it as a message by now.
    pub(super) fn may_be_moved(&self) -> bool {
        self.may_be_moved
    }
}

impl<F: Fs> Drop for Temporary<'_, F> {
    fn drop(&mut self) {
        if !self.is_published && self.fs.unlink(&self.path).is_err() && !self.may_be_moved {
            // What cannot be removed must not be taken for a message: its sync may have failed, and a later one of
            // the same bytes succeed without having written them. (Once it may have been moved, a receiver may have
            // it.)
            let _ = self.file.write_all_at(b"\0", 0);
        }
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn put(&self, new: &NewMessage, body: &mut dyn Read) -> Result<MessageId> {
        let policy = self.policy()?;
        if new.group.is_some() || policy.is_capped() {
            return self.put_keyed(new, None, body, &policy).map(UniquePut::id);
        }
        Error::check_delay(&self.name, new, &policy)?;
        self.until_room(new.wait, Instant::now(), &policy, &mut || self.look_for_room(&policy))?;
        let durability = new.durability.unwrap_or(policy.durability);
        let now = self.now();
        let (message, state) = self.describe(new, &policy, now);
        let draft = Draft::new(&message)?;

        let mut temporary = self.begin_temporary(message.id)?;
        let so_far = |written| self.check_long(written, &policy);
        write_record(&temporary.file, &temporary.path, draft, body, new.failures(), &so_far)?;
        self.publish_temporary(&mut temporary, &message, new.deliveries(), state, durability)?;
        // The lock first: a receiver that is woken while it is held would take the message for somebody's.
        drop(temporary);
        self.after_put(state, &policy);
        Ok(message.id)
    }

    pub(super) fn begin_temporary(&self, id: MessageId) -> Result<Temporary<'_, F>> {
        let path = self.layout.temporary(id);
        let file = self.create_temporary(&path)?;
        Ok(Temporary { fs: self.fs(), path, file, may_be_moved: false, is_published: false })
    }

    /// Makes a complete temporary durable and gives it its place, which is returned.
    pub(super) fn publish_temporary(
        &self,
        temporary: &mut Temporary<'_, F>,
        message: &Message,
        deliveries: u32,
        state: State,
        durability: Durability,
    ) -> Result<PathBuf> {
        if durability == Durability::Full && !self.commits(Fault::PublishBeforeSync) {
            self.sync_temporary(temporary)?;
        }
        temporary.may_be_moved = true;
        let name = MessageName { seq: self.take_seq()?, priority: message.priority, id: message.id, deliveries };
        self.mark_expiry(&name, message.expires_at, message.group.as_ref().map(Group::hash));
        self.publish(&temporary.path, &name, state, durability)?;
        if durability == Durability::Full && self.commits(Fault::PublishBeforeSync) {
            self.sync_temporary(temporary)?;
        }
        temporary.is_published = true;
        Ok(self.layout.path(state, &name))
    }

    /// Wakes a receiver, and sweeps in passing.
    pub(super) fn after_put(&self, state: State, policy: &Policy) {
        if state == State::Ready {
            self.ring(1);
        }
        self.sweep_in_passing(Thoroughness::Little, policy);
    }

    /// The durability point, where renames are whole; elsewhere half of it.
    fn sync_temporary(&self, temporary: &Temporary<'_, F>) -> Result<()> {
        let synced = if self.commits(Fault::NoFileSync) {
            Ok(())
        } else if self.commits(Fault::WrongFileSync) {
            self.fs().open(&self.layout.sweep(), Access::Read).and_then(|other| other.sync())
        } else {
            temporary.file.sync()
        };
        if !self.commits(Fault::FailedSyncIgnored) {
            synced.at("sync", &temporary.path)?;
        }
        if self.spool.order() == Order::RollForward && !self.commits(Fault::NoTemporaryNameSync) {
            let tmp = self.layout.tmp();
            self.fs().sync_dir(&tmp).at("sync", &tmp)?;
        }
        Ok(())
    }

    /// What a message put at `now` is, and the state it begins in.
    pub(super) fn describe(&self, new: &NewMessage, policy: &Policy, now: UnixMillis) -> (Message, State) {
        Message::of(new, &self.name, || self.spool.new_id(now), policy.delay, now)
    }

    /// Gives a complete temporary its name, durably where the name is what has to be.
    pub(super) fn publish(&self, from: &Path, name: &MessageName, state: State, durability: Durability) -> Result<()> {
        let to = self.layout.path(state, name);
        let is_classical = self.is_classical(durability);
        if self.rename_into(from, &to)? == Moved::Gone {
            return Err(self.vanished(from));
        }
        if is_classical && !self.commits(Fault::NoPublishedNameSync) {
            let dir = to.parent().unwrap_or(&to);
            if let Err(error) = self.sync_into(dir) {
                // Not acknowledged, so it may go; a receiver who has it already has it for good.
                let _ = self.fs().unlink(&to);
                return Err(error);
            }
            // The old name too, or it could come back and stand for whatever has the file's place by then. The
            // message is safe already, so a failure here is none of the put's.
            let _ = self.fs().sync_dir(&self.layout.tmp());
        }
        Ok(())
    }

    /// Why a temporary is not there any more: the queue was dropped, or somebody cleared it away.
    pub(super) fn vanished(&self, path: &Path) -> Error {
        let source = io::Error::new(io::ErrorKind::NotFound, "the temporary was removed while it was written");
        self.dropped_or(Error::Io { action: "publish", path: path.to_owned(), source })
    }

    /// An error, or what is behind it: the queue was dropped while it was put to.
    pub(super) fn dropped_or(&self, error: Error) -> Error {
        match error {
            Error::Io { source, .. }
                if source.kind() == io::ErrorKind::NotFound && self.fs().status(self.layout.dir()).is_err() =>
            {
                let place = self.spool.root().display().to_string();
                Error::NoSuchQueue { queue: self.name.clone(), place }
            }
            error => error,
        }
    }
}

/// Writes header, body, the header's numbers and the log of deliveries into an empty file.
pub(super) fn write_record<H: FileHandle>(
    file: &H,
    path: &Path,
    draft: Draft,
    body: &mut dyn Read,
    failures: &[Failure],
    so_far: &SoFar<'_>,
) -> Result<()> {
    let header_len = draft.len();
    let mut chunk = vec![0; header_len + CHUNK];
    let got = read_full(body, &mut chunk[header_len..]).map_err(Error::Body)?;
    if got < CHUNK {
        // All of it is here: one write.
        chunk.truncate(header_len + got);
        let header = draft.finish(got as u64, crc32c::crc32c(&chunk[header_len..]));
        chunk[..header_len].copy_from_slice(&header);
        chunk.extend(failures.iter().flat_map(log_entry));
        return file.write_all_at(&chunk, 0).at("write", path);
    }
    let (len_bytes, crc) = write_rest(file, path, header_len, chunk, body, so_far)?;
    write_log(file, path, header_len as u64 + len_bytes, failures)?;
    file.write_all_at(&draft.finish(len_bytes, crc), 0).at("write", path)
}

/// Writes the body behind the room for its header, and the log of deliveries behind it; returns the body's length in bytes
/// and its CRC-32C.
pub(super) fn write_body<H: FileHandle>(
    file: &H,
    path: &Path,
    header_len: usize,
    body: &mut dyn Read,
    failures: &[Failure],
    so_far: &SoFar<'_>,
) -> Result<(u64, u32)> {
    let mut chunk = vec![0; header_len + CHUNK];
    let got = read_full(body, &mut chunk[header_len..]).map_err(Error::Body)?;
    chunk.truncate(header_len + got);
    let (len_bytes, crc) = write_rest(file, path, header_len, chunk, body, so_far)?;
    write_log(file, path, header_len as u64 + len_bytes, failures)?;
    Ok((len_bytes, crc))
}

fn write_log<H: FileHandle>(file: &H, path: &Path, at: u64, failures: &[Failure]) -> Result<()> {
    let log: Vec<u8> = failures.iter().flat_map(log_entry).collect();
    if log.is_empty() { Ok(()) } else { file.write_all_at(&log, at).at("write", path) }
}

/// Writes a body whose beginning stands in `chunk` behind the room for the header, which stays a run of zeros until the
/// body is whole: nothing that could be taken for one.
fn write_rest<H: FileHandle>(
    file: &H,
    path: &Path,
    header_len: usize,
    mut chunk: Vec<u8>,
    body: &mut dyn Read,
    so_far: &SoFar<'_>,
) -> Result<(u64, u32)> {
    let mut crc = crc32c::crc32c(&chunk[header_len..]);
    let mut written = chunk.len() as u64;
    file.write_all_at(&chunk, 0).at("write", path)?;
    chunk.resize(CHUNK, 0);
    loop {
        let got = read_full(body, &mut chunk).map_err(Error::Body)?;
        if got == 0 {
            return Ok((written - header_len as u64, crc));
        }
        crc = crc32c::crc32c_append(crc, &chunk[..got]);
        file.write_all_at(&chunk[..got], written).at("write", path)?;
        written += got as u64;
        if written % ASK_EVERY < got as u64 {
            so_far(written)?;
        }
    }
}
