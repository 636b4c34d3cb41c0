//! `mq pause` and `mq resume`.

use crate::support::Spool;

#[test]
fn puts_and_holders_of_claims_go_on_while_receivers_are_held_off() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let receipts: Vec<String> = (0..3).map(|_| spool.claim("q", "1h")).collect();
    spool.mq(&["pause", "q"]).ok().quiet().silent();
    spool.mq(&["pause", "q"]).ok().quiet();
    spool.put("q", "d");
    spool.mq(&["delete", &receipts[0]]).ok();
    spool.mq(&["release", &receipts[1]]).ok();
    spool.mq(&["extend", "--visibility", "2h", &receipts[2]]).ok();
    spool.mq(&["peek", "q"]).ok().wrote("b");
    for args in [&["get", "q"][..], &["get", "q", "--delete"], &["get", "q", "--", "touch", "ran"]] {
        spool.mq(args).fails(75).says("paused");
    }
    assert!(!spool.path("ran").exists());
    spool.mq(&["resume", "q"]).ok().quiet().silent();
    spool.mq(&["resume", "q"]).ok().quiet();
    spool.mq(&["get", "q"]).ok().wrote("b");
}

#[test]
fn a_missing_queue_can_be_neither() {
    let spool = Spool::new();
    spool.mq(&["pause", "q"]).fails(66);
    spool.mq(&["resume", "q"]).fails(66);
    assert!(!spool.root().exists());
}
