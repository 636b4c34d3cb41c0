//! Messages that become too old: never delivered, taken out by whoever sweeps, deleted or parked.

use std::ops::ControlFlow;
use std::time::Duration;

use mq::domain::lifecycle::State;
use mq::domain::{NewMessage, Policy, UnixMillis};
use mq::store::{Failure, Filter, Which};

use super::bench::{Bench, START, is_done, name, over_every_engine, q, secs, with_delay, with_priority, with_ttl};

over_every_engine! {
    what_is_too_old_is_swept_though_nobody_claims
    a_message_in_time_stays
    what_the_queue_keeps_no_longer_is_swept_from_the_low_end
    what_is_claimed_is_nobody_elses_and_is_swept_when_it_comes_back
    what_rests_is_swept_when_it_is_due
    a_batch_is_swept_as_single_messages_are
    what_is_too_old_goes_to_the_dead_letters_if_the_policy_says_so
    a_dead_letter_is_too_old_no_second_time
    a_claim_that_meets_it_first_sends_it_there_too
    a_dead_letter_is_as_young_as_it_is_there
    what_was_parked_for_its_age_can_be_sent_back
    what_is_moved_to_a_shorter_retention_begins_its_age_anew
    one_that_waits_for_its_turn_goes_before_it_has_it
    a_move_that_is_refused_leaves_the_reason_to_be_found
    one_of_a_group_goes_there_and_the_next_has_its_turn
    a_moved_message_keeps_its_time
    a_clock_that_jumps_forward_ends_it_early_and_one_that_jumps_back_late
    i9_no_marker_is_left
}

fn too_old(b: &Bench) {
    b.put_as(&with_ttl(secs(5)), "5 s");
    b.advance(125);
}

fn markers(b: &Bench) -> usize {
    if b.is_spool() { b.paths_below("expiry").iter().filter(|path| path.is_file()).count() } else { 0 }
}

fn what_is_too_old_is_swept_though_nobody_claims(b: &Bench) {
    b.put("stays");
    too_old(b);
    assert_eq!(b.stat().messages(), 1);
    assert_eq!(b.drain("q"), ["stays"]);
}

fn a_message_in_time_stays(b: &Bench) {
    b.put_as(&with_ttl(secs(600)), "in time");
    b.advance(599);
    assert_eq!(b.stat().messages(), 1);
    assert_eq!(b.drain("q"), ["in time"]);
}

/// With a retention of their own, dead letters would go at once that became too old in their queue.
fn a_dead_letter_is_as_young_as_it_is_there(b: &Bench) {
    b.create("q.dead");
    let mut set = |policy: &mut Policy| policy.apply("retention=1h");
    b.store.change_policy(&name("q.dead"), &mut set).unwrap();
    b.set(&["expired=dead-letter", "retention=1h"]);
    b.put("old");
    b.advance(3601);
    assert_eq!(b.stat().messages(), 0);
    b.advance(3599);
    assert_eq!(b.states("q.dead"), [(State::Ready, 0)]);
    let mut shown = 0;
    let count = &mut |_| {
        shown += 1;
        ControlFlow::Continue(())
    };
    b.store.peek(&name("q.dead"), Which::Next(2), count).unwrap();
    assert_eq!(shown, 1);
    b.advance(2);
    assert_eq!(b.states("q.dead"), []);
}

fn what_was_parked_for_its_age_can_be_sent_back(b: &Bench) {
    b.set(&["expired=dead-letter", "retention=10s"]);
    b.put("old");
    b.advance(11);
    assert_eq!(b.stat().messages(), 0);
    b.advance(86400);
    for _ in 0..2 {
        assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 1);
        assert_eq!(b.states("q"), [(State::Ready, 0)]);
        b.advance(9);
        assert_eq!(b.states("q"), [(State::Ready, 0)]);
        b.advance(2);
        assert_eq!(b.states("q"), []);
    }
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 1);
    assert_eq!(b.drain("q"), ["old"]);
}

fn what_is_moved_to_a_shorter_retention_begins_its_age_anew(b: &Bench) {
    b.create("other");
    b.set(&["retention=10s"]);
    b.store.put(&name("other"), &NewMessage::default(), &mut "old".as_bytes()).unwrap();
    b.advance(100);
    assert_eq!(b.store.move_all(&name("other"), &q()).unwrap(), 1);
    b.advance(9);
    assert_eq!(b.states("q"), [(State::Ready, 0)]);
    b.put("behind it");
    assert!(is_done(&b.store.release(&[b.claim().unwrap().receipt], Some(secs(0)))));
    b.advance(2);
    assert_eq!(b.drain("q"), ["behind it"]);
}

fn one_that_waits_for_its_turn_goes_before_it_has_it(b: &Bench) {
    b.set(&["expired=dead-letter"]);
    let of_group = |ttl| NewMessage { group: Some("g".parse().unwrap()), ttl, ..NewMessage::default() };
    b.put_as(&of_group(None), "head");
    b.put_as(&of_group(Some(secs(5))), "late");
    b.put_as(&of_group(None), "behind it");
    let head = b.claim_for(3600).unwrap();
    b.advance(125);
    assert_eq!(b.stat().messages(), 2);
    assert_eq!(b.drain("q.dead"), ["late"]);
    assert_eq!(markers(b), 0);
    assert!(is_done(&b.store.delete(&[head.receipt])));
    assert_eq!(b.drain("q"), ["behind it"]);
}

fn a_move_that_is_refused_leaves_the_reason_to_be_found(b: &Bench) {
    b.set(&["max-deliveries=1", "retention=2s", "max-messages=1"]);
    b.put("dead");
    let receipt = b.claim().unwrap().receipt;
    let failure = Failure { at: START, delivery: 1, reason: "exit status: 28".to_owned() };
    b.store.note_failure(&receipt, &failure).unwrap();
    assert!(is_done(&b.store.release(&[receipt], None)));
    b.advance(3);
    b.put("in its place");
    assert!(b.store.move_all(&name("q.dead"), &q()).is_err());
    let which = Filter { reason: Some("status: 28".to_owned()), ..Filter::default() };
    let mut found = 0;
    let mut count = |_| {
        found += 1;
        ControlFlow::Continue(())
    };
    b.store.list(&name("q.dead"), &which, &mut count).unwrap();
    b.store.list(&name("q.dead"), &Filter { reason: Some("its age".to_owned()), ..which }, &mut count).unwrap();
    assert_eq!(found, 1);
}

fn what_the_queue_keeps_no_longer_is_swept_from_the_low_end(b: &Bench) {
    b.set(&["retention=10s"]);
    for (priority, body) in [(5, "a"), (9, "b"), (5, "c")] {
        b.put_as(&with_priority(priority), body);
    }
    b.advance(9);
    b.put("young");
    assert_eq!(b.stat().messages(), 4);
    b.advance(2);
    assert_eq!(b.stat().messages(), 1);
    assert_eq!(b.drain("q"), ["young"]);
}

fn what_is_claimed_is_nobody_elses_and_is_swept_when_it_comes_back(b: &Bench) {
    b.put_as(&with_ttl(secs(5)), "claimed in time");
    let receipt = b.claim_for(500).unwrap().receipt;
    b.advance(125);
    assert_eq!(b.stat().claimed, 1);
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    assert_eq!(b.stat().messages(), 0);
    b.put_as(&with_ttl(secs(5)), "deleted in time");
    let receipt = b.claim_for(500).unwrap().receipt;
    b.advance(125);
    assert!(is_done(&b.store.delete(&[receipt])));
}

fn what_rests_is_swept_when_it_is_due(b: &Bench) {
    b.put_as(&NewMessage { ttl: Some(secs(5)), ..with_delay(secs(300)) }, "rests too long");
    b.advance(125);
    b.stat();
    b.advance(200);
    assert!(b.claim().is_none());
    assert_eq!(b.stat().messages(), 0);
}

fn a_batch_is_swept_as_single_messages_are(b: &Bench) {
    let batch: Vec<_> = (0..3).map(|n| (with_ttl(secs(5)), vec![n])).collect();
    assert_eq!(b.store.put_batch(&q(), &batch).ids.len(), 3);
    let mut atomic = b.store.begin_atomic(&q()).unwrap();
    atomic.add(&with_ttl(secs(5)), &mut "x".as_bytes()).unwrap();
    atomic.commit().unwrap();
    b.advance(125);
    assert_eq!(b.stat().messages(), 0);
}

fn what_is_too_old_goes_to_the_dead_letters_if_the_policy_says_so(b: &Bench) {
    b.set(&["expired=dead-letter", "retention=1h"]);
    too_old(b);
    b.put("kept for an hour");
    assert_eq!(b.stat().messages(), 1);
    b.advance(3600);
    assert_eq!(b.stat().messages(), 0);
    let dead = b.list("q.dead");
    assert_eq!(dead.len(), 2);
    for listed in &dead {
        assert_eq!((listed.state, listed.deliveries), (State::Ready, 0));
        assert_eq!(listed.failures.last().unwrap().reason, "it became too old");
        assert_eq!(listed.message.queue, q());
    }
    assert_eq!(b.drain("q.dead"), ["5 s", "kept for an hour"]);
}

fn a_dead_letter_is_too_old_no_second_time(b: &Bench) {
    b.set(&["expired=dead-letter"]);
    too_old(b);
    b.stat();
    b.advance(10_000);
    assert_eq!(b.list("q.dead").len(), 1);
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 1);
    assert_eq!(b.stat().messages(), 1);
    assert_eq!(b.drain("q"), ["5 s"]);
}

fn a_claim_that_meets_it_first_sends_it_there_too(b: &Bench) {
    b.set(&["expired=dead-letter"]);
    b.put_as(&with_ttl(secs(5)), "too old, and its minute is not full");
    b.advance(6);
    assert!(b.claim().is_none());
    assert_eq!(b.stat().messages(), 0);
    assert_eq!(b.list("q.dead")[0].deliveries, 0, "it was not delivered");
    assert_eq!(b.drain("q.dead").len(), 1);
}

fn one_of_a_group_goes_there_and_the_next_has_its_turn(b: &Bench) {
    b.set(&["expired=dead-letter"]);
    let of = |ttl: Option<Duration>| NewMessage { ttl, group: Some("g".parse().unwrap()), ..NewMessage::default() };
    b.put_as(&of(Some(secs(5))), "first");
    b.put_as(&of(Some(secs(5))), "second");
    b.put_as(&of(None), "third");
    b.advance(125);
    b.stat();
    assert_eq!(b.drain("q"), ["third"]);
    assert_eq!(b.drain("q.dead"), ["first", "second"]);
}

fn a_moved_message_keeps_its_time(b: &Bench) {
    b.create("r");
    b.put_as(&with_ttl(secs(5)), "5 s");
    b.put_as(&with_ttl(secs(3600)), "an hour");
    assert_eq!(b.store.move_all(&q(), &name("r")).unwrap(), 2);
    assert_eq!(markers(b), 0);
    b.advance(125);
    assert_eq!(b.list("r").len(), 1);
    assert_eq!(b.drain("r"), ["an hour"]);
}

fn a_clock_that_jumps_forward_ends_it_early_and_one_that_jumps_back_late(b: &Bench) {
    b.put_as(&with_ttl(secs(3600)), "back");
    b.clock.set(UnixMillis(START.0 - 10_000_000));
    assert_eq!(b.stat().messages(), 1, "it is kept for longer");
    b.clock.set(UnixMillis(START.0 + 3_500_000));
    assert_eq!(b.stat().messages(), 1);
    b.clock.set(UnixMillis(START.0 + 3_700_000));
    assert_eq!(b.stat().messages(), 0, "and goes when its hour is over by the clock");
    b.put("no time to live");
    b.clock.set(UnixMillis(START.0 + 1_000_000_000_000));
    assert_eq!(b.stat().messages(), 1, "what nobody gave a time loses nothing by any clock");
}

fn i9_no_marker_is_left(b: &Bench) {
    for (body, ttl) in [("deleted", 600), ("purged", 700), ("expired", 5)] {
        b.put_as(&with_ttl(secs(ttl)), body);
    }
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(&[receipt])));
    b.advance(125);
    b.stat();
    assert_eq!(b.store.purge(&q()).unwrap(), 1);
    b.advance(4000);
    b.stat();
    assert_eq!(markers(b), 0);
}
