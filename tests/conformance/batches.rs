//! Putting many messages in one go.

use mq::domain::lifecycle::State;
use mq::domain::{MessageId, NewMessage};
use mq::store::Error;

use super::bench::{Bench, delayed, name, over_every_engine, q, secs, with_delay, with_priority, with_ttl};

over_every_engine! {
    i8_a_batch_keeps_its_order_whatever_its_size
    i8_a_batch_comes_behind_what_was_there_and_before_what_follows
    i8_a_batch_of_mixed_priorities_and_delays_is_sorted_into_the_queue
    i3_a_batch_keeps_its_bodies
    i9_a_batch_for_no_queue_puts_nothing
}

fn plain(count: usize) -> Vec<(NewMessage, Vec<u8>)> {
    (0..count).map(|n| (NewMessage::default(), format!("{n}").into_bytes())).collect()
}

fn put_batch(b: &Bench, batch: &[(NewMessage, Vec<u8>)]) -> Vec<MessageId> {
    let outcome = b.store.put_batch(&q(), batch);
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    outcome.ids
}

/// Sizes around a leaf of the spool, and many of them.
fn i8_a_batch_keeps_its_order_whatever_its_size(b: &Bench) {
    for count in [0, 1, 255, 256, 257, 1500] {
        let batch = plain(count);
        let ids = put_batch(b, &batch);
        assert_eq!(ids.len(), count);
        assert_eq!(b.stat().ready, count as u64);
        let claimed = b.claim_from("q", mq::domain::Visibility::Timed(None), usize::MAX);
        assert_eq!(claimed.iter().map(|delivery| delivery.message.id).collect::<Vec<_>>(), ids);
        assert!(claimed.iter().all(|delivery| delivery.deliveries == 1));
        let receipts: Vec<_> = claimed.into_iter().map(|delivery| delivery.receipt).collect();
        assert!(b.store.delete(&receipts).iter().all(Result::is_ok));
        assert_eq!(b.stat().messages(), 0);
    }
}

fn i8_a_batch_comes_behind_what_was_there_and_before_what_follows(b: &Bench) {
    b.put("before");
    put_batch(b, &plain(600));
    b.put("after");
    let numbers = (0..600).map(|n| n.to_string());
    let expected: Vec<String> = ["before".to_owned()].into_iter().chain(numbers).chain(["after".to_owned()]).collect();
    assert_eq!(b.drain("q"), expected);
    if b.is_spool() {
        assert_eq!(b.names_below("tmp"), 0);
    }
}

fn i8_a_batch_of_mixed_priorities_and_delays_is_sorted_into_the_queue(b: &Bench) {
    let mut batch = plain(300);
    for (n, (new, _)) in batch.iter_mut().enumerate() {
        *new = match n % 3 {
            0 => with_priority(1),
            1 => with_priority(8),
            _ => with_delay(secs(5)),
        };
    }
    batch[4].0.ttl = with_ttl(secs(0)).ttl;
    let ids = put_batch(b, &batch);
    let third = |k: usize| (0..300).filter(move |n| n % 3 == k && *n != 4).map(|n: usize| n.to_string());
    assert_eq!(ids.len(), 300);
    let states = b.states("q");
    assert_eq!(states.iter().filter(|(state, _)| *state == State::Ready).count(), 200);
    assert_eq!(states.iter().filter(|(state, _)| *state == delayed(6)).count(), 100);
    assert_eq!(b.drain("q"), third(1).chain(third(0)).collect::<Vec<_>>());
    b.advance(6);
    assert_eq!(b.drain("q"), third(2).collect::<Vec<_>>());
}

fn i3_a_batch_keeps_its_bodies(b: &Bench) {
    let bodies = ["", "one line\n", "nul \0 inside", &"long ".repeat(60_000)];
    let batch: Vec<_> = bodies.iter().map(|body| (NewMessage::default(), body.as_bytes().to_vec())).collect();
    put_batch(b, &batch);
    assert_eq!(b.drain("q"), bodies);
}

fn i9_a_batch_for_no_queue_puts_nothing(b: &Bench) {
    let outcome = b.store.put_batch(&name("nowhere"), &plain(3));
    assert!(outcome.ids.is_empty());
    assert!(matches!(outcome.error, Some(Error::NoSuchQueue { .. })));
}
