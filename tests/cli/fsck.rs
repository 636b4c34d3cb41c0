//! fsck on a corpus of damaged spools: it finds each damage and nothing else, a look changes nothing, a repair mends
//! what can be mended and loses no message, and living queues are none of its business.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Spool, can_be_nobody};

/// What is done to a spool, what fsck says of it, and what receivers find after the repair.
struct Damage {
    name: &'static str,
    harm: fn(&Spool),
    /// The word for each finding, and what the repair says of it.
    finds: &'static [(&'static str, &'static str)],
    /// The deliverable bodies in order.
    delivered: &'static [&'static str],
    /// How many messages lie in quarantine.
    set_aside: u64,
}

const ALL: &[&str] = &["one", "two", "three"];

/// Three deliverable messages, one that is claimed for long, and one that is delayed for long.
pub(crate) fn whole() -> Spool {
    let spool = Spool::new();
    for body in ["claimed", "one", "two", "three"] {
        spool.put("q", body);
    }
    spool.claim("q", "1h");
    spool.mq(&["put", "q", "-m", "delayed", "--delay", "1h"]).ok();
    spool
}

pub(crate) fn ready(spool: &Spool, at: usize) -> PathBuf {
    spool.files_in("q", "ready").remove(at)
}

pub(crate) fn flip_last(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The name of a message with a part of it replaced.
pub(crate) fn renamed(path: &Path, part: usize, by: &str) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut parts: Vec<&str> = name.split('.').collect();
    parts[part] = by;
    path.with_file_name(parts.join("."))
}

/// Makes a temporary look as if its writer had died a while ago.
fn temporary(spool: &Spool, from: &Path) -> PathBuf {
    let name = from.file_name().unwrap().to_str().unwrap();
    let path = spool.queue_dir("q").join("tmp").join(name.split('.').nth(2).unwrap());
    fs::rename(from, &path).unwrap();
    grow_old(&path);
    path
}

fn grow_old(path: &Path) {
    File::open(path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

/// All that can be known of a directory: names, what stands behind them, and every byte.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    let look = |entry: walkdir::DirEntry| {
        let (path, meta) = (entry.path().to_owned(), entry.metadata().unwrap());
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        let facts = format!("{:?}", (meta.mode(), meta.ino(), meta.nlink(), meta.uid(), meta.gid(), meta.len(), times));
        let bytes = match meta.file_type() {
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        (path, (facts, bytes))
    };
    entries.map(look).collect()
}

/// The findings and the summary.
pub(crate) fn fsck(spool: &Spool, args: &[&str], status: i32) -> (Vec<Value>, Value) {
    let args = [&["fsck", "--json"], args].concat();
    let mut said = spool.mq(&args).status(status).quiet().jsons();
    let summary = said.pop().unwrap();
    assert_eq!(summary["found"], said.len());
    assert_eq!(summary["left"].as_u64().unwrap() > 0, status == 1, "{summary}");
    (said, summary)
}

pub(crate) fn words(findings: &[Value]) -> Vec<(String, String)> {
    let word = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    let mut words: Vec<_> =
        findings.iter().map(|finding| (word(finding, "finding"), word(finding, "outcome"))).collect();
    words.sort();
    words
}

impl Damage {
    fn go(&self) {
        eprintln!("{}", self.name);
        let spool = whole();
        (self.harm)(&spool);
        let before = tree(&spool.root());
        let (found, _) = fsck(&spool, &[], 1);
        assert_eq!(tree(&spool.root()), before, "{}: a look changes nothing", self.name);
        let mut expected: Vec<(String, String)> = self.finds.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        expected.sort();
        let is_left = expected.iter().any(|(_, outcome)| outcome != "done");
        let would = |outcome: &str| if outcome == "done" { "would".to_owned() } else { outcome.to_owned() };
        let as_told: Vec<_> = expected.iter().map(|(word, outcome)| (word.clone(), would(outcome))).collect();
        assert_eq!(words(&found), as_told, "{}: {found:?}", self.name);

        let (mended, _) = fsck(&spool, &["--repair"], i32::from(is_left));
        assert_eq!(words(&mended), expected, "{}: {mended:?}", self.name);
        let place = |finding: &Value| (finding["path"].to_string(), finding["what"].to_string());
        let places = |findings: &[Value]| findings.iter().map(place).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(places(&found), places(&mended), "{}", self.name);

        let (again, summary) = fsck(&spool, &[], i32::from(is_left));
        expected.retain(|(_, outcome)| outcome != "done");
        assert_eq!(words(&again), expected, "{}: {again:?}", self.name);
        assert_eq!(summary["set_aside"], self.set_aside, "{}", self.name);
        assert_eq!(summary["messages"], self.delivered.len() + 2, "{}", self.name);
        self.assert_delivered(&spool);
    }

    /// Every message that can be had is, and with its own body.
    fn assert_delivered(&self, spool: &Spool) {
        let policy = spool.queue_dir("q").join("policy.json");
        if fs::read(&policy).is_ok_and(|text| text == b"{") {
            fs::remove_file(policy).unwrap();
        }
        let lines = self.delivered.iter().fold(String::new(), |lines, body| lines + body + "\n");
        spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok().quiet().wrote(lines);
        let stat = spool.stat("q");
        assert_eq!((&stat["claimed"], &stat["delayed"]), (&1.into(), &1.into()), "{}: {stat}", self.name);
    }
}

const DAMAGED: &[(&str, &str)] = &[("damaged", "done")];
const STRAY: &[(&str, &str)] = &[("stray", "by-hand")];
const MISPLACED: &[(&str, &str)] = &[("misplaced", "done")];
const MISSING: &[(&str, &str)] = &[("missing-part", "done")];
const TWO_MISSING: &[(&str, &str)] = &[("missing-part", "done"); 2];
const TEN_MISSING: &[(&str, &str)] = &[("missing-part", "done"); 10];
const COPY: &[(&str, &str)] = &[("copy", "done")];
const ORPHAN: &[(&str, &str)] = &[("orphan-temporary", "done")];
const COUNTER: &[(&str, &str)] = &[("counter", "done")];

fn run_all(corpus: &[Damage]) {
    corpus.iter().for_each(Damage::go);
}

#[test]
fn i1_i3_messages_that_are_damaged_are_set_aside() {
    let rest = &["two", "three"];
    let damage = |name, harm| Damage { name, harm, finds: DAMAGED, delivered: rest, set_aside: 1 };
    run_all(&[
        damage("a flipped bit", |spool| flip_last(&ready(spool, 0))),
        damage("cut short", |spool| {
            let file = File::options().write(true).open(ready(spool, 0)).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        }),
        damage("emptied", |spool| fs::write(ready(spool, 0), "").unwrap()),
        damage("no header", |spool| fs::write(ready(spool, 0), "just some text\n").unwrap()),
        damage("another message's bytes", |spool| {
            let other = Spool::new();
            other.put("q", "x");
            fs::copy(ready(&other, 0), ready(spool, 0)).unwrap();
        }),
        damage("damaged and in the wrong leaf", |spool| {
            let path = ready(spool, 0);
            flip_last(&path);
            let leaf = path.parent().unwrap().with_file_name("07");
            fs::create_dir(&leaf).unwrap();
            set_mode(&leaf, 0o700);
            fs::rename(&path, leaf.join(path.file_name().unwrap())).unwrap();
        }),
        Damage {
            name: "its place in quarantine is taken",
            harm: |spool| {
                let path = ready(spool, 0);
                fs::copy(&path, spool.queue_dir("q").join("corrupt").join(path.file_name().unwrap())).unwrap();
                flip_last(&path);
            },
            finds: DAMAGED,
            delivered: rest,
            set_aside: 2,
        },
    ]);
}

#[test]
fn i2_a_damaged_message_under_a_claim_is_left_to_it() {
    let spool = whole();
    flip_last(&spool.files_in("q", "claimed")[0]);
    let (found, _) = fsck(&spool, &["--repair"], 1);
    assert_eq!(words(&found), [("damaged".to_owned(), "by-hand".to_owned())]);
    assert_eq!(spool.count("q", "claimed"), 1);
}

#[test]
fn i1_a_copy_that_is_whole_stays_beside_a_damaged_message() {
    let spool = whole();
    let path = spool.files_in("q", "claimed").remove(0);
    let leaf = ready(&spool, 0).parent().unwrap().to_owned();
    fs::copy(&path, renamed(&leaf.join(path.file_name().unwrap()), 3, "0")).unwrap();
    flip_last(&path);
    let (found, _) = fsck(&spool, &["--repair"], 1);
    let left = |word: &str| (word.to_owned(), "by-hand".to_owned());
    assert_eq!(words(&found), [left("copy"), left("damaged")]);
    assert_eq!(spool.bodies("q"), ["claimed", "one", "two", "three"]);
}

#[test]
fn i1_messages_in_the_wrong_place_are_brought_where_receivers_find_them() {
    let damage = |name, harm, delivered| Damage { name, harm, finds: MISPLACED, delivered, set_aside: 0 };
    run_all(&[
        damage(
            "in the wrong leaf",
            |spool| {
                let path = ready(spool, 1);
                let leaf = path.parent().unwrap().with_file_name("0a");
                fs::create_dir(&leaf).unwrap();
                set_mode(&leaf, 0o700);
                fs::rename(&path, leaf.join(path.file_name().unwrap())).unwrap();
            },
            ALL,
        ),
        damage(
            "under the wrong priority",
            |spool| {
                let path = ready(spool, 1);
                let script = "cd spool/q/ready && umask 077 && cp -R --attributes-only 5 9 && find 9 -type f -delete";
                spool.sh(script).ok();
                let to = path.to_str().unwrap().replace("/ready/5/", "/ready/9/");
                fs::rename(&path, to).unwrap();
            },
            ALL,
        ),
        damage(
            "directly in ready/",
            |spool| {
                let path = ready(spool, 1);
                let to = spool.queue_dir("q").join("ready").join(path.file_name().unwrap());
                fs::rename(path, to).unwrap();
            },
            ALL,
        ),
        damage(
            "under a name that is none",
            |spool| {
                let path = ready(spool, 0);
                fs::rename(&path, path.with_file_name("0 a\nname")).unwrap();
            },
            &["two", "three", "one"],
        ),
        damage(
            "directly in claimed/, under a name that is none",
            |spool| fs::rename(ready(spool, 0), spool.queue_dir("q").join("claimed/x.bak")).unwrap(),
            &["two", "three", "one"],
        ),
    ]);
}

#[test]
fn i1_messages_that_are_there_twice_are_delivered_once() {
    let copy = |finds| Damage { name: "", harm: |_| {}, finds, delivered: ALL, set_aside: 1 };
    run_all(&[
        Damage {
            name: "a copy with another count",
            harm: |spool| {
                let path = ready(spool, 0);
                fs::copy(&path, renamed(&path, 3, "2")).unwrap();
            },
            ..copy(COPY)
        },
        Damage {
            name: "a copy of the claimed one",
            harm: |spool| {
                let path = spool.files_in("q", "claimed").remove(0);
                let leaf = ready(spool, 0).parent().unwrap().to_owned();
                fs::copy(&path, renamed(&leaf.join(path.file_name().unwrap()), 3, "0")).unwrap();
            },
            ..copy(COPY)
        },
        Damage {
            name: "a second name",
            harm: |spool| {
                let path = ready(spool, 0);
                fs::hard_link(&path, renamed(&path, 3, "1")).unwrap();
            },
            ..copy(&[("two-names", "done")])
        },
    ]);
}

#[test]
fn i7_temporaries_of_the_dead_are_published_or_removed() {
    let damage = |name, harm, delivered| Damage { name, harm, finds: ORPHAN, delivered, set_aside: 0 };
    run_all(&[
        damage("whole", |spool| drop(temporary(spool, &ready(spool, 0))), &["two", "three", "one"]),
        damage(
            "half",
            |spool| {
                let path = temporary(spool, &ready(spool, 0));
                flip_last(&path);
                grow_old(&path);
            },
            &["two", "three"],
        ),
        damage(
            "a batch",
            |spool| {
                let batch = spool.queue_dir("q").join("tmp/01900000-0000-7000-8000-000000000000");
                fs::create_dir_all(batch.join("0")).unwrap();
                fs::copy(ready(spool, 0), batch.join("0/x")).unwrap();
                grow_old(&batch);
            },
            ALL,
        ),
    ]);
}

#[test]
fn what_is_not_ours_is_named_and_left_alone() {
    let damage = |name, harm| Damage { name, harm, finds: STRAY, delivered: ALL, set_aside: 0 };
    run_all(&[
        damage("a file in the queue", |spool| fs::write(spool.queue_dir("q").join("notes"), "x").unwrap()),
        damage("a file in a leaf", |spool| fs::write(ready(spool, 0).with_file_name("README"), "x").unwrap()),
        damage("a file in tmp/", |spool| fs::write(spool.queue_dir("q").join("tmp/.x.swp"), "x").unwrap()),
        damage("a file in corrupt/", |spool| fs::write(spool.queue_dir("q").join("corrupt/x"), "x").unwrap()),
        damage("a file in the spool", |spool| fs::write(spool.root().join("notes"), "x").unwrap()),
        damage("a directory in the spool", |spool| fs::create_dir(spool.root().join("notes")).unwrap()),
        damage("a directory in the spool that has some of our names in it", |spool| {
            spool.sh("mkdir spool/notes; cd spool/notes; mkdir ready tmp state sweep").ok();
        }),
        damage("a directory in the queue", |spool| fs::create_dir(spool.queue_dir("q").join("x")).unwrap()),
        damage("a second that is none", |spool| fs::create_dir(spool.queue_dir("q").join("delayed/007")).unwrap()),
        damage("a link to a message", |spool| {
            let path = ready(spool, 0);
            symlink(&path, renamed(&path, 0, "00000000000000ff")).unwrap();
        }),
        damage("a link in the spool", |spool| symlink("q", spool.root().join("other")).unwrap()),
        damage("a name that is no text", |spool| {
            use std::os::unix::ffi::OsStrExt as _;
            let name = std::ffi::OsStr::from_bytes(b"\xff\x1b[2J");
            fs::write(spool.queue_dir("q").join("ready").join(name), "x").unwrap();
        }),
    ]);
}

/// Removes parts of the queue.
fn lose(spool: &Spool, parts: &[&str]) {
    for part in parts.iter().map(|part| spool.queue_dir("q").join(part)) {
        if part.is_dir() { fs::remove_dir_all(part).unwrap() } else { fs::remove_file(part).unwrap() }
    }
}

#[test]
fn what_every_queue_has_is_made_again() {
    let missing = |name, harm| Damage { name, harm, finds: MISSING, delivered: ALL, set_aside: 0 };
    run_all(&[
        missing("tmp", |spool| fs::remove_dir(spool.queue_dir("q").join("tmp")).unwrap()),
        missing("corrupt", |spool| fs::remove_dir(spool.queue_dir("q").join("corrupt")).unwrap()),
        missing("held", |spool| fs::remove_dir(spool.queue_dir("q").join("claimed/held")).unwrap()),
        missing("a spare", |spool| fs::remove_dir(spool.queue_dir("q").join("spare/2")).unwrap()),
        missing("lock", |spool| fs::remove_file(spool.queue_dir("q").join("lock")).unwrap()),
        missing("sweep", |spool| fs::remove_file(spool.queue_dir("q").join("sweep")).unwrap()),
        missing("wake", |spool| fs::remove_file(spool.queue_dir("q").join("wake")).unwrap()),
        missing("state", |spool| fs::remove_file(spool.queue_dir("q").join("state")).unwrap()),
        Damage { finds: TWO_MISSING, ..missing("state and tmp", |spool| lose(spool, &["state", "tmp"])) },
        Damage { finds: TWO_MISSING, ..missing("state and corrupt", |spool| lose(spool, &["state", "corrupt"])) },
        Damage {
            finds: TEN_MISSING,
            ..missing("what is empty", |spool| {
                lose(spool, &["state", "tmp", "claimed/held", "corrupt", "spare", "wake"]);
            })
        },
        Damage {
            finds: &[("wrong-kind", "done")],
            ..missing("a file for a FIFO", |spool| {
                let wake = spool.queue_dir("q").join("wake");
                fs::remove_file(&wake).unwrap();
                fs::write(wake, "").unwrap();
            })
        },
        Damage {
            finds: &[("wrong-kind", "by-hand")],
            ..missing("a link for a directory", |spool| {
                let held = spool.queue_dir("q").join("corrupt");
                fs::rename(&held, spool.path("elsewhere")).unwrap();
                symlink(spool.path("elsewhere"), held).unwrap();
            })
        },
        Damage {
            finds: &[("policy", "by-hand")],
            ..missing("a policy that is none", |spool| {
                let policy = spool.queue_dir("q").join("policy.json");
                fs::write(&policy, "{").unwrap();
                set_mode(&policy, 0o600);
            })
        },
    ]);
}

#[test]
fn i8_a_counter_that_is_wrong_is_put_above_every_number() {
    let damage = |name, harm| Damage { name, harm, finds: COUNTER, delivered: ALL, set_aside: 0 };
    run_all(&[
        damage("torn", |spool| fs::write(spool.queue_dir("q").join("state"), "torn").unwrap()),
        damage("emptied", |spool| fs::write(spool.queue_dir("q").join("state"), "").unwrap()),
        damage("set back", |spool| {
            let state = fs::read(spool.queue_dir("q").join("state")).unwrap();
            let fresh = Spool::new();
            fresh.mq(&["create", "q"]).ok();
            let zero = fs::read(fresh.queue_dir("q").join("state")).unwrap();
            assert_ne!(state, zero);
            fs::write(spool.queue_dir("q").join("state"), zero).unwrap();
        }),
        Damage {
            finds: &[("same-number", "by-hand")],
            ..damage("two messages with one number", |spool| {
                let (one, two) = (ready(spool, 0), ready(spool, 1));
                let number = one.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
                fs::rename(&two, renamed(&two, 0, &number)).unwrap();
            })
        },
    ]);
    let spool = whole();
    fs::write(spool.queue_dir("q").join("state"), "torn").unwrap();
    fsck(&spool, &["--repair"], 0);
    spool.put("q", "last");
    assert_eq!(spool.bodies("q"), ["one", "two", "three", "last"]);
}

#[test]
fn permissions_and_owners_are_those_of_the_queue() {
    let mode = |name, harm| Damage { name, harm, finds: &[("wrong-mode", "done")], delivered: ALL, set_aside: 0 };
    run_all(&[
        mode("a message", |spool| set_mode(&ready(spool, 0), 0o644)),
        mode("a leaf", |spool| set_mode(ready(spool, 0).parent().unwrap(), 0o755)),
        mode("ready/", |spool| set_mode(&spool.queue_dir("q").join("ready"), 0o777)),
        mode("state", |spool| set_mode(&spool.queue_dir("q").join("state"), 0o640)),
        mode("wake", |spool| set_mode(&spool.queue_dir("q").join("wake"), 0o666)),
    ]);
    if !can_be_nobody() {
        println!("skipped: needs root and setpriv");
        return;
    }
    let give_away = |spool: &Spool| std::os::unix::fs::lchown(ready(spool, 0), Some(65534), None).unwrap();
    run_all(&[Damage { finds: &[("wrong-owner", "done")], ..mode("a message of another's", give_away) }]);
}

/// A file with a second name may be anybody's: a link to it in the spool does not make it the spool's.
#[test]
fn rights_of_a_file_with_another_name_are_left_alone() {
    let spool = whole();
    let outside = spool.file("outside", "somebody's");
    set_mode(&outside, 0o644);
    for part in ["sweep", "lock"] {
        let part = spool.queue_dir("q").join(part);
        fs::remove_file(&part).unwrap();
        fs::hard_link(&outside, part).unwrap();
    }
    let message = ready(&spool, 0);
    set_mode(&message, 0o640);
    fs::hard_link(&message, spool.path("backup")).unwrap();
    if can_be_nobody() {
        std::os::unix::fs::chown(&outside, Some(65534), Some(65534)).unwrap();
    }
    let before = [fs::metadata(&outside).unwrap(), fs::metadata(&message).unwrap()];
    let (found, _) = fsck(&spool, &["--repair"], 1);
    assert!(words(&found).iter().all(|(_, outcome)| outcome == "by-hand"), "{found:?}");
    let modes = words(&found).iter().filter(|(word, _)| word == "wrong-mode").count();
    assert_eq!(modes, 3, "{found:?}");
    for (before, path) in before.iter().zip([&outside, &message]) {
        let now = fs::metadata(path).unwrap();
        assert_eq!((now.mode(), now.uid(), now.gid()), (before.mode(), before.uid(), before.gid()));
    }
}

#[test]
fn nothing_is_written_into_a_file_with_another_name() {
    let spool = whole();
    let outside = spool.file("outside", "");
    set_mode(&outside, 0o600);
    for part in ["format", "q/state"] {
        let part = spool.root().join(part);
        fs::remove_file(&part).unwrap();
        fs::hard_link(&outside, part).unwrap();
    }
    let (found, _) = fsck(&spool, &["--repair"], 1);
    let left = |word: &str| (word.to_owned(), "by-hand".to_owned());
    assert_eq!(words(&found), [left("counter"), left("format-missing")]);
    assert_eq!(spool.read("outside"), b"");
    fs::remove_file(spool.root().join("format")).unwrap();
    fs::remove_file(spool.root().join("q/state")).unwrap();
    fsck(&spool, &["--repair"], 0);
    assert_eq!(spool.bodies("q"), ALL);
}

#[test]
fn what_is_left_of_making_and_dropping_is_put_in_order() {
    let damage = |name, harm| Damage { name, harm, finds: &[("leftover", "done")], delivered: ALL, set_aside: 0 };
    run_all(&[
        damage("half made", |spool| fs::create_dir_all(spool.root().join(".new-x/tmp")).unwrap()),
        damage("half dropped", |spool| fs::create_dir_all(spool.root().join(".dropped-x/tmp")).unwrap()),
        damage("looked through", |spool| {
            spool.sh("mq create other && mv spool/other spool/.checking-other").ok();
        }),
    ]);
}
