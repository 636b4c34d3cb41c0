//! Filters: what is meant is listed, purged and moved, and nothing else.

use std::ops::ControlFlow;

use mq::domain::{Attributes, NewMessage};
use mq::store::{Failure, Filter, StateName};

use super::bench::{Bench, START_S, is_done, name, over_every_engine, q, secs, with_delay};

over_every_engine! {
    each_part_of_a_filter_has_to_hold
    a_dead_letter_is_found_by_why_and_whence
    i1_a_purge_takes_what_is_meant
    i8_a_move_takes_what_is_meant_in_order
    a_purge_and_a_move_can_be_broken_off
    nothing_is_meant_by_an_id_that_is_not_there
}

fn with(attributes: &[(&str, &str)]) -> NewMessage {
    let mut all = Attributes::default();
    for (name, value) in attributes {
        all.insert(name, value).unwrap();
    }
    NewMessage { attributes: all, ..NewMessage::default() }
}

fn having(attribute: &str) -> Filter {
    Filter { attributes: vec![attribute.parse().unwrap()], ..Filter::default() }
}

/// How many messages of the queue are meant.
fn meant(b: &Bench, queue: &str, filter: &Filter) -> usize {
    let mut count = 0;
    let each = &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    };
    b.store.list(&name(queue), filter, each).unwrap();
    count
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn each_part_of_a_filter_has_to_hold(b: &Bench) {
    let all = Filter::default();
    let old = b.put_as(&with(&[("colour", "red"), ("size", "big")]), "old");
    b.advance(10);
    b.put_as(&NewMessage { media_type: Some("json".parse().unwrap()), ..with(&[("colour", "blue")]) }, "typed");
    b.put_as(&with_delay(secs(60)), "delayed");
    let held = b.hold().unwrap();
    assert!(all.is_all());
    let cases: &[(usize, Filter)] = &[
        (3, all.clone()),
        (1, Filter { ids: vec![old], ..all.clone() }),
        (1, Filter { older: Some(secs(5)), ..all.clone() }),
        (0, Filter { older: Some(secs(10)), ..all.clone() }),
        (2, Filter { newer: Some(secs(10)), ..all.clone() }),
        (3, Filter { newer: Some(secs(11)), ..all.clone() }),
        (2, having("colour")),
        (1, having("colour=red")),
        (0, having("colour=")),
        (0, having("weight")),
        (1, Filter { attributes: vec!["colour=red".parse().unwrap(), "size".parse().unwrap()], ..all.clone() }),
        (0, Filter { attributes: vec!["colour=blue".parse().unwrap(), "size".parse().unwrap()], ..all.clone() }),
        (1, Filter { media_type: Some("json".parse().unwrap()), ..all.clone() }),
        (1, Filter { states: vec![StateName::Held], ..all.clone() }),
        (2, Filter { states: vec![StateName::Ready, StateName::Delayed], ..all.clone() }),
        (0, Filter { states: vec![StateName::Claimed], ..all.clone() }),
        (1, Filter { deliveries: Some(1), ..all.clone() }),
        (3, Filter { deliveries: Some(0), ..all.clone() }),
        (3, Filter { put_to: Some(q()), ..all.clone() }),
        (0, Filter { put_to: Some(name("other")), ..all.clone() }),
        (0, Filter { reason: Some("exit".to_owned()), ..all.clone() }),
        (0, Filter { states: vec![StateName::Held], newer: Some(secs(5)), ..all }),
    ];
    for (count, filter) in cases {
        assert_eq!(meant(b, "q", filter), *count, "{filter:?}");
    }
    drop(held);
}

fn a_dead_letter_is_found_by_why_and_whence(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    for reason in ["timeout after 30s", "exit status 1"] {
        b.put(reason);
        let receipt = b.claim().unwrap().receipt;
        let failure = |reason: &str| Failure {
            at: mq::domain::UnixSeconds(START_S).start(),
            delivery: 1,
            reason: reason.to_owned(),
        };
        b.store.note_failure(&receipt, &failure("an earlier one")).unwrap();
        b.store.note_failure(&receipt, &failure(reason)).unwrap();
        assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    }
    let why = |text: &str| Filter { reason: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(meant(b, "q.dead", &why("timeout")), 1);
    assert_eq!(meant(b, "q.dead", &why("earlier")), 0, "the last reason counts");
    let whence = |queue: &str| Filter { put_to: Some(name(queue)), ..Filter::default() };
    assert_eq!(meant(b, "q.dead", &whence("q")), 2);
    assert_eq!(meant(b, "q.dead", &whence("q.dead")), 0);
    assert_eq!(b.list("q.dead")[0].failures.len(), 2);
    assert_eq!(b.store.move_some(&name("q.dead"), &q(), &why("timeout"), &mut go_on).unwrap(), 1);
    assert_eq!(b.drain("q"), ["timeout after 30s"]);
    assert_eq!(b.drain("q.dead"), ["exit status 1"]);
}

fn i1_a_purge_takes_what_is_meant(b: &Bench) {
    let odd = |n: usize| if n % 2 == 1 { with(&[("odd", "")]) } else { NewMessage::default() };
    let batch: Vec<_> = (0..600).map(|n| (odd(n), n.to_string().into_bytes())).collect();
    assert_eq!(b.store.put_batch(&q(), &batch).ids.len(), 600);
    let delayed = NewMessage { delay: Some(secs(60)), ..odd(1) };
    b.put_as(&delayed, "delayed");
    b.put_as(&with_delay(secs(60)), "delayed too");
    let held = b.hold().unwrap();
    let claimed = b.claim_for(30).unwrap();
    assert_eq!(b.store.purge_some(&q(), &having("odd"), &mut go_on).unwrap(), 301);
    assert_eq!(b.store.purge_some(&q(), &having("odd"), &mut go_on).unwrap(), 0);
    assert!(is_done(&b.store.release(&[held.receipt], Some(secs(0)))), "it is not odd");
    assert!(!is_done(&b.store.release(&[claimed.receipt], Some(secs(0)))), "it is odd");
    b.advance(61);
    let mut even: Vec<String> = (0..300).map(|n| (2 * n).to_string()).collect();
    even.push("delayed too".to_owned());
    let mut rest = b.drain("q");
    rest.sort_by_key(|text| text.parse::<u32>().unwrap_or(u32::MAX));
    assert_eq!(rest, even);
}

fn i8_a_move_takes_what_is_meant_in_order(b: &Bench) {
    b.store.create_queue(&name("to"), &mq::domain::Policy::default(), None).unwrap();
    let third = |n: usize| if n.is_multiple_of(3) { with(&[("third", "yes")]) } else { NewMessage::default() };
    let batch: Vec<_> = (0..600).map(|n| (third(n), n.to_string().into_bytes())).collect();
    assert_eq!(b.store.put_batch(&q(), &batch).ids.len(), 600);
    assert_eq!(b.store.move_some(&q(), &name("to"), &having("third=yes"), &mut go_on).unwrap(), 200);
    let is_third = |third: bool| move |n: &u32| n.is_multiple_of(3) == third;
    let bodies = |third| (0..600).filter(is_third(third)).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(b.drain("to"), bodies(true));
    assert_eq!(b.drain("q"), bodies(false));
}

fn a_purge_and_a_move_can_be_broken_off(b: &Bench) {
    b.store.create_queue(&name("to"), &mq::domain::Policy::default(), None).unwrap();
    for n in 0..5 {
        b.put(&n.to_string());
    }
    let up_to = |most: u32| {
        let mut count = 0;
        move || {
            count += 1;
            if count == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    };
    let all = Filter::default();
    assert_eq!(b.store.purge_some(&q(), &all, &mut up_to(1)).unwrap(), 1);
    assert_eq!(b.store.move_some(&q(), &name("to"), &all, &mut up_to(2)).unwrap(), 2);
    assert_eq!(b.drain("to"), ["1", "2"]);
    assert_eq!(b.drain("q"), ["3", "4"]);
}

fn nothing_is_meant_by_an_id_that_is_not_there(b: &Bench) {
    let gone = b.put("gone");
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    b.put("here");
    let filter = Filter { ids: vec![gone], ..Filter::default() };
    assert_eq!(meant(b, "q", &filter), 0);
    assert_eq!(b.store.purge_some(&q(), &filter, &mut go_on).unwrap(), 0);
    assert_eq!(b.drain("q"), ["here"]);
}

/// A directory of more messages than are looked at in one go.
#[test]
fn i1_a_purge_goes_through_a_large_directory_to_its_end() {
    let b = Bench::spool(mq::store::spool::Order::RollForward);
    b.set(&["durability=none"]);
    let new =
        |n: usize| NewMessage { delay: Some(secs(60)), ..if n % 2 == 1 { with(&[("odd", "")]) } else { with(&[]) } };
    let batch: Vec<_> = (0..20_000).map(|n| (new(n), Vec::new())).collect();
    assert_eq!(b.store.put_batch(&q(), &batch).ids.len(), 20_000);
    assert_eq!(b.store.purge_some(&q(), &having("odd"), &mut go_on).unwrap(), 10_000);
    assert_eq!(meant(&b, "q", &having("odd")), 0);
    assert_eq!(b.stat().delayed, 10_000);
}

/// Of a message that cannot be read nobody can say whether it is meant: it stays, and that is said; unless its name says it.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i9_what_cannot_be_read_is_not_passed_over_in_silence() {
    for order in [mq::store::spool::Order::RollForward, mq::store::spool::Order::Classical] {
        let b = Bench::spool(order);
        let bad = b.put("bad");
        let path = b.paths_below("ready").into_iter().find(|path| path.is_file()).unwrap();
        std::fs::write(&path, "nonsense").unwrap();
        b.put_as(&with(&[("colour", "red")]), "red");
        b.put("plain");
        assert!(b.list("q")[0].unread.is_some());
        assert_eq!(meant(&b, "q", &having("colour=red")), 2, "it may be red");
        assert!(b.store.purge_some(&q(), &having("colour=red"), &mut go_on).is_err());
        assert_eq!(b.stat().ready, 2, "the other one is gone");
        let by_id = Filter { ids: vec![bad], ..Filter::default() };
        assert_eq!(b.store.purge_some(&q(), &by_id, &mut go_on).unwrap(), 1);
        assert_eq!(b.drain("q"), ["plain"]);
    }
}
