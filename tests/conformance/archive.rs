//! The archive: what is deleted is kept for a while where the policy says so, is no message of the queue any more, and can be
//! put again.

#![allow(clippy::disallowed_methods)] // The tests' own files.

use std::ops::ControlFlow;
use std::time::Duration;

use mq::domain::{Attributes, Clock as _, MessageId, NewMessage, Policy, Unique, UnixMillis, Visibility};
use mq::store::spool::Order;
use mq::store::{Archived, ClaimRequest, Error, Filter, UniquePut, Which};

use super::bench::{
    Bench, START, is_done, is_stale, name, over_every_engine, q, secs, text, with_delay, with_priority, with_ttl,
};

over_every_engine! {
    without_a_policy_nothing_is_kept
    what_is_deleted_is_kept_in_the_order_of_its_puts
    i4_what_is_archived_is_no_message_of_the_queue
    purge_and_expiry_keep_nothing_and_leave_the_archive_alone
    an_archive_holds_up_no_drop
    an_archived_message_has_no_key_and_no_turn
    what_is_kept_goes_when_its_time_is_over
    a_clock_that_steps_forward_ends_the_time_and_one_that_steps_back_prolongs_it
    the_policy_of_the_day_says_what_is_old
    what_is_replayed_is_a_new_message
    i8_a_replay_keeps_the_order_and_that_of_groups
    a_replay_can_be_done_again_and_broken_off
    a_replay_is_of_what_is_meant
    what_is_replayed_lives_as_long_as_it_did
    a_window_goes_on_when_its_message_is_archived
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn archived_as(b: &Bench, which: &Filter) -> Vec<Archived> {
    let mut all = Vec::new();
    let each = &mut |archived| {
        all.push(archived);
        ControlFlow::Continue(())
    };
    b.store.list_archived(&q(), which, each).unwrap();
    all
}

fn archived(b: &Bench) -> Vec<MessageId> {
    let ids: Vec<_> = archived_as(b, &Filter::default()).into_iter().map(|archived| archived.message.id).collect();
    assert_eq!(b.stat().archived, ids.len() as u64);
    ids
}

fn replay(b: &Bench) -> u64 {
    b.store.replay(&q(), &Filter::default(), &mut go_on).unwrap()
}

/// Claims the next message and deletes it.
fn finish(b: &Bench) -> MessageId {
    let delivery = b.claim().expect("a message");
    assert!(is_done(&b.store.delete(&[delivery.receipt])));
    delivery.message.id
}

fn without_a_policy_nothing_is_kept(b: &Bench) {
    b.put("a");
    finish(b);
    assert_eq!(archived(b), []);
    assert_eq!(replay(b), 0);
    assert_eq!(b.stat().messages(), 0);
}

fn what_is_deleted_is_kept_in_the_order_of_its_puts(b: &Bench) {
    b.set(&["archive=1h"]);
    let ids = [b.put("a"), b.put_as(&with_priority(9), "b"), b.put("c")];
    // The second one first, by its priority; the first by a held claim; the last minutes later.
    assert_eq!(finish(b), ids[1]);
    let held = b.hold().unwrap();
    assert!(is_done(&b.store.delete(&[held.receipt])));
    b.advance(1800);
    assert_eq!(finish(b), ids[2]);
    assert_eq!(archived(b), ids);
    let all = archived_as(b, &Filter::default());
    assert_eq!(all.iter().map(|archived| archived.deliveries).collect::<Vec<_>>(), [1, 1, 1]);
    assert!(all.iter().all(|archived| archived.unread.is_none() && archived.message.put_at == START));
    // An hour from now at least, and a hundredth of it longer at most.
    let longest = |at: UnixMillis| at.plus(secs(3600 + 36));
    assert!(all[2].kept_until.start() >= b.clock.now().plus(secs(3600)));
    assert!(all[2].kept_until.start() <= longest(b.clock.now()) && all[0].kept_until.start() <= longest(START));
}

fn i4_what_is_archived_is_no_message_of_the_queue(b: &Bench) {
    b.set(&["archive=1h"]);
    let id = b.put("a");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(std::slice::from_ref(&receipt))));
    for _ in 0..2 {
        assert!(is_stale(&b.store.delete(std::slice::from_ref(&receipt))));
        assert!(is_stale(&b.store.release(std::slice::from_ref(&receipt), Some(secs(0)))));
        assert!(is_stale(&b.store.extend(std::slice::from_ref(&receipt), secs(9))));
        assert!(matches!(b.peek(Which::Id(id)), Err(Error::NoSuchMessage { .. })));
        assert_eq!(b.peek(Which::All).unwrap().len(), 0);
        assert_eq!(b.list("q").len(), 0);
        let stat = b.stat();
        assert_eq!((stat.messages(), stat.archived, stat.strays, stat.corrupt, stat.bytes), (0, 1, 0, 0, 0));
        assert!(b.claim().is_none());
        b.create(if b.clock.now() == START { "r" } else { "s" });
        assert_eq!(b.store.move_all(&q(), &name("r")).unwrap(), 0);
        // Long after the claim has ended.
        b.advance(600);
    }
    assert_eq!(archived(b), [id]);
}

fn purge_and_expiry_keep_nothing_and_leave_the_archive_alone(b: &Bench) {
    b.set(&["archive=1h"]);
    let kept = b.put("kept");
    finish(b);
    b.put("purged");
    b.put_as(&with_ttl(secs(5)), "too old");
    b.advance(6);
    assert_eq!(b.claim_for(60).map(|mut delivery| text(&mut delivery)).as_deref(), Some("purged"));
    assert!(b.claim().is_none());
    assert_eq!(b.store.purge(&q()).unwrap(), 1);
    assert_eq!(archived(b), [kept]);
}

fn an_archive_holds_up_no_drop(b: &Bench) {
    b.set(&["archive=1h"]);
    b.put("a");
    finish(b);
    assert_eq!(b.store.drop_queue(&q(), false).unwrap(), 0);
    b.create("q");
    assert_eq!(archived(b), []);
}

fn an_archived_message_has_no_key_and_no_turn(b: &Bench) {
    b.set(&["archive=1h"]);
    let unique = Unique { key: "k".parse().unwrap(), window: None };
    let new = NewMessage { group: Some("g".parse().unwrap()), ..NewMessage::default() };
    let put = |body: &str| b.store.put_unique(&q(), &new, &unique, &mut body.as_bytes()).unwrap();
    let first = put("first");
    assert_eq!(put("in vain"), UniquePut::Present(first.id()));
    b.put_as(&new, "second");
    assert_eq!(finish(b), first.id());
    assert!(matches!(put("third"), UniquePut::New(_)));
    let mut order = Vec::new();
    while let Some(mut delivery) = b.claim() {
        order.push(text(&mut delivery));
        assert!(is_done(&b.store.delete(&[delivery.receipt])));
    }
    assert_eq!(order, ["second", "third"]);
    assert_eq!(archived(b).len(), 3);
    // Nothing is left over of them, and a replay has no key.
    assert_eq!(replay(b), 3);
    assert!(matches!(put("fourth"), UniquePut::New(_)));
    if b.is_spool() {
        assert_eq!(b.paths_below("unique").iter().filter(|path| path.is_file()).count(), 1);
    }
}

fn what_is_kept_goes_when_its_time_is_over(b: &Bench) {
    b.set(&["archive=100s"]);
    let early = b.put("early");
    finish(b);
    b.advance(50);
    let late = b.put("late");
    finish(b);
    b.advance(49);
    assert_eq!(archived(b), [early, late]);
    b.advance(3);
    assert_eq!(archived(b), [late]);
    b.advance(50);
    assert_eq!(archived(b), []);
    assert_eq!(replay(b), 0);
    if b.is_spool() {
        assert_eq!(b.names_below("archive"), 0);
    }
}

fn a_clock_that_steps_forward_ends_the_time_and_one_that_steps_back_prolongs_it(b: &Bench) {
    b.set(&["archive=100s"]);
    let id = b.put("a");
    finish(b);
    // It was ahead and is set right: what was deleted before is kept for as much longer.
    b.clock.set(UnixMillis(START.0 - 500_000));
    assert_eq!(archived(b), [id]);
    b.advance(550);
    assert_eq!(archived(b), [id]);
    // It was behind and is set right: the time is over as much sooner.
    b.clock.set(START.plus(secs(3600)));
    assert_eq!(archived(b), []);
}

fn the_policy_of_the_day_says_what_is_old(b: &Bench) {
    b.set(&["archive=1h"]);
    let id = b.put("a");
    finish(b);
    b.advance(5000);
    b.set(&["archive=2h"]);
    assert_eq!(archived(b), [id]);
    b.set(&["archive=1h"]);
    assert_eq!(archived(b), []);
    b.put("b");
    finish(b);
    assert_eq!(archived(b).len(), 1);
    // Without an archive all of it is old.
    b.set(&["archive=none"]);
    assert_eq!(archived(b), []);
    if b.is_spool() {
        assert_eq!(b.names_below("archive"), 0);
    }
}

fn what_is_replayed_is_a_new_message(b: &Bench) {
    b.set(&["archive=1h"]);
    let mut attributes = Attributes::default();
    attributes.insert("colour", "red").unwrap();
    let new = NewMessage {
        attributes,
        media_type: Some("text/plain".parse().unwrap()),
        reply_to: Some(name("answers")),
        group: Some("g".parse().unwrap()),
        delay: Some(secs(2)),
        ..with_priority(7)
    };
    let id = b.put_as(&new, "body");
    b.advance(3);
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    finish(b);
    b.advance(60);
    assert_eq!(replay(b), 1);
    let mut again = b.claim().unwrap();
    assert_eq!(text(&mut again), "body");
    assert_ne!(again.message.id, id);
    assert_eq!((again.deliveries, again.message.put_at), (1, START.plus(secs(63))));
    let message = &again.message;
    assert_eq!(message.priority, new.priority);
    assert_eq!(message.attributes, new.attributes);
    assert_eq!(message.media_type, new.media_type);
    assert_eq!(message.reply_to, new.reply_to);
    assert_eq!(message.group, new.group);
    assert_eq!((message.due, message.expires_at, message.unique.clone()), (None, None, None));
    // The archived one is what it was.
    assert_eq!(archived(b), [id]);
}

fn i8_a_replay_keeps_the_order_and_that_of_groups(b: &Bench) {
    b.set(&["archive=1h"]);
    let of = |group: &str| NewMessage { group: Some(group.parse().unwrap()), ..NewMessage::default() };
    for (body, new) in [("g1", of("g")), ("plain", NewMessage::default()), ("g2", of("g")), ("h1", of("h"))] {
        b.put_as(&new, body);
    }
    // Deleted in another order than put.
    let mut claims = Vec::new();
    loop {
        let more = b.claim_from("q", Visibility::Timed(None), 10);
        if more.is_empty() {
            break;
        }
        for delivery in more.into_iter().rev() {
            assert!(is_done(&b.store.delete(std::slice::from_ref(&delivery.receipt))));
            claims.push(delivery);
        }
        b.advance(40);
    }
    assert_eq!(claims.len(), 4);
    assert_eq!(replay(b), 4);
    let mut order = Vec::new();
    while let Some(mut delivery) = b.claim() {
        order.push(text(&mut delivery));
        assert!(is_done(&b.store.delete(&[delivery.receipt])));
    }
    // The second of the group has its turn behind those that had theirs.
    let place = |body: &str| order.iter().position(|it| it == body).unwrap();
    assert!(place("g1") < place("g2") && place("g1") < place("plain") && place("plain") < place("h1"), "{order:?}");
}

fn a_replay_can_be_done_again_and_broken_off(b: &Bench) {
    b.set(&["archive=1h"]);
    for body in ["a", "b", "c"] {
        b.put(body);
    }
    for _ in 0..3 {
        finish(b);
    }
    let mut left = 2;
    let broken_off = b.store.replay(&q(), &Filter::default(), &mut || {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(broken_off.unwrap(), 2);
    assert_eq!(replay(b), 3);
    assert_eq!(b.drain("q"), ["a", "b", "a", "b", "c"]);
    assert_eq!(archived(b).len(), 3);
}

fn a_replay_is_of_what_is_meant(b: &Bench) {
    b.set(&["archive=1d"]);
    let mut red = NewMessage::default();
    red.attributes.insert("colour", "red").unwrap();
    let (first, second) = (b.put("first"), b.put_as(&red, "second"));
    b.advance(100);
    b.put("third");
    for _ in 0..3 {
        finish(b);
    }
    let by = |filter: Filter| {
        let shown = archived_as(b, &filter).len() as u64;
        let replayed = b.store.replay(&q(), &filter, &mut go_on).unwrap();
        assert_eq!(shown, replayed, "{filter:?}");
        b.drain("q")
    };
    let all = Filter::default();
    assert_eq!(by(Filter { ids: vec![second, first], ..all.clone() }), ["first", "second"]);
    assert_eq!(by(Filter { attributes: vec!["colour=red".parse().unwrap()], ..all.clone() }), ["second"]);
    assert_eq!(by(Filter { newer: Some(secs(50)), ..all.clone() }), ["third"]);
    assert_eq!(by(Filter { older: Some(secs(50)), ..all.clone() }), ["first", "second"]);
    assert_eq!(by(Filter { deliveries: Some(2), ..all.clone() }), Vec::<String>::new());
    // What is archived is in no state.
    assert_eq!(by(Filter { states: vec![mq::store::StateName::Ready], ..all }), Vec::<String>::new());
}

fn what_is_replayed_lives_as_long_as_it_did(b: &Bench) {
    b.set(&["archive=1h", "delay=5s"]);
    b.put_as(&NewMessage { delay: Some(Duration::ZERO), ..with_ttl(secs(20)) }, "short");
    b.put_as(&with_delay(Duration::ZERO), "long");
    for _ in 0..2 {
        finish(b);
    }
    b.advance(600);
    assert_eq!(replay(b), 2);
    // The queue's delay is for every put whose sender does not say.
    assert!(b.claim().is_none());
    b.advance(6);
    let expires: Vec<_> =
        b.claim_from("q", Visibility::Timed(None), 9).iter().map(|delivery| delivery.message.expires_at).collect();
    assert_eq!(expires, [Some(START.plus(secs(620))), None]);
}

fn a_window_goes_on_when_its_message_is_archived(b: &Bench) {
    b.set(&["archive=1h"]);
    let unique = Unique { key: "k".parse().unwrap(), window: Some(secs(30)) };
    let put = || b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut "body".as_bytes()).unwrap();
    let first = put();
    finish(b);
    assert_eq!(put(), UniquePut::Present(first.id()));
    b.advance(31);
    assert!(matches!(put(), UniquePut::New(_)));
    assert_eq!(archived(b), [first.id()]);
}

/// Both orders of the spool.
fn on_spools(test: impl Fn(&Bench)) {
    for order in [Order::RollForward, Order::Classical] {
        test(&Bench::spool(order));
    }
}

/// The files in the archive, sorted.
fn files(b: &Bench) -> Vec<std::path::PathBuf> {
    let mut files = b.paths_below("archive");
    files.retain(|path| path.is_file());
    files.sort();
    files
}

#[test]
fn a_damaged_one_keeps_none_of_the_others() {
    on_spools(|b| {
        b.set(&["archive=1h"]);
        for body in ["a", "broken", "c"] {
            b.put(body);
        }
        for _ in 0..3 {
            finish(b);
        }
        let broken = files(b).remove(1);
        let mut bytes = std::fs::read(&broken).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&broken, bytes).unwrap();
        let mut replayed = 0;
        let replay = b.store.replay(&q(), &Filter::default(), &mut || {
            replayed += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(replay, Err(Error::Io { action: "read", path, .. }) if path == broken));
        assert_eq!(replayed, 2);
        assert_eq!(b.drain("q"), ["a", "c"]);
    });
}

#[test]
fn a_replay_does_not_meet_what_it_puts() {
    on_spools(|b| {
        b.set(&["archive=1h"]);
        for n in 0..5 {
            b.put(&n.to_string());
            finish(b);
        }
        let other = b.opened_again();
        let request = ClaimRequest { visibility: Visibility::Timed(None), most: 9 };
        let replayed = b.store.replay(&q(), &Filter::default(), &mut || {
            // A receiver who is fast.
            for delivery in other.claim(&q(), &request).unwrap().deliveries {
                assert!(is_done(&other.delete(&[delivery.receipt])));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(replayed.unwrap(), 5);
        assert_eq!(archived(b).len(), 10);
    });
}

#[test]
fn a_sweep_removes_a_part_of_much_and_the_next_one_goes_on() {
    on_spools(|b| {
        b.set(&["archive=100s"]);
        let batch: Vec<_> = (0..200).map(|n: u32| (NewMessage::default(), n.to_string().into_bytes())).collect();
        assert_eq!(b.store.put_batch(&q(), &batch).ids.len(), 200);
        let receipts: Vec<_> =
            b.claim_from("q", Visibility::Timed(None), 200).into_iter().map(|delivery| delivery.receipt).collect();
        b.store.delete(&receipts[..100]).into_iter().for_each(|deleted| deleted.unwrap());
        b.advance(20);
        b.store.delete(&receipts[100..]).into_iter().for_each(|deleted| deleted.unwrap());
        b.advance(600);
        let mut left = files(b).len();
        assert_eq!(left, 200);
        let oldest = files(b)[0].parent().unwrap().to_owned();
        // A putter has come for something else.
        while left > 0 {
            b.put("passes by");
            let now = files(b).len();
            assert!(now < left && left - now <= 64, "{left} to {now}");
            assert!(now <= 100 || oldest.is_dir(), "another one than the oldest was taken");
            left = now;
        }
        assert_eq!(b.names_below("archive"), 0);
        assert_eq!(b.stat().archived, 0);
    });
}

#[test]
fn a_delete_that_somebody_died_over_is_none() {
    // In the classical order a mover that dies half way leaves both names.
    let b = Bench::spool(Order::Classical);
    b.set(&["archive=1h"]);
    b.put("a");
    let receipt = b.claim_for(1).unwrap().receipt;
    let claimed = b.paths_below("claimed").into_iter().find(|path| path.is_file()).unwrap();
    let dir = b.path_of("archive").join((START.0 / 1000 + 36).to_string());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::hard_link(&claimed, dir.join(claimed.file_name().unwrap())).unwrap();
    // It is not put again, since it will be delivered again.
    assert_eq!(replay(&b), 0);
    b.advance(2);
    let again = b.claim().unwrap();
    assert_eq!(again.deliveries, 2);
    assert_eq!(files(&b).len(), 0, "the second name stays");
    assert!(is_stale(&b.store.delete(&[receipt])));
    assert!(is_done(&b.store.delete(&[again.receipt])));
    assert_eq!(files(&b).len(), 1);
}

#[test]
fn what_cannot_be_archived_is_deleted_all_the_same() {
    on_spools(|b| {
        b.set(&["archive=1h"]);
        // Something else stands in its place.
        std::fs::write(b.path_of("archive"), "").unwrap();
        let unique = Unique { key: "k".parse().unwrap(), window: None };
        let put = || b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut "body".as_bytes()).unwrap();
        for _ in 0..2 {
            assert!(matches!(put(), UniquePut::New(_)));
            finish(b);
        }
        assert_eq!(b.stat().messages(), 0);
        assert!(b.paths_below("unique").iter().all(|path| path.is_dir()));
    });
}

#[test]
fn who_died_over_an_archived_message_has_left_its_key_free() {
    on_spools(|b| {
        b.set(&["archive=1h"]);
        let unique = Unique { key: "k".parse().unwrap(), window: None };
        let put = || b.store.put_unique(&q(), &NewMessage::default(), &unique, &mut "body".as_bytes()).unwrap();
        put();
        let entry = b.paths_below("unique").into_iter().find(|path| path.is_file()).unwrap();
        let marked = entry.with_file_name(format!("{}.leaving", entry.file_name().unwrap().to_str().unwrap()));
        // As it is between the mark and the move: in force.
        std::fs::rename(&entry, &marked).unwrap();
        assert!(matches!(put(), UniquePut::Present(_)));
        // As it is between the move and the end.
        finish(b);
        let archived = files(b).remove(0);
        std::fs::hard_link(&archived, &marked).unwrap();
        assert!(matches!(put(), UniquePut::New(_)));
        assert!(!marked.exists());
    });
}

#[test]
fn a_policy_of_its_own_is_kept() {
    let b = Bench::memory();
    let policy = Policy { archive: Some(secs(5)), ..Policy::default() };
    b.store.create_queue(&name("other"), &policy, None).unwrap();
    assert_eq!(b.store.policy(&name("other")).unwrap(), policy);
}
