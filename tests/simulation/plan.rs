//! A run from its beginning to its end: a machine with a queue, processes and what befalls them, then peace, in
//! which everything is taken out and the books are closed.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mq::domain::queue::Expired;
use mq::domain::{Durability, Policy};
use mq::store::Store as _;
use mq::store::spool::Spool;
use mq::store::spool::fs::{Fault, Names};

use super::choices::{Choice, Choices};
use super::disk::{Disk, Node, ROOT};
use super::operations::{Actor, OTHER, Operation, QUEUE, ROOT as ROOT_PATH, queue};
use super::scheduler::{self, Program};
use super::simfs::SimClock;
use super::world::{Counts, Limits, START_MS, Shared, World, hold};

/// What is run.
#[derive(Clone)]
pub struct Plan {
    /// The file system; drawn when it is not said.
    pub model: Option<Names>,
    pub policy: fn() -> Policy,
    /// What is done in peace before the processes start.
    pub before: &'static [Operation],
    /// What the processes do; drawn when there are none.
    pub processes: &'static [&'static [Operation]],
    /// What may befall them, when it is not drawn.
    pub limits: Limits,
    pub fault: Option<Fault>,
}

/// Everything drawn.
pub const ANYTHING: Plan =
    Plan { model: None, policy: Policy::default, before: &[], processes: &[], limits: Limits::CALM, fault: None };

/// What came of a run.
pub struct Outcome {
    pub violation: Option<String>,
    pub counts: Counts,
    pub taken: Vec<Choice>,
    pub history: String,
}

/// Longer than anything lasts in a run.
const PEACE_MS: u64 = 2 * 3600 * 1000;

const MODELS: [Names; 3] = [Names::Ordered, Names::Bare, Names::Whole];

fn drawn_policy(choices: &mut Choices) -> Policy {
    let mut policy = Policy::default();
    match choices.pick(10) {
        0..4 => {}
        4 => policy.retry_delay = Duration::from_secs(3),
        5 | 6 => policy.max_deliveries = Some(2),
        7 => policy.max_messages = Some(2),
        8 => policy.expired = Expired::DeadLetter,
        _ => policy.durability = Durability::None,
    }
    // One that is over in the peace, one that is not, and one that is over while all are at work.
    policy.archive = [None, None, Some(3600), Some(86_400), Some(1)][choices.pick(5)].map(Duration::from_secs);
    policy
}

fn drawn_limits(choices: &mut Choices) -> Limits {
    Limits {
        switches: u32::MAX,
        errors: [0, 1, 3][choices.pick(3)],
        kills: [0, 1, 2][choices.pick(3)],
        cuts: [0, 1, 1, 2][choices.pick(4)],
        ends_in_cut: false,
        ticks: [0, 2, 5][choices.pick(3)],
        switch_one_in: [2, 5, 20][choices.pick(3)],
        fault_one_in: [10, 30, 60][choices.pick(3)],
    }
}

/// Runs the plan by these choices.
pub fn run(plan: &Plan, choices: Choices, keeps_history: bool) -> Outcome {
    let mut choices = choices;
    let model = plan.model.unwrap_or_else(|| MODELS[choices.pick(MODELS.len())]);
    let is_drawn = plan.processes.is_empty();
    let policy = if is_drawn { drawn_policy(&mut choices) } else { (plan.policy)() };
    let limits = if is_drawn { drawn_limits(&mut choices) } else { plan.limits.clone() };
    let mut disk = Disk::new(START_MS);
    disk.inodes[ROOT].modified_ms = START_MS;
    let mut world = World::new(disk, model, choices, keeps_history);
    world.fault = plan.fault;
    world.ledger.is_unsynced = policy.durability == Durability::None;
    world.ledger.is_bare = model == Names::Bare;
    world.ledger.limit = policy.max_deliveries;
    world.ledger.lowest_limit = policy.max_deliveries;
    world.ledger.cap = policy.max_messages;
    world.ledger.keeps_expired = policy.expired == Expired::DeadLetter;
    world.ledger.has_dead_letters = policy.max_deliveries.is_some() || world.ledger.keeps_expired;
    world.ledger.keeps_archive = policy.archive.is_some_and(|keep| keep.as_millis() > u128::from(PEACE_MS));
    world.ledger.forgets_archive = policy.archive.is_some() && !world.ledger.keeps_archive;
    world.is_exhaustive = !is_drawn;
    world.listing = if is_drawn { world.choices.pick(3) } else { 1 };
    // What is done where the file system cannot be told has to be right on each of them.
    world.is_unknown = is_drawn && world.choices.pick(16) == 15;
    // (Not drawn anew: what was drawn for something else is as good.)
    world.can_exchange |= is_drawn && world.listing > 0;
    let world: Shared = Arc::new(Mutex::new(world));
    prepare(&world, plan, &policy);
    hold(&world).limits = limits;
    live(&world, plan);
    recover(&world);
    let mut world = Arc::into_inner(world).expect("all processes have ended").into_inner().expect("no panic");
    let now_ms = world.disk.now_ms;
    let keys = if world.promises_keys() { world.ledger.check_keys() } else { Ok(()) };
    let batches = world.ledger.check_batches();
    if let Err(why) = world.ledger.close(now_ms).and(keys).and(batches) {
        world.violate(why);
    }
    Outcome {
        violation: world.violation.take(),
        counts: world.counts,
        taken: world.choices.taken().to_vec(),
        history: world.history().to_owned(),
    }
}

fn prepare(world: &Shared, plan: &Plan, policy: &Policy) {
    let program: Program<'_> = Box::new(|actor| {
        let spool = actor.spool().expect("nothing is there yet");
        spool.create_queue(&queue(QUEUE), policy, None).expect("a queue");
        let mut operations = plan.before.iter().copied();
        actor.run(|_| operations.next());
    });
    scheduler::run(world, vec![program]);
    let mut world = hold(world);
    world.disk.sync_all();
    world.disk.log.clear();
}

/// The processes, and after each power cut others.
fn live(world: &Shared, plan: &Plan) {
    for _ in 0..=2 {
        let boot = hold(world).boot;
        let programs: Vec<Program<'_>> = if plan.processes.is_empty() {
            let count = 1 + hold(world).choices.pick(3);
            (0..count).map(|_| drawn_program(world)).collect()
        } else if boot == 0 {
            plan.processes.iter().map(|operations| given_program(operations)).collect()
        } else {
            Vec::new()
        };
        scheduler::run(world, programs);
        if hold(world).boot == boot {
            break;
        }
    }
    let mut world = hold(world);
    world.end_commands();
    // What was acknowledged last has to survive, too.
    if world.limits.ends_in_cut || world.limits.cuts > 0 && world.choices.pick(2) > 0 {
        world.cut_power();
    }
}

fn given_program<'a>(operations: &'static [Operation]) -> Program<'a> {
    Box::new(move |actor| {
        let mut operations = operations.iter().copied();
        actor.run(|_| operations.next());
    })
}

fn drawn_program<'a>(world: &Shared) -> Program<'a> {
    let mut left = 1 + hold(world).choices.pick(5);
    Box::new(move |actor| {
        actor.run(|world| {
            left = left.checked_sub(1)?;
            let may_be_archived = world.ledger.may_be_archived();
            Some(Operation::any(&mut world.choices, may_be_archived))
        });
    })
}

/// Peace: nothing fails any more, all claims have ended, and all is taken out.
fn recover(world: &Shared) {
    {
        let mut world = hold(world);
        world.limits = Limits::CALM;
        world.tell(None, || "PEACE".to_owned());
        world.pass_ms(PEACE_MS);
    }
    let program: Program<'_> = Box::new(|actor| {
        // Whoever makes or drops a queue puts in order what others left who died at that.
        if let Ok(spool) = actor.spool() {
            let made = spool.create_queue(&queue("scratch"), &Policy::default(), None);
            let dropped = made.and_then(|()| spool.drop_queue(&queue("scratch"), false));
            if let Err(error) = dropped {
                actor.with(|world| world.violate(format!("I9: nothing can be made or dropped any more: {error}")));
            }
        }
        actor.resume_for_good();
        actor.check_room();
        // Now and then something is broken by hand, where that is all that is wrong.
        if actor.with(|world| {
            let is_whole = world.all_is_heard_of() && !world.is_exhaustive && !world.ledger.may_be_damaged;
            is_whole && world.choices.pick(4) == 3
        }) {
            actor.damage_and_repair();
        }
        // A queue that somebody died at dropping is there again.
        for name in [QUEUE, OTHER, "q.dead", "r.dead"] {
            actor.drain(name);
        }
        sweep_keys(&actor);
        // What was archived only now is over as well by then; and a batch's directory, which counts as young when a second
        // name of a message was removed from it, old.
        if actor.with(|world| !world.is_exhaustive || world.ledger.forgets_archive) {
            actor.with(|world| world.pass_ms(PEACE_MS));
            actor.drain(QUEUE);
        }
        sweep_young(&actor);
        actor.with(check_leftovers);
        if actor.with(|world| !world.is_exhaustive && !world.is_unknown && world.choices.pick(8) > 6) {
            look_again(&actor);
        }
    });
    scheduler::run(world, vec![program]);
}

/// Lets the second come in which the sweep looks for what is left of each key and each group.
fn sweep_keys(actor: &Actor) {
    let shards = actor.with(|world| {
        let mut shards = std::collections::BTreeSet::new();
        for part in ["/spool/q/unique", "/spool/q/groups", "/spool/r/unique", "/spool/r/groups"] {
            if let Ok(names) = world.disk.find(Path::new(part)).and_then(|dir| world.disk.dir(dir)) {
                shards.extend(names.keys().map(ToString::to_string));
            }
        }
        shards
    });
    for shard in shards {
        let shard = u64::from_str_radix(&shard, 16).expect("a shard");
        actor.with(|world| {
            // As the engine goes round.
            let turn_of = |second: u64| second.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
            let now_s = world.disk.now_ms / 1000;
            let second =
                (now_s + 1..now_s + 9999).find(|second| turn_of(*second) == shard).expect("every shard has its turn");
            world.disk.now_ms = second * 1000;
        });
        actor.drain(QUEUE);
        actor.drain(OTHER);
    }
}

/// Lets the time pass in which what was just changed in `tmp/` is left alone.
fn sweep_young(actor: &Actor) {
    for name in [QUEUE, OTHER] {
        let tmp = Path::new(ROOT_PATH).join(name).join("tmp");
        let is_empty = actor.with(|world| {
            let dir =
                world.disk.find(&tmp).and_then(|dir| world.disk.dir(dir).map(std::collections::BTreeMap::is_empty));
            dir.unwrap_or(true)
        });
        if !is_empty {
            actor.with(|world| world.pass_ms(10_000));
            actor.drain(name);
        }
    }
}

/// A repair leaves nothing for another one.
fn look_again(actor: &Actor) {
    let spool = Spool::unchecked(ROOT_PATH, actor.fs(), SimClock(actor.world.clone()));
    let mut findings = Vec::new();
    let repaired = spool.fsck(&[], true, &mut |_| {}).map(|_| ());
    let looked = repaired.and_then(|()| spool.fsck(&[], false, &mut |finding| findings.push(finding)));
    let looked = looked.map_err(|error| error.to_string()).and_then(|_| match findings.first() {
        None => Ok(()),
        Some(finding) => Err(format!("{} {}", finding.path.display(), finding.what)),
    });
    if let Err(why) = looked {
        actor.with(|world| world.violate(format!("I7: fsck: {why}")));
    }
}

/// I7: nothing is left over but what a queue always has, and the directory at the tail of each priority.
fn check_leftovers(world: &mut World) {
    let mut left = Vec::new();
    let mut tails = std::collections::BTreeMap::new();
    let mut todo = vec![(ROOT, String::new())];
    while let Some((dir, path)) = todo.pop() {
        for (name, ino) in world.disk.dir(dir).expect("a directory") {
            let path = format!("{path}/{name}");
            let parts: Vec<&str> = path.split('/').skip(3).collect();
            if let Node::Dir(_) = world.disk.inodes[*ino].node {
                todo.push((*ino, path.clone()));
            }
            let is_expected = match parts.as_slice() {
                [] => !name.starts_with('.'),
                [_] | ["spare" | "ready" | "unique" | "groups", _] | ["claimed", "held"] => true,
                ["ready", priority, rest @ ..] if rest.len() <= 2 => {
                    let key = (path.split('/').nth(2).map(str::to_owned), (*priority).to_owned(), rest.len());
                    *tails.entry(key).or_insert(0) += 1;
                    true
                }
                ["archive", ..] => world.ledger.keeps_archive,
                ["corrupt", _] => world.ledger.may_be_damaged,
                // Whole temporaries wait there for somebody who knows the file system.
                ["tmp", _] => world.is_unknown,
                // Of a message that was set aside by one who died over it.
                ["unique" | "groups", ..] => world.is_unknown || world.ledger.may_be_damaged,
                _ => false,
            };
            if !is_expected {
                left.push(path);
            }
        }
    }
    let branches = tails.iter().filter(|(_, count)| **count > 1);
    left.extend(
        branches.map(|((queue, priority, _), count)| format!("{count} directories in {queue:?} ready/{priority}")),
    );
    if !left.is_empty() {
        world.violate(format!("I7: left over: {}", left.join(", ")));
    }
}

/// A policy that parks what is too old.
pub fn parks_what_is_old() -> Policy {
    Policy { expired: Expired::DeadLetter, ..Policy::default() }
}

/// A policy that keeps what is deleted for longer than all lasts: nothing else may be left of it.
pub fn with_archive() -> Policy {
    Policy { archive: Some(Duration::from_secs(86_400)), ..Policy::default() }
}

/// A policy that keeps what is deleted for a moment.
pub fn with_short_archive() -> Policy {
    Policy { archive: Some(Duration::from_secs(1)), ..Policy::default() }
}

/// A policy that gives up soon.
pub fn two_deliveries() -> Policy {
    Policy { max_deliveries: Some(2), visibility: Duration::from_secs(2), ..Policy::default() }
}

/// A policy that leaves alone what has failed.
pub fn backing_off() -> Policy {
    let retry_jitter = "50%".parse().expect("a percentage");
    Policy { retry_delay: Duration::from_secs(4), retry_jitter, ..Policy::default() }
}
