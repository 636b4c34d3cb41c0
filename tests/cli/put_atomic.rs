//! `mq put --batch atomic`: all of the input or nothing.

use rustix::process::Signal;

use crate::support::{Spool, lines_of, run, until};

#[test]
fn all_lines_appear_together() {
    let spool = Spool::new();
    let mut put = spool.start(&["put", "q", "--lines", "--batch", "atomic"]);
    put.say("1\n2\n");
    // It has taken them: its directory is there, and no message.
    let is_begun = || std::fs::read_dir(spool.queue_dir("q").join("tmp")).is_ok_and(|tmp| tmp.count() > 0);
    until("the batch is begun", is_begun);
    spool.mq(&["peek", "q"]).status(1);
    put.say("3");
    put.close();
    let ids = put.finish().ok().lines();
    assert_eq!(ids.len(), 3);
    assert_eq!(spool.bodies("q"), ["1", "2", "3"]);
}

#[test]
fn texts_files_and_every_framing_go() {
    let spool = Spool::new();
    spool.file("a", "from a");
    spool.file("b", "from b");
    assert_eq!(spool.mq(&["put", "q", "--batch", "atomic", "-m", "1", "-m", "2"]).ok().lines().len(), 2);
    assert_eq!(spool.mq(&["put", "q", "--batch", "atomic", "a", "b"]).ok().lines().len(), 2);
    run(spool.mq_command(&["put", "q", "--batch", "atomic", "--null"]), b"x\0y\0").ok();
    run(spool.mq_command(&["put", "q", "--batch", "atomic"]), b"all of stdin").ok();
    run(
        spool.mq_command(&["put", "q", "--batch", "atomic", "--jsonl"]),
        b"{\"body\":\"e\"}\n{\"body\":\"f\",\"type\":\"json\"}\n",
    )
    .ok();
    assert_eq!(spool.bodies("q"), ["1", "2", "from a", "from b", "x", "y", "all of stdin", "e", "f"]);
    spool.mq(&["fsck"]).ok();
}

#[test]
fn what_is_wrong_in_the_middle_keeps_all_of_it_out() {
    let spool = Spool::new();
    let envelopes = b"{\"body\":\"1\"}\n{\"body\":\"2\"}\nnonsense\n{\"body\":\"4\"}\n";
    let ran = run(spool.mq_command(&["put", "q", "--batch", "atomic", "--jsonl"]), envelopes);
    assert!(ran.status(65).says("nothing was put to 'q'").says("line 3").lines().is_empty());
    let mixed = b"{\"body\":\"1\"}\n{\"body\":\"2\",\"priority\":9}\n";
    run(spool.mq_command(&["put", "q", "--batch", "atomic", "--jsonl"]), mixed).status(2).says("9 is not 5");
    let grouped = b"{\"body\":\"1\"}\n{\"body\":\"2\",\"group\":\"g\"}\n";
    run(spool.mq_command(&["put", "q", "--batch", "atomic", "--jsonl"]), grouped).status(2).says("group");
    spool.file("a", "from a");
    spool.mq(&["put", "q", "--batch", "atomic", "a", "missing"]).status(74).says("missing");
    spool.mq(&["get", "q"]).nothing();
    assert_eq!(spool.files_in("q", "tmp").len(), 0);
}

#[test]
fn what_makes_no_sense_with_it_is_refused() {
    let spool = Spool::new();
    for other in [&["--unique", "k"][..], &["--group", "g"], &["--delay", "5s"]] {
        let args = [&["put", "q", "--batch", "atomic", "-m", "x"], other].concat();
        spool.mq(&args).status(2).says("cannot be used with").says(other[0]);
    }
    spool.mq(&["put", "q", "--batch", "some", "-m", "x"]).status(2).says("atomic");
    spool.mq(&["create", "q", "max-messages=2"]).ok();
    let ran = run(spool.mq_command(&["put", "q", "--batch", "atomic", "--lines"]), b"1\n2\n3\n");
    ran.status(2).says("more messages than the queue may hold: max-messages is 2");
    spool.mq(&["put", "q", "-m", "1"]).ok();
    run(spool.mq_command(&["put", "q", "--batch", "atomic", "--lines"]), b"2\n3\n").status(75).says("is full");
    assert_eq!(spool.bodies("q"), ["1"]);
}

#[test]
fn more_than_a_rename_can_carry_is_refused() {
    let spool = Spool::new();
    let lines = lines_of(0..65_537);
    let ran =
        run(spool.mq_command(&["put", "q", "--batch", "atomic", "--lines", "--durability", "none"]), lines.as_bytes());
    ran.status(2).says("65536 messages are the most");
    assert_eq!(spool.stat("q")["ready"], 0);
}

#[test]
fn who_is_interrupted_has_put_nothing() {
    let spool = Spool::new();
    for signal in [Signal::INT, Signal::KILL] {
        let mut put = spool.start(&["put", "q", "--lines", "--batch", "atomic"]);
        put.say(lines_of(0..2000));
        until("messages are written", || !spool.files_in("q", "tmp").is_empty());
        put.signal(signal);
        put.ended();
        spool.mq(&["get", "q"]).nothing();
    }
}
