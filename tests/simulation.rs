//! The real engine on a simulated machine: schedules, kills, failing calls and power cuts, none of which may break an
//! invariant (I1 to I9).
//!
//! `choices` decides everything, `world` is the machine, `disk` and `crash` what it keeps, `simfs` how the engine
//! sees it, `scheduler` the processes, `operations` what they do, `ledger` the books, `plan` a run, `scenarios` the
//! small cases, `explore` many runs. A new feature joins in `operations`.
//!
//! `MQ_SIM_SCHEDULES` sets how many schedules are drawn (a million for a night), `MQ_SIM_SEED` runs one of them
//! again and tells its story.

#![allow(missing_docs, unreachable_pub)] // The test's own parts.

use std::time::Instant;

mod simulation {
    pub mod choices;
    pub mod crash;
    pub mod disk;
    pub mod expect;
    pub mod explore;
    pub mod ledger;
    pub mod operations;
    pub mod plan;
    pub mod scenarios;
    pub mod scheduler;
    pub mod simfs;
    pub mod unique;
    pub mod upkeep;
    pub mod world;
}

use mq::store::spool::fs::{Fault, Names};
use simulation::choices::Choices;
use simulation::explore::{Explored, by_seed, exhaust, in_parallel, story};
use simulation::plan::{ANYTHING, Plan, run};
use simulation::scenarios::SCENARIOS;

/// How many schedules are drawn when nobody says.
const SCHEDULES: u64 = 60_000;

/// How many runs of one small case are enough: far more than any of them has.
const MOST_OF_A_CASE: u64 = 200_000;

/// How many schedules may be drawn until a mistake is found.
const MOST_FOR_A_FAULT: u64 = 60_000;

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
    let (explored, failure) = by_seed(&ANYTHING, 0, number("MQ_SIM_SCHEDULES").unwrap_or(SCHEDULES));
    if let Some(failure) = failure {
        panic!("{}", story(&ANYTHING, failure));
    }
    eprintln!("simulation by seed: {explored}: 0 violations, in {} s", began.elapsed().as_secs());
}

#[test]
fn all_invariants_hold_in_every_schedule_of_small_cases() {
    let began = Instant::now();
    let cases: Vec<_> = SCENARIOS
        .iter()
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

/// What proves nothing would find nothing: each deliberate mistake has to be found by the same runs.
#[test]
fn every_deliberate_fault_is_found() {
    let found = in_parallel(&Fault::ALL, |fault| {
        let plan = Plan { fault: Some(*fault), ..ANYTHING };
        // One thread for each, so that the seed that finds it is the same every time.
        let mut tried = 0;
        (0..MOST_FOR_A_FAULT).find_map(|seed| {
            tried += 1;
            run(&plan, Choices::from_seed(seed), false).violation.map(|why| (tried, why))
        })
    });
    let mut missed = Vec::new();
    for (fault, found) in Fault::ALL.iter().zip(found) {
        match found {
            Some((tried, why)) => eprintln!("fault {fault:?}: found by schedule {tried}: {why}"),
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found in {MOST_FOR_A_FAULT} schedules: {missed:?}");
    eprintln!("{} of {} deliberate faults found", Fault::ALL.len(), Fault::ALL.len());
}

/// A run is what its choices are: the same once more, and smaller when it is shrunk.
#[test]
fn a_failure_replays_and_shrinks() {
    let plan = Plan { fault: Some(Fault::NoFileSync), ..ANYTHING };
    let (_, failure) = by_seed(&plan, 0, MOST_FOR_A_FAULT);
    let failure = failure.expect("a fault that is found");
    let (why, script) = (failure.why.clone(), failure.script.clone());
    let again = run(&plan, Choices::from_script(script.clone()), false);
    assert_eq!(again.violation.as_ref(), Some(&why), "the same choices made another run");
    let small = simulation::explore::shrink(&plan, failure, std::time::Duration::from_secs(20));
    assert!(small.script.len() < script.len() || script.len() < 30, "{} choices did not shrink", script.len());
    let told = run(&plan, Choices::from_script(small.script), true);
    assert!(told.history.contains("POWER CUT") && told.history.contains("VIOLATION"), "{}", told.history);
}
