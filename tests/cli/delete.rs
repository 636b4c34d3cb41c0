//! `mq delete`, and what holds for every verb that takes receipts.

use crate::support::{Spool, until};

#[test]
fn i4_receipts_come_as_arguments_from_stdin_and_from_files() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "1\n2\n3\n4\n5\n6\n").ok();
    let receipts: Vec<String> = (0..6).map(|_| spool.claim("q", "1h")).collect();
    spool.file("r", format!("{}\n", receipts[2]));
    spool.file("s", &receipts[3]);
    // A line as get shows it on stderr, spaces around one, and an empty one.
    let stdin = format!("receipt: {}\n\n  {}  \n", receipts[4], receipts[5]);
    let args = ["delete", &receipts[0], &receipts[1], "-", "--receipt-file", "r", "--receipt-file", "s"];
    spool.mq_with(&args, stdin).ok().quiet().silent();
    let stat = spool.stat("q");
    assert_eq!((&stat["ready"], &stat["claimed"]), (&0.into(), &0.into()), "{stat}");
}

#[test]
fn what_get_says_on_stderr_can_be_fed_back_as_it_is() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\n").ok();
    spool.sh("mq get q --count all --lines 2> r && mq delete - < r").ok().quiet().wrote("a\nb\n");
    spool.sh("mq put q -m c > /dev/null; mq get q --json | sed 's/.*\"receipt\":\"//; s/\".*//' | mq delete -").ok();
    assert!(spool.files_in("q", "claimed").is_empty());
}

#[test]
fn i5_a_second_delete_is_stale() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["delete", &receipt]).ok();
    spool.mq(&["delete", &receipt]).fails(66).says("stale").says("'q'");
}

#[test]
fn i5_one_stale_receipt_does_not_keep_the_others_from_being_deleted() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let receipts: Vec<String> = (0..3).map(|_| spool.claim("q", "1h")).collect();
    spool.mq(&["delete", &receipts[1]]).ok();
    let ran = spool.mq(&["delete", &receipts[0], &receipts[1], &receipts[2]]).fails(66);
    assert_eq!(ran.err().matches("stale").count(), 1, "{ran}");
    assert_eq!(spool.count("q", "claimed"), 0);
}

#[test]
fn i5_a_receipt_is_stale_once_its_message_was_delivered_again() {
    for spool in [Spool::new(), Spool::on_disk()] {
        spool.put("q", "x");
        let old = spool.claim("q", "1s");
        let new = spool.mq(&["get", "q", "--wait", "15s", "--visibility", "1h"]).ok().wrote("x").receipt();
        let before = spool.mq(&["list", "q", "--json"]).ok().json();
        spool.mq(&["delete", &old]).fails(66).says("stale");
        spool.mq(&["release", &old]).fails(66).says("stale");
        spool.mq(&["extend", "--visibility", "2h", &old]).fails(66).says("stale");
        assert_eq!(spool.mq(&["list", "q", "--json"]).ok().json(), before, "it changes nothing");
        spool.mq(&["delete", &new]).ok();
    }
}

#[test]
fn a_receipt_works_after_its_time_until_the_message_is_delivered_again() {
    let spool = Spool::new();
    spool.put("q", "x");
    for verb in [&["delete"][..], &["release"], &["extend", "--visibility", "1h"]] {
        let receipt = spool.claim("q", "1s");
        until("the claim ends", || spool.count("q", "ready") == 1);
        let args: Vec<&str> = verb.iter().copied().chain([receipt.as_str()]).collect();
        spool.mq(&args).ok().quiet();
        match verb[0] {
            "delete" => {
                spool.mq(&["get", "q"]).nothing();
                spool.put("q", "x");
            }
            "release" => assert_eq!(spool.count("q", "ready"), 1),
            _ => assert_eq!(spool.count("q", "claimed"), 1),
        }
    }
}

#[test]
fn i9_rubbish_is_refused_before_anything_is_done() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    for rubbish in ["nonsense", "", "a/b", "../../etc/passwd", "%%%", &receipt[1..], &format!("{receipt}=")] {
        for verb in [&["delete"][..], &["release"], &["extend", "--visibility", "1m"]] {
            let args: Vec<&str> = verb.iter().copied().chain([receipt.as_str(), rubbish]).collect();
            spool.mq(&args).fails(2).says("receipt");
        }
    }
    spool.mq(&["delete"]).fails(2).says("--receipt-file");
    assert_eq!(spool.count("q", "claimed"), 1);
}

#[test]
fn rubbish_in_a_file_is_named_by_its_line_and_the_rest_is_done() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\n").ok();
    let receipts: Vec<String> = (0..2).map(|_| spool.claim("q", "1h")).collect();
    spool.file("r", format!("{}\nnonsense\n{}\n", receipts[0], receipts[1]));
    spool.mq(&["delete", "--receipt-file", "r"]).fails(2).says("r, line 2").says("nonsense");
    assert_eq!(spool.count("q", "claimed"), 0);
    spool.mq(&["delete", "--receipt-file", "missing"]).fails(74).says("missing");
    spool.mq_with(&["delete", "-"], "").ok().quiet();
    spool.mq_with(&["delete", "-"], b"\xff\xfe\n").fails(74).says("standard input");
}

#[test]
fn receipts_of_many_queues_can_be_mixed() {
    let spool = Spool::new();
    let mut receipts = Vec::new();
    for queue in ["a", "b", "c"] {
        spool.put(queue, "x");
        receipts.push(spool.claim(queue, "1h"));
    }
    spool.mq(&["drop", "b", "--force"]).ok();
    let args: Vec<&str> = ["delete"].into_iter().chain(receipts.iter().map(String::as_str)).collect();
    let ran = spool.mq(&args).fails(66).says("there is no queue 'b'");
    assert!(!ran.err().contains("stale"), "{ran}");
    for queue in ["a", "c"] {
        assert_eq!(spool.count(queue, "claimed"), 0);
    }
}

#[test]
fn a_receipt_survives_the_process_that_took_it_and_an_extension() {
    let spool = Spool::on_disk();
    spool.put("q", "x");
    let receipt = spool.claim("q", "5s");
    spool.mq(&["extend", "--visibility", "1h", &receipt]).ok();
    spool.mq(&["delete", &receipt]).ok();
    spool.mq(&["get", "q"]).nothing();
}
