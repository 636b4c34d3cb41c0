//! Where everything lies: path ↔ types. Pure, and the one owner of naming (`man/mq-spool.5` is its public form).
//!
//! ```text
//! QUEUE/
//!   policy.json                  absent = defaults
//!   state                        sequence counter, and the lock for it
//!   lock, sweep                  locks
//!   wake                         FIFO
//!   spare/0…3                    empty directories for the day the disk is full
//!   tmp/ID                       being written (a directory: a batch)
//!   ready/P/GGGGGGGGGGGG/LL/NAME deliverable
//!   delayed/DUE/NAME             deliverable from the second DUE on
//!   claimed/UNTIL/NAME           timed claims
//!   claimed/held/NAME            held claims
//!   corrupt/NAME, NAME.why       set aside
//!   unique/HH/HASH.ID[.UNTIL|.leaving]
//!                                unique keys: second names of message files; a window's outlives it
//!   groups/HH/HASH.ID[.leaving]  the message of a group whose turn it is: a second name of its file
//!   groups/HH/HASH/GGGGGGGGGGGG/LL/NAME
//!                                the others of the group, which wait
//!   archive/MARK/NAME            deleted, and kept for a while
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::fs::Kind;
use crate::domain::lifecycle::State;
use crate::domain::{ClaimPlace, Invalid, KeyHash, MessageId, MessageName, Priority, Seq, UnixSeconds};

/// How many sequence numbers share a leaf directory.
pub(crate) const LEAF_LEN: u64 = 256;
/// How many sequence numbers share a directory of leaves.
pub(crate) const GROUP_LEN: u64 = 256 * LEAF_LEN;

/// How many directories share the unique keys, and how many the groups; each is the lock for its own.
pub(crate) const SHARDS: u64 = 256;

/// How many spare directories a queue keeps.
pub(crate) const SPARES: usize = 4;

/// The file that makes a directory a spool, and what it says.
pub(crate) const FORMAT_FILE: &str = "format";
/// What the root of a file system has besides.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";
/// The lock for moves in the classical order.
pub(crate) const MOVES_FILE: &str = "lock";
/// What no queue can be called.
pub(crate) const RESERVED: [&str; 2] = [FORMAT_FILE, MOVES_FILE];
/// The one format version that this program reads and writes.
pub(crate) const FORMAT: &str = "mq-spool 1";

/// Names in the spool's root that are a queue being made or dropped.
pub(crate) const MAKING_PREFIX: &str = ".new-";
/// A queue that is to be dropped if it is empty; its own name follows.
pub(crate) const CHECKING_PREFIX: &str = ".checking-";
/// See [`MAKING_PREFIX`].
pub(crate) const DROPPING_PREFIX: &str = ".dropped-";

/// The directory of temporaries.
pub(crate) const TMP: &str = "tmp";
const EXPIRY: &str = "expiry";
const UNIQUE: &str = "unique";
const GROUPS: &str = "groups";
const LEAVING: &str = "leaving";
/// Where deleted messages are kept.
pub(crate) const ARCHIVE: &str = "archive";
const HELD: &str = "held";
const WHY: &str = ".why";

/// The paths of one queue.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.dir.join("policy.json")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn sweep(&self) -> PathBuf {
        self.dir.join("sweep")
    }

    pub(crate) fn expiry(&self) -> PathBuf {
        self.dir.join(EXPIRY)
    }

    pub(crate) fn skipped(&self) -> PathBuf {
        self.dir.join("skipped")
    }

    pub(crate) fn room(&self) -> PathBuf {
        self.dir.join("room")
    }

    pub(crate) fn vacancy(&self) -> PathBuf {
        self.dir.join("vacancy")
    }

    pub(crate) fn wake(&self) -> PathBuf {
        self.dir.join("wake")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.join(TMP)
    }

    pub(crate) fn temporary(&self, id: MessageId) -> PathBuf {
        self.dir.join(format!("tmp/{id}"))
    }

    pub(crate) fn ready(&self) -> PathBuf {
        self.dir.join("ready")
    }

    pub(crate) fn delayed(&self) -> PathBuf {
        self.dir.join("delayed")
    }

    pub(crate) fn claimed(&self) -> PathBuf {
        self.dir.join("claimed")
    }

    pub(crate) fn held(&self) -> PathBuf {
        self.dir.join("claimed/held")
    }

    pub(crate) fn corrupt(&self) -> PathBuf {
        self.dir.join("corrupt")
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.dir.join(ARCHIVE)
    }

    /// Where a deleted message with this mark is kept.
    pub(crate) fn archived(&self, mark: UnixSeconds, name: &MessageName) -> PathBuf {
        self.dir.join(format!("{ARCHIVE}/{}/{name}", mark.0))
    }

    pub(crate) fn spares(&self) -> PathBuf {
        self.dir.join("spare")
    }

    /// The directory of all entries of a kind.
    pub(crate) fn entries(&self, of: EntryOf) -> PathBuf {
        self.dir.join(of.dir())
    }

    /// The directory of a hash's entries.
    pub(crate) fn shard(&self, of: EntryOf, hash: KeyHash) -> PathBuf {
        self.shard_at(of, u64::try_from(hash.0 >> 120).unwrap_or(0))
    }

    /// One of the directories of entries, by its number modulo [`SHARDS`].
    pub(crate) fn shard_at(&self, of: EntryOf, number: u64) -> PathBuf {
        self.dir.join(format!("{}/{:02x}", of.dir(), number % SHARDS))
    }

    /// Where an entry lies.
    pub(crate) fn entry(&self, of: EntryOf, entry: &EntryName) -> PathBuf {
        self.shard(of, entry.hash).join(entry.to_string())
    }

    /// Where the messages of a group lie that wait.
    pub(crate) fn line(&self, group: KeyHash) -> PathBuf {
        self.shard(EntryOf::Group, group).join(group.to_string())
    }

    pub(crate) fn spare(&self, number: usize) -> PathBuf {
        self.dir.join(format!("spare/{number}"))
    }

    /// The directories that a queue always has, a directory before what is in it.
    pub(crate) fn fixed_dirs(&self) -> Vec<PathBuf> {
        let mut dirs =
            vec![self.tmp(), self.ready(), self.delayed(), self.claimed(), self.held(), self.corrupt(), self.spares()];
        dirs.extend((0..SPARES).map(|number| self.spare(number)));
        dirs
    }

    /// The leaf of a sequence number.
    pub(crate) fn leaf(&self, priority: Priority, seq: Seq) -> PathBuf {
        self.dir.join(format!("ready/{priority}")).join(leaf_of(seq))
    }

    /// Whether a message lies in the leaf that its name says: in another one no receipt would find it.
    pub(crate) fn is_leaf_of(&self, leaf: &Path, name: &MessageName) -> bool {
        leaf.ends_with(leaf_of(name.seq))
            && (leaf == self.leaf(name.priority, name.seq) || !leaf.starts_with(self.ready()))
    }

    /// Where a message in `state` lies.
    pub(crate) fn path(&self, state: State, name: &MessageName) -> PathBuf {
        match state {
            State::Waiting { group } => self.line(group).join(leaf_of(name.seq)).join(name.to_string()),
            State::Ready => self.leaf(name.priority, name.seq).join(name.to_string()),
            State::Delayed { due } => self.dir.join(format!("delayed/{}/{name}", due.0)),
            State::Claimed { until } => self.dir.join(format!("claimed/{}/{name}", until.0)),
            State::Held => self.dir.join(format!("claimed/held/{name}")),
        }
    }

    /// Where a damaged message is set aside, and where the reason is written.
    pub(crate) fn quarantine(&self, name: &MessageName) -> (PathBuf, PathBuf) {
        let path = self.corrupt().join(name.to_string());
        let why = self.corrupt().join(format!("{name}{WHY}"));
        (path, why)
    }
}

/// The path of a leaf below its priority or its group.
fn leaf_of(seq: Seq) -> String {
    format!("{:012x}/{:02x}", seq.0 >> 16, seq.0 >> 8 & 0xff)
}

/// What a message has an entry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryOf {
    /// That it is the only one of its unique key.
    Unique,
    /// That it is its turn among the messages of its group.
    Group,
}

impl EntryOf {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Unique, Self::Group];

    pub(crate) fn dir(self) -> &'static str {
        match self {
            Self::Unique => UNIQUE,
            Self::Group => GROUPS,
        }
    }
}

/// The name of an entry: `HASH.ID`; `HASH.ID.UNTIL` for the window of a unique key, `HASH.ID.leaving` for a message that
/// somebody is about to take out of the queue: to another place if it is of a group, to the archive in any case. HASH in 32 hexadecimal digits, the first two of which are its
/// directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryName {
    pub(crate) hash: KeyHash,
    pub(crate) id: MessageId,
    pub(crate) until: Option<UnixSeconds>,
    pub(crate) is_leaving: bool,
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.hash, self.id)?;
        match self.until {
            Some(until) => write!(f, ".{}", until.0),
            None if self.is_leaving => write!(f, ".{LEAVING}"),
            None => Ok(()),
        }
    }
}

impl FromStr for EntryName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let parse = || {
            let (hash, rest) = name.split_once('.')?;
            let (id, until, is_leaving) = match rest.split_once('.') {
                Some((id, LEAVING)) => (id, None, true),
                Some((id, until)) => (id, Some(parse_second(until)?), false),
                None => (rest, None, false),
            };
            Some(Self { hash: hash.parse().ok()?, id: id.parse().ok()?, until, is_leaving })
        };
        parse().ok_or_else(|| Invalid::new(name, "the name of an entry"))
    }
}

/// The state of a claim made in `place`.
pub(crate) fn state_of_claim(place: ClaimPlace) -> State {
    match place {
        ClaimPlace::Until(until) => State::Claimed { until },
        ClaimPlace::Held => State::Held,
    }
}

/// What a path inside a queue is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A part of the building: a fixed file or directory, a leaf, an UNTIL.
    Structure,
    /// A message.
    Message(State, MessageName),
    /// Being written, or left by a writer that died.
    Temporary,
    /// Set aside as damaged.
    Quarantined,
    /// Why something was set aside.
    Reason,
    /// The entry of a unique key or a group.
    Entry,
    /// Deleted, and kept for a while.
    Archived(UnixSeconds, MessageName),
    /// Not ours.
    Stray,
}

/// What the path `inside` (relative to the queue's directory) is, if it names something of kind `kind`.
pub(crate) fn classify(inside: &Path, kind: Kind) -> Place {
    let Some(parts) = plain_parts(inside) else { return Place::Stray };
    match (parts.as_slice(), kind) {
        (["policy.json" | "state" | "lock" | "sweep" | "room" | "skipped"], Kind::File)
        | (["wake" | "vacancy"], Kind::Other)
        | (
            ["tmp" | "ready" | "delayed" | "claimed" | "corrupt" | "spare" | EXPIRY | UNIQUE | GROUPS | ARCHIVE]
            | ["claimed", HELD],
            Kind::Dir,
        ) => Place::Structure,
        (["tmp", id], Kind::File | Kind::Dir) if id.parse::<MessageId>().is_ok() => Place::Temporary,
        // Inside a batch: it is counted as one.
        (["tmp", id, ..], Kind::File | Kind::Dir) if id.parse::<MessageId>().is_ok() => Place::Structure,
        (["spare", number], Kind::Dir) if number.parse::<usize>().is_ok_and(|n| n < SPARES) => Place::Structure,
        ([UNIQUE | GROUPS, shard], Kind::Dir) if parse_hex(shard, 2).is_some() => Place::Structure,
        ([EXPIRY, hour], Kind::Dir) if parse_second(hour).is_some() => Place::Structure,
        ([EXPIRY, hour, minute], Kind::Dir) if parse_second(hour).and(parse_second(minute)).is_some() => {
            Place::Structure
        }
        ([EXPIRY, hour, minute, name], Kind::File)
            if parse_second(hour).and(parse_second(minute)).is_some() && name.parse::<MessageName>().is_ok() =>
        {
            Place::Structure
        }
        // In another directory than its own nobody would find it.
        ([of @ (UNIQUE | GROUPS), shard, name], Kind::File) if name.starts_with(shard) => {
            match name.parse::<EntryName>() {
                Ok(entry) if entry.until.is_none() && *of == GROUPS => Place::Entry,
                Ok(_) if *of == UNIQUE => Place::Entry,
                _ => Place::Stray,
            }
        }
        ([GROUPS, shard, hash, rest @ ..], _) if hash.starts_with(shard) => match hash.parse() {
            Ok(group) => classify_in_line(State::Waiting { group }, rest, kind),
            Err(_) => Place::Stray,
        },
        (["ready", rest @ ..], _) => classify_ready(rest, kind),
        (["delayed" | "claimed" | ARCHIVE, second], Kind::Dir) if parse_second(second).is_some() => Place::Structure,
        (["delayed", due, name], Kind::File) => match parse_second(due) {
            Some(due) => message(State::Delayed { due }, name),
            None => Place::Stray,
        },
        (["claimed", HELD, name], Kind::File) => message(State::Held, name),
        (["claimed", until, name], Kind::File) => match parse_second(until) {
            Some(until) => message(State::Claimed { until }, name),
            None => Place::Stray,
        },
        ([ARCHIVE, mark, name], Kind::File) => match (parse_second(mark), name.parse()) {
            (Some(mark), Ok(name)) => Place::Archived(mark, name),
            _ => Place::Stray,
        },
        (["corrupt", name], Kind::File) => match name.strip_suffix(WHY) {
            Some(name) if name.parse::<MessageName>().is_ok() => Place::Reason,
            None if name.parse::<MessageName>().is_ok() => Place::Quarantined,
            _ => Place::Stray,
        },
        _ => Place::Stray,
    }
}

fn classify_ready(parts: &[&str], kind: Kind) -> Place {
    let Some((priority, rest)) = parts.split_first() else { return Place::Stray };
    match (priority.parse::<Priority>(), classify_in_line(State::Ready, rest, kind)) {
        (Ok(priority), Place::Message(state, name)) if name.priority == priority => Place::Message(state, name),
        (Ok(_), Place::Structure) => Place::Structure,
        _ => Place::Stray,
    }
}

/// What lies below a priority or a group: directories of leaves, and leaves, and messages in the order of their numbers.
fn classify_in_line(state: State, parts: &[&str], kind: Kind) -> Place {
    let above = |group: &str| parse_hex(group, 12);
    match (parts, kind) {
        ([], Kind::Dir) => Place::Structure,
        ([group], Kind::Dir) if above(group).is_some() => Place::Structure,
        ([group, leaf], Kind::Dir) if above(group).is_some() && parse_hex(leaf, 2).is_some() => Place::Structure,
        // In another leaf than its own no receipt would find it.
        ([group, leaf, name], Kind::File) => match (name.parse::<MessageName>(), above(group), parse_hex(leaf, 2)) {
            (Ok(name), Some(group), Some(leaf)) if name.seq.0 >> 8 == (group << 8 | leaf) => {
                Place::Message(state, name)
            }
            _ => Place::Stray,
        },
        _ => Place::Stray,
    }
}

fn message(state: State, name: &str) -> Place {
    name.parse().map_or(Place::Stray, |name| Place::Message(state, name))
}

fn plain_parts(inside: &Path) -> Option<Vec<&str>> {
    inside
        .components()
        .map(|component| match component {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect()
}

/// Reads the name of a directory of `claimed/` or `delayed/`, in one spelling only.
pub(crate) fn parse_second(name: &str) -> Option<UnixSeconds> {
    name.parse::<u64>().ok().filter(|second| second.to_string() == name).map(UnixSeconds)
}

/// Reads a name of exactly `digits` lower-case hexadecimal digits.
pub(crate) fn parse_hex(name: &str, digits: usize) -> Option<u64> {
    let well_formed = name.len() == digits && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if well_formed { u64::from_str_radix(name, 16).ok() } else { None }
}

/// Whether `inside` (relative to the spool's directory) lies in a part of a queue that holds messages, whatever it is
/// called.
pub(crate) fn lies_among_messages(inside: &Path) -> bool {
    let part = inside.components().nth(1).map(Component::as_os_str);
    part.is_some_and(|part| ["ready", "delayed", "claimed", TMP].iter().any(|of_ours| part == *of_ours))
}

/// A file's name as a message's name, if it is one.
pub(crate) fn parse_name(name: &OsStr) -> Option<MessageName> {
    name.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;

    fn name(seq: u64) -> MessageName {
        MessageName {
            seq: Seq(seq),
            priority: Priority::default(),
            id: MessageId::new(UnixMillis(5), &[1; 10]),
            deliveries: 2,
        }
    }

    #[test]
    fn every_path_that_is_given_is_recognised() {
        let layout = Layout::new(PathBuf::from("q"));
        let states = [
            State::Ready,
            State::Held,
            State::Claimed { until: UnixSeconds(1_700_000_000) },
            State::Delayed { due: UnixSeconds(0) },
            State::Waiting { group: KeyHash(0xcd << 120 | 9) },
        ];
        for (state, seq) in states.into_iter().flat_map(|s| [0, 255, 256, 0xdead_beef, u64::MAX].map(|n| (s, n))) {
            let path = layout.path(state, &name(seq));
            let inside = path.strip_prefix("q").unwrap();
            assert_eq!(classify(inside, Kind::File), Place::Message(state, name(seq)), "{}", inside.display());
            for dir in inside.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
                assert_eq!(classify(dir, Kind::Dir), Place::Structure, "{}", dir.display());
            }
        }
        for dir in layout.fixed_dirs() {
            assert_eq!(classify(dir.strip_prefix("q").unwrap(), Kind::Dir), Place::Structure);
        }
        let plain = EntryName { hash: KeyHash(0xab << 120 | 7), id: name(1).id, until: None, is_leaving: false };
        let entries = [
            (EntryOf::Unique, plain),
            (EntryOf::Unique, EntryName { until: Some(UnixSeconds(9)), ..plain }),
            (EntryOf::Unique, EntryName { is_leaving: true, ..plain }),
            (EntryOf::Group, plain),
            (EntryOf::Group, EntryName { is_leaving: true, ..plain }),
        ];
        for (of, entry) in entries {
            let path = layout.entry(of, &entry);
            let inside = path.strip_prefix("q").unwrap();
            assert!(inside.starts_with(of.dir()) && inside.parent().unwrap().ends_with("ab"), "{}", inside.display());
            assert_eq!(classify(inside, Kind::File), Place::Entry);
            assert_eq!(classify(inside.parent().unwrap(), Kind::Dir), Place::Structure);
            assert_eq!(inside.file_name().unwrap().to_str().unwrap().parse(), Ok(entry));
        }
        let archived = layout.archived(UnixSeconds(7), &name(1));
        let inside = archived.strip_prefix("q").unwrap();
        assert_eq!(classify(inside, Kind::File), Place::Archived(UnixSeconds(7), name(1)));
        assert!(inside.ancestors().skip(1).take(2).all(|dir| classify(dir, Kind::Dir) == Place::Structure));
        let (path, why) = layout.quarantine(&name(1));
        assert_eq!(classify(path.strip_prefix("q").unwrap(), Kind::File), Place::Quarantined);
        assert_eq!(classify(why.strip_prefix("q").unwrap(), Kind::File), Place::Reason);
    }

    #[test]
    fn messages_lie_in_four_parts_of_a_queue() {
        for inside in ["q/ready/x", "q/ready/5/000000000000/00/x", "q/delayed/x", "q/claimed/held/x", "q/tmp/x"] {
            assert!(lies_among_messages(Path::new(inside)), "{inside}");
        }
        for inside in ["", "ready", "ready/x", "q/state", "q/corrupt/x", "q/archive/7/x", "q/x/ready/y", "q"] {
            assert!(!lies_among_messages(Path::new(inside)), "{inside}");
        }
    }

    #[test]
    fn what_is_not_ours_is_a_stray() {
        let good = name(7).to_string();
        for (path, kind) in [
            ("README", Kind::File),
            ("state", Kind::Dir),
            ("ready/5", Kind::File),
            ("ready/10", Kind::Dir),
            ("ready/5/0", Kind::Dir),
            ("ready/5/000000000000/0G", Kind::Dir),
            ("claimed/007", Kind::Dir),
            ("claimed/-1", Kind::Dir),
            ("tmp/editor.swp", Kind::File),
            ("corrupt/notes.why", Kind::File),
        ] {
            assert_eq!(classify(Path::new(path), kind), Place::Stray, "{path}");
        }
        let (hash, id) = ("0f".repeat(16), name(7).id);
        for entry in ["unique/0f/x", "unique/0F", "unique/0f/0.1"].map(str::to_owned).into_iter().chain([
            format!("unique/10/{hash}.{id}"),
            format!("unique/0f/{hash}.{id}.07"),
            format!("unique/0f/{hash}.{id}.7.7"),
            format!("unique/0f/+{}.{id}", &hash[1..]),
            format!("unique/0f/{hash}.{id}.7.leaving"),
            format!("archive/{good}"),
            format!("archive/007/{good}"),
            format!("archive/7/{good}.x"),
            format!("archive/7/7/{good}"),
            format!("groups/0f/{hash}.{id}.7"),
            format!("groups/10/{hash}/000000000000/00/{good}"),
            format!("groups/0f/{hash}/000000000001/00/{good}"),
            format!("groups/0f/{hash}/{good}"),
        ]) {
            assert_eq!(classify(Path::new(&entry), Kind::File), Place::Stray, "{entry}");
        }
        let elsewhere = format!("ready/5/000000000001/00/{good}");
        assert_eq!(classify(Path::new(&elsewhere), Kind::File), Place::Stray);
        assert_eq!(classify(Path::new(&format!("claimed/held/{good}")), Kind::Other), Place::Stray);
    }
}
