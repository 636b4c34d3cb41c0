//! Unique keys: one message of a key at a time, for as long as the key is in force, and none in its way after that.

use mq::domain::lifecycle::State;
use mq::domain::{MessageId, NewMessage, Unique, UnixSeconds, Visibility};
use mq::store::spool::Order;
use mq::store::{ClaimRequest, Error, Store, UniquePut};

use super::bench::{Bench, START_S, is_done, name, over_every_engine, q, secs, text, with_delay, with_ttl};

over_every_engine! {
    a_key_is_in_force_while_its_message_is_queued_or_claimed
    a_key_is_in_force_in_every_state
    a_key_is_free_when_its_message_is_gone_in_whatever_way
    a_key_goes_along_with_its_message
    a_dead_letter_that_is_sent_back_has_its_key_again
    a_message_whose_key_is_taken_stays_and_the_others_move
    a_window_stays_where_it_was_opened
    one_of_a_group_takes_its_key_along
    a_message_that_is_too_old_holds_no_key
    a_claimed_message_that_gets_too_old_holds_its_key
    a_window_has_nothing_to_do_with_the_fate_of_its_message
    a_window_may_not_be_longer_than_the_retention
    keys_and_queues_do_not_touch_each_other
    a_unique_message_is_what_was_put
    i9_a_body_that_cannot_be_read_leaves_the_key_free
}

fn unique(key: &str) -> Unique {
    Unique { key: key.parse().unwrap(), window: None }
}

fn windowed(key: &str, seconds: u64) -> Unique {
    Unique { window: Some(secs(seconds)), ..unique(key) }
}

fn try_put(store: &dyn Store, new: &NewMessage, unique: &Unique, body: &str) -> UniquePut {
    store.put_unique(&q(), new, unique, &mut body.as_bytes()).unwrap()
}

/// Puts a message that has to be put.
fn put(b: &Bench, unique: &Unique, body: &str) -> MessageId {
    match try_put(&*b.store, &NewMessage::default(), unique, body) {
        UniquePut::New(id) => id,
        UniquePut::Present(id) => panic!("{body} was not put: {id} is there"),
    }
}

/// Puts a message that must not be put, since `id` has the key.
fn put_in_vain(b: &Bench, unique: &Unique, id: MessageId) {
    let count = b.stat().messages();
    assert_eq!(try_put(&*b.store, &NewMessage::default(), unique, "in vain"), UniquePut::Present(id));
    assert_eq!(b.stat().messages(), count);
}

fn a_key_is_in_force_while_its_message_is_queued_or_claimed(b: &Bench) {
    let key = unique("k");
    let first = put(b, &key, "first");
    put_in_vain(b, &key, first);
    let mut delivery = b.claim().unwrap();
    assert_eq!(text(&mut delivery), "first");
    put_in_vain(b, &key, first);
    assert!(is_done(&b.store.release(&[delivery.receipt], Some(secs(0)))));
    put_in_vain(b, &key, first);
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    let second = put(b, &key, "second");
    assert_ne!(first, second);
    put_in_vain(b, &key, second);
    assert_eq!(b.drain("q"), ["second"]);
}

fn a_key_is_in_force_in_every_state(b: &Bench) {
    let key = unique("k");
    let put = try_put(&*b.store, &with_delay(secs(5)), &key, "delayed");
    put_in_vain(b, &key, put.id());
    b.advance(6);
    put_in_vain(b, &key, put.id());
    let held = b.hold().unwrap();
    put_in_vain(b, &key, put.id());
    drop(held);
    put_in_vain(b, &key, put.id());
    let receipt = b.claim_for(3).unwrap().receipt;
    assert!(is_done(&b.store.extend(&[receipt], secs(9))));
    put_in_vain(b, &key, put.id());
    b.advance(20);
    put_in_vain(b, &key, put.id());
    assert_eq!(b.drain("q"), ["delayed"]);
}

fn a_key_is_free_when_its_message_is_gone_in_whatever_way(b: &Bench) {
    let key = unique("k");
    b.create("other");
    b.set(&["max-deliveries=1"]);
    put(b, &key, "deleted");
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    put(b, &key, "purged");
    assert_eq!(b.store.purge(&q()).unwrap(), 1);
    put(b, &key, "moved");
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 1);
    put(b, &key, "released too often");
    assert!(is_done(&b.store.release(&[b.claim().unwrap().receipt], Some(secs(0)))));
    put(b, &key, "claimed too often");
    b.claim_for(1).unwrap();
    b.advance(2);
    assert_eq!(b.states("q"), []);
    put(b, &key, "there");
    assert_eq!(b.drain("q.dead"), ["released too often", "claimed too often"]);
}

/// Claims and deletes all that there is, and says what it was.
fn finish(b: &Bench, queue: &str) -> Vec<String> {
    let mut deliveries = b.claim_from(queue, Visibility::Timed(None), usize::MAX);
    let texts = deliveries.iter_mut().map(text).collect();
    let receipts: Vec<_> = deliveries.into_iter().map(|delivery| delivery.receipt).collect();
    assert!(is_done(&b.store.delete(&receipts)));
    texts
}

/// Puts a message of the key to another queue, or finds which one has it there.
fn put_to(b: &Bench, queue: &str, unique: &Unique, body: &str) -> UniquePut {
    b.store.put_unique(&name(queue), &NewMessage::default(), unique, &mut body.as_bytes()).unwrap()
}

fn a_key_goes_along_with_its_message(b: &Bench) {
    let key = unique("k");
    b.create("other");
    let first = put(b, &key, "first");
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 1);
    assert_eq!(put_to(b, "other", &key, "in vain"), UniquePut::Present(first));
    assert_eq!(b.store.move_all(&name("other"), &q()).unwrap(), 1);
    put_in_vain(b, &key, first);
    assert!(matches!(put_to(b, "other", &key, "new there"), UniquePut::New(_)));
    assert_eq!(finish(b, "q"), ["first"]);
    put(b, &key, "second");
    assert_eq!(finish(b, "q"), ["second"]);
}

fn a_dead_letter_that_is_sent_back_has_its_key_again(b: &Bench) {
    let key = unique("k");
    b.set(&["max-deliveries=1"]);
    let first = put(b, &key, "first");
    assert!(is_done(&b.store.release(&[b.claim().unwrap().receipt], Some(secs(0)))));
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 1);
    put_in_vain(b, &key, first);
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    put(b, &key, "second");
    assert_eq!(finish(b, "q"), ["second"]);
}

fn a_message_whose_key_is_taken_stays_and_the_others_move(b: &Bench) {
    let key = unique("k");
    b.create("other");
    let first = put(b, &key, "first");
    b.put("with no key");
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 2);
    let second = put(b, &key, "second");
    let stays = |moved: mq::store::Result<u64>| match moved {
        Err(Error::KeyTaken { queue, id, holder, .. }) => assert_eq!((queue, id, holder), (q(), first, second)),
        other => panic!("{other:?}"),
    };
    stays(b.store.move_all(&name("other"), &q()));
    assert_eq!(b.states("other").len(), 1);
    stays(b.store.move_all(&name("other"), &q()));
    assert_eq!(finish(b, "q"), ["second", "with no key"]);
    assert_eq!(b.store.move_all(&name("other"), &q()).unwrap(), 1);
    put_in_vain(b, &key, first);
    assert_eq!(finish(b, "q"), ["first"]);
}

/// It says of the queue that the message was put to what was put there.
fn a_window_stays_where_it_was_opened(b: &Bench) {
    let key = windowed("k", 10);
    b.create("other");
    let first = put(b, &key, "first");
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 1);
    put_in_vain(b, &key, first);
    assert!(matches!(put_to(b, "other", &unique("k"), "there"), UniquePut::New(_)));
    assert_eq!(finish(b, "other"), ["first", "there"]);
    b.advance(11);
    put(b, &key, "second");
    assert_eq!(finish(b, "q"), ["second"]);
}

fn one_of_a_group_takes_its_key_along(b: &Bench) {
    let key = unique("k");
    b.create("other");
    let of_group = NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() };
    let first = try_put(&*b.store, &of_group, &key, "first").id();
    b.store.put(&q(), &of_group, &mut "behind it".as_bytes()).unwrap();
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 2);
    assert_eq!(put_to(b, "other", &key, "in vain"), UniquePut::Present(first));
    assert_eq!((finish(b, "other"), finish(b, "other")), (vec!["first".to_owned()], vec!["behind it".to_owned()]));
    put(b, &key, "new");
    assert!(matches!(put_to(b, "other", &key, "new"), UniquePut::New(_)));
    assert_eq!((finish(b, "q"), finish(b, "other")), (vec!["new".to_owned()], vec!["new".to_owned()]));
}

fn a_message_that_is_too_old_holds_no_key(b: &Bench) {
    let key = unique("k");
    let old = try_put(&*b.store, &with_ttl(secs(5)), &key, "old").id();
    b.advance(4);
    put_in_vain(b, &key, old);
    b.advance(2);
    let kept = put(b, &key, "new");
    put_in_vain(b, &key, kept);
    assert_eq!(b.drain("q"), ["new"]);
}

/// Its receiver may be at work on it.
fn a_claimed_message_that_gets_too_old_holds_its_key(b: &Bench) {
    for is_held in [false, true] {
        let key = unique(if is_held { "held" } else { "timed" });
        let first = try_put(&*b.store, &with_ttl(secs(5)), &key, "first").id();
        let hold = if is_held { b.hold() } else { b.claim_for(60) }.unwrap();
        b.advance(6);
        put_in_vain(b, &key, first);
        assert!(is_done(&b.store.delete(std::slice::from_ref(&hold.receipt))));
        put(b, &key, "second");
        assert_eq!(b.drain("q"), ["second"]);
    }
}

fn a_window_has_nothing_to_do_with_the_fate_of_its_message(b: &Bench) {
    let key = windowed("k", 10);
    let first = put(b, &key, "first");
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    put_in_vain(b, &key, first);
    // Whoever asks in another way is told the same.
    put_in_vain(b, &unique("k"), first);
    b.advance(9);
    put_in_vain(b, &key, first);
    b.advance(2);
    let second = put(b, &key, "second");
    put_in_vain(b, &key, second);
    b.advance(11);
    put(b, &key, "third");
    assert_eq!(b.drain("q"), ["second", "third"]);
    b.advance(11);
    put(b, &key, "fourth");
    assert_eq!(b.store.purge(&q()).unwrap(), 3);
    let error = b.store.put_unique(&q(), &NewMessage::default(), &key, &mut "fifth".as_bytes()).unwrap();
    assert!(matches!(error, UniquePut::Present(_)), "a purge ended the window");
}

fn a_window_may_not_be_longer_than_the_retention(b: &Bench) {
    b.set(&["retention=1m"]);
    put(b, &windowed("k", 60), "as long");
    let refused = b.store.put_unique(&q(), &NewMessage::default(), &windowed("l", 61), &mut "longer".as_bytes());
    let Err(error @ Error::UniqueForTooLong { .. }) = refused else { panic!("it was put") };
    assert_eq!(
        error.to_string(),
        "a key cannot be unique for 61s in 'q': its retention keeps a message for 1m at most"
    );
    assert_eq!(b.drain("q"), ["as long"]);
}

fn keys_and_queues_do_not_touch_each_other(b: &Bench) {
    b.create("other");
    for key in ["k", "K", "k.", "k/../l", "\u{e9}", "e\u{301}", &"k".repeat(1024)] {
        put(b, &unique(key), key);
    }
    let elsewhere = b.store.put_unique(&name("other"), &NewMessage::default(), &unique("k"), &mut "k".as_bytes());
    assert!(matches!(elsewhere, Ok(UniquePut::New(_))));
    b.put("without a key");
    assert_eq!(b.drain("q").len(), 8);
    assert_eq!(b.drain("other"), ["k"]);
}

fn a_unique_message_is_what_was_put(b: &Bench) {
    let long = "x".repeat(300_000);
    for body in ["", "short", &long] {
        put(b, &windowed("k", 10), body);
        let mut delivery = b.claim().unwrap();
        assert!(text(&mut delivery) == body);
        assert_eq!(delivery.message.unique, Some("k".parse().unwrap()));
        assert_eq!(delivery.message.unique_until.map(|until| until > UnixSeconds(START_S)), Some(true));
        assert!(is_done(&b.store.delete(&[delivery.receipt])));
        b.advance(12);
    }
}

fn i9_a_body_that_cannot_be_read_leaves_the_key_free(b: &Bench) {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("a broken pipe"))
        }
    }
    assert!(b.store.put_unique(&q(), &NewMessage::default(), &unique("k"), &mut Broken).is_err());
    put(b, &unique("k"), "whole");
    assert_eq!(b.states("q"), [(State::Ready, 0)]);
}

fn in_both_orders(test: impl Fn(&Bench)) {
    for order in [Order::RollForward, Order::Classical] {
        test(&Bench::spool(order));
    }
}

/// All get the same id, and one message is there.
#[test]
fn of_many_at_once_one_puts() {
    in_both_orders(|b| {
        for round in 0..20 {
            let key = unique(&format!("round {round}"));
            let puts: Vec<UniquePut> = std::thread::scope(|scope| {
                let one = |n: usize| {
                    let (store, key) = (b.opened_again(), &key);
                    scope.spawn(move || try_put(&*store, &NewMessage::default(), key, &format!("by {n}")))
                };
                let threads: Vec<_> = (0..8).map(one).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let new: Vec<_> = puts.iter().filter(|put| matches!(put, UniquePut::New(_))).collect();
            assert_eq!(new.len(), 1, "{puts:?}");
            assert!(puts.iter().all(|put| put.id() == new[0].id()), "{puts:?}");
        }
        assert_eq!(b.stat().messages(), 20);
    });
}

/// I7: what is left of keys whose messages are gone is swept away, and nothing of it was ever in the way.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i7_entries_are_swept_when_their_messages_are_gone() {
    in_both_orders(|b| {
        for n in 0..50 {
            put(b, &unique(&format!("plain {n}")), "x");
            put(b, &windowed(&format!("window {n}"), 30), "x");
        }
        let entries = || b.paths_below("unique").into_iter().filter(|path| path.is_file()).count();
        assert_eq!(entries(), 100);
        // As if half of those who deleted had died before they came to the entries.
        let plain: Vec<_> = b.paths_below("unique").into_iter().filter(|path| path.extension().is_some()).collect();
        let kept = b.path_of("../kept");
        for (n, path) in plain.iter().enumerate() {
            std::fs::create_dir_all(&kept).unwrap();
            std::fs::hard_link(path, kept.join(n.to_string())).unwrap();
        }
        let claim = ClaimRequest { visibility: mq::domain::Visibility::Timed(None), most: 100 };
        let claims = b.store.claim(&q(), &claim).unwrap();
        let receipts: Vec<_> = claims.deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        assert!(is_done(&b.store.delete(&receipts)));
        assert_eq!(entries(), 50, "windows last");
        for (n, path) in plain.iter().enumerate() {
            let _ = std::fs::hard_link(kept.join(n.to_string()), path);
        }
        std::fs::remove_dir_all(&kept).unwrap();
        assert_eq!(entries(), 100);
        for n in 0..25 {
            put(b, &unique(&format!("plain {n}")), "y");
        }
        assert_eq!(b.drain("q").len(), 25);
        assert_eq!(b.store.purge(&q()).unwrap(), 25);
        for _ in 0..700 {
            b.advance(1);
            b.claim();
        }
        assert_eq!(entries(), 0);
    });
}

/// A damaged message does not say its key, and holds it no longer than it lies in its queue.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn a_damaged_message_gives_its_key_back() {
    in_both_orders(|b| {
        let key = unique("k");
        put(b, &key, "damaged");
        let path = b.paths_below("ready").into_iter().find(|path| path.is_file()).unwrap();
        std::fs::write(&path, "nonsense").unwrap();
        let claims = b.store.claim(&q(), &ClaimRequest { visibility: mq::domain::Visibility::Held, most: 1 }).unwrap();
        assert!(claims.deliveries.is_empty() && claims.notices.len() == 1, "{:?}", claims.notices);
        put(b, &key, "whole");
        assert_eq!(b.names_below("corrupt"), 2);
        assert_eq!(b.drain("q"), ["whole"]);
    });
}
