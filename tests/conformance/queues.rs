//! Queues as things: making, dropping, policies, pausing, and what is done to all messages at once.

use mq::domain::lifecycle::State;
use mq::domain::queue::PolicyError;
use mq::domain::{ClaimPlace, MessageId, MessageName, NewMessage, Policy, Priority, Receipt, Seq, Visibility};
use mq::store::{ClaimRequest, Error, Failure, Filter, Which};

use super::bench::{
    Bench, START, claimed, delayed, is_done, is_stale, name, over_every_engine, q, secs, with_delay, with_priority,
};

over_every_engine! {
    a_queue_is_made_once
    queues_are_listed_by_name
    i9_what_is_not_there_is_an_error_everywhere
    a_policy_is_kept_as_it_was_given
    a_policy_that_makes_no_sense_is_refused
    a_change_that_fails_changes_nothing
    an_empty_queue_can_be_dropped
    a_queue_with_messages_is_dropped_by_force_only
    a_paused_queue_holds_off_receivers_and_nobody_else
    purge_takes_every_state
    move_takes_what_is_not_claimed_in_order
    move_appends_to_what_is_there
    i8_a_large_move_keeps_its_order
    a_queue_moved_to_itself_stays_as_it_is
}

fn a_queue_is_made_once(b: &Bench) {
    b.put("kept");
    let again = b.store.create_queue(&q(), &Policy::default(), None);
    assert!(matches!(again, Err(Error::QueueExists(queue)) if queue == q()));
    assert_eq!(b.drain("q"), ["kept"]);
}

fn queues_are_listed_by_name(b: &Bench) {
    for queue in ["zebra", "Ant", "q.dead", "0"] {
        b.create(queue);
    }
    assert_eq!(b.store.queues().unwrap(), ["0", "Ant", "q", "q.dead", "zebra"].map(name));
}

fn i9_what_is_not_there_is_an_error_everywhere(b: &Bench) {
    let nowhere = name("nowhere");
    let missing = |error: Option<Error>| matches!(error, Some(Error::NoSuchQueue { queue, .. }) if queue == nowhere);
    let request = ClaimRequest { visibility: Visibility::Timed(None), most: 1 };
    let receipt = Receipt {
        queue: nowhere.clone(),
        place: ClaimPlace::Held,
        name: MessageName {
            seq: Seq(0),
            priority: Priority::default(),
            id: MessageId::new(START, &[0; 10]),
            deliveries: 1,
        },
    };
    let receipts = [receipt.clone()];
    let failure = Failure { at: START, delivery: 1, reason: String::new() };
    let store = &b.store;
    assert!(missing(store.policy(&nowhere).err()));
    assert!(missing(store.change_policy(&nowhere, &mut |_| Ok(())).err()));
    assert!(missing(store.drop_queue(&nowhere, true).err()));
    assert!(missing(store.put(&nowhere, &NewMessage::default(), &mut "".as_bytes()).err()));
    assert!(missing(store.put_batch(&nowhere, &[]).error));
    assert!(missing(store.claim(&nowhere, &request).err()));
    assert!(missing(store.watch(&nowhere).err()));
    assert!(missing(store.delete(&receipts).remove(0).err()));
    assert!(missing(store.release(&receipts, Some(secs(0))).remove(0).err()));
    assert!(missing(store.extend(&receipts, secs(0)).remove(0).err()));
    assert!(missing(store.note_failure(&receipt, &failure).err()));
    assert!(missing(store.peek(&nowhere, Which::Next(1), &mut |_| panic!("nothing to show")).err()));
    assert!(missing(store.list(&nowhere, &Filter::default(), &mut |_| panic!("nothing to show")).err()));
    assert!(missing(store.stat(&nowhere).err()));
    assert!(missing(store.purge(&nowhere).err()));
    assert!(missing(store.list_archived(&nowhere, &Filter::default(), &mut |_| panic!("nothing to show")).err()));
    assert!(missing(store.replay(&nowhere, &Filter::default(), &mut || panic!("nothing to put")).err()));
    assert!(missing(store.move_all(&nowhere, &q()).err()));
    b.put("stays");
    assert!(missing(store.move_all(&q(), &nowhere).err()));
    assert_eq!(b.drain("q"), ["stays"]);
    assert_eq!(b.store.queues().unwrap(), [q()]);
}

fn a_policy_is_kept_as_it_was_given(b: &Bench) {
    let policy = Policy {
        visibility: std::time::Duration::from_millis(1500),
        max_deliveries: Some(7),
        dead_letter: Some(name("graves")),
        delay: secs(3),
        retention: Some(secs(86_400)),
        durability: mq::domain::Durability::None,
        paused: true,
        max_messages: Some(100),
        max_bytes: Some(5 << 20),
        reserve: Some(0),
        reserve_inodes: Some(77),
        expired: mq::domain::queue::Expired::DeadLetter,
        retry_delay: secs(10),
        retry_factor: "1.5".parse().unwrap(),
        retry_max: secs(600),
        retry_jitter: "25%".parse().unwrap(),
        archive: Some(secs(7)),
    };
    b.store.create_queue(&name("other"), &policy, None).unwrap();
    assert_eq!(b.store.policy(&name("other")).unwrap(), policy);
    assert_eq!(b.store.policy(&q()).unwrap(), Policy::default());
    let changed = b.store.change_policy(&name("other"), &mut |policy| policy.apply("delay=4s")).unwrap();
    assert_eq!(changed, Policy { delay: secs(4), ..policy });
    assert_eq!(b.store.policy(&name("other")).unwrap(), changed);
}

fn a_policy_that_makes_no_sense_is_refused(b: &Bench) {
    let to_itself = Policy { dead_letter: Some(name("new")), ..Policy::default() };
    assert!(matches!(b.store.create_queue(&name("new"), &to_itself, None), Err(Error::Policy(_))));
    let never = Policy { max_deliveries: Some(0), ..Policy::default() };
    assert!(matches!(b.store.create_queue(&name("new"), &never, None), Err(Error::Policy(_))));
    let long = name(&"x".repeat(80));
    let nameless = Policy { max_deliveries: Some(1), ..Policy::default() };
    assert!(matches!(b.store.create_queue(&long, &nameless, None), Err(Error::Policy(_))));
    assert_eq!(b.store.queues().unwrap(), [q()]);
    let changed = b.store.change_policy(&q(), &mut |policy| {
        policy.dead_letter = Some(q());
        Ok(())
    });
    assert!(matches!(changed, Err(Error::Policy(_))));
    assert_eq!(b.store.policy(&q()).unwrap(), Policy::default());
}

fn a_change_that_fails_changes_nothing(b: &Bench) {
    let changed = b.store.change_policy(&q(), &mut |policy| {
        policy.apply("visibility=9s")?;
        policy.apply("colour=red")
    });
    assert!(matches!(changed, Err(Error::Policy(PolicyError::UnknownKey(_)))));
    assert_eq!(b.store.policy(&q()).unwrap(), Policy::default());
}

fn an_empty_queue_can_be_dropped(b: &Bench) {
    b.put("body");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.delete(&[receipt])));
    assert_eq!(b.store.drop_queue(&q(), false).unwrap(), 0);
    assert_eq!(b.store.queues().unwrap(), []);
    b.create("q");
    b.put("anew");
    assert_eq!(b.drain("q"), ["anew"]);
}

fn a_queue_with_messages_is_dropped_by_force_only(b: &Bench) {
    b.put("held");
    b.put("claimed");
    b.put("ready");
    b.put_as(&with_delay(secs(5)), "delayed");
    let hold = b.hold().unwrap();
    b.claim().unwrap();
    let refused = b.store.drop_queue(&q(), false);
    assert!(matches!(refused, Err(Error::QueueNotEmpty { queue, messages: 4 }) if queue == q()));
    assert_eq!(b.stat().messages(), 4);
    assert_eq!(b.store.drop_queue(&q(), true).unwrap(), 4);
    assert!(matches!(b.store.stat(&q()), Err(Error::NoSuchQueue { .. })));
    drop(hold);
    b.create("q");
    assert_eq!(b.stat().messages(), 0);
}

fn a_paused_queue_holds_off_receivers_and_nobody_else(b: &Bench) {
    b.put("a");
    let receipt = b.claim().unwrap().receipt;
    let pause = |paused| {
        let change = &mut |policy: &mut Policy| {
            policy.paused = paused;
            Ok(())
        };
        b.store.change_policy(&q(), change).unwrap()
    };
    assert!(pause(true).paused);
    b.put("b");
    let request = ClaimRequest { visibility: Visibility::Timed(None), most: 1 };
    assert!(matches!(b.store.claim(&q(), &request), Err(Error::Paused(queue)) if queue == q()));
    let held = ClaimRequest { visibility: Visibility::Held, most: 1 };
    assert!(matches!(b.store.claim(&q(), &held), Err(Error::Paused(_))));
    assert_eq!(b.peek(Which::Next(9)).unwrap().len(), 1);
    assert!(b.stat().policy.paused);
    assert!(is_done(&b.store.extend(std::slice::from_ref(&receipt), secs(50))));
    assert!(is_done(&b.store.delete(&[receipt])));
    assert!(!pause(false).paused);
    assert_eq!(b.drain("q"), ["b"]);
}

fn purge_takes_every_state(b: &Bench) {
    assert_eq!(b.store.purge(&q()).unwrap(), 0);
    for level in (0..=9).cycle().take(600) {
        b.put_as(&with_priority(level), "ready");
    }
    b.put_as(&with_delay(secs(5)), "delayed");
    b.put_as(&with_delay(secs(500)), "delayed");
    let hold = b.hold().unwrap();
    let receipts: Vec<Receipt> = [b.claim_for(1), b.claim_for(100)].map(|claim| claim.unwrap().receipt).into();
    b.advance(6);
    assert_eq!(b.store.purge(&q()).unwrap(), 602);
    assert_eq!(b.list("q"), []);
    assert!(is_stale(&b.store.delete(&receipts)));
    assert!(is_stale(&b.store.delete(&[hold.receipt])));
    b.put("anew");
    assert_eq!(b.drain("q"), ["anew"]);
}

fn move_takes_what_is_not_claimed_in_order(b: &Bench) {
    b.create("to");
    b.put("held");
    b.put("claimed");
    let hold = b.hold().unwrap();
    let receipt = b.claim().unwrap().receipt;
    b.put_as(&with_delay(secs(20)), "e");
    b.put_as(&with_delay(secs(10)), "d");
    for (priority, body) in [(5, "b"), (5, "c"), (9, "a")] {
        b.put_as(&with_priority(priority), body);
    }
    let again = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.release(std::slice::from_ref(&again), Some(secs(0)))));
    assert_eq!(b.store.move_all(&q(), &name("to")).unwrap(), 5);
    assert!(is_stale(&b.store.delete(&[again])));
    assert_eq!(b.states("q"), [(claimed(31), 1), (State::Held, 1)]);
    let ready = (State::Ready, 0);
    assert_eq!(b.states("to"), [ready, ready, ready, (delayed(11), 0), (delayed(21), 0)]);
    assert!(is_done(&b.store.delete(&[receipt])));
    b.advance(21);
    assert_eq!(b.drain("to"), ["a", "b", "c", "d", "e"]);
    drop(hold);
}

fn move_appends_to_what_is_there(b: &Bench) {
    b.create("to");
    b.store.put(&name("to"), &NewMessage::default(), &mut "there".as_bytes()).unwrap();
    b.put("came");
    let [peeked] = &b.peek(Which::Next(1)).unwrap()[..] else { panic!("one message") };
    let before = peeked.listed.message.clone();
    assert_eq!(b.store.move_all(&q(), &name("to")).unwrap(), 1);
    assert_eq!(b.list("to")[1].message, before, "a moved message is what was put, and says to which queue");
    b.store.put(&name("to"), &NewMessage::default(), &mut "followed".as_bytes()).unwrap();
    assert_eq!(b.drain("to"), ["there", "came", "followed"]);
    assert_eq!(b.store.move_all(&q(), &name("to")).unwrap(), 0);
}

fn i8_a_large_move_keeps_its_order(b: &Bench) {
    b.create("to");
    let bodies: Vec<String> = (0..700).map(|n| n.to_string()).collect();
    for new in [NewMessage::default(), with_delay(secs(60))] {
        let batch: Vec<_> = bodies.iter().map(|body| (new.clone(), body.clone().into_bytes())).collect();
        assert!(b.store.put_batch(&q(), &batch).error.is_none());
    }
    assert_eq!(b.store.move_all(&q(), &name("to")).unwrap(), 1400);
    for _ in 0..2 {
        let mut claims = b.claim_from("to", Visibility::Timed(None), usize::MAX);
        let order: Vec<String> = claims.iter_mut().map(super::bench::text).collect();
        assert!(order == bodies, "the order was {order:?}");
        let receipts: Vec<Receipt> = claims.into_iter().map(|delivery| delivery.receipt).collect();
        assert!(is_done(&b.store.delete(&receipts)));
        b.advance(61);
    }
}

fn a_queue_moved_to_itself_stays_as_it_is(b: &Bench) {
    b.put("a");
    b.put_as(&with_delay(secs(5)), "b");
    let receipt = b.claim().unwrap().receipt;
    assert!(is_done(&b.store.release(std::slice::from_ref(&receipt), Some(secs(0)))));
    let before = b.list("q");
    assert_eq!(b.store.move_all(&q(), &q()).unwrap(), 0);
    assert_eq!(b.list("q"), before);
    assert!(is_done(&b.store.delete(&[receipt])));
}
