//! `mq create`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::support::{Spool, can_be_nobody, mq_program, run};

#[test]
fn a_queue_is_made_with_its_policy() {
    let spool = Spool::on_disk();
    let settings =
        ["visibility=5m", "max-deliveries=3", "dead-letter=graves", "delay=1s", "retention=14d", "durability=none"];
    let mut args = vec!["create", "q"];
    args.extend(settings);
    spool.mq(&args).ok().quiet().silent();
    let words = spool.mq(&["stat", "q"]).ok();
    for setting in settings {
        assert!(words.text().contains(setting), "{setting} in {words}");
    }
    let policy = &spool.stat("q")["policy"];
    assert_eq!(policy["max-deliveries"], 3);
    assert_eq!(policy["dead-letter"], "graves");
}

#[test]
fn a_queue_is_made_once() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "visibility=5m"]).ok();
    spool.mq(&["create", "q"]).fails(73).says("exists already").says("mq set q").says("--if-missing");
    spool.mq(&["create", "q", "--if-missing", "visibility=1m"]).ok().quiet();
    assert_eq!(spool.stat("q")["policy"]["visibility"], "5m", "what exists stays as it is");
}

#[test]
fn wrong_settings_are_refused_and_the_right_ones_are_named() {
    let spool = Spool::new();
    for (setting, words) in [
        ("colour=red", "visibility, max-deliveries, dead-letter, delay, retention, durability"),
        ("visibility", "KEY=VALUE"),
        ("visibility=5", "5m"),
        ("visibility=", "visibility"),
        ("max-deliveries=0", "from 1 up"),
        ("max-deliveries=many", "from 1 up"),
        ("dead-letter=q", "another queue"),
        ("dead-letter=../x", "queue name"),
        ("durability=some", "full or none"),
        ("retention=ever", "retention"),
        ("retention=0s", "longer than 0s, or none"),
        ("visibility=0s", "longer than 0s"),
        ("archive=0s", "longer than 0s, or none"),
    ] {
        spool.mq(&["create", "q", setting]).fails(2).says(words);
    }
    for mode in ["0600", "0777", "rwx", "17777", "0702"] {
        spool.mq(&["create", "q", "--mode", mode]).status(2).silent().says("2770");
    }
    spool.mq(&["create", "q", "visibility=1m", "colour=red"]).fails(2);
    for (settings, words) in [
        (["visibility=1m", "visibility=2m"], "visibility is set twice"),
        (["delay=1h", "retention=1h"], "delay is 1h and retention is 1h"),
        (["retry-delay=1h", "retention=30m"], "retry-delay is 1h and retention is 30m"),
        (["retry-delay=10s", "retention=30m"], "retry-max is 1h and retention is 30m"),
    ] {
        spool.mq(&["create", "q", settings[0], settings[1]]).fails(2).says(words);
    }
    assert!(!spool.root().exists(), "nothing was made");
}

#[test]
fn a_mode_lets_a_group_share_the_queue_whatever_the_umask() {
    let spool = Spool::new();
    spool.sh("umask 077; mq create q --mode 2770; mq put q -m x > /dev/null; mq put q -m y -m z > /dev/null").ok();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
    for dir in ["", "ready", "tmp", "claimed", "claimed/held"] {
        let dir = spool.queue_dir("q").join(dir);
        assert_eq!(mode(&dir) & 0o2770, 0o2770, "{} has {:o}", dir.display(), mode(&dir));
    }
    for file in spool.files_in("q", "ready") {
        assert_eq!(mode(&file), 0o660, "{} has {:o}", file.display(), mode(&file));
        assert_eq!(mode(file.parent().unwrap()) & 0o2770, 0o2770);
    }
    assert_eq!(mode(&spool.queue_dir("q").join("wake")) & 0o660, 0o660);
}

#[test]
fn many_at_once_make_one_queue() {
    let spool = Spool::new();
    let makers: Vec<_> = (0..8).map(|n| spool.start(&["put", "q", "-m", ["a", "b"][n % 2]])).collect();
    let mut ids: Vec<_> = makers.into_iter().map(|maker| maker.finish().ok().quiet().text().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    assert_eq!(spool.count("q", "ready"), 8);
    let left: Vec<_> = fs::read_dir(spool.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_name_of_full_length_works_and_one_beyond_does_not() {
    let spool = Spool::new();
    let name = "x".repeat(80);
    spool.put(&name, "y");
    spool.mq(&["get", &name, "--delete"]).ok().wrote("y");
    spool.mq(&["create", &"x".repeat(81)]).status(2).silent().says("1 to 80");
}

#[test]
fn the_group_that_a_queue_was_made_for_can_do_everything_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    if !can_be_nobody() {
        println!("skipped: needs root and setpriv");
        return;
    }
    let spool = Spool::new();
    spool.mq(&["create", "q", "--mode", "2770", "max-deliveries=2"]).ok();
    fs::set_permissions(spool.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let program = spool.path("mq-for-others");
    fs::copy(mq_program(), &program).unwrap();
    let group = fs::metadata(spool.queue_dir("q")).unwrap().gid().to_string();
    let other = |args: &[&str]| {
        let mut command = spool.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--groups", &group]).arg(&program).args(args);
        run(command, b"")
    };
    spool.mq(&["put", "q", "-m", "a", "-m", "b", "-m", "c"]).ok();
    other(&["put", "q", "-m", "d", "-m", "e"]).ok();
    other(&["put", "q", "-m", "f"]).ok();
    other(&["get", "q", "--delete"]).ok().wrote("a");
    let receipt = other(&["get", "q"]).ok().wrote("b").receipt();
    spool.mq(&["release", &receipt]).ok();
    let receipt = spool.mq(&["get", "q"]).ok().wrote("b").receipt();
    other(&["extend", "--visibility", "1h", &receipt]).ok();
    // Twice delivered: released by the other, it goes to a dead-letter queue that both may use.
    other(&["release", &receipt]).ok();
    spool.mq(&["put", "q.dead", "-m", "z"]).ok();
    other(&["get", "q.dead", "--count", "all", "--lines", "--delete"]).ok().wrote("b\nz\n");
    other(&["get", "q", "--", "false"]).status(1);
    spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok().wrote("c\nd\ne\nf\n");
    other(&["set", "q", "visibility=1m"]).ok();
    spool.mq(&["set", "q", "visibility=2m"]).ok();
    other(&["put", "q", "--delay", "1h", "-m", "g"]).ok();
    spool.mq(&["purge", "q"]).ok().says("deleted 1");
}

#[test]
fn a_queue_cannot_have_the_name_of_a_file_of_the_spool() {
    let spool = Spool::new();
    spool.mq(&["create", "format"]).status(2).says("format");
    spool.mq(&["put", "format", "-m", "x"]).status(2).says("format");
}
