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
//!   unique/HH/HASH.ID[.UNTIL]    unique keys: second names of message files; a window's outlives it
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

/// How many directories share the unique keys; each is the lock for its own.
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
const UNIQUE: &str = "unique";
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

    pub(crate) fn spares(&self) -> PathBuf {
        self.dir.join("spare")
    }

    pub(crate) fn unique(&self) -> PathBuf {
        self.dir.join(UNIQUE)
    }

    /// The directory of a key's entries.
    pub(crate) fn shard(&self, hash: KeyHash) -> PathBuf {
        self.shard_at(u64::try_from(hash.0 >> 120).unwrap_or(0))
    }

    /// One of the directories of entries, by its number modulo [`SHARDS`].
    pub(crate) fn shard_at(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{UNIQUE}/{:02x}", number % SHARDS))
    }

    /// Where an entry lies.
    pub(crate) fn entry(&self, entry: &EntryName) -> PathBuf {
        self.shard(entry.hash).join(entry.to_string())
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
        self.dir.join(format!("ready/{priority}/{:012x}/{:02x}", seq.0 >> 16, seq.0 >> 8 & 0xff))
    }

    /// Where a message in `state` lies.
    pub(crate) fn path(&self, state: State, name: &MessageName) -> PathBuf {
        match state {
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

/// The name of an entry of a unique key: `HASH.ID`, or `HASH.ID.UNTIL` for a window; HASH in 32 hexadecimal digits, the
/// first two of which are its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryName {
    pub(crate) hash: KeyHash,
    pub(crate) id: MessageId,
    pub(crate) until: Option<UnixSeconds>,
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.hash, self.id)?;
        self.until.map_or(Ok(()), |until| write!(f, ".{}", until.0))
    }
}

impl FromStr for EntryName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let parse = || {
            let (hash, rest) = name.split_once('.')?;
            let (id, until) = match rest.split_once('.') {
                Some((id, until)) => (id, Some(parse_second(until)?)),
                None => (rest, None),
            };
            Some(Self { hash: hash.parse().ok()?, id: id.parse().ok()?, until })
        };
        parse().ok_or_else(|| Invalid::new(name, "the name of a unique key's entry"))
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
    /// The entry of a unique key.
    Entry,
    /// Not ours.
    Stray,
}

/// What the path `inside` (relative to the queue's directory) is, if it names something of kind `kind`.
pub(crate) fn classify(inside: &Path, kind: Kind) -> Place {
    let Some(parts) = plain_parts(inside) else { return Place::Stray };
    match (parts.as_slice(), kind) {
        (["policy.json" | "state" | "lock" | "sweep"], Kind::File)
        | (["wake"], Kind::Other)
        | (["tmp" | "ready" | "delayed" | "claimed" | "corrupt" | "spare" | UNIQUE] | ["claimed", HELD], Kind::Dir) => {
            Place::Structure
        }
        (["tmp", id], Kind::File | Kind::Dir) if id.parse::<MessageId>().is_ok() => Place::Temporary,
        // Inside a batch: it is counted as one.
        (["tmp", id, ..], Kind::File | Kind::Dir) if id.parse::<MessageId>().is_ok() => Place::Structure,
        (["spare", number], Kind::Dir) if number.parse::<usize>().is_ok_and(|n| n < SPARES) => Place::Structure,
        ([UNIQUE, shard], Kind::Dir) if parse_hex(shard, 2).is_some() => Place::Structure,
        // In another directory than its own nobody would find it.
        ([UNIQUE, shard, name], Kind::File) if name.starts_with(shard) && name.parse::<EntryName>().is_ok() => {
            Place::Entry
        }
        (["ready", rest @ ..], _) => classify_ready(rest, kind),
        (["delayed" | "claimed", second], Kind::Dir) if parse_second(second).is_some() => Place::Structure,
        (["delayed", due, name], Kind::File) => match parse_second(due) {
            Some(due) => message(State::Delayed { due }, name),
            None => Place::Stray,
        },
        (["claimed", HELD, name], Kind::File) => message(State::Held, name),
        (["claimed", until, name], Kind::File) => match parse_second(until) {
            Some(until) => message(State::Claimed { until }, name),
            None => Place::Stray,
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
    let dirs = parts.len() - usize::from(kind == Kind::File && !parts.is_empty());
    let parsed = (
        parts.first().map(|p| p.parse::<Priority>().ok()),
        parts.get(1).map(|g| parse_hex(g, 12)),
        parts.get(2).map(|l| parse_hex(l, 2)),
    );
    match (parsed, kind, dirs, parts) {
        ((Some(Some(_)), None, None), Kind::Dir, 1, _)
        | ((Some(Some(_)), Some(Some(_)), None), Kind::Dir, 2, _)
        | ((Some(Some(_)), Some(Some(_)), Some(Some(_))), Kind::Dir, 3, _) => Place::Structure,
        ((Some(Some(priority)), Some(Some(group)), Some(Some(leaf))), Kind::File, 3, [.., name]) => {
            match name.parse::<MessageName>() {
                // In another leaf than its own no receipt would find it.
                Ok(name) if name.priority == priority && name.seq.0 >> 8 == (group << 8 | leaf) => {
                    Place::Message(State::Ready, name)
                }
                _ => Place::Stray,
            }
        }
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
        for until in [None, Some(UnixSeconds(9))] {
            let entry = EntryName { hash: KeyHash(0xab << 120 | 7), id: name(1).id, until };
            let path = layout.entry(&entry);
            let inside = path.strip_prefix("q").unwrap();
            assert!(inside.starts_with("unique/ab"), "{}", inside.display());
            assert_eq!(classify(inside, Kind::File), Place::Entry);
            assert_eq!(classify(inside.parent().unwrap(), Kind::Dir), Place::Structure);
            assert_eq!(inside.file_name().unwrap().to_str().unwrap().parse(), Ok(entry));
        }
        let (path, why) = layout.quarantine(&name(1));
        assert_eq!(classify(path.strip_prefix("q").unwrap(), Kind::File), Place::Quarantined);
        assert_eq!(classify(why.strip_prefix("q").unwrap(), Kind::File), Place::Reason);
    }

    #[test]
    fn messages_lie_in_four_parts_of_a_queue() {
        for inside in ["q/ready/x", "q/ready/5/000000000000/00/x", "q/delayed/x", "q/claimed/held/x", "q/tmp/x"] {
            assert!(lies_among_messages(Path::new(inside)), "{inside}");
        }
        for inside in ["", "ready", "ready/x", "q/state", "q/corrupt/x", "q/x/ready/y", "q"] {
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
        ]) {
            assert_eq!(classify(Path::new(&entry), Kind::File), Place::Stray, "{entry}");
        }
        let elsewhere = format!("ready/5/000000000001/00/{good}");
        assert_eq!(classify(Path::new(&elsewhere), Kind::File), Place::Stray);
        assert_eq!(classify(Path::new(&format!("claimed/held/{good}")), Kind::Other), Place::Stray);
    }
}
