//! Looking without touching: peek, list, stat.
//!
//! Nothing is claimed and no delivery is counted. The sweep is run first, so that what is shown is what a
//! receiver would find; where that is not possible (a spool that can only be read) it is shown as it lies.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::Queue;
use super::fs::{Access, Fs, Kind};
use super::layout::{Place, TMP, classify, parse_name};
use super::record::{Opened, ReadError, read_log};
use super::sweep::Thoroughness;
use crate::domain::lifecycle::{self, State};
use crate::domain::{Attributes, Clock, MessageName, Policy, archive};
use crate::store::{At, Error, Filter, Listed, Message, Numbers, Peeked, Result, Stat, Which};

/// Who is shown a message file.
type Shown<'a> = dyn FnMut(State, &MessageName, &Path) -> ControlFlow<()> + 'a;

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn sweep_first(&self) -> Result<Policy> {
        let policy = self.policy()?;
        let _ = self.sweep(Thoroughness::Usual, &policy);
        Ok(policy)
    }

    pub(super) fn peek(&self, which: Which, each: &mut dyn FnMut(Peeked) -> ControlFlow<()>) -> Result<()> {
        let policy = self.sweep_first()?;
        let most = match which {
            Which::Next(most) => most,
            Which::All => return self.peek_all(each),
            Which::Id(id) => {
                let missing = || Error::NoSuchMessage { queue: self.name.clone(), id };
                let (state, name, path) = self.find(id)?.ok_or_else(missing)?;
                let peeked = self.peek_one(state, &name, &path)?.ok_or_else(missing)?;
                let _ = each(peeked);
                return Ok(());
            }
        };
        let mut shown = 0;
        if most == 0 {
            return Ok(());
        }
        let unread = self.visit_ready(false, &mut |name, path| {
            // A damaged one is for get to set aside: a look changes nothing.
            let Ok(Some(peeked)) = self.peek_one(State::Ready, &name, path) else {
                return Ok(ControlFlow::Continue(()));
            };
            let facts = peeked.listed.message.facts(name.deliveries, &peeked.listed.failures);
            if lifecycle::is_expired(facts, &policy, self.now()) {
                return Ok(ControlFlow::Continue(()));
            }
            shown += 1;
            let flow = each(peeked);
            Ok(if shown >= most { ControlFlow::Break(()) } else { flow })
        })?;
        unread.map_or(Ok(()), Err)
    }

    /// Every message once. What is claimed is looked at before and after the rest, lest one that comes back or is claimed
    /// meanwhile is overlooked. What cannot be read is left out, and the first of it is the error in the end.
    fn peek_all(&self, each: &mut dyn FnMut(Peeked) -> ControlFlow<()>) -> Result<()> {
        let mut shown = HashSet::new();
        let mut unread = None;
        let mut show = |state, name: &MessageName, path: &Path| match self.peek_one(state, name, path) {
            Ok(Some(peeked)) if shown.insert(name.id) => each(peeked),
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                unread.get_or_insert(error);
                ControlFlow::Continue(())
            }
        };
        let mut flow = self.each_claimed(&mut show)?;
        if flow.is_continue() {
            for due in self.seconds_in(&self.layout.delayed())? {
                let dir = self.layout.delayed().join(due.0.to_string());
                flow = self.each_in_order(State::Delayed { due }, &dir, &mut show)?;
                if flow.is_break() {
                    break;
                }
            }
        }
        let mut hidden = Vec::new();
        if flow.is_continue() {
            flow = self.peek_ready(&mut show, &mut hidden)?;
        }
        let mut has_waiting = false;
        if flow.is_continue() {
            let (waiting, in_lines) = self.visit_lines(&mut |state, name, path| {
                has_waiting = true;
                Ok(show(state, &name, path))
            })?;
            flow = waiting;
            hidden.extend(in_lines);
        }
        if flow.is_continue() && has_waiting {
            // One of them may have had its turn before it was come to.
            flow = self.peek_ready(&mut show, &mut hidden)?;
        }
        if flow.is_continue() {
            flow = self.each_claimed(&mut show)?;
        }
        match unread.or_else(|| hidden.into_iter().next()) {
            Some(error) if flow.is_continue() => Err(error),
            _ => Ok(()),
        }
    }

    fn peek_ready(&self, show: &mut Shown<'_>, hidden: &mut Vec<Error>) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        hidden.extend(self.visit_ready(false, &mut |name, path| {
            flow = show(State::Ready, &name, path);
            Ok(flow)
        })?);
        Ok(flow)
    }

    pub(super) fn each_claimed(&self, show: &mut Shown<'_>) -> Result<ControlFlow<()>> {
        let mut dirs = vec![(State::Held, self.layout.held())];
        for until in self.seconds_in(&self.layout.claimed())? {
            dirs.push((State::Claimed { until }, self.layout.claimed().join(until.0.to_string())));
        }
        for (state, dir) in dirs {
            if self.each_in_order(state, &dir, show)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The messages of a directory in the order of their numbers.
    fn each_in_order(&self, state: State, dir: &Path, show: &mut Shown<'_>) -> Result<ControlFlow<()>> {
        let mut found = Vec::new();
        self.scan_messages(dir, &mut |name, path| {
            found.push((name, path));
            ControlFlow::Continue(())
        })?;
        found.sort_unstable();
        Ok(found.iter().try_for_each(|(name, path)| show(state, name, path)))
    }

    /// `None` if the message has gone meanwhile.
    pub(super) fn peek_one(&self, state: State, name: &MessageName, path: &Path) -> Result<Option<Peeked>> {
        let file = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("open", path)?,
        };
        let (message, body, file, place) = Opened::new(file).and_then(Opened::check).map_err(|error| error.at(path))?;
        let failures = if place.has_log { read_log(&*file, place).at("read", path)? } else { Vec::new() };
        Ok(Some(Peeked {
            listed: Listed { message, state, deliveries: name.deliveries, failures, unread: None },
            body,
        }))
    }

    pub(super) fn list(&self, which: &Filter, each: &mut dyn FnMut(Listed) -> ControlFlow<()>) -> Result<()> {
        self.sweep_first()?;
        let mut flow = ControlFlow::Continue(());
        let mut show = |state, name: MessageName, path: &Path| {
            if flow.is_continue()
                && which.may_be(name.id)
                && let Some(listed) = self.list_one(state, &name, path)
                && which.matches(&listed, self.now())
            {
                flow = each(listed);
            }
            flow
        };
        let unread = self.visit_ready(false, &mut |name, path| Ok(show(State::Ready, name, path)))?;
        for due in self.seconds_in(&self.layout.delayed())? {
            let dir = self.layout.delayed().join(due.0.to_string());
            self.scan_messages(&dir, &mut |name, path| show(State::Delayed { due }, name, &path))?;
        }
        for until in self.seconds_in(&self.layout.claimed())? {
            let dir = self.layout.claimed().join(until.0.to_string());
            self.scan_messages(&dir, &mut |name, path| show(State::Claimed { until }, name, &path))?;
        }
        self.scan_messages(&self.layout.held(), &mut |name, path| show(State::Held, name, &path))?;
        let (_, hidden) = self.visit_lines(&mut |state, name, path| Ok(show(state, name, path)))?;
        unread.or(hidden).map_or(Ok(()), Err)
    }

    /// Whether the message is one of those that are meant, and still there. An error if that cannot be told.
    pub(super) fn is_meant(&self, which: &Filter, state: State, name: &MessageName, path: &Path) -> Result<bool> {
        if which.is_all() || !which.may_be(name.id) {
            return Ok(which.is_all());
        }
        let Some(listed) = self.list_one(state, name, path) else { return Ok(false) };
        match &listed.unread {
            Some(why) if which.asks_for_the_header() && which.matches(&listed, self.now()) => {
                let source = io::Error::other(why.clone());
                Err(Error::Io { action: "read", path: path.to_owned(), source })
            }
            _ => Ok(which.matches(&listed, self.now())),
        }
    }

    /// `None` if the message has gone meanwhile. One whose header cannot be read is shown as its name has it.
    pub(super) fn list_one(&self, state: State, name: &MessageName, path: &Path) -> Option<Listed> {
        let opened = match self.fs().open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            Ok(file) => match Opened::new(file) {
                Ok(opened) => Ok(opened.unchecked()),
                Err(ReadError::Io(error)) => Err(error.to_string()),
                Err(ReadError::Damaged(why)) => Err(why),
            },
        };
        let (message, failures, unread) = match opened {
            Ok((message, _, file, place)) if place.has_log => match read_log(&*file, place) {
                Ok(failures) => (Some(message), failures, None),
                Err(error) => (Some(message), Vec::new(), Some(error.to_string())),
            },
            Ok((message, ..)) => (Some(message), Vec::new(), None),
            Err(why) => (None, Vec::new(), Some(why)),
        };
        let message = message.unwrap_or_else(|| Message {
            id: name.id,
            queue: self.name.clone(),
            put_at: name.id.put_at(),
            priority: name.priority,
            len_bytes: 0,
            media_type: None,
            attributes: Attributes::default(),
            reply_to: None,
            due: None,
            expires_at: None,
            group: None,
            unique: None,
            unique_until: None,
        });
        Some(Listed { message, state, deliveries: name.deliveries, failures, unread })
    }

    pub(super) fn stat(&self) -> Result<Stat> {
        self.sweep_first()?;
        self.stat_now()
    }

    /// Counts what lies there, without a sweep.
    pub(super) fn stat_now(&self) -> Result<Stat> {
        // Known before the messages are counted: of one that is put meanwhile, neither number nor message counts.
        let numbers = self.next_number().ok().flatten().map(|next| Numbers { next, there: 0 });
        let skipped = self.skipped();
        let mut stat = Stat { policy: self.policy()?, numbers, ..Stat::default() };
        let now = self.now();
        let dir = self.layout.dir();
        self.fs()
            .walk(dir, &mut |path, status| {
                let inside = path.strip_prefix(dir).unwrap_or(path);
                match classify(inside, status.kind) {
                    Place::Message(state, name) => {
                        stat.count(state, name.id.put_at(), name.deliveries, status.len_bytes, now);
                        if let Some(numbers) = &mut stat.numbers {
                            numbers.there += u64::from(name.seq.0 < numbers.next);
                        }
                    }
                    Place::Archived(mark, _) => {
                        stat.archived += u64::from(!archive::is_over(mark, stat.policy.archive, now));
                    }
                    Place::Temporary => stat.temporaries += 1,
                    Place::Quarantined => stat.corrupt += 1,
                    Place::Stray => stat.count_stray(path.to_owned()),
                    // A batch has its numbers before its messages are put.
                    Place::Structure if status.kind == Kind::File && inside.starts_with(TMP) => {
                        let name = path.file_name().and_then(parse_name);
                        if let (Some(numbers), Some(name)) = (&mut stat.numbers, name) {
                            numbers.there += u64::from(name.seq.0 < numbers.next);
                        }
                    }
                    Place::Structure | Place::Reason | Place::Entry => {}
                }
            })
            .at("read", dir)?;
        if let Some(numbers) = &mut stat.numbers {
            numbers.next = numbers.next.saturating_sub(skipped);
        }
        Ok(stat)
    }
}
