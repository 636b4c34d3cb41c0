//! Groups: one message at a time, in the order of the puts, and none in the way of another group.

use mq::domain::lifecycle::State;
use mq::domain::{Group, MessageId, NewMessage, Unique, UnixMillis};
use mq::store::{Filter, StateName, UniquePut, Which};

use super::bench::{
    Bench, START_S, delayed, is_done, name, over_every_engine, q, secs, text, with_delay, with_priority,
};

over_every_engine! {
    i2_of_a_group_one_message_at_a_time_is_claimed
    i8_a_group_is_delivered_in_the_order_of_its_puts
    i8_priorities_order_groups_and_not_what_is_in_them
    a_group_is_in_nobodys_way
    a_failed_message_keeps_its_turn
    a_message_that_rests_holds_up_its_group
    a_dead_message_gives_up_its_turn
    what_is_too_old_gives_up_its_turn
    what_is_too_old_in_the_line_is_passed_over
    a_delay_begins_with_the_put
    a_purge_of_some_leaves_the_others_their_order
    a_purge_takes_those_that_wait
    moved_messages_keep_their_order_in_their_groups
    moved_messages_join_the_groups_that_are_there
    dead_letters_wait_for_nobody_and_go_back_to_the_end
    a_batch_keeps_the_order_of_its_groups
    a_looker_sees_who_waits
    a_key_and_a_group_go_together
    i9_nothing_is_left_of_a_group_that_is_done
}

fn of(group: &str) -> NewMessage {
    NewMessage { group: Some(group.parse().unwrap()), ..NewMessage::default() }
}

fn waiting(group: &str) -> State {
    State::Waiting { group: group.parse::<Group>().unwrap().hash() }
}

fn put(b: &Bench, group: &str, body: &str) -> MessageId {
    b.put_as(&of(group), body)
}

/// Claims one, which has to be `body`, and deletes it.
fn take(b: &Bench, body: &str) {
    let mut delivery = b.claim().unwrap_or_else(|| panic!("{body} is not deliverable"));
    assert_eq!(text(&mut delivery), body);
    assert!(is_done(&b.store.delete(&[delivery.receipt])));
}

fn i2_of_a_group_one_message_at_a_time_is_claimed(b: &Bench) {
    put(b, "g", "1");
    put(b, "g", "2");
    let held = b.hold().unwrap();
    assert!(b.claim().is_none());
    assert_eq!(b.drain("q"), [""; 0]);
    assert_eq!(b.states("q"), [(State::Held, 1), (waiting("g"), 0)]);
    assert!(is_done(&b.store.delete(&[held.receipt])));
    take(b, "2");
    assert_eq!(b.states("q"), []);
}

fn i8_a_group_is_delivered_in_the_order_of_its_puts(b: &Bench) {
    let bodies: Vec<String> = (0..700).map(|number| format!("message {number}")).collect();
    for body in &bodies {
        put(b, "g", body);
    }
    for body in &bodies {
        take(b, body);
    }
    assert!(b.claim().is_none());
}

fn i8_priorities_order_groups_and_not_what_is_in_them(b: &Bench) {
    put(b, "g", "1");
    b.put_as(&NewMessage { group: of("g").group, ..with_priority(9) }, "2");
    b.put_as(&NewMessage { group: of("h").group, ..with_priority(7) }, "other");
    assert_eq!(b.drain("q"), ["other", "1"]);
    for delivery in [b.claim(), b.hold()] {
        assert!(delivery.is_none());
    }
    b.advance(40);
    take(b, "other");
    take(b, "1");
    take(b, "2");
}

fn a_group_is_in_nobodys_way(b: &Bench) {
    for body in ["a1", "a2", "a3"] {
        put(b, "a", body);
    }
    b.put("free");
    put(b, "b", "b1");
    put(b, "b", "b2");
    assert_eq!(b.drain("q"), ["a1", "free", "b1"]);
}

fn a_failed_message_keeps_its_turn(b: &Bench) {
    put(b, "g", "1");
    put(b, "g", "2");
    let delivery = b.claim().unwrap();
    assert!(is_done(&b.store.release(&[delivery.receipt], Some(secs(0)))));
    assert_eq!(text(&mut b.claim_for(1).unwrap()), "1");
    // Its claim ends.
    b.advance(2);
    take(b, "1");
    take(b, "2");
}

fn a_message_that_rests_holds_up_its_group(b: &Bench) {
    put(b, "g", "1");
    put(b, "g", "2");
    let delivery = b.claim().unwrap();
    assert!(is_done(&b.store.release(&[delivery.receipt], Some(secs(60)))));
    assert!(b.claim().is_none());
    b.advance(61);
    take(b, "1");
    take(b, "2");
}

fn a_dead_message_gives_up_its_turn(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    for body in ["1", "2", "3", "4"] {
        put(b, "g", body);
    }
    // By a release, by the end of a claim, and by a limit that was lowered.
    let delivery = b.claim().unwrap();
    assert!(is_done(&b.store.release(&[delivery.receipt], Some(secs(0)))));
    assert_eq!(text(&mut b.claim_for(1).unwrap()), "2");
    b.advance(2);
    assert_eq!(b.states("q"), [(State::Ready, 0), (waiting("g"), 0)]);
    b.set(&["max-deliveries=5"]);
    let delivery = b.claim().unwrap();
    assert!(is_done(&b.store.release(&[delivery.receipt], Some(secs(0)))));
    b.set(&["max-deliveries=1"]);
    take(b, "4");
    assert_eq!(b.drain("q.dead"), ["1", "2", "3"]);
}

fn what_is_too_old_gives_up_its_turn(b: &Bench) {
    b.put_as(&NewMessage { ttl: Some(secs(5)), ..of("g") }, "1");
    put(b, "g", "2");
    b.advance(6);
    take(b, "2");
    assert_eq!(b.states("q"), []);
}

fn what_is_too_old_in_the_line_is_passed_over(b: &Bench) {
    put(b, "g", "1");
    for body in ["2", "3", "4"] {
        b.put_as(&NewMessage { ttl: Some(secs(5)), ..of("g") }, body);
    }
    put(b, "g", "5");
    b.advance(6);
    take(b, "1");
    take(b, "5");
    assert_eq!(b.states("q"), []);
}

fn a_delay_begins_with_the_put(b: &Bench) {
    put(b, "g", "1");
    b.put_as(&NewMessage { group: of("g").group, ..with_delay(secs(60)) }, "2");
    b.put_as(&NewMessage { group: of("g").group, ..with_delay(secs(30)) }, "3");
    put(b, "g", "4");
    take(b, "1");
    assert!(b.claim().is_none());
    assert_eq!(b.states("q")[0], (delayed(61), 0));
    b.advance(61);
    take(b, "2");
    // Its own has passed meanwhile.
    take(b, "3");
    take(b, "4");
}

fn a_purge_of_some_leaves_the_others_their_order(b: &Bench) {
    let ids: Vec<MessageId> = ["1", "2", "3", "4", "5"].iter().map(|body| put(b, "g", body)).collect();
    let some = Filter { ids: vec![ids[0], ids[2]], ..Filter::default() };
    assert_eq!(b.store.purge_some(&q(), &some, &mut || std::ops::ControlFlow::Continue(())).unwrap(), 2);
    for body in ["2", "4", "5"] {
        take(b, body);
    }
}

fn a_purge_takes_those_that_wait(b: &Bench) {
    for body in ["1", "2", "3"] {
        put(b, "g", body);
    }
    put(b, "h", "4");
    assert_eq!(b.store.purge(&q()).unwrap(), 4);
    assert_eq!(b.states("q"), []);
    put(b, "g", "5");
    take(b, "5");
}

fn moved_messages_keep_their_order_in_their_groups(b: &Bench) {
    b.create("other");
    for body in ["g1", "g2", "g3"] {
        put(b, "g", body);
    }
    b.put("free");
    let claimed = b.claim().unwrap();
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 3);
    assert_eq!(b.drain("other"), ["free", "g2"]);
    // What was behind it is gone, and what comes now is behind it.
    put(b, "g", "g4");
    assert!(b.claim().is_none());
    assert!(is_done(&b.store.delete(&[claimed.receipt])));
    take(b, "g4");
}

fn moved_messages_join_the_groups_that_are_there(b: &Bench) {
    b.create("other");
    let there = |body: &str| b.store.put(&name("other"), &of("g"), &mut body.as_bytes()).unwrap();
    there("1");
    put(b, "g", "2");
    put(b, "g", "3");
    assert_eq!(b.store.move_all(&q(), &name("other")).unwrap(), 2);
    there("4");
    for body in ["1", "2", "3", "4"] {
        let mut delivery = b.claim_from("other", mq::domain::Visibility::Timed(None), 9);
        assert_eq!(delivery.len(), 1, "one at a time");
        assert_eq!(text(&mut delivery[0]), body);
        assert!(is_done(&b.store.delete(&[delivery.remove(0).receipt])));
    }
}

fn dead_letters_wait_for_nobody_and_go_back_to_the_end(b: &Bench) {
    b.set(&["max-deliveries=1"]);
    for body in ["1", "2", "3"] {
        put(b, "g", body);
    }
    for _ in 0..2 {
        let delivery = b.claim().unwrap();
        assert!(is_done(&b.store.release(&[delivery.receipt], Some(secs(0)))));
    }
    assert_eq!(b.states("q.dead"), [(State::Ready, 1), (State::Ready, 1)]);
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 2);
    for body in ["3", "1", "2"] {
        take(b, body);
    }
}

fn a_batch_keeps_the_order_of_its_groups(b: &Bench) {
    let line = |group: Option<&str>, body: &str| {
        let new = group.map_or_else(NewMessage::default, of);
        (new, body.as_bytes().to_vec())
    };
    let batch = [line(Some("g"), "g1"), line(None, "a"), line(Some("h"), "h1"), line(Some("g"), "g2"), line(None, "b")];
    let outcome = b.store.put_batch(&q(), &batch);
    assert!(outcome.error.is_none());
    assert_eq!(outcome.ids.len(), 5);
    put(b, "g", "g3");
    let mut claimed = b.drain("q");
    claimed.sort();
    assert_eq!(claimed, ["a", "b", "g1", "h1"]);
    assert_eq!(
        b.store
            .purge_some(&q(), &Filter { states: vec![StateName::Claimed], ..Filter::default() }, &mut || {
                std::ops::ControlFlow::Continue(())
            })
            .unwrap(),
        4
    );
    take(b, "g2");
    take(b, "g3");
}

fn a_looker_sees_who_waits(b: &Bench) {
    let ids: Vec<MessageId> = ["1", "2"].iter().map(|body| put(b, "g", body)).collect();
    b.put_as(&NewMessage { group: of("h").group, ..with_delay(secs(30)) }, "3");
    assert_eq!(b.states("q"), [(State::Ready, 0), (delayed(31), 0), (waiting("g"), 0)]);
    let stat = b.stat();
    assert_eq!((stat.ready, stat.delayed, stat.waiting, stat.messages()), (1, 1, 1, 3));
    assert_eq!(stat.oldest, Some(UnixMillis(START_S * 1000 + 250)));
    let seen = b.peek(Which::Id(ids[1])).unwrap();
    assert_eq!(seen[0].listed.state, waiting("g"));
    assert_eq!(seen[0].listed.message.group, of("g").group);
    assert_eq!(b.peek(Which::All).unwrap().len(), 3);
    assert_eq!(b.peek(Which::Next(9)).unwrap().len(), 1);
    let shown = |filter: &Filter| {
        let mut shown = 0;
        b.store
            .list(&q(), filter, &mut |_| {
                shown += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        shown
    };
    assert_eq!(shown(&Filter { states: vec![StateName::Waiting], ..Filter::default() }), 1);
    assert_eq!(shown(&Filter { group: of("g").group, ..Filter::default() }), 2);
}

fn a_key_and_a_group_go_together(b: &Bench) {
    let unique = |key: &str| Unique { key: key.parse().unwrap(), window: None };
    let put_unique =
        |key: &str, body: &str| b.store.put_unique(&q(), &of("g"), &unique(key), &mut body.as_bytes()).unwrap();
    let first = put_unique("k", "1");
    let second = put_unique("l", "2");
    assert_eq!(put_unique("k", "in vain"), UniquePut::Present(first.id()));
    assert_eq!(put_unique("l", "in vain"), UniquePut::Present(second.id()), "also while it waits");
    assert_eq!(b.drain("q"), ["1"]);
    b.advance(40);
    take(b, "1");
    assert!(matches!(put_unique("k", "3"), UniquePut::New(_)));
    take(b, "2");
    assert!(matches!(put_unique("l", "4"), UniquePut::New(_)));
    take(b, "3");
    take(b, "4");
}

fn i9_nothing_is_left_of_a_group_that_is_done(b: &Bench) {
    for number in 0..300 {
        put(b, "g", "body");
        put(b, &format!("group {number}"), "body");
    }
    while let Some(delivery) = b.claim() {
        assert!(is_done(&b.store.delete(&[delivery.receipt])));
    }
    if b.is_spool() {
        // Each shard is a lock, and stays.
        let left = b.paths_below("groups");
        let deep = left.iter().filter(|path| path.parent().is_some_and(|dir| !dir.ends_with("groups"))).count();
        assert_eq!(deep, 0, "{left:?}");
    }
}
