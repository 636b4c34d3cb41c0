//! Doing it to many messages: purge and move. Each message is one step; interrupted, the rest is as it was.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Queue;
use super::fs::{Access, Fault, Fs};
use super::layout::{EntryOf, LEAF_LEN, parse_name};
use super::moves::Moved;
use super::put::Temporary;
use super::record::{Opened, ReadError};
use super::sequence::Block;
use crate::domain::lifecycle::{self, State};
use crate::domain::{Clock, Durability, Group, KeyHash, MessageName, Policy, Seq, UniqueKey, UnixMillis};
use crate::store::{AfterEach, At, Error, Filter, Result};

/// The first message of which it could not be told whether it is meant, or that cannot be moved: it stays, and keeps none of
/// the others.
#[derive(Default)]
struct Unknown(Option<Error>);

impl Unknown {
    fn of(&mut self, answer: Result<bool>) -> bool {
        answer.unwrap_or_else(|error| {
            self.0.get_or_insert(error);
            false
        })
    }
}

/// Who is shown a message, and says whether he has taken it away.
type Visit<'a> = dyn FnMut(&MessageName, &Path) -> Result<ControlFlow<(), bool>> + 'a;

/// How many names of a large directory are in memory at a time.
const AT_ONCE: usize = 1024;

/// The same where they are wanted in order: each time costs a listing of the whole directory.
const IN_ORDER_AT_ONCE: usize = 16 * 1024;

/// What has to be known of a message that is to be moved.
#[derive(Clone, Default)]
struct About {
    group: Option<KeyHash>,
    key: Option<UniqueKey>,
    expires_at: Option<UnixMillis>,
    /// How many times it has been claimed.
    deliveries: u32,
    /// The retention of the other queue is over for it.
    is_too_old: bool,
}

/// Who moves messages from one queue to the end of another.
struct Mover<'a, 'q, F: Fs, C: Clock> {
    from: &'a Queue<'q, F, C>,
    to: &'a Queue<'q, F, C>,
    policy_there: Policy,
    durability: Durability,
    /// Numbers of the other queue that are taken, and not used yet.
    numbers: Block,
    /// How many are taken next: more each time, until one of a group comes in between.
    most: u64,
    /// Where the other queue is capped: what says in its `tmp/` that one of them has room there, and no place yet.
    announced: Option<Temporary<'a, F>>,
}

impl<F: Fs, C: Clock> Mover<'_, '_, F, C> {
    /// What is to be known of the message at `path`; nothing if it is gone. One that is damaged is moved as one of no group
    /// and key.
    fn about(&self, path: &Path) -> Result<Option<About>> {
        let opened = match self.from.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ReadError::Io).and_then(Opened::<F::File>::new),
        };
        let (message, _, file, place) = match opened {
            Ok(opened) => opened.unchecked(),
            Err(ReadError::Damaged(_)) => return Ok(Some(About::default())),
            Err(ReadError::Io(error)) => return Err(error).at("read", path),
        };
        let facts = self.to.facts_of(&message, &file, place, 0, &self.policy_there);
        Ok(Some(About {
            group: message.group.as_ref().map(Group::hash),
            // A window is the matter of the queue that it was put to.
            key: message.unique.filter(|_| message.unique_until.is_none() && !self.to.commits(Fault::KeyLeftBehind)),
            expires_at: message.expires_at,
            deliveries: 0,
            is_too_old: lifecycle::is_too_old_for(facts, &self.policy_there, self.to.now()),
        }))
    }

    /// Moves a message. Returns whether it was there to be moved.
    fn move_one(&mut self, state: State, name: &MessageName, path: &Path, about: &About) -> Result<bool> {
        let (deliveries, name) = (name.deliveries, &MessageName { deliveries: 0, ..*name });
        let key = match about.key {
            Some(ref key) => match self.to.take_key(key, name.id, path, self.durability, &self.policy_there)? {
                Some(key) => Some(key),
                None => return Ok(false),
            },
            None => None,
        };
        let moved = self.move_with_key(state, name, path, &About { deliveries, ..about.clone() });
        if let Some(key) = key {
            self.to.settle_key(key, moved.as_ref().ok().copied(), self.durability);
        }
        moved
    }

    fn move_with_key(&mut self, state: State, name: &MessageName, path: &Path, about: &About) -> Result<bool> {
        if let Some(group) = about.group {
            // What comes after it is to have later numbers.
            (self.numbers.len, self.most) = (0, 1);
            return self.move_to_group(group, name, path, about);
        }
        if self.numbers.len == 0 {
            self.numbers = self.to.take_seqs(self.most)?;
            self.most = (2 * self.most).min(LEAF_LEN);
        }
        let name_there = MessageName { seq: Seq(self.numbers.first), ..*name };
        let moved = self.transfer(name, path, &self.to.layout.path(state, &name_there), about)?;
        if moved {
            self.numbers = Block { first: self.numbers.first + 1, len: self.numbers.len - 1 };
            self.to.ring(1);
        }
        Ok(moved)
    }

    /// To the end of its group, where it has its turn at once if nobody is before it.
    fn move_to_group(&self, group: KeyHash, name: &MessageName, path: &Path, about: &About) -> Result<bool> {
        let _lock = self.to.lock_shard(EntryOf::Group, group)?;
        // Not one of those that were taken before: somebody may have put to the group since.
        let name_there = MessageName { seq: self.to.take_seq()?, ..*name };
        let moved = self.transfer(name, path, &self.to.layout.path(State::Waiting { group }, &name_there), about)?;
        if moved {
            let _ = self.to.give_turn(group, &self.policy_there);
        }
        Ok(moved)
    }

    /// Errors: [`Error::Full`], of the other queue, and it is where it was.
    fn transfer(&self, name: &MessageName, path: &Path, target: &Path, about: &About) -> Result<bool> {
        self.to.make_parents(target)?;
        let room = match &self.announced {
            Some(temporary) => match self.from.fs().status(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => {
                    let len_bytes = other.at("read", path)?.len_bytes;
                    let policy = &self.policy_there;
                    self.to.until_room(Duration::ZERO, Instant::now(), policy, &mut || {
                        self.to.take_room_for(len_bytes, policy, &temporary.file)
                    })?
                }
            },
            None => None,
        };
        if about.is_too_old {
            // As late as can be, but before it is there: whoever meets it then has to know.
            self.from.begin_age(path, about.deliveries, self.durability)?;
        }
        let moved = self.from.transfer_out(name, path, target, self.durability, Some(&self.to.layout))?;
        if moved == Moved::Gone {
            self.to.give_room_back(room);
        } else if let Some(name) = target.file_name().and_then(parse_name) {
            self.to.mark_expiry(&name, about.expires_at, about.group);
        }
        Ok(moved == Moved::Yes)
    }
}

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn purge(&self, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        // What came back, or was put back by a power cut, is meant as well.
        let policy = self.sweep_first()?;
        let durability = policy.durability;
        let (mut deleted, mut unknown) = (0, Unknown::default());
        let mut delete = |state, name: &MessageName, path: &Path| -> Result<ControlFlow<(), bool>> {
            if !unknown.of(self.is_meant(which, state, name, path)) || !self.remove(name, path, durability)? {
                return Ok(ControlFlow::Continue(false));
            }
            deleted += 1;
            Ok(after_each().map_continue(|()| true))
        };
        let mut flow = ControlFlow::Continue(());
        let mut last_dir = PathBuf::new();
        let mut delete_in_order = |state, name: MessageName, path: &Path| {
            let deleted = delete(state, &name, path)?;
            let dir = path.parent().unwrap_or(path);
            // Of a few in a large queue, few directories have lost any.
            if deleted != ControlFlow::Continue(false) && dir != last_dir {
                self.sync_emptied(&last_dir, durability)?;
                dir.clone_into(&mut last_dir);
            }
            flow = deleted.map_continue(drop);
            Ok(flow)
        };
        // Those first that wait: none of them gets its turn meanwhile, and is overlooked.
        let (waited, hidden) = self.visit_lines(&mut delete_in_order)?;
        let unread = match waited {
            ControlFlow::Continue(()) => {
                self.visit_ready(true, &mut |name, path| delete_in_order(State::Ready, name, path))?
            }
            ControlFlow::Break(()) => None,
        };
        self.sync_emptied(&last_dir, durability)?;
        for (state, dir) in self.dated_dirs()?.into_iter().chain([(State::Held, self.layout.held())]) {
            if flow.is_break() {
                break;
            }
            let mut has_lost = false;
            flow = self.visit_dir(&dir, which, &mut |name, path| {
                let deleted = delete(state, name, path)?;
                has_lost |= deleted != ControlFlow::Continue(false);
                Ok(deleted)
            })?;
            if has_lost {
                self.sync_emptied(&dir, durability)?;
            }
            if state != State::Held {
                self.spool.remove_dir(&dir);
            }
        }
        self.give_turns(&policy);
        hidden.or(unread).or(unknown.0).map_or(Ok(deleted), Err)
    }

    pub(super) fn move_to(&self, to: &Self, which: &Filter, after_each: &mut AfterEach<'_>) -> Result<u64> {
        // What goes to the end of the queue that is being emptied would be met again, and again.
        if self.name == to.name {
            return Ok(0);
        }
        let policy = self.sweep_first()?;
        let durability = policy.durability;
        let mut way = Mover {
            from: self,
            to,
            policy_there: to.policy()?,
            durability,
            numbers: Block { first: 0, len: 0 },
            most: 1,
            announced: None,
        };
        if way.policy_there.is_capped() {
            way.announced = Some(to.begin_temporary(self.spool.new_id(self.now()))?);
        }
        let (mut moved, mut unknown) = (0, Unknown::default());
        let mut move_one = |state: State, name: &MessageName, path: &Path| -> Result<ControlFlow<(), bool>> {
            if !unknown.of(self.is_meant(which, state, name, path)) {
                return Ok(ControlFlow::Continue(false));
            }
            let about = match way.about(path) {
                Ok(Some(about)) => about,
                Ok(None) => return Ok(ControlFlow::Continue(false)),
                Err(error) => return Ok(ControlFlow::Continue(unknown.of(Err(error)))),
            };
            let is_moved = match way.move_one(state, name, path, &about) {
                // It stays, and the others are not behind it.
                Err(error @ Error::KeyTaken { .. }) => unknown.of(Err(error)),
                other => other?,
            };
            if !is_moved {
                return Ok(ControlFlow::Continue(false));
            }
            moved += 1;
            Ok(after_each().map_continue(|()| true))
        };
        let mut flow = ControlFlow::Continue(());
        let unread = self.visit_ready(true, &mut |name, path| {
            flow = move_one(State::Ready, &name, path)?.map_continue(drop);
            Ok(flow)
        })?;
        for (state, dir) in self.dated_dirs()? {
            if flow.is_continue() && matches!(state, State::Delayed { .. }) {
                flow = self.visit_dir_in_order(&dir, &mut |name, path| move_one(state, name, path))?;
                self.spool.remove_dir(&dir);
            }
        }
        // Behind those whose turn it was, in the order of their groups.
        let mut hidden = None;
        if flow.is_continue() {
            let mut move_waiting = |state, name: MessageName, path: &Path| {
                let done = move_one(state, &name, path)?;
                if let State::Waiting { group } = state {
                    self.note_turn(group);
                }
                Ok(done.map_continue(drop))
            };
            hidden = self.visit_lines(&mut move_waiting)?.1;
        }
        self.give_turns(&policy);
        unread.or(hidden).or(unknown.0).map_or(Ok(moved), Err)
    }

    /// The directories of `delayed/` and `claimed/` that are named by a second.
    fn dated_dirs(&self) -> Result<Vec<(State, PathBuf)>> {
        let (delayed, claimed) = (self.layout.delayed(), self.layout.claimed());
        let mut dirs = Vec::new();
        for due in self.seconds_in(&delayed)? {
            dirs.push((State::Delayed { due }, delayed.join(due.0.to_string())));
        }
        for until in self.seconds_in(&claimed)? {
            dirs.push((State::Claimed { until }, claimed.join(until.0.to_string())));
        }
        Ok(dirs)
    }

    /// Shows every message of a directory to one who takes those that are meant, some at a time.
    fn visit_dir(&self, dir: &Path, which: &Filter, each: &mut Visit<'_>) -> Result<ControlFlow<()>> {
        if !which.is_all() {
            return self.visit_dir_in_order(dir, each);
        }
        // What is taken is gone: the next look finds others. That needs no order, and lists a large directory once.
        loop {
            let mut found = Vec::new();
            self.scan_messages(dir, &mut |name, path| {
                found.push((name, path));
                if found.len() >= AT_ONCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let mut taken = 0;
            for (name, path) in &found {
                match each(name, path)? {
                    ControlFlow::Continue(is_taken) => taken += usize::from(is_taken),
                    ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                }
            }
            if taken == 0 || found.len() < AT_ONCE {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Shows every message of a directory once, in the order of the numbers: it lists its names in any order.
    fn visit_dir_in_order(&self, dir: &Path, each: &mut Visit<'_>) -> Result<ControlFlow<()>> {
        let mut shown: Option<MessageName> = None;
        loop {
            let mut next: Vec<MessageName> = Vec::new();
            self.scan_messages(dir, &mut |name, _| {
                if shown.is_none_or(|shown| name > shown) {
                    next.push(name);
                }
                if next.len() >= 2 * IN_ORDER_AT_ONCE {
                    next.sort_unstable();
                    next.truncate(IN_ORDER_AT_ONCE);
                }
                ControlFlow::Continue(())
            })?;
            next.sort_unstable();
            next.truncate(IN_ORDER_AT_ONCE);
            for name in &next {
                if each(name, &dir.join(name.to_string()))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if next.len() < IN_ORDER_AT_ONCE {
                return Ok(ControlFlow::Continue(()));
            }
            shown = next.last().copied();
        }
    }

    fn sync_emptied(&self, dir: &Path, durability: Durability) -> Result<()> {
        if durability == Durability::None || dir.as_os_str().is_empty() {
            return Ok(());
        }
        self.spool.sync_deletes(dir).at("sync", dir)
    }
}
