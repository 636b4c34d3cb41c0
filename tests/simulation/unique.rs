//! Unique keys: what is done, and what the books say of it.
//!
//! Of two messages of one key, the second of which was begun when the put of the first had ended, in whatever way, and
//! which was put and not found to be there, the first was gone for good: it may not come out of the queue any more. And
//! whoever was first: there are never two of one key in a queue, whichever way they came there. What was said to be there is
//! as good as acknowledged, and is in that queue.

use std::path::Path;
use std::time::Duration;

use mq::domain::{MessageId, MessageName, NewMessage, Priority, Unique};
use mq::store::{Store as _, UniquePut};

use super::groups::group_of;
use super::ledger::{Entry, Fate, Ledger, Moment, Verdict};
use super::operations::{Actor, OTHER, QUEUE, ROOT, number_of, queue};
use super::world::{Pid, World};

impl Actor {
    pub fn put_unique(&self, key: u8, window_s: u64, delay_s: u64, group: Option<u8>) {
        let (number, body) = self.open_entry(delay_s, Priority::default(), 0, true, false);
        let began_ms = self.with(|world| {
            let now_ms = world.disk.now_ms;
            let until_ms = (window_s > 0).then(|| (now_ms + window_s * 1000, u64::MAX));
            world.ledger.entries[number].key = Some((key, until_ms));
            world.ledger.entries[number].group = group;
            now_ms
        });
        let new = NewMessage {
            attributes: number_of(number),
            media_type: Some("text/plain".parse().expect("a type")),
            reply_to: Some(queue(OTHER)),
            delay: Some(Duration::from_secs(delay_s)),
            group: group.map(group_of),
            ..NewMessage::default()
        };
        let unique = Unique {
            key: format!("key {key}").parse().expect("a key"),
            window: (window_s > 0).then(|| Duration::from_secs(window_s)),
        };
        let result =
            self.spool().and_then(|spool| spool.put_unique(&queue(QUEUE), &new, &unique, &mut body.as_slice()));
        if !self.with(|world| world.is_alive(self.pid)) {
            return;
        }
        match result {
            Ok(put) if self.lives_to_say() => {
                self.hold_to(|world| {
                    world.tell(Some(self.pid), || format!("message {number}: {put:?}"));
                    match put {
                        UniquePut::New(id) => {
                            world.ledger.acknowledge(number, id);
                            world.check_window(number)
                        }
                        UniquePut::Present(id) => {
                            world.ledger.said_to_be_there.push(id);
                            world.check_present(self.pid, number, id, began_ms)
                        }
                    }
                });
            }
            Ok(_) => {}
            Err(error) => self.say::<()>(Err(error), "put"),
        }
        self.with(|world| world.ledger.end_puts(world.disk.now_ms, |entry| entry.pid == self.pid));
    }
}

impl World {
    /// A message was put: no window of its key was open all the while.
    fn check_window(&self, number: usize) -> Verdict {
        let entries = &self.ledger.entries;
        let (began, key) = (entries[number].began, entries[number].key.map(|(key, _)| key));
        let now_ms = self.disk.now_ms;
        // (On a full disk a window ends with its message.)
        if self.counts.errors > 0 || !self.promises_keys() {
            return Ok(());
        }
        for (first, entry) in entries.iter().enumerate().filter(|(first, _)| *first != number) {
            let is_open =
                entry.key.is_some_and(|(its, until)| Some(its) == key && until.is_some_and(|(at, _)| at > now_ms));
            if is_open && entry.acknowledged.is_some_and(|moment| moment < began) {
                return Err(format!("unique: message {number} was put in the window of message {first}"));
            }
        }
        Ok(())
    }

    /// Whether keys are promised: not where the file system cannot be told, nor by what a power cut has taken before it was
    /// synced.
    pub fn promises_keys(&self) -> bool {
        !(self.is_unknown || self.ledger.is_unsynced && self.counts.cuts > 0)
    }

    /// Nothing was put, for there is another: that was not gone before.
    fn check_present(&self, pid: Pid, number: usize, id: MessageId, began_ms: u64) -> Verdict {
        if !self.promises_keys() {
            return Ok(());
        }
        let entries = &self.ledger.entries;
        let (began, key) = (entries[number].began, entries[number].key.map(|(key, _)| key));
        let Some((first, entry)) = entries.iter().enumerate().find(|(_, entry)| entry.id == Some(id)) else {
            return Ok(());
        };
        if entry.key.map(|(key, _)| key) != key {
            return Err(format!("unique: message {first}, which is said to be there, has another key"));
        }
        let is_over = match (entry.key, entry.fate) {
            (Some((_, Some((_, latest_ms)))), _) => latest_ms < began_ms,
            (_, Fate::Deleted(moment, count)) => moment < began && count != u32::MAX,
            _ => false,
        };
        if is_over {
            return Err(format!("unique: message {first} is said to be there, and was gone"));
        }
        // A window says nothing of where its message is.
        let is_plain = matches!(entry.key, Some((_, None)));
        if is_plain && self.was_alone_alive(pid) && !self.has_name_in(QUEUE, id) {
            return Err(format!("unique: message {first} is said to be there, and is in another queue"));
        }
        Ok(())
    }

    /// Whether a message has a name in a queue, where messages live.
    fn has_name_in(&self, queue: &str, id: MessageId) -> bool {
        let mut todo =
            ["ready", "delayed", "claimed", "groups"].map(|part| Path::new(ROOT).join(queue).join(part)).to_vec();
        while let Some(path) = todo.pop() {
            let Some(names) = self.disk.find(&path).ok().and_then(|ino| self.disk.dir(ino).ok()) else { continue };
            for name in names.keys() {
                if name.parse::<MessageName>().is_ok_and(|name| name.id == id) {
                    return true;
                }
                todo.push(path.join(&**name));
            }
        }
        false
    }
}

impl Ledger {
    /// Notes that puts have ended now, if they had not before.
    pub fn end_puts(&mut self, now_ms: u64, whose: impl Fn(&Entry) -> bool) {
        let moment: Moment = self.moment();
        for entry in self.entries.iter_mut().filter(|entry| entry.put_ended.is_none() && whose(entry)) {
            entry.put_ended = Some(moment);
            if let Some((_, Some((earliest_ms, latest_ms)))) = &mut entry.key {
                // Both are known from the window; it is rounded up to a second.
                *latest_ms = now_ms + (*earliest_ms - entry.began_ms) + 1000;
            }
        }
    }

    /// When all is drained: no two messages of one key, and all that was said to be there was.
    pub fn check_keys(&self) -> Verdict {
        // A window says nothing of what is there when it has passed.
        let keyed = || {
            let plain = |entry: &Entry| entry.key.and_then(|(key, until)| until.is_none().then_some(key));
            self.entries.iter().enumerate().filter_map(move |(number, entry)| Some((number, entry, plain(entry)?)))
        };
        for (first, one, key) in keyed().filter(|(_, one, _)| one.drained.is_some()) {
            // What is to be taken away has lost its key already, and what has left the queue has none there.
            let has_its_key = |entry: &Entry| entry.fate == Fate::Kept && entry.drained_at_home;
            if !has_its_key(one) {
                continue;
            }
            if let Some((second, ..)) = keyed().find(|(second, other, its)| {
                *its == key && *second != first && other.drained.is_some() && has_its_key(other)
            }) {
                return Err(format!("unique: messages {first} and {second} were there at once"));
            }
            let is_second = |other: &Entry| {
                let is_of_the_key = other.key.is_some_and(|(its, _)| its == key);
                let was_there = !one.was_moved && one.put_ended.is_some_and(|ended| ended < other.began);
                is_of_the_key && other.acknowledged.is_some() && was_there
            };
            if let Some(second) = self.entries.iter().position(is_second) {
                return Err(format!("unique: message {second} was put while message {first} was there"));
            }
        }
        for id in &self.said_to_be_there {
            if !self.swept_off && !self.entries.iter().any(|entry| entry.id == Some(*id)) {
                return Err(format!("I1: message {id} was said to be there, and is lost"));
            }
        }
        Ok(())
    }
}
