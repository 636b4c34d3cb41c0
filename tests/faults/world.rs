//! The spools that the verbs are let loose on: made once, copied for each case. Every message in them is known.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::Value;

use crate::common::{PAST, expect, make_old, scratch};

/// Which spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No spool at all.
    Nothing,
    /// Messages in every state, and nothing for a sweep to do.
    Calm,
    /// The same, and all that the living and the dead leave to a sweep.
    Littered,
    /// The calm one, and of each damage that a repair mends one or two; and two files that are nobody's.
    Damaged,
}

/// A message that was acknowledged before a verb begins.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) queue: String,
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) deliveries: u32,
    /// Its claim's, if it has one.
    pub(crate) receipt: String,
}

/// Where a file of a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) queue: String,
    /// `ready`, `delayed/SECOND`, `claimed/SECOND`, `claimed/held`, `tmp`, `corrupt`.
    pub(crate) place: String,
    pub(crate) deliveries: u32,
    pub(crate) path: PathBuf,
}

/// A spool and its messages, by what this program calls them.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) messages: BTreeMap<&'static str, Message>,
}

/// One of each kind.
pub(crate) struct Worlds([World; 4]);

impl Worlds {
    pub(crate) fn new() -> Self {
        Self([World::nothing(), World::calm(), World::littered(), World::damaged()])
    }

    pub(crate) fn get(&self, kind: Kind) -> &World {
        &self.0[kind as usize]
    }
}

/// What is nobody's in the queue `q` of a damaged spool, and how many of its messages a repair sets aside.
pub(crate) const STRAYS: [&str; 2] = ["notes", "ready/README"];
pub(crate) const SET_ASIDE: u64 = 3;

/// The queues of the spools that are no `Nothing`.
pub(crate) const QUEUES: [&str; 8] = ["q", "r", "empty", "lone", "paused", "buried", "buried.dead", "kept"];

/// The body of the message that the queue `kept` has in its archive.
pub(crate) const PAST_BODY: &str = "the body of past, whole";

impl World {
    fn nothing() -> Self {
        Self { dir: scratch(), messages: BTreeMap::new() }
    }

    /// Queue `q` has messages in all states, `r` has one, `empty` none, `lone` one, `paused` is paused, `kept` has one that
    /// is claimed and one in its archive.
    fn calm() -> Self {
        let mut world = Self::nothing();
        let spool = world.spool();
        expect(&spool, &["create", "q", "max-deliveries=3"], 0);
        for queue in ["r", "empty", "lone", "paused", "buried.dead"] {
            expect(&spool, &["create", queue], 0);
        }
        expect(&spool, &["create", "buried", "max-deliveries=1"], 0);
        // Claimed as soon as it is put, so it is known which one is claimed. This one has no delivery left.
        world.put("worn", "q", &[]);
        for _ in 0..2 {
            world.claim("worn", "q");
            expect(&spool, &["release", &world.messages["worn"].receipt.clone()], 0);
        }
        world.claim("worn", "q");
        for label in ["claim-a", "claim-b"] {
            world.put(label, "q", &[]);
            world.claim(label, "q");
        }
        world.put("buried", "buried", &[]);
        world.claim("buried", "buried");
        world.put("later", "q", &["--delay", "1000h"]);
        for label in ["ready-1", "ready-2", "ready-3"] {
            world.put(label, "q", &[]);
        }
        world.put("other", "r", &[]);
        world.put("lone", "lone", &[]);
        // One that lies in another queue than it was put to, as a dead letter does.
        world.put("letter", "empty", &[]);
        expect(&spool, &["move", "empty", "buried.dead"], 0);
        "buried.dead".clone_into(&mut world.messages.get_mut("letter").unwrap().queue);
        expect(&spool, &["create", "kept", "archive=1000h"], 0);
        world.put("past", "kept", &[]);
        expect(&spool, &["get", "kept", "--delete"], 0);
        world.messages.remove("past");
        world.put("kept", "kept", &[]);
        world.claim("kept", "kept");
        expect(&spool, &["pause", "paused"], 0);
        world.put("paused", "paused", &[]);
        world
    }

    fn littered() -> Self {
        let mut world = Self::calm();
        let places = [
            // Claims and delays that are over.
            ("ended-1", format!("claimed/{PAST}"), 1),
            ("ended-2", format!("claimed/{PAST}"), 1),
            ("ended-last", format!("claimed/{}", PAST + 1), 3),
            ("due", format!("delayed/{PAST}"), 0),
            // Held claims whose holders are dead.
            ("widow", "claimed/held".to_owned(), 1),
            ("widow-last", "claimed/held".to_owned(), 3),
        ];
        // All puts first: a later one would sweep in passing.
        for (label, ..) in &places {
            world.put(label, "q", &[]);
        }
        world.put("orphan", "q", &[]);
        for (label, place, deliveries) in places {
            world.relocate(label, &place, deliveries);
        }
        world.forget_temporaries();
        // Two of the directories that stand by for a full disk are used up, and a leaf was emptied.
        for spare in ["q/spare/1", "q/spare/3"] {
            std::fs::remove_dir(world.spool().join(spare)).unwrap();
        }
        std::fs::create_dir_all(world.spool().join("q/claimed/2000000000")).unwrap();
        world
    }

    fn damaged() -> Self {
        let mut world = Self::calm();
        let q = world.spool().join("q");
        for label in ["odd-1", "odd-2", "elsewhere", "adrift", "torn", "torn-elsewhere", "twin", "exposed", "orphan"] {
            world.put(label, "q", &[]);
        }
        world.forget_temporaries();
        let path = |world: &Self, label: &str| world.look()[&world.messages[label].id][0].path.clone();
        // Under names that are none, in another leaf, in no leaf.
        std::fs::rename(path(&world, "odd-1"), q.join("ready/0 odd")).unwrap();
        std::fs::rename(path(&world, "odd-2"), q.join("claimed/x.bak")).unwrap();
        let leaf = path(&world, "exposed").parent().unwrap().with_file_name("0a");
        std::fs::create_dir(&leaf).unwrap();
        std::fs::set_permissions(&leaf, Permissions::from_mode(0o755)).unwrap();
        for (label, to) in [("elsewhere", &leaf), ("torn-elsewhere", &leaf), ("adrift", &q.join("delayed"))] {
            let path = path(&world, label);
            std::fs::rename(&path, to.join(path.file_name().unwrap())).unwrap();
        }
        for label in ["torn", "torn-elsewhere"] {
            let file = std::fs::File::options().write(true).open(path(&world, label)).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
            // What is damaged is none of the messages that are to be delivered.
            world.messages.remove(label);
        }
        // A copy, permissions, parts that are missing, and what is not mq's.
        let twin = path(&world, "twin");
        std::fs::copy(&twin, twin.with_extension("1")).unwrap();
        world.messages.get_mut("twin").unwrap().deliveries = 1;
        std::fs::set_permissions(path(&world, "exposed"), Permissions::from_mode(0o644)).unwrap();
        std::fs::set_permissions(q.join("delayed"), Permissions::from_mode(0o755)).unwrap();
        std::fs::remove_dir_all(q.join("spare")).unwrap();
        for part in ["sweep", "wake", "lock"] {
            std::fs::remove_file(q.join(part)).unwrap();
        }
        for stray in STRAYS {
            std::fs::write(q.join(stray), "not a message").unwrap();
        }
        world
    }

    /// Leaves the orphan as a complete temporary, a torn one and a batch in `tmp/`.
    fn forget_temporaries(&mut self) {
        let (orphan, tmp) = (self.messages["orphan"].id.clone(), self.spool().join("q/tmp"));
        std::fs::rename(&self.look()[&orphan][0].path, tmp.join(&orphan)).unwrap();
        let stranger = |n: u32| format!("01a20763-3979-702b-8e03-40744{n:07}");
        let bytes = std::fs::read(tmp.join(&orphan)).unwrap();
        std::fs::write(tmp.join(stranger(1)), &bytes[..bytes.len() - 3]).unwrap();
        std::fs::create_dir_all(tmp.join(stranger(2)).join("0")).unwrap();
        std::fs::write(tmp.join(stranger(2)).join("0").join(format!("00000000000000ff.5.{}.0", stranger(3))), &bytes)
            .unwrap();
        make_old(&tmp);
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn put(&mut self, label: &'static str, queue: &str, options: &[&str]) {
        let body = format!("the body of {label}, whole");
        let stdout = expect(&self.spool(), &[&["put", queue, "-m", &body], options].concat(), 0);
        let id = String::from_utf8(stdout).unwrap().trim().to_owned();
        self.messages
            .insert(label, Message { queue: queue.to_owned(), id, body, deliveries: 0, receipt: String::new() });
    }

    fn claim(&mut self, label: &'static str, queue: &str) {
        let stdout = expect(&self.spool(), &["get", queue, "--json", "--visibility", "1000h"], 0);
        let got: Value = serde_json::from_slice(&stdout).unwrap();
        let message = self.messages.get_mut(label).unwrap();
        assert_eq!(got["id"].as_str(), Some(message.id.as_str()), "another one was next");
        message.deliveries += 1;
        got["receipt"].as_str().unwrap().clone_into(&mut message.receipt);
    }

    /// Moves a message to another place of its queue, as if it had got there and time had passed since.
    fn relocate(&mut self, label: &'static str, place: &str, deliveries: u32) {
        let message = self.messages.get_mut(label).unwrap();
        let spot = look(&self.dir.path().join("spool"))[&message.id][0].clone();
        let dir = self.dir.path().join("spool").join(&spot.queue).join(place);
        std::fs::create_dir_all(&dir).unwrap();
        let name = spot.path.file_name().unwrap().to_str().unwrap().rsplit_once('.').unwrap().0;
        std::fs::rename(&spot.path, dir.join(format!("{name}.{deliveries}"))).unwrap();
        message.deliveries = deliveries;
    }

    fn look(&self) -> BTreeMap<String, Vec<Spot>> {
        look(&self.spool())
    }

    /// Copies the spool with some of its queues, with its FIFOs and permissions, and with the ages of what is in `tmp/`.
    pub(crate) fn copy_to(&self, to: &Path, queues: &[String]) {
        let is_wanted = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            entry.depth() != 2 || entry.file_type().is_file() || queues.iter().any(|queue| *queue == name)
        };
        for entry in walkdir::WalkDir::new(self.dir.path()).into_iter().filter_entry(is_wanted) {
            let entry = entry.unwrap();
            let target = to.join(entry.path().strip_prefix(self.dir.path()).unwrap());
            if entry.file_type().is_dir() {
                std::fs::create_dir(&target).unwrap();
                std::fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
            } else if entry.file_type().is_file() {
                std::fs::copy(entry.path(), &target).unwrap();
            } else {
                rustix::fs::mknodat(CWD, &target, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            }
        }
        if self.messages.contains_key("orphan") {
            make_old(&to.join("spool/q/tmp"));
        }
    }
}

/// All message files of a spool by their ids, as the directories show them.
pub(crate) fn look(spool: &Path) -> BTreeMap<String, Vec<Spot>> {
    let mut found: BTreeMap<String, Vec<Spot>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(spool).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let inside = entry.path().strip_prefix(spool).unwrap().to_str().unwrap();
        let parts: Vec<&str> = inside.split('/').collect();
        let [queue, state, middle @ .., name] = parts.as_slice() else { continue };
        // (A marker of what becomes too old has the name of its message.)
        if *state == "expiry" {
            continue;
        }
        let of_name: Vec<&str> = name.split('.').collect();
        let (id, deliveries) = match of_name.as_slice() {
            [_, _, id, deliveries] if id.len() == 36 => (*id, deliveries.parse().unwrap_or(0)),
            [id] if id.len() == 36 => (*id, 0),
            _ => continue,
        };
        let place = match (*state, middle) {
            ("delayed" | "claimed", [second]) => format!("{state}/{second}"),
            _ => (*state).to_owned(),
        };
        let spot = Spot { queue: (*queue).to_owned(), place, deliveries, path: entry.path().to_owned() };
        found.entry(id.to_owned()).or_default().push(spot);
    }
    found
}
