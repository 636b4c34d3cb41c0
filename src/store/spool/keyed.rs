//! Putting one message that has a unique key, or is of a group, or both.
//!
//! As any put, but that before the header makes the file a message, its entries are made, under the locks of their
//! shards: that of the key first, then that of the group, both held until the message is durable and has its name. Nobody
//! waits for a lock while a body comes in.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Queue;
use super::entries::entries_of;
use super::fs::{Fault, FileHandle, Fs};
use super::layout::EntryOf;
use super::moves::Moved;
use super::put::{Temporary, write_body, write_record};
use super::record::Draft;
use super::room::Taken;
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, Group, MessageId, MessageName, NewMessage, Policy, Unique};
use crate::store::{At, BatchOutcome, Error, Message, Result, UniquePut};

/// A message whose body is written.
struct Keyed<'a> {
    new: &'a NewMessage,
    message: Message,
    /// Its state, if it is of no group or nobody is before it.
    alone: State,
    durability: Durability,
    header: Vec<u8>,
}

/// So many directories are synced one by one; more, with all of the file system.
const MOST_DIRS: usize = 16;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn put_keyed(
        &self,
        new: &NewMessage,
        unique: Option<&Unique>,
        body: &mut dyn Read,
        policy: &Policy,
    ) -> Result<UniquePut> {
        let window = unique.and_then(|unique| unique.window);
        self.check_window(window, policy)?;
        Error::check_delay(&self.name, new, policy)?;
        let began = Instant::now();
        // A message that is there already needs no room.
        if unique.is_none() {
            self.until_room(new.wait, began, policy, &mut || self.look_for_room(policy))?;
        }
        let durability = new.durability.unwrap_or(policy.durability);
        let now = self.now();
        let (mut message, alone) = self.describe(new, policy, now);
        message.unique = unique.map(|unique| unique.key.clone());
        message.unique_until = window.map(|window| now.plus(window).ceil_seconds());
        let draft = Draft::new(&message)?;

        let temporary = self.begin_temporary(message.id)?;
        let so_far = |written| self.check_long(written, policy);
        let written = write_body(&temporary.file, &temporary.path, draft.len(), body, new.failures(), &so_far)?;
        let header = draft.finish(written.0, written.1);
        let keyed = Keyed { new, message, alone, durability, header };
        let room =
            self.until_room(new.wait, began, policy, &mut || self.room_or_present(&keyed, &temporary, policy))?;
        match room {
            Ok(room) => {
                let put = self.place_keyed(&keyed, temporary, policy);
                // Of what may have been published it is not known whether it is gone.
                if matches!(put, Ok((UniquePut::Present(_), _)) | Err((_, false))) {
                    self.give_room_back(room);
                }
                let (put, state) = put.map_err(|(error, _)| error)?;
                if let UniquePut::New(_) = put {
                    // In looking for the turn, others may have been found that are too old.
                    self.give_turns(policy);
                    self.after_put(state, policy);
                }
                Ok(put)
            }
            Err(id) => Ok(UniquePut::Present(id)),
        }
    }

    /// Takes room for a message, or finds that none is needed: another one has its key.
    fn room_or_present(
        &self,
        keyed: &Keyed<'_>,
        temporary: &Temporary<'_, F>,
        policy: &Policy,
    ) -> Result<Result<Option<Taken>, MessageId>> {
        let key = keyed.message.unique.as_ref();
        let taken = || {
            if key.is_some() {
                self.check_disk(0, 0, policy)?;
            }
            if !policy.is_capped() {
                return Ok(None);
            }
            let len_bytes = temporary.file.status().at("read", &temporary.path)?.len_bytes;
            self.take_room_for(len_bytes, policy, &temporary.file)
        };
        match (taken(), key) {
            (Err(error @ (Error::Full { .. } | Error::NoReserve { .. })), Some(key)) => {
                let _lock = self.lock_shard(EntryOf::Unique, key.hash())?;
                self.in_force(key.hash(), keyed.durability, policy)?.map_or(Err(error), |id| Ok(Err(id)))
            }
            (taken, _) => taken.map(Ok),
        }
    }

    /// Makes the entries and the header of a message whose body is written, and gives it its place. With an error comes
    /// whether the message may be published all the same.
    fn place_keyed(
        &self,
        keyed: &Keyed<'_>,
        mut temporary: Temporary<'_, F>,
        policy: &Policy,
    ) -> Result<(UniquePut, State), (Error, bool)> {
        let Keyed { new, message, alone, durability, header } = keyed;
        let (alone, durability) = (*alone, *durability);
        let unpublished = |error| (error, false);
        let mut locks = Vec::new();
        if let Some(key) = &message.unique {
            locks.push(self.lock_shard(EntryOf::Unique, key.hash()).map_err(unpublished)?);
            if let Some(id) = self.in_force(key.hash(), durability, policy).map_err(unpublished)? {
                return Ok((UniquePut::Present(id), alone));
            }
        }
        let group = message.group.as_ref().map(Group::hash);
        let state = match group {
            Some(group) => {
                locks.push(self.lock_shard(EntryOf::Group, group).map_err(unpublished)?);
                self.state_in_group(group, alone).map_err(unpublished)?
            }
            None => alone,
        };
        let is_late = self.commits(Fault::UniqueAfterPublish);
        let entries: Vec<_> = entries_of(message)
            .into_iter()
            .filter(|(of, name)| !name.is_leaving && (*of == EntryOf::Unique || state == alone))
            .map(|(of, name)| (of, self.layout.entry(of, &name)))
            .collect();
        let make_entries = |message: &Path| -> Result<()> {
            entries.iter().try_for_each(|(of, entry)| self.make_entry(*of, message, entry, durability))
        };
        let put = || -> Result<()> {
            if !is_late {
                make_entries(&temporary.path)?;
            }
            temporary.file.write_all_at(header, 0).at("write", &temporary.path)?;
            let to = self.publish_temporary(&mut temporary, message, new.deliveries(), state, durability)?;
            if is_late { make_entries(&to) } else { Ok(()) }
        }();
        let may_be_there = temporary.may_be_moved();
        drop(temporary);
        if put.is_err() {
            // Where it could not be taken back, it keeps them.
            for (_, entry) in &entries {
                let _ = self.forget_unless_doubled(entry);
            }
        }
        if let (Some(group), State::Waiting { .. }) = (group, state) {
            // (It may be that nobody has the turn, because somebody died.)
            let _ = self.give_turn(group, policy);
        }
        drop(locks);
        put.map(|()| (UniquePut::New(message.id), state)).map_err(|error| (error, may_be_there))
    }

    fn check_window(&self, window: Option<Duration>, policy: &Policy) -> Result<()> {
        match (window, policy.retention) {
            (Some(window), Some(retention)) if window > retention => {
                Err(Error::UniqueForTooLong { queue: self.name.clone(), window, retention })
            }
            _ => Ok(()),
        }
    }

    /// Puts a batch of which some are of groups. Each message is named by its id alone, and gets its number when it gets its
    /// place: all of a group behind those that wait there already, in one line, from where the first gets its turn when the
    /// batch is durable.
    pub(super) fn put_with_groups(
        &self,
        dir: &Path,
        batch: &[(NewMessage, Vec<u8>)],
        policy: &Policy,
        durability: Durability,
        lock: &F::File,
    ) -> Result<BatchOutcome> {
        let now = self.now();
        let mut written = Vec::with_capacity(batch.len());
        for (new, body) in batch {
            let (message, state) = self.describe(new, policy, now);
            let path = dir.join(message.id.to_string());
            let file = self.create_file(&path)?;
            write_record(&file, &path, Draft::new(&message)?, &mut body.as_slice(), new.failures(), &|_| Ok(()))?;
            written.push((message, state, path, new.deliveries()));
        }
        if durability == Durability::Full {
            let files: Vec<PathBuf> = written.iter().map(|(.., path, _)| path.clone()).collect();
            self.fs().sync_many(lock, &files, &[dir.to_owned()]).at("sync", dir)?;
        }
        let mut outcome = BatchOutcome::default();
        let (mut dirs, mut ready) = (BTreeSet::new(), 0);
        let mut shard = None;
        for (message, alone, path, deliveries) in &written {
            match self.publish_in_group(message, *alone, path, *deliveries, &mut shard) {
                Ok(to) => {
                    dirs.insert(to.parent().unwrap_or(&to).to_owned());
                    outcome.ids.push(message.id);
                    ready += usize::from(message.group.is_none());
                }
                Err(error) => {
                    outcome.error = Some(error);
                    break;
                }
            }
        }
        drop(shard);
        let synced = match durability {
            Durability::None => Ok(()),
            Durability::Full if dirs.len() > MOST_DIRS => {
                let root = self.spool.root();
                self.fs().sync_file_system(root).at("sync", root)
            }
            Durability::Full => self.sync_published(&dirs),
        };
        if let Err(error) = synced {
            // Which names are durable is not known, so none is promised.
            return Ok(BatchOutcome { ids: Vec::new(), error: Some(error) });
        }
        self.ring(ready);
        Ok(outcome)
    }

    /// Gives a message of a batch its number and its place, which is returned. `shard` is the lock of the last one's group,
    /// which the next is often of.
    fn publish_in_group(
        &self,
        message: &Message,
        alone: State,
        path: &Path,
        deliveries: u32,
        shard: &mut Option<(PathBuf, F::File)>,
    ) -> Result<PathBuf> {
        let state = match message.group.as_ref().map(Group::hash) {
            Some(group) => {
                let dir = self.layout.shard(EntryOf::Group, group);
                if shard.as_ref().is_none_or(|(locked, _)| *locked != dir) {
                    // Never two at a time.
                    *shard = None;
                    *shard = Some((dir, self.lock_shard(EntryOf::Group, group)?));
                }
                self.note_turn(group);
                State::Waiting { group }
            }
            None => alone,
        };
        let name = MessageName { seq: self.take_seq()?, priority: message.priority, id: message.id, deliveries };
        let to = self.layout.path(state, &name);
        self.mark_expiry(&name, message.expires_at, message.group.as_ref().map(Group::hash));
        if self.rename_into(path, &to)? == Moved::Gone {
            return Err(self.vanished(path));
        }
        Ok(to)
    }
}
