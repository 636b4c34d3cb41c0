//! `mq stat`, also in a spool full of things that do not belong there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::Spool;

/// One message in each state, and one in hand.
fn mixed() -> Spool {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    spool.claim("q", "1h");
    spool.mq(&["put", "q", "--delay", "1h", "-m", "d"]).ok();
    spool
}

#[test]
fn counts_are_by_state() {
    let spool = mixed();
    let stat = spool.stat("q");
    for (key, count) in [("ready", 2), ("claimed", 1), ("delayed", 1), ("held", 0), ("corrupt", 0), ("strays", 0)] {
        assert_eq!(stat[key], count, "{key} in {stat}");
    }
    assert_eq!(stat["queue"], "q");
    assert_eq!(stat["policy"]["visibility"], "30s");
    humantime::parse_rfc3339(stat["oldest_put_at"].as_str().unwrap()).unwrap();
    let total: u64 = stat["shape"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row["by_age"].as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(total, 4);
}

#[test]
fn words_are_for_people() {
    let spool = mixed();
    spool.mq(&["create", "other", "max-deliveries=3", "dead-letter=graves"]).ok();
    spool.mq(&["pause", "other"]).ok();
    let table = spool.mq(&["stat"]).ok().quiet();
    let lines = table.lines();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].contains("READY") && lines[1].starts_with("other") && lines[1].contains("paused"), "{table}");
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>()[..5], ["q", "2", "1", "1", "0"]);
    let one = spool.mq(&["stat", "q"]).ok().quiet();
    assert!(one.text().contains("ready        2") && one.text().contains("deliveries"), "{one}");
    let other = spool.mq(&["stat", "other"]).ok();
    assert!(other.text().contains("max-deliveries=3") && other.text().contains("dead-letter=graves"), "{other}");
    assert_eq!(spool.mq(&["stat", "--json"]).ok().jsons().len(), 2);
    spool.mq(&["stat", "missing"]).fails(66);
    spool.mq(&["--spool", "empty", "stat"]).ok().quiet();
}

#[test]
fn one_queue_with_a_bad_policy_does_not_hide_the_others() {
    let spool = mixed();
    spool.mq(&["create", "bad"]).ok();
    fs::write(spool.queue_dir("bad").join("policy.json"), "{\n  \"visibility\": 5\n}\n").unwrap();
    let ran = spool.mq(&["stat"]).breaks(78).says("bad/policy.json").says("line 2");
    assert!(ran.lines().iter().any(|line| line.starts_with("q ")), "{ran}");
    let ran = spool.mq(&["stat", "--json"]).breaks(78);
    assert_eq!(ran.json()["queue"], "q");
}

/// Puts a file, a directory, a symbolic link to the outside and a FIFO under names that mean something or
/// nothing, wherever they are free.
fn litter(spool: &Spool) {
    let dir = spool.queue_dir("q");
    let name = spool.files_in("q", "ready")[0].file_name().unwrap().to_str().unwrap().to_owned();
    let leaf = spool.files_in("q", "ready")[0].parent().unwrap().to_owned();
    let foreign_leaf = dir.join("ready/7/000000000000/00");
    fs::create_dir_all(&foreign_leaf).unwrap();
    let second = fs::read_dir(dir.join("delayed")).unwrap().next().unwrap().unwrap().path();
    let outside = spool.file("outside", "keep me");
    fs::create_dir(spool.path("outside-dir")).unwrap();
    spool.file("outside-dir/inside", "keep me too");
    let places = ["", "ready", "ready/5", "delayed", "claimed", "claimed/held", "corrupt", "tmp", "spare"];
    let places: Vec<_> = places.into_iter().map(|place| dir.join(place)).chain([leaf, foreign_leaf, second]).collect();
    let stem = name.rsplit_once('.').unwrap().0;
    // A message's name on all but a plain file, which would be a message; other names on everything.
    let as_messages = (1..5).map(|kind| (format!("{stem}.1{kind}"), kind));
    let as_others = ["notes.txt", "1", "0G", "5", "zz", "..x", "held.", "99999999999999999999", "q\n", "\u{7f}ü.why"];
    let names: Vec<_> = as_others.into_iter().map(str::to_owned).zip((0..5).cycle()).chain(as_messages).collect();
    for place in &places {
        for (name, kind) in &names {
            let path = place.join(name);
            if path.symlink_metadata().is_err() {
                drop_in(&path, *kind, &outside, &spool.path("outside-dir"));
            }
        }
        fs::write(place.join(OsStr::from_bytes(b"no text \xff\xfe")), "x").unwrap();
    }
}

fn drop_in(path: &Path, kind: usize, outside: &Path, outside_dir: &Path) {
    match kind {
        0 => fs::write(path, "garbage").unwrap(),
        1 => fs::create_dir(path).unwrap(),
        2 => symlink(outside, path).unwrap(),
        3 => mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap(),
        _ => symlink(outside_dir, path).unwrap(),
    }
}

#[test]
fn i7_strays_everywhere_are_reported_left_alone_and_in_nobodys_way() {
    let spool = mixed();
    litter(&spool);
    let stat = spool.stat("q");
    assert_eq!((&stat["ready"], &stat["claimed"], &stat["delayed"]), (&2.into(), &1.into(), &1.into()), "{stat}");
    assert!(stat["strays"].as_u64().unwrap() > 50, "{stat}");
    let words = spool.mq(&["stat", "q"]).ok().quiet();
    assert!(words.text().contains("strays") && words.text().matches("/spool/q/").count() == 10, "{words}");
    assert!(!words.text().contains('\u{7f}'), "names cannot play tricks on a terminal: {words}");
    assert!(spool.mq(&["stat"]).ok().text().contains("stray"));
    assert_eq!(spool.mq(&["list", "q"]).ok().quiet().lines().len(), 5);
    spool.mq(&["peek", "q", "--count", "9", "--lines"]).ok().wrote("b\nc\n");
    spool.put("q", "e");
    let id = spool.mq(&["list", "q", "--json"]).ok().jsons()[0]["id"].as_str().unwrap().to_owned();
    spool.mq(&["peek", "q", "--id", &id]).ok().wrote("b");
    spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok().quiet().wrote("b\nc\ne\n");
    spool.mq(&["get", "q"]).nothing();
    assert!(spool.stat("q")["strays"].as_u64().unwrap() > 50);
    spool.mq(&["drop", "q"]).fails(2).says("--force");
    spool.mq(&["purge", "q"]).ok();
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["drop", "q", "--force"]).ok();
    assert!(!spool.queue_dir("q").exists());
    let left: Vec<_> = fs::read_dir(spool.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["format"], "a drop takes the strays along");
    assert_eq!(spool.read("outside"), b"keep me", "what a link points to is not touched");
    assert_eq!(spool.read("outside-dir/inside"), b"keep me too");
}

#[test]
fn i9_things_in_the_place_of_the_queues_own_files_are_errors_and_no_traps() {
    for name in ["policy.json", "state", "lock", "sweep", "wake"] {
        for kind in 0..5 {
            let spool = Spool::new();
            spool.put("q", "x");
            let path = spool.queue_dir("q").join(name);
            let _ = fs::remove_file(&path);
            let outside = spool.file("outside", "keep me");
            fs::create_dir(spool.path("outside-dir")).unwrap();
            drop_in(&path, kind, &outside, &spool.path("outside-dir"));
            // Each of them ends, in whatever way, and none of them by a panic.
            for args in [
                &["stat", "q"][..],
                &["list", "q"],
                &["peek", "q"],
                &["set", "q", "visibility=1m"],
                &["put", "q", "-m", "y"],
                &["put", "q", "-m", "y", "-m", "z"],
                &["get", "q", "--wait", "10ms"],
                &["get", "q", "--delete"],
                &["get", "q", "--", "cat"],
                &["move", "q", "r"],
                &["purge", "q"],
            ] {
                let ran = spool.mq(args);
                assert!(!ran.err().contains("panicked"), "{name} as {kind}: {ran}");
                assert!(ran.status_code().is_some_and(|status| status != 70), "{name} as {kind}: {ran}");
            }
            assert_eq!(spool.read("outside"), b"keep me");
        }
    }
}
