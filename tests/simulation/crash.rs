//! What a power cut leaves of a disk: three models of it, from the kind to the cruel.
//!
//! - *Ordered* ([`Names::Ordered`]): the changes of names up to some moment, each of them whole; a sync of a
//!   directory makes all changes up to the last one of that directory safe. Journaled ext4, XFS.
//! - *Whole* ([`Names::Whole`]): the changes up to the last commit, some moment ago, and on top of them what
//!   each sync of a directory since had to say of that directory: the names that it has, and not those that it
//!   lost again before. The sync of a directory out of which a file was renamed is a commit. Of a rename that comes
//!   out of a sync both names may be there. Btrfs and its log.
//! - *Bare* ([`Names::Bare`], called weak in the literature): each name by itself is as it was when its directory was last
//!   synced, or as any change since then has made it; the two halves of a rename may part.
//!
//!   After a minute it has been written back.
//!
//! Bytes that were not synced are there, or not, or cut short, or zeros, or something else, in all three.

use std::collections::{BTreeMap, BTreeSet};

use mq::store::spool::fs::Names;

use super::choices::Choices;
use super::disk::{Change, Content, Disk, Ino, Inode, Node, ROOT, Record};

/// What nobody has synced for so long has been written all the same: Linux waits half as long.
const WRITTEN_BACK_MS: u64 = 60_000;

/// What can become of bytes that were not synced.
const WAYS_OF_BYTES: usize = 7;

impl Disk {
    /// Loses power: afterwards the disk holds what is found at the next boot, and all of that is safe. Says what happened.
    /// With `few` choices, to be gone through one by one: names are all new, all old, or all but one new; what
    /// befalls the bytes of one file befalls those of all.
    pub fn crash(&mut self, model: Names, choices: &mut Choices, few: bool) -> String {
        let log = std::mem::take(&mut self.log);
        let names = match model {
            Names::Ordered => self.crash_ordered(&log, choices),
            Names::Whole => self.crash_whole(&log, choices),
            Names::Bare | Names::Unknown => self.crash_bare(&log, choices, few),
        };
        let live = self.drop_unreachable(choices);
        let mut bytes = Vec::new();
        let is_any_dirty = |inode: &Inode| matches!(&inode.node, Node::File(content) if !content.dirty.is_empty());
        let for_all = (few && self.inodes.iter().any(is_any_dirty)).then(|| choices.pick(WAYS_OF_BYTES));
        for (ino, inode) in self.inodes.iter_mut().enumerate() {
            if let Node::File(content) = &mut inode.node {
                if live.contains(&ino)
                    && let Some(word) = crash_content(content, choices, for_all)
                {
                    bytes.push(format!("file {ino}: {word}"));
                }
                *content = Content {
                    safe: content.bytes.clone(),
                    bytes: std::mem::take(&mut content.bytes),
                    ..Content::default()
                };
            }
        }
        format!("{names}; {}", if bytes.is_empty() { "all bytes kept".to_owned() } else { bytes.join(", ") })
    }

    fn undo_to(&mut self, log: &[Record], keep: usize) {
        for record in log[keep..].iter().rev() {
            if let Record::Changes(changes, _) = record {
                for change in changes.iter().rev() {
                    self.set_entry(change.dir, &change.name, change.before);
                }
            }
        }
    }

    fn crash_ordered(&mut self, log: &[Record], choices: &mut Choices) -> String {
        let mut safe = 0;
        let mut last_of: BTreeMap<Ino, usize> = BTreeMap::new();
        for (at, record) in log.iter().enumerate() {
            match record {
                Record::Changes(changes, _) => last_of.extend(changes.iter().map(|change| (change.dir, at + 1))),
                Record::Sync(dir) => safe = safe.max(last_of.get(dir).copied().unwrap_or(0)),
                Record::SyncAll => safe = at,
            }
        }
        let lost = choices.pick(log.len() - safe + 1);
        self.undo_to(log, log.len() - lost);
        format!("the last {lost} of {} changes of names lost", log.len())
    }

    fn crash_whole(&mut self, log: &[Record], choices: &mut Choices) -> String {
        let mut safe = 0;
        let mut left = BTreeSet::new();
        for (at, record) in log.iter().enumerate() {
            match record {
                Record::Changes(changes, _) => left.extend(moved_out_of(changes)),
                Record::Sync(dir) if !left.contains(dir) => {}
                Record::Sync(_) | Record::SyncAll => {
                    safe = at + 1;
                    left.clear();
                }
            }
        }
        let lost = choices.pick(log.len() - safe + 1);
        let commit = log.len() - lost;
        self.undo_to(log, commit);
        // What each directory had at each moment since the commit, to be able to say what its sync found.
        let mut seen: BTreeMap<(Ino, Box<str>), Option<Ino>> = BTreeMap::new();
        let mut redone = 0;
        for record in &log[commit..] {
            match record {
                Record::Changes(changes, _) => {
                    for Change { dir, name, after, .. } in changes {
                        seen.insert((*dir, name.clone()), *after);
                    }
                }
                Record::Sync(dir) => {
                    redone += self.redo_way_to(*dir, &seen);
                    let found: Vec<_> = seen
                        .range((*dir, Box::from(""))..(*dir + 1, Box::from("")))
                        .map(|((_, name), ino)| (name.clone(), *ino))
                        .collect();
                    for (name, ino) in found {
                        self.set_entry(*dir, &name, ino);
                        redone += 1;
                        if let Some(ino) = ino {
                            self.drop_old_names(ino, &seen);
                        }
                    }
                }
                Record::SyncAll => {}
            }
        }
        let doubled = self.double_names(&log[commit..], choices);
        format!("a commit {lost} of {} changes ago, {redone} names out of syncs since, {doubled} with both", log.len())
    }

    /// A rename since the commit can be in the log with its new name alone: then the old one is there, too.
    fn double_names(&mut self, since: &[Record], choices: &mut Choices) -> usize {
        let renames: Vec<&Change> = since
            .iter()
            .filter_map(|record| match record {
                Record::Changes(changes, _) if changes.len() == 2 => Some(&changes[1]),
                _ => None,
            })
            .collect();
        // None, all, or the last.
        let skip = match choices.pick(if renames.is_empty() { 1 } else { 3 }) {
            0 => renames.len(),
            1 => 0,
            _ => renames.len() - 1,
        };
        let mut doubled = 0;
        for change in &renames[skip..] {
            let is_file = change.after.is_some_and(|ino| matches!(self.inodes[ino].node, Node::File(_)));
            let is_free = self.dir(change.dir).is_ok_and(|entries| !entries.contains_key(&change.name));
            let is_somewhere = change.after.is_some_and(|ino| self.status(ino).links > 0);
            // (A directory that was moved itself brings the move with it.)
            let is_place = renames.iter().all(|other| other.after != Some(change.dir));
            if is_file && is_free && is_somewhere && is_place {
                self.set_entry(change.dir, &change.name, change.after);
                doubled += 1;
            }
        }
        doubled
    }

    /// A new directory that is synced brings its own name with it, and those above it.
    fn redo_way_to(&mut self, dir: Ino, seen: &BTreeMap<(Ino, Box<str>), Option<Ino>>) -> usize {
        let mut redone = 0;
        let mut dir = dir;
        while let Some(((above, name), _)) = seen.iter().find(|(_, now)| **now == Some(dir)) {
            self.set_entry(*above, name, Some(dir));
            redone += 1;
            dir = *above;
        }
        redone
    }

    /// A file that is in the log is there with all the names that it had then, where their directories are, and has lost
    /// those that it did not have any more. (Linux 6.18 even keeps these, and so it does where a new one has no directory.)
    fn drop_old_names(&mut self, ino: Ino, seen: &BTreeMap<(Ino, Box<str>), Option<Ino>>) {
        let there = self.reachable();
        let names: Vec<_> = seen.iter().filter(|(_, now)| **now == Some(ino)).map(|(name, _)| name.clone()).collect();
        if names.iter().any(|(dir, _)| !there.contains(dir)) {
            return;
        }
        for (dir, name) in names {
            self.set_entry(dir, &name, Some(ino));
        }
        for ((dir, name), now) in seen {
            if *now != Some(ino)
                && let Ok(entries) = self.dir(*dir)
                && entries.get(name) == Some(&ino)
            {
                self.set_entry(*dir, name, None);
            }
        }
    }

    fn crash_bare(&mut self, log: &[Record], choices: &mut Choices, few: bool) -> String {
        // Each name's values since its directory was last synced, the present one last.
        let mut values: BTreeMap<(Ino, Box<str>), Vec<Option<Ino>>> = BTreeMap::new();
        for record in log {
            match record {
                Record::Changes(changes, when_ms) => {
                    for Change { dir, name, before, after } in changes {
                        let values = values.entry((*dir, name.clone())).or_insert_with(|| vec![*before]);
                        if when_ms + WRITTEN_BACK_MS <= self.now_ms {
                            values.clear();
                        }
                        values.push(*after);
                    }
                }
                Record::Sync(dir) => values.retain(|(of, _), _| of != dir),
                Record::SyncAll => values.clear(),
            }
        }
        // All new, all old, or a mixture that is drawn for each name.
        let style = choices.pick(if few { 3 } else { 4 });
        let mut words = Vec::new();
        let odd_one = if style == 2 { choices.pick(values.len()) } else { 0 };
        for (at, ((dir, name), values)) in values.into_iter().enumerate() {
            let back = match style {
                0 => 0,
                1 => values.len() - 1,
                2 => usize::from(at == odd_one && values.len() > 1),
                _ => choices.pick(values.len()),
            };
            if back > 0 {
                let value = values[values.len() - 1 - back];
                self.set_entry(dir, &name, value);
                words.push(format!(
                    "{dir}/{name} {}",
                    value.map_or("is not there".to_owned(), |ino| format!("is {ino}"))
                ));
            }
        }
        if words.is_empty() { "all names kept".to_owned() } else { format!("old names: {}", words.join(", ")) }
    }

    /// What paths lead to.
    fn reachable(&self) -> BTreeSet<Ino> {
        let (mut live, mut todo) = (BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(dir) = todo.pop() {
            for ino in self.dir(dir).into_iter().flat_map(BTreeMap::values) {
                if live.insert(*ino) {
                    todo.push(*ino);
                }
            }
        }
        live
    }

    /// Forgets what no path leads to, and gives every directory one name as a repair would. Returns what is left.
    fn drop_unreachable(&mut self, choices: &mut Choices) -> BTreeSet<Ino> {
        let mut names: BTreeMap<Ino, Vec<(Ino, Box<str>)>> = BTreeMap::new();
        for (dir, inode) in self.inodes.iter().enumerate() {
            if let Node::Dir(entries) = &inode.node {
                for (name, ino) in entries {
                    if matches!(self.inodes[*ino].node, Node::Dir(_)) {
                        names.entry(*ino).or_default().push((dir, name.clone()));
                    }
                }
            }
        }
        for (_, names) in names.into_iter().filter(|(_, names)| names.len() > 1) {
            let keep = choices.pick(names.len());
            for (at, (dir, name)) in names.iter().enumerate() {
                if at != keep {
                    self.set_entry(*dir, name, None);
                }
            }
        }
        let live = self.reachable();
        for (ino, inode) in self.inodes.iter_mut().enumerate() {
            if let (false, Node::Dir(entries)) = (live.contains(&ino), &mut inode.node) {
                entries.clear();
            }
        }
        live
    }
}

/// The directory out of which a rename took a file, if the changes are such a rename.
fn moved_out_of(changes: &[Change]) -> Vec<Ino> {
    match changes {
        // Of an exchange it is both.
        [one, other] if one.dir != other.dir && one.after.is_some() => vec![one.dir, other.dir],
        [from, to] if from.dir != to.dir => vec![from.dir],
        _ => Vec::new(),
    }
}

/// What is left of a file's bytes; a word on it if that is not all of them.
fn crash_content(content: &mut Content, choices: &mut Choices, way: Option<usize>) -> Option<&'static str> {
    if content.forgotten {
        content.bytes.clone_from(&content.safe);
        return Some("what a failed sync has forgotten is lost");
    }
    if content.dirty.is_empty() {
        return None;
    }
    let (safe, dirty) = (content.safe.clone(), std::mem::take(&mut content.dirty));
    match way.unwrap_or_else(|| choices.pick(WAYS_OF_BYTES)) {
        0 => None,
        1 => {
            content.bytes = safe;
            Some("nothing of what was written since its sync")
        }
        2 => {
            let new = content.bytes.len().saturating_sub(safe.len());
            content.bytes.truncate(safe.len() + new / 2);
            Some("cut short")
        }
        3 => {
            for range in dirty {
                content.bytes[range].fill(0);
            }
            Some("zeros in place of what was written")
        }
        4 => {
            for at in dirty.into_iter().flatten() {
                content.bytes[at] ^= 0x55;
            }
            Some("garbage in place of what was written")
        }
        5 => {
            let end = dirty.last().map_or(0..0, |range| range.end - range.len() / 8..range.end);
            content.bytes[end].fill(0);
            Some("zeros at the end of the last write")
        }
        _ => {
            let last = dirty.last().cloned().unwrap_or(0..0);
            for at in last {
                content.bytes[at] = safe.get(at).copied().unwrap_or(0);
            }
            Some("all but the last write")
        }
    }
}
