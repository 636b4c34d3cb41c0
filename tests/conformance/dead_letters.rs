//! Dead letters: by every way that leads there, and what they are when they have arrived.

use mq::domain::lifecycle::State;
use mq::domain::{Policy, UnixSeconds};
use mq::store::{Error, Failure};

use super::bench::{Bench, START, START_S, is_done, is_stale, name, over_every_engine, q, secs, with_delay, with_ttl};

over_every_engine! {
    a_delivery_that_ends_by_itself_says_so_in_the_log
    the_sweep_buries_what_has_used_up_its_deliveries
    the_end_of_a_held_claim_buries_too
    a_release_buries_at_once
    a_lowered_limit_buries_at_the_next_claim
    i3_a_dead_letter_is_what_was_put
    i5_the_last_receipt_is_good_until_the_burial
    what_is_too_old_is_not_buried
    dead_letters_go_where_the_policy_says
    dead_letters_keep_their_order
    an_existing_dead_letter_queue_keeps_its_policy_and_messages
    without_a_limit_nothing_is_buried
    dead_letters_can_be_sent_back
}

fn the_sweep_buries_what_has_used_up_its_deliveries(b: &Bench) {
    b.set(&["max-deliveries=2"]);
    b.put("poison");
    b.put("good");
    for _ in 0..2 {
        assert_eq!(b.states("q")[0].0, State::Ready);
        b.claim_for(1).unwrap();
        b.advance(2);
    }
    assert_eq!(b.drain("q"), ["good"]);
    assert_eq!(b.states("q.dead"), [(State::Ready, 2)]);
    assert_eq!(b.store.queues().unwrap(), [q(), name("q.dead")]);
}

fn the_end_of_a_held_claim_buries_too(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    b.put("poison");
    drop(b.hold().unwrap());
    assert!(b.hold().is_none());
    assert_eq!(b.states("q.dead"), [(State::Ready, 1)]);
}

fn a_release_buries_at_once(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    b.put("a");
    b.put("b");
    // A delay is of no use to the dead.
    for delay in [0, 60] {
        let receipt = b.claim().unwrap().receipt;
        assert!(is_done(&b.store.release(&[receipt], Some(secs(delay)))));
    }
    assert_eq!(b.states("q"), []);
    assert_eq!(b.states("q.dead"), [(State::Ready, 1), (State::Ready, 1)]);
    assert_eq!(b.drain("q.dead"), ["a", "b"]);
}

fn a_lowered_limit_buries_at_the_next_claim(b: &Bench) {
    b.put("thrice");
    b.put("fresh");
    for _ in 0..3 {
        let receipt = b.claim().unwrap().receipt;
        assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    }
    b.set(&["max-deliveries=3"]);
    assert_eq!(b.stat().ready, 2, "a look buries nobody");
    assert_eq!(b.drain("q"), ["fresh"]);
    assert_eq!(b.states("q.dead"), [(State::Ready, 3)]);
}

fn i3_a_dead_letter_is_what_was_put(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    let mut new = with_delay(secs(1));
    new.attributes.insert("k", "v").unwrap();
    let id = b.put_as(&new, "body");
    b.advance(2);
    let before = b.claim().unwrap();
    assert!(is_done(&b.store.release(&[before.receipt], Some(secs(0)))));
    b.advance(100);
    let mut after = b.claim_from("q.dead", mq::domain::Visibility::Timed(None), 1).pop().unwrap();
    assert_eq!(after.message, before.message);
    assert_eq!((after.message.id, after.message.put_at, &after.message.queue), (id, START, &q()));
    assert_eq!((super::bench::text(&mut after).as_str(), after.deliveries), ("body", 2));
    assert_eq!(after.receipt.queue, name("q.dead"));
    assert!(is_done(&b.store.delete(&[after.receipt])));
}

fn i5_the_last_receipt_is_good_until_the_burial(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    b.put("a");
    b.put("b");
    let [first, second] = [b.claim_for(1), b.claim_for(1)].map(|claim| claim.unwrap().receipt);
    b.advance(2);
    assert!(is_done(&b.store.delete(&[first])), "its claim has ended, and nobody has looked since");
    assert_eq!(b.stat().messages(), 0);
    assert!(is_stale(&b.store.delete(&[second])));
    assert_eq!(b.states("q.dead").len(), 1);
}

fn what_is_too_old_is_not_buried(b: &Bench) {
    b.put_as(&with_ttl(secs(5)), "old");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    b.set(&["max-deliveries=1"]);
    b.advance(6);
    assert!(b.claim().is_none());
    assert_eq!(b.stat().messages(), 0);
    assert_eq!(b.store.queues().unwrap(), [q()]);
}

fn dead_letters_go_where_the_policy_says(b: &Bench) {
    b.set(&["max-deliveries=1", "dead-letter=graves"]);
    b.put("poison");
    b.claim_for(1).unwrap();
    b.advance(2);
    assert!(b.claim().is_none());
    assert_eq!(b.states("graves"), [(State::Ready, 1)]);
    assert!(matches!(b.store.stat(&name("q.dead")), Err(Error::NoSuchQueue { .. })));
}

fn dead_letters_keep_their_order(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    for body in &bodies {
        b.put(body);
    }
    // Half of them end with their second, half with their holder.
    b.claim_from("q", mq::domain::Visibility::Timed(None), 20);
    drop(b.claim_from("q", mq::domain::Visibility::Held, 20));
    b.advance(100);
    assert!(b.claim().is_none());
    assert_eq!(b.drain("q.dead"), bodies);
}

fn an_existing_dead_letter_queue_keeps_its_policy_and_messages(b: &Bench) {
    let policy = Policy { visibility: secs(77), ..Policy::default() };
    b.store.create_queue(&name("q.dead"), &policy, None).unwrap();
    b.store.put(&name("q.dead"), &with_delay(secs(0)), &mut "resident".as_bytes()).unwrap();
    b.set(&["max-deliveries=1"]);
    b.put("poison");
    drop(b.hold().unwrap());
    assert_eq!(b.stat().messages(), 0);
    assert_eq!(b.store.policy(&name("q.dead")).unwrap(), policy);
    assert_eq!(b.drain("q.dead"), ["resident", "poison"]);
}

fn without_a_limit_nothing_is_buried(b: &Bench) {
    b.put("body");
    for _ in 0..50 {
        drop(b.hold().unwrap());
    }
    assert_eq!(b.states("q"), [(State::Ready, 50)]);
    assert_eq!(b.store.queues().unwrap(), [q()]);
}

fn dead_letters_can_be_sent_back(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    b.put("a");
    b.put("b");
    drop(b.claim_from("q", mq::domain::Visibility::Held, 2));
    assert_eq!(b.stat().messages(), 0);
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 2);
    assert_eq!(b.states("q"), [(State::Ready, 0), (State::Ready, 0)]);
    assert_eq!(b.drain("q"), ["a", "b"]);
}

fn a_delivery_that_ends_by_itself_says_so_in_the_log(b: &Bench) {
    b.set(&["max-deliveries=3"]);
    b.put("a");
    b.claim_for(5).unwrap();
    b.advance(60);
    drop(b.hold().unwrap());
    let told = b.claim_for(5).unwrap().receipt;
    let failure = Failure { at: START, delivery: 3, reason: "exit status: 1".to_owned() };
    b.store.note_failure(&told, &failure).unwrap();
    b.advance(60);
    assert_eq!(b.states("q"), []);
    let dead = b.list("q.dead").pop().unwrap();
    let reasons: Vec<_> = dead.failures.iter().map(|line| (line.delivery, line.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "timeout: its claim ended"), (2, "the holder of its claim died"), (3, "exit status: 1")]);
    assert_eq!(dead.failures[0].at, UnixSeconds(START_S + 6).start());
}
