//! `mq get`: what is claimed, in which order, by whom, and what the receiver learns of it.

use std::time::{Duration, Instant};

use crate::support::{Spool, lines_of};

#[test]
fn the_body_goes_to_stdout_and_the_receipt_to_stderr() {
    for spool in [Spool::new(), Spool::on_disk()] {
        spool.put("q", "hello\n");
        let ran = spool.mq(&["get", "q"]).ok().wrote("hello\n");
        let receipt = ran.receipt();
        assert_eq!(ran.err(), format!("receipt: {receipt}\n"));
        assert!(receipt.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{receipt}");
        spool.mq(&["delete", &receipt]).ok().quiet().silent();
        assert_eq!(spool.count("q", "claimed"), 0);
    }
}

#[test]
fn i2_a_claimed_message_is_invisible_to_others() {
    let spool = Spool::new();
    spool.put("q", "a");
    spool.put("q", "b");
    spool.mq(&["get", "q"]).ok().wrote("a");
    spool.mq(&["get", "q"]).ok().wrote("b");
    spool.mq(&["get", "q"]).nothing();
    assert_eq!(spool.count("q", "claimed"), 2);
}

#[test]
fn i2_no_two_receivers_at_once_get_the_same_message() {
    let spool = Spool::new();
    let lines = lines_of(0..400);
    spool.mq_with(&["put", "q", "--lines"], &lines).ok();
    let receivers: Vec<_> =
        (0..8).map(|_| spool.start(&["get", "q", "--count", "all", "--lines", "--delete"])).collect();
    let mut got: Vec<u32> = Vec::new();
    for receiver in receivers {
        // Who comes late finds nothing, which is an answer too.
        got.extend(receiver.finish().lines().iter().map(|line| line.parse::<u32>().unwrap()));
    }
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..400), "{got:?}");
}

#[test]
fn i8_messages_come_in_the_order_of_their_puts() {
    let spool = Spool::new();
    for n in 0..20 {
        spool.put("q", n.to_string());
    }
    for n in 0..20 {
        spool.mq(&["get", "q"]).ok().wrote(n.to_string());
    }
}

#[test]
fn higher_priorities_come_first_and_keep_their_own_order() {
    let spool = Spool::new();
    for (priority, body) in [("0", "g"), ("5", "c"), ("9", "a"), ("4", "f"), ("9", "b"), ("5", "d")] {
        spool.mq(&["put", "q", "--priority", priority, "-m", body]).ok();
    }
    spool.mq(&["put", "q", "-m", "e"]).ok();
    let all = spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok();
    all.wrote("a\nb\nc\nd\ne\nf\ng\n");
}

#[test]
fn i6_what_comes_back_is_delivered_again_and_counted() {
    let spool = Spool::new();
    let start = Instant::now();
    spool.put("q", "again");
    spool.put("q", "next");
    let first = spool.mq(&["get", "q", "--json", "--visibility", "1s"]).ok().json();
    assert_eq!(first["deliveries"], 1);
    spool.mq(&["get", "q", "--delete"]).ok().wrote("next");
    let second = spool.mq(&["get", "q", "--json", "--wait", "15s"]).ok().json();
    assert!(start.elapsed() >= Duration::from_secs(1), "it came back after {:?}", start.elapsed());
    assert_eq!(second["deliveries"], 2);
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["put_at"], first["put_at"]);
    assert_ne!(second["receipt"], first["receipt"]);
}

#[test]
fn a_message_that_comes_back_is_at_its_old_place() {
    let spool = Spool::new();
    for body in ["a", "b", "c"] {
        spool.put("q", body);
    }
    let receipt = spool.claim("q", "1h");
    spool.mq(&["release", &receipt]).ok();
    assert_eq!(spool.bodies("q"), ["a", "b", "c"]);
}

#[test]
fn an_envelope_tells_what_is_known() {
    let spool = Spool::new();
    let id = spool.put("q", "text");
    let envelope = spool.mq(&["get", "q", "--json", "--visibility", "1m"]).ok().quiet().json();
    let keys: Vec<_> = envelope.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["id", "queue", "receipt", "deliveries", "put_at", "visible_until", "priority", "bytes", "body"] {
        assert!(keys.contains(&key), "{key} is missing in {envelope}");
    }
    assert_eq!(envelope["id"], id);
    assert_eq!(envelope["queue"], "q");
    assert_eq!(envelope["bytes"], 4);
    assert_eq!(envelope["priority"], 5);
    let time = |name: &str| humantime::parse_rfc3339(envelope[name].as_str().unwrap()).unwrap();
    let claim = time("visible_until").duration_since(time("put_at")).unwrap();
    assert!((60..=80).contains(&claim.as_secs()), "{claim:?}");
    spool.mq(&["delete", envelope["receipt"].as_str().unwrap()]).ok();
}

#[test]
fn a_body_that_is_no_text_is_base64_in_an_envelope() {
    let spool = Spool::new();
    spool.put("q", b"\xff\x00");
    let envelope = spool.mq(&["get", "q", "--json", "--delete"]).ok().json();
    assert_eq!(envelope["body_base64"], "/wA=");
    assert_eq!(envelope.get("body"), None);
    assert_eq!(envelope.get("receipt"), None, "a deleted message has no receipt");
}

#[test]
fn a_count_needs_a_framing_and_takes_no_more_than_it_says() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\nd\n").ok();
    spool.mq(&["get", "q", "--count", "2"]).fails(2).says("framing").says("--lines");
    spool.mq(&["get", "q", "--count", "all"]).fails(2).says("framing");
    spool.mq(&["get", "q", "--count", "0", "--lines"]).status(2).silent();
    spool.mq(&["get", "q", "--count", "some", "--lines"]).status(2).silent().says("all");
    assert_eq!(spool.count("q", "ready"), 4);
    let two = spool.mq(&["get", "q", "--count", "2", "--lines"]).ok().wrote("a\nb\n");
    assert_eq!(two.err().lines().filter(|line| line.starts_with("receipt: ")).count(), 2, "{two}");
    spool.mq(&["get", "q", "--count", "10", "--lines", "--delete"]).ok().wrote("c\nd\n");
    spool.mq(&["get", "q", "--count", "10", "--lines"]).nothing();
    assert_eq!(spool.count("q", "claimed"), 2);
}

#[test]
fn all_of_a_long_queue_can_be_claimed_at_once_and_deleted_by_its_receipts() {
    let spool = Spool::new();
    let lines = lines_of(0..700);
    spool.mq_with(&["put", "q", "--lines"], &lines).ok();
    let ran = spool.mq(&["get", "q", "--count", "all", "--lines", "--receipt-file", "r"]).ok().quiet();
    ran.wrote(&lines);
    assert_eq!(String::from_utf8(spool.read("r")).unwrap().lines().count(), 700);
    assert_eq!(spool.count("q", "claimed"), 700);
    spool.mq(&["delete", "--receipt-file", "r"]).ok().quiet();
    assert_eq!(spool.count("q", "claimed"), 0);
    assert!(spool.files_in("q", "claimed").is_empty());
}

#[test]
fn an_empty_queue_a_missing_queue_and_a_paused_queue_are_three_answers() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["get", "r"]).fails(66).says("there is no queue 'r'");
    spool.put("q", "x");
    spool.mq(&["pause", "q"]).ok();
    spool.mq(&["get", "q"]).fails(75).says("paused").says("mq resume q");
    spool.mq(&["resume", "q"]).ok();
    spool.mq(&["get", "q"]).ok().wrote("x");
}

#[test]
fn a_spent_message_goes_to_the_dead_letters_whole() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-deliveries=2"]).ok();
    let id = spool.mq(&["put", "q", "-m", "poison", "-a", "k=v"]).ok().text().trim().to_owned();
    for _ in 0..2 {
        let receipt = spool.claim("q", "1h");
        spool.mq(&["release", &receipt]).ok();
    }
    spool.mq(&["get", "q"]).nothing();
    let dead = spool.mq(&["get", "q.dead", "--json"]).ok().json();
    assert_eq!(dead["id"], id);
    assert_eq!(dead["body"], "poison");
    assert_eq!(dead["attrs"]["k"], "v");
}

#[test]
fn options_that_contradict_each_other_are_refused_before_anything_is_claimed() {
    let spool = Spool::new();
    spool.put("q", "x");
    for args in [
        &["--delete", "--receipt-file", "r"][..],
        &["--delete", "--visibility", "1m"],
        &["--receipt-file", "r", "--receipt-fd", "3"],
        &["--lines", "--json"],
        &["--from", "json"],
        &["--visibility", "10"],
        &["--json", "--", "true"],
        &["--delete", "--", "true"],
        &["--count", "2", "--", "true"],
        &["--output", "f", "--", "true"],
    ] {
        let mut all = vec!["get", "q"];
        all.extend_from_slice(args);
        spool.mq(&all).status(2).silent();
    }
    assert_eq!(spool.count("q", "ready"), 1);
    spool.mq(&["get", "q", "--json"]).ok().json()["deliveries"].as_u64().filter(|n| *n == 1).unwrap();
}
