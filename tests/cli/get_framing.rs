//! Framings out, framings in: what any bytes survive, and what is refused rather than torn.

use base64::Engine as _;
use proptest::prelude::*;

use crate::put::{large_body, nasty_bodies};
use crate::support::Spool;

fn netstrings(bodies: &[Vec<u8>]) -> Vec<u8> {
    let frame = |body: &Vec<u8>| [format!("{}:", body.len()).as_bytes(), body, b","].concat();
    bodies.iter().flat_map(frame).collect()
}

fn put_all(spool: &Spool, queue: &str, bodies: &[Vec<u8>]) {
    let ran = spool.mq_with(&["put", queue, "--length-prefixed"], netstrings(bodies)).ok().quiet();
    assert_eq!(ran.lines().len(), bodies.len());
}

/// Out of a queue by `out`, into another by `input`, out of that by length.
fn round_trip(bodies: &[Vec<u8>], out: &str, input: &str) {
    let spool = Spool::new();
    put_all(&spool, "a", bodies);
    let stream = spool.mq(&["get", "a", "--count", "all", out, "--delete"]).ok().quiet();
    let ids = spool.mq_with(&["put", "b", input], stream.out()).ok().quiet();
    assert_eq!(ids.lines().len(), bodies.len(), "{out} {input}");
    let back = spool.mq(&["get", "b", "--count", "all", "--length-prefixed", "--delete"]).ok().quiet();
    back.wrote(netstrings(bodies));
}

#[test]
fn i3_any_bytes_survive_netstrings_and_envelopes_out_and_in() {
    let mut bodies = nasty_bodies();
    bodies.push(large_body());
    round_trip(&bodies, "--length-prefixed", "--length-prefixed");
    round_trip(&bodies, "--json", "--jsonl");
    round_trip(&bodies, "--jsonl", "--jsonl");
}

#[test]
fn i3_bodies_without_the_delimiter_survive_lines_and_nulls() {
    let without = |byte: u8| -> Vec<Vec<u8>> {
        let bodies = nasty_bodies().into_iter().chain([large_body()]);
        bodies.map(|body| body.into_iter().filter(|b| *b != byte).collect()).collect()
    };
    round_trip(&without(b'\n'), "--lines", "--lines");
    round_trip(&without(0), "--null", "--null");
    round_trip(&without(0), "-0", "-0");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i3_random_bytes_survive_netstrings_and_envelopes(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..6),
    ) {
        round_trip(&bodies, "--length-prefixed", "--length-prefixed");
        round_trip(&bodies, "--json", "--jsonl");
    }

    #[test]
    fn i3_random_text_survives_an_envelope(text in any::<String>()) {
        let spool = Spool::new();
        spool.put("q", &text);
        let envelope = spool.mq(&["get", "q", "--json"]).ok().json();
        prop_assert_eq!(envelope["body"].as_str().unwrap(), text);
    }
}

#[test]
fn what_a_sender_said_survives_envelopes_out_and_in() {
    let spool = Spool::new();
    let said = ["put", "a", "-m", "x", "--type", "json", "-a", "k=ä", "--priority", "8", "--reply-to", "r"];
    spool.mq(&said).ok();
    spool.sh("mq get a --json --delete | mq put b --jsonl").ok().quiet();
    let envelope = spool.mq(&["get", "b", "--json"]).ok().json();
    assert_eq!(envelope["queue"], "b");
    assert_eq!(envelope["type"], "json");
    assert_eq!(envelope["attrs"]["k"], "ä");
    assert_eq!(envelope["priority"], 8);
    assert_eq!(envelope["reply_to"], "r");
}

#[test]
fn envelopes_hold_binary_as_plain_base64() {
    let spool = Spool::new();
    let body = large_body();
    spool.put("q", &body);
    let envelope = spool.mq(&["get", "q", "--json"]).ok().json();
    let text = envelope["body_base64"].as_str().unwrap();
    assert!(base64::engine::general_purpose::STANDARD.decode(text).unwrap() == body);
}

#[test]
fn i3_i9_a_body_that_a_framing_would_tear_is_refused_and_stays_queued() {
    for (framing, body, what) in [("--lines", &b"ab\nc"[..], "line feed"), ("--null", b"ab\0c", "NUL")] {
        let spool = Spool::new();
        let id = spool.put("q", body);
        let ran = spool.mq(&["get", "q", framing, "--delete"]).fails(65).says(what).says("--length-prefixed");
        ran.says(&id).says("offset 2");
        assert_eq!(spool.count("q", "ready"), 1);
        spool.mq(&["get", "q", "--length-prefixed", "--delete"]).ok().wrote([b"4:", body, b","].concat());
    }
}

#[test]
fn i1_a_refused_body_stays_queued_with_its_reason_and_keeps_nobody_else() {
    let spool = Spool::new();
    put_all(&spool, "q", &[b"a".to_vec(), b"b".to_vec(), b"c\nd".to_vec(), b"e".to_vec()]);
    spool.mq(&["get", "q", "--lines", "--count", "all", "--delete"]).breaks(65).wrote("a\nb\ne\n");
    assert_eq!((spool.count("q", "ready"), spool.count("q", "held")), (1, 0));
    let peeked = spool.mq(&["peek", "q", "--json"]).ok();
    assert!(peeked.text().contains("line feed") && peeked.text().contains("\"deliveries\":1"), "{peeked}");
    spool.put("q", "f");
    spool.mq(&["get", "q", "--lines", "--count", "all", "--receipt-file", "r"]).breaks(65).wrote("f\n");
    let receipts = spool.read("r");
    assert_eq!(receipts.iter().filter(|byte| **byte == b'\n').count(), 1, "a receipt for what was written alone");
}

#[test]
fn a_body_is_converted_on_receive_and_what_does_not_convert_stays_queued() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--type", "json", "-m", "{\"a\":[1,true]}"]).ok();
    spool.mq(&["get", "q", "--to", "msgpack", "--delete"]).ok().wrote(b"\x81\xa1a\x92\x01\xc3");
    let blanks = format!("{}[1]\n", "\n ".repeat(200));
    spool.put("q", blanks);
    spool.mq(&["get", "q", "--to", "msgpack", "--delete"]).ok().wrote(b"\x91\x01");
    spool.put("q", b"\x81\xa1a\x92\x01\xc3");
    spool.mq(&["get", "q", "--to", "json", "--delete"]).ok().wrote("{\"a\":[1,true]}");
    let id = spool.put("q", "{\"a\": oops}");
    let ran = spool.mq(&["get", "q", "--to", "msgpack", "--delete"]).fails(65).says(&id).says("stays queued");
    ran.says("line 1, column");
    spool.mq(&["get", "q", "--to", "msgpack", "--from", "msgpack", "--delete"]).fails(65);
    assert_eq!(spool.count("q", "ready"), 1);
    spool.mq(&["purge", "q"]).ok();
    spool.mq(&["put", "q", "--type", "application/pdf", "-m", "{}"]).ok();
    spool.mq(&["get", "q", "--to", "msgpack"]).fails(65).says("application/pdf").says("stays queued");
    spool.mq(&["get", "q", "--to", "msgpack", "--from", "json", "--delete"]).ok().wrote(b"\x80");
    spool.mq(&["get", "q", "--to", "nonsense"]).status(2).silent().says("json, jsonl, msgpack, cbor");
}

#[test]
fn an_envelope_of_a_converted_body_says_what_it_is_now() {
    let spool = Spool::new();
    spool.put("q", b"\x81\xa1a\x01");
    let envelope = spool.mq(&["get", "q", "--to", "json", "--json"]).ok().json();
    assert_eq!(envelope["type"], "application/json");
    assert_eq!(envelope["body"], "{\"a\":1}");
    assert_eq!(envelope["bytes"], 7);
}
