//! `mq move`.

use crate::support::{Spool, lines_of};

#[test]
fn messages_move_in_order_to_the_end_of_the_other_queue() {
    let spool = Spool::on_disk();
    let ids = spool.mq_with(&["put", "a", "--lines"], "1\n2\n3\n").ok().lines();
    spool.put("b", "0");
    let receipt = spool.claim("a", "1h");
    spool.mq(&["release", &receipt]).ok();
    spool.mq(&["move", "a", "b", "--dry-run"]).ok().silent().says("would have moved 3");
    assert_eq!(spool.bodies("b"), ["0"]);
    spool.mq(&["move", "a", "b"]).ok().silent().says("moved 3");
    assert_eq!(spool.bodies("b"), ["0", "1", "2", "3"]);
    let listed = spool.mq(&["list", "b", "--json"]).ok().jsons();
    assert_eq!(listed[1]["id"], ids[0], "they keep their ids");
    assert_eq!(listed[1]["deliveries"], 0, "their counts begin again");
    spool.mq(&["get", "a"]).nothing();
}

#[test]
fn what_is_claimed_stays_and_what_is_delayed_stays_delayed() {
    let spool = Spool::new();
    spool.put("a", "claimed");
    let receipt = spool.claim("a", "1h");
    spool.put("a", "ready");
    spool.mq(&["put", "a", "--delay", "1h", "-m", "delayed"]).ok();
    let moved = spool.mq(&["move", "a", "new", "--json"]).ok().quiet().json();
    assert_eq!(moved, serde_json::json!({ "queue": "a", "moved": 2, "dry_run": false }));
    assert_eq!((spool.count("new", "ready"), spool.count("new", "delayed")), (1, 1));
    assert_eq!(spool.count("a", "claimed"), 1);
    spool.mq(&["delete", &receipt]).ok();
}

#[test]
fn dead_letters_get_another_chance() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-deliveries=1"]).ok();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--", "false"]).status(1);
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["move", "q.dead", "q"]).ok();
    spool.mq(&["get", "q", "--", "cat"]).ok().wrote("x");
}

#[test]
fn more_than_a_leaf_keeps_its_order() {
    let spool = Spool::new();
    let lines = lines_of(0..700);
    spool.mq_with(&["put", "a", "--lines"], &lines).ok();
    spool.mq(&["move", "a", "b"]).ok().says("moved 700");
    spool.mq(&["get", "b", "--count", "all", "--lines", "--delete"]).ok().wrote(&lines);
}

#[test]
fn a_move_from_nowhere_or_to_itself_makes_nothing() {
    let spool = Spool::new();
    spool.mq(&["move", "missing", "b"]).fails(66).says("'missing'");
    spool.mq(&["move", "missing", "b", "--yes"]).fails(66);
    spool.put("a", "x");
    spool.mq(&["move", "missing", "b"]).fails(66);
    spool.mq(&["move", "a", "a"]).fails(2).says("itself");
    spool.mq(&["list"]).ok().wrote("a\n");
}
