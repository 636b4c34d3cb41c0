//! `mq redrive`, and the filters that it shares with list, purge and move.

use std::time::{Duration, Instant};

use crate::support::Spool;

/// Queues `a` and `b`, whose dead letters go to `graves`: two of `a`, one of `b`.
fn graveyard() -> Spool {
    let spool = Spool::new();
    for queue in ["a", "b"] {
        spool.mq(&["create", queue, "max-deliveries=1", "dead-letter=graves"]).ok();
    }
    for (queue, body, status) in [("a", "one", "3"), ("a", "two", "4"), ("b", "three", "3")] {
        spool.put(queue, body);
        spool.mq(&["get", queue, "--", "sh", "-c", &format!("exit {status}")]).status(status.parse().unwrap());
        spool.mq(&["get", queue]).nothing();
    }
    spool
}

#[test]
fn dead_letters_go_back_where_they_come_from() {
    let spool = graveyard();
    spool.mq(&["redrive", "graves", "--dry-run"]).ok().silent().says("would have redriven 3 messages from 'graves'");
    assert_eq!(spool.count("graves", "ready"), 3);
    spool.mq(&["redrive", "graves"]).ok().silent().says("redriven 3 messages");
    assert_eq!(
        (spool.bodies("a"), spool.bodies("b")),
        (vec!["one".to_owned(), "two".to_owned()], vec!["three".to_owned()])
    );
    let listed = spool.mq(&["list", "a", "--json"]).ok().jsons();
    assert_eq!((&listed[0]["deliveries"], &listed[0]["failures"][0]["reason"]), (&0.into(), &"exit status: 3".into()));
    let again = spool.mq(&["redrive", "graves", "--json"]).ok().quiet().json();
    assert_eq!(again, serde_json::json!({ "queue": "graves", "redriven": 0, "dry_run": false }));
}

#[test]
fn only_what_is_meant_goes_back() {
    let spool = graveyard();
    spool.mq(&["redrive", "graves", "--reason", "status: 3", "--put-to", "a"]).ok().says("redriven 1");
    assert_eq!(spool.bodies("a"), ["one"]);
    let id = spool.mq(&["list", "graves", "--json"]).ok().jsons()[0]["id"].as_str().unwrap().to_owned();
    spool.mq(&["redrive", "graves", "--id", &id, "--to", "elsewhere"]).ok().says("redriven 1");
    assert_eq!(spool.bodies("elsewhere"), ["two"]);
    assert_eq!(spool.bodies("graves"), ["three"]);
}

#[test]
fn one_whose_key_is_taken_stays_and_the_others_go_back() {
    let spool = Spool::new();
    spool.mq(&["create", "jobs", "max-deliveries=1"]).ok();
    let first = spool.mq(&["put", "jobs", "--unique", "nightly", "-m", "first"]).ok().text().trim().to_owned();
    spool.put("jobs", "with no key");
    for _ in 0..2 {
        spool.mq(&["get", "jobs", "--", "false"]).status(1);
    }
    spool.mq(&["get", "jobs"]).nothing();
    let second = spool.mq(&["put", "jobs", "--unique", "nightly", "-m", "second"]).ok().text().trim().to_owned();
    spool
        .mq(&["redrive", "jobs.dead"])
        .fails(75)
        .says(&format!(
            "message {first} stays: its unique key 'nightly' is that of message {second} in the queue 'jobs'"
        ))
        .says(&format!("it can be moved when message {second} of 'jobs' is done"))
        .says("redriven 1 message ");
    assert_eq!(spool.bodies("jobs.dead"), ["first"]);
    spool.mq(&["get", "jobs", "--delete"]).ok();
    spool.mq(&["redrive", "jobs.dead"]).ok().says("redriven 1 message ");
    let again = spool.mq(&["put", "jobs", "--unique", "nightly", "-m", "in vain"]).ok();
    again.says(&format!("message {first} has the key"));
}

#[test]
fn what_has_nowhere_to_go_stays() {
    let spool = graveyard();
    spool.mq(&["drop", "b", "--force"]).ok();
    spool.mq(&["redrive", "graves"]).fails(66).says("'b'").says("--to");
    assert_eq!(spool.count("graves", "ready"), 3, "none was moved");
    spool.mq(&["redrive", "graves", "--put-to", "a"]).ok().says("redriven 2");
    spool.mq(&["redrive", "graves", "--to", "b"]).ok().says("redriven 1");
    assert_eq!(spool.bodies("b"), ["three"]);
    spool
        .mq(&["redrive", "b"])
        .ok()
        .says("1 message of 'b' was put to it, and comes from no other queue")
        .says("redriven 0");
    spool.mq(&["redrive", "missing"]).fails(66).says("'missing'");
}

#[test]
fn a_rate_is_kept() {
    let spool = Spool::new();
    spool.mq_with(&["put", "dead", "--lines"], "1\n2\n3\n4\n").ok();
    spool.mq(&["move", "dead", "graves"]).ok();
    let begun = Instant::now();
    spool.mq(&["redrive", "graves", "--rate", "20/s"]).ok().says("redriven 4");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    assert_eq!(spool.bodies("dead"), ["1", "2", "3", "4"]);
    // After the last one nobody waits.
    spool.mq(&["redrive", "graves", "--rate", "1/h"]).ok().says("redriven 0");
    spool
        .mq(&[
            "move",
            "dead",
            "graves",
            "--id",
            spool.mq(&["list", "dead", "--json"]).ok().jsons()[0]["id"].as_str().unwrap(),
        ])
        .ok();
    spool.mq(&["redrive", "graves", "--rate", "1/h"]).ok().says("redriven 1");
    for wrong in ["0", "fast", "1/d", "-1"] {
        spool.mq(&["redrive", "graves", &format!("--rate={wrong}")]).status(2).says("rate");
    }
}

/// Queues `a` and `b`, and in `graves` one group of four: two that were put to `a`, then two of `b`.
fn grouped_graveyard() -> Spool {
    let spool = Spool::new();
    for (queue, bodies) in [("a", ["1", "2"]), ("b", ["3", "4"])] {
        for body in bodies {
            spool.mq(&["put", queue, "--group", "g", "-m", body]).ok();
        }
        spool.mq(&["move", queue, "graves"]).ok();
    }
    assert_eq!((spool.count("graves", "ready"), spool.count("graves", "waiting")), (1, 3));
    spool
}

#[test]
fn those_that_wait_in_a_group_count_and_go_back_with_the_others() {
    let spool = grouped_graveyard();
    spool.mq(&["redrive", "graves", "--dry-run"]).ok().says("would have redriven 4 messages");
    spool.mq(&["redrive", "graves"]).ok().says("redriven 4 messages");
    for (queue, bodies) in [("a", "1\n2\n"), ("b", "3\n4\n")] {
        spool.mq(&["get", queue, "--count", "all", "--wait", "0s", "--lines", "--delete"]).ok().wrote(bodies);
    }
}

#[test]
fn those_that_wait_behind_a_claim_go_back() {
    let spool = grouped_graveyard();
    let claimed = spool.claim("graves", "1h");
    spool.mq(&["redrive", "graves", "--dry-run"]).ok().says("would have redriven 3 messages");
    spool.mq(&["redrive", "graves"]).ok().says("redriven 3 messages");
    spool.mq(&["delete", &claimed]).ok();
    assert_eq!(spool.stat("graves")["waiting"], 0);
    assert_eq!((spool.bodies("a"), spool.count("b", "waiting")), (vec!["2".to_owned()], 1));
}

#[test]
fn a_rate_is_kept_within_a_group() {
    let spool = grouped_graveyard();
    let begun = Instant::now();
    spool.mq(&["redrive", "graves", "--rate", "20/s"]).ok().says("redriven 4");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
}

#[test]
fn a_queue_is_not_sent_back_to_itself() {
    let spool = graveyard();
    spool.mq(&["redrive", "graves", "--to", "graves"]).fails(2).says("'graves' cannot be sent back to itself");
    spool.mq(&["redrive", "missing", "--to", "missing"]).fails(2);
    assert_eq!(spool.count("graves", "ready"), 3);
}

#[test]
fn the_table_says_why_and_whence() {
    let spool = graveyard();
    let table = spool.mq(&["list", "graves"]).ok().quiet();
    let lines = table.lines();
    assert!(lines[0].contains("PUT TO") && lines[0].ends_with("LAST FAILURE"), "{table}");
    assert!(lines[1].contains("  a  ") && lines[1].ends_with(" ago: exit status: 3"), "{table}");
    let of_b = spool.mq(&["list", "graves", "--put-to", "b"]).ok().lines();
    assert_eq!(of_b.len(), 2);
    assert_eq!(spool.mq(&["list", "graves", "--older", "1h"]).status(1).lines().len(), 1);
    assert_eq!(spool.mq(&["list", "graves", "--state", "ready", "--deliveries", "1", "--json"]).ok().jsons().len(), 3);
    spool.mq(&["list", "--older", "1h"]).fails(2).says("QUEUE");
    for verb in ["list", "purge", "redrive"] {
        for older in ["1h", "2h"] {
            let ran = spool.mq(&[verb, "graves", "--older", older, "--newer", "1h"]).fails(2);
            ran.says(&format!("--older {older} --newer 1h: no message is both"));
        }
        spool.mq(&[verb, "graves", "--deliveries", "x"]).status(2).says("'x' is not a number of deliveries");
    }
    spool.mq(&["list", "graves", "--state", "dead"]).status(2).says("ready, delayed, claimed, held or waiting");
    spool.mq(&["list", "graves", "--attr", "1=x"]).status(2).says("attribute");
}

#[test]
fn purge_and_move_take_what_is_meant() {
    let spool = Spool::new();
    for (body, colour) in [("1", "red"), ("2", "blue"), ("3", "red"), ("4", "green")] {
        spool.mq(&["put", "q", "-m", body, "--attr", &format!("colour={colour}")]).ok();
    }
    spool.mq(&["purge", "q", "--attr", "colour=red", "--dry-run"]).ok().says("would have deleted 2");
    spool.mq(&["purge", "q", "--attr", "colour=red"]).ok().says("deleted 2");
    let claimed = spool.claim("q", "1h");
    spool.mq(&["move", "q", "r", "--attr", "colour", "--dry-run"]).ok().says("would have moved 1");
    spool.mq(&["move", "q", "r", "--attr", "colour"]).ok().says("moved 1 message");
    assert_eq!(spool.bodies("r"), ["4"]);
    spool.mq(&["delete", &claimed]).ok();
}

/// A bulk that is killed has done a part of it, and the same command goes on.
#[test]
fn i1_interrupted_it_goes_on() {
    let spool = Spool::new();
    spool.mq_with(&["put", "from", "--lines"], "1\n2\n3\n4\n5\n6\n").ok();
    spool.mq(&["move", "from", "graves"]).ok();
    let running = spool.start(&["redrive", "graves", "--rate", "2/s"]);
    crate::support::until("one is back", || spool.count("from", "ready") > 0);
    running.signal(rustix::process::Signal::INT);
    let ran = running.finish().killed_by(rustix::process::Signal::INT).silent();
    let back = 6 - spool.count("graves", "ready");
    let plural = if back == 1 { "" } else { "s" };
    ran.says(&format!("redriven {back} message{plural} from 'graves' before this:\nmq redrive: interrupted\n"));
    assert!(spool.count("graves", "ready") > 0);
    spool.mq(&["redrive", "graves"]).ok();
    assert_eq!(spool.bodies("from"), ["1", "2", "3", "4", "5", "6"]);
}

/// Who does not want to hear of a signal does not.
#[test]
fn a_signal_that_is_ignored_ends_nothing() {
    let spool = Spool::new();
    spool.mq_with(&["put", "from", "--lines"], "1\n2\n3\n").ok();
    spool.mq(&["move", "from", "graves"]).ok();
    let script = "trap '' HUP; mq redrive graves --rate 5/s & pid=$!
        while [ \"$(mq stat from --json | grep -c '\"ready\":0,')\" = 1 ]; do :; done
        kill -HUP $pid; wait $pid";
    spool.sh(script).ok().says("redriven 3 messages");
}
