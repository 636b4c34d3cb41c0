//! Receipts: what works with one, and until when.

use std::time::Duration;

use mq::domain::lifecycle::{Refusal, State};
use mq::domain::{Receipt, UnixMillis, UnixSeconds};
use mq::store::{Delivery, Error};

use super::bench::{
    Bench, START, START_S, claimed, delayed, is_done, is_stale, name, over_every_engine, q, secs, text,
};

over_every_engine! {
    i4_what_is_deleted_stays_deleted
    i5_a_receipt_is_stale_after_the_next_delivery
    i5_a_receipt_is_stale_after_delete_purge_and_move
    i5_a_receipt_of_a_dropped_queue_changes_nothing
    a_receipt_works_after_its_claim_ended
    a_receipt_works_after_its_claim_was_swept
    a_receipt_works_after_a_release
    many_receipts_have_a_result_each
    a_receipt_survives_its_spelling
    release_puts_back_at_once_or_after_a_delay
    release_can_change_a_delay
    extend_moves_the_end_from_now
    extend_can_bring_the_end_forward
    extend_takes_back_what_was_swept_or_given_back
    a_held_claim_has_no_end_to_move
    i6_neither_release_nor_extend_counts
}

/// Whether nothing that a receipt can do is done, and nothing changes.
fn assert_changes_nothing(b: &Bench, receipt: &Receipt) {
    let before = (b.list("q"), b.stat());
    let receipts = [receipt.clone()];
    assert!(is_stale(&b.store.delete(&receipts)));
    assert!(is_stale(&b.store.release(&receipts, Some(secs(0)))));
    assert!(is_stale(&b.store.release(&receipts, Some(secs(9)))));
    assert!(is_stale(&b.store.extend(&receipts, secs(9))));
    let failure = mq::store::Failure { at: START, delivery: 1, reason: "too late".to_owned() };
    assert!(matches!(b.store.note_failure(receipt, &failure), Err(Error::StaleReceipt { .. })));
    assert_eq!((b.list("q"), b.stat()), before);
}

fn put_and_claim(b: &Bench) -> Delivery {
    b.put("body");
    b.claim_for(10).unwrap()
}

fn i4_what_is_deleted_stays_deleted(b: &Bench) {
    let delivery = put_and_claim(b);
    assert!(is_done(&b.store.delete(&[delivery.receipt])));
    b.advance(1000);
    assert!(b.claim().is_none());
    assert_eq!(b.list("q"), []);
}

fn i5_a_receipt_is_stale_after_the_next_delivery(b: &Bench) {
    let first = put_and_claim(b);
    b.advance(11);
    let second = b.claim().unwrap();
    assert_changes_nothing(b, &first.receipt);
    assert!(is_done(&b.store.release(&[second.receipt], Some(secs(0)))));
    assert_changes_nothing(b, &first.receipt);
    let third = b.hold().unwrap();
    assert_changes_nothing(b, &first.receipt);
    assert!(is_done(&b.store.delete(&[third.receipt])));
}

fn i5_a_receipt_is_stale_after_delete_purge_and_move(b: &Bench) {
    let deleted = put_and_claim(b).receipt;
    assert!(is_done(&b.store.delete(std::slice::from_ref(&deleted))));
    assert_changes_nothing(b, &deleted);

    let purged = put_and_claim(b).receipt;
    assert_eq!(b.store.purge(&q()).unwrap(), 1);
    assert_changes_nothing(b, &purged);

    let moved = put_and_claim(b).receipt;
    assert!(is_done(&b.store.release(std::slice::from_ref(&moved), Some(secs(0)))));
    b.create("other");
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 1);
    assert_changes_nothing(b, &moved);
    assert_eq!(b.store.move_all(&name("other"), &q()).unwrap(), 1);
    assert_changes_nothing(b, &moved);
    assert_eq!(b.claim().unwrap().deliveries, 1);
    assert_changes_nothing(b, &moved);
}

fn i5_a_receipt_of_a_dropped_queue_changes_nothing(b: &Bench) {
    let receipt = put_and_claim(b).receipt;
    assert_eq!(b.store.drop_queue(&q(), true).unwrap(), 1);
    let receipts = [receipt.clone()];
    assert!(matches!(b.store.delete(&receipts)[..], [Err(Error::NoSuchQueue { .. })]));
    assert!(matches!(b.store.release(&receipts, Some(secs(0)))[..], [Err(Error::NoSuchQueue { .. })]));
    assert!(matches!(b.store.extend(&receipts, secs(1))[..], [Err(Error::NoSuchQueue { .. })]));
    b.create("q");
    let _ = put_and_claim(b);
    assert_changes_nothing(b, &receipt);
}

/// Nobody has looked since, so no sweep has moved the message.
fn a_receipt_works_after_its_claim_ended(b: &Bench) {
    for step in 0..4 {
        let receipts = [put_and_claim(b).receipt];
        b.advance(100);
        match step {
            0 => assert!(is_done(&b.store.delete(&receipts))),
            1 => assert!(is_done(&b.store.release(&receipts, Some(secs(0))))),
            2 => assert!(is_done(&b.store.release(&receipts, Some(secs(9))))),
            _ => assert!(is_done(&b.store.extend(&receipts, secs(9)))),
        }
        let expected = [0, 1, 1, 1][step];
        assert_eq!(b.store.purge(&q()).unwrap(), expected);
    }
}

/// A look has swept the message back among the deliverable ones.
fn a_receipt_works_after_its_claim_was_swept(b: &Bench) {
    for step in 0..4 {
        let receipts = [put_and_claim(b).receipt];
        b.advance(100);
        assert_eq!(b.stat().ready, 1);
        match step {
            0 => assert!(is_done(&b.store.delete(&receipts))),
            1 => assert!(is_done(&b.store.release(&receipts, Some(secs(0))))),
            2 => assert!(is_done(&b.store.release(&receipts, Some(secs(9))))),
            _ => assert!(is_done(&b.store.extend(&receipts, secs(9)))),
        }
        let stat = b.stat();
        let expected = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)][step];
        assert_eq!((stat.ready, stat.delayed, stat.claimed), expected);
        b.store.purge(&q()).unwrap();
    }
}

fn a_receipt_works_after_a_release(b: &Bench) {
    let receipts = [put_and_claim(b).receipt];
    assert!(is_done(&b.store.release(&receipts, Some(secs(100)))));
    assert!(is_done(&b.store.release(&receipts, Some(secs(0)))));
    assert!(is_done(&b.store.release(&receipts, Some(secs(0)))), "given back already");
    assert_eq!(b.stat().ready, 1);
    assert!(is_done(&b.store.delete(&receipts)));
    assert_eq!(b.stat().messages(), 0);
}

fn many_receipts_have_a_result_each(b: &Bench) {
    for body in ["a", "b", "c"] {
        b.put(body);
    }
    let claims = b.claim_from("q", mq::domain::Visibility::Timed(None), 3);
    let [first, second, third] = [0, 1, 2].map(|n: usize| claims[n].receipt.clone());
    let elsewhere = Receipt { queue: name("nowhere"), ..first.clone() };
    let results = b.store.delete(&[first.clone(), elsewhere, first, second]);
    assert!(matches!(results[..], [Ok(()), Err(Error::NoSuchQueue { .. }), Err(Error::StaleReceipt { .. }), Ok(())]));
    assert!(b.store.delete(&[]).is_empty());
    assert!(is_done(&b.store.extend(&[third.clone(), third], secs(5))));
    assert_eq!(b.states("q"), [(claimed(6), 1)]);
}

fn a_receipt_survives_its_spelling(b: &Bench) {
    b.put("a");
    b.put("b");
    let (timed, held) = (b.claim().unwrap(), b.hold().unwrap());
    let spelled = [&timed, &held].map(|delivery| delivery.receipt.to_string().parse::<Receipt>().unwrap());
    assert!(is_done(&b.store.delete(&spelled)));
    assert_eq!(b.stat().messages(), 0);
}

fn release_puts_back_at_once_or_after_a_delay(b: &Bench) {
    b.put("a");
    b.put("b");
    let receipts: Vec<Receipt> = [b.claim(), b.claim()].map(|claim| claim.unwrap().receipt).into();
    assert!(is_done(&b.store.release(&receipts[1..], Some(secs(0)))));
    assert!(is_done(&b.store.release(&receipts[..1], Some(secs(10)))));
    assert_eq!(b.states("q"), [(State::Ready, 1), (delayed(11), 1)]);
    assert_eq!(b.drain("q"), ["b"]);
    b.clock.set(UnixSeconds(START_S + 11).start());
    let mut again = b.claim().unwrap();
    assert_eq!((text(&mut again).as_str(), again.deliveries), ("a", 2));
}

fn release_can_change_a_delay(b: &Bench) {
    let receipts = [put_and_claim(b).receipt];
    for seconds in [10, 100, 100, 5] {
        assert!(is_done(&b.store.release(&receipts, Some(secs(seconds)))));
        assert_eq!(b.states("q"), [(delayed(seconds + 1), 1)]);
    }
}

fn extend_moves_the_end_from_now(b: &Bench) {
    let receipts = [put_and_claim(b).receipt];
    b.advance(5);
    assert_eq!(b.store.extend(&receipts, secs(60)).pop().unwrap().unwrap(), UnixSeconds(START_S + 66));
    b.advance(60);
    assert!(b.claim().is_none());
    // The receipt stays the same, and says where the claim was made, not where it is.
    let end = b.store.extend(&receipts, Duration::from_millis(1)).pop().unwrap().unwrap();
    assert_eq!(end, UnixSeconds(START_S + 66));
    b.clock.set(end.start());
    assert_eq!(b.claim().unwrap().deliveries, 2);
    assert_changes_nothing(b, &receipts[0]);
}

fn extend_can_bring_the_end_forward(b: &Bench) {
    b.put("body");
    let receipts = [b.claim_for(1000).unwrap().receipt];
    b.clock.set(UnixMillis(START_S * 1000));
    assert_eq!(b.store.extend(&receipts, secs(0)).pop().unwrap().unwrap(), UnixSeconds(START_S));
    assert_eq!(b.claim().unwrap().deliveries, 2);
}

fn extend_takes_back_what_was_swept_or_given_back(b: &Bench) {
    let receipts = [put_and_claim(b).receipt];
    for delay in [0, 50] {
        assert!(is_done(&b.store.release(&receipts, Some(secs(delay)))));
        assert!(is_done(&b.store.extend(&receipts, secs(20))));
        assert_eq!(b.states("q"), [(claimed(21), 1)]);
        assert!(b.claim().is_none());
    }
}

fn a_held_claim_has_no_end_to_move(b: &Bench) {
    b.put("body");
    let delivery = b.hold().unwrap();
    let receipts = [delivery.receipt.clone()];
    let refused = |results: Vec<Result<UnixSeconds, Error>>| {
        matches!(results[..], [Err(Error::Refused { refusal: Refusal::HeldHasNoEnd })])
    };
    assert!(refused(b.store.extend(&receipts, secs(5))));
    assert_eq!(b.states("q"), [(State::Held, 1)]);
    drop(delivery);
    assert_eq!(b.states("q"), [(State::Ready, 1)]);
    assert!(is_done(&b.store.extend(&receipts, secs(5))), "it is not held any more");
    assert_eq!(b.states("q"), [(claimed(6), 1)]);
}

fn i6_neither_release_nor_extend_counts(b: &Bench) {
    let receipts = [put_and_claim(b).receipt];
    for _ in 0..3 {
        assert!(is_done(&b.store.extend(&receipts, secs(60))));
        assert!(is_done(&b.store.release(&receipts, Some(secs(1)))));
        assert!(is_done(&b.store.release(&receipts, Some(secs(0)))));
        assert_eq!(b.states("q"), [(State::Ready, 1)]);
    }
}
