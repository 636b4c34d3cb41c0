//! The table of verbs: what is run, on which spool, and what each of them promises.

use std::process::Command;

use super::world::{Kind, PAST_BODY, QUEUES, Worlds};
use crate::common::{mq_bin, quiet};

/// Something that is run, and what it is to do.
pub(crate) struct Verb {
    pub(crate) args: Vec<String>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) world: Kind,
    /// The queues of the spool that it is run on; the others are left out.
    pub(crate) queues: Vec<String>,
    pub(crate) promise: Promise,
    /// Its status when it has done its work.
    pub(crate) status: i32,
}

/// Where a deleted message must have arrived before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// On stdout.
    Stdout,
    /// In this file of the case's directory.
    File(&'static str),
    /// Nowhere: it was to be deleted.
    None,
}

/// What a verb does when it has done its work, and thereby what it may have done when it has not.
#[derive(Debug, Clone)]
pub(crate) enum Promise {
    /// Messages with these bodies are there, in this state of this queue, and their ids are printed.
    Puts { queue: &'static str, state: &'static str, bodies: Vec<Vec<u8>> },
    /// Up to `most` of these are claimed, their bodies on stdout, their receipts told where `told` says.
    Claims { labels: Vec<&'static str>, told: Evidence, most: usize },
    /// These, or up to `most` of these, are deleted; nothing is before there is evidence.
    Deletes { labels: Vec<&'static str>, evidence: Evidence, most: usize },
    /// These are in this state of this queue.
    Places { labels: Vec<&'static str>, queue: &'static str, state: &'static str },
    /// These have been handed to a command that failed, and are deliverable again.
    Returns { label: &'static str, file: &'static str },
    /// This one has this body, and is where it was.
    Edits { label: &'static str, body: &'static str },
    /// The queue has a policy file that says so.
    Sets { queue: &'static str, text: &'static str },
    /// Messages with these bodies are there, in the state `ready` of this queue, whose archive has them.
    Replays { queue: &'static str, bodies: Vec<Vec<u8>> },
    /// The queue is gone with all that is in it.
    Drops { queue: &'static str, labels: Vec<&'static str> },
    /// What is damaged is mended, now or by the next repair, before or after all that can be had is delivered.
    Mends { is_drained_first: bool },
    /// Nothing: what is there stays there.
    Looks,
}

impl Verb {
    fn new(world: Kind, args: &[&str], promise: Promise) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut queues: Vec<String> = args.iter().filter(|arg| QUEUES.contains(&arg.as_str())).cloned().collect();
        if queues.is_empty() {
            queues.push("q".to_owned());
        }
        Self { args, stdin: Vec::new(), files: Vec::new(), world, queues, promise, status: 0 }
    }

    fn queues(self, queues: &[&str]) -> Self {
        Self { queues: queues.iter().map(|queue| (*queue).to_owned()).collect(), ..self }
    }

    /// Whether it imports a directory, and so can be repeated.
    pub(crate) fn is_of_a_directory(&self) -> bool {
        self.args.iter().any(|arg| arg == "--maildir" || arg == "--dirq")
    }

    fn stdin(self, stdin: Vec<u8>) -> Self {
        Self { stdin, ..self }
    }

    fn files(self, files: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self { files, ..self }
    }

    fn status(self, status: i32) -> Self {
        Self { status, ..self }
    }
}

/// What of `q` is ready, in the order in which it is delivered.
const READY: [&str; 3] = ["ready-1", "ready-2", "ready-3"];

/// All of `q` in a calm spool.
const ALL: [&str; 7] = ["worn", "claim-a", "claim-b", "later", "ready-1", "ready-2", "ready-3"];

/// What a receiver of the littered `q` can meet.
const ANY: [&str; 8] = ["ended-1", "ended-2", "due", "widow", "orphan", "ready-1", "ready-2", "ready-3"];

/// A message as `export` writes it.
const EXPORTED: &[u8] = br#"{"id":"018bcfe5-684b-722a-b1ba-804098e6cb29","queue":"q","state":"ready","deliveries":0,"put_at":"2023-11-14T22:13:20.075Z","priority":5,"bytes":3,"body":"new"}
"#;

/// What the editor makes of every body.
pub(crate) const EDITED: &str = "edited";

/// Keeps a copy of what it is given, as a line.
const KEEP: &str = "{ cat; echo; } >>handled";

/// Every verb that changes something, and those that look and sweep before they do.
pub(crate) fn all(worlds: &Worlds) -> Vec<Verb> {
    let mut verbs = puts();
    verbs.extend(gets());
    verbs.extend(with_receipts(worlds));
    verbs.extend(of_queues());
    verbs.extend(by_filter(worlds));
    verbs.extend(sweeping());
    verbs.extend(mending());
    verbs.extend(of_the_archive(worlds));
    verbs.extend(from_elsewhere());
    verbs
}

fn puts() -> Vec<Verb> {
    use Kind::{Calm, Littered, Nothing};
    let puts = |queue, state, bodies: &[&[u8]]| {
        let bodies = bodies.iter().map(|body| body.to_vec()).collect();
        Promise::Puts { queue, state, bodies }
    };
    let lines: Vec<Vec<u8>> = (0..300).map(|n| format!("line {n}").into_bytes()).collect();
    let text = [lines.join(&b'\n'), b"\n".to_vec()].concat();
    let (large, larger) = (vec![b'l'; 200_000], vec![b'L'; 600_000]);
    let one = || puts("q", "ready", &[b"new"]);
    let three = || puts("q", "ready", &[b"a", b"b", b"c"]);
    vec![
        Verb::new(Calm, &["put", "q", "-m", "new"], one()),
        Verb::new(Calm, &["put", "q"], one()).stdin(b"new".to_vec()),
        Verb::new(Calm, &["put", "q", "-m", "new", "--durability", "none"], one()),
        Verb::new(Littered, &["put", "q", "-m", "new"], one()),
        Verb::new(Calm, &["put", "q", "-m", "new", "--unique", "k"], one()),
        Verb::new(Calm, &["put", "q", "-m", "new", "--group", "g"], one()),
        Verb::new(Calm, &["put", "q", "--lines", "--group", "g"], puts("q", "ready", &[b"a"])).stdin(b"a\n".to_vec()),
        Verb::new(Calm, &["put", "q", "-m", "new", "--delay", "1h"], puts("q", "delayed", &[b"new"])),
        Verb::new(Calm, &["put", "q", "--lines"], three()).stdin(b"a\nb\nc\n".to_vec()),
        Verb::new(Calm, &["put", "q", "--lines", "--batch", "atomic"], three()).stdin(b"a\nb\nc\n".to_vec()),
        Verb::new(Calm, &["put", "q", "-m", "new", "--ttl", "1h"], one()),
        Verb::new(Calm, &["put", "empty", "--lines"], Promise::Puts { queue: "empty", state: "ready", bodies: lines })
            .stdin(text),
        Verb::new(Calm, &["put", "q", "one", "two"], puts("q", "ready", &[b"first file", b"second file"]))
            .files(vec![("one", b"first file".to_vec()), ("two", b"second file".to_vec())]),
        Verb::new(Calm, &["put", "q", "large"], puts("q", "ready", &[&large])).files(vec![("large", large.clone())]),
        Verb::new(Calm, &["put", "q", "larger"], puts("q", "ready", &[&larger]))
            .files(vec![("larger", larger.clone())]),
        Verb::new(Calm, &["put", "fresh", "-m", "new"], puts("fresh", "ready", &[b"new"])),
        Verb::new(Calm, &["import", "q"], one()).stdin(EXPORTED.to_vec()),
        Verb::new(Calm, &["put", "fresh", "-m", "a", "-m", "b"], puts("fresh", "ready", &[b"a", b"b"])),
        Verb::new(Nothing, &["put", "fresh", "-m", "new"], puts("fresh", "ready", &[b"new"])),
    ]
}

fn gets() -> Vec<Verb> {
    use Evidence::{File, None, Stdout};
    use Kind::{Calm, Littered};
    let claims = |told, most| Promise::Claims { labels: READY.to_vec(), told, most };
    let deletes = |evidence, most| Promise::Deletes { labels: READY.to_vec(), evidence, most };
    let fails = || Promise::Returns { label: "ready-1", file: "handled" };
    // The orphan is one only where a complete temporary is a message.
    let any = || Promise::Deletes { labels: ANY.to_vec(), evidence: Stdout, most: ANY.len() - 1 };
    vec![
        Verb::new(Calm, &["get", "q"], claims(None, 1)),
        Verb::new(Calm, &["get", "q", "--json"], claims(Stdout, 1)),
        Verb::new(
            Calm,
            &["get", "q", "--count", "3", "--lines", "--receipt-file", "receipts"],
            claims(File("receipts"), 3),
        ),
        Verb::new(Calm, &["get", "q", "--count", "2", "--json"], claims(Stdout, 2)),
        Verb::new(Calm, &["get", "empty"], Promise::Looks).status(1),
        Verb::new(Calm, &["get", "paused"], Promise::Looks).status(75),
        Verb::new(Calm, &["get", "q", "--delete"], deletes(Stdout, 1)),
        Verb::new(Calm, &["get", "q", "--delete", "--lines", "--count", "all"], deletes(Stdout, 3)),
        Verb::new(Calm, &["get", "q", "--delete", "--output", "out"], deletes(File("out"), 1)),
        Verb::new(Calm, &["get", "q", "--", "sh", "-c", KEEP], deletes(File("handled"), 1)),
        Verb::new(Calm, &["get", "q", "--", "sh", "-c", &format!("{KEEP}; exit 3")], fails()).status(3),
        Verb::new(Littered, &["get", "q"], Promise::Claims { labels: ANY.to_vec(), told: None, most: 1 }),
        Verb::new(Littered, &["get", "q", "--delete", "--lines", "--count", "all"], any()),
    ]
}

fn with_receipts(worlds: &Worlds) -> Vec<Verb> {
    use Kind::Calm;
    let receipt = |label: &str| worlds.get(Calm).messages[label].receipt.clone();
    let (a, b, worn, buried) = (&receipt("claim-a"), &receipt("claim-b"), &receipt("worn"), &receipt("buried"));
    let both = || vec!["claim-a", "claim-b"];
    let deletes = |labels: Vec<_>| Promise::Deletes { most: labels.len(), labels, evidence: Evidence::None };
    let places = |labels, queue, state| Promise::Places { labels, queue, state };
    vec![
        Verb::new(Calm, &["delete", a], deletes(vec!["claim-a"])),
        Verb::new(Calm, &["delete", a, b], deletes(both())),
        Verb::new(Calm, &["delete", "-"], deletes(both())).stdin(format!("{a}\n{b}\n").into_bytes()),
        Verb::new(Calm, &["release", a], places(vec!["claim-a"], "q", "ready")),
        Verb::new(Calm, &["release", a, b], places(both(), "q", "ready")),
        Verb::new(Calm, &["release", a, "--delay", "1h"], places(vec!["claim-a"], "q", "delayed")),
        // The dead letters' queue has to be made, or is there.
        Verb::new(Calm, &["release", worn], places(vec!["worn"], "q.dead", "ready")),
        Verb::new(Calm, &["release", buried], places(vec!["buried"], "buried.dead", "ready"))
            .queues(&["buried", "buried.dead"]),
        Verb::new(Calm, &["extend", a, "--visibility", "3h"], places(vec!["claim-a"], "q", "claimed")),
        Verb::new(Calm, &["extend", a, b, "--visibility", "3h"], places(both(), "q", "claimed")),
    ]
}

fn of_queues() -> Vec<Verb> {
    use Kind::{Calm, Littered, Nothing};
    let drops = |queue, labels: &[&'static str]| Promise::Drops { queue, labels: labels.to_vec() };
    let purges = |labels: &[&'static str]| Promise::Deletes {
        labels: labels.to_vec(),
        evidence: Evidence::None,
        most: labels.len(),
    };
    let moves = |labels: &[&'static str]| Promise::Places { labels: labels.to_vec(), queue: "r", state: "ready" };
    let sets = |queue, text| Promise::Sets { queue, text };
    vec![
        Verb::new(Calm, &["purge", "q"], purges(&ALL)),
        Verb::new(Calm, &["move", "q", "r"], moves(&READY)),
        Verb::new(
            Calm,
            &["move", "lone", "empty"],
            Promise::Places { labels: vec!["lone"], queue: "empty", state: "ready" },
        ),
        Verb::new(Calm, &["create", "new", "visibility=7m"], sets("new", "7m")),
        Verb::new(Nothing, &["create", "new", "visibility=7m"], sets("new", "7m")),
        Verb::new(Calm, &["create", "q", "--if-missing"], Promise::Looks),
        Verb::new(Calm, &["set", "q", "visibility=7m"], sets("q", "7m")),
        Verb::new(Calm, &["set", "empty", "visibility=7m"], sets("empty", "7m")),
        Verb::new(Calm, &["pause", "q"], sets("q", "\"paused\": true")),
        Verb::new(Calm, &["resume", "paused"], Promise::Looks),
        Verb::new(Calm, &["drop", "empty"], drops("empty", &[])),
        Verb::new(Calm, &["drop", "q"], Promise::Looks).status(2),
        Verb::new(Calm, &["drop", "q", "--force"], drops("q", &ALL)),
        Verb::new(Littered, &["drop", "q"], Promise::Looks).status(2),
    ]
}

/// What is done to some messages of a queue.
fn by_filter(worlds: &Worlds) -> Vec<Verb> {
    use Kind::Calm;
    let id = &worlds.get(Calm).messages["ready-2"].id;
    let purges = Promise::Deletes { labels: vec!["ready-2"], evidence: Evidence::None, most: 1 };
    let places = |label, queue| Promise::Places { labels: vec![label], queue, state: "ready" };
    vec![
        Verb::new(Calm, &["purge", "q", "--id", id], purges),
        Verb::new(Calm, &["move", "q", "r", "--id", id], places("ready-2", "r")),
        Verb::new(Calm, &["redrive", "buried.dead"], places("letter", "empty")).queues(&["buried.dead", "empty"]),
        Verb::new(Calm, &["edit", "q", id], Promise::Edits { label: "ready-2", body: EDITED }),
    ]
}

/// What a queue with an archive makes of a delete, and what is made of its archive.
fn of_the_archive(worlds: &Worlds) -> Vec<Verb> {
    use Kind::Calm;
    let receipt = &worlds.get(Calm).messages["kept"].receipt;
    let deletes = Promise::Deletes { labels: vec!["kept"], evidence: Evidence::None, most: 1 };
    let replays = Promise::Replays { queue: "kept", bodies: vec![PAST_BODY.as_bytes().to_vec()] };
    vec![
        Verb::new(Calm, &["delete", receipt], deletes).queues(&["kept"]),
        Verb::new(Calm, &["replay", "kept"], replays),
        Verb::new(Calm, &["replay", "kept", "--dry-run"], Promise::Looks),
        Verb::new(Calm, &["list", "kept", "--archived"], Promise::Looks),
    ]
}

/// What lies in the directories of others, the oldest first.
fn from_elsewhere() -> Vec<Verb> {
    use Kind::{Calm, Littered, Nothing};
    let imports = |queue| {
        let bodies = [&b"the first"[..], b"the second", b"the third"].map(<[u8]>::to_vec).into();
        Promise::Puts { queue, state: "ready", bodies }
    };
    let mails = || {
        let third = ("mail/new/1700000003.M1P1.host", b"the third".to_vec());
        let first = ("mail/cur/1700000001.M1P1.host:2,S", b"the first".to_vec());
        vec![third, first, ("mail/new/1700000002.M1P1.host", b"the second".to_vec())]
    };
    let elements = || {
        let second = ("old/00000000/00000000000002", b"the second".to_vec());
        let third = ("old/0000003c/00000000000001", b"the third".to_vec());
        vec![("old/00000000/00000000000001", b"the first".to_vec()), second, third]
    };
    vec![
        Verb::new(Calm, &["import", "q", "--maildir", "mail"], imports("q")).files(mails()),
        Verb::new(Littered, &["import", "q", "--maildir", "mail"], imports("q")).files(mails()),
        Verb::new(Nothing, &["import", "fresh", "--maildir", "mail"], imports("fresh")).files(mails()),
        Verb::new(Calm, &["import", "q", "--dirq", "old"], imports("q")).files(elements()),
        Verb::new(Calm, &["import", "fresh", "--dirq", "old"], imports("fresh")).files(elements()),
    ]
}

/// Those that only look, but sweep before.
fn sweeping() -> Vec<Verb> {
    let lines: [&[&str]; 7] = [
        &["stat", "q"],
        &["stat"],
        &["list", "q"],
        &["peek", "q"],
        &["export", "q"],
        &["stat", "q", "--json"],
        &["fsck", "--repair"],
    ];
    let looks = |args: &&[&str]| Verb::new(Kind::Littered, args, Promise::Looks);
    lines.iter().filter(|args| exists(args[0])).map(looks).collect()
}

/// What is nobody's is left, which is a finding.
fn mending() -> Vec<Verb> {
    let mends = |is_drained_first| {
        Verb::new(Kind::Damaged, &["fsck", "--repair"], Promise::Mends { is_drained_first }).status(1)
    };
    [false, true].map(mends).into()
}

/// Whether there is such a verb.
fn exists(verb: &str) -> bool {
    quiet(Command::new(mq_bin()).args([verb, "--help"]))
}
