//! The files in a queue: messages, temporaries, strays.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Order;
use super::super::fs::{Access, FileHandle, Fs, Kind, Names, Status};
use super::super::layout::{EntryOf, Place, classify, parse_name};
use super::super::moves::Moved;
use super::super::record::{Opened, ReadError};
use super::super::temporaries::is_orphan;
use super::parts::{MAKING, QueueCheck};
use super::{Check, FindingKind, NOT_OURS, is_gone, is_queue_name, stray_words};
use crate::domain::lifecycle::State;
use crate::domain::{Clock, Group, MessageId, MessageName};
use crate::store::{Error, Message, Result};

/// A directory of ours is never so deep; others are not followed further.
const DEEPEST: usize = 16;

/// A leaf has 256 numbers; if there are more messages than this in it, it is not looked through for equal ones.
const LEAF_MOST: usize = 4096;

/// What a file is as a message.
pub(super) enum Verdict {
    Whole(Box<Message>),
    Damaged(String),
    Unreadable(io::Error),
}

impl<F: Fs, C: Clock> Check<'_, '_, F, C> {
    /// Looks at all that lies in a queue but `tmp/`.
    pub(super) fn look_at_tree(&mut self, at: &mut QueueCheck<'_, F, C>) {
        let dir = at.queue.layout.dir().to_owned();
        self.look_into(at, &dir, 0);
        self.look_at_keys_left(at);
    }

    fn look_into(&mut self, at: &mut QueueCheck<'_, F, C>, dir: &Path, depth: usize) {
        let mut names: Vec<MessageName> = Vec::new();
        let scanned = self.spool.fs.scan(dir, &mut |name, kind| {
            let found = self.look_at(at, &dir.join(name), kind, depth);
            if names.len() < LEAF_MOST {
                names.extend(found);
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = scanned {
            self.unreadable(at, dir, &error);
        }
        self.look_for_same_numbers(at, dir, names);
    }

    /// Looks at one name. Returns it if it is that of a deliverable message.
    fn look_at(&mut self, at: &mut QueueCheck<'_, F, C>, path: &Path, kind: Kind, depth: usize) -> Option<MessageName> {
        let layout = &at.queue.layout;
        let inside = path.strip_prefix(layout.dir()).unwrap_or(path);
        // What stands where a part should is told with the parts.
        let is_part = at.is_part(path);
        if kind != Kind::Dir && is_part || path == layout.tmp() {
            return None;
        }
        let place = classify(inside, kind);
        let status = match self.spool.fs.status(path) {
            Ok(status) => status,
            Err(error) => {
                self.unreadable(at, path, &error);
                return None;
            }
        };
        match place {
            Place::Structure if kind == Kind::Dir => {
                if is_part && status.device != self.device || !is_part && self.is_elsewhere(at, path, status) {
                    return None;
                }
                if !is_part {
                    self.look_at_rights(at, path, status);
                }
                self.look_into(at, path, depth + 1);
            }
            Place::Message(state, name) => {
                self.look_at_message(at, state, &name, path, status);
                return (state == State::Ready).then_some(name);
            }
            Place::Archived(_, name) => {
                self.look_at_rights(at, path, status);
                if let Some(Verdict::Damaged(why)) = self.verify(path, Some(name.id)) {
                    self.look_at_damaged(at, None, &name, path, status, &why);
                }
            }
            Place::Quarantined => {
                self.summary.set_aside += 1;
                self.look_at_rights(at, path, status);
            }
            Place::Entry => {
                // With the message, if that is there.
                if status.links == 1 {
                    self.look_at_rights(at, path, status);
                }
                if at.queue.is_left_over(path) {
                    at.keys_left.push(path.to_owned());
                }
            }
            Place::Structure | Place::Temporary | Place::Reason => self.look_at_rights(at, path, status),
            Place::Stray if is_part => {}
            Place::Stray => self.look_at_stray(at, path, status, depth),
        }
        None
    }

    /// Entries of unique keys that are the last names of their files: the messages are gone, and not only just now.
    fn look_at_keys_left(&mut self, at: &mut QueueCheck<'_, F, C>) {
        let left = std::mem::take(&mut at.keys_left);
        if !left.is_empty() {
            std::thread::sleep(MAKING);
        }
        for path in left.into_iter().filter(|path| at.queue.is_left_over(path)) {
            let what = "is the entry of a unique key, or of a group, whose message is gone";
            self.mend(at.finding(FindingKind::KeyLeft, &path, what, "remove it"), |check| {
                at.queue.forget_unless_doubled(&path)?;
                is_gone(&check.spool.fs, &path, "it cannot be removed")
            });
        }
    }

    /// Reads a file as the message `id`; nothing if it has gone.
    pub(super) fn verify(&self, path: &Path, id: Option<MessageId>) -> Option<Verdict> {
        let file = match self.spool.fs.open(path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(Verdict::Unreadable(error)),
        };
        Some(match Opened::new(file).and_then(Opened::check) {
            Ok((message, ..)) if id.is_some_and(|id| id != message.id) => {
                Verdict::Damaged("it has another message's name".to_owned())
            }
            Ok((message, ..)) => Verdict::Whole(Box::new(message)),
            Err(ReadError::Damaged(why)) => Verdict::Damaged(why),
            Err(ReadError::Io(error)) => Verdict::Unreadable(error),
        })
    }

    /// Whether `path` still is the file that was looked at.
    fn is_same(&self, path: &Path, status: Status) -> bool {
        let now = self.spool.fs.status(path);
        now.is_ok_and(|now| (now.device, now.inode) == (status.device, status.inode))
    }

    fn look_at_message(
        &mut self,
        at: &mut QueueCheck<'_, F, C>,
        state: State,
        name: &MessageName,
        path: &Path,
        status: Status,
    ) {
        self.has_linked |= status.links > 1;
        self.look_at_rights(at, path, status);
        match self.verify(path, Some(name.id)) {
            None => {}
            Some(Verdict::Whole(_)) => {
                self.summary.messages += 1;
                at.note_instant(path, name.id.put_at());
            }
            Some(Verdict::Unreadable(error)) => {
                self.summary.messages += 1;
                self.unreadable(at, path, &error);
            }
            Some(Verdict::Damaged(why)) => self.look_at_damaged(at, Some(state), name, path, status, &why),
        }
    }

    /// A claim that lives on a damaged message is not touched: its holder has the bytes that were right, or is about
    /// to set the message aside.
    fn look_at_damaged(
        &mut self,
        at: &QueueCheck<'_, F, C>,
        state: Option<State>,
        name: &MessageName,
        path: &Path,
        status: Status,
        why: &str,
    ) {
        if !self.is_same(path, status) {
            return;
        }
        let what = format!("is damaged: {why}");
        if state.is_some_and(|state| self.is_live(at, state, path)) {
            let remedy = "wait until its claim ends; the next receiver or repair sets it aside";
            return self.tell(at.finding(FindingKind::Damaged, path, what, remedy));
        }
        let finding =
            at.finding(FindingKind::Damaged, path, what, "set it aside in corrupt/, with the reason beside it");
        let durability = at.policy.durability;
        self.mend(finding, |check| {
            // Who claims it meanwhile sets it aside as well.
            let lock = if state == Some(State::Held) { check.spool.fs.open(path, Access::Read).ok() } else { None };
            if lock.as_ref().is_some_and(|file| !file.try_lock().unwrap_or(false)) {
                return Ok(false);
            }
            let aside = Self::moving(&at.queue, durability, || at.queue.set_aside(name, path, why, durability))?;
            Ok(aside.flatten().is_some())
        });
    }

    /// Whether somebody has a claim on the message.
    pub(super) fn is_live(&self, at: &QueueCheck<'_, F, C>, state: State, path: &Path) -> bool {
        match state {
            State::Claimed { until } => !until.is_due(at.queue.now()),
            State::Held => {
                let file = self.spool.fs.open(path, Access::Read);
                file.is_ok_and(|file| !file.try_lock().unwrap_or(false))
            }
            State::Ready | State::Delayed { .. } | State::Waiting { .. } => false,
        }
    }

    fn look_at_stray(&mut self, at: &mut QueueCheck<'_, F, C>, path: &Path, status: Status, depth: usize) {
        let layout = &at.queue.layout;
        let is_among_messages =
            [layout.ready(), layout.delayed(), layout.claimed()].iter().any(|dir| path.starts_with(dir));
        let name = path.file_name().and_then(parse_name);
        if status.kind == Kind::File && is_among_messages {
            match (self.verify(path, name.map(|name| name.id)), name) {
                (None, _) => return,
                (Some(Verdict::Whole(message)), _) => return self.look_at_misplaced(at, path, status, &message, name),
                (Some(Verdict::Damaged(why)), Some(name)) => {
                    return self.look_at_damaged(at, None, &name, path, status, &why);
                }
                (Some(Verdict::Unreadable(error)), _) => return self.unreadable(at, path, &error),
                (Some(Verdict::Damaged(_)), None) => {}
            }
        }
        if !self.is_same(path, status) {
            return;
        }
        self.tell(at.finding(FindingKind::Stray, path, stray_words(status.kind, "the queue"), NOT_OURS));
        let is_ours = status.device == self.device && depth < DEEPEST;
        if status.kind == Kind::Dir && is_among_messages && is_ours {
            self.look_into(at, path, depth + 1);
        }
    }

    /// A message that no receiver finds gets the place that its name says, or a name.
    fn look_at_misplaced(
        &mut self,
        at: &QueueCheck<'_, F, C>,
        path: &Path,
        status: Status,
        message: &Message,
        name: Option<MessageName>,
    ) {
        if !self.is_same(path, status) {
            return;
        }
        let status = match at.queue.without_entries(message.id, path, status) {
            Ok(Some(status)) => status,
            Ok(None) => return,
            Err(_) => status,
        };
        if status.links > 1 && self.is_second_name(at, path, status, message.id) {
            return;
        }
        self.summary.messages += 1;
        let what = "is a whole message where no receiver finds it";
        let (queue, durability) = (&at.queue, at.policy.durability);
        let group = message.group.as_ref().map(Group::hash);
        let state = match message.due {
            _ if group.is_some() => group.map_or(State::Ready, |group| State::Waiting { group }),
            Some(due) if !due.is_due(queue.now()) && name.is_none_or(|name| name.deliveries == 0) => {
                State::Delayed { due }
            }
            _ => State::Ready,
        };
        let remedy = match name {
            Some(name) => {
                let to = queue.layout.path(state, &name);
                format!("move it to {}", to.strip_prefix(queue.layout.dir()).unwrap_or(&to).display())
            }
            None => "give it the next number, and move it to the end of the queue".to_owned(),
        };
        self.mend(at.finding(FindingKind::Misplaced, path, what, remedy), |_| {
            let new_name = || -> Result<MessageName> {
                let seq = queue.take_seq()?;
                Ok(MessageName { seq, priority: message.priority, id: message.id, deliveries: 0 })
            };
            let mut to = match name {
                Some(name) => name,
                None => new_name()?,
            };
            if let Some(group) = group {
                drop(queue.open_shard(EntryOf::Group, group)?);
            }
            let moved = Self::moving(queue, durability, || {
                loop {
                    match queue.transfer(&to, path, &queue.layout.path(state, &to), durability) {
                        // Its place is taken, by a copy of it.
                        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                            to.seq = new_name()?.seq;
                        }
                        other => return other,
                    }
                }
            })?;
            if moved == Some(Moved::Yes) && state == State::Ready {
                queue.ring(1);
            }
            if let Some(group) = group {
                queue.note_turn(group);
                queue.give_turns(&at.policy);
            }
            Ok(moved == Some(Moved::Yes))
        });
    }

    /// Whether the file, which lies where no receiver finds it, is found by them under another name: who brought it there
    /// died half way, or left it so by hand. Then it is told.
    fn is_second_name(&mut self, at: &QueueCheck<'_, F, C>, path: &Path, status: Status, id: MessageId) -> bool {
        let placed = self.lock_moves_for_a_look().and_then(|_lock| self.placed_name(at, path, status, id));
        let place = match placed {
            Ok(Some(place)) => place,
            Ok(None) => return false,
            Err(error) => {
                let what = format!("cannot be compared with other names: {}", crate::store::chain(&error));
                let remedy = "look at the disk, and at what the kernel says of it";
                self.tell(at.finding(FindingKind::Unreadable, path, what, remedy));
                return true;
            }
        };
        let what = format!("is a second name of the message {}", place.display());
        self.mend(at.finding(FindingKind::TwoNames, path, what, "remove this name"), |check| {
            let lock = at.queue.lock_moves()?;
            let Some(place) = check.placed_name(at, path, status, id)? else { return Ok(false) };
            at.queue.remove_second_name(&place, path, lock.as_ref()).map(|()| true)
        });
        true
    }

    /// Another name of the file at `path`, in any queue, under which receivers find it as the message `id`.
    fn placed_name(
        &self,
        at: &QueueCheck<'_, F, C>,
        path: &Path,
        status: Status,
        id: MessageId,
    ) -> Result<Option<PathBuf>> {
        if !self.is_same(path, status) {
            return Ok(None);
        }
        let others = at.queue.other_names(id, &[], path, status)?;
        Ok(others.into_iter().find(|other| self.is_placed(other, id)))
    }

    /// Whether receivers find a file of this path as the message `id`.
    fn is_placed(&self, path: &Path, id: MessageId) -> bool {
        let root = &self.spool.root;
        let Ok(inside) = path.strip_prefix(root) else { return false };
        let Some(queue) = inside.iter().next().filter(|queue| is_queue_name(queue)) else { return false };
        let in_queue = inside.strip_prefix(queue).unwrap_or(inside);
        let is_message = matches!(classify(in_queue, Kind::File), Place::Message(_, name) if name.id == id);
        is_message && self.spool.is_queue(&root.join(queue))
    }

    /// Messages of one leaf whose numbers are equal. Their order is told by their ids, which is that of their puts, so
    /// nothing is done; but a counter has been set back.
    fn look_for_same_numbers(&mut self, at: &QueueCheck<'_, F, C>, leaf: &Path, mut names: Vec<MessageName>) {
        names.sort_unstable();
        for pair in names.windows(2) {
            let (one, other) = (&pair[0], &pair[1]);
            if (one.seq, one.priority) != (other.seq, other.priority) || one.id == other.id {
                continue;
            }
            let path = leaf.join(other.to_string());
            let fs = &self.spool.fs;
            if fs.status(&leaf.join(one.to_string())).is_ok() && fs.status(&path).is_ok() {
                let what = format!("has the sequence number of message {}: the counter was set back once", one.id);
                let remedy = "nothing: the one that was put first is delivered first";
                self.tell(at.finding(FindingKind::SameNumber, &path, what, remedy));
            }
        }
    }

    /// Looks for temporaries whose writers are gone, by the rules of the sweep.
    pub(super) fn look_at_temporaries(&mut self, at: &QueueCheck<'_, F, C>) {
        let tmp = at.queue.layout.tmp();
        let scanned = self.spool.fs.scan(&tmp, &mut |name, kind| {
            let path = tmp.join(name);
            let id = name.to_str().and_then(|name| name.parse().ok());
            match id.filter(|_| kind != Kind::Other) {
                Some(id) => self.look_at_temporary(at, id, &path, kind),
                None if self.spool.fs.status(&path).is_ok() => {
                    self.tell(at.finding(FindingKind::Stray, &path, stray_words(kind, "the queue"), NOT_OURS));
                }
                None => {}
            }
            ControlFlow::Continue(())
        });
        match scanned {
            // Told as a part that is missing, or is something else.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.unreadable(at, &tmp, &error),
            _ => {}
        }
    }

    /// Whether a temporary has lost its writer. Its lock is had for a moment, and in the roll-forward order under that of
    /// the counter: who rolls forward passes over what is locked, and it would come out behind what was put after it (I8).
    fn is_left_behind(&self, at: &QueueCheck<'_, F, C>, path: &Path, file: &F::File) -> bool {
        let queue = &at.queue;
        if !queue.is_old(path) {
            return false;
        }
        let counter = match self.spool.order() {
            Order::RollForward => queue.fs().open(&queue.layout.state(), Access::Read).ok(),
            Order::Classical => None,
        };
        // What cannot be locked is told with the parts.
        let _ = counter.as_ref().map(FileHandle::lock);
        let is_orphan = is_orphan(file);
        let _ = file.unlock();
        is_orphan
    }

    fn look_at_temporary(&mut self, at: &QueueCheck<'_, F, C>, id: MessageId, path: &Path, kind: Kind) {
        let (fs, queue) = (&self.spool.fs, &at.queue);
        let opened = if kind == Kind::Dir { fs.open_dir(path) } else { fs.open(path, Access::Read) };
        let file = match opened {
            Ok(file) => file,
            Err(error) => return self.unreadable(at, path, &error),
        };
        if !self.is_left_behind(at, path, &file) {
            self.summary.temporaries += 1;
            return;
        }
        if let Err(error) = fs.status(path) {
            return self.unreadable(at, path, &error);
        }
        let finding = |what: &str, remedy: &str| at.finding(FindingKind::OrphanTemporary, path, what, remedy);
        if kind == Kind::Dir {
            drop(file);
            let finding = finding("is a batch whose writer died before any of it was promised", "remove it");
            return self.mend(finding, |_| {
                queue.remove_orphaned_dir(path);
                is_gone(fs, path, "it holds what cannot be removed")
            });
        }
        let file = Arc::new(file);
        let read = Opened::<F::File>::new(Arc::clone(&file)).and_then(Opened::check);
        // It was read without its lock: what was told of it may be half of what its writer, who was only slow, wrote.
        let is_as_it_was = || -> io::Result<bool> {
            let (here, there) = (file.status()?, fs.status(path)?);
            Ok((here.device, here.inode) == (there.device, there.inode))
        };
        match is_as_it_was() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.unreadable(at, path, &error),
        }
        if !self.is_left_behind(at, path, &file) {
            self.summary.temporaries += 1;
            return;
        }
        let finding = match read {
            Err(ReadError::Io(error)) => return self.unreadable(at, path, &error),
            Ok((message, ..)) if message.id != id => {
                finding("is a body that an edit has replaced, or was about to put in its place", "remove it")
            }
            Ok(_) if self.spool.order() == Order::RollForward => {
                finding("is a whole message whose writer died before it had its place", "publish it")
            }
            Ok(_) if self.spool.names() == Names::Unknown => {
                let remedy = "wait for an mq that can tell the file system, and knows whether it was promised";
                return self.tell(finding("is a whole message whose writer died before it had its place", remedy));
            }
            Ok(_) => finding("is a message whose writer died before it was promised", "remove it"),
            Err(ReadError::Damaged(_)) => finding("is half a message, whose writer died", "remove it"),
        };
        self.mend(finding, |_| {
            queue.sweep_this(id, path, &at.policy, false)?;
            is_gone(fs, path, "its writer lives after all, or it cannot be read or removed")
        });
    }
}
