//! A clock that somebody sets, forward and backward: what is timed ends by it early or late, and nothing else depends on it.
//! (What a time to live and an archive make of it is with them.)

use mq::domain::lifecycle::State;
use mq::domain::{NewMessage, Receipt, Unique, UnixMillis, UnixSeconds};
use mq::store::UniquePut;

use super::bench::{Bench, START, START_S, delayed, is_done, is_stale, over_every_engine, q, secs, text, with_delay};

over_every_engine! {
    i2_a_claim_ends_early_by_a_clock_set_forward
    i2_a_claim_lasts_longer_by_a_clock_set_back
    extend_and_release_count_from_the_clock_as_it_is
    a_held_claim_knows_no_clock
    a_delay_ends_early_or_late
    a_back_off_ends_early_or_late
    a_window_ends_early_or_late
    a_key_without_a_window_knows_no_clock
    retention_takes_early_or_late
    i8_the_order_knows_no_clock
    a_turn_knows_no_clock
}

/// Sets the clock to so many seconds after the start, or before it.
fn set(b: &Bench, seconds: i64) {
    b.clock.set(UnixMillis(START.0.checked_add_signed(seconds * 1000).expect("a time")));
}

const HOUR: i64 = 3600;

fn i2_a_claim_ends_early_by_a_clock_set_forward(b: &Bench) {
    b.put("body");
    let first = b.claim_for(600).unwrap().receipt;
    set(b, HOUR);
    // Somebody else has it while the first one may be at work.
    let mut second = b.claim_for(600).unwrap();
    assert_eq!((text(&mut second).as_str(), second.deliveries), ("body", 2));
    assert!(is_stale(&b.store.delete(&[first])));
    // The clock is set right: the second one was made by the wrong one, and lasts by it.
    set(b, 601);
    assert!(b.claim().is_none());
    set(b, HOUR + 599);
    assert!(b.claim().is_none());
    assert!(is_done(&b.store.delete(&[second.receipt])));
    assert_eq!(b.stat().messages(), 0);
}

fn i2_a_claim_lasts_longer_by_a_clock_set_back(b: &Bench) {
    b.put("body");
    b.claim_for(10).unwrap();
    set(b, -HOUR);
    b.advance(20);
    assert!(b.claim().is_none());
    assert_eq!(b.stat().claimed, 1);
    set(b, 9);
    assert!(b.claim().is_none());
    set(b, 11);
    assert_eq!(b.drain("q"), ["body"]);
}

fn extend_and_release_count_from_the_clock_as_it_is(b: &Bench) {
    b.put("body");
    let receipts = [b.claim_for(10).unwrap().receipt];
    set(b, -HOUR);
    // Who renews his claim has the end that he asks for, though it had a later one by the clock that was wrong.
    let ends = b.store.extend(&receipts, secs(10));
    assert_eq!(*ends[0].as_ref().unwrap(), UnixSeconds(START_S - 3600 + 11));
    assert!(is_done(&b.store.release(&receipts, Some(secs(5)))));
    b.advance(6);
    assert_eq!(b.drain("q"), ["body"]);
}

fn a_held_claim_knows_no_clock(b: &Bench) {
    b.put("body");
    let held = b.hold().unwrap();
    for seconds in [HOUR, -HOUR, 1000 * HOUR] {
        set(b, seconds);
        assert!(b.claim().is_none());
    }
    drop(held);
    set(b, -HOUR);
    assert_eq!(b.drain("q"), ["body"]);
}

fn a_delay_ends_early_or_late(b: &Bench) {
    b.put_as(&with_delay(secs(600)), "early");
    set(b, HOUR);
    assert_eq!(b.drain("q"), ["early"]);
    set(b, 0);
    b.put_as(&with_delay(secs(10)), "late");
    set(b, -HOUR);
    b.advance(20);
    assert_eq!(b.drain("q"), [""; 0]);
    assert_eq!(b.stat().delayed, 1);
    set(b, 11);
    assert_eq!(b.drain("q"), ["late"]);
}

fn a_back_off_ends_early_or_late(b: &Bench) {
    b.set(&["retry-delay=10m"]);
    b.put("body");
    let fail = |receipt: Receipt| assert!(is_done(&b.store.release(&[receipt], None)));
    fail(b.claim().unwrap().receipt);
    assert_eq!(b.states("q"), [(delayed(601), 1)]);
    set(b, -HOUR);
    b.advance(1200);
    assert!(b.claim().is_none(), "it rests for longer");
    set(b, HOUR);
    let early = b.claim().unwrap();
    assert_eq!(early.deliveries, 2, "and no failure is forgotten or added");
    fail(early.receipt);
    set(b, HOUR + 1199);
    assert!(b.claim().is_none());
    set(b, HOUR + 1201);
    assert_eq!(b.claim().unwrap().deliveries, 3);
}

fn a_window_ends_early_or_late(b: &Bench) {
    let key = Unique { key: "k".parse().unwrap(), window: Some(secs(600)) };
    let put = || b.store.put_unique(&q(), &NewMessage::default(), &key, &mut "x".as_bytes()).unwrap();
    let is_new = || {
        let put = put();
        let is_new = matches!(put, UniquePut::New(_));
        if is_new {
            assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])), "the window goes on without it");
        }
        is_new
    };
    assert!(is_new());
    set(b, -HOUR);
    assert!(!is_new());
    b.advance(1200);
    assert!(!is_new(), "ten minutes are over, but not by the clock");
    set(b, 599);
    assert!(!is_new());
    set(b, HOUR);
    assert!(is_new(), "it ends early");
    // The clock is set right: the key is taken until the wrong one said that it is free.
    set(b, 1300);
    assert!(!is_new());
    set(b, HOUR + 601);
    assert!(is_new());
}

fn a_key_without_a_window_knows_no_clock(b: &Bench) {
    let key = Unique { key: "k".parse().unwrap(), window: None };
    let put = || b.store.put_unique(&q(), &NewMessage::default(), &key, &mut "x".as_bytes()).unwrap();
    let first = put().id();
    for seconds in [HOUR, -HOUR, 1000 * HOUR] {
        set(b, seconds);
        assert_eq!(put(), UniquePut::Present(first));
    }
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    set(b, -HOUR);
    assert!(matches!(put(), UniquePut::New(_)));
}

fn retention_takes_early_or_late(b: &Bench) {
    b.set(&["retention=10m"]);
    b.put("kept for longer");
    set(b, -HOUR);
    b.advance(1200);
    assert_eq!(b.states("q"), [(State::Ready, 0)]);
    b.put("of the wrong time");
    set(b, 1);
    // It seems to be old, though it is not; the one before it is what its time says.
    assert_eq!(b.drain("q"), ["kept for longer"]);
    b.put("new");
    set(b, HOUR);
    assert_eq!(b.drain("q"), [""; 0]);
    assert_eq!(b.stat().messages(), 0);
}

fn i8_the_order_knows_no_clock(b: &Bench) {
    for (body, seconds) in [("first", 0), ("second", -HOUR), ("third", HOUR), ("fourth", -2 * HOUR)] {
        set(b, seconds);
        b.put(body);
    }
    assert_eq!(b.drain("q"), ["first", "second", "third", "fourth"]);
}

fn a_turn_knows_no_clock(b: &Bench) {
    let of_group = NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() };
    for (body, seconds) in [("first", 0), ("second", -HOUR), ("third", HOUR)] {
        set(b, seconds);
        b.put_as(&of_group, body);
    }
    for (body, seconds) in [("first", -2 * HOUR), ("second", HOUR), ("third", 0)] {
        set(b, seconds);
        let mut all = b.claim_from("q", mq::domain::Visibility::Timed(None), 3);
        assert_eq!(all.iter_mut().map(text).collect::<Vec<_>>(), [body]);
        assert!(is_done(&b.store.delete(&[all.pop().unwrap().receipt])));
    }
}
