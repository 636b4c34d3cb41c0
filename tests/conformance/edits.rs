//! Edits: a message gets another body, and is the same message.

use std::io::Read as _;

use mq::domain::lifecycle::State;
use mq::domain::{Failure, MessageId, NewMessage, Unique};
use mq::store::{Error, Peeked, Uneditable, Which};

use super::bench::{
    Bench, START, claimed, delayed, is_done, name, over_every_engine, q, secs, text, with_delay, with_priority,
};

over_every_engine! {
    i3_a_new_body_is_what_is_delivered
    all_else_of_the_message_stays
    i8_its_place_in_the_order_stays
    a_dead_letter_is_edited_and_redriven
    what_the_writer_is_shown_is_what_is_there
    a_body_of_any_size_and_bytes_is_taken
    a_message_that_is_to_stay_stays
    what_is_claimed_is_not_edited
    what_was_given_back_and_is_held_still_is_not_edited
    i1_what_was_claimed_meanwhile_stays_as_it_was
    i4_what_was_deleted_meanwhile_does_not_come_back
    what_was_moved_or_edited_meanwhile_stays_as_it_is
    what_became_due_meanwhile_is_edited
    a_receipt_that_works_goes_on_to_work
    what_is_unique_or_of_a_group_is_not_edited
    a_key_whose_window_is_over_binds_nothing
    a_missing_message_is_not_edited
    what_is_too_old_is_not_edited
    what_never_has_room_is_not_taken
    i7_nothing_is_left_over
}

fn edit_in(b: &Bench, queue: &str, id: MessageId, body: &str) -> Result<bool, Error> {
    let body = body.to_owned();
    b.store.edit(&name(queue), id, &mut |_| Some(Box::new(std::io::Cursor::new(body.clone()))))
}

fn edit(b: &Bench, id: MessageId, body: &str) -> Result<bool, Error> {
    edit_in(b, "q", id, body)
}

/// Does something while the message is being edited, and says what came of the edit.
fn edit_during(b: &Bench, id: MessageId, meanwhile: impl Fn()) -> Result<bool, Error> {
    b.store.edit(&q(), id, &mut |_| {
        meanwhile();
        Some(Box::new(&b"new"[..]))
    })
}

#[track_caller]
fn assert_refused(result: &Result<bool, Error>, expected: Uneditable) {
    assert!(matches!(result, Err(Error::NotEdited { why, .. }) if *why == expected), "{result:?}");
}

fn body_of(mut peeked: Peeked) -> String {
    let mut text = String::new();
    peeked.body.read_to_string(&mut text).unwrap();
    text
}

fn i3_a_new_body_is_what_is_delivered(b: &Bench) {
    let id = b.put("old");
    for body in ["new", "", "a longer one than all before it", "new"] {
        assert!(edit(b, id, body).unwrap());
        assert_eq!(body_of(b.peek(Which::Id(id)).unwrap().remove(0)), body);
    }
    let mut delivery = b.claim().unwrap();
    assert_eq!((text(&mut delivery).as_str(), delivery.message.len_bytes, delivery.message.id), ("new", 3, id));
    assert!(is_done(&b.store.delete(&[delivery.receipt])));
    assert_eq!(b.stat().messages(), 0);
}

fn all_else_of_the_message_stays(b: &Bench) {
    let mut new = NewMessage { ttl: Some(secs(9000)), ..with_priority(7) };
    new.attributes.insert("k", "ü").unwrap();
    new.media_type = Some("json".parse().unwrap());
    new.reply_to = Some(name("answers"));
    let id = b.put_as(&new, "old");
    let receipt = b.claim().unwrap().receipt;
    let failure = Failure { at: START, delivery: 1, reason: "exit 3".to_owned() };
    b.store.note_failure(&receipt, &failure).unwrap();
    assert!(is_done(&b.store.release(&[receipt], Some(secs(100)))));
    let before = b.list("q").remove(0);
    assert_eq!((before.state, before.deliveries, before.failures.len()), (delayed(101), 1, 1));
    assert!(edit(b, id, "a new body").unwrap());
    let mut after = b.list("q").remove(0);
    assert_eq!(after.message.len_bytes, 10);
    after.message.len_bytes = before.message.len_bytes;
    assert_eq!(after, before);
    // The log goes on behind the new body.
    b.advance(200);
    let again = b.claim().unwrap();
    b.store.note_failure(&again.receipt, &Failure { delivery: 2, ..failure }).unwrap();
    assert_eq!(b.list("q").remove(0).failures.len(), 2);
}

fn i8_its_place_in_the_order_stays(b: &Bench) {
    let ids: Vec<MessageId> = ["a", "b", "c"].iter().map(|body| b.put(body)).collect();
    assert!(edit(b, ids[1], "B").unwrap());
    assert!(edit(b, ids[0], "A").unwrap());
    b.put("d");
    assert_eq!(b.drain("q"), ["A", "B", "c", "d"]);
}

fn a_dead_letter_is_edited_and_redriven(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    let new = NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() };
    let unique = Unique { key: "k".parse().unwrap(), window: None };
    let id = b.store.put_unique(&q(), &new, &unique, &mut &b"poison"[..]).unwrap().id();
    assert!(is_done(&b.store.release(&[b.claim().unwrap().receipt], None)));
    assert_eq!(b.states("q.dead"), [(State::Ready, 1)]);
    assert!(edit_in(b, "q.dead", id, "cured").unwrap(), "the dead have neither keys nor turns");
    assert_eq!(b.states("q.dead"), [(State::Ready, 1)]);
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 1);
    let mut again = b.claim().unwrap();
    assert_eq!((text(&mut again).as_str(), again.message.id, again.deliveries), ("cured", id, 1));
}

fn what_the_writer_is_shown_is_what_is_there(b: &Bench) {
    let id = b.put_as(&with_delay(secs(5)), "old");
    let mut seen = None;
    let replaced = b.store.edit(&q(), id, &mut |peeked| {
        seen = Some((peeked.listed.message.id, peeked.listed.state, body_of(peeked)));
        None
    });
    assert!(!replaced.unwrap());
    assert_eq!(seen, Some((id, delayed(6), "old".to_owned())));
}

fn a_body_of_any_size_and_bytes_is_taken(b: &Bench) {
    let id = b.put("old");
    let receipt = b.claim().unwrap().receipt;
    let long_reason = Failure { at: START, delivery: 1, reason: "x".repeat(100_000) };
    b.store.note_failure(&receipt, &long_reason).unwrap();
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| u8::try_from(n % 251 * 7 % 251).unwrap()).collect();
    for len in [700_000, 3, 131_072] {
        let body = bytes[..len].to_vec();
        assert!(b.store.edit(&q(), id, &mut |_| Some(Box::new(std::io::Cursor::new(body.clone())))).unwrap());
        let mut found = Vec::new();
        b.peek(Which::Id(id)).unwrap().remove(0).body.read_to_end(&mut found).unwrap();
        assert!(found == body, "{len} bytes");
    }
}

fn a_message_that_is_to_stay_stays(b: &Bench) {
    let id = b.put("old");
    assert!(!b.store.edit(&q(), id, &mut |_| None).unwrap());
    assert_eq!(b.drain("q"), ["old"]);
}

fn what_is_claimed_is_not_edited(b: &Bench) {
    let (timed, held) = (b.put("timed"), b.put("held"));
    let _claim = b.claim_for(10).unwrap();
    let _hold = b.hold().unwrap();
    for id in [timed, held] {
        assert_refused(&edit(b, id, "new"), Uneditable::Claimed);
    }
    assert_eq!(b.states("q"), [(claimed(11), 1), (State::Held, 1)]);
    b.advance(20);
    assert!(edit(b, timed, "its claim has ended").unwrap());
}

fn what_was_given_back_and_is_held_still_is_not_edited(b: &Bench) {
    let id = b.put("body");
    let first = b.hold().unwrap();
    assert!(is_done(&b.store.release(std::slice::from_ref(&first.receipt), Some(secs(0)))));
    assert_refused(&edit(b, id, "new"), Uneditable::Claimed);
    drop(first);
    assert!(edit(b, id, "new").unwrap());
    assert_eq!(b.drain("q"), ["new"]);
}

fn i1_what_was_claimed_meanwhile_stays_as_it_was(b: &Bench) {
    let id = b.put("old");
    let during = edit_during(b, id, || drop(b.claim_for(5).unwrap()));
    assert_refused(&during, Uneditable::Changed);
    b.advance(10);
    let held = std::cell::RefCell::new(None);
    assert_refused(&edit_during(b, id, || drop(held.replace(b.hold()))), Uneditable::Changed);
    drop(held);
    // Claimed and given back: it is another delivery by now.
    let during = edit_during(b, id, || assert!(is_done(&b.store.release(&[b.claim().unwrap().receipt], None))));
    assert_refused(&during, Uneditable::Changed);
    assert_eq!(b.drain("q"), ["old"]);
    assert_eq!(b.stat().messages(), 1);
}

fn i4_what_was_deleted_meanwhile_does_not_come_back(b: &Bench) {
    let id = b.put("old");
    let during = edit_during(b, id, || assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt]))));
    assert_refused(&during, Uneditable::Changed);
    assert_eq!(b.stat().messages(), 0);
}

fn what_was_moved_or_edited_meanwhile_stays_as_it_is(b: &Bench) {
    b.create("other");
    let id = b.put("old");
    let during = edit_during(b, id, || assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 1));
    assert_refused(&during, Uneditable::Changed);
    assert_eq!(b.store.move_all(&name("other"), &q()).unwrap(), 1);
    assert_refused(&edit_during(b, id, || assert!(edit(b, id, "first").unwrap())), Uneditable::Changed);
    assert_eq!(b.drain("q"), ["first"]);
    assert_eq!(b.stat().messages(), 1);
}

fn what_became_due_meanwhile_is_edited(b: &Bench) {
    let id = b.put_as(&with_delay(secs(5)), "old");
    let replaced = edit_during(b, id, || {
        b.advance(10);
        assert_eq!(b.states("q"), [(State::Ready, 0)]);
    });
    assert!(replaced.unwrap());
    assert_eq!(b.drain("q"), ["new"]);
}

fn a_receipt_that_works_goes_on_to_work(b: &Bench) {
    let id = b.put("old");
    let receipt = b.claim_for(1).unwrap().receipt;
    b.advance(5);
    assert!(edit(b, id, "new").unwrap());
    assert!(is_done(&b.store.delete(&[receipt])), "nobody else has had it since");
    assert_eq!(b.stat().messages(), 0);
}

fn what_is_unique_or_of_a_group_is_not_edited(b: &Bench) {
    let of_group = NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() };
    let (first, second) = (b.put_as(&of_group, "first"), b.put_as(&of_group, "second"));
    assert_refused(&edit(b, first, "new"), Uneditable::Grouped);
    assert_refused(&edit(b, second, "new"), Uneditable::Grouped);
    let unique = Unique { key: "k".parse().unwrap(), window: None };
    let only = b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut &b"only"[..]).unwrap().id();
    assert_refused(&edit(b, only, "new"), Uneditable::Keyed);
    let again = b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut &b"again"[..]).unwrap().id();
    assert_eq!(again, only);
    assert_eq!(b.drain("q"), ["first", "only"]);
}

fn a_key_whose_window_is_over_binds_nothing(b: &Bench) {
    let unique = Unique { key: "k".parse().unwrap(), window: Some(secs(10)) };
    let id = b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut &b"old"[..]).unwrap().id();
    assert_refused(&edit(b, id, "new"), Uneditable::Keyed);
    b.advance(20);
    assert!(edit(b, id, "new").unwrap());
    let second = b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut &b"second"[..]).unwrap().id();
    assert_ne!(second, id);
    assert_eq!(b.drain("q"), ["new", "second"]);
}

fn a_missing_message_is_not_edited(b: &Bench) {
    let id = b.put("old");
    assert!(is_done(&b.store.delete(&[b.claim().unwrap().receipt])));
    assert!(matches!(edit(b, id, "new"), Err(Error::NoSuchMessage { .. })));
    assert!(matches!(edit_in(b, "nowhere", id, "new"), Err(Error::NoSuchQueue { .. })));
}

fn what_is_too_old_is_not_edited(b: &Bench) {
    let id = b.put_as(&NewMessage { ttl: Some(secs(5)), ..NewMessage::default() }, "old");
    assert_refused(&edit_during(b, id, || b.advance(10)), Uneditable::Expired);
    let other = b.put("old");
    assert_refused(
        &edit_during(b, other, || {
            b.set(&["retention=10s"]);
            b.advance(20);
        }),
        Uneditable::Expired,
    );
    assert_eq!(b.drain("q"), [] as [&str; 0]);
    assert!(matches!(edit(b, id, "new"), Err(Error::NoSuchMessage { .. })));
}

fn what_never_has_room_is_not_taken(b: &Bench) {
    let id = b.put(&"x".repeat(3000));
    b.set(&["max-bytes=2KiB"]);
    let refused = edit(b, id, &"y".repeat(3001));
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert!(edit(b, id, &"y".repeat(2900)).unwrap(), "what is less than there was is welcome");
    assert!(edit(b, id, "z").unwrap());
    assert_eq!(b.drain("q"), ["z"]);
}

/// A body that cannot be read.
struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

fn i7_nothing_is_left_over(b: &Bench) {
    let id = b.put("old");
    assert!(edit(b, id, "new").unwrap());
    let during = edit_during(b, id, || assert_eq!(b.store.purge(&q()).unwrap(), 1));
    assert_refused(&during, Uneditable::Changed);
    b.put("x");
    let x = b.list("q")[0].message.id;
    assert!(matches!(b.store.edit(&q(), x, &mut |_| Some(Box::new(Broken))), Err(Error::Body(_))));
    assert_eq!(b.drain("q"), ["x"]);
    if b.is_spool() {
        assert_eq!(b.names_below("tmp"), 0);
    }
}
