//! fsck and the spool as a whole: the format file, who may look, what it says and how, and being killed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::fsck::{flip_last, fsck, ready, renamed, set_mode, tree, whole, words};
use crate::support::{Running, Spool, can_be_nobody, lines_of, mq_as_nobody, mq_program, run, until};

fn told(word: &str, outcome: &str) -> Vec<(String, String)> {
    vec![(word.to_owned(), outcome.to_owned())]
}

#[test]
fn a_whole_spool_is_clean_and_stays_as_it_is() {
    let spool = whole();
    let before = tree(&spool.root());
    let (found, summary) = fsck(&spool, &[], 0);
    assert!(found.is_empty());
    assert_eq!((&summary["queues"], &summary["messages"], &summary["left"]), (&1.into(), &5.into(), &0.into()));
    assert_eq!(tree(&spool.root()), before);
    fsck(&spool, &["--repair"], 0);
    assert_eq!(tree(&spool.root()), before, "nor is anything mended that is whole");
    let said = spool.mq(&["fsck"]).ok().quiet().lines();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], "1 queue, 5 messages: nothing is wrong");
    assert!(said[1].starts_with("order of syncs: ") && said[1].contains(", because the file system "));
}

#[test]
fn no_spool_yet_is_nothing_wrong() {
    let spool = Spool::new();
    let (_, summary) = fsck(&spool, &[], 0);
    assert_eq!(summary["queues"], 0);
    fsck(&spool, &["--repair"], 0);
    assert!(!spool.root().exists());
    spool.mq(&["fsck", "q"]).fails(66);
    fs::create_dir(spool.root()).unwrap();
    fsck(&spool, &[], 0);
    fs::write(spool.root().join("notes"), "x").unwrap();
    spool.mq(&["fsck"]).fails(78).says("not a spool");
    spool.mq(&["fsck", "--repair"]).fails(78);
    assert_eq!(fs::read_dir(spool.root()).unwrap().count(), 1);
}

#[test]
fn i1_a_lost_format_file_is_written_again() {
    for damage in ["rm", "truncate -s 0"] {
        let spool = whole();
        spool.sh(&format!("{damage} spool/format")).ok();
        let before = tree(&spool.root());
        assert_eq!(words(&fsck(&spool, &[], 1).0), told("format-missing", "would"));
        assert_eq!(tree(&spool.root()), before);
        assert_eq!(words(&fsck(&spool, &["--repair"], 0).0), told("format-missing", "done"));
        fsck(&spool, &[], 0);
        assert_eq!(spool.bodies("q"), ["one", "two", "three"]);
    }
}

#[test]
fn a_format_that_is_not_known_is_told_and_nothing_is_touched() {
    let spool = whole();
    flip_last(&ready(&spool, 0));
    fs::write(spool.root().join("format"), "mq-spool 2\n").unwrap();
    let before = tree(&spool.root());
    for args in [&[][..], &["--repair"]] {
        assert_eq!(words(&fsck(&spool, args, 1).0), told("format-version", "by-hand"));
        assert_eq!(tree(&spool.root()), before);
    }
    assert!(spool.mq(&["fsck"]).status(1).text().contains("'mq-spool 2'"));
}

#[test]
fn queues_that_are_named_are_looked_at_alone() {
    let spool = whole();
    spool.put("p", "x");
    flip_last(&ready(&spool, 0));
    fs::write(spool.root().join("notes"), "x").unwrap();
    for args in [&["p"][..], &["p", "p"], &["p", "p", "--repair"]] {
        let (_, summary) = fsck(&spool, args, 0);
        assert_eq!((&summary["queues"], &summary["messages"]), (&1.into(), &1.into()));
    }
    assert_eq!(words(&fsck(&spool, &["q", "p"], 1).0), told("damaged", "would"));
    spool.mq(&["fsck", "p", "missing"]).status(66).says("missing");
}

#[test]
fn each_finding_is_two_lines_and_plays_no_tricks_on_a_terminal() {
    let spool = whole();
    fs::write(spool.queue_dir("q").join("a\nb\x1b[2J"), "x").unwrap();
    set_mode(&ready(&spool, 0), 0o644);
    let ran = spool.mq(&["fsck"]).status(1).quiet();
    let said = ran.lines();
    assert_eq!(said.len(), 6, "{said:?}");
    assert!(!ran.text().contains('\x1b'));
    assert!(said.iter().any(|line| line.contains("q/a\\nb\\u{1b}[2J: is a file that is no part of the queue")));
    assert!(said.iter().any(|line| line.starts_with("    by hand: move it away")));
    assert!(said.iter().any(|line| line == "    would set mode 0600"));
    assert_eq!(said[4], "1 queue, 5 messages: found 2 things");
    let mended = spool.mq(&["fsck", "--repair"]).status(1).quiet().lines();
    assert!(mended.contains(&"    done: set mode 0600".to_owned()), "{mended:?}");
    assert_eq!(mended[4], "1 queue, 5 messages: found 2 things, mended 1");
}

#[test]
fn what_somebody_is_making_is_no_finding() {
    let spool = whole();
    fs::create_dir(spool.root().join(".new-x")).unwrap();
    fs::create_dir(spool.queue_dir("q").join("tmp/01900000-0000-7000-8000-000000000000")).unwrap();
    let format = File::open(spool.root().join("format")).unwrap();
    fs2::FileExt::lock_exclusive(&format).unwrap();
    let (_, summary) = fsck(&spool, &[], 0);
    assert_eq!(summary["temporaries"], 1, "it is young");
    drop(format);
    assert_eq!(words(&fsck(&spool, &[], 1).0), told("leftover", "would"));
}

#[test]
fn a_queue_of_a_group_is_open_to_the_group() {
    let spool = Spool::new();
    fs::create_dir(spool.root()).unwrap();
    set_mode(&spool.root(), 0o2770);
    spool.sh("umask 077; echo a | mq put q && mq get q --visibility 1h && echo b | mq put q").ok();
    fsck(&spool, &[], 0);
    set_mode(&ready(&spool, 0), 0o600);
    set_mode(&spool.queue_dir("q").join("ready"), 0o770);
    set_mode(&spool.root().join("format"), 0o600);
    let (found, _) = fsck(&spool, &["--repair"], 0);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(fs::metadata(ready(&spool, 0)).unwrap().permissions().mode() & 0o7777, 0o660);
    fsck(&spool, &[], 0);
}

#[test]
fn what_may_not_be_read_is_told_and_what_may_not_be_mended_fails() {
    if !can_be_nobody() {
        println!("skipped: needs root and setpriv");
        return;
    }
    let spool = whole();
    set_mode(&spool.root(), 0o755);
    set_mode(&spool.root().join("format"), 0o644);
    let ran = mq_as_nobody(&spool, &["fsck", "--json"]).status(1).quiet();
    let said = ran.jsons();
    assert_eq!((said.len(), &said[0]["finding"]), (2, &"unreadable".into()), "{ran}");
    set_mode(&spool.root(), 0o700);
    mq_as_nobody(&spool, &["fsck"]).fails(77);

    // A queue of nobody's, with a message of root's in it.
    let spool = Spool::new();
    spool.sh("mq create q && chown -R 65534 spool && echo a | mq put q").ok();
    let (found, _) = fsck(&spool, &[], 1);
    assert!(words(&found).iter().all(|(word, _)| word == "wrong-owner"), "{found:?}");
    let ran = mq_as_nobody(&spool, &["fsck", "--repair", "--json"]).status(1).quiet();
    assert!(ran.jsons().iter().any(|finding| finding["outcome"] == "failed" && finding["error"].is_string()), "{ran}");
    fsck(&spool, &["--repair"], 0);
    mq_as_nobody(&spool, &["get", "q", "--delete"]).ok().wrote("a\n");
}

/// Whose group it is matters only where the group has rights.
#[test]
fn who_may_not_give_a_part_away_makes_it_all_the_same() {
    if !can_be_nobody() {
        return println!("skipped: needs root");
    }
    let spool = Spool::new();
    spool.sh("mq create q && echo a | mq put q && rm spool/q/lock spool/q/wake && rmdir spool/q/spare/1").ok();
    spool.sh("chown -R 65534:0 spool").ok();
    let ran = mq_as_nobody(&spool, &["fsck", "--repair", "--json"]).ok().quiet();
    assert_eq!(ran.jsons().pop().unwrap()["repaired"], 3, "{ran}");
    mq_as_nobody(&spool, &["fsck"]).ok();
    mq_as_nobody(&spool, &["get", "q", "--delete"]).ok().wrote("a\n");
}

#[test]
fn a_part_in_another_file_system_is_told() {
    let spool = whole();
    let script = "mount -t tmpfs none spool/q/corrupt && mq fsck --json";
    let mut command = spool.command("unshare");
    command.args(["--mount", "sh", "-c", script]);
    let ran = run(command, b"");
    if ran.err().contains("not permitted") || ran.err().contains("denied") || ran.status_code() == Some(127) {
        println!("skipped: needs the right to mount");
        return;
    }
    let said = ran.status(1).jsons();
    assert_eq!((said.len(), &said[0]["finding"]), (2, &"mixed-file-systems".into()));
}

#[test]
fn i9_a_repair_that_waits_for_another_says_so_once() {
    let spool = whole();
    let dir = File::open(spool.root()).unwrap();
    fs2::FileExt::lock_exclusive(&dir).unwrap();
    spool.mq(&["fsck"]).ok().quiet();
    let mut command = spool.command("sh");
    command.args(["-c", "exec mq fsck --repair 2>said"]);
    let mut repair = Running::start(command, "mq fsck --repair".to_owned());
    let said = || fs::read_to_string(spool.path("said")).unwrap_or_default();
    until("it says that it waits", || said().ends_with('\n'));
    assert!(repair.is_running());
    drop(dir);
    repair.finish().ok();
    assert_eq!(said(), "mq: another repair of this spool is at work; waiting for it to end\n");
    spool.mq(&["fsck", "--repair"]).ok().quiet();
}

#[test]
fn i1_a_repair_that_is_killed_is_finished_by_the_next() {
    for wait_ms in [0, 2, 4, 6, 9, 12, 16, 20, 30] {
        let spool = Spool::new();
        spool.mq_with(&["put", "q", "--lines"], lines_of(0..300)).ok();
        let ready = spool.files_in("q", "ready");
        for (at, path) in ready.iter().enumerate() {
            let name = path.file_name().unwrap();
            match at % 6 {
                0 => flip_last(path),
                1 => fs::rename(path, spool.queue_dir("q").join("ready").join(name)).unwrap(),
                2 => fs::rename(path, spool.queue_dir("q").join("claimed").join(at.to_string())).unwrap(),
                3 => drop(fs::copy(path, renamed(path, 3, "1"))),
                _ => {}
            }
        }
        fs::remove_dir_all(spool.queue_dir("q").join("spare")).unwrap();
        fs::write(spool.queue_dir("q").join("state"), "").unwrap();
        let repair = spool.start(&["fsck", "--repair"]);
        std::thread::sleep(Duration::from_millis(wait_ms));
        repair.signal(Signal::KILL);
        repair.finish();
        fsck(&spool, &["--repair"], 0);
        let (found, summary) = fsck(&spool, &[], 0);
        assert_eq!((found.len(), &summary["messages"], &summary["set_aside"]), (0, &250.into(), &100.into()));
        let mut bodies: Vec<u32> = spool.bodies("q").iter().map(|body| body.parse().unwrap()).collect();
        bodies.sort_unstable();
        assert_eq!(bodies, (0..300).filter(|n| n % 6 != 0).collect::<Vec<_>>());
    }
}

/// Who rolls forward passes over a temporary that is locked: a look has its lock for no longer than it takes to try it.
#[test]
fn i8_a_look_does_not_read_a_temporary_under_its_lock() {
    let spool = whole();
    let path = ready(&spool, 0);
    let id = path.file_name().unwrap().to_str().unwrap().split('.').nth(2).unwrap().to_owned();
    let temporary = spool.queue_dir("q").join("tmp").join(&id);
    fs::rename(&path, &temporary).unwrap();
    File::open(&temporary).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let mut command = spool.command("strace");
    command.args(["-qq", "-y", "-o", "log", "-e", "trace=flock,read,pread64"]).arg(mq_program()).arg("fsck");
    let Ok(output) = command.output() else {
        return println!("skipped: needs strace");
    };
    if output.status.code() != Some(1) {
        return println!("skipped: needs a system that allows ptrace");
    }
    let log = String::from_utf8(spool.read("log")).unwrap();
    let of_it: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    let (mut is_locked, mut reads) = (false, 0);
    for line in &of_it {
        assert!(!is_locked || line.contains("LOCK_UN"), "something else under the lock: {of_it:#?}");
        is_locked = line.contains("LOCK_EX");
        reads += usize::from(line.contains("read"));
    }
    assert!(!is_locked && reads > 0, "{of_it:#?}");
    assert_eq!(words(&fsck(&spool, &["--repair"], 0).0), told("orphan-temporary", "done"));
    assert_eq!(spool.bodies("q"), ["two", "three", "one"]);
}

/// Claims that have ended, delayed messages that are due and held ones whose holders are gone are the sweep's, and
/// what is being written is its writer's.
#[test]
fn i7_what_happens_in_passing_is_no_finding() {
    let spool = whole();
    for part in ["claimed", "delayed"] {
        let path = spool.files_in("q", part).remove(0);
        let dir = path.parent().unwrap();
        fs::rename(dir, dir.with_file_name("1")).unwrap();
    }
    let path = ready(&spool, 0);
    let held = spool.queue_dir("q").join("claimed/held").join(path.file_name().unwrap());
    fs::rename(&path, renamed(&held, 3, "1")).unwrap();
    let mut writer = spool.start(&["put", "q"]);
    writer.say("slow");
    let tmp = spool.queue_dir("q").join("tmp");
    until("the writer has begun", || fs::read_dir(&tmp).unwrap().count() == 1);
    let temporary = fs::read_dir(&tmp).unwrap().next().unwrap().unwrap().path();
    File::open(temporary).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let before = tree(&spool.root());
    for args in [&[][..], &["--repair"]] {
        let (_, summary) = fsck(&spool, args, 0);
        assert_eq!((&summary["messages"], &summary["temporaries"]), (&5.into(), &1.into()));
    }
    assert_eq!(tree(&spool.root()), before);
    writer.finish().ok();
    spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok();
    assert_eq!(spool.stat("q")["ready"], 0);
}
