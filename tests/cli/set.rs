//! `mq set`.

use crate::support::Spool;

#[test]
fn what_is_not_named_stays_as_it_is() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "visibility=5m", "max-deliveries=3"]).ok();
    spool.mq(&["set", "q", "visibility=10m", "delay=2s"]).ok().quiet().silent();
    let policy = spool.stat("q")["policy"].clone();
    assert_eq!(policy["visibility"], "10m");
    assert_eq!(policy["delay"], "2s");
    assert_eq!(policy["max-deliveries"], 3);
    spool.mq(&["set", "q", "max-deliveries=none"]).ok();
    assert_eq!(spool.stat("q")["policy"].get("max-deliveries"), None);
}

#[test]
fn all_of_a_change_takes_effect_or_none() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let before = spool.stat("q")["policy"].clone();
    spool.mq(&["set", "q", "visibility=10m", "colour=red"]).fails(2).says("visibility, max-deliveries");
    spool.mq(&["set", "q", "visibility=10m", "dead-letter=q"]).fails(2).says("another queue");
    assert_eq!(spool.stat("q")["policy"], before);
    spool.mq(&["set", "q"]).status(2).silent();
    spool.mq(&["set", "missing", "visibility=1m"]).fails(66);
    spool.assert_no_temporaries("q");
}

#[test]
fn a_new_policy_holds_for_what_comes_after_it() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["set", "q", "visibility=1s"]).ok();
    spool.mq(&["get", "q"]).ok();
    spool.mq(&["get", "q", "--wait", "15s"]).ok().wrote("x");
    spool.mq(&["set", "q", "delay=1h"]).ok();
    spool.put("q", "later");
    assert_eq!(spool.count("q", "delayed"), 1);
    spool.mq(&["put", "q", "--delay", "0s", "-m", "now"]).ok();
    spool.mq(&["get", "q"]).ok().wrote("now");
}

#[test]
fn two_changes_at_once_both_take_effect() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let settings =
        ["visibility=7m", "max-deliveries=7", "dead-letter=seven", "delay=7s", "retention=7d", "durability=none"];
    let changes: Vec<_> = settings.iter().map(|setting| spool.start(&["set", "q", setting])).collect();
    for change in changes {
        change.finish().ok();
    }
    let policy = spool.stat("q")["policy"].clone();
    assert_eq!(policy.as_object().unwrap().len(), 6, "{policy}");
    assert_eq!((&policy["visibility"], &policy["durability"]), (&"7m".into(), &"none".into()));
    assert_eq!(policy["max-deliveries"], 7);
}

#[test]
fn what_makes_no_sense_together_is_refused_and_was_not_made_by_others() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "delay=1h"]).ok();
    spool.mq(&["set", "q", "retention=1h"]).fails(2).says("set delay to less than retention");
    spool.mq(&["set", "q", "retention=2h", "retention=3h"]).fails(2).says("set twice");
    spool.mq(&["set", "q", "retention=1h", "delay=1m"]).ok();
    // By hand, or by a version that took it.
    std::fs::write(spool.root().join("q/policy.json"), "{\"delay\":\"1h\",\"retention\":\"1h\"}").unwrap();
    let path = spool.root().join("q/policy.json").display().to_string();
    for args in [&["pause", "q"][..], &["set", "q", "visibility=1m"], &["put", "q", "-m", "lost"]] {
        spool.mq(args).fails(78).says(&path).says("set delay to less than retention");
    }
    spool.mq(&["set", "q", "retention=0s"]).fails(2).says("longer than 0s");
    spool.mq(&["set", "q", "delay=0s"]).ok();
    assert_eq!(spool.stat("q")["policy"]["retention"], "1h");
    spool.put("q", "x");
    spool.mq(&["get", "q", "--visibility", "0s"]).fails(2).says("over at once");
}

#[test]
fn retention_makes_old_messages_go_away() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["set", "q", "retention=1ms"]).ok();
    spool.mq(&["get", "q"]).nothing();
    assert!(spool.files_in("q", "ready").is_empty());
}
