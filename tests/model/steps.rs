//! The steps that a history is made of, and how they are drawn.

use std::time::Duration;

use mq::domain::{Attributes, NewMessage, Priority, Visibility};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::QUEUES;

/// One step of a history. Queues are numbers in [`QUEUES`]; receipts are chosen among all that were ever given.
#[derive(Debug, Clone)]
pub enum Step {
    Put(usize, NewMessage, usize),
    PutUnique(usize, &'static str, Option<Duration>, NewMessage),
    Batch(usize, Vec<NewMessage>),
    Claim(usize, Visibility, usize, When),
    Delete(Vec<Index>),
    Release(Vec<Index>, Option<Duration>),
    Extend(Vec<Index>, Duration),
    Note(Index),
    DropHold(Index),
    Advance(Duration),
    ToTheSecond,
    Peek(usize, usize),
    PeekId(usize, Index),
    List(usize, Meant),
    Purge(usize, Meant),
    Move(usize, usize, Meant),
    ListArchived(usize, Meant),
    Replay(usize, Meant),
    Pause(usize, bool),
    Set(usize, Vec<&'static str>),
    Create(usize),
    Drop(usize, bool),
    Edit(usize, Index),
}

/// Which messages are meant.
#[derive(Debug, Clone)]
pub enum Meant {
    All,
    Ids(Vec<Index>),
    Older(Duration),
    Newer(Duration),
    PutTo(usize),
    Deliveries(u32),
    Reason(&'static str),
    Attribute(&'static str),
}

/// How it is made sure that a claim finds everything swept.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// Somebody has just looked.
    AfterALook,
    /// The second is a new one, in which nobody has swept yet.
    InTheNextSecond,
}

fn any_queue() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0_usize), 3 => Just(1_usize), 2 => 0..QUEUES.len()]
}

fn short() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), Just(1), 1_u64..1000, 1000_u64..8000].prop_map(Duration::from_millis)
}

fn any_message() -> impl Strategy<Value = NewMessage> {
    let delay = prop_oneof![5 => Just(None), 3 => short().prop_map(Some)];
    let ttl = prop_oneof![6 => Just(None), 1 => short().prop_map(Some)];
    let priority = prop_oneof![3 => Just(5_u8), 1 => 0_u8..=9];
    let colour = prop_oneof![3 => Just(None), 1 => prop::sample::select(vec!["red", "blue"]).prop_map(Some)];
    let group = prop_oneof![2 => Just(None), 1 => prop::sample::select(vec!["g", "h"]).prop_map(Some)];
    (priority, delay, ttl, colour, group).prop_map(|(level, delay, ttl, colour, group)| {
        let mut attributes = Attributes::default();
        if let Some(colour) = colour {
            attributes.insert("colour", colour).expect("an attribute");
        }
        let priority = Priority::new(level).expect("a priority");
        let group = group.map(|group| group.parse().expect("a group"));
        NewMessage { priority, delay, ttl, attributes, group, ..NewMessage::default() }
    })
}

fn any_visibility() -> impl Strategy<Value = Visibility> {
    prop_oneof![
        2 => Just(Visibility::Timed(None)),
        3 => short().prop_map(|duration| Visibility::Timed(Some(duration))),
        3 => Just(Visibility::Held),
    ]
}

/// No jitter: it is drawn from the ids, and each engine gives its own.
fn any_settings() -> impl Strategy<Value = Vec<&'static str>> {
    const SETTINGS: [&str; 27] = [
        "visibility=2s",
        "visibility=1ms",
        "visibility=1500ms",
        "delay=0s",
        "delay=2s",
        "retention=5s",
        "retention=none",
        "max-deliveries=1",
        "max-deliveries=2",
        "max-deliveries=none",
        "dead-letter=graves",
        "dead-letter=none",
        "dead-letter=a",
        "durability=none",
        "expired=dead-letter",
        "expired=delete",
        "max-messages=3",
        "max-messages=none",
        "max-messages=none",
        "retry-delay=0s",
        "retry-delay=1s",
        "retry-delay=1500ms",
        "retry-factor=1.5",
        "retry-max=2s",
        "archive=3s",
        "archive=1h",
        "archive=none",
    ];
    prop::collection::vec(prop::sample::select(SETTINGS.as_slice()), 1..3)
}

fn some_receipts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 1..4)
}

fn any_meant() -> impl Strategy<Value = Meant> {
    prop_oneof![
        4 => Just(Meant::All),
        2 => some_receipts().prop_map(Meant::Ids),
        1 => short().prop_map(Meant::Older),
        1 => short().prop_map(Meant::Newer),
        1 => any_queue().prop_map(Meant::PutTo),
        1 => (0_u32..3).prop_map(Meant::Deliveries),
        1 => prop::sample::select(vec!["exit", "1", "no such reason", ""]).prop_map(Meant::Reason),
        1 => prop::sample::select(vec!["colour", "colour=red", "colour=blue"]).prop_map(Meant::Attribute),
    ]
}

/// Any step, the common ones more often.
pub fn any_step() -> impl Strategy<Value = Step> {
    let when = prop_oneof![Just(When::AfterALook), Just(When::InTheNextSecond)];
    let len = prop_oneof![20 => 0_usize..50, 1 => 0_usize..200_000];
    let size = prop_oneof![20 => 0_usize..6, 1 => 250_usize..300];
    // One message over and over, so that whole leaves arise.
    let batch = prop_oneof![
        (any_message(), size).prop_map(|(new, size)| vec![new; size]),
        prop::collection::vec(any_message(), 0..6),
    ];
    prop_oneof![
        20 => (any_queue(), any_message(), len).prop_map(|(at, new, len)| Step::Put(at, new, len)),
        8 => (any_queue(), prop::sample::select(vec!["k", "l"]), prop::option::weighted(0.3, short()), any_message())
            .prop_map(|(at, key, window, new)| Step::PutUnique(at, key, window, new)),
        4 => (any_queue(), batch).prop_map(|(at, batch)| Step::Batch(at, batch)),
        24 => (any_queue(), any_visibility(), 0_usize..5, when).prop_map(|(at, v, most, w)| Step::Claim(at, v, most, w)),
        8 => some_receipts().prop_map(Step::Delete),
        12 => (some_receipts(), prop::option::of(short())).prop_map(|(which, delay)| Step::Release(which, delay)),
        8 => (some_receipts(), short()).prop_map(|(which, visibility)| Step::Extend(which, visibility)),
        3 => any::<Index>().prop_map(Step::Note),
        8 => any::<Index>().prop_map(Step::DropHold),
        12 => short().prop_map(Step::Advance),
        3 => Just(Step::ToTheSecond),
        4 => (any_queue(), 0_usize..5).prop_map(|(at, most)| Step::Peek(at, most)),
        4 => (any_queue(), any::<Index>()).prop_map(|(at, which)| Step::PeekId(at, which)),
        4 => (any_queue(), any_meant()).prop_map(|(at, meant)| Step::List(at, meant)),
        2 => (any_queue(), any_meant()).prop_map(|(at, meant)| Step::Purge(at, meant)),
        6 => (any_queue(), any_queue(), any_meant()).prop_map(|(from, to, meant)| Step::Move(from, to, meant)),
        3 => (any_queue(), any_meant()).prop_map(|(at, meant)| Step::ListArchived(at, meant)),
        4 => (any_queue(), any_meant()).prop_map(|(at, meant)| Step::Replay(at, meant)),
        2 => (any_queue(), any::<bool>()).prop_map(|(at, paused)| Step::Pause(at, paused)),
        8 => (any_queue(), any_settings()).prop_map(|(at, settings)| Step::Set(at, settings)),
        1 => any_queue().prop_map(Step::Create),
        1 => (any_queue(), any::<bool>()).prop_map(|(at, force)| Step::Drop(at, force)),
        6 => (any_queue(), any::<Index>()).prop_map(|(at, which)| Step::Edit(at, which)),
    ]
}
