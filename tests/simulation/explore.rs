//! Going through runs: all of them up to a bound, or many by seed; and what is done with one that fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::choices::{Choices, next_script};
use super::kinds::KINDS;
use super::plan::{Outcome, Plan, run};
use super::world::Counts;

/// What was gone through.
#[derive(Debug, Default, Clone, Copy)]
pub struct Explored {
    pub schedules: u64,
    pub counts: Counts,
    /// Whether every schedule within the bounds was run.
    pub is_complete: bool,
}

impl Explored {
    fn add(&mut self, counts: &Counts) {
        self.schedules += 1;
        self.counts.calls += counts.calls;
        self.counts.errors += counts.errors;
        self.counts.kills += counts.kills;
        self.counts.cuts += counts.cuts;
        self.counts.operations += counts.operations;
        for (all, one) in self.counts.ends.iter_mut().zip(counts.ends) {
            all[0] += one[0];
            all[1] += one[1];
        }
    }

    pub fn join(&mut self, other: Self) {
        let schedules = self.schedules + other.schedules;
        self.add(&other.counts);
        self.schedules = schedules;
    }
}

impl Explored {
    /// What did not happen although it should have: a run without it would hold of it whatever the engine does.
    pub fn lacks(&self) -> Vec<String> {
        let Counts { errors, kills, cuts, ends, .. } = self.counts;
        let misfortunes = [("error", errors), ("kill", kills), ("power cut", cuts)];
        let never = misfortunes.iter().filter(|(_, count)| *count == 0).map(|(what, _)| format!("no {what}"));
        let one_sided =
            // (Time passes whatever happens, and in small cases only.)
            KINDS.iter().zip(ends).filter(|(kind, ends)| ends.contains(&0) && **kind != "Pass").map(|(kind, [well, failed])| {
                format!("{kind} ended well {well} times, and with an error {failed} times")
            });
        never.chain(one_sided).collect()
    }
}

impl std::fmt::Display for Explored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { calls, errors, kills, cuts, operations, .. } = self.counts;
        write!(
            f,
            "{} schedules, {operations} operations, {calls} calls, {errors} errors, {kills} kills, {cuts} power cuts",
            self.schedules
        )
    }
}

/// A run in which an invariant did not hold.
#[derive(Debug)]
pub struct Failure {
    pub seed: Option<u64>,
    pub why: String,
    pub script: Vec<u32>,
}

fn failure(seed: Option<u64>, outcome: &Outcome) -> Option<Failure> {
    let why = outcome.violation.clone()?;
    Some(Failure { seed, why, script: outcome.taken.iter().map(|choice| choice.value).collect() })
}

/// Every run of a plan, depth first, up to so many.
pub fn exhaust(plan: &Plan, most: u64) -> (Explored, Option<Failure>) {
    let mut explored = Explored::default();
    let mut script = Some(Vec::new());
    while let Some(next) = script {
        if explored.schedules >= most {
            return (explored, None);
        }
        let outcome = run(plan, Choices::from_script(next), false);
        explored.add(&outcome.counts);
        if let Some(failure) = failure(None, &outcome) {
            return (explored, Some(failure));
        }
        script = next_script(&outcome.taken);
    }
    explored.is_complete = true;
    (explored, None)
}

/// Does something to each of many, on all processors; the results in the same order.
pub fn in_parallel<T: Sync, R: Send>(all: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some((at, one)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, all.get(at)?))) {
            let result = act(one);
            done.lock().expect("no panic").push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs by seed from `first` on, on all processors, until `most` are done or one fails.
pub fn by_seed(plan: &Plan, first: u64, most: u64) -> (Explored, Option<Failure>) {
    let next = AtomicU64::new(first);
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    let all = Mutex::new(Explored::default());
    let work = || {
        let mut explored = Explored::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + most {
                break;
            }
            let outcome = run(plan, Choices::from_seed(seed), false);
            explored.add(&outcome.counts);
            if let Some(failure) = failure(Some(seed), &outcome) {
                next.fetch_add(most, Ordering::Relaxed);
                let mut failed = failed.lock().expect("no panic");
                // The smallest seed of those that failed at the same time: the same one in every run.
                if failed.as_ref().is_none_or(|other| Some(seed) < other.seed) {
                    *failed = Some(failure);
                }
                break;
            }
        }
        all.lock().expect("no panic").join(explored);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(work);
        }
    });
    (all.into_inner().expect("no panic"), failed.into_inner().expect("no panic"))
}

/// The invariant that a violation names: what has to stay the same while a failure shrinks.
pub fn invariant(why: &str) -> &str {
    why.split([' ', ':']).next().unwrap_or_default()
}

/// How many of the first choices say what kind of run it is, and in how many ways each is gone on with.
const BEGINNINGS: usize = 12;
const WAYS: u64 = 48;

/// A smaller run that breaks the same invariant: gone on with by chance (with fewer processes every later choice would
/// mean something else), choices left out, made calm, made smaller.
pub fn shrink(plan: &Plan, failure: Failure, at_most: Duration) -> Failure {
    let end = Instant::now() + at_most;
    let mut best = failure;
    let attempt = |choices: Choices, best: &Failure| -> Option<Failure> {
        let outcome = run(plan, choices, false);
        let found = self::failure(best.seed, &outcome)?;
        let is_better = (found.script.len(), &found.script) < (best.script.len(), &best.script);
        (invariant(&found.why) == invariant(&best.why) && is_better).then_some(found)
    };
    let mut improved = true;
    while improved && Instant::now() < end {
        improved = false;
        for begun in 0..BEGINNINGS {
            for seed in (0..WAYS).take_while(|_| Instant::now() < end) {
                let choices = Choices::from_script_and_seed(best.script.iter().copied().take(begun).collect(), seed);
                if let Some(shorter) = attempt(choices, &best).filter(|found| found.script.len() < best.script.len()) {
                    (best, improved) = (shorter, true);
                }
            }
        }
        let mut len = best.script.len().max(2) / 2;
        while len > 0 && Instant::now() < end {
            let mut at = 0;
            while at < best.script.len() && Instant::now() < end {
                let to = (at + len).min(best.script.len());
                let mut without = best.script.clone();
                without.drain(at..to);
                let mut calm = best.script.clone();
                calm[at..to].fill(0);
                let mut smaller = best.script.clone();
                smaller[at] /= 2;
                let tries = [without, calm, smaller];
                match tries.into_iter().find_map(|script| attempt(Choices::from_script(script), &best)) {
                    Some(better) => (best, improved) = (better, true),
                    None => at = to,
                }
            }
            len /= 2;
        }
    }
    best
}

/// The whole story of a failure, small enough to be read, and how to see it again.
pub fn story(plan: &Plan, failure: Failure) -> String {
    let seed = failure.seed.map(|seed| format!(" by seed {seed}")).unwrap_or_default();
    let long = failure.script.len();
    let small = shrink(plan, failure, Duration::from_secs(60));
    let told = run(plan, Choices::from_script(small.script.clone()), true);
    format!(
        "{}\nfound{seed}; shrunk from {long} choices to {}: {:?}\n{}",
        small.why,
        small.script.len(),
        small.script,
        told.history
    )
}
