//! `mq put --unique`: one message of a key, whoever puts, and a plain word to the others.

use crate::support::{Spool, run};

#[test]
fn the_second_put_prints_the_first_id_and_says_why() {
    let spool = Spool::new();
    let first = spool.mq(&["put", "q", "--unique", "nightly", "-m", "report"]).ok().quiet().lines().remove(0);
    let again = spool.mq(&["put", "q", "--unique", "nightly", "-m", "another"]).ok();
    assert_eq!(again.lines(), std::slice::from_ref(&first));
    assert_eq!(again.err(), format!("mq: nothing was put: message {first} has the key 'nightly'\n"));
    spool.mq(&["get", "q", "--delete"]).ok().wrote("report");
    let second = spool.mq(&["put", "q", "--unique", "nightly", "-m", "next"]).ok().quiet().lines().remove(0);
    assert_ne!(first, second);
}

#[test]
fn a_key_goes_with_stdin_a_text_or_a_file() {
    let spool = Spool::new();
    spool.file("file", "from a file");
    run(spool.mq_command(&["put", "q", "--unique", "a"]), b"from stdin").ok().quiet();
    spool.mq(&["put", "q", "--unique", "b", "file"]).ok().quiet();
    spool.mq(&["put", "q", "--unique", "c", "-m", "a text", "--priority", "6"]).ok().quiet();
    run(spool.mq_command(&["put", "q", "--unique", "a"]), b"in vain").ok().says("has the key 'a'");
    assert_eq!(spool.bodies("q"), ["a text", "from stdin", "from a file"]);
}

#[test]
fn a_claim_holds_its_key_and_a_receipt_or_rm_frees_it() {
    let spool = Spool::new();
    let put = |body: &str| spool.mq(&["put", "q", "--unique", "k", "-m", body]).ok().err().is_empty();
    assert!(put("one"));
    spool.mq(&["get", "q", "--receipt-file", "receipt"]).ok();
    assert!(!put("in vain"));
    spool.mq(&["delete", "--receipt-file", "receipt"]).ok();
    assert!(put("two"));
    std::fs::remove_file(spool.files_in("q", "ready").remove(0)).unwrap();
    assert!(put("three"));
    assert_eq!(spool.bodies("q"), ["three"]);
}

#[test]
fn a_window_outlives_its_message() {
    let spool = Spool::new();
    let put = || spool.mq(&["put", "q", "--unique", "k", "--unique-for", "1h", "-m", "x"]).ok();
    let first = put().quiet().lines();
    spool.mq(&["get", "q", "--delete"]).ok();
    assert_eq!(put().lines(), first);
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["fsck"]).ok();
}

#[test]
fn an_envelope_names_a_key_of_its_own() {
    let spool = Spool::new();
    let envelopes = concat!(
        "{\"body\":\"a\"}\n",
        "{\"body\":\"b\",\"unique\":\"k\"}\n",
        "{\"body\":\"c\"}\n",
        "{\"body\":\"in vain\",\"unique\":\"k\"}\n",
        "{\"body\":\"d\",\"unique\":\"l\",\"unique_for\":\"1h\"}\n",
    );
    let ran = run(spool.mq_command(&["put", "q", "--jsonl"]), envelopes.as_bytes()).ok();
    let ids = ran.lines();
    assert_eq!((ids.len(), &ids[1]), (5, &ids[3]), "{ran}");
    ran.says("has the key 'k'");
    assert_eq!(spool.bodies("q"), ["a", "b", "c", "d"]);
    spool.mq(&["purge", "q"]).ok();
    run(spool.mq_command(&["put", "q", "--jsonl"]), envelopes.as_bytes()).ok().says("has the key 'l'");
    assert_eq!(spool.bodies("q"), ["a", "b", "c"]);
    let atomic = run(spool.mq_command(&["put", "r", "--jsonl", "--batch", "atomic"]), envelopes.as_bytes());
    atomic.fails(2).says("unique key");
}

#[test]
fn an_envelope_shows_the_key() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--unique", "k", "--unique-for", "1h", "-m", "x"]).ok();
    for args in [&["get", "q", "--json", "--delete"][..], &["put", "q", "--unique", "l", "-m", "y"]] {
        let ran = spool.mq(args).ok();
        if args[0] == "get" {
            assert_eq!(ran.jsons()[0]["unique"], "k");
            assert!(ran.jsons()[0]["unique_until"].is_string());
        }
    }
    assert_eq!(spool.mq(&["peek", "q", "--json"]).ok().jsons()[0]["unique"], "l");
}

#[test]
fn what_makes_no_sense_with_a_key_is_refused() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "retention=1h"]).ok();
    spool.file("one", "1");
    for (args, why) in [
        (&["--unique", "k", "-m", "a", "-m", "b"][..], "there is one message of a key, and several were given"),
        (&["--unique", "k", "one", "one"], "there is one message of a key, and several were given"),
        (&["--unique", "k", "--lines"], "cannot be used with"),
        (&["--unique", "", "-m", "a"], "is not a unique key: 1 to 1024 bytes of text without control characters"),
        (&["--unique-for", "5m", "-m", "a"], "--unique <KEY>"),
        (&["--unique", "k", "--unique-for", "0s", "-m", "a"], "the key would never be taken"),
        (&["--unique", "k", "--unique-for", "61m", "-m", "a"], "its retention keeps a message for 1h at most"),
    ] {
        spool.mq(&[&["put", "q"], args].concat()).status(2).says(why);
    }
    assert!(spool.bodies("q").is_empty());
}

/// A hundred cron jobs that come too late, all at once.
#[test]
fn of_a_hundred_processes_one_puts() {
    for spool in [Spool::new(), Spool::on_disk()] {
        spool.mq(&["create", "q"]).ok();
        let script = "for n in $(seq 100); do mq put q --unique k -m $n >id.$n 2>said.$n & done; wait; cat id.* | sort -u; cat said.* | wc -l";
        let said = spool.sh(script).ok().lines();
        assert_eq!(said.len(), 2, "more than one id: {said:?}");
        assert_eq!(said[1].trim(), "99");
        assert_eq!(spool.bodies("q").len(), 1);
    }
}

/// A killed `put` leaves its key as it found it or with a message, and fsck finds and mends what lies about.
#[test]
fn fsck_finds_a_key_whose_message_is_gone() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--unique", "k", "-m", "x"]).ok();
    spool.mq(&["fsck"]).ok();
    let file = spool.files_in("q", "ready").remove(0);
    std::fs::remove_file(file).unwrap();
    let found = spool.mq(&["fsck", "--json"]).status(1);
    assert_eq!(found.jsons()[0]["finding"], "key-left");
    spool.mq(&["fsck", "--repair"]).status(0);
    spool.mq(&["fsck"]).ok();
    assert!(spool.files_in("q", "unique").is_empty());
}
