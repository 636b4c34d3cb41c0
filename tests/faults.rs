//! Every verb, killed at and failed by every call it makes that changes something, in both orders.
//!
//! Each case begins with a fresh copy of a spool whose messages are known, runs one verb under strace(1), which kills
//! it at the n-th of its calls of one name or lets that call fail, and then accounts for every message: what was
//! there before and was not to be deleted is there, body for body (I1, I3); what was told to be deleted does not
//! come back (I4); no count falls (I6); nothing is left that a sweep would leave (I7); a status of 0 means that all
//! was done, any other comes with a sentence, and no id is printed for a message that is not there (I9).
//!
//! `MQ_FAULTS=all` leaves none out; `MQ_FAULTS_OF` names the one verb to look at.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

/// Its files lie in `tests/faults/`.
mod faults {
    pub(crate) mod inject;
    pub(crate) mod oracle;
    pub(crate) mod verbs;
    pub(crate) mod world;
}

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mq::store::spool::{Order, Spool};

use common::{Overlay, scratch, skipped};
use faults::inject::{self, Call, Harm, Ran};
use faults::oracle;
use faults::verbs::{self, Verb};
use faults::world::Worlds;

/// A directory in whose file system the verbs are run, and the order that is in force there.
struct Place {
    dir: PathBuf,
    order: Order,
    /// Unmounts or removes what the place needed, last.
    _keep: Box<dyn Send + Sync>,
}

impl Place {
    fn new(dir: PathBuf, keep: impl Send + Sync + 'static) -> Self {
        let order = Spool::open(&dir).expect("an empty directory").order();
        Self { dir, order, _keep: Box::new(keep) }
    }
}

/// One for each order that this machine has a file system for: memory, and an overlay in memory; where that cannot be
/// mounted, the system's temporary directory, if it asks for the other order.
fn places() -> Vec<Place> {
    let memory = scratch();
    let memory = Place::new(memory.path().to_owned(), memory);
    let other = if let Some(overlay) = Overlay::new() {
        Place::new(overlay.root(), overlay)
    } else {
        let disk = tempfile::Builder::new().prefix("mq-test-").tempdir().expect("a temporary directory");
        Place::new(disk.path().to_owned(), disk)
    };
    if other.order == memory.order {
        eprintln!("no file system here asks for another order than {:?}", memory.order);
        return vec![memory];
    }
    vec![memory, other]
}

/// What has been done so far.
#[derive(Default)]
struct Tally {
    kills: AtomicUsize,
    errors: AtomicUsize,
    missed: AtomicUsize,
    violations: Mutex<Vec<String>>,
}

/// One verb at one place under one harm.
struct Case<'a> {
    place: &'a Place,
    verb: &'a Verb,
    worlds: &'a Worlds,
}

impl Case<'_> {
    /// Runs it; what strace saw, and what is wrong with it.
    fn run(&self, harm: Option<(&Call, Harm)>) -> (Ran, Vec<String>) {
        let dir = self.place.dir.join(case_number().to_string());
        let world = self.worlds.get(self.verb.world);
        world.copy_to(&dir, &self.verb.queues);
        let ran = inject::run(&dir, self.verb, harm);
        let wrong = oracle::judge(&dir, self.verb, world, &ran, self.place.order);
        std::fs::remove_dir_all(&dir).expect("the case's directory");
        (ran, wrong)
    }
}

impl Tally {
    /// Runs a case and counts what came of it.
    fn take(&self, case: &Case<'_>, call: &Call, harm: Harm) {
        let (ran, wrong) = case.run(Some((call, harm)));
        let counter = match (ran.was_harmed, harm) {
            (false, _) => &self.missed,
            (true, Harm::Kill) => &self.kills,
            (true, Harm::Fail(_)) => &self.errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !wrong.is_empty() {
            let mut all = self.violations.lock().unwrap();
            all.push(format!(
                "in the {:?} order: mq {}\n  {harm} at {} {}: {}\n  it ended with {:?}; stderr: {}\n  wrong: {}",
                case.place.order,
                case.verb.args.join(" "),
                call.name,
                call.nth,
                ran.at.as_deref().unwrap_or(&call.text),
                ran.status,
                ran.stderr.trim_end(),
                wrong.join("\n  wrong: "),
            ));
        }
    }
}

/// The harms that each verb is to be done at a place, found out by a run without any, which has to be right too.
fn plan<'a>(place: &'a Place, verbs: &'a [Verb], worlds: &'a Worlds) -> Vec<(&'a Verb, Call, Harm)> {
    let (mut plan, mut chosen, mut made) = (Vec::new(), 0, 0);
    for verb in verbs {
        let (ran, wrong) = Case { place, verb, worlds }.run(None);
        assert!(wrong.is_empty(), "mq {}, unharmed: {}\n{}", verb.args.join(" "), wrong.join("\n"), ran.stderr);
        (chosen, made) = (chosen + ran.calls.len(), made + ran.made);
        for call in ran.calls {
            // What the program makes of a look that fails is the same in both orders.
            if call.is_change() || place.order == Order::RollForward {
                plan.extend(inject::harms(&call).into_iter().map(|harm| (verb, call.clone(), harm)));
            }
        }
    }
    let rest = if inject::all() { "" } else { "; the rest, and every error of each, with MQ_FAULTS=all" };
    eprintln!("{chosen} of {made} calls{rest}");
    plan
}

/// A case waits for processes and for the disk much longer than it computes.
const THREADS_PER_CPU: usize = 4;

#[test]
fn i1_i3_i4_i7_i9_every_call_of_every_verb_killed_and_failed() {
    if !inject::is_possible() {
        return skipped("strace, and a system that allows ptrace");
    }
    let worlds = Worlds::new();
    let only = std::env::var("MQ_FAULTS_OF").ok();
    let is_meant = |verb: &Verb| only.as_ref().is_none_or(|only| verb.args[0] == *only);
    let verbs: Vec<Verb> = verbs::all(&worlds).into_iter().filter(is_meant).collect();
    let (mut kills, mut errors, mut violations) = (0, 0, Vec::new());
    for place in places() {
        let begun = Instant::now();
        let plan = plan(&place, &verbs, &worlds);
        eprintln!("{} cases in the {:?} order", plan.len(), place.order);
        let (next, tally) = (AtomicUsize::new(0), Tally::default());
        std::thread::scope(|threads| {
            for _ in 0..THREADS_PER_CPU * std::thread::available_parallelism().map_or(2, usize::from) {
                threads.spawn(|| {
                    while let Some((verb, call, harm)) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                        tally.take(&Case { place: &place, verb, worlds: &worlds }, call, *harm);
                    }
                });
            }
        });
        let (k, e) = (tally.kills.into_inner(), tally.errors.into_inner());
        let found = tally.violations.into_inner().unwrap();
        eprintln!(
            "faults: {k} kills and {e} errors injected into {} verbs in the {:?} order: {} violations ({} missed, {:.0?})",
            verbs.len(),
            place.order,
            found.len(),
            tally.missed.into_inner(),
            begun.elapsed(),
        );
        for violation in first_of(&found) {
            eprintln!("{violation}\n");
        }
        (kills, errors) = (kills + k, errors + e);
        violations.extend(found);
    }
    assert!(violations.is_empty(), "{} violations, see above", violations.len());
    assert!(only.is_some() || kills >= 1000 && errors >= 1000, "only {kills} kills and {errors} errors");
}

fn first_of(violations: &[String]) -> &[String] {
    &violations[..violations.len().min(20)]
}

/// A number that no other case has.
fn case_number() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
