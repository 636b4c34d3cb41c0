//! Back-off: how long a message is left alone that was given back without a word about it.

use mq::domain::lifecycle::State;
use mq::domain::{Policy, Receipt};
use mq::store::Error;

use super::bench::{Bench, delayed, is_done, name, over_every_engine, q, secs};

over_every_engine! {
    each_failure_rests_longer_up_to_the_ceiling
    what_the_holder_says_goes_before_the_policy
    without_a_delay_a_release_is_at_once
    jitter_is_what_the_policy_computes_for_that_message
    a_claim_that_ends_by_itself_is_not_backed_off
    deliveries_are_counted_before_the_delay
    a_policy_holds_for_the_releases_after_it
    i8_what_has_rested_is_back_at_its_old_place
    a_group_rests_with_its_message
    a_back_off_that_makes_no_sense_is_refused
}

fn fail(b: &Bench, receipt: Receipt) {
    assert!(is_done(&b.store.release(&[receipt], None)));
}

fn each_failure_rests_longer_up_to_the_ceiling(b: &Bench) {
    b.set(&["retry-delay=4s", "retry-factor=1.5", "retry-max=8s"]);
    b.put("body");
    let mut passed = 0;
    // The clock starts a quarter of a second behind a second, and what is due is rounded up.
    for rests in [4, 6, 8, 8] {
        fail(b, b.claim().unwrap().receipt);
        assert_eq!(b.states("q")[0].0, delayed(passed + rests + 1));
        b.advance(rests);
        assert!(b.claim().is_none(), "not before {rests} s");
        b.advance(1);
        passed += rests + 1;
    }
    assert_eq!(b.claim().unwrap().deliveries, 5);
}

fn what_the_holder_says_goes_before_the_policy(b: &Bench) {
    b.set(&["retry-delay=1h"]);
    b.put("body");
    assert!(is_done(&b.store.release(&[b.claim().unwrap().receipt], Some(secs(0)))));
    assert_eq!(b.states("q"), [(State::Ready, 1)]);
    let receipts = [b.claim().unwrap().receipt];
    assert!(is_done(&b.store.release(&receipts, Some(secs(2)))));
    assert_eq!(b.states("q"), [(delayed(3), 2)]);
    // The receipt is good still, and whoever has it can change his mind.
    assert!(is_done(&b.store.release(&receipts, Some(secs(0)))));
    assert_eq!(b.states("q"), [(State::Ready, 2)]);
}

fn without_a_delay_a_release_is_at_once(b: &Bench) {
    b.set(&["retry-factor=100", "retry-max=1d", "retry-jitter=100%"]);
    b.put("body");
    for deliveries in 1..4 {
        fail(b, b.claim().unwrap().receipt);
        assert_eq!(b.states("q"), [(State::Ready, deliveries)]);
    }
}

fn jitter_is_what_the_policy_computes_for_that_message(b: &Bench) {
    b.set(&["retry-delay=1000s", "retry-jitter=50%"]);
    for number in 0..20 {
        b.put(&number.to_string());
    }
    let policy = b.store.policy(&q()).unwrap();
    let receipts: Vec<Receipt> =
        b.claim_from("q", mq::domain::Visibility::Timed(None), 20).into_iter().map(|d| d.receipt).collect();
    assert!(is_done(&b.store.release(&receipts, None)));
    let mut different = std::collections::BTreeSet::new();
    for listed in b.list("q") {
        let name = receipts.iter().find(|receipt| receipt.name.id == listed.message.id).unwrap().name;
        let delay = policy.delay_of_release(&name, None);
        assert!((secs(500)..=secs(1000)).contains(&delay));
        let due = super::bench::START.plus(delay).ceil_seconds();
        assert_eq!(listed.state, State::Delayed { due });
        different.insert(due.0);
    }
    assert!(different.len() > 10, "{different:?}");
}

fn a_claim_that_ends_by_itself_is_not_backed_off(b: &Bench) {
    b.set(&["retry-delay=1h"]);
    b.put("timed");
    b.put("held");
    b.claim_for(1).unwrap();
    drop(b.hold().unwrap());
    b.advance(2);
    assert_eq!(b.states("q"), [(State::Ready, 1), (State::Ready, 1)]);
}

fn deliveries_are_counted_before_the_delay(b: &Bench) {
    b.set(&["retry-delay=5s", "max-deliveries=2"]);
    b.put("poison");
    fail(b, b.claim().unwrap().receipt);
    b.advance(6);
    fail(b, b.claim().unwrap().receipt);
    assert_eq!(b.states("q"), []);
    assert_eq!(b.states("q.dead"), [(State::Ready, 2)], "the dead do not rest");
}

fn a_policy_holds_for_the_releases_after_it(b: &Bench) {
    b.put("a");
    b.put("b");
    fail(b, b.claim().unwrap().receipt);
    let receipt = b.claim().unwrap().receipt;
    b.set(&["retry-delay=9s"]);
    fail(b, receipt);
    assert_eq!(b.states("q"), [(State::Ready, 0), (delayed(19), 2)]);
    b.set(&["retry-delay=0s"]);
    assert_eq!(b.states("q"), [(State::Ready, 0), (delayed(19), 2)], "what rests goes on resting");
}

fn i8_what_has_rested_is_back_at_its_old_place(b: &Bench) {
    b.set(&["retry-delay=5s"]);
    b.put("first");
    fail(b, b.claim().unwrap().receipt);
    b.put("second");
    b.advance(6);
    assert_eq!(b.drain("q"), ["first", "second"]);
}

fn a_group_rests_with_its_message(b: &Bench) {
    b.set(&["retry-delay=5s"]);
    let of_group = mq::domain::NewMessage { group: Some("g".parse().unwrap()), ..mq::domain::NewMessage::default() };
    b.put_as(&of_group, "first");
    b.put_as(&of_group, "second");
    b.put("of none");
    fail(b, b.claim().unwrap().receipt);
    assert_eq!(b.drain("q"), ["of none"]);
    b.advance(6);
    let first = b.claim().unwrap();
    assert_eq!(first.deliveries, 2);
    assert!(is_done(&b.store.delete(&[first.receipt])));
    assert_eq!(b.drain("q"), ["second"]);
}

fn a_back_off_that_makes_no_sense_is_refused(b: &Bench) {
    let too_short = Policy { retry_delay: secs(10), retry_max: secs(9), ..Policy::default() };
    assert!(matches!(b.store.create_queue(&name("new"), &too_short, None), Err(Error::Policy(_))));
    let changed = b.store.change_policy(&q(), &mut |policy| policy.apply("retry-delay=2h"));
    assert!(matches!(changed, Err(Error::Policy(_))), "longer than the ceiling that nobody has set");
    let changed = b.store.change_policy(&q(), &mut |policy| {
        policy.apply("retry-delay=2h")?;
        policy.apply("retry-max=1d")
    });
    assert!(changed.is_ok(), "together they make sense, in whichever order");
}
