//! Virtual processes: coroutines that run the engine's code, one at a time, from point to point.

use std::panic::{AssertUnwindSafe, catch_unwind};

use generator::{Generator, Gn};

use super::operations::Actor;
use super::world::{Next, Pid, Shared, hold};

/// Enough for the engine's deepest call in a build without optimisation, in words.
const STACK_WORDS: usize = 64 * 1024;

/// What a process runs.
pub type Program<'a> = Box<dyn FnOnce(Actor) + Send + 'a>;

fn start<'a>(world: &Shared, pid: Pid, program: Program<'a>) -> Generator<'a, (), ()> {
    let world = world.clone();
    Gn::new_opt(STACK_WORDS, move || {
        let actor = Actor { world: world.clone(), pid };
        let ran = catch_unwind(AssertUnwindSafe(|| program(actor)));
        let mut world = hold(&world);
        if ran.is_err() {
            world.violate(format!("p{pid} panicked"));
        }
        world.finished(pid);
    })
}

/// Runs programs as processes of the world until all have ended, died, or lost power.
pub fn run(world: &Shared, programs: Vec<Program<'_>>) {
    hold(world).set_processes(programs.len());
    let mut processes: Vec<_> =
        programs.into_iter().enumerate().map(|(pid, program)| start(world, pid, program)).collect();
    loop {
        let next = hold(world).decide();
        let Next::Run(pid) = next else { break };
        processes[pid].resume();
    }
}

/// Gives the turn back to the schedule; returns when it is this process's turn again.
#[allow(deprecated)] // Its successor wants a scope handed down, and there is no way for one through the engine.
pub fn pause() {
    generator::yield_with(());
}
