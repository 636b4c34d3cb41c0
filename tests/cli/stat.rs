//! `mq stat`, also in a spool full of things that do not belong there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::Spool;

/// A message as an export has it, which was put in 2020.
pub(crate) const OF_2020: &str = r#"{"id":"01700000-0000-7000-8000-000000000001","queue":"q","put_at":"2020-02-01T09:06:04.928Z","deliveries":3,"state":"ready","body":"old"}"#;

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

/// The table that begins with this word: its rows by name, each with its total, which its columns add up to.
fn table(text: &str, of: &str) -> Vec<(String, u64)> {
    let is_heading = |line: &str| line.trim_start().starts_with(of) && line.ends_with(" older");
    let rows = text.lines().skip_while(|line| !is_heading(line)).skip(1).take_while(|line| !line.is_empty());
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap().to_owned();
        let counts: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        assert_eq!((counts.len(), counts[0]), (9, counts[1..].iter().sum()), "{line}");
        assert!(line.len() <= 80, "{line}");
        (name, counts[0])
    };
    rows.map(row).collect()
}

fn named(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(name, total)| ((*name).to_owned(), *total)).collect()
}

#[test]
fn tables_show_how_old_what_is_in_each_state_and_how_often_it_was_delivered() {
    let spool = mixed();
    let one = spool.mq(&["stat", "q"]).ok().quiet();
    let by_state = table(one.text(), "state");
    for row in named(&[("total", 4), ("ready", 2), ("delayed", 1), ("claimed", 1), ("held", 0)]) {
        assert!(by_state.contains(&row), "{row:?} in {one}");
    }
    assert_eq!(table(one.text(), "deliveries"), named(&[("total", 4), ("0", 3), ("1", 1)]));
}

#[test]
fn an_age_counts_from_the_put() {
    let spool = Spool::new();
    spool.mq_with(&["import", "q"], OF_2020).ok();
    let one = spool.mq(&["stat", "q"]).ok().quiet();
    let ready = one.lines().into_iter().find(|line| line.trim_start().starts_with("ready  ") && line.len() > 70);
    assert_eq!(
        ready.unwrap().split_whitespace().collect::<Vec<_>>(),
        "ready 1 0 0 0 0 0 0 0 1".split(' ').collect::<Vec<_>>()
    );
    assert_eq!(spool.stat("q")["by_state"]["ready"]["by_age"][7], 1);
    assert_eq!(spool.stat("q")["by_state"]["ready"]["oldest_put_at"], "2020-02-01T09:06:04.928Z");
}

#[test]
fn the_shape_of_all_queues_is_that_of_each_added_up() {
    let spool = mixed();
    spool.mq_with(&["put", "a-longer-name", "--lines"], "a\nb\nc\n").ok();
    let all = spool.mq(&["stat", "--shape"]).ok().quiet();
    let by_queue = [("total", 7), ("a-longer-name", 3), ("q", 4)];
    assert_eq!(table(all.text(), "queue"), named(&by_queue), "{all}");
    assert!(table(all.text(), "state").contains(&("ready".to_owned(), 5)), "{all}");
    assert_eq!(table(all.text(), "deliveries"), named(&[("total", 7), ("0", 6), ("1", 1)]), "{all}");
    assert!(all.text().starts_with(spool.mq(&["stat"]).ok().text()), "the lines of the queues come first: {all}");
    spool.mq(&["stat", "q", "--shape"]).fails(2).says("QUEUE");
    spool.mq(&["stat", "--json", "--shape"]).fails(2);
    assert_eq!(table(spool.mq(&["--spool", "empty", "stat", "--shape"]).ok().text(), "queue"), named(&[("total", 0)]));
}

#[test]
fn json_counts_each_state_by_age() {
    let spool = mixed();
    let stat = spool.stat("q");
    let columns = stat["age_limits_s"].as_array().unwrap().len() + 1;
    let states = stat["by_state"].as_object().unwrap();
    for (state, found) in states {
        assert_eq!(found["messages"], stat[state.as_str()], "{stat}");
        let by_age: Vec<u64> = found["by_age"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!((by_age.len(), by_age.iter().sum::<u64>()), (columns, found["messages"].as_u64().unwrap()));
        assert_eq!(found["oldest_put_at"].is_null(), found["messages"] == 0, "{stat}");
    }
    let oldest = states.values().filter_map(|found| found["oldest_put_at"].as_str()).min();
    assert_eq!(oldest, stat["oldest_put_at"].as_str());
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

/// What `set` takes is what is shown, so that it can be set again.
#[test]
fn the_policy_is_shown_with_all_that_is_not_default() {
    let spool = Spool::new();
    let settings = [
        "dead-letter=graves",
        "max-messages=5",
        "max-bytes=64MiB",
        "reserve=none",
        "reserve-inodes=7",
        "expired=dead-letter",
        "retry-max=2h",
        "retry-jitter=25%",
        "archive=7d",
    ];
    let policy = || {
        let shown = spool.mq(&["stat", "q"]).ok();
        let line = shown.lines().into_iter().find_map(|line| line.strip_prefix("policy       ").map(str::to_owned));
        line.unwrap_or_else(|| panic!("no policy is shown: {shown}"))
    };
    spool.mq(&["create", "q"]).ok();
    let default = "visibility=30s max-deliveries=none delay=0s retention=none durability=full";
    assert_eq!(policy(), default);
    spool.mq(&[&["set", "q"], &settings[..]].concat()).ok();
    assert_eq!(policy(), format!("{default} {}", settings.join(" ")));
    spool.mq(&["set", "q", "reserve=1GiB", "reserve-inodes=none", "retry-delay=10s", "retry-max=1h"]).ok();
    let words = policy();
    let retry = "retry-delay=10s retry-factor=2 retry-max=1h retry-jitter=25%";
    assert!(words.contains("reserve=1GiB reserve-inodes=none expired=dead-letter") && words.contains(retry), "{words}");
}
