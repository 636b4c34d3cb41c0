//! `mq extend`.

use crate::support::{Spool, until};

#[test]
fn an_extended_claim_stays_invisible_beyond_its_first_end() {
    let spool = Spool::new();
    spool.put("q", "long");
    spool.put("q", "short");
    let receipt = spool.claim("q", "1s");
    spool.mq(&["extend", "--visibility", "1h", &receipt]).ok().quiet().silent();
    // A second claim that ends later than the first one would have tells when that time has passed.
    spool.claim("q", "1s");
    until("the other claim ends", || spool.count("q", "ready") == 1);
    assert_eq!(spool.bodies("q"), ["short"]);
    assert_eq!(spool.count("q", "claimed"), 1);
    spool.mq(&["extend", "--visibility", "2h", &receipt]).ok();
    spool.mq(&["delete", &receipt]).ok();
}

#[test]
fn a_shorter_time_brings_the_end_nearer() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["extend", "--visibility", "1s", &receipt]).ok();
    spool.mq(&["get", "q", "--wait", "15s"]).ok().wrote("x");
    spool.mq(&["extend", "--visibility", "1s", &receipt]).fails(66).says("stale");
}

#[test]
fn the_time_has_to_be_given() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["extend", &receipt]).status(2).silent().says("--visibility");
    spool.mq(&["extend", "--visibility", "1m"]).fails(2).says("no receipt");
}
