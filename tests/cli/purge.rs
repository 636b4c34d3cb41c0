//! `mq purge`.

use crate::support::Spool;

#[test]
fn every_message_goes_in_whatever_state_and_the_count_is_told() {
    let spool = Spool::on_disk();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    spool.mq(&["put", "q", "--delay", "1h", "-m", "d"]).ok();
    let receipt = spool.claim("q", "1h");
    spool.mq(&["purge", "q", "--dry-run"]).ok().silent().says("would have deleted 4");
    let dry = spool.mq(&["purge", "q", "--dry-run", "--json"]).ok().quiet().json();
    assert_eq!(dry, serde_json::json!({ "queue": "q", "deleted": 4, "dry_run": true }));
    assert_eq!(spool.count("q", "ready"), 2, "a dry run changes nothing");
    let wet = spool.mq(&["purge", "q", "--json"]).ok().quiet().json();
    assert_eq!(wet, serde_json::json!({ "queue": "q", "deleted": 4, "dry_run": false }));
    let stat = spool.stat("q");
    assert!(["ready", "delayed", "claimed", "held"].iter().all(|state| stat[state] == 0), "{stat}");
    spool.mq(&["delete", &receipt]).fails(66).says("stale");
    spool.mq(&["purge", "q", "--yes"]).ok().says("deleted 0");
    spool.mq(&["purge", "missing"]).fails(66);
}

#[test]
fn a_policy_survives_a_purge() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "visibility=5m"]).ok();
    spool.put("q", "x");
    spool.mq(&["purge", "q"]).ok().silent().says("deleted 1");
    assert_eq!(spool.stat("q")["policy"]["visibility"], "5m");
    spool.put("q", "y");
    spool.mq(&["get", "q"]).ok().wrote("y");
}
