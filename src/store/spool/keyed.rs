//! Putting one message that has a unique key, or is of a group, or both.
//!
//! As any put, but that before the header makes the file a message, its entries are made, under the locks of their
//! shards: that of the key first, then that of the group, both held until the message is durable and has its name. Nobody
//! waits for a lock while a body comes in.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Queue;
use super::entries::entries_of;
use super::fs::{Fault, FileHandle, Fs};
use super::layout::EntryOf;
use super::moves::Moved;
use super::put::{write_body, write_record};
use super::record::Draft;
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, Group, MessageName, NewMessage, Policy, Unique};
use crate::store::{At, BatchOutcome, Error, Message, Result, UniquePut};

/// So many directories are synced one by one; more, with all of the file system.
const MOST_DIRS: usize = 16;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn put_keyed(
        &self,
        new: &NewMessage,
        unique: Option<&Unique>,
        body: &mut dyn Read,
    ) -> Result<UniquePut> {
        let policy = self.policy()?;
        let window = unique.and_then(|unique| unique.window);
        self.check_window(window, &policy)?;
        let durability = new.durability.unwrap_or(policy.durability);
        let now = self.now();
        let (mut message, alone) = self.describe(new, &policy, now);
        message.unique = unique.map(|unique| unique.key.clone());
        message.unique_until = window.map(|window| now.plus(window).ceil_seconds());
        let draft = Draft::new(&message)?;

        let mut temporary = self.begin_temporary(message.id)?;
        let (len_bytes, crc) = write_body(&temporary.file, &temporary.path, draft.len(), body, new.failures())?;
        let mut locks = Vec::new();
        if let Some(key) = &message.unique {
            locks.push(self.lock_shard(EntryOf::Unique, key.hash())?);
            if let Some(id) = self.in_force(key.hash(), durability, &policy)? {
                return Ok(UniquePut::Present(id));
            }
        }
        let group = message.group.as_ref().map(Group::hash);
        let state = match group {
            Some(group) => {
                locks.push(self.lock_shard(EntryOf::Group, group)?);
                self.state_in_group(group, alone)?
            }
            None => alone,
        };
        let is_late = self.commits(Fault::UniqueAfterPublish);
        let entries: Vec<_> = entries_of(&message)
            .into_iter()
            .filter(|(of, name)| *of == EntryOf::Unique || !name.is_leaving && state == alone)
            .map(|(of, name)| (of, self.layout.entry(of, &name)))
            .collect();
        let make_entries = |message: &Path| -> Result<()> {
            entries.iter().try_for_each(|(of, entry)| self.make_entry(*of, message, entry, durability))
        };
        let put = || -> Result<()> {
            if !is_late {
                make_entries(&temporary.path)?;
            }
            temporary.file.write_all_at(&draft.finish(len_bytes, crc), 0).at("write", &temporary.path)?;
            let to = self.publish_temporary(&mut temporary, &message, new.deliveries(), state, durability)?;
            if is_late { make_entries(&to) } else { Ok(()) }
        }();
        drop(temporary);
        if put.is_err() {
            // Where it could not be taken back, it keeps them.
            for (_, entry) in &entries {
                let _ = self.forget_unless_doubled(entry);
            }
        }
        if let (Some(group), State::Waiting { .. }) = (group, state) {
            // (It may be that nobody has the turn, because somebody died.)
            let _ = self.give_turn(group, &policy);
        }
        drop(locks);
        // In looking for the turn, others may have been found that are too old.
        self.give_turns(&policy);
        put?;
        self.after_put(state, &policy);
        Ok(UniquePut::New(message.id))
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
    ) -> Result<(F::File, BatchOutcome)> {
        let lock = self.create_temporary_dir(dir)?;
        let now = self.now();
        let mut written = Vec::with_capacity(batch.len());
        for (new, body) in batch {
            let (message, state) = self.describe(new, policy, now);
            let path = dir.join(message.id.to_string());
            let file = self.create_file(&path)?;
            write_record(&file, &path, Draft::new(&message)?, &mut body.as_slice(), new.failures())?;
            written.push((message, state, path, new.deliveries()));
        }
        if durability == Durability::Full {
            let files: Vec<PathBuf> = written.iter().map(|(.., path, _)| path.clone()).collect();
            self.fs().sync_many(&lock, &files, &[dir.to_owned()]).at("sync", dir)?;
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
            return Ok((lock, BatchOutcome { ids: Vec::new(), error: Some(error) }));
        }
        self.ring(ready);
        Ok((lock, outcome))
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
        if self.rename_into(path, &to)? == Moved::Gone {
            return Err(self.vanished(path));
        }
        Ok(to)
    }
}
