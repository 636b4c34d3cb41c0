//! Putting many messages as one: all of them or none.
//!
//! The messages are written into a directory below `tmp/ID/`, made durable together, and published by one rename of that
//! directory: of a leaf, if they are few, of a directory of leaves, if they are more. Either is a run of sequence numbers
//! that nobody else has any of, which is why a batch has to begin a new one; the numbers that it passes over are counted in
//! `skipped`, so that nobody takes them for messages that came and went.
//!
//! Invariants: before the rename the messages are a dead writer's litter, after it they are all there; in between is
//! nothing. Nothing is acknowledged before the rename is durable.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::fs::{Fault, FileHandle, Fs};
use super::layout::{GROUP_LEN, LEAF_LEN};
use super::put::write_record;
use super::record::Draft;
use super::room::Load;
use super::sweep::Thoroughness;
use super::{Order, Queue, Spool};
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Durability, MessageId, MessageName, NewMessage, Policy, Priority, QueueName, Seq};
use crate::store::{At, AtomicBatch, Error, Result};

/// So many bytes of bodies wait in memory at most until it is known how many messages there are.
const IN_MEMORY: usize = 8 * 1024 * 1024;

/// After so many messages it is asked again whether the disk has room for more.
const ASK_EVERY: usize = 256;

/// A message that waits in memory.
struct Waiting {
    new: NewMessage,
    body: Vec<u8>,
}

/// Where the messages are that are written.
struct Written {
    /// The directory that becomes the run's own, below `tmp/ID/`.
    dir: PathBuf,
    /// The number of the first.
    first: u64,
    /// How many numbers there are.
    len: u64,
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
}

/// A batch that is being gathered.
pub(super) struct SpoolBatch<'a, F: Fs, C: Clock> {
    queue: Queue<'a, F, C>,
    policy: Policy,
    /// Its directory in `tmp/`, and the lock that keeps the sweep away.
    dir: PathBuf,
    lock: Option<F::File>,
    began: Instant,
    wait: Duration,
    durability: Durability,
    priority: Priority,
    ids: Vec<MessageId>,
    load: Load,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// A run of its own, once the messages are too many for a leaf, or for memory.
    written: Option<Written>,
}

impl<F: Fs, C: Clock> Spool<F, C> {
    pub(super) fn gather(&self, name: &QueueName) -> Result<SpoolBatch<'_, F, C>> {
        let queue = self.queue(name)?;
        let begin = || {
            let policy = queue.policy()?;
            let dir = queue.layout.temporary(self.new_id(queue.now()));
            let lock = queue.create_temporary_dir(&dir)?;
            Ok((policy, dir, Some(lock)))
        };
        let (policy, dir, lock) = begin().map_err(|error| queue.dropped_or(error))?;
        Ok(SpoolBatch {
            queue,
            policy,
            dir,
            lock,
            began: Instant::now(),
            wait: Duration::ZERO,
            durability: Durability::None,
            priority: Priority::default(),
            ids: Vec::new(),
            load: Load::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            written: None,
        })
    }
}

impl<F: Fs, C: Clock> Drop for SpoolBatch<'_, F, C> {
    fn drop(&mut self) {
        self.queue.spool.remove_tree(&self.dir);
        self.lock = None;
    }
}

impl<F: Fs, C: Clock> AtomicBatch for SpoolBatch<'_, F, C> {
    fn add(&mut self, new: &NewMessage, body: &mut dyn Read) -> Result<()> {
        self.add_one(new, body).map_err(|error| self.queue.dropped_or(error))
    }

    fn commit(mut self: Box<Self>) -> Result<Vec<MessageId>> {
        let committed = self.publish();
        committed.map_err(|error| self.queue.dropped_or(error))?;
        Ok(std::mem::take(&mut self.ids))
    }
}

impl<F: Fs, C: Clock> SpoolBatch<'_, F, C> {
    fn add_one(&mut self, new: &NewMessage, mut body: &mut dyn Read) -> Result<()> {
        let number = self.ids.len() + self.waiting.len();
        self.check(new, number)?;
        if number == 0 {
            self.priority = new.priority;
        }
        if new.durability.unwrap_or(self.policy.durability) == Durability::Full {
            // One promise for all of them: the strongest that any of them was given.
            self.durability = Durability::Full;
        }
        self.wait = self.wait.max(new.wait);
        if number.is_multiple_of(ASK_EVERY) {
            self.queue.check_disk(ASK_EVERY as u64, 0, &self.policy)?;
        }
        if self.written.is_some() {
            return self.write(new, body);
        }
        let most = (IN_MEMORY - self.waiting_bytes) as u64;
        let mut start = Vec::new();
        let got = Read::by_ref(&mut body).take(most + 1).read_to_end(&mut start).map_err(Error::Body)?;
        if got as u64 <= most && self.waiting.len() < as_usize(LEAF_LEN) {
            start.shrink_to_fit();
            self.waiting_bytes += got;
            self.waiting.push(Waiting { new: new.clone(), body: start });
            return Ok(());
        }
        self.begin_run(GROUP_LEN)?;
        self.write(new, &mut start.as_slice().chain(body))
    }

    /// Whether it can be one of them: whatever is not deliverable at once, or is not in its place by its number alone, would
    /// have to be published by itself.
    fn check(&self, new: &NewMessage, number: usize) -> Result<()> {
        let refuse = |why: String| Err(Error::NotInABatch { why });
        let (_, state) = self.queue.describe(new, &self.policy, self.queue.now());
        if new.group.is_some() {
            return refuse("a message of a group has its own place in the line of that".to_owned());
        }
        if state != State::Ready {
            return refuse("a delayed message is not deliverable with the others".to_owned());
        }
        if number > 0 && new.priority != self.priority {
            return refuse(format!("its messages have one priority, and {} is not {}", new.priority, self.priority));
        }
        if number as u64 >= GROUP_LEN {
            return refuse(format!("{GROUP_LEN} messages are the most that one rename publishes"));
        }
        if let Some(cap) = self.policy.max_messages.filter(|cap| number as u64 >= *cap) {
            return refuse(format!("it has more messages than the queue may hold: max-messages is {cap}"));
        }
        Ok(())
    }

    /// Takes the numbers, and writes those that have waited for that.
    fn begin_run(&mut self, len: u64) -> Result<()> {
        let first = self.queue.take_run(len)?;
        let dir = self.dir.join("0");
        self.queue.fs().mkdir(&dir, self.queue.modes.dir).at("create", &dir)?;
        self.written = Some(Written { dir: dir.clone(), first, len, files: Vec::new(), dirs: vec![dir] });
        for Waiting { new, body } in std::mem::take(&mut self.waiting) {
            self.write(&new, &mut body.as_slice())?;
        }
        Ok(())
    }

    fn write(&mut self, new: &NewMessage, body: &mut dyn Read) -> Result<()> {
        let number = self.ids.len() as u64;
        let queue = &self.queue;
        let Some(written) = &mut self.written else { return Ok(()) };
        let (message, _) = queue.describe(new, &self.policy, queue.now());
        let name = MessageName {
            seq: Seq(written.first + number),
            priority: message.priority,
            id: message.id,
            deliveries: new.deliveries(),
        };
        let leaf = || written.dir.join(format!("{:02x}", number / LEAF_LEN));
        let dir = if written.is_of_leaves() { leaf() } else { written.dir.clone() };
        if written.dirs.last() != Some(&dir) {
            queue.fs().mkdir(&dir, queue.modes.dir).at("create", &dir)?;
            written.dirs.push(dir.clone());
        }
        let path = dir.join(name.to_string());
        let file = queue.create_file(&path)?;
        let draft = Draft::new(&message)?;
        let so_far = |written| queue.check_long(written, &self.policy);
        write_record(&file, &path, draft, body, new.failures(), &so_far)?;
        if self.policy.is_capped() {
            let len_bytes = file.status().at("read", &path)?.len_bytes;
            self.load = self.load.plus(Load::one(len_bytes));
            queue.check_long(self.load.bytes, &self.policy)?;
        }
        queue.mark_expiry(&name, message.expires_at, None);
        written.files.push(path);
        self.ids.push(message.id);
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        if self.written.is_none() {
            if self.waiting.is_empty() {
                return Ok(());
            }
            self.begin_run(LEAF_LEN)?;
        }
        let Some(written) = self.written.take() else { return Ok(()) };
        let (queue, policy, durability) = (&self.queue, &self.policy, self.durability);
        let room = queue.until_room(self.wait, self.began, policy, &mut || {
            queue.check_disk(0, 0, policy)?;
            queue.take_room_for_batch(self.load, policy, &self.dir)
        })?;
        let published = self.publish_run(&written, durability);
        if let Err((error, may_be_there)) = published {
            if !may_be_there {
                queue.give_room_back(room);
            }
            return Err(error);
        }
        queue.use_skipped(self.ids.len() as u64);
        queue.ring(self.ids.len());
        queue.sweep_in_passing(Thoroughness::Little, policy);
        Ok(())
    }

    /// One rename. With an error comes whether the messages may be there all the same.
    fn publish_run(&self, written: &Written, durability: Durability) -> Result<(), (Error, bool)> {
        let queue = &self.queue;
        let not_there = |error| (error, false);
        if durability == Durability::Full
            && let Some(lock) = &self.lock
        {
            let synced = queue.fs().sync_many(lock, &written.files, &written.dirs);
            synced.at("sync", &self.dir).map_err(not_there)?;
        }
        let leaf = queue.layout.leaf(self.priority, Seq(written.first));
        let to = if written.is_of_leaves() { leaf.parent().unwrap_or(&leaf).to_owned() } else { leaf };
        if queue.commits(Fault::BatchInParts) {
            return self.publish_in_parts(written, &to).map_err(|error| (error, true));
        }
        queue.replace_into(&written.dir, &to).map_err(not_there)?;
        if durability == Durability::None {
            return Ok(());
        }
        let above = to.parent().unwrap_or(&to).to_owned();
        queue.sync_published(&[above].into()).map_err(|error| (error, true))?;
        if queue.spool.order() == Order::Classical {
            // The old name too, or it could come back and be taken for a dead writer's.
            let _ = queue.fs().sync_dir(&self.dir);
        }
        Ok(())
    }

    /// A mistake that a simulation wants made.
    fn publish_in_parts(&self, written: &Written, to: &Path) -> Result<()> {
        for file in &written.files {
            self.queue.rename_into(file, &to.join(file.file_name().unwrap_or_default()))?;
        }
        self.queue.sync_published(&[to.to_owned()].into())
    }
}

impl Written {
    /// Whether it has the numbers of a whole directory of leaves.
    fn is_of_leaves(&self) -> bool {
        self.len == GROUP_LEN
    }
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
