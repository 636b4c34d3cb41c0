//! How fast `mq` is, as ratios: `cargo bench --bench speed -- [OPTIONS]`.
//!
//! Every figure stands beside a *floor*: a bare program that makes only the system calls which the same
//! outcome needs, with the same durability, on the same file system, in the same run ([`floor`]). The two are
//! measured in turns, so that whatever drifts drifts for both. What is printed is a table; nothing here fails
//! because something is slow.
//!
//! Without the `--bench` that `cargo bench` passes (so under `cargo test --benches`) the pass is small.

#![forbid(unsafe_code)]
// A benchmark is no part of the program: it makes its own files, and its floors go to the system directly.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::context::Bench;
use self::options::Options;
use self::place::Place;
use self::table::Table;

mod bulk;
mod calls;
mod context;
mod convert;
mod depth;
mod floor;
mod groups;
mod memory;
mod oneshot;
mod options;
mod peers;
mod place;
mod samples;
mod table;
mod wake;
mod workers;

/// A part of the benchmark: its name for `--only`, and what measures it.
type Part = (&'static str, fn(&Bench, &mut Table) -> Result<()>);

const PARTS: [Part; 12] = [
    ("oneshot", oneshot::run),
    ("peers", peers::run),
    ("calls", calls::run),
    ("in-process", workers::run_in_process),
    ("eight", workers::run_eight),
    ("lines", bulk::run),
    ("wake", wake::run),
    ("body", memory::run_bodies),
    ("depth", depth::run),
    ("groups", groups::run),
    ("memory", memory::run_many),
    ("convert", convert::run),
];

fn main() -> ExitCode {
    // First of all, because the start of a floor process is part of what is measured.
    let mut args = std::env::args_os().skip(1);
    if let Some(verb) = args.next().and_then(|arg| arg.into_string().ok()) {
        if let Some(verb) = verb.strip_prefix(floor::PREFIX) {
            return floor::run(verb, args);
        }
        if verb == workers::VERB {
            return report(workers::work(args));
        }
    }
    report(Options::from_args().and_then(|options| place::run_somewhere(options, measure)))
}

fn report(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("speed: {error:#}");
        ExitCode::FAILURE
    })
}

fn measure(options: Options, place: &Place) -> Result<ExitCode> {
    let bench = Bench::new(options, place)?;
    bench.check_that_mq_works()?;
    let mut table = Table::default();
    let measured = PARTS.into_iter().filter(|(name, _)| bench.options.wants(name)).try_for_each(|(name, run)| {
        eprintln!("measuring: {name}");
        run(&bench, &mut table).with_context(|| format!("measuring '{name}'"))
    });
    // What was measured before a failure was measured all the same.
    println!("{}", place::describe(&bench));
    println!("{table}");
    measured.map(|()| ExitCode::SUCCESS)
}
