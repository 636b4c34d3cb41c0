//! Caps: how much a queue may hold, and what becomes of a put when it does.

use std::time::{Duration, Instant};

use mq::domain::{NewMessage, QueueName, Unique, Visibility};
use mq::store::{Error, UniquePut};

use super::bench::{Bench, is_done, name, over_every_engine, q, secs, with_delay, with_ttl};

over_every_engine! {
    a_put_past_the_cap_is_refused_and_nothing_is_written
    whatever_state_a_message_is_in_it_counts
    what_leaves_makes_room
    a_cap_of_bytes_counts_them
    what_never_fits_is_told_so
    a_policy_takes_hold_at_once
    a_key_that_is_there_needs_no_room
    a_batch_is_put_as_far_as_there_is_room
    a_move_stops_where_there_is_no_room
    dead_letters_are_never_turned_away
    a_put_waits_for_room
    a_batch_waits_for_room
    a_wait_ends
}

fn try_put(b: &Bench, new: &NewMessage, body: &str) -> Result<mq::domain::MessageId, Error> {
    b.store.put(&q(), new, &mut body.as_bytes())
}

fn is_full<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Full { .. }))
}

fn refuses(b: &Bench) -> bool {
    is_full(&try_put(b, &NewMessage::default(), "one more"))
}

fn waiting(wait: Duration) -> NewMessage {
    NewMessage { wait, ..NewMessage::default() }
}

fn a_put_past_the_cap_is_refused_and_nothing_is_written(b: &Bench) {
    b.set(&["max-messages=2"]);
    b.put("1");
    b.put("2");
    let error = try_put(b, &NewMessage::default(), "3").unwrap_err();
    assert_eq!(error.to_string(), "the queue 'q' is full: it holds 2 messages, and its max-messages is 2");
    assert_eq!(b.stat().messages(), 2);
    if b.is_spool() {
        assert_eq!(b.names_below("tmp"), 0);
    }
    assert_eq!(b.drain("q"), ["1", "2"]);
}

fn whatever_state_a_message_is_in_it_counts(b: &Bench) {
    b.set(&["max-messages=5"]);
    for body in ["held", "claimed", "ready"] {
        b.put(body);
    }
    b.put_as(&with_delay(secs(9)), "delayed");
    b.put_as(&NewMessage { group: Some("g".parse().unwrap()), ..with_delay(secs(9)) }, "first");
    assert!(refuses(b));
    b.set(&["max-messages=6"]);
    b.put_as(&NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() }, "waiting");
    let _hold = b.hold().unwrap();
    b.claim().unwrap();
    assert!(refuses(b));
}

fn what_leaves_makes_room(b: &Bench) {
    b.create("r");
    b.set(&["max-messages=1"]);
    b.put("deleted");
    assert!(refuses(b));
    let receipt = b.claim().unwrap().receipt;
    assert!(refuses(b));
    assert!(is_done(&b.store.delete(&[receipt])));
    b.put("purged");
    assert!(refuses(b));
    assert_eq!(b.store.purge(&q()).unwrap(), 1);
    b.put("moved");
    assert!(refuses(b));
    assert_eq!(b.store.move_all(&q(), &name("r")).unwrap(), 1);
    b.put_as(&with_ttl(secs(5)), "too old");
    assert!(refuses(b));
    b.advance(6);
    assert!(b.claim().is_none());
    b.put("released");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    assert!(refuses(b));
}

fn a_cap_of_bytes_counts_them(b: &Bench) {
    b.set(&["max-bytes=100KiB"]);
    let body = "x".repeat(40 * 1024);
    b.put(&body);
    b.put(&body);
    let error = try_put(b, &NewMessage::default(), &body).unwrap_err();
    assert!(error.to_string().ends_with("and its max-bytes is 100KiB"), "{error}");
    b.put("a short one still fits");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(&[receipt])));
    b.put(&body);
}

fn what_never_fits_is_told_so(b: &Bench) {
    b.set(&["max-bytes=64KiB"]);
    let put = try_put(b, &waiting(secs(3600)), &"x".repeat(65 * 1024));
    assert!(matches!(put, Err(Error::TooLarge { .. })), "{put:?}");
    b.put("what fits");
    assert_eq!(b.drain("q"), ["what fits"]);
}

fn a_policy_takes_hold_at_once(b: &Bench) {
    for body in ["1", "2", "3"] {
        b.put(body);
    }
    b.set(&["max-messages=3"]);
    assert!(refuses(b));
    b.set(&["max-messages=none"]);
    b.put("4");
    b.set(&["max-messages=4"]);
    assert!(refuses(b));
    b.set(&["max-messages=5"]);
    b.put("5");
    assert!(refuses(b));
    // Fewer than there are: none of them goes.
    b.set(&["max-messages=1"]);
    assert!(refuses(b));
    assert_eq!(b.drain("q").len(), 5);
}

fn a_key_that_is_there_needs_no_room(b: &Bench) {
    b.set(&["max-messages=1"]);
    let unique = |key: &str| Unique { key: key.parse().unwrap(), window: None };
    let put = |key: &str| b.store.put_unique(&q(), &NewMessage::default(), &unique(key), &mut "x".as_bytes());
    let first = put("k").unwrap();
    assert_eq!(put("k").unwrap(), UniquePut::Present(first.id()));
    assert!(is_full(&put("l")));
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(&[receipt])));
    put("l").unwrap();
}

fn a_batch_is_put_as_far_as_there_is_room(b: &Bench) {
    b.set(&["max-messages=5"]);
    b.put("0");
    let batch: Vec<_> = (1..=7).map(|n: u32| (NewMessage::default(), n.to_string().into_bytes())).collect();
    let outcome = b.store.put_batch(&q(), &batch);
    assert_eq!(outcome.ids.len(), 4);
    assert!(matches!(outcome.error, Some(Error::Full { .. })), "{:?}", outcome.error);
    assert_eq!(b.drain("q"), ["0", "1", "2", "3", "4"]);
}

fn a_move_stops_where_there_is_no_room(b: &Bench) {
    b.create("r");
    let r: QueueName = name("r");
    for body in ["1", "2", "3"] {
        b.store.put(&r, &NewMessage::default(), &mut body.as_bytes()).unwrap();
    }
    b.set(&["max-messages=2"]);
    let mut moved = 0;
    let result = b.store.move_some(&r, &q(), &mq::store::Filter::default(), &mut || {
        moved += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert!(is_full(&result));
    assert_eq!(moved, 2);
    assert_eq!(b.drain("q"), ["1", "2"]);
    assert_eq!(b.drain("r"), ["3"]);
    assert!(refuses(b), "what was moved counts");
}

fn dead_letters_are_never_turned_away(b: &Bench) {
    b.create("r");
    let r = name("r");
    let mut to_q =
        |policy: &mut mq::domain::Policy| policy.apply("max-deliveries=1").and_then(|()| policy.apply("dead-letter=q"));
    b.store.change_policy(&r, &mut to_q).unwrap();
    b.set(&["max-messages=1"]);
    b.put("1");
    b.store.put(&r, &NewMessage::default(), &mut "dead".as_bytes()).unwrap();
    let receipt = b.claim_from("r", Visibility::Timed(None), 1).remove(0).receipt;
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    assert_eq!(b.stat().ready, 2);
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(&[receipt])));
    assert!(refuses(b), "it counts");
}

fn a_put_waits_for_room(b: &Bench) {
    b.set(&["max-messages=1"]);
    b.put("1");
    let receipt = b.claim().unwrap().receipt;
    std::thread::scope(|scope| {
        let putter = scope.spawn(|| try_put(b, &waiting(secs(60)), "2"));
        // (It waits, or has not begun to: either way it finds the room.)
        assert!(is_done(&b.store.delete(&[receipt])));
        putter.join().unwrap().unwrap();
    });
    assert_eq!(b.drain("q"), ["2"]);
}

fn a_batch_waits_for_room(b: &Bench) {
    b.set(&["max-messages=2"]);
    let batch: Vec<_> = (1..=5).map(|n: u32| (waiting(secs(60)), n.to_string().into_bytes())).collect();
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        let putter = scope.spawn(|| b.store.put_batch(&q(), &batch));
        let began = Instant::now();
        while got.len() < 5 && began.elapsed() < secs(50) {
            for mut delivery in b.claim_from("q", Visibility::Timed(None), 1) {
                got.push(super::bench::text(&mut delivery));
                assert!(is_done(&b.store.delete(&[delivery.receipt])));
            }
        }
        let outcome = putter.join().unwrap();
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        assert_eq!(outcome.ids.len(), 5);
    });
    assert_eq!(got, ["1", "2", "3", "4", "5"]);
}

fn a_wait_ends(b: &Bench) {
    b.set(&["max-messages=1"]);
    b.put("1");
    let began = Instant::now();
    assert!(is_full(&try_put(b, &waiting(Duration::from_millis(50)), "2")));
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert_eq!(b.drain("q"), ["1"]);
}
