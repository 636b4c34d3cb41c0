//! Random histories on the spool, in both of its orders, against the reference model: after every step all
//! three must say the same, and in the end hold the same and deliver it in the same order.
//!
//! The engines give ids of their own, so a message is known by how many were put before it. They sweep at
//! different moments (the spool at most once a second in passing), so a queue is swept on all sides right
//! before a step in which the spool may or may not sweep it; everything else meets what is due unswept.

#![allow(missing_docs)]

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mq::domain::lifecycle::State;
use mq::domain::{
    Attributes, ClaimPlace, ManualClock, MessageId, NewMessage, Policy, Priority, QueueName, Receipt, Unique,
    UnixMillis, UnixSeconds, Visibility,
};
use mq::store::memory::MemoryStore;
use mq::store::spool::fs::RealFs;
use mq::store::spool::{Order, Spool};
use mq::store::{ClaimRequest, Error, Failure, Filter, Hold, Listed, Stat, Store, UniquePut, Which};
use proptest::prelude::*;
use proptest::sample::Index;

const START: UnixMillis = UnixMillis(1_767_225_600_250);

/// The first two are there from the start, the others when they are made or get a dead letter.
const QUEUES: [&str; 5] = ["a", "b", "a.dead", "b.dead", "graves"];

fn queue(number: usize) -> QueueName {
    QUEUES[number].parse().expect("a queue name")
}

/// One step of a history. Queues are numbers in [`QUEUES`]; receipts are chosen among all that were ever given.
#[derive(Debug, Clone)]
enum Step {
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
    Pause(usize, bool),
    Set(usize, Vec<&'static str>),
    Create(usize),
    Drop(usize, bool),
    Edit(usize, Index),
}

/// Which messages are meant.
#[derive(Debug, Clone)]
enum Meant {
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
enum When {
    /// Somebody has just looked.
    AfterALook,
    /// The second is a new one, in which nobody has swept yet.
    InTheNextSecond,
}

/// What a step showed: everything but the ids themselves.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Nothing,
    Failed(String),
    Put(usize, Option<String>),
    Present(usize),
    Claimed(Vec<Shown>),
    Results(Vec<Result<Option<UnixSeconds>, String>>),
    Count(u64),
    Policy(Policy),
    Listed(Vec<Shown>),
    Stat(Box<Stat>),
}

/// A message as it was shown.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    message: usize,
    queue: QueueName,
    put_at: UnixMillis,
    priority: Priority,
    due: Option<UnixSeconds>,
    expires_at: Option<UnixMillis>,
    body: Option<Vec<u8>>,
    deliveries: u32,
    state: Option<State>,
    place: Option<ClaimPlace>,
    failures: Vec<Failure>,
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The kind of an error: what it is about differs in what an engine calls its places.
fn kind(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// One engine, and what a history has left in the hands of its users.
struct Engine {
    name: &'static str,
    store: Box<dyn Store>,
    ids: Vec<MessageId>,
    numbers: HashMap<MessageId, usize>,
    receipts: Vec<Receipt>,
    holds: Vec<(Receipt, Box<dyn Hold>)>,
}

impl Engine {
    fn new(name: &'static str, store: Box<dyn Store>) -> Self {
        for number in 0..2 {
            store.create_queue(&queue(number), &Policy::default(), None).expect("a new queue");
        }
        let (ids, numbers, receipts, holds) = (Vec::new(), HashMap::new(), Vec::new(), Vec::new());
        Self { name, store, ids, numbers, receipts, holds }
    }

    fn remember(&mut self, id: MessageId) {
        assert!(self.numbers.insert(id, self.ids.len()).is_none(), "{}: the id {id} was given twice", self.name);
        self.ids.push(id);
    }

    /// Which receipts are meant, in the words of this engine.
    fn chosen(&self, which: &[Index]) -> Vec<Receipt> {
        if self.receipts.is_empty() {
            return Vec::new();
        }
        which.iter().map(|index| index.get(&self.receipts).clone()).collect()
    }

    /// Which messages are meant, in the words of this engine.
    fn filter(&self, meant: &Meant) -> Filter {
        let all = Filter::default();
        match meant {
            Meant::All => all,
            Meant::Ids(_) if self.ids.is_empty() => all,
            Meant::Ids(which) => Filter { ids: which.iter().map(|index| *index.get(&self.ids)).collect(), ..all },
            Meant::Older(age) => Filter { older: Some(*age), ..all },
            Meant::Newer(age) => Filter { newer: Some(*age), ..all },
            Meant::PutTo(at) => Filter { put_to: Some(queue(*at)), ..all },
            Meant::Deliveries(least) => Filter { deliveries: Some(*least), ..all },
            Meant::Reason(text) => Filter { reason: Some((*text).to_owned()), ..all },
            Meant::Attribute(text) => Filter { attributes: vec![text.parse().expect("an attribute")], ..all },
        }
    }

    fn shown(&self, listed: Listed) -> Shown {
        let Listed { message, state, deliveries, failures, unread } = listed;
        assert_eq!(unread, None);
        Shown {
            message: self.numbers[&message.id],
            queue: message.queue,
            put_at: message.put_at,
            priority: message.priority,
            due: message.due,
            expires_at: message.expires_at,
            body: None,
            deliveries,
            state: Some(state),
            place: None,
            failures,
        }
    }

    fn put(&mut self, queue: &QueueName, new: &NewMessage, len: usize) -> Seen {
        let body = body(self.ids.len(), len);
        match self.store.put(queue, new, &mut body.as_slice()) {
            Ok(id) => self.remember(id),
            Err(error) => return Seen::Failed(kind(&error)),
        }
        Seen::Put(1, None)
    }

    fn put_batch(&mut self, queue: &QueueName, news: &[NewMessage]) -> Seen {
        let first = self.ids.len();
        let batch: Vec<_> = news.iter().zip(first..).map(|(new, n)| (new.clone(), body(n, 20))).collect();
        let outcome = self.store.put_batch(queue, &batch);
        let count = outcome.ids.len();
        outcome.ids.into_iter().for_each(|id| self.remember(id));
        Seen::Put(count, outcome.error.as_ref().map(kind))
    }

    fn put_unique(&mut self, queue: &QueueName, unique: &Unique, new: &NewMessage) -> Seen {
        let body = body(self.ids.len(), 20);
        match self.store.put_unique(queue, new, unique, &mut body.as_slice()) {
            Ok(UniquePut::New(id)) => {
                self.remember(id);
                Seen::Put(1, None)
            }
            Ok(UniquePut::Present(id)) => Seen::Present(self.numbers[&id]),
            Err(error) => Seen::Failed(kind(&error)),
        }
    }

    fn apply(&mut self, step: &Step) -> Seen {
        match step {
            Step::Put(at, new, len) => {
                self.look(*at);
                self.put(&queue(*at), new, *len)
            }
            Step::PutUnique(at, key, window, new) => {
                self.look(*at);
                self.put_unique(&queue(*at), &Unique { key: key.parse().expect("a key"), window: *window }, new)
            }
            Step::Batch(at, news) => {
                self.look(*at);
                self.put_batch(&queue(*at), news)
            }
            Step::Claim(at, visibility, most, when) => {
                if matches!(when, When::AfterALook) {
                    self.look(*at);
                }
                self.claim(*at, ClaimRequest { visibility: *visibility, most: *most })
            }
            Step::Delete(which) => self.results(self.store.delete(&self.chosen(which)), |()| None),
            Step::Release(which, delay) => {
                let chosen = self.chosen(which);
                let results = self.store.release(&chosen, *delay);
                // Who gives a claim back is done with it, and lets go of it.
                self.holds.retain(|(receipt, _)| !chosen.contains(receipt));
                self.results(results, |()| None)
            }
            Step::Extend(which, visibility) => self.results(self.store.extend(&self.chosen(which), *visibility), Some),
            Step::Note(which) => {
                let failure =
                    |r: &Receipt| Failure { at: START, delivery: r.name.deliveries, reason: "exit 1".to_owned() };
                let note = |receipt: &Receipt| self.store.note_failure(receipt, &failure(receipt));
                self.results(self.chosen(std::slice::from_ref(which)).iter().map(note).collect(), |()| None)
            }
            Step::DropHold(which) => {
                if !self.holds.is_empty() {
                    drop(self.holds.remove(which.index(self.holds.len())));
                }
                Seen::Nothing
            }
            Step::Advance(_) | Step::ToTheSecond => Seen::Nothing,
            Step::Peek(at, most) => self.peek(*at, Which::Next(*most)),
            Step::PeekId(_, _) | Step::Edit(_, _) if self.ids.is_empty() => Seen::Nothing,
            Step::PeekId(at, which) => self.peek(*at, Which::Id(*which.get(&self.ids))),
            Step::List(at, meant) => self.list(*at, meant),
            Step::Purge(at, meant) => counted(self.store.purge_some(&queue(*at), &self.filter(meant), &mut go_on)),
            Step::Move(from, to, meant) => {
                counted(self.store.move_some(&queue(*from), &queue(*to), &self.filter(meant), &mut go_on))
            }
            Step::Pause(at, paused) => self.change(*at, &mut |policy| policy.paused = *paused),
            Step::Set(at, settings) => self.change(*at, &mut |policy| {
                for setting in settings {
                    policy.apply(setting).expect("a setting");
                }
            }),
            Step::Create(at) => {
                let policy = Policy { visibility: Duration::from_secs(3), delay: Duration::ZERO, ..Policy::default() };
                match self.store.create_queue(&queue(*at), &policy, None) {
                    Ok(()) => Seen::Nothing,
                    Err(error) => Seen::Failed(kind(&error)),
                }
            }
            Step::Edit(at, which) => self.edit(*at, *which.get(&self.ids)),
            Step::Drop(at, force) => counted(self.store.drop_queue(&queue(*at), *force)),
        }
    }

    /// What a message gets tells whose it is and what it was.
    fn edit(&self, at: usize, id: MessageId) -> Seen {
        let edited = self.store.edit(&queue(at), id, &mut |mut peeked| {
            let mut bytes = format!("edited {} ", self.numbers[&id]).into_bytes();
            peeked.body.read_to_end(&mut bytes).expect("a body");
            Some(Box::new(std::io::Cursor::new(bytes)))
        });
        match edited {
            Ok(is_replaced) => Seen::Count(u64::from(is_replaced)),
            Err(Error::NotEdited { why, .. }) => Seen::Failed(format!("{why:?}")),
            Err(error) => Seen::Failed(kind(&error)),
        }
    }

    /// Has the queue swept.
    fn look(&self, at: usize) {
        let _ = self.store.stat(&queue(at));
    }

    fn results<T>(&self, results: Vec<Result<T, Error>>, end: impl Fn(T) -> Option<UnixSeconds>) -> Seen {
        assert!(!results.iter().any(|result| matches!(result, Err(Error::Io { .. }))), "{}: I/O error", self.name);
        let each = |result: Result<T, Error>| result.map(&end).map_err(|error| kind(&error));
        Seen::Results(results.into_iter().map(each).collect())
    }

    fn claim(&mut self, at: usize, request: ClaimRequest) -> Seen {
        let claims = match self.store.claim(&queue(at), &request) {
            Ok(claims) => claims,
            Err(error) => return Seen::Failed(kind(&error)),
        };
        assert_eq!(claims.notices, [], "{}: something is wrong in the queue", self.name);
        let mut seen = Vec::new();
        for mut delivery in claims.deliveries {
            let mut bytes = Vec::new();
            delivery.body.read_to_end(&mut bytes).expect("a body");
            let state = match delivery.visible_until {
                Some(until) => State::Claimed { until },
                None => State::Held,
            };
            assert_eq!(delivery.hold.is_some(), state == State::Held);
            let (message, deliveries) = (delivery.message, delivery.deliveries);
            let listed = Listed { message, state, deliveries, failures: Vec::new(), unread: None };
            let place = Some(delivery.receipt.place);
            seen.push(Shown { body: Some(bytes), place, ..self.shown(listed) });
            self.holds.extend(delivery.hold.map(|hold| (delivery.receipt.clone(), hold)));
            self.receipts.push(delivery.receipt);
        }
        Seen::Claimed(seen)
    }

    fn change(&self, at: usize, change: &mut dyn FnMut(&mut Policy)) -> Seen {
        let changed = self.store.change_policy(&queue(at), &mut |policy| {
            change(policy);
            Ok(())
        });
        match changed {
            Ok(policy) => Seen::Policy(policy),
            Err(error) => Seen::Failed(kind(&error)),
        }
    }

    fn peek(&self, at: usize, which: Which) -> Seen {
        let mut seen = Vec::new();
        let each = &mut |mut peeked: mq::store::Peeked| {
            let mut bytes = Vec::new();
            peeked.body.read_to_end(&mut bytes).expect("a body");
            seen.push(Shown { body: Some(bytes), ..self.shown(peeked.listed) });
            ControlFlow::Continue(())
        };
        match self.store.peek(&queue(at), which, each) {
            Ok(()) => Seen::Listed(seen),
            Err(error) => Seen::Failed(kind(&error)),
        }
    }

    /// The deliverable ones in order, then the others in whatever order.
    fn list(&self, at: usize, meant: &Meant) -> Seen {
        let mut seen = Vec::new();
        let each = &mut |listed| {
            seen.push(self.shown(listed));
            ControlFlow::Continue(())
        };
        if let Err(error) = self.store.list(&queue(at), &self.filter(meant), each) {
            return Seen::Failed(kind(&error));
        }
        let ready = seen.iter().take_while(|shown| shown.state == Some(State::Ready)).count();
        seen[ready..].sort_by_key(|shown| shown.message);
        Seen::Listed(seen)
    }

    /// All that there is in the end, and then, with all holders gone, the order in which it is delivered.
    fn rest(&mut self) -> Vec<Seen> {
        let mut rest = Vec::new();
        for (at, _) in QUEUES.iter().enumerate() {
            rest.push(self.list(at, &Meant::All));
            rest.push(match self.store.stat(&queue(at)) {
                // Headers have their size; the model has none. A move takes more numbers at once than it may need.
                Ok(stat) => Seen::Stat(Box::new(Stat { bytes: 0, numbers: None, ..stat })),
                Err(error) => Seen::Failed(kind(&error)),
            });
        }
        self.holds.clear();
        for (at, _) in QUEUES.iter().enumerate() {
            self.look(at);
        }
        for (at, _) in QUEUES.iter().enumerate() {
            rest.push(self.claim(at, ClaimRequest { visibility: Visibility::Timed(None), most: usize::MAX }));
        }
        rest
    }
}

fn counted(result: Result<u64, Error>) -> Seen {
    result.map_or_else(|error| Seen::Failed(kind(&error)), Seen::Count)
}

/// A body that tells whose it is.
fn body(number: usize, len: usize) -> Vec<u8> {
    number.to_string().into_bytes().into_iter().cycle().take(len).collect()
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
    const SETTINGS: [&str; 24] = [
        "visibility=2s",
        "visibility=0s",
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

fn any_step() -> impl Strategy<Value = Step> {
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
        2 => (any_queue(), any::<bool>()).prop_map(|(at, paused)| Step::Pause(at, paused)),
        8 => (any_queue(), any_settings()).prop_map(|(at, settings)| Step::Set(at, settings)),
        1 => any_queue().prop_map(Step::Create),
        1 => (any_queue(), any::<bool>()).prop_map(|(at, force)| Step::Drop(at, force)),
        6 => (any_queue(), any::<Index>()).prop_map(|(at, which)| Step::Edit(at, which)),
    ]
}

/// Moves the clock that all engines share as the step says.
fn pass_time(clock: &ManualClock, step: &Step) {
    use mq::domain::Clock as _;
    match step {
        Step::Advance(by) => clock.advance(*by),
        Step::ToTheSecond => clock.set(clock.now().ceil_seconds().start()),
        Step::Claim(_, _, _, When::InTheNextSecond) => clock.advance(Duration::from_secs(1)),
        _ => {}
    }
}

fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let clock = Arc::new(ManualClock::at(START));
    let in_memory = Path::new("/dev/shm");
    let scratch = || tempfile::TempDir::new_in(in_memory).or_else(|_| tempfile::TempDir::new()).expect("a directory");
    let (short_way, long_way) = (scratch(), scratch());
    let spool = |dir: &tempfile::TempDir, order| {
        let spool = Spool::open_with(dir.path(), RealFs, Arc::clone(&clock)).expect("a spool");
        Box::new(spool.with_order(order))
    };
    let mut model = Engine::new("model", Box::new(MemoryStore::new(Arc::clone(&clock))));
    let mut spools = [
        Engine::new("roll-forward", spool(&short_way, Order::RollForward)),
        Engine::new("classical", spool(&long_way, Order::Classical)),
    ];
    for (at, step) in steps.iter().enumerate() {
        pass_time(&clock, step);
        let expected = model.apply(step);
        for spool in &mut spools {
            let seen = spool.apply(step);
            prop_assert_eq!(&seen, &expected, "{} differs from the model at step {}: {:?}", spool.name, at, step);
        }
    }
    let expected = model.rest();
    for spool in &mut spools {
        for (seen, expected) in spool.rest().iter().zip(&expected) {
            prop_assert_eq!(seen, expected, "{} differs from the model in the end", spool.name);
        }
        prop_assert_eq!(spool.store.queues().ok(), model.store.queues().ok());
    }
    Ok(())
}

proptest! {
    // 256 cases unless PROPTEST_CASES says otherwise.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_does_what_the_model_does(steps in prop::collection::vec(any_step(), 1..60)) {
        check(&steps)?;
    }
}
