//! Caps of a queue and the disk's reserve: status 75 and nothing written, or a wait.

use std::process::Stdio;

use crate::support::{Spool, run};

#[test]
fn a_full_queue_says_so_and_takes_nothing() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-messages=2"]).ok();
    spool.mq(&["put", "q", "-m", "1", "-m", "2"]).ok();
    spool
        .mq(&["put", "q", "-m", "3"])
        .status(75)
        .says("the queue 'q' is full: it holds 2 messages, and its max-messages is 2")
        .says("--wait");
    assert_eq!(spool.files_in("q", "tmp").len(), 0);
    spool.mq(&["get", "q", "--delete"]).ok().wrote("1");
    spool.mq(&["put", "q", "-m", "3"]).ok();
    assert!(spool.mq(&["stat"]).ok().text().contains("  full\n"));
    assert_eq!(spool.bodies("q"), ["2", "3"]);
}

#[test]
fn stdin_is_not_read_where_there_is_no_room() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-messages=1"]).ok();
    spool.mq(&["put", "q", "-m", "1"]).ok();
    // What never ends would be read for ever.
    let mut endless = spool.mq_command(&["put", "q"]);
    endless.stdin(std::fs::File::open("/dev/zero").unwrap());
    assert_eq!(endless.output().unwrap().status.code(), Some(75));
}

#[test]
fn a_stream_says_how_far_it_came() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-messages=3"]).ok();
    let ran = run(spool.mq_command(&["put", "q", "--lines"]), b"1\n2\n3\n4\n5\n");
    let ran = ran.status(75).says("3 lines were put to 'q' before this").says("is full");
    assert_eq!(ran.lines().len(), 3);
    assert_eq!(spool.bodies("q"), ["1", "2", "3"]);
    spool.mq_with(&["put", "q", "--lines"], "4\n").status(75).says("nothing was put to 'q':").says("--wait");
    // Nobody waits for room but a put.
    spool.put("r", "x");
    let full = spool.mq(&["move", "r", "q"]).fails(75).says("take messages out of 'q'").says("mq set q max-messages=");
    assert!(!full.err().contains("--wait"), "{full}");
}

#[test]
fn a_put_waits_for_room_as_long_as_it_was_told() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-messages=1"]).ok();
    spool.mq(&["put", "q", "-m", "1"]).ok();
    spool.mq(&["put", "q", "-m", "in vain", "--wait", "20ms"]).status(75).says("is full");
    let mut waiting = spool
        .mq_command(&["put", "q", "--lines", "--wait", "1m"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut waiting.stdin.take().unwrap(), b"2\n3\n").unwrap();
    for body in ["1", "2", "3"] {
        spool.mq(&["get", "q", "--delete", "--wait", "1m"]).ok().wrote(body);
    }
    assert!(waiting.wait_with_output().unwrap().status.success());
    spool.mq(&["get", "q"]).nothing();
}

#[test]
fn what_is_larger_than_the_cap_is_never_asked_for_again() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-bytes=1MiB"]).ok();
    let large = vec![b'x'; 2 << 20];
    run(spool.mq_command(&["put", "q", "--wait", "1m"]), &large)
        .status(65)
        .says("never has room")
        .says("max-bytes is 1MiB");
    let mut endless = spool.mq_command(&["put", "q"]);
    endless.stdin(std::fs::File::open("/dev/zero").unwrap());
    assert_eq!(endless.output().unwrap().status.code(), Some(65));
    assert_eq!(spool.files_in("q", "tmp").len(), 0);
}

#[test]
fn the_disk_keeps_its_reserve() {
    let spool = Spool::new();
    // More than there is.
    spool.mq(&["create", "q", "reserve=100000TiB"]).ok();
    spool
        .mq(&["put", "q", "-m", "1"])
        .status(75)
        .says("and puts leave")
        .says("(reserve)")
        .says("`mq set q reserve=...`");
    spool.mq(&["set", "q", "reserve=none", "reserve-inodes=none"]).ok();
    spool.mq(&["put", "q", "-m", "1"]).ok();
    spool.mq(&["set", "q", "reserve=100000TiB"]).ok();
    // What makes room goes on.
    spool.mq(&["get", "q", "--receipt-file", "receipt"]).ok().wrote("1");
    spool.mq(&["release", "--receipt-file", "receipt"]).ok();
    spool.mq(&["get", "q", "--delete"]).ok().wrote("1");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let spool = Spool::new();
    for (setting, why) in [
        ("max-messages=0", "from 1 up"),
        ("max-bytes=0B", "from 1B up"),
        ("max-bytes=5MB", "such as 512B, 64KiB"),
        ("reserve=much", "a size"),
        ("reserve-inodes=-1", "a number of files"),
    ] {
        spool.mq(&["create", "q", setting]).fails(2).says(setting.split('=').next().unwrap()).says(why);
    }
    spool.mq(&["create", "q", "max-messages=1"]).ok();
    let policy = spool.queue_dir("q").join("policy.json");
    std::fs::write(&policy, "{\n  \"max-messages\": 0\n}\n").unwrap();
    spool.mq(&["put", "q", "-m", "1"]).status(78).says("policy.json").says("max-messages");
    std::fs::write(&policy, "{\n  \"max-bytes\": \"5 apples\"\n}\n").unwrap();
    spool.mq(&["put", "q", "-m", "1"]).status(78).says("policy.json").says("line 2");
    // Taken by their places, these would be a policy.
    for list in ["[\"7s\"]", " []"] {
        std::fs::write(&policy, list).unwrap();
        spool.mq(&["put", "q", "-m", "1"]).status(78).says("policy.json").says("a list");
        spool.mq(&["set", "q", "delay=1s"]).status(78);
        assert_eq!(std::fs::read_to_string(&policy).unwrap(), list, "it was touched");
    }
    assert_eq!(spool.files_in("q", "tmp").len(), 0);
}

#[test]
fn of_many_processes_as_many_put_as_there_is_room_for() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-messages=10"]).ok();
    let children: Vec<_> = (0..40)
        .map(|n| spool.mq_command(&["put", "q", "-m", &n.to_string()]).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    let put = children.into_iter().filter_map(|mut child| child.wait().unwrap().success().then_some(())).count();
    assert_eq!(put, 10);
    assert_eq!(spool.bodies("q").len(), 10);
}

#[test]
fn a_count_that_is_wrong_heals() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-messages=2"]).ok();
    spool.mq(&["put", "q", "-m", "1", "-m", "2"]).ok();
    std::fs::remove_file(spool.files_in("q", "ready").remove(0)).unwrap();
    // Nobody has said that it is gone; the next count finds it.
    spool.mq(&["put", "q", "-m", "3", "--wait", "10s"]).ok();
    spool.mq(&["put", "q", "-m", "4"]).status(75);
    std::fs::write(spool.queue_dir("q").join("room"), "nonsense").unwrap();
    spool.mq(&["put", "q", "-m", "4"]).status(75);
    spool.mq(&["fsck"]).ok();
    assert_eq!(spool.bodies("q"), ["2", "3"]);
}
