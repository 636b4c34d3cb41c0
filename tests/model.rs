//! Random histories on the spool, in both of its orders, against the reference model: after every step all
//! three must say the same, and in the end hold the same and deliver it in the same order.
//!
//! The engines give ids of their own, so a message is known by how many were put before it. They sweep at
//! different moments (the spool at most once a second in passing), so a queue is swept on all sides right
//! before a step in which the spool may or may not sweep it; everything else meets what is due unswept.

#![allow(missing_docs, unreachable_pub)] // The test's own parts.

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mq::domain::lifecycle::State;
use mq::domain::{
    ClaimPlace, ManualClock, MessageId, NewMessage, Policy, Priority, QueueName, Receipt, Unique, UnixMillis,
    UnixSeconds, Visibility,
};
use mq::store::memory::MemoryStore;
use mq::store::spool::fs::RealFs;
use mq::store::spool::{Order, Spool};
use mq::store::{Archived, ClaimRequest, Error, Failure, Filter, Hold, Listed, Stat, Store, UniquePut, Which};
use proptest::prelude::*;
use proptest::sample::Index;

mod model {
    pub mod steps;
}

use model::steps::{Meant, Step, When, any_step};

const START: UnixMillis = UnixMillis(1_767_225_600_250);

/// The first two are there from the start, the second with an archive, the others when they are made or get a dead letter.
const QUEUES: [&str; 5] = ["a", "b", "a.dead", "b.dead", "graves"];

fn queue(number: usize) -> QueueName {
    QUEUES[number].parse().expect("a queue name")
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
    /// Which, until when they are kept, and how often they were delivered.
    Archived(Vec<(usize, UnixSeconds, u32, Vec<Failure>)>),
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
            let archive = (number == 1).then(|| Duration::from_secs(20));
            store.create_queue(&queue(number), &Policy { archive, ..Policy::default() }, None).expect("a new queue");
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
            Step::ListArchived(at, meant) => self.list_archived(*at, meant),
            Step::Replay(at, meant) => self.replay(*at, meant),
            Step::Pause(at, paused) => self.change(*at, &mut |policy| policy.paused = *paused),
            Step::Set(at, settings) => self.change(*at, &mut |policy| {
                for setting in settings {
                    policy.apply(setting).expect("a setting");
                }
            }),
            Step::Create(at) => self.create(*at),
            Step::Edit(at, which) => self.edit(*at, *which.get(&self.ids)),
            Step::Drop(at, force) => counted(self.store.drop_queue(&queue(*at), *force)),
        }
    }

    fn create(&self, at: usize) -> Seen {
        let policy = Policy { visibility: Duration::from_secs(3), delay: Duration::ZERO, ..Policy::default() };
        match self.store.create_queue(&queue(at), &policy, None) {
            Ok(()) => Seen::Nothing,
            Err(error) => Seen::Failed(kind(&error)),
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

    fn list_archived(&self, at: usize, meant: &Meant) -> Seen {
        let mut seen = Vec::new();
        let each = &mut |archived: Archived| {
            assert_eq!(archived.unread, None);
            let number = self.numbers[&archived.message.id];
            seen.push((number, archived.kept_until, archived.deliveries, archived.failures));
            ControlFlow::Continue(())
        };
        match self.store.list_archived(&queue(at), &self.filter(meant), each) {
            Ok(()) => Seen::Archived(seen),
            Err(error) => Seen::Failed(kind(&error)),
        }
    }

    /// What is put again has a new id, which only a look tells.
    fn replay(&mut self, at: usize, meant: &Meant) -> Seen {
        let replayed = self.store.replay(&queue(at), &self.filter(meant), &mut go_on);
        let mut ids = Vec::new();
        let each = &mut |peeked: mq::store::Peeked| {
            ids.push(peeked.listed.message.id);
            ControlFlow::Continue(())
        };
        if replayed.is_ok() {
            self.store.peek(&queue(at), Which::All, each).expect("a look");
        }
        ids.retain(|id| !self.numbers.contains_key(id));
        for id in ids {
            self.remember(id);
        }
        counted(replayed)
    }

    /// All that there is in the end, and then, with all holders gone, the order in which it is delivered.
    fn rest(&mut self) -> Vec<Seen> {
        let mut rest = Vec::new();
        for (at, _) in QUEUES.iter().enumerate() {
            rest.push(self.list(at, &Meant::All));
            rest.push(self.list_archived(at, &Meant::All));
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
