//! What processes do: one operation a method of the engine, and what the books say of it.
//!
//! A new feature of the engine joins here: a variant of [`Operation`], an arm in [`Actor::perform`] that runs it
//! and tells the ledger, and a line in [`Operation::any`], which makes it a part of every random schedule.

use std::io::Read as _;
use std::time::Duration;

use mq::domain::{Attributes, Durability, NewMessage, Policy, Priority, QueueName, Receipt, UnixMillis, Visibility};
use mq::store::spool::Spool;
use mq::store::{ClaimRequest, Claims, Delivery, Error, Failure, Notice, Store as _};

use super::expect::Asked;
use super::ledger::{Entry, Fate, Handed, Verdict};
use super::simfs::{ACKNOWLEDGE, COMMAND, SimClock, SimFs};
use super::world::{Pid, Shared, World, hold};

pub const ROOT: &str = "/spool";
pub const QUEUE: &str = "q";
pub const OTHER: &str = "r";

/// What a receiver does with a claim that lasts as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Delete,
    Release,
    /// Notes that it failed and lets go.
    Fail,
    /// Ends without a word, as one that is killed.
    Vanish,
    /// Hands the claim to a command, and deletes when that has run.
    Command,
}

/// One operation of a process, with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Put {
        delay_s: u64,
        priority: u8,
        ttl_s: u64,
        durable: bool,
        long: bool,
    },
    PutUnique {
        key: u8,
        window_s: u64,
        delay_s: u64,
        group: Option<u8>,
    },
    PutGroup {
        group: u8,
        count: usize,
        delay_s: u64,
    },
    PutBatch {
        count: usize,
        delay_s: u64,
    },
    PutAtomic {
        count: usize,
    },
    Claim {
        most: usize,
        visibility_s: u64,
    },
    ClaimHeld {
        most: usize,
        then: Then,
    },
    Delete {
        which: usize,
        count: usize,
    },
    Release {
        which: usize,
        /// As the policy says when it is not said.
        delay_s: Option<u64>,
    },
    Extend {
        which: usize,
        visibility_s: u64,
    },
    NoteFailure {
        which: usize,
    },
    Look,
    Wait,
    /// Time passes.
    Pass {
        seconds: u64,
    },
    Purge,
    MoveAll {
        back: bool,
    },
    /// Purges, or moves, one message by its id.
    PurgeOne {
        which: usize,
    },
    MoveOne {
        which: usize,
    },
    Create,
    Drop,
    SetPolicy,
    /// Changes how often a message may be delivered.
    SetLimit {
        limit: Option<u32>,
    },
    Pause,
    Resume,
    /// Drops the queue with all that is in it.
    DropForce,
    /// Looks again after each wait, as `get --wait` does.
    ClaimWaiting,
    Fsck {
        repair: bool,
    },
    Edit {
        which: usize,
    },
    /// Puts what was deleted and is archived again: all of it, or one; at most so many.
    Replay {
        which: Option<usize>,
        most: u64,
    },
}

pub const PUT: Operation = Operation::Put { delay_s: 0, priority: 5, ttl_s: 0, durable: true, long: false };
pub const CLAIM: Operation = Operation::Claim { most: 1, visibility_s: 30 };
pub const TAKE: Operation = Operation::ClaimHeld { most: 1, then: Then::Delete };
pub const DELETE: Operation = Operation::Delete { which: 0, count: 1 };

/// What a message says of itself beside its body.
pub fn number_of(number: usize) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.insert("number", &number.to_string()).expect("an attribute");
    attributes
}

fn says(error: &Error, kind: std::io::ErrorKind) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == kind)
}

/// A virtual process: it runs the engine's own code.
pub struct Actor {
    pub world: Shared,
    pub pid: Pid,
}

pub fn queue(name: &str) -> QueueName {
    name.parse().expect("a queue's name")
}

impl Actor {
    pub fn fs(&self) -> SimFs {
        SimFs { world: self.world.clone(), pid: self.pid }
    }

    /// Each operation is a program of its own.
    pub fn spool(&self) -> Result<Spool<SimFs, SimClock>, Error> {
        Spool::open_with(ROOT, self.fs(), SimClock(self.world.clone()))
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut hold(&self.world))
    }

    /// Comes to the point at which the operation's result is said. `false` if it does not live to say it.
    pub fn lives_to_say(&self) -> bool {
        self.fs().point(ACKNOWLEDGE).is_ok()
    }

    /// Runs the operations that `next` gives, while the process lives.
    pub fn run(&self, mut next: impl FnMut(&mut World) -> Option<Operation>) {
        while let Some(operation) = self.with(|world| next(world).filter(|_| world.is_alive(self.pid))) {
            self.with(|world| world.begin(self.pid, || format!("{operation:?}")));
            self.perform(operation);
            self.with(World::check_cap);
            if !self.with(|world| world.is_alive(self.pid)) {
                return;
            }
            self.with(|world| world.end(self.pid, operation.kind()));
        }
    }

    fn perform(&self, operation: Operation) {
        match operation {
            Operation::Put { .. } => self.put(operation),
            Operation::PutUnique { key, window_s, delay_s, group } => self.put_unique(key, window_s, delay_s, group),
            Operation::PutGroup { group, count, delay_s } => self.put_group(group, count, delay_s),
            Operation::PutBatch { count, delay_s } => self.put_batch(count, delay_s),
            Operation::PutAtomic { count } => self.put_atomic(count),
            Operation::Claim { most, visibility_s } => {
                let visibility = Visibility::Timed(Some(Duration::from_secs(visibility_s)));
                drop(self.claim(ClaimRequest { visibility, most }));
            }
            Operation::ClaimHeld { most, then } => self.claim_held(most, then),
            Operation::Delete { which, count } => self.delete(which, count),
            Operation::Release { which, delay_s } => self.release(which, delay_s),
            Operation::Extend { which, visibility_s } => self.extend(which, visibility_s),
            Operation::NoteFailure { which } => self.note_failure(which),
            Operation::Pass { seconds } => self.with(|world| world.pass_ms(seconds * 1000)),
            Operation::Look => self.say(self.look(), "look"),
            Operation::Wait => self.say(self.wait(), "wait"),
            Operation::Purge => self.purge(),
            Operation::MoveAll { back } => self.move_all(back),
            Operation::PurgeOne { which } => self.purge_one(which),
            Operation::MoveOne { which } => self.move_one(which),
            Operation::Create => self.say(self.create(), "create"),
            Operation::Drop => self.say(self.drop_other(), "drop"),
            Operation::SetPolicy => self.say(self.set_policy(), "set"),
            Operation::SetLimit { limit } => self.set_limit(limit),
            Operation::Pause => self.pause(true),
            Operation::Resume => self.pause(false),
            Operation::DropForce => self.drop_force(),
            Operation::ClaimWaiting => self.claim_waiting(),
            Operation::Fsck { repair } => self.fsck(repair),
            Operation::Edit { which } => self.edit(which),
            Operation::Replay { which, most } => self.replay(which, most),
        }
    }

    /// An error needs a reason: one of those that the contract names, or a call that failed (I9).
    pub fn say<T>(&self, result: Result<T, Error>, what: &str) {
        let Err(error) = result else { return };
        self.with(|world| {
            world.tell(Some(self.pid), || format!("{what} failed: {error}"));
            world.note_failed(self.pid);
            let is_a_refusal = matches!(
                error,
                Error::NoSuchQueue { .. }
                    | Error::Paused(_)
                    | Error::StaleReceipt { .. }
                    | Error::QueueExists(_)
                    | Error::QueueNotEmpty { .. }
                    | Error::NoSuchMessage { .. }
                    | Error::Refused { .. }
                    | Error::Full { .. }
                    | Error::KeyTaken { .. }
                    | Error::NotInABatch { .. }
                    | Error::NotEdited { .. }
            );
            // A queue that somebody began to drop is away, and comes back if that one dies, or finds that it cannot be.
            let was_away = (world.ledger.may_be_away || world.ledger.other_may_be_away)
                && !world.was_alone(self.pid)
                && says(&error, std::io::ErrorKind::NotFound);
            // What others do meanwhile can make any refusal right; alone, things have to be as it says.
            let is_right = is_a_refusal && (!world.was_alone(self.pid) || world.may_refuse(&error)) || was_away;
            if world.is_alive(self.pid) && !is_right && !world.was_disturbed(self.pid) {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                world.violate(format!("I9: {what} failed although no call did: {error}: {source}"));
            }
        });
    }

    pub fn open_entry(
        &self,
        delay_s: u64,
        priority: Priority,
        ttl_s: u64,
        durable: bool,
        long: bool,
    ) -> (usize, Vec<u8>) {
        self.with(|world| {
            let now_ms = world.disk.now_ms;
            let is_durable = durable && !world.ledger.is_unsynced;
            let number = world.ledger.open(|number, began| Entry {
                body: format!("message {number} {}", "x".repeat(if long { 140_000 } else { 40 })).into_bytes(),
                queue: QUEUE,
                priority,
                held_back_ms: 0,
                due_ms: if delay_s > 0 { now_ms + delay_s * 1000 } else { 0 },
                // The put takes its own time; what is certain is when it cannot be younger.
                expires_ms: (ttl_s > 0).then(|| now_ms + ttl_s * 1000 + 1000),
                is_durable,
                began,
                acknowledged: None,
                id: None,
                fate: Fate::Kept,
                deliveries: Vec::new(),
                old_receipt_is_used: false,
                drained: None,
                drained_from_other: false,
                drained_at_home: false,
                was_moved: false,
                key: None,
                group: None,
                batch: None,
                pid: self.pid,
                put_ended: None,
                began_ms: now_ms,
                versions: Vec::new(),
                copied: None,
            });
            (number, world.ledger.entries[number].body.clone())
        })
    }

    fn put(&self, operation: Operation) {
        let Operation::Put { delay_s, priority, ttl_s, durable, long } = operation else { return };
        let priority = Priority::new(priority).expect("a digit");
        let (number, body) = self.open_entry(delay_s, priority, ttl_s, durable, long);
        let new = NewMessage {
            attributes: number_of(number),
            media_type: Some("text/plain".parse().expect("a type")),
            reply_to: Some(queue(OTHER)),
            priority,
            delay: Some(Duration::from_secs(delay_s)),
            ttl: (ttl_s > 0).then(|| Duration::from_secs(ttl_s)),
            durability: (!durable).then_some(Durability::None),
            ..NewMessage::default()
        };
        let result = self.spool().and_then(|spool| spool.put(&queue(QUEUE), &new, &mut body.as_slice()));
        match result {
            Ok(id) if self.lives_to_say() => self.with(|world| {
                world.tell(Some(self.pid), || format!("message {number} is put: {id}"));
                world.ledger.acknowledge(number, id);
            }),
            Ok(_) => {}
            Err(error) => self.say::<()>(Err(error), "put"),
        }
    }

    /// Claims, and books what is delivered.
    pub fn claim(&self, request: ClaimRequest) -> Option<(Claims, Vec<(usize, usize)>)> {
        let (began, began_ms) = self.with(|world| (world.ledger.moment(), world.disk.now_ms));
        let claims = match self.spool().and_then(|spool| spool.claim(&queue(QUEUE), &request)) {
            Ok(claims) => claims,
            Err(error) => {
                self.say::<()>(Err(error), "claim");
                return None;
            }
        };
        let mut claims = claims;
        if !self.lives_to_say() {
            return None;
        }
        self.hold_to(|world| {
            if world.ledger.is_surely_paused && world.was_alone(self.pid) {
                return Err("a paused queue delivers".to_owned());
            }
            Ok(())
        });
        self.check_notices(&claims.notices);
        let was_alone = self.with(|world| world.was_alone(self.pid));
        let places: Vec<_> = claims.deliveries.iter_mut().map(|delivery| self.book(delivery, began)).collect();
        let visibility_ms = match request.visibility {
            Visibility::Timed(Some(visibility)) => u64::try_from(visibility.as_millis()).ok(),
            _ => None,
        };
        let asked = Asked { most: request.most, visibility_ms, began_ms };
        if was_alone && places.iter().all(|(number, _)| *number != usize::MAX) {
            let delivered: Vec<_> = places.iter().map(|(number, _)| *number).zip(&claims.deliveries).collect();
            self.hold_to(|world| world.check_claim(&delivered, &asked));
        }
        Some((claims, places))
    }

    /// Notes what is not as it has to be.
    pub fn hold_to(&self, check: impl FnOnce(&mut World) -> Verdict) {
        self.with(|world| {
            if let Err(why) = check(world) {
                world.violate(why);
            }
        });
    }

    pub fn check_notices(&self, notices: &[Notice]) {
        self.with(|world| {
            for notice in notices {
                let is_allowed = match notice {
                    Notice::Quarantined { .. } => world.ledger.may_be_damaged,
                    _ => world.was_disturbed(self.pid),
                };
                if !is_allowed {
                    world.violate(format!("I3: {notice}"));
                }
            }
        });
    }

    /// Books a delivery; where it stands in the books.
    fn book(&self, delivery: &mut Delivery, began: u64) -> (usize, usize) {
        let mut body = Vec::new();
        // The bytes are in memory but for long bodies, whose reading is a point like any other.
        let read = delivery.body.read_to_end(&mut body);
        self.with(|world| {
            if read.is_err() || !world.is_alive(self.pid) {
                return (usize::MAX, 0);
            }
            let id = delivery.message.id;
            let (count, at_ms) = (delivery.deliveries, world.disk.now_ms);
            world.tell(Some(self.pid), || format!("{id} is delivered, count {count}"));
            let handed = Handed {
                receipt: delivery.receipt.clone(),
                pid: self.pid,
                at_ms,
                began,
                said: world.ledger.moment(),
                until_ms: delivery.visible_until.map(|until| until.start().0),
                has_ended: false,
                is_inherited: false,
            };
            let known = handed.clone();
            let number = match world.ledger.deliver(handed, &body, id) {
                Ok(number) => number,
                Err(why) => {
                    world.violate(why);
                    return (usize::MAX, 0);
                }
            };
            let facts = world.check_facts(number, delivery).and_then(|()| world.check_turn(number, &known));
            if let Err(why) = facts.and_then(|()| world.check_limit(QUEUE, number, count)) {
                world.violate(why);
            }
            (number, world.ledger.entries[number].deliveries.len() - 1)
        })
    }

    fn claim_held(&self, most: usize, then: Then) {
        let request = ClaimRequest { visibility: Visibility::Held, most };
        let Some((claims, places)) = self.claim(request) else { return };
        for (delivery, (number, at)) in claims.deliveries.into_iter().zip(places) {
            if number == usize::MAX {
                continue;
            }
            match then {
                Then::Delete => self.delete_these(&[(number, at, delivery.receipt.clone())]),
                Then::Release => self.release_this(number, at, &delivery.receipt, Some(0)),
                Then::Fail => {
                    let failure = Failure {
                        at: UnixMillis(1),
                        delivery: delivery.deliveries,
                        reason: "exit status 1".to_owned(),
                    };
                    let noted = self.spool().and_then(|spool| spool.note_failure(&delivery.receipt, &failure));
                    self.say(noted, "note failure");
                }
                Then::Vanish => {}
                Then::Command => {
                    self.with(|world| {
                        world.inherit_locks(self.pid);
                        world.ledger.entries[number].deliveries[at].is_inherited = true;
                    });
                    // The command runs for as long as the schedule likes.
                    if !(0..3).all(|_| self.fs().point(COMMAND).is_ok()) {
                        return;
                    }
                    self.delete_these(&[(number, at, delivery.receipt.clone())]);
                }
            }
            // From here on the claim may be over; the lock falls with the delivery.
            self.with(|world| world.ledger.begin_ending(number, at, false));
            drop(delivery);
        }
    }

    /// One of the claims that are known, the latest first.
    pub fn pick(&self, which: usize) -> Option<(usize, usize, Receipt)> {
        self.with(|world| {
            let mut all: Vec<(u64, usize, usize)> = Vec::new();
            for (number, entry) in world.ledger.entries.iter().enumerate() {
                all.extend(entry.deliveries.iter().enumerate().map(|(at, handed)| (handed.said, number, at)));
            }
            all.sort_unstable_by(|a, b| b.cmp(a));
            let (_, number, at) = *all.get(which.min(all.len().checked_sub(1)?))?;
            Some((number, at, world.ledger.entries[number].deliveries[at].receipt.clone()))
        })
    }

    fn delete(&self, which: usize, count: usize) {
        let mut picked: Vec<_> = (which..which + count).filter_map(|which| self.pick(which)).collect();
        picked.dedup_by(|a, b| a.2 == b.2);
        self.delete_these(&picked);
    }

    fn delete_these(&self, picked: &[(usize, usize, Receipt)]) {
        let began: Vec<(bool, bool)> = self.with(|world| {
            let before = |(number, at, _): &(usize, usize, Receipt)| {
                let known = (world.ledger.is_latest(*number, *at), world.is_surely_live(*number, *at));
                world.ledger.begin_ending(*number, *at, true);
                known
            };
            picked.iter().map(before).collect()
        });
        let receipts: Vec<Receipt> = picked.iter().map(|(_, _, receipt)| receipt.clone()).collect();
        let results = match self.spool() {
            Ok(spool) => spool.delete(&receipts),
            Err(error) => return self.say::<()>(Err(error), "delete"),
        };
        if !self.lives_to_say() {
            return;
        }
        for (((number, at, _), (was_latest, was_live)), result) in picked.iter().zip(began).zip(results) {
            self.with(|world| match &result {
                Ok(()) => {
                    world.tell(Some(self.pid), || format!("message {number} is deleted"));
                    if let Err(why) = world.ledger.ended(*number, *at, was_latest, true) {
                        world.violate(why);
                    }
                }
                Err(Error::StaleReceipt { .. }) if was_live && was_latest && world.was_alone(self.pid) => {
                    world.violate(format!("I5: the live claim on message {number} was called stale"));
                }
                Err(_) => {}
            });
            self.say(result, "delete");
        }
    }

    fn release(&self, which: usize, delay_s: Option<u64>) {
        if let Some((number, at, receipt)) = self.pick(which) {
            self.release_this(number, at, &receipt, delay_s);
        }
    }

    fn release_this(&self, number: usize, at: usize, receipt: &Receipt, delay_s: Option<u64>) {
        let said = delay_s.map(Duration::from_secs);
        let policy =
            self.by_receipt(|spool| if said.is_none() { spool.policy(&receipt.queue) } else { Ok(Policy::default()) });
        let rest_ms = policy.map_or(0, |policy| {
            u64::try_from(policy.delay_of_release(&receipt.name, said).as_millis()).unwrap_or(u64::MAX)
        });
        let (was_latest, was_live, began_ms) = self.with(|world| {
            let now_ms = world.disk.now_ms;
            let known = (world.ledger.is_latest(number, at), world.is_surely_live(number, at), now_ms);
            world.ledger.begin_ending(number, at, false);
            known
        });
        let result =
            self.by_receipt(|spool| spool.release(std::slice::from_ref(receipt), said).pop().expect("one result"));
        if result.is_ok() && self.lives_to_say() {
            self.hold_to(|world| {
                // Somebody else may have had it between the release and its being heard of.
                let until_ms = if world.was_alone(self.pid) { began_ms + rest_ms } else { 0 };
                world.ledger.entries[number].held_back_ms = if rest_ms > 0 { until_ms } else { 0 };
                world.ledger.ended(number, at, was_latest, false)
            });
        }
        self.refuse_nothing_live(&result, was_live, number);
        self.say(result, "release");
    }

    /// The receipt of a claim that lives for sure has to be honoured.
    pub fn refuse_nothing_live<T>(&self, result: &Result<T, Error>, was_live: bool, number: usize) {
        self.with(|world| {
            if matches!(result, Err(Error::StaleReceipt { .. })) && was_live && world.was_alone(self.pid) {
                world.violate(format!("I5: the live claim on message {number} was called stale"));
            }
        });
    }

    pub fn by_receipt<T>(&self, act: impl FnOnce(&Spool<SimFs, SimClock>) -> Result<T, Error>) -> Result<T, Error> {
        self.spool().and_then(|spool| act(&spool))
    }

    fn extend(&self, which: usize, visibility_s: u64) {
        let Some((number, at, receipt)) = self.pick(which) else { return };
        let (was_latest, was_live, began_ms) = self.with(|world| {
            let was_live = world.is_surely_live(number, at);
            let until_ms = world.disk.now_ms + visibility_s * 1000;
            world.ledger.begin_moving(number, at, until_ms);
            (world.ledger.is_latest(number, at), was_live, world.disk.now_ms)
        });
        let visibility = Duration::from_secs(visibility_s);
        let result = self
            .by_receipt(|spool| spool.extend(std::slice::from_ref(&receipt), visibility).pop().expect("one result"));
        self.refuse_nothing_live(&result, was_live, number);
        if let Ok(until) = &result
            && self.lives_to_say()
        {
            self.with(|world| {
                if !world.was_disturbed(self.pid) && until.start().0 < began_ms + visibility_s * 1000 {
                    world.violate("a claim was extended by less than was asked for");
                }
                let handed = &mut world.ledger.entries[number].deliveries[at];
                handed.until_ms = Some(until.start().0);
                if !was_latest && !world.ledger.counts_restart && world.boot == 0 {
                    world.violate(format!("I5: a stale receipt of message {number} was extended"));
                }
            });
        }
        self.say(result, "extend");
    }
}
