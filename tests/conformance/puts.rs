//! Putting one message: what comes out is what went in, in order, and not before its time or after it.

use std::io::{self, Read};

use mq::domain::lifecycle::State;
use mq::domain::{Durability, NewMessage, Unique, UnixMillis, UnixSeconds, Visibility};
use mq::store::{Error, Message, Which};

use super::bench::{
    Bench, START, START_S, delayed, name, over_every_engine, q, secs, text, with_delay, with_priority, with_ttl,
};

over_every_engine! {
    i1_i3_what_is_put_comes_out_byte_for_byte
    a_message_keeps_all_that_its_sender_said
    ids_are_distinct_and_tell_the_time
    i8_one_priority_is_first_in_first_out
    i8_higher_priorities_come_first
    a_delay_ends_on_a_second_rounded_up
    a_delayed_message_returns_to_its_place
    the_queues_delay_is_for_who_does_not_say
    what_outlives_its_ttl_is_never_delivered
    a_ttl_does_not_end_a_claim_but_the_next_one
    what_outlives_the_retention_is_never_delivered
    what_would_be_too_old_before_it_is_deliverable_is_refused
    i9_a_body_that_cannot_be_read_leaves_nothing
    a_put_without_durability_is_a_put
    a_put_ends_a_wait
}

fn i1_i3_what_is_put_comes_out_byte_for_byte(b: &Bench) {
    // Around every border that a buffer could have, and longer than any of them.
    let lengths = [0, 1, 255, 65_535 - 400, 65_535, 65_536, 131_071, 131_072, 131_073, 1024 * 1024];
    for len in lengths {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        let id = b.store.put(&q(), &NewMessage::default(), &mut body.as_slice()).unwrap();
        let mut delivery = b.claim().unwrap();
        assert_eq!((delivery.message.id, delivery.message.len_bytes), (id, len as u64));
        assert_eq!(delivery.body.len_bytes(), len as u64);
        for _ in 0..2 {
            let mut got = Vec::new();
            delivery.body.read_to_end(&mut got).unwrap();
            assert!(got == body, "the body of {len} bytes came out otherwise");
            delivery.body.rewind().unwrap();
        }
        assert!(b.store.delete(&[delivery.receipt]).pop().unwrap().is_ok());
        assert!(b.claim().is_none());
    }
    assert_eq!(b.stat().messages(), 0);
}

fn a_message_keeps_all_that_its_sender_said(b: &Bench) {
    let mut new = NewMessage {
        media_type: Some("text/plain; charset=utf-8".parse().unwrap()),
        reply_to: Some(name("answers")),
        ttl: Some(secs(60)),
        delay: Some(secs(1)),
        group: Some("ann & bob".parse().unwrap()),
        ..with_priority(7)
    };
    new.attributes.insert("source", "cron \"daily\"\n\u{fc}").unwrap();
    let id = b.put_as(&new, "body");
    b.advance(2);
    let message = b.claim().unwrap().message;
    let expected = Message {
        id,
        queue: q(),
        put_at: START,
        priority: new.priority,
        len_bytes: 4,
        media_type: new.media_type,
        attributes: new.attributes,
        reply_to: new.reply_to,
        due: Some(UnixSeconds(START_S + 2)),
        expires_at: Some(START.plus(secs(60))),
        group: new.group,
        unique: None,
        unique_until: None,
    };
    assert_eq!(message, expected);
}

fn ids_are_distinct_and_tell_the_time(b: &Bench) {
    let (first, second) = (b.put("a"), b.put("b"));
    assert_ne!(first, second);
    assert_eq!(first.put_at(), START);
    b.advance(3);
    assert_eq!(b.put("c").put_at(), UnixMillis(START.0 + 3000));
}

fn i8_one_priority_is_first_in_first_out(b: &Bench) {
    let bodies: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
    for body in &bodies {
        b.put(body);
    }
    let got: Vec<String> = (0..20).map(|_| text(&mut b.claim().unwrap())).collect();
    assert_eq!(got, bodies);
    assert!(b.claim().is_none());
}

fn i8_higher_priorities_come_first(b: &Bench) {
    for (priority, body) in [(5, "c"), (0, "e"), (9, "a"), (5, "d"), (9, "b")] {
        b.put_as(&with_priority(priority), body);
    }
    assert_eq!(b.drain("q"), ["a", "b", "c", "d", "e"]);
}

fn a_delay_ends_on_a_second_rounded_up(b: &Bench) {
    b.put_as(&with_delay(secs(10)), "later");
    assert_eq!(b.states("q"), [(delayed(11), 0)]);
    assert!(b.claim().is_none());
    b.clock.set(UnixMillis(UnixSeconds(START_S + 11).start().0 - 1));
    assert!(b.claim().is_none());
    b.clock.set(UnixSeconds(START_S + 11).start());
    assert_eq!(text(&mut b.claim().unwrap()), "later");
}

fn a_delayed_message_returns_to_its_place(b: &Bench) {
    b.put_as(&with_delay(secs(1)), "first");
    b.put("second");
    b.advance(2);
    assert_eq!(b.drain("q"), ["first", "second"]);
}

fn the_queues_delay_is_for_who_does_not_say(b: &Bench) {
    b.set(&["delay=5s"]);
    b.put("waits");
    b.put_as(&with_delay(secs(0)), "does not wait");
    b.put_as(&with_delay(secs(1)), "waits less");
    assert_eq!(b.states("q"), [(State::Ready, 0), (delayed(2), 0), (delayed(6), 0)]);
    assert_eq!(b.drain("q"), ["does not wait"]);
}

fn what_outlives_its_ttl_is_never_delivered(b: &Bench) {
    b.put_as(&with_ttl(secs(10)), "short");
    b.put("long");
    b.clock.set(UnixMillis(START.0 + 9_999));
    assert_eq!(b.peek(Which::Next(9)).unwrap().len(), 2);
    b.clock.set(UnixMillis(START.0 + 10_000));
    assert_eq!(b.peek(Which::Next(9)).unwrap().len(), 1);
    assert_eq!(b.drain("q"), ["long"]);
    assert_eq!(b.stat().messages(), 1, "what is too old is gone");
}

fn a_ttl_does_not_end_a_claim_but_the_next_one(b: &Bench) {
    b.put_as(&with_ttl(secs(10)), "body");
    let delivery = b.claim_for(60).unwrap();
    b.advance(11);
    assert_eq!(b.stat().claimed, 1);
    assert!(b.store.release(&[delivery.receipt], Some(secs(0))).pop().unwrap().is_ok());
    assert!(b.claim_from("q", Visibility::Held, 1).is_empty());
    assert_eq!(b.stat().messages(), 0);
}

fn what_outlives_the_retention_is_never_delivered(b: &Bench) {
    b.put("old");
    b.advance(5);
    b.put("young");
    b.set(&["retention=10s"]);
    b.clock.set(UnixMillis(START.0 + 10_000));
    assert_eq!(b.drain("q"), ["young"]);
    assert_eq!(b.stat().messages(), 1);
}

fn what_would_be_too_old_before_it_is_deliverable_is_refused(b: &Bench) {
    b.set(&["retention=10s"]);
    let (late, early) = (with_delay(secs(10)), with_delay(secs(9)));
    let refused = b.store.put(&q(), &late, &mut &b"late"[..]);
    let Err(error @ Error::DelayTooLong { .. }) = refused else { panic!("it was put: {refused:?}") };
    assert!(error.to_string().contains("cannot be delayed for 10s in 'q': its retention keeps a message for 10s"));
    let unique = Unique { key: "k".parse().unwrap(), window: None };
    let refused = b.store.put_unique(&q(), &late, &unique, &mut &b"late"[..]);
    assert!(matches!(refused, Err(Error::DelayTooLong { .. })));
    let grouped = NewMessage { group: Some("g".parse().unwrap()), ..late.clone() };
    assert!(matches!(b.store.put(&q(), &grouped, &mut &b"late"[..]), Err(Error::DelayTooLong { .. })));
    let batch = [&early, &early, &late, &early].map(|new| (new.clone(), b"x".to_vec()));
    let outcome = b.store.put_batch(&q(), &batch);
    assert_eq!(outcome.ids.len(), 2, "what is before it is put");
    assert!(matches!(outcome.error, Some(Error::DelayTooLong { .. })));
    assert!(matches!(b.store.put_batch(&q(), &batch[2..]).error, Some(Error::DelayTooLong { .. })));
    assert_eq!(b.stat().messages(), 2);
    // The same holds for who gives one back.
    b.put("now");
    let receipt = b.claim().unwrap().receipt;
    let release = |delay| b.store.release(std::slice::from_ref(&receipt), Some(delay)).pop().unwrap();
    assert!(matches!(release(secs(10)), Err(Error::DelayTooLong { .. })));
    assert_eq!(b.stat().claimed, 1);
    assert!(release(secs(9)).is_ok());
    if b.is_spool() {
        assert_eq!(b.names_below("tmp"), 0);
    }
}

/// Gives some bytes, then fails.
struct Broken {
    left: usize,
}

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.left);
        self.left -= len;
        if len == 0 { Err(io::Error::other("the sender fell over")) } else { Ok(len) }
    }
}

fn i9_a_body_that_cannot_be_read_leaves_nothing(b: &Bench) {
    for left in [0, 1, 131_072, 500_000] {
        let failed = b.store.put(&q(), &NewMessage::default(), &mut Broken { left });
        assert!(matches!(failed, Err(Error::Body(_))), "after {left} bytes: {failed:?}");
        assert!(b.claim().is_none());
        let stat = b.stat();
        assert_eq!((stat.messages(), stat.temporaries, stat.strays), (0, 0, 0));
        if b.is_spool() {
            assert_eq!(b.names_below("tmp"), 0);
        }
    }
}

fn a_put_without_durability_is_a_put(b: &Bench) {
    b.put_as(&NewMessage { durability: Some(Durability::None), ..NewMessage::default() }, "a");
    b.set(&["durability=none"]);
    b.put("b");
    b.put_as(&NewMessage { durability: Some(Durability::Full), ..NewMessage::default() }, "c");
    assert_eq!(b.drain("q"), ["a", "b", "c"]);
}

fn a_put_ends_a_wait(b: &Bench) {
    let mut watch = b.store.watch(&q()).unwrap();
    b.put("news");
    let begun = std::time::Instant::now();
    watch.wait(secs(60)).unwrap();
    // Without a ring it would sleep for its longest, which is a second.
    assert!(begun.elapsed() < std::time::Duration::from_millis(900));
    watch.wait(std::time::Duration::from_millis(1)).unwrap();
}
