//! `mq list`.

use crate::support::{Spool, broken_pipe, run_onto};

#[test]
fn queues_are_listed_by_name_one_a_line() {
    let spool = Spool::new();
    spool.mq(&["list"]).ok().quiet().silent();
    for queue in ["b", "a.dead", "a", "Z-9_"] {
        spool.mq(&["create", queue]).ok();
    }
    std::fs::create_dir(spool.root().join("not a queue")).unwrap();
    std::fs::create_dir(spool.root().join("empty")).unwrap();
    std::fs::write(spool.root().join("file"), "x").unwrap();
    spool.mq(&["list"]).ok().quiet().wrote("Z-9_\na\na.dead\nb\n");
    let json = spool.mq(&["list", "--json"]).ok().jsons();
    assert_eq!(json[1], serde_json::json!({ "queue": "a" }));
    assert_eq!(json.len(), 4);
}

#[test]
fn messages_are_listed_with_state_age_size_and_deliveries() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "-m", "first", "-p", "9", "-t", "json"]).ok();
    let claimed = spool.claim("q", "1h");
    let second = spool.put("q", "second");
    let high = spool.mq(&["put", "q", "-m", "high", "-p", "8"]).ok().text().trim().to_owned();
    spool.mq(&["put", "q", "-m", "later", "--delay", "1h"]).ok();
    let json = spool.mq(&["list", "q", "--json"]).ok().quiet().jsons();
    let states: Vec<_> = json.iter().map(|message| message["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ready", "ready", "delayed", "claimed"]);
    assert_eq!(json[0]["id"], high, "in the order of delivery");
    assert_eq!(json[1]["id"], second);
    assert_eq!(json[3]["deliveries"], 1);
    assert_eq!(json[1]["bytes"], 6);
    assert!(json.iter().all(|message| message.get("body").is_none()));
    let table = spool.mq(&["list", "q"]).ok().quiet();
    let lines = table.lines();
    assert_eq!(lines.len(), 5);
    for column in ["ID", "STATE", "AGE", "BYTES", "DELIVERIES", "PRIORITY", "TYPE"] {
        assert!(lines[0].contains(column), "{}", lines[0]);
    }
    assert!(lines[1].starts_with(&high) && lines[1].contains("ready"), "{table}");
    assert!(lines[4].contains("claimed") && lines[4].contains("  json  "), "{table}");
    spool.mq(&["delete", &claimed]).ok();
}

#[test]
fn an_empty_queue_has_a_heading_and_a_missing_one_is_an_error() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    assert_eq!(spool.mq(&["list", "q"]).ok().lines().len(), 1);
    spool.mq(&["list", "q", "--json"]).ok().silent();
    spool.mq(&["list", "missing"]).fails(66);
    spool.mq(&["list", "missing", "--json"]).fails(66);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let spool = Spool::new();
    spool.put("q", "x");
    for args in [&["list"][..], &["list", "q"], &["list", "q", "--json"], &["stat"], &["peek", "q"], &["man"]] {
        run_onto(spool.mq_command(args), broken_pipe()).quiet();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        run_onto(spool.mq_command(args), full).breaks(74).says("standard output");
    }
}
