//! Claims: their count, their end, and what keeps a held one.

use mq::domain::Receipt;
use mq::domain::lifecycle::State;
use mq::domain::{UnixMillis, UnixSeconds, Visibility};

use super::bench::{Bench, START_S, claimed, delayed, is_done, over_every_engine, q, secs, text, with_priority};

over_every_engine! {
    i2_what_is_claimed_is_invisible_until_its_second_begins
    the_policy_says_how_long_a_claim_lasts
    i6_every_claim_counts_one_delivery
    an_expired_claim_returns_to_the_head
    a_claim_takes_as_many_as_it_asks_for
    a_claim_for_nothing_takes_nothing
    i2_a_held_claim_lives_as_long_as_its_holder
    i2_held_claims_are_taken_and_dropped_one_by_one
    i2_what_was_given_back_is_not_held_twice
    i2_who_lets_go_holds_nothing
    a_held_claim_is_given_back_only_as_it_was_made
    a_held_claim_is_done_with_its_receipt
    a_clock_that_steps_back_loses_nothing
}

fn i2_what_is_claimed_is_invisible_until_its_second_begins(b: &Bench) {
    b.put("body");
    let first = b.claim_for(10).unwrap();
    assert_eq!(first.visible_until, Some(UnixSeconds(START_S + 11)));
    assert!(first.hold.is_none());
    assert_eq!(b.states("q"), [(claimed(11), 1)]);
    b.clock.set(UnixMillis(UnixSeconds(START_S + 11).start().0 - 1));
    assert!(b.claim().is_none());
    b.clock.set(UnixSeconds(START_S + 11).start());
    assert_eq!(b.states("q"), [(State::Ready, 1)]);
    let second = b.claim().unwrap();
    assert_eq!((second.message.id, second.deliveries), (first.message.id, 2));
    assert_ne!(second.receipt, first.receipt);
}

fn the_policy_says_how_long_a_claim_lasts(b: &Bench) {
    b.put("a");
    b.put("b");
    assert_eq!(b.claim().unwrap().visible_until, Some(UnixSeconds(START_S + 31)));
    b.set(&["visibility=2m"]);
    assert_eq!(b.claim().unwrap().visible_until, Some(UnixSeconds(START_S + 121)));
}

fn i6_every_claim_counts_one_delivery(b: &Bench) {
    b.put("body");
    for count in 1..=9 {
        let delivery = if count % 2 == 0 { b.hold() } else { b.claim_for(1) }.unwrap();
        assert_eq!(delivery.deliveries, count);
        assert_eq!(delivery.receipt.name.deliveries, count);
        drop(delivery);
        b.advance(2);
    }
    assert_eq!(b.states("q"), [(State::Ready, 9)]);
}

fn an_expired_claim_returns_to_the_head(b: &Bench) {
    for body in ["a", "b", "c"] {
        b.put(body);
    }
    b.put_as(&with_priority(9), "urgent");
    b.claim_for(5).unwrap();
    b.claim_for(1).unwrap();
    b.advance(6);
    b.put("d");
    assert_eq!(b.drain("q"), ["urgent", "a", "b", "c", "d"]);
}

fn a_claim_takes_as_many_as_it_asks_for(b: &Bench) {
    for body in ["a", "b", "c", "d"] {
        b.put(body);
    }
    let mut some = b.claim_from("q", Visibility::Timed(None), 3);
    assert_eq!(some.iter_mut().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(b.drain("q"), ["d"]);
    assert_eq!(b.drain("q"), [""; 0]);
}

fn a_claim_for_nothing_takes_nothing(b: &Bench) {
    b.put("a");
    assert!(b.claim_from("q", Visibility::Timed(None), 0).is_empty());
    assert_eq!(b.states("q"), [(State::Ready, 0)]);
}

fn i2_a_held_claim_lives_as_long_as_its_holder(b: &Bench) {
    b.put("body");
    let delivery = b.hold().unwrap();
    assert!(delivery.visible_until.is_none());
    let hold = delivery.hold;
    assert!(hold.is_some());
    b.advance(1_000_000);
    assert_eq!(b.states("q"), [(State::Held, 1)]);
    assert!(b.claim().is_none());
    assert!(b.hold().is_none());
    drop((hold, delivery.body));
    let again = b.hold().unwrap();
    assert_eq!(again.deliveries, 2);
}

fn i2_held_claims_are_taken_and_dropped_one_by_one(b: &Bench) {
    for body in ["a", "b", "c"] {
        b.put(body);
    }
    let mut held = b.claim_from("q", Visibility::Held, 5);
    assert_eq!(held.len(), 3);
    assert_eq!(b.stat().held, 3);
    drop(held.remove(1));
    // The clock stands still: what the dead held is back at once, not in the next second.
    assert_eq!(b.drain("q"), ["b"]);
    assert_eq!((b.stat().held, b.stat().claimed), (2, 1));
}

/// Whoever gives a held claim back is still its holder for a moment.
fn i2_what_was_given_back_is_not_held_twice(b: &Bench) {
    b.put("body");
    let first = b.hold().unwrap();
    assert!(is_done(&b.store.release(std::slice::from_ref(&first.receipt), Some(secs(0)))));
    assert_eq!(b.states("q"), [(State::Ready, 1)]);
    assert!(b.hold().is_none(), "its former holder still lives");
    drop(first);
    assert_eq!(b.hold().unwrap().deliveries, 2);
}

fn i2_who_lets_go_holds_nothing(b: &Bench) {
    b.put("a");
    b.put("b");
    let (mut first, mut second) = (b.hold().unwrap(), b.hold().unwrap());
    assert!(is_done(&b.store.release(std::slice::from_ref(&first.receipt), Some(secs(0)))));
    first.hold.as_mut().unwrap().let_go();
    let again = b.hold().unwrap();
    assert_eq!((again.message.id, again.deliveries), (first.message.id, 2));
    // To let go a second time, or to go away, is of no matter to the new holder.
    first.hold.as_mut().unwrap().let_go();
    drop(first);
    second.hold.as_mut().unwrap().let_go();
    assert_eq!(b.states("q"), [(State::Ready, 1), (State::Held, 2)]);
}

fn a_held_claim_is_given_back_only_as_it_was_made(b: &Bench) {
    for body in ["a", "b", "c"] {
        b.put(body);
    }
    let held = b.claim_from("q", Visibility::Held, 3);
    let receipt = |n: usize| std::slice::from_ref(&held[n].receipt);
    assert!(is_done(&b.store.delete(receipt(1))));
    assert!(is_done(&b.store.release(receipt(2), Some(secs(9)))));
    let give_back = |receipt: &Receipt| {
        let is_held = b.store.is_held(receipt).unwrap();
        assert!(!is_held || is_done(&b.store.release(std::slice::from_ref(receipt), Some(secs(0)))));
        is_held
    };
    let verdicts = [0, 1, 2].map(|n: usize| give_back(&held[n].receipt));
    assert_eq!(verdicts, [true, false, false]);
    assert_eq!(b.states("q"), [(State::Ready, 1), (delayed(10), 1)]);
    assert!(!give_back(&held[0].receipt), "once is enough");
    drop(held);
    let again = b.hold().unwrap();
    assert_eq!(again.deliveries, 2);
    assert!(give_back(&again.receipt));
}

fn a_held_claim_is_done_with_its_receipt(b: &Bench) {
    b.put("a");
    b.put("b");
    let held = b.claim_from("q", Visibility::Held, 2);
    assert!(is_done(&b.store.delete(std::slice::from_ref(&held[0].receipt))));
    assert!(is_done(&b.store.release(std::slice::from_ref(&held[1].receipt), Some(secs(3)))));
    drop(held);
    assert_eq!(b.stat().delayed, 1);
    b.advance(4);
    assert_eq!(b.drain("q"), ["b"]);
    assert_eq!(b.store.purge(&q()).unwrap(), 1);
}

fn a_clock_that_steps_back_loses_nothing(b: &Bench) {
    b.put("body");
    b.claim_for(10).unwrap();
    b.clock.set(UnixMillis(0));
    assert!(b.claim().is_none());
    assert_eq!(b.stat().messages(), 1);
    b.clock.set(UnixSeconds(START_S + 20).start());
    assert_eq!(b.drain("q"), ["body"]);
}
