//! The real engine on a simulated machine: schedules, kills, failing calls and power cuts, none of which may break an
//! invariant (I1 to I9).
//!
//! `choices` decides everything, `world` is the machine, `disk` and `crash` what it keeps, `simfs` how the engine
//! sees it, `scheduler` the processes, `operations` what they do, `ledger` the books, `plan` a run, `explore` many.
//!
//! `MQ_SIM_SCHEDULES` sets how many schedules are drawn, `MQ_SIM_SEED` runs one of them again and tells its story.

#![allow(missing_docs, unreachable_pub)] // The test's own parts.

use std::time::Instant;

mod simulation {
    pub mod choices;
    pub mod crash;
    pub mod disk;
    pub mod explore;
    pub mod ledger;
    pub mod operations;
    pub mod plan;
    pub mod scheduler;
    pub mod simfs;
    pub mod world;
}

use simulation::choices::Choices;
use simulation::explore::{by_seed, story};
use simulation::plan::{ANYTHING, run};

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
    let (explored, failure) = by_seed(&ANYTHING, 0, number("MQ_SIM_SCHEDULES").unwrap_or(50_000));
    if let Some(failure) = failure {
        panic!("{}", story(&ANYTHING, failure));
    }
    eprintln!("simulation: {explored}: 0 violations, in {} s", began.elapsed().as_secs());
}
