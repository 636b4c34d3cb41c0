//! Spools that are none, are of another time, or were edited by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::support::Spool;

/// Verbs that read, and verbs that would change something.
const EVERY: [&[&str]; 15] = [
    &["put", "q", "-m", "x"],
    &["put", "q", "-m", "x", "-m", "y"],
    &["get", "q"],
    &["get", "q", "--delete"],
    &["get", "q", "--", "true"],
    &["peek", "q"],
    &["list"],
    &["list", "q"],
    &["stat"],
    &["stat", "q"],
    &["create", "q"],
    &["set", "q", "visibility=1m"],
    &["drop", "q", "--force"],
    &["purge", "q"],
    &["move", "q", "r"],
];

/// All that a look can tell of a directory.
fn listing(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let walk = walkdir::WalkDir::new(dir).sort_by_file_name();
    let entries = walk.into_iter().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.path().to_owned(), entry.metadata().unwrap()))
        .map(|(path, metadata)| (path, metadata.len(), metadata.modified().unwrap()))
        .collect()
}

#[test]
fn i9_a_directory_of_somebody_elses_is_refused_and_untouched() {
    let spool = Spool::new();
    let dir = spool.path("photos");
    fs::create_dir_all(dir.join("q/ready")).unwrap();
    fs::write(dir.join("cat.png"), "meow").unwrap();
    let before = listing(&dir);
    for args in EVERY {
        let mut all = vec!["--spool", "photos"];
        all.extend_from_slice(args);
        spool.mq(&all).fails(78).says("photos is not a spool").says("nothing was touched");
    }
    assert_eq!(listing(&dir), before);
}

#[test]
fn an_empty_directory_and_a_fresh_file_system_can_become_a_spool() {
    let spool = Spool::new();
    fs::create_dir_all(spool.root()).unwrap();
    spool.mq(&["list"]).ok().silent();
    assert_eq!(fs::read_dir(spool.root()).unwrap().count(), 0, "a look makes nothing");
    fs::create_dir(spool.root().join("lost+found")).unwrap();
    spool.put("q", "x");
    spool.mq(&["list"]).ok().wrote("q\n");
}

#[test]
fn i9_a_spool_of_a_newer_format_is_refused_and_untouched() {
    let spool = Spool::new();
    spool.put("q", "x");
    for format in ["mq-spool 2\n", "something else\n", "mq-spool 1 but not quite\n", "\n\n", "\u{0}\u{1}"] {
        fs::write(spool.root().join("format"), format).unwrap();
        let before = listing(&spool.root());
        for args in EVERY {
            spool.mq(args).fails(78).says("format").says("mq-spool 1");
        }
        assert_eq!(listing(&spool.root()), before);
    }
    fs::write(spool.root().join("format"), b"\xff\xfe").unwrap();
    spool.mq(&["list"]).fails(78);
}

#[test]
fn i9_a_spool_whose_path_runs_through_a_file_is_an_error_that_names_it() {
    let spool = Spool::new();
    spool.file("file", "x");
    for place in ["file", "file/below"] {
        for verb in [&["put", "q", "-m", "x"][..], &["get", "q"], &["list"]] {
            let mut all = vec!["--spool", place];
            all.extend_from_slice(verb);
            spool.mq(&all).fails(74).says(place).says("Not a directory");
        }
    }
    assert_eq!(spool.read("file"), b"x");
}

#[test]
fn i9_a_policy_that_was_edited_wrongly_is_named_by_file_and_line() {
    for (text, words) in [
        ("{\n  \"visibility\": \"5m\",\n  \"colour\": \"red\"\n}\n", "line 3"),
        ("{\n  \"visibility\": \"5\"\n}\n", "line 2"),
        ("{\n  \"visibility\": 5\n}\n", "line 2"),
        ("{\n\n  \"durability\": \"some\"\n}\n", "line 3"),
        ("{ \"visibility\": \"5m\"", "line 1"),
        ("", "line 1"),
        ("not json", "line 1"),
        ("{ \"dead-letter\": \"q\" }", "another queue"),
        ("{ \"max-deliveries\": 0 }", "from 1 up"),
        ("{ \"max-deliveries\": -1 }", "line 1"),
        ("{\n\"retention\": \"0s\"\n}", "longer than 0s, or none at line 2"),
        ("{\"retention\":\"1s\",\n\"delay\":\"2s\"}", "set delay to less than retention at line 2"),
        ("{\"visibility\":\"0s\",\"paused\":true}", "longer than 0s"),
        ("{\"archive\":\"0s\"}", "longer than 0s, or none"),
        ("null", "a policy is an object"),
        ("[\"30s\"]", "it is a list"),
        ("{\"max-messages\":\"5\"}", "max-messages: '\"5\"' is not a number of messages from 1 up, without quotes"),
        ("{\"retention\":null}", "'null' is not a duration in quotes"),
        ("{\"delay\":\"1s\",\n\"delay\":\"1s\"}", "twice, again at line 2"),
    ] {
        let spool = Spool::new();
        spool.put("q", "x");
        let path = spool.queue_dir("q").join("policy.json");
        fs::write(&path, text).unwrap();
        for args in [
            &["put", "q", "-m", "y"][..],
            &["get", "q"],
            &["get", "q", "--delete"],
            &["set", "q", "max-bytes=1GiB"],
            &["stat", "q"],
            &["peek", "q"],
        ] {
            let ran = spool.mq(args).fails(78).says(&path.display().to_string()).says(words).says("mend the file");
            for foreign in ["invalid type", "expected", "struct", "u64", "EOF"] {
                assert!(!ran.err().contains(foreign), "{ran}");
            }
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left for a person to mend");
        fs::remove_file(&path).unwrap();
        spool.mq(&["get", "q"]).ok().wrote("x");
    }
}

#[test]
fn i9_a_policy_that_is_no_file_is_refused() {
    for (what, make) in [
        ("a directory", (|path| fs::create_dir(path).unwrap()) as fn(&Path)),
        ("a symbolic link", |path| std::os::unix::fs::symlink("elsewhere", path).unwrap()),
    ] {
        let spool = Spool::new();
        spool.put("q", "x");
        let path = spool.queue_dir("q").join("policy.json");
        make(&path);
        for args in [&["put", "q", "-m", "y"][..], &["get", "q"], &["set", "q", "visibility=1m"], &["stat", "q"]] {
            spool.mq(args).fails(78).says(&format!("it is {what}, and has to be a regular file")).says("mend the file");
        }
    }
}

#[test]
fn a_policy_that_was_edited_rightly_is_in_force() {
    let spool = Spool::new();
    spool.put("q", "x");
    fs::write(spool.queue_dir("q").join("policy.json"), "{\"visibility\":\"2h\",\"paused\":true}").unwrap();
    spool.mq(&["get", "q"]).fails(75);
    spool.mq(&["resume", "q"]).ok();
    assert_eq!(spool.stat("q")["policy"]["visibility"], "2h");
}

#[test]
fn i8_a_lost_or_torn_counter_mends_itself_and_the_order_stays() {
    for state in [None, Some(&b""[..]), Some(b"garbage"), Some(&[0; 63])] {
        let spool = Spool::new();
        spool.mq_with(&["put", "q", "--lines"], "a\nb\n").ok();
        let path = spool.queue_dir("q").join("state");
        match state {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        if state.is_none() {
            // A queue without its counter is no queue that may be guessed at: either it works or it is an error.
            let ran = spool.mq(&["put", "q", "-m", "c"]);
            assert!(ran.status_code() == Some(0) || !ran.err().is_empty(), "{ran}");
            spool.mq(&["get", "q"]).ok().wrote("a");
            continue;
        }
        spool.put("q", "c");
        spool.mq_with(&["put", "q", "--lines"], "d\ne\n").ok();
        spool.mq(&["get", "q", "--count", "all", "--lines"]).ok().wrote("a\nb\nc\nd\ne\n");
    }
}

#[test]
fn missing_parts_of_a_queue_are_errors_or_mended_and_never_a_panic() {
    for part in ["tmp", "ready", "delayed", "claimed", "corrupt", "spare", "lock", "sweep", "wake"] {
        let spool = Spool::new();
        spool.put("q", "x");
        let path = spool.queue_dir("q").join(part);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        for args in [
            &["stat", "q"][..],
            &["put", "q", "-m", "y"],
            &["put", "q", "-m", "y", "-m", "z"],
            &["put", "q", "--delay", "1s", "-m", "y"],
            &["get", "q"],
            &["get", "q", "--wait", "1ms"],
            &["get", "q", "--", "cat"],
            &["list", "q"],
            &["purge", "q"],
            &["drop", "q", "--force"],
        ] {
            let ran = spool.mq(args);
            assert!(!ran.err().contains("panicked"), "without {part}: {ran}");
            let status = ran.status_code().unwrap();
            assert!(status < 2 || !ran.err().is_empty(), "without {part}: {ran}");
        }
    }
}
