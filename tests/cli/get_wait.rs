//! `mq get --wait`: sleeps until there is something, and no longer than it was told.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::Spool;

#[test]
fn an_empty_queue_is_waited_on_to_the_end() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let start = Instant::now();
    spool.mq(&["get", "q", "--wait", "700ms"]).nothing();
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(700), "{waited:?}");
    spool.mq(&["get", "q", "--wait", "0s"]).nothing();
    spool.mq(&["get", "missing", "--wait", "1h"]).fails(66);
}

#[test]
fn a_message_that_is_there_is_not_waited_for() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--wait", "1h"]).ok().wrote("x");
}

#[test]
fn a_put_wakes_the_one_who_waits() {
    for spool in [Spool::new(), Spool::on_disk()] {
        spool.mq(&["create", "q"]).ok();
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let mut mq = spool.start(&["get", "q", "--wait", "1h", "--lines", "--delete"]);
            mq.until_it_has_open("wake");
            let start = Instant::now();
            spool.put("q", "x");
            assert_eq!(mq.line(), "x");
            fastest = fastest.min(start.elapsed());
            mq.finish().ok().quiet();
        }
        // It looks once a second in any case: only a wake-up is faster.
        assert!(fastest < Duration::from_millis(700), "the fastest of three took {fastest:?}");
    }
}

#[test]
fn each_of_several_who_wait_gets_one_of_several_messages() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let mut receivers: Vec<_> =
        (0..3).map(|_| spool.start(&["get", "q", "--wait", "1h", "--lines", "--delete"])).collect();
    for receiver in &mut receivers {
        receiver.until_it_has_open("wake");
    }
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let mut got: Vec<_> = receivers.into_iter().map(|receiver| receiver.finish().ok().text().to_owned()).collect();
    got.sort();
    assert_eq!(got, ["a\n", "b\n", "c\n"]);
}

#[test]
fn a_ring_without_a_message_does_not_end_the_wait() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let start = Instant::now();
    let mut mq = spool.start(&["get", "q", "--wait", "800ms"]);
    mq.until_it_has_open("wake");
    let wake = spool.queue_dir("q").join("wake");
    std::fs::OpenOptions::new().write(true).open(wake).unwrap().write_all(b"!!!").unwrap();
    mq.finish().nothing();
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

#[test]
fn a_release_a_resume_and_a_move_wake_too() {
    let spool = Spool::new();
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    let mut mq = spool.start(&["get", "q", "--wait", "1h"]);
    mq.until_it_has_open("wake");
    spool.mq(&["release", &receipt]).ok();
    let receipt = mq.finish().ok().wrote("x").receipt();
    spool.mq(&["pause", "q"]).ok();
    spool.mq(&["release", &receipt]).ok();
    let mut mq = spool.start(&["get", "q", "--wait", "1h", "--delete"]);
    mq.until_it_has_open("wake");
    assert!(mq.is_running(), "a paused queue is waited on");
    spool.mq(&["resume", "q"]).ok();
    mq.finish().ok().wrote("x");
    spool.put("other", "y");
    let mut mq = spool.start(&["get", "q", "--wait", "1h", "--delete"]);
    mq.until_it_has_open("wake");
    spool.mq(&["move", "other", "q"]).ok();
    mq.finish().ok().wrote("y");
}

#[test]
fn a_paused_queue_ends_the_wait_as_paused() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["pause", "q"]).ok();
    spool.mq(&["get", "q", "--wait", "300ms"]).fails(75).says("paused");
}

#[test]
fn a_queue_that_is_dropped_ends_the_wait() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let mut mq = spool.start(&["get", "q", "--wait", "1h"]);
    mq.until_it_has_open("wake");
    spool.mq(&["drop", "q"]).ok();
    mq.finish().fails(66).says("there is no queue 'q'");
}

#[test]
fn a_delayed_message_wakes_the_one_who_waits_when_it_is_due() {
    let spool = Spool::new();
    let start = Instant::now();
    spool.mq(&["put", "q", "--delay", "1s", "-m", "x"]).ok();
    spool.mq(&["get", "q", "--wait", "1h"]).ok().wrote("x");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn waiting_works_without_the_fifo_too() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    std::fs::remove_file(spool.queue_dir("q").join("wake")).unwrap();
    let mq = spool.start(&["get", "q", "--wait", "1h"]);
    spool.put("q", "x");
    mq.finish().ok().wrote("x");
}

#[test]
fn a_signal_ends_the_wait_and_claims_nothing() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    for signal in [Signal::INT, Signal::TERM] {
        let mut mq = spool.start(&["get", "q", "--wait", "1h"]);
        mq.until_it_has_open("wake");
        mq.signal(signal);
        mq.finish().killed_by(signal).silent();
    }
    spool.put("q", "x");
    assert_eq!(spool.mq(&["get", "q", "--json"]).ok().json()["deliveries"], 1);
}
