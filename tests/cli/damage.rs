//! Messages whose bytes are not what was put: quarantined and reported, never delivered, never dropped.

use std::fs;
use std::path::{Path, PathBuf};

use crate::put::large_body;
use crate::support::{Spool, lines_of};

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A damaged message in front of a whole one: the second is delivered, the first set aside with the reason.
#[track_caller]
fn assert_set_aside(spool: &Spool, damaged: &Path, get: &[&str]) {
    let bytes = fs::read(damaged).unwrap();
    let ran = spool.mq(get).ok().wrote("next").says("damaged").says("corrupt/");
    let corrupt = spool.files_in("q", "corrupt");
    let (why, kept): (Vec<PathBuf>, Vec<PathBuf>) =
        corrupt.into_iter().partition(|path| path.extension().is_some_and(|e| e == "why"));
    assert_eq!((kept.len(), why.len()), (1, 1), "{ran}");
    assert_eq!(why[0].to_str().unwrap(), format!("{}.why", kept[0].display()));
    assert_eq!(fs::read(&kept[0]).unwrap(), bytes, "nothing of it is lost");
    let reason = fs::read_to_string(&why[0]).unwrap();
    assert!(!reason.trim().is_empty());
    ran.says(reason.trim()).says(&kept[0].display().to_string());
    let stat = spool.stat("q");
    assert_eq!((&stat["corrupt"], &stat["ready"], &stat["strays"]), (&1.into(), &0.into(), &0.into()), "{stat}");
    // It is told once, and stays where it is.
    let _ = spool.mq(&["get", "q"]).nothing();
    assert_eq!(spool.count("q", "corrupt"), 1);
}

fn damaged(body: impl AsRef<[u8]>, damage: impl Fn(&Path)) -> (Spool, PathBuf) {
    let spool = Spool::new();
    spool.put("q", body);
    let path = spool.files_in("q", "ready").remove(0);
    spool.put("q", "next");
    damage(&path);
    (spool, path)
}

#[test]
fn i3_i9_a_flipped_bit_anywhere_is_found() {
    let (whole, path) = damaged("a body", |_| {});
    let len = fs::read(path).unwrap().len();
    drop(whole);
    for at in (0..len).step_by(7).chain([len - 1, len - 6, len - 7]) {
        let (spool, path) = damaged("a body", |path| flip(path, at));
        assert_set_aside(&spool, &path, &["get", "q"]);
    }
}

#[test]
fn i3_i9_a_flipped_bit_in_megabytes_is_found_before_a_byte_is_handed_over() {
    for at in [300, 1_000_000, 3_000_000] {
        for get in [&["get", "q"][..], &["get", "q", "--delete"], &["get", "q", "--", "cat"]] {
            let (spool, path) = damaged(large_body(), |path| flip(path, at));
            assert_set_aside(&spool, &path, get);
        }
    }
}

#[test]
fn i3_i9_a_truncated_message_is_found() {
    let cut = |keep: usize| {
        move |path: &Path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(keep as u64).unwrap()
    };
    for keep in [0, 1, 50, 150, 170] {
        let (spool, path) = damaged("a body that is longer than a few bytes", cut(keep));
        assert_set_aside(&spool, &path, &["get", "q"]);
    }
    let (spool, path) = damaged(large_body(), cut(2_000_000));
    assert_set_aside(&spool, &path, &["get", "q"]);
}

#[test]
fn i3_i9_a_file_of_garbage_and_one_with_anothers_bytes_are_found() {
    let (spool, path) = damaged("x", |path| fs::write(path, "just some text\n").unwrap());
    assert_set_aside(&spool, &path, &["get", "q"]);
    let (spool, path) = damaged("x", |path| {
        let other = Spool::new();
        other.put("q", "x");
        fs::copy(other.files_in("q", "ready").remove(0), path).unwrap();
    });
    assert_set_aside(&spool, &path, &["get", "q"]);
    let (spool, path) = damaged("x", |path| fs::write(path, vec![b'{'; 100_000]).unwrap());
    assert_set_aside(&spool, &path, &["get", "q"]);
}

#[test]
fn i9_when_the_damaged_one_was_the_only_one_nothing_is_delivered_and_it_is_told() {
    let spool = Spool::new();
    spool.put("q", "x");
    let path = spool.files_in("q", "ready").remove(0);
    let last = fs::read(&path).unwrap().len() - 1;
    flip(&path, last);
    spool.mq(&["get", "q"]).status(1).silent().says("damaged").says("corrupt/");
    assert_eq!(spool.count("q", "corrupt"), 1);
    assert!(spool.mq(&["stat"]).ok().text().contains("1 corrupt"));
}

#[test]
fn i3_several_damaged_ones_among_many_are_set_aside_each() {
    let spool = Spool::new();
    let lines = lines_of(0..40);
    spool.mq_with(&["put", "q", "--lines"], &lines).ok();
    for path in spool.files_in("q", "ready").iter().step_by(4) {
        let last = fs::read(path).unwrap().len() - 1;
        flip(path, last);
    }
    let whole = lines_of((0..40).filter(|n| n % 4 != 0));
    let ran = spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok().wrote(whole);
    assert_eq!(ran.err().matches("damaged").count(), 10, "{ran}");
    assert_eq!(spool.count("q", "corrupt"), 10);
}

#[test]
fn i3_a_look_shows_no_damaged_body_and_changes_nothing() {
    let (spool, path) = damaged("a body", |_| {});
    let last = fs::read(&path).unwrap().len() - 1;
    flip(&path, last);
    spool.mq(&["peek", "q"]).ok().wrote("next");
    assert_eq!(spool.mq(&["list", "q"]).ok().lines().len(), 3);
    assert!(path.exists());
    let name = path.file_name().unwrap().to_str().unwrap();
    let id = name.split('.').nth(2).unwrap();
    spool.mq(&["peek", "q", "--id", id]).fails(74).says("checksum");
}

#[test]
fn i3_damage_in_the_delivery_log_does_no_harm_to_the_message() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--", "false"]).status(1);
    let path = spool.files_in("q", "ready").remove(0);
    let last = fs::read(&path).unwrap().len() - 3;
    flip(&path, last);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"\n{\"torn\":");
    fs::write(&path, bytes).unwrap();
    spool.mq(&["get", "q", "--", "cat"]).ok().wrote("x");
}

#[test]
fn i3_i9_a_damaged_message_whose_place_in_quarantine_is_taken_gets_another() {
    let (spool, path) = damaged("a body", |_| {});
    let name = path.file_name().unwrap().to_str().unwrap().strip_suffix("0").unwrap().to_owned() + "1";
    let taken = spool.queue_dir("q").join("corrupt").join(name);
    fs::write(&taken, "of another time").unwrap();
    flip(&path, 140);
    spool.mq(&["get", "q"]).ok().wrote("next").says("corrupt/");
    assert_eq!(spool.count("q", "corrupt"), 2);
    assert_eq!(fs::read(taken).unwrap(), b"of another time");
}

#[test]
fn a_name_with_the_highest_number_does_not_end_the_numbers() {
    let spool = Spool::new();
    let id = spool.put("q", "first");
    let first = spool.files_in("q", "ready").remove(0);
    let leaf = spool.queue_dir("q").join("ready/5/ffffffffffff/ff");
    fs::create_dir_all(&leaf).unwrap();
    fs::rename(first, leaf.join(format!("ffffffffffffffff.5.{id}.0"))).unwrap();
    fs::write(spool.queue_dir("q").join("state"), "lost").unwrap();
    let _ = spool.mq_with(&["put", "q", "--lines"], "second\nthird\n").ok();
    let _ = spool.mq(&["create", "there"]).ok();
    fs::copy(spool.queue_dir("q").join("state"), spool.queue_dir("there").join("state")).unwrap();
    let _ = spool.mq(&["move", "q", "there"]).ok();
    let mut bodies = spool.bodies("there");
    bodies.sort();
    assert_eq!(bodies, ["first", "second", "third"]);
}
