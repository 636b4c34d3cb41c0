//! `mq put` of many messages in one stream, slow streams, and streams that are cut off.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::put::large_body;
use crate::support::{Spool, lines_of};

#[test]
fn each_framing_takes_messages_apart_and_prints_an_id_for_each_in_order() {
    let cases: [(&str, &[u8], &[&str]); 19] = [
        ("--lines", b"", &[]),
        ("--lines", b"\n", &[""]),
        ("--lines", b"a\nb\n", &["a", "b"]),
        ("--lines", b"a\nb", &["a", "b"]),
        ("--lines", b"\n\na\n\n", &["", "", "a", ""]),
        ("--lines", b"a\r\n\0\n", &["a\r", "\0"]),
        ("--null", b"", &[]),
        ("--null", b"\0", &[""]),
        ("--null", b"a\nb\0c", &["a\nb", "c"]),
        ("-0", b"./x\0./y\0", &["./x", "./y"]),
        ("--length-prefixed", b"", &[]),
        ("--length-prefixed", b"0:,", &[""]),
        ("--length-prefixed", b"5:hello,3:\n,\0,", &["hello", "\n,\0"]),
        ("--jsonl", b"", &[]),
        ("--jsonl", b"\n  \n", &[]),
        ("--jsonl", b"{\"body\":\"a\"}\n\n{\"body\":\"\"}", &["a", ""]),
        ("--jsonl", b"{\"body_base64\":\"aGVsbG8=\"}\n", &["hello"]),
        ("--jsonl", b"{\"body\":\"a\\n\\u0000\",\"id\":\"ignored\",\"receipt\":\"x\",\"deliveries\":7}\n", &["a\n\0"]),
        ("--jsonl", b" { \"body\" : \"spaced\" } \r\n", &["spaced"]),
    ];
    for (framing, input, bodies) in cases {
        let spool = Spool::new();
        spool.mq(&["create", "q"]).ok();
        let ran = spool.mq_with(&["put", "q", framing], input).ok().quiet();
        let listed = spool.mq(&["list", "q", "--json"]).ok().jsons();
        let ids: Vec<_> = listed.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ran.lines(), ids, "{framing} {input:?}");
        assert_eq!(spool.bodies("q"), bodies, "{framing} {input:?}");
    }
}

#[test]
fn what_an_envelope_says_goes_before_what_the_options_say() {
    let spool = Spool::new();
    let input = concat!(
        r#"{"body":"a","type":"json","attrs":{"k":"own"},"priority":9,"reply_to":"r"}"#,
        "\n",
        r#"{"body":"b"}"#,
        "\n",
        r#"{"body":"c","delay":"1h"}"#,
        "\n",
    );
    let args = ["put", "q", "--jsonl", "--type", "text/plain", "--attr", "k=v", "--attr", "l=w", "--priority", "3"];
    assert_eq!(spool.mq_with(&args, input).ok().lines().len(), 3);
    let messages = spool.mq(&["get", "q", "--count", "all", "--json"]).ok().jsons();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["type"], "json");
    assert_eq!(messages[0]["attrs"], serde_json::json!({ "k": "own", "l": "w" }));
    assert_eq!(messages[0]["priority"], 9);
    assert_eq!(messages[0]["reply_to"], "r");
    assert_eq!(messages[1]["type"], "text/plain");
    assert_eq!(messages[1]["attrs"], serde_json::json!({ "k": "v", "l": "w" }));
    assert_eq!(messages[1]["priority"], 3);
    assert_eq!(spool.count("q", "delayed"), 1);
}

#[test]
fn i9_a_bad_envelope_is_named_by_its_number_and_the_ones_before_it_are_kept() {
    for (line, words) in [
        ("{\"body\":", "line 3"),
        ("[1]", "line 3 is no object"),
        ("[\"x\"]", "line 3 is no object"),
        ("hello", "line 3 is not JSON at column 1; an envelope is an object such as {\"body\":\"text\"}"),
        ("{\"corpse\":\"x\"}", "\"body\" or \"body_base64\""),
        ("{\"body\":\"x\",\"body_base64\":\"eA==\"}", "line 3"),
        ("{\"body_base64\":\"%%\"}", "line 3"),
        ("{\"body\":\"x\",\"priority\":10}", "priority"),
        ("{\"body\":\"x\",\"delay\":\"soon\"}", "line 3"),
        ("{\"body\":\"x\",\"attrs\":{\"1\":\"x\"}}", "line 3"),
        ("\u{feff}{}", "line 3"),
        ("{\"body\":5}", "line 3: \"body\": '5' is not text in quotes"),
        ("{\"body\":\"x\",\"delay\":5}", "\"delay\": '5' is not text in quotes"),
        ("{\"body\":\"x\",\"ttl\":\"0s\"}", "ttl 0s: the message would never be delivered"),
        ("{\"body\":\"x\",\"ttl\":\"1m\",\"delay\":\"60s\"}", "delay 1m, ttl 1m: the message would be too old"),
        ("{\"body\":\"x\",\"prioriy\":9}", "it says \"prioriy\", which means nothing; a sender may say body"),
        ("{\"body\":\"x\",\"body\":\"y\"}", "it says \"body\" twice"),
        ("{\"body\":\"x\",\"attrs\":[]}", "'[]' is not attributes"),
        ("{\"body\":\"x\",\"attrs\":{\"k\":1}}", "'\"k\":1' is not attributes"),
        ("{\"body\":\"x\",\"unique_for\":\"1h\"}", "no \"unique\""),
        ("{\"body\":\"x\",\"unique\":\"\"}", "\"unique\": '' is not"),
    ] {
        let spool = Spool::new();
        let input = format!("{{\"body\":\"a\"}}\n{{\"body\":\"b\"}}\n{line}\n{{\"body\":\"d\"}}\n");
        let ran = spool.mq_with(&["put", "q", "--jsonl"], input).breaks(65).says(words);
        assert_eq!(ran.lines().len(), 2, "{ran}");
        ran.says("2 messages were put to 'q'");
        assert_eq!(spool.bodies("q"), ["a", "b"]);
    }
}

#[test]
fn i9_a_stream_of_netstrings_that_is_cut_off_keeps_the_whole_ones() {
    for (input, words) in [
        (&b"1:a,2:bb,5:hel"[..], "message 3"),
        (b"1:a,2:bb,5:hello", "message 3"),
        (b"1:a,2:bb,5", "message 3"),
        (b"1:a,2:bb,5:helloX", "message 3"),
        (b"1:a,2:bb,x:", "message 3"),
        (b"1:a,2:bb,01:x,", "message 3"),
        (b"1:a,2:bb,-1:x,", "message 3"),
        (b"1:a,2:bb,99999999999999999999:x,", "message 3"),
        (b"1:a,2:bb,9223372036854775807:x,", "message 3"),
        (b"1:a,2:bb,\n", "message 3"),
    ] {
        let spool = Spool::new();
        let ran = spool.mq_with(&["put", "q", "--length-prefixed"], input).breaks(65).says(words);
        assert_eq!(ran.lines().len(), 2, "{ran}");
        ran.says("2 messages were put to 'q'");
        assert_eq!(spool.bodies("q"), ["a", "bb"]);
        spool.assert_no_temporaries("q");
    }
}

#[test]
fn i3_a_large_netstring_that_is_cut_off_is_not_put() {
    let spool = Spool::new();
    let mut input = b"1:a,3000000:".to_vec();
    input.extend(&large_body()[..2_000_000]);
    let ran = spool.mq_with(&["put", "q", "--length-prefixed"], input).breaks(65).says("message 2");
    assert_eq!(ran.lines().len(), 1, "{ran}");
    assert_eq!(spool.bodies("q"), ["a"]);
    spool.assert_no_temporaries("q");
}

#[test]
fn i8_thousands_of_lines_keep_their_order_over_batches_and_leaves() {
    // A file system without a journal needs several syncs for each message that is claimed and deleted.
    for (spool, count) in [(Spool::new(), 3000), (Spool::on_disk(), 600)] {
        spool.put("q", "before");
        let lines = lines_of(0..count);
        let ran = spool.mq_with(&["put", "q", "--lines"], &lines).ok().quiet();
        let mut ids = ran.lines();
        assert_eq!(ids.len(), count as usize);
        spool.put("q", "after");
        let got = spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok().quiet();
        got.wrote(format!("before\n{lines}after\n"));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count as usize, "every id is another");
        spool.assert_no_temporaries("q");
    }
}

#[test]
fn i3_a_line_of_megabytes_is_one_message_between_two_others() {
    let spool = Spool::new();
    let large: Vec<u8> = large_body().into_iter().filter(|byte| *byte != b'\n').collect();
    let input = [b"before\n", large.as_slice(), b"\nafter"].concat();
    assert_eq!(spool.mq_with(&["put", "q", "--lines"], &input).ok().lines().len(), 3);
    spool.mq(&["get", "q", "--delete"]).ok().wrote("before");
    spool.mq(&["get", "q", "--delete"]).ok().wrote(&large);
    spool.mq(&["get", "q", "--delete"]).ok().wrote("after");
}

#[test]
fn streams_from_several_files_follow_each_other() {
    let spool = Spool::new();
    spool.file("a", "1\n2");
    spool.file("b", "3\n");
    let ran = spool.mq_with(&["put", "q", "--lines", "a", "-", "b"], "stdin\n").ok();
    assert_eq!(ran.lines().len(), 4);
    assert_eq!(spool.bodies("q"), ["1", "2", "stdin", "3"]);
}

#[test]
fn a_line_on_a_slow_pipe_is_put_and_acknowledged_while_the_pipe_stays_open() {
    let spool = Spool::on_disk();
    let mut mq = spool.start(&["put", "q", "--lines"]);
    let mut fastest = Duration::MAX;
    for n in 0..5 {
        let start = Instant::now();
        mq.say(format!("line {n}\n"));
        let id = mq.line();
        fastest = fastest.min(start.elapsed());
        let listed = spool.mq(&["list", "q", "--json"]).ok().jsons();
        assert_eq!(listed.last().unwrap()["id"], id, "an id that was printed is in the queue");
    }
    assert!(mq.is_running());
    assert!(fastest < Duration::from_millis(500), "the fastest of five lines took {fastest:?}");
    mq.say("the last, not ended");
    assert!(mq.finish().ok().quiet().lines().len() == 1);
    assert_eq!(spool.bodies("q").len(), 6);
}

#[test]
fn an_envelope_and_a_netstring_on_a_slow_pipe_do_not_wait_either() {
    let spool = Spool::new();
    for (framing, message) in [("--jsonl", "{\"body\":\"x\"}\n"), ("--length-prefixed", "1:x,"), ("--null", "x\0")] {
        let mut mq = spool.start(&["put", "q", framing]);
        mq.say(message);
        mq.line();
        assert!(mq.is_running());
        mq.finish().ok().silent();
    }
    assert_eq!(spool.bodies("q"), ["x", "x", "x"]);
}

#[test]
fn i1_an_interrupted_stream_keeps_what_it_acknowledged_and_says_how_much() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let spool = Spool::new();
        let mut mq = spool.start(&["put", "q", "--lines"]);
        mq.say("one\ntwo\n");
        mq.line();
        mq.line();
        mq.say("half a li");
        mq.signal(signal);
        let ran = mq.finish().killed_by(signal).says("2 lines were put to 'q'").says("interrupted");
        drop(ran);
        assert_eq!(spool.bodies("q"), ["one", "two"]);
        spool.assert_no_temporaries("q");
    }
}

#[test]
fn i3_an_interrupted_body_is_not_put_and_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let spool = Spool::new();
        spool.mq(&["create", "q"]).ok();
        let mut mq = spool.start(&["put", "q"]);
        // More than a pipe holds: when all of it is written, some of it has been read.
        mq.say(&large_body()[..200_000]);
        mq.signal(signal);
        mq.finish().killed_by(signal).silent().says("nothing was put to 'q':").says("interrupted");
        spool.mq(&["get", "q"]).nothing();
        spool.assert_no_temporaries("q");
    }
}
