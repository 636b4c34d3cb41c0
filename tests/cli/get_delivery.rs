//! `mq get`: where bodies and receipts go, and what happens when they do not get there.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use crate::put::large_body;
use crate::support::{Spool, broken_pipe, lines_of, run_onto, until};

fn full() -> fs::File {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn receipts_go_to_a_file_from_which_delete_takes_them() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--receipt-file", "r"]).ok().quiet().wrote("x");
    assert_eq!(String::from_utf8(spool.read("r")).unwrap().lines().count(), 1);
    spool.mq(&["delete", "--receipt-file", "r"]).ok().quiet().silent();
    assert!(spool.files_in("q", "claimed").is_empty());
}

#[test]
fn receipts_go_to_a_descriptor_that_the_shell_opened() {
    let spool = Spool::new();
    spool.put("q", "body");
    spool.sh("mq get q --receipt-fd 3 3> r").ok().quiet().wrote("body");
    spool.mq(&["delete", "--receipt-file", "r"]).ok();
    spool.put("q", "another");
    // Into a pipe, and behind what stands in a file already.
    spool.sh("{ mq get q --receipt-fd 3 --output body 3>&1; } | mq delete -").ok().quiet();
    assert_eq!(spool.read("body"), b"another");
    assert!(spool.files_in("q", "claimed").is_empty());
}

#[test]
fn i9_a_receipt_that_cannot_go_anywhere_costs_no_delivery() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--receipt-fd", "42"]).fails(74).says("42");
    spool.mq(&["get", "q", "--receipt-file", "no/such/dir/r"]).fails(74).says("no/such/dir/r");
    spool.mq(&["get", "q", "--output", "no/such/dir/f"]).fails(74).says("no/such/dir/f");
    assert_eq!(spool.mq(&["list", "q", "--json"]).ok().json()["deliveries"], 0);
}

#[test]
fn i9_a_receipt_that_could_not_be_written_releases_the_message() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--receipt-file", "/dev/full"]).breaks(74).says("/dev/full").says("No space left");
    assert_eq!(spool.count("q", "ready"), 1, "the message can be had again at once");
}

#[test]
fn an_output_file_appears_whole_or_not_at_all() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    spool.mq(&["get", "q", "--output", "f"]).nothing();
    assert!(!spool.path("f").exists(), "no message, no file");
    let body = large_body();
    spool.put("q", &body);
    let ran = spool.mq(&["get", "q", "--output", "f"]).ok().silent();
    assert!(spool.read("f") == body);
    spool.mq(&["delete", &ran.receipt()]).ok();
    // What was there before is replaced.
    spool.put("q", "short");
    spool.mq(&["get", "q", "-o", "f", "--delete"]).ok().silent().quiet();
    assert_eq!(spool.read("f"), b"short");
    assert!(spool.files_in("q", "claimed").is_empty());
    let hidden: Vec<_> = fs::read_dir(spool.path(".")).unwrap().filter_map(Result::ok).map(|e| e.file_name()).collect();
    assert!(!hidden.iter().any(|name| name.to_string_lossy().starts_with(".mq-")), "{hidden:?}");
}

#[test]
fn an_output_file_has_the_permissions_that_the_umask_leaves() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.sh("umask 027; mq get q --delete -o f").ok();
    assert_eq!(fs::metadata(spool.path("f")).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn an_output_file_holds_many_messages_of_several_rounds() {
    let spool = Spool::new();
    let lines = lines_of(0..300);
    spool.mq_with(&["put", "q", "--lines"], &lines).ok();
    spool.mq(&["get", "q", "--count", "all", "--lines", "--delete", "-o", "f"]).ok().silent().quiet();
    assert_eq!(String::from_utf8(spool.read("f")).unwrap(), lines);
}

#[test]
fn an_output_that_is_no_plain_file_is_written_to_and_not_replaced() {
    let spool = Spool::new();
    let _gate = spool.gate("fifo");
    spool.put("q", "x");
    spool.mq(&["get", "q", "--delete", "-o", "fifo"]).ok();
    assert!(fs::metadata(spool.path("fifo")).unwrap().file_type().is_fifo());
    spool.put("q", "y");
    spool.mq(&["get", "q", "--delete", "-o", "/dev/null"]).ok();
    fs::create_dir(spool.path("dir")).unwrap();
    spool.put("q", "z");
    spool.mq(&["get", "q", "--delete", "-o", "dir"]).fails(74).says("dir");
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn i1_an_output_on_a_full_disk_releases_the_message() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--delete", "-o", "/dev/full"]).fails(74).says("/dev/full");
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn i4_delete_finishes_a_message_when_its_body_is_written() {
    for spool in [Spool::new(), Spool::on_disk()] {
        spool.put("q", "x");
        spool.mq(&["get", "q", "--delete"]).ok().quiet().wrote("x");
        spool.mq(&["get", "q"]).nothing();
        spool.put("q", "y");
        spool.sh("mq get q --delete > f").ok().quiet();
        assert_eq!(spool.read("f"), b"y");
        assert!(spool.files_in("q", "claimed").is_empty() && spool.files_in("q", "ready").is_empty());
    }
}

#[test]
fn i1_a_broken_pipe_ends_quietly_and_the_message_is_released() {
    for args in [
        &["get", "q"][..],
        &["get", "q", "--delete"],
        &["get", "q", "--json"],
        &["get", "q", "--length-prefixed", "--count", "all"],
        &["get", "q", "--to", "msgpack", "--from", "json"],
    ] {
        let spool = Spool::new();
        spool.put("q", "\"x\"");
        run_onto(spool.mq_command(args), broken_pipe()).quiet();
        assert_eq!(spool.count("q", "ready"), 1, "{args:?}");
        assert_eq!(spool.mq(&["list", "q", "--json"]).ok().json()["deliveries"], 1);
    }
}

#[test]
fn i1_a_reader_that_goes_away_in_the_middle_releases_what_it_did_not_get() {
    let spool = Spool::new();
    spool.put("q", large_body());
    spool.put("q", "second");
    let ran = spool.sh("{ mq get q --delete; echo $? > status; } | head -c 10 | wc -c").ok();
    assert_eq!(ran.text().trim(), "10");
    until("the get ends", || fs::read(spool.path("status")).is_ok_and(|status| !status.is_empty()));
    assert_ne!(spool.read("status"), b"0\n");
    assert_eq!(spool.count("q", "ready"), 2);
}

#[test]
fn i1_i9_a_full_disk_behind_stdout_is_an_error_and_the_messages_are_released() {
    for args in [&["get", "q"][..], &["get", "q", "--delete"], &["get", "q", "--json", "--count", "all"]] {
        let spool = Spool::new();
        spool.put("q", "x");
        spool.put("q", "y");
        run_onto(spool.mq_command(args), full()).breaks(74).says("standard output").says("No space left");
        assert_eq!(spool.count("q", "ready"), 2, "{args:?}");
    }
}

#[test]
fn i9_a_closed_stdout_is_an_error_and_no_message_is_lost() {
    let spool = Spool::new();
    spool.put("q", "x");
    let ran = spool.sh("mq get q --delete >&-");
    // The system may give the program another file in its place; then the body went there, as asked.
    if ran.err().is_empty() {
        ran.ok();
    } else {
        ran.breaks(74);
        assert_eq!(spool.count("q", "ready"), 1);
    }
}

#[test]
fn a_receiver_that_is_killed_does_not_lose_its_message() {
    let spool = Spool::new();
    spool.put("q", large_body());
    // More than a pipe holds, and nobody reads: it is in the middle of its write.
    let mut command = spool.mq_command(&["get", "q", "--delete"]);
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut mq = command.stdout(writer).stdin(std::process::Stdio::null()).spawn().unwrap();
    drop(command);
    until("it has claimed the message", || !spool.files_in("q", "claimed/held").is_empty());
    mq.kill().unwrap();
    mq.wait().unwrap();
    let again = spool.mq(&["get", "q", "--delete"]).ok();
    assert!(again.out() == large_body(), "at once and whole, since nobody holds it any more");
}

#[test]
fn a_refused_body_makes_no_output_file_and_replaces_none() {
    let spool = Spool::new();
    spool.put("q", "two\nlines");
    fs::write(spool.path("there"), "what was there").unwrap();
    for name in ["there", "new"] {
        spool.mq(&["get", "q", "--lines", "--output", name]).breaks(65);
    }
    assert_eq!(spool.read("there"), b"what was there");
    assert!(!spool.path("new").exists());
}
