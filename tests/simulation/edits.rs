//! Edits: what is done, and what the books say of bodies.
//!
//! A message has one body after the other. From when an edit was acknowledged on, nobody who begins then is delivered one
//! from before it; one that was refused is never delivered.

use std::io::ErrorKind;

use mq::domain::MessageId;
use mq::store::{Error, Store as _, Uneditable};

use super::ledger::{Entry, Ledger, Moment, Verdict};
use super::operations::{Actor, QUEUE, queue};

/// A body that a message was given.
#[derive(Debug, Clone)]
pub struct Version {
    pub body: Vec<u8>,
    /// When somebody began to give it.
    pub began: Moment,
    /// When that ended, one way or the other.
    pub ended: Option<Moment>,
    pub fate: Given,
}

/// What was heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Nothing, or an error that leaves it open.
    Perhaps,
    Acknowledged,
    Refused,
}

impl Actor {
    pub fn edit(&self, which: usize) {
        let Some((number, id)) = self.pick_id(which) else { return };
        let (at, was_there) = self.with(|world| {
            let was_there = world.is_surely_editable(number);
            (world.ledger.begin_edit(number), was_there)
        });
        let body = self.with(|world| world.ledger.entries[number].versions[at].body.clone());
        let result = self.by_receipt(|spool| {
            spool.edit(&queue(QUEUE), id, &mut |_| Some(Box::new(std::io::Cursor::new(body.clone()))))
        });
        if !self.with(|world| world.is_alive(self.pid)) {
            return;
        }
        let is_refused = matches!(&result, Err(Error::NotEdited { .. } | Error::NoSuchMessage { .. }));
        if (result.is_ok() || is_refused) && !self.lives_to_say() {
            return;
        }
        self.hold_to(|world| {
            world.tell(Some(self.pid), || format!("message {number} is edited: {result:?}"));
            let given = match &result {
                Ok(_) => Given::Acknowledged,
                Err(_) if is_refused => Given::Refused,
                Err(_) => Given::Perhaps,
            };
            world.ledger.end_edit(number, at, given);
            // (The ledger gives a time to live a second more than its sender did.)
            let now_ms = world.disk.now_ms;
            let is_old = world.ledger.entries[number].expires_ms.is_some_and(|at| at <= now_ms + 1000);
            let is_told_so = matches!(&result, Err(Error::NotEdited { why: Uneditable::Expired, .. }));
            if is_told_so && !is_old {
                return Err(format!("I1: message {number} is not too old, and could not be edited: {result:?}"));
            }
            // (It may have become too old meanwhile.)
            if is_refused && !is_told_so && was_there && world.is_surely_editable(number) && world.was_alone(self.pid) {
                return Err(format!("I1: message {number} is there, and could not be edited: {result:?}"));
            }
            Ok(())
        });
        // One that is damaged cannot be shown; and without a lock of the moves there has to be an exchange.
        let failed = if let Err(Error::Io { source, .. }) = &result { Some(source.kind()) } else { None };
        let is_right = self.with(|world| match failed {
            Some(ErrorKind::InvalidData) => world.ledger.may_be_damaged,
            Some(ErrorKind::Unsupported) => world.ledger.is_unsynced && !world.can_exchange,
            _ => false,
        });
        if !is_right {
            self.say(result, "edit");
        }
    }

    fn pick_id(&self, which: usize) -> Option<(usize, MessageId)> {
        self.with(|world| {
            let put = world.ledger.entries.iter().enumerate().rev().filter(|(_, entry)| entry.acknowledged.is_some());
            let (number, entry) = put.clone().nth(which).or_else(|| put.clone().next())?;
            Some((number, entry.id?))
        })
    }
}

impl super::world::World {
    fn is_surely_editable(&self, number: usize) -> bool {
        let entry = &self.ledger.entries[number];
        self.all_is_heard_of()
            && !self.ledger.counts_restart
            && !self.ledger.may_be_damaged
            && self.is_surely_ready(entry)
            && entry.key.is_none()
            && entry.group.is_none()
    }
}

impl Ledger {
    fn begin_edit(&mut self, number: usize) -> usize {
        let began = self.moment();
        let at = self.entries[number].versions.len();
        let body = format!("message {number}, edit {at} {}", "y".repeat(30 + at)).into_bytes();
        self.know(body.clone(), number);
        let version = Version { body, began, ended: None, fate: Given::Perhaps };
        self.entries[number].versions.push(version);
        at
    }

    fn end_edit(&mut self, number: usize, at: usize, given: Given) {
        let moment = self.moment();
        let version = &mut self.entries[number].versions[at];
        (version.ended, version.fate) = (Some(moment), given);
    }

    fn is_refused(&self, body: &[u8]) -> bool {
        let is_it = |version: &Version| version.body == body && version.fate == Given::Refused;
        self.number_of(body).is_ok_and(|owner| self.entries[owner].versions.iter().any(is_it))
    }

    /// A message was delivered with this body to one who began to look for it at that moment.
    pub fn check_version(&self, number: usize, body: &[u8], began: Moment) -> Verdict {
        let entry: &Entry = &self.entries[number];
        let given = entry.versions.iter().find(|version| version.body == body);
        if given.is_some_and(|version| version.fate == Given::Refused) {
            return Err(format!("I3: message {number} was delivered with a body that was refused"));
        }
        // A copy begins with what its message was edited to.
        if let (None, Some(_)) = (given, entry.copied)
            && self.is_refused(body)
        {
            return Err(format!("I3: message {number} was put again with a body that was refused"));
        }
        // A power cut takes back what nobody has synced.
        if self.is_unsynced && self.has_lost_power() || !entry.is_durable && self.has_lost_power() {
            return Ok(());
        }
        let is_over = |other: &Version| {
            let is_later = given.is_none_or(|version| version.ended.is_some_and(|ended| ended < other.began));
            is_later && other.fate == Given::Acknowledged && other.ended.is_some_and(|ended| ended < began)
        };
        match entry.versions.iter().position(is_over) {
            Some(at) => Err(format!("edit: message {number} was delivered with a body from before its edit {at}")),
            None => Ok(()),
        }
    }
}
