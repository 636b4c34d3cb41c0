//! Replays: what is done, and what the books say of the copies.
//!
//! What a replay puts has the body of a message that was deleted, so no body tells one from the other. But all that makes an
//! id what no other is was drawn by its maker, at a time that is known: an entry is opened for each message that a replay may
//! put next, and whoever has an id that was drawn for it is that message, and no other has. It is held to all that holds of
//! what is put, from when the replay has told of it; it is there once; and the message that it is a copy of is not, nor was
//! it for sure when it was put again.

use std::ops::ControlFlow;

use mq::domain::{MessageId, Priority};
use mq::store::{Error, Filter, Store as _};

use super::disk::Node;
use super::ledger::{Entry, Fate, Ledger, Moment, Verdict};
use super::operations::{Actor, QUEUE, queue};
use super::world::{Pid, World};

/// What an entry is of that a replay, and no sender, has opened.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// When the replay began.
    replay: Moment,
    /// The only message that was to be put again, if not all were: the one that a sender has put.
    meant: Option<usize>,
    /// What a sender has put that this is a copy of, or the copy of a copy: known when it was met.
    of: Option<usize>,
    /// The replay has ended, and told of no such message.
    is_none: bool,
}

impl Actor {
    /// Puts what is archived again, or one of it, and breaks it off after so many.
    pub fn replay(&self, which: Option<usize>, most: u64) {
        let meant = match which.map(|which| self.pick_deleted(which)) {
            Some(None) => return,
            meant => meant.flatten(),
        };
        let ids = meant.iter().map(|(_, id)| *id).collect();
        let (replay, sure) = self.with(|world| {
            let sure = world.ledger.surely_archived(meant.map(|(number, _)| number));
            (world.ledger.moment(), sure.min(most))
        });
        let meant = meant.map(|(number, _)| self.with(|world| world.ledger.put_as(number)));
        let open = || {
            let (number, _) = self.open_entry(0, Priority::default(), 0, true, false);
            self.with(|world| {
                world.ledger.entries[number].copied = Some(Copied { replay, meant, of: None, is_none: false });
                world.ledger.replaying.insert(self.pid, number);
            });
        };
        open();
        let mut told = 0;
        let result = self.by_receipt(|spool| {
            spool.replay(&queue(QUEUE), &Filter { ids, ..Filter::default() }, &mut || {
                if !self.lives_to_say() {
                    return ControlFlow::Break(());
                }
                told += 1;
                self.hold_to(|world| world.was_put_again(self.pid));
                open();
                if told < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        });
        self.hold_to(|world| {
            let last = world.ledger.replaying.remove(&self.pid);
            let Some(count) = result.as_ref().ok().filter(|_| world.is_alive(self.pid)) else { return Ok(()) };
            world.tell(Some(self.pid), || format!("{count} messages are put again"));
            if let Some(copied) = last.and_then(|number| world.ledger.entries[number].copied.as_mut()) {
                copied.is_none = true;
            }
            if *count != told {
                return Err(format!("I9: {count} messages are said to be put again, and {told} were told of"));
            }
            if *count < sure && world.was_alone(self.pid) && world.all_is_heard_of() {
                return Err(format!("replay: {count} messages were put again, and {sure} are archived"));
            }
            Ok(())
        });
        // What is damaged keeps none of the others, and is told.
        let is_damaged =
            matches!(&result, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidData);
        if !(is_damaged && self.with(|world| world.ledger.may_be_damaged)) {
            self.say(result, "replay");
        }
    }

    /// One of those that may be deleted, the last one first; if there is none, one that is not.
    fn pick_deleted(&self, which: usize) -> Option<(usize, MessageId)> {
        self.with(|world| {
            let known = world.ledger.entries.iter().enumerate().rev().filter_map(|(at, entry)| Some((at, entry.id?)));
            let gone = known.clone().filter(|(at, _)| world.ledger.entries[*at].fate != Fate::Kept);
            gone.clone().nth(which).or_else(|| gone.clone().next()).or_else(|| known.clone().next())
        })
    }
}

impl World {
    /// A replay says that it has put a message again.
    fn was_put_again(&mut self, pid: Pid) -> Verdict {
        let Some(number) = self.ledger.replaying.get(&pid).copied() else { return Ok(()) };
        let is_it = |id: &MessageId| self.ledger.drawn.get(&id.random()) == Some(&number);
        let put = self.disk.inodes.iter().rev().find_map(|inode| match &inode.node {
            Node::File(content) => message_in(&content.bytes).filter(|(id, _)| is_it(id)),
            _ => None,
        });
        let Some((id, body)) = put.map(|(id, body)| (id, body.to_vec())) else {
            return Err("I9: a replay told of a message that it has not put".to_owned());
        };
        self.tell(Some(pid), || format!("message {number} is put: {id}, which is a copy"));
        self.ledger.entry_of(&body, id)?;
        self.ledger.acknowledge(number, id);
        Ok(())
    }
}

/// The id and the body of a message's file.
fn message_in(bytes: &[u8]) -> Option<(MessageId, &[u8])> {
    const KEY: &[u8] = br#""id":""#;
    // (Nothing else is that long before its first newline, and the key comes first of all that has no fixed length.)
    let at = bytes.get(..120).or(Some(bytes))?.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let id = std::str::from_utf8(bytes.get(at..at + 36)?).ok()?.parse().ok()?;
    let body = at + bytes[at..].iter().position(|byte| *byte == b'\n')? + 1;
    let rest = &bytes[body..];
    // A copy that was claimed and given back meanwhile has a delivery log behind its body, which has no newline.
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    Some((id, &rest[..end]))
}

impl Ledger {
    /// Bytes were drawn that can become an id.
    pub fn note_drawn(&mut self, pid: Pid, random: &[u8; 10]) {
        if let Some(number) = self.replaying.get(&pid) {
            self.drawn.insert(MessageId::new(mq::domain::UnixMillis(0), random).random(), *number);
        }
    }

    /// The message that some sender has put, and this is, or is a copy of.
    pub fn put_as(&self, number: usize) -> usize {
        self.entries[number].copied.and_then(|copied| copied.of).unwrap_or(number)
    }

    /// The entry of a message that is met.
    pub fn entry_of(&mut self, body: &[u8], id: MessageId) -> Result<usize, String> {
        let owner = self.number_of(body)?;
        let Some(number) = self.drawn.get(&id.random()).copied() else { return Ok(owner) };
        let of = self.put_as(owner);
        let Some(copied) = self.entries[number].copied.as_mut() else { return Ok(owner) };
        if copied.is_none {
            return Err(format!("I9: message {number} was put again, and the replay did not tell"));
        }
        if copied.of.replace(of).is_some_and(|known| known != of) {
            return Err(format!("I3: message {number} is a copy of message {of} and of another"));
        }
        if copied.meant.is_some_and(|meant| meant != of) {
            return Err(format!("replay: message {of} was put again, and another was meant"));
        }
        let copied = *copied;
        if self.entries[number].id.is_none() {
            self.entries[number].id = Some(id);
            self.inherit(number, of, body);
            self.check_versions_of_owner(number, owner, body)?;
            self.check_copies(copied.replay, of)?;
        }
        Ok(number)
    }

    /// What a copy has of the message.
    fn inherit(&mut self, number: usize, of: usize, body: &[u8]) {
        let Entry { priority, group, expires_ms, began_ms, .. } = self.entries[of];
        let copy = &mut self.entries[number];
        (copy.priority, copy.group, copy.body) = (priority, group, body.to_vec());
        // As long to live, and from now on.
        copy.expires_ms = expires_ms.map(|at| at - began_ms + copy.began_ms);
    }

    /// What was put again is what was deleted, and nothing from before an edit. (A power cut can bring back what was deleted
    /// and not told, and then it can be edited.)
    fn check_versions_of_owner(&self, number: usize, owner: usize, body: &[u8]) -> Verdict {
        let has_changed = owner == number || self.has_lost_power();
        if has_changed { Ok(()) } else { self.check_version(owner, body, self.entries[number].began) }
    }

    /// No replay puts more of a message than were deleted of it and of its copies.
    fn check_copies(&self, replay: Moment, of: usize) -> Verdict {
        let is_new = |entry: &Entry| entry.copied.is_some_and(|copied| copied.replay == replay);
        let all = || (0..self.entries.len()).filter(|number| self.put_as(*number) == of).map(|at| &self.entries[at]);
        let copies = all().filter(|entry| is_new(entry) && entry.id.is_some()).count();
        let deleted = all().filter(|entry| !is_new(entry) && entry.fate != Fate::Kept).count();
        if copies <= deleted {
            return Ok(());
        }
        Err(format!("I2: one replay put {copies} copies of message {of}, of which {deleted} may be deleted"))
    }

    /// A message is met by somebody who began to look at that moment: if it was put again by then, it was gone for good. (Not if
    /// the power went since: who deleted it may not have come to say so.)
    pub fn check_original(&self, number: usize, began: Moment) -> Verdict {
        let is_copy = |entry: &&Entry| entry.copied.is_some_and(|copied| copied.of == Some(number));
        let mut copies = self.entries.iter().filter(is_copy).filter(|entry| entry.id.is_some());
        if copies.clone().any(|copy| copy.began < self.cuts()) {
            return Ok(());
        }
        if copies.any(|copy| copy.acknowledged.is_some_and(|moment| moment < began)) {
            return Err(format!("I2: message {number} was put again, and is there itself"));
        }
        Ok(())
    }

    /// The same when all is drained, of copies too that nobody has told of.
    pub fn check_originals(&self) -> Verdict {
        for (number, copy) in self.entries.iter().enumerate() {
            let Some(of) = copy.copied.and_then(|copied| copied.of) else { continue };
            let copies = self.entries.iter().filter(|other| other.copied.is_some_and(|copied| copied.of == Some(of)));
            let is_before_a_cut = copies.into_iter().any(|other| other.began < self.cuts());
            if self.entries[of].drained.is_some() && !is_before_a_cut {
                return Err(format!("I2: message {of} was there, and was put again as message {number}"));
            }
        }
        Ok(())
    }

    /// Whether there may be something in the archive.
    pub fn may_be_archived(&self) -> bool {
        let has_archive = self.keeps_archive || self.forgets_archive;
        has_archive && self.entries.iter().any(|entry| entry.fate != Fate::Kept)
    }

    /// How many messages are in the archive for sure, of all or of one. (A delete on a full disk removes.)
    fn surely_archived(&self, meant: Option<usize>) -> u64 {
        let is_kept = self.keeps_archive && !self.swept_off && !self.purged_one && !self.may_be_away;
        let is_archived = |(number, entry): &(usize, &Entry)| {
            let is_deleted = matches!(entry.fate, Fate::Deleted(..));
            meant.is_none_or(|meant| meant == *number) && is_deleted && !entry.was_moved && is_kept
        };
        self.entries.iter().enumerate().filter(is_archived).count() as u64
    }
}
