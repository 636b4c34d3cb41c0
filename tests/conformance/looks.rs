//! Looking: peek, list, stat, and the delivery log. A look changes nothing but what was due anyway.

use std::ops::ControlFlow;

use mq::domain::lifecycle::State;
use mq::domain::{Clock as _, MessageId, NewMessage, Origin, UnixMillis, UnixSeconds, Visibility};
use mq::store::{Ages, Error, Failure, Filter, InState, Numbers, StateName, Which};

use super::bench::{
    Bench, START, START_S, claimed, delayed, is_done, name, over_every_engine, q, secs, with_delay, with_priority,
};

over_every_engine! {
    peek_shows_the_next_ones_and_counts_nothing
    peek_stops_when_told
    peek_finds_an_id_in_whatever_state
    peek_shows_all_of_them_once_in_whatever_state
    i3_what_is_put_with_an_origin_goes_on_to_be_what_it_was
    i9_peek_reports_an_id_that_is_not_there
    list_shows_every_state_the_deliverable_first
    list_stops_when_told
    stat_counts_by_state
    stat_counts_by_age_and_deliveries
    stat_counts_each_state_by_age
    stat_tells_what_came_in_and_went_out
    failures_are_kept_with_the_message
    looks_return_what_has_come_to_its_end
}

fn body_of(peeked: &mut mq::store::Peeked) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut peeked.body, &mut text).unwrap();
    text
}

fn peek_shows_the_next_ones_and_counts_nothing(b: &Bench) {
    for (priority, body) in [(5, "b"), (5, "c"), (9, "a"), (0, "d")] {
        b.put_as(&with_priority(priority), body);
    }
    b.put_as(&with_delay(secs(9)), "not yet");
    for _ in 0..2 {
        let mut three = b.peek(Which::Next(3)).unwrap();
        assert_eq!(three.iter_mut().map(body_of).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(three.iter().all(|p| p.listed.deliveries == 0 && p.listed.failures.is_empty()));
    }
    assert_eq!(b.peek(Which::Next(0)).unwrap().len(), 0);
    assert_eq!(b.peek(Which::Next(usize::MAX)).unwrap().len(), 4);
    assert_eq!(b.claim().unwrap().deliveries, 1);
}

fn peek_stops_when_told(b: &Bench) {
    for body in ["a", "b", "c"] {
        b.put(body);
    }
    let mut shown = 0;
    let each = &mut |_| {
        shown += 1;
        if shown == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    b.store.peek(&q(), Which::Next(10), each).unwrap();
    assert_eq!(shown, 2);
}

fn peek_shows_all_of_them_once_in_whatever_state(b: &Bench) {
    assert_eq!(b.peek(Which::All).unwrap().len(), 0);
    for body in ["claimed", "held", "ready", "last"] {
        b.put(body);
    }
    b.put_as(&with_delay(secs(9)), "delayed");
    let receipt = b.claim().unwrap().receipt;
    let hold = b.hold().unwrap();
    b.store.note_failure(&receipt, &Failure { at: START, delivery: 1, reason: "because".to_owned() }).unwrap();
    let mut all = b.peek(Which::All).unwrap();
    assert_eq!(all.iter_mut().map(body_of).collect::<std::collections::BTreeSet<_>>().len(), 5);
    let states: Vec<_> = all.iter().map(|peeked| peeked.listed.state).collect();
    assert_eq!(states[2..], [delayed(10), State::Ready, State::Ready]);
    assert!(states[..2].contains(&State::Held) && states[..2].contains(&claimed(31)), "{states:?}");
    assert_eq!(all.iter().filter(|peeked| !peeked.listed.failures.is_empty()).count(), 1);
    drop(hold);
}

fn i3_what_is_put_with_an_origin_goes_on_to_be_what_it_was(b: &Bench) {
    b.set(&["delay=1h"]);
    let failures = vec![Failure { at: UnixMillis(7), delivery: 1, reason: "exit status: 3".to_owned() }];
    let origin = |n: u8, due: Option<u64>| {
        Box::new(Origin {
            id: MessageId::new(UnixMillis(5), &[n; 10]),
            queue: name("elsewhere"),
            put_at: UnixMillis(5),
            deliveries: 2,
            due: due.map(UnixSeconds),
            expires_at: Some(START.plus(secs(3600))),
            failures: failures.clone(),
        })
    };
    let new = |n: u8, due| NewMessage { origin: Some(origin(n, due)), ..with_priority(7) };
    let long = "x".repeat(300_000);
    let ids = [
        b.put_as(&new(1, None), "one"),
        b.put_as(&new(2, Some(1)), &long),
        b.put_as(&new(3, Some(START_S + 10)), "held back"),
    ];
    let batch = [4, 5].map(|n| (new(n, None), b"of a batch".to_vec()));
    let outcome = b.store.put_batch(&q(), &batch);
    assert_eq!(outcome.ids.len(), 2);
    for (n, id) in (1..).zip(ids.into_iter().chain(outcome.ids)) {
        assert_eq!(id, MessageId::new(UnixMillis(5), &[n; 10]));
    }
    let all = b.peek(Which::All).unwrap();
    let states: Vec<_> = all.iter().map(|peeked| peeked.listed.state).collect();
    assert_eq!(states, [delayed(10), State::Ready, State::Ready, State::Ready, State::Ready]);
    for peeked in &all {
        let message = &peeked.listed.message;
        assert_eq!((&message.queue, message.put_at), (&name("elsewhere"), UnixMillis(5)));
        assert_eq!((peeked.listed.deliveries, &peeked.listed.failures), (2, &failures));
        assert_eq!(message.expires_at, Some(START.plus(secs(3600))));
    }
    let delivery = b.claim().unwrap();
    assert_eq!((delivery.message.id, delivery.deliveries), (ids[0], 3));
    assert!(b.drain("q").contains(&long));
}

fn peek_finds_an_id_in_whatever_state(b: &Bench) {
    let ids = ["held", "claimed", "ready"].map(|body| b.put(body));
    let late = b.put_as(&with_delay(secs(9)), "delayed");
    let hold = b.hold().unwrap();
    b.claim().unwrap();
    let expected = [
        (ids[0], "held", State::Held, 1),
        (ids[1], "claimed", claimed(31), 1),
        (ids[2], "ready", State::Ready, 0),
        (late, "delayed", delayed(10), 0),
    ];
    for (id, body, state, deliveries) in expected {
        let [peeked] = &mut b.peek(Which::Id(id)).unwrap()[..] else { panic!("one message of {id}") };
        assert_eq!(body_of(peeked), body);
        assert_eq!(peeked.listed.message.id, id);
        assert_eq!((peeked.listed.state, peeked.listed.deliveries), (state, deliveries));
    }
    drop(hold);
}

fn i9_peek_reports_an_id_that_is_not_there(b: &Bench) {
    let gone = b.put("body");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(&[receipt])));
    for id in [gone, MessageId::new(START, &[9; 10])] {
        let missing = b.peek(Which::Id(id)).map(|shown| shown.len());
        assert!(matches!(missing, Err(Error::NoSuchMessage { queue, id: said }) if queue == q() && said == id));
    }
}

fn list_shows_every_state_the_deliverable_first(b: &Bench) {
    let ids = ["held", "claimed", "second", "third"].map(|body| b.put(body));
    let hold = b.hold().unwrap();
    b.claim().unwrap();
    let late = b.put_as(&with_delay(secs(9)), "delayed");
    let first = b.put_as(&with_priority(9), "first");
    let listed = b.list("q");
    let order: Vec<MessageId> = listed.iter().map(|listed| listed.message.id).collect();
    assert_eq!(order, [first, ids[2], ids[3], late, ids[1], ids[0]]);
    let states = [State::Ready, State::Ready, State::Ready, delayed(10), claimed(31), State::Held];
    assert_eq!(b.states("q").iter().map(|(state, _)| *state).collect::<Vec<_>>(), states);
    assert_eq!(listed[5].deliveries, 1);
    assert_eq!(listed[0].message.len_bytes, 5);
    drop(hold);
}

fn list_stops_when_told(b: &Bench) {
    b.put("a");
    b.put_as(&with_delay(secs(9)), "b");
    b.put_as(&with_delay(secs(99)), "c");
    for most in 1..=3 {
        let mut shown = 0;
        let each = &mut |_| {
            shown += 1;
            if shown == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        b.store.list(&q(), &Filter::default(), each).unwrap();
        assert_eq!(shown, most);
    }
}

fn stat_counts_by_state(b: &Bench) {
    assert_eq!((b.stat().messages(), b.stat().oldest), (0, None));
    b.set(&["visibility=1m"]);
    for _ in 0..6 {
        b.put("body");
    }
    b.advance(1);
    b.put_as(&with_delay(secs(9)), "body");
    let held = b.claim_from("q", Visibility::Held, 1);
    b.claim_from("q", Visibility::Timed(None), 2);
    let stat = b.stat();
    assert_eq!((stat.ready, stat.delayed, stat.claimed, stat.held), (3, 1, 2, 1));
    assert_eq!((stat.messages(), stat.corrupt, stat.temporaries, stat.strays), (7, 0, 0, 0));
    assert_eq!(stat.oldest, Some(START));
    assert_eq!(stat.policy.visibility, secs(60));
    assert!(stat.bytes >= 7 * 4);
    drop(held);
}

fn stat_counts_by_age_and_deliveries(b: &Bench) {
    b.put("old");
    b.advance(10);
    b.put("young");
    for _ in 0..3 {
        drop(b.hold().unwrap());
        assert_eq!(b.stat().held, 0);
    }
    let shape = b.stat().shape;
    // By what has just begun: 10 seconds are not less than 10; three deliveries are more than two.
    assert_eq!(shape[3][1], 1);
    assert_eq!(shape[0][0], 1);
    assert_eq!(shape.as_flattened().iter().sum::<u64>(), 2);
    b.advance(1_000_000_000);
    let shape = b.stat().shape;
    assert_eq!((shape[3][7], shape[0][7]), (1, 1));
}

fn stat_counts_each_state_by_age(b: &Bench) {
    let (ready, delayed) = (StateName::Ready, StateName::Delayed);
    assert_eq!(*b.stat().of(ready), InState::default());
    b.put_as(&with_delay(secs(9999)), "delayed");
    b.advance(10);
    let put_at = b.clock.now();
    b.put("ready");
    b.put("ready");
    b.advance(59);
    let stat = b.stat();
    let counted = |messages: u64, oldest, column: usize| {
        let mut by_age = Ages::default();
        by_age[column] = messages;
        InState { messages, oldest: Some(oldest), by_age }
    };
    // 59 seconds are less than a minute, 69 are not.
    assert_eq!((*stat.of(ready), *stat.of(delayed)), (counted(2, put_at, 1), counted(1, START, 2)));
    let of_all: u64 = StateName::ALL.iter().flat_map(|state| stat.of(*state).by_age).sum();
    assert_eq!((of_all, of_all), (stat.messages(), stat.shape.as_flattened().iter().sum::<u64>()));
}

fn stat_tells_what_came_in_and_went_out(b: &Bench) {
    let flow = |before: Numbers| {
        let now = b.stat().numbers.unwrap();
        let came_in = now.next - before.next;
        (came_in, before.there + came_in - now.there)
    };
    let start = b.stat().numbers.unwrap();
    assert_eq!(start.there, 0);
    b.put("a");
    b.put_as(&with_delay(secs(9999)), "b");
    let batch: Vec<_> = (0..600).map(|_| (NewMessage::default(), b"x".to_vec())).collect();
    assert_eq!(b.store.put_batch(&q(), &batch).ids.len(), 600);
    assert_eq!(flow(start), (602, 0));
    // What only changes its state neither comes nor goes.
    let claimed = b.claim_from("q", Visibility::Timed(None), 2);
    let receipts: Vec<_> = claimed.iter().map(|delivery| delivery.receipt.clone()).collect();
    assert_eq!(flow(start), (602, 0));
    assert!(is_done(&b.store.release(&receipts[..1], Some(secs(0)))));
    assert_eq!(flow(start), (602, 0));
    assert!(is_done(&b.store.delete(&receipts[1..])));
    assert_eq!(flow(start), (602, 1));
    assert_eq!(b.store.purge(&q()).unwrap(), 601);
    assert_eq!(flow(start), (602, 602));
}

fn failures_are_kept_with_the_message(b: &Bench) {
    b.set(&["max-deliveries=2"]);
    let id = b.put("body\n");
    let mut expected = Vec::new();
    for delivery in 1..=2 {
        let claim = b.hold().unwrap();
        let failure = Failure { at: UnixMillis(START.0 + 5), delivery, reason: format!("exit {delivery}\n\"why\"") };
        b.store.note_failure(&claim.receipt, &failure).unwrap();
        expected.push(failure);
        let mut shown = b.peek(Which::Id(id)).unwrap();
        assert_eq!(shown[0].listed.failures, expected);
        assert_eq!(body_of(&mut shown[0]), "body\n");
        assert!(is_done(&b.store.release(&[claim.receipt], Some(secs(0)))));
    }
    assert_eq!(b.store.move_all(&name("q.dead"), &q()).unwrap(), 1);
    assert_eq!(b.peek(Which::Next(1)).unwrap()[0].listed.failures, expected, "the reasons travel with the dead letter");
    assert_eq!(b.drain("q"), ["body\n"]);
}

fn looks_return_what_has_come_to_its_end(b: &Bench) {
    for look in 0..4 {
        let id = b.put("claimed");
        b.claim_for(1).unwrap();
        b.put("held");
        drop(b.hold().unwrap());
        b.put_as(&with_delay(secs(1)), "delayed");
        b.advance(2);
        let ready = match look {
            0 => b.peek(Which::Next(9)).unwrap().len(),
            1 => usize::try_from(b.stat().ready).unwrap(),
            2 => b.states("q").iter().filter(|(state, _)| *state == State::Ready).count(),
            _ => {
                assert_eq!(b.peek(Which::Id(id)).unwrap()[0].listed.state, State::Ready);
                3
            }
        };
        assert_eq!(ready, 3);
        assert_eq!(b.drain("q"), ["claimed", "held", "delayed"]);
        assert_eq!(b.store.purge(&q()).unwrap(), 3);
    }
}
