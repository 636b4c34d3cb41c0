//! What every test stands on: an engine with one queue `q`, a clock that only the test moves, and short words
//! for what a test does all the time.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mq::domain::lifecycle::State;
use mq::domain::{
    ManualClock, MessageId, NewMessage, Policy, Priority, QueueName, UnixMillis, UnixSeconds, Visibility,
};
use mq::store::memory::MemoryStore;
use mq::store::spool::fs::RealFs;
use mq::store::spool::{Order, Spool};
use mq::store::{ClaimRequest, Delivery, Error, Filter, Listed, Peeked, Stat, Store, Which};
use tempfile::TempDir;

/// 2026-01-01T00:00:00.250Z: not on a second, so that rounding shows.
pub(super) const START: UnixMillis = UnixMillis(1_767_225_600_250);

/// The second in which the clock starts.
pub(super) const START_S: u64 = START.0 / 1000;

pub(super) type Engine = Box<dyn Store + Send + Sync>;

/// An engine under test.
pub(super) struct Bench {
    pub(super) store: Engine,
    pub(super) clock: Arc<ManualClock>,
    spool: Option<(TempDir, Order)>,
}

/// Makes a test of each function for each engine.
macro_rules! over_every_engine {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::Bench::memory()); })*
        }
        mod roll_forward {
            $(#[test] fn $name() { super::$name(&super::Bench::spool(mq::store::spool::Order::RollForward)); })*
        }
        mod classical {
            $(#[test] fn $name() { super::$name(&super::Bench::spool(mq::store::spool::Order::Classical)); })*
        }
    };
}
pub(super) use over_every_engine;

/// A directory of its own, where syncs cost nothing if there is such a place.
pub(super) fn scratch() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    TempDir::new_in(in_memory).or_else(|_| TempDir::new()).expect("a directory for the spool")
}

pub(super) fn name(text: &str) -> QueueName {
    text.parse().expect("a queue name")
}

pub(super) fn q() -> QueueName {
    name("q")
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The state of a message that is delayed until so many seconds after the start.
pub(super) fn delayed(seconds: u64) -> State {
    State::Delayed { due: UnixSeconds(START_S + seconds) }
}

/// The state of a message that is claimed until so many seconds after the start.
pub(super) fn claimed(seconds: u64) -> State {
    State::Claimed { until: UnixSeconds(START_S + seconds) }
}

pub(super) fn with_priority(level: u8) -> NewMessage {
    NewMessage { priority: Priority::new(level).expect("a priority"), ..NewMessage::default() }
}

pub(super) fn with_delay(delay: Duration) -> NewMessage {
    NewMessage { delay: Some(delay), ..NewMessage::default() }
}

pub(super) fn with_ttl(ttl: Duration) -> NewMessage {
    NewMessage { ttl: Some(ttl), ..NewMessage::default() }
}

/// The body of what was claimed, as text.
pub(super) fn text(delivery: &mut Delivery) -> String {
    let mut text = String::new();
    delivery.body.read_to_string(&mut text).expect("a body");
    text
}

pub(super) fn is_stale<T>(results: &[Result<T, Error>]) -> bool {
    results.iter().all(|result| matches!(result, Err(Error::StaleReceipt { .. })))
}

pub(super) fn is_done<T>(results: &[Result<T, Error>]) -> bool {
    results.iter().all(Result::is_ok)
}

impl Bench {
    fn new(store: Engine, clock: Arc<ManualClock>, spool: Option<(TempDir, Order)>) -> Self {
        let bench = Self { store, clock, spool };
        bench.create("q");
        bench
    }

    pub(super) fn memory() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        Self::new(Box::new(MemoryStore::new(Arc::clone(&clock))), clock, None)
    }

    pub(super) fn spool(order: Order) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let dir = scratch();
        let store = open(dir.path(), order, &clock);
        Self::new(store, clock, Some((dir, order)))
    }

    /// The same spool once more, as another process would open it.
    pub(super) fn opened_again(&self) -> Engine {
        let (dir, order) = self.spool.as_ref().expect("a spool");
        open(dir.path(), *order, &self.clock)
    }

    /// The same spool by the machine's own clock, which is also the one by which files are old.
    pub(super) fn opened_in_real_time(&self) -> Engine {
        let (dir, order) = self.spool.as_ref().expect("a spool");
        Box::new(Spool::open(dir.path()).expect("a spool").with_order(*order))
    }

    /// How many names there are below a directory of the queue `q`.
    pub(super) fn names_below(&self, inside: &str) -> usize {
        self.paths_below(inside).len()
    }

    pub(super) fn paths_below(&self, inside: &str) -> Vec<PathBuf> {
        let (dir, _) = self.spool.as_ref().expect("a spool");
        let found = walkdir::WalkDir::new(dir.path().join("q").join(inside)).min_depth(1).into_iter();
        found.filter_map(Result::ok).map(walkdir::DirEntry::into_path).collect()
    }

    /// Where a part of the queue `q` lies.
    pub(super) fn path_of(&self, part: &str) -> PathBuf {
        let (dir, _) = self.spool.as_ref().expect("a spool");
        match part.strip_prefix("../") {
            Some(of_the_spool) => dir.path().join(of_the_spool),
            None => dir.path().join("q").join(part),
        }
    }

    pub(super) fn is_spool(&self) -> bool {
        self.spool.is_some()
    }

    pub(super) fn create(&self, queue: &str) {
        self.store.create_queue(&name(queue), &Policy::default(), None).expect("a new queue");
    }

    /// Applies settings to `q` as `KEY=VALUE`.
    pub(super) fn set(&self, settings: &[&str]) {
        let mut change = |policy: &mut Policy| settings.iter().try_for_each(|setting| policy.apply(setting));
        self.store.change_policy(&q(), &mut change).expect("a policy that makes sense");
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(secs(seconds));
    }

    pub(super) fn put(&self, body: &str) -> MessageId {
        self.put_as(&NewMessage::default(), body)
    }

    pub(super) fn put_as(&self, new: &NewMessage, body: &str) -> MessageId {
        self.store.put(&q(), new, &mut body.as_bytes()).expect("a put")
    }

    pub(super) fn claim_from(&self, queue: &str, visibility: Visibility, most: usize) -> Vec<Delivery> {
        let claims = self.store.claim(&name(queue), &ClaimRequest { visibility, most }).expect("a claim");
        assert_eq!(claims.notices, [], "nothing is wrong in the queue");
        claims.deliveries
    }

    /// Claims the next one for as long as the policy says.
    pub(super) fn claim(&self) -> Option<Delivery> {
        self.claim_from("q", Visibility::Timed(None), 1).pop()
    }

    pub(super) fn claim_for(&self, seconds: u64) -> Option<Delivery> {
        self.claim_from("q", Visibility::Timed(Some(secs(seconds))), 1).pop()
    }

    pub(super) fn hold(&self) -> Option<Delivery> {
        self.claim_from("q", Visibility::Held, 1).pop()
    }

    /// Claims everything there is, and says what it was.
    pub(super) fn drain(&self, queue: &str) -> Vec<String> {
        self.claim_from(queue, Visibility::Timed(None), usize::MAX).iter_mut().map(text).collect()
    }

    pub(super) fn list(&self, queue: &str) -> Vec<Listed> {
        let mut all = Vec::new();
        let each = &mut |listed| {
            all.push(listed);
            ControlFlow::Continue(())
        };
        self.store.list(&name(queue), &Filter::default(), each).expect("a list");
        all
    }

    /// The states and delivery counts of all messages of a queue, in the order of their listing.
    pub(super) fn states(&self, queue: &str) -> Vec<(State, u32)> {
        self.list(queue).into_iter().map(|listed| (listed.state, listed.deliveries)).collect()
    }

    pub(super) fn stat(&self) -> Stat {
        self.store.stat(&q()).expect("a stat")
    }

    pub(super) fn peek(&self, which: Which) -> Result<Vec<Peeked>, Error> {
        let mut all = Vec::new();
        let each = &mut |peeked| {
            all.push(peeked);
            ControlFlow::Continue(())
        };
        self.store.peek(&q(), which, each).map(|()| all)
    }
}

fn open(root: &Path, order: Order, clock: &Arc<ManualClock>) -> Engine {
    Box::new(Spool::open_with(root, RealFs, Arc::clone(clock)).expect("a spool").with_order(order))
}
