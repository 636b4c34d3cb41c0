//! Batches that are put as one: all of the messages or none.

use mq::domain::{MessageId, NewMessage, Visibility};
use mq::store::{Error, Store};

use super::bench::{Bench, over_every_engine, q, secs, with_delay, with_priority, with_ttl};

over_every_engine! {
    i8_all_of_a_batch_come_out_in_order
    nothing_is_there_before_the_end
    what_is_dropped_leaves_nothing
    an_empty_batch_is_nothing
    large_bodies_go_with_small_ones
    a_whole_leaf_and_one_more
    what_was_put_before_and_after_stays_in_order
    what_cannot_go_with_the_others_is_refused
    a_cap_is_kept_by_all_or_none
    a_batch_larger_than_the_cap_is_refused
    a_time_to_live_is_kept
    what_flows_is_counted
}

fn put_all(b: &Bench, new: &NewMessage, bodies: &[&str]) -> Result<Vec<MessageId>, Error> {
    let mut batch = b.store.begin_atomic(&q())?;
    bodies.iter().try_for_each(|body| batch.add(new, &mut body.as_bytes()))?;
    batch.commit()
}

fn i8_all_of_a_batch_come_out_in_order(b: &Bench) {
    let ids = put_all(b, &with_priority(7), &["1", "2", "3"]).unwrap();
    assert_eq!(b.list("q").iter().map(|listed| listed.message.id).collect::<Vec<_>>(), ids);
    b.put_as(&with_priority(9), "first");
    assert_eq!(b.drain("q"), ["first", "1", "2", "3"]);
}

fn nothing_is_there_before_the_end(b: &Bench) {
    let mut batch = b.store.begin_atomic(&q()).unwrap();
    for body in ["1", "2"] {
        batch.add(&NewMessage::default(), &mut body.as_bytes()).unwrap();
        assert!(b.claim().is_none());
        assert_eq!(b.stat().messages(), 0);
    }
    assert_eq!(batch.commit().unwrap().len(), 2);
    assert_eq!(b.drain("q"), ["1", "2"]);
}

fn what_is_dropped_leaves_nothing(b: &Bench) {
    let mut batch = b.store.begin_atomic(&q()).unwrap();
    for _ in 0..300 {
        batch.add(&NewMessage::default(), &mut "never".as_bytes()).unwrap();
    }
    drop(batch);
    assert!(b.claim().is_none());
    if b.is_spool() {
        assert_eq!(b.names_below("tmp"), 0);
    }
}

fn an_empty_batch_is_nothing(b: &Bench) {
    assert_eq!(put_all(b, &NewMessage::default(), &[]).unwrap(), []);
    assert!(b.claim().is_none());
}

fn large_bodies_go_with_small_ones(b: &Bench) {
    let large = "x".repeat(9 << 20);
    assert_eq!(put_all(b, &NewMessage::default(), &["1", &large, "3"]).unwrap().len(), 3);
    let got = b.drain("q");
    assert!(got[0] == "1" && got[1] == large && got[2] == "3");
}

fn a_whole_leaf_and_one_more(b: &Bench) {
    for count in [256_usize, 257, 700] {
        let bodies: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        assert_eq!(put_all(b, &NewMessage::default(), &bodies).unwrap().len(), count);
        let mut got = Vec::new();
        for mut delivery in b.claim_from("q", Visibility::Timed(None), usize::MAX) {
            got.push(super::bench::text(&mut delivery));
            assert!(b.store.delete(&[delivery.receipt])[0].is_ok());
        }
        assert_eq!(got, bodies);
    }
    assert_eq!(b.stat().messages(), 0);
}

fn what_was_put_before_and_after_stays_in_order(b: &Bench) {
    b.put("before");
    put_all(b, &NewMessage::default(), &["1", "2"]).unwrap();
    b.put("between");
    put_all(b, &NewMessage::default(), &["3"]).unwrap();
    b.put("after");
    assert_eq!(b.drain("q"), ["before", "1", "2", "between", "3", "after"]);
}

fn what_cannot_go_with_the_others_is_refused(b: &Bench) {
    let refuses = |first: &NewMessage, second: &NewMessage| {
        let mut batch = b.store.begin_atomic(&q()).unwrap();
        let added = batch.add(first, &mut "1".as_bytes()).and_then(|()| batch.add(second, &mut "2".as_bytes()));
        matches!(added, Err(Error::NotInABatch { .. }))
    };
    let plain = NewMessage::default();
    assert!(!refuses(&plain, &plain));
    assert!(refuses(&plain, &with_priority(6)));
    assert!(refuses(&with_delay(secs(1)), &plain));
    assert!(refuses(&plain, &NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() }));
    b.set(&["delay=5s"]);
    assert!(refuses(&plain, &plain), "the queue delays");
    assert!(!refuses(&with_delay(secs(0)), &with_delay(secs(0))));
    assert!(b.claim().is_none());
}

fn a_cap_is_kept_by_all_or_none(b: &Bench) {
    b.set(&["max-messages=3"]);
    b.put("1");
    b.put("2");
    assert!(matches!(put_all(b, &NewMessage::default(), &["3", "4"]), Err(Error::Full { .. })));
    assert_eq!(b.stat().messages(), 2);
    put_all(b, &NewMessage::default(), &["3"]).unwrap();
    assert!(matches!(put_all(b, &NewMessage::default(), &["4"]), Err(Error::Full { .. })));
    let receipts: Vec<_> =
        b.claim_from("q", Visibility::Timed(None), 2).into_iter().map(|delivery| delivery.receipt).collect();
    std::thread::scope(|scope| {
        let patient = NewMessage { wait: secs(60), ..NewMessage::default() };
        let putter = scope.spawn(move || put_all(b, &patient, &["4", "5"]));
        assert!(b.store.delete(&receipts).iter().all(Result::is_ok));
        assert_eq!(putter.join().unwrap().unwrap().len(), 2);
    });
    assert_eq!(b.drain("q"), ["3", "4", "5"]);
}

fn a_batch_larger_than_the_cap_is_refused(b: &Bench) {
    b.set(&["max-messages=2"]);
    let error = put_all(b, &NewMessage::default(), &["1", "2", "3"]).unwrap_err();
    assert!(error.to_string().contains("more messages than the queue may hold"), "{error}");
    b.set(&["max-messages=none", "max-bytes=10KiB"]);
    let body = "x".repeat(6 << 10);
    assert!(matches!(put_all(b, &NewMessage::default(), &[&body, &body]), Err(Error::TooLarge { .. })));
    put_all(b, &NewMessage::default(), &[&body]).unwrap();
    assert_eq!(b.stat().messages(), 1);
}

fn a_time_to_live_is_kept(b: &Bench) {
    put_all(b, &with_ttl(secs(5)), &["too old"]).unwrap();
    b.advance(6);
    assert!(b.claim().is_none());
}

/// Numbers that a batch passes over are no messages that came and went.
fn what_flows_is_counted(b: &Bench) {
    b.put("1");
    let numbers = |store: &dyn Store| store.stat(&q()).unwrap().numbers.unwrap();
    let before = numbers(&*b.store);
    put_all(b, &NewMessage::default(), &["2", "3"]).unwrap();
    let many = vec!["x"; 300];
    put_all(b, &NewMessage::default(), &many).unwrap();
    let after = numbers(&*b.store);
    assert_eq!((after.next - before.next, after.there - before.there), (302, 302));
}
