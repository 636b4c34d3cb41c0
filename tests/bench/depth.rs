//! Whether depth is free: the one-shot verbs on queues of very different lengths.
//!
//! All queues are filled first and then measured in turns, on the same file system at the same time, so that
//! the only thing in which they differ is their own depth.

use std::process::Command;

use anyhow::Result;
use mq::domain::Durability;

use super::context::{BODY, Bench};
use super::samples::{Samples, time};
use super::table::Table;

const GOAL: &str = "≤ 1.2 × the first";

/// One queue, and what is called on it.
struct Queue {
    depth: u64,
    put: Command,
    both: Command,
    get: Command,
    delete: Command,
    samples: [Samples; 3],
}

/// The name of the queue of that depth; it stays for other parts.
pub(crate) fn queue_name(depth: u64) -> String {
    format!("depth-{depth}")
}

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(150, 10);
    let mut queues = Vec::new();
    for &depth in &bench.options.depths {
        let name = queue_name(depth);
        eprintln!("  filling a queue with {depth} messages");
        bench.new_queue(&name, Durability::Full, depth)?;
        let receipt = bench.dir.join(format!("{name}.receipt")).to_string_lossy().into_owned();
        queues.push(Queue {
            depth,
            put: bench.mq(&["put", &name, "-m", BODY]),
            both: bench.mq(&["get", &name, "--delete"]),
            get: bench.mq(&["get", &name, "--receipt-file", &receipt]),
            delete: bench.mq(&["delete", "--receipt-file", &receipt]),
            samples: <[Samples; 3]>::default(),
        });
    }
    for round in 0..rounds {
        // Nobody is always the first.
        let shift = round % queues.len();
        queues.rotate_left(shift);
        for queue in &mut queues {
            queue.samples[0].push(time(&mut queue.put)?);
            queue.samples[1].push(time(&mut queue.both)?);
            queue.samples[0].push(time(&mut queue.put)?);
            queue.samples[2].push(time(&mut queue.get)? + time(&mut queue.delete)?);
        }
        queues.rotate_right(shift);
    }

    let first = queues.first().map_or(0, |queue| queue.depth);
    table.section(format!("the same on queues of other depths (the floor is the queue of {first})"));
    for (at, what) in ["mq put -m", "mq get --delete", "mq get + mq delete"].into_iter().enumerate() {
        for queue in &queues {
            let what = format!("{what}, {} queued", queue.depth);
            table.against(&what, &queues[0].samples[at], &queue.samples[at], GOAL);
        }
    }
    Ok(())
}
