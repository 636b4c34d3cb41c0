//! The real engine on a simulated machine: schedules, kills, failing calls and power cuts, none of which may break an
//! invariant (I1 to I9).
//!
//! `choices` decides everything, `world` is the machine, `disk` and `crash` what it keeps, `simfs` how the engine
//! sees it, `scheduler` the processes, `operations` what they do, `ledger` the books, `plan` a run, `scenarios` the
//! small cases, `explore` many runs. A new feature joins in `operations`, and in `kinds`.
//!
//! `MQ_SIM_SCHEDULES` sets how many schedules are drawn (a million for a night), `MQ_SIM_FIRST` the first seed of them
//! (0 when it is not set: give every night another one, or it repeats the last one's schedules), `MQ_SIM_SEED` runs one
//! of them again and tells its story. `MQ_SIM_CASES` chooses the small cases that have this in their names, and
//! `MQ_SIM_FAULTS` the deliberate mistakes.

#![allow(missing_docs, unreachable_pub)] // The test's own parts.

use std::collections::BTreeSet;
use std::time::Instant;

mod simulation {
    pub mod batches;
    pub mod caps;
    pub mod choices;
    pub mod crash;
    pub mod disk;
    pub mod edits;
    pub mod expect;
    pub mod explore;
    pub mod groups;
    pub mod kinds;
    pub mod ledger;
    pub mod operations;
    pub mod plan;
    pub mod replays;
    pub mod scenarios;
    pub mod scheduler;
    pub mod simfs;
    pub mod unique;
    pub mod upkeep;
    pub mod world;
}

use mq::store::spool::fs::{Fault, Names};
use simulation::choices::Choices;
use simulation::explore::{Explored, by_seed, exhaust, in_parallel, invariant, shrink, story};
use simulation::plan::{ANYTHING, Plan, run};
use simulation::scenarios::{SCENARIOS, TWO_CLAIMS_OF_AN_EDITED};

/// How many schedules are drawn when nobody says.
const SCHEDULES: u64 = 60_000;

/// In so many schedules every operation ends well, and fails.
const ENOUGH_FOR_ALL: u64 = 20_000;

/// How many runs of one small case are enough: far more than any of them has.
const MOST_OF_A_CASE: u64 = 200_000;

/// How many schedules may be drawn until a mistake is found.
const MOST_FOR_A_FAULT: u64 = 60_000;

/// How many choices a person can follow: a put without a sync needs no more, and most of them are calm.
const MOST_WHEN_SHRUNK: usize = 150;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn all_invariants_hold_in_schedules_drawn_by_seed() {
    if let Some(seed) = number("MQ_SIM_SEED") {
        let outcome = run(&ANYTHING, Choices::from_seed(seed), true);
        eprintln!("{}", outcome.history);
        assert!(outcome.violation.is_none(), "{:?}", outcome.violation);
        return;
    }
    let began = Instant::now();
    let first = number("MQ_SIM_FIRST").unwrap_or(0);
    let (explored, failure) = by_seed(&ANYTHING, first, number("MQ_SIM_SCHEDULES").unwrap_or(SCHEDULES));
    if let Some(failure) = failure {
        panic!("{}", story(&ANYTHING, failure));
    }
    if explored.schedules >= ENOUGH_FOR_ALL {
        assert!(explored.lacks().is_empty(), "{:?}", explored.lacks());
    }
    eprintln!("simulation by seed, from {first} on: {explored}: 0 violations, in {} s", began.elapsed().as_secs());
}

#[test]
fn all_invariants_hold_in_every_schedule_of_small_cases() {
    let began = Instant::now();
    let wanted = std::env::var("MQ_SIM_CASES").unwrap_or_default();
    let cases: Vec<_> = SCENARIOS
        .iter()
        .filter(|scenario| scenario.name.contains(&wanted))
        .flat_map(|scenario| [Names::Ordered, Names::Bare, Names::Whole].map(|model| (scenario, model)))
        .collect();
    let done = in_parallel(&cases, |(scenario, model)| {
        let plan = scenario.plan(*model);
        let (explored, failure) = exhaust(&plan, MOST_OF_A_CASE);
        if let Some(failure) = failure {
            panic!("{} ({model:?}): {}", scenario.name, story(&plan, failure));
        }
        assert!(explored.is_complete, "{} ({model:?}) has more than {MOST_OF_A_CASE} schedules", scenario.name);
        explored
    });
    let mut all = Explored::default();
    for explored in done {
        all.join(explored);
    }
    eprintln!(
        "simulation of {} small cases, every schedule: {all}: 0 violations, in {} s",
        cases.len(),
        began.elapsed().as_secs()
    );
}

/// What each deliberate mistake has to be found by: the invariants that it breaks. One that breaks another only is not
/// understood, or the checks are not.
fn breaks(fault: Fault) -> &'static [&'static str] {
    match fault {
        // What was not synced is gone, or is there and damaged.
        Fault::NoFileSync
        | Fault::WrongFileSync
        | Fault::FailedSyncIgnored
        | Fault::PublishBeforeSync
        | Fault::EditNotSynced
        | Fault::ReplayNotSynced => &["I1", "I3"],
        Fault::NoTemporaryNameSync
        | Fault::NoPublishedNameSync
        | Fault::NoParentSync
        | Fault::MoveByRename
        | Fault::NoBatchSync => &["I1"],
        // Its group waits for one that is not there.
        Fault::GroupUnmarked => &["I1", "I7"],
        Fault::NoDeleteSync | Fault::RemovalUnmarked | Fault::ArchiveNotSynced => &["I4"],
        Fault::CountNotCompared => &["I5"],
        // (What is replayed and was not deleted is there twice.)
        Fault::SweepTakesHeld
        | Fault::SweepTakesLive
        | Fault::LockAfterRename
        | Fault::EditNotNoticed
        | Fault::ReplayOfUndeleted => &["I2"],
        // The writer finds it gone, and no call has failed.
        Fault::SweepTakesWriters => &["I9"],
        Fault::PublishIncomplete | Fault::NotChecked => &["I3"],
        // Two with one number: younger ones come first.
        Fault::CounterGoesBack => &["I8"],
        Fault::CountNotRaised => &["I2", "I6"],
        Fault::UniqueAfterPublish
        | Fault::UniqueNotSynced
        | Fault::UniqueUnlocked
        | Fault::KeyBeforeMessage
        | Fault::KeyLeftBehind => &["unique"],
        // What was claimed or deleted meanwhile is there once more.
        Fault::EditByReplace => &["I2", "I4"],
        // The key of what is archived is not given back.
        Fault::ArchiveUnmarked => &["I7"],
        Fault::GroupUnlocked | Fault::GroupEntryLate | Fault::GroupNotSynced => &["group"],
        Fault::BatchInParts => &["atomic"],
        Fault::RoomUnlocked | Fault::RoomGivenEarly | Fault::RoomOfWritersForgotten => &["cap"],
    }
}

/// The small case that finds a deliberate mistake, of those that would take too long to be met by chance.
fn small_case_for(fault: Fault) -> Option<Plan> {
    let (name, model) = match fault {
        Fault::RemovalUnmarked => ("held claim given back: kills, and a power cut", Names::Bare),
        Fault::EditNotNoticed => {
            return Some(Plan { fault: Some(fault), ..TWO_CLAIMS_OF_AN_EDITED.plan(Names::Ordered) });
        }
        Fault::ArchiveUnmarked => ("archived delete of a unique one: kills", Names::Bare),
        Fault::ReplayNotSynced => ("replay of one: power cuts", Names::Ordered),
        Fault::ReplayOfUndeleted => ("archived delete and replay: kills", Names::Bare),
        Fault::KeyBeforeMessage => ("a unique one moves back: kills", Names::Ordered),
        Fault::KeyLeftBehind => ("a unique one moves back, and a put", Names::Ordered),
        Fault::BatchInParts => ("atomic batch: kills", Names::Ordered),
        Fault::LockAfterRename => ("timed and held claim", Names::Ordered),
        Fault::EditByReplace => ("edit and claim", Names::Ordered),
        Fault::GroupUnmarked => ("archived delete in a group: kills", Names::Ordered),
        Fault::GroupUnlocked => ("two puts to a group", Names::Ordered),
        Fault::GroupEntryLate => ("turn in a group: kills", Names::Ordered),
        Fault::RoomUnlocked => ("two puts to a capped queue", Names::Ordered),
        Fault::RoomGivenEarly => ("put to a full queue and a delete", Names::Ordered),
        Fault::RoomOfWritersForgotten => ("two puts to a capped queue, and a while between", Names::Ordered),
        _ => return None,
    };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a case of this name");
    Some(Plan { fault: Some(fault), ..scenario.plan(model) })
}

/// What proves nothing would find nothing: each deliberate mistake has to be found by the same runs, and by the
/// invariant that it breaks.
#[test]
fn every_deliberate_fault_is_found() {
    let wanted = std::env::var("MQ_SIM_FAULTS").unwrap_or_default();
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| format!("{fault:?}").contains(&wanted)).collect();
    let found = in_parallel(&faults, |fault| {
        if let Some(plan) = small_case_for(*fault) {
            let (explored, failure) = exhaust(&plan, MOST_OF_A_CASE);
            return (failure.map(|failure| (explored.schedules, failure.why)), BTreeSet::new());
        }
        let plan = Plan { fault: Some(*fault), ..ANYTHING };
        // One thread for each, so that the seed that finds it is the same every time.
        let mut others = BTreeSet::new();
        let expected = (0..MOST_FOR_A_FAULT).find_map(|seed| {
            let why = run(&plan, Choices::from_seed(seed), false).violation?;
            if breaks(*fault).contains(&invariant(&why)) {
                return Some((seed + 1, why));
            }
            others.insert(invariant(&why).to_owned());
            None
        });
        (expected, others)
    });
    let mut missed = Vec::new();
    for (fault, (expected, others)) in faults.iter().zip(found) {
        match expected {
            Some((tried, why)) => eprintln!("fault {fault:?}: found by schedule {tried}: {why}"),
            None => missed.push(format!("{fault:?} (to break {:?}; found {others:?})", breaks(*fault))),
        }
    }
    assert!(missed.is_empty(), "not found in {MOST_FOR_A_FAULT} schedules: {missed:?}");
    eprintln!("{} of {} deliberate faults found", faults.len(), Fault::ALL.len());
}

/// A run is what its choices are: the same once more, call for call, and smaller when it is shrunk.
#[test]
fn a_failure_replays_and_shrinks() {
    let plan = Plan { fault: Some(Fault::NoFileSync), ..ANYTHING };
    // One that is long enough to be shrunk.
    let failure = (0..MOST_FOR_A_FAULT)
        .find_map(|seed| by_seed(&plan, seed, 1).1.filter(|failure| failure.script.len() > 3 * MOST_WHEN_SHRUNK))
        .expect("a fault that is found");
    let (why, script, seed) = (failure.why.clone(), failure.script.clone(), failure.seed.expect("drawn by seed"));
    let drawn = run(&plan, Choices::from_seed(seed), true);
    let again = run(&plan, Choices::from_script(script.clone()), true);
    assert_eq!(drawn.violation.as_ref(), Some(&why), "the same seed made another run");
    assert_eq!(again.violation.as_ref(), Some(&why), "the same choices made another run");
    assert!(
        drawn.history == again.history,
        "the same choices made another history:\n{}\n{}",
        drawn.history,
        again.history
    );
    let small = shrink(&plan, failure, std::time::Duration::from_secs(20));
    eprintln!("a failure of {} choices is shrunk to {}", script.len(), small.script.len());
    assert!(small.script.len() <= MOST_WHEN_SHRUNK, "{} choices are left", small.script.len());
    assert_eq!(invariant(&small.why), invariant(&why), "it shrank to another failure");
    let told = run(&plan, Choices::from_script(small.script), true);
    assert!(told.history.contains("POWER CUT") && told.history.contains("VIOLATION"), "{}", told.history);
}
