//! `mq release`.

use crate::support::Spool;

#[test]
fn a_released_message_is_there_again_at_once() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["release", &receipt]).ok().quiet().silent();
    let again = spool.mq(&["get", "q", "--json"]).ok().json();
    assert_eq!(again["deliveries"], 2);
    spool.mq(&["release", &receipt]).fails(66).says("stale");
}

#[test]
fn a_delayed_release_keeps_the_message_back() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    let start = std::time::Instant::now();
    spool.mq(&["release", "--delay", "1s", &receipt]).ok();
    spool.mq(&["get", "q"]).nothing();
    assert_eq!(spool.count("q", "delayed"), 1);
    spool.mq(&["get", "q", "--wait", "15s"]).ok().wrote("x");
    assert!(start.elapsed().as_millis() >= 1000, "it came after {:?}", start.elapsed());
}

#[test]
fn several_are_released_to_their_old_places() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\nd\n").ok();
    let receipts: Vec<String> = (0..3).map(|_| spool.claim("q", "1h")).collect();
    spool.mq_with(&["release", "-"], format!("{}\n{}\n{}\n", receipts[2], receipts[0], receipts[1])).ok();
    assert_eq!(spool.bodies("q"), ["a", "b", "c", "d"]);
}

#[test]
fn a_wrong_delay_is_refused() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["release", "--delay", "5", &receipt]).status(2).silent().says("5m");
    assert_eq!(spool.count("q", "claimed"), 1);
    spool.mq(&["set", "q", "retention=1h"]).ok();
    for delay in ["1h", "2h"] {
        let ran = spool.mq(&["release", "--delay", delay, &receipt]).fails(2);
        ran.says(&format!("a message cannot be delayed for {delay} in 'q': its retention keeps a message for 1h"));
    }
    assert_eq!(spool.count("q", "claimed"), 1);
    spool.mq(&["release", "--delay", "59m", &receipt]).ok();
}
