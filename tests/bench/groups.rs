//! Whether the backlog of a blocked group is free: a get where many messages of a group wait behind one that is claimed,
//! and a free message lies behind all of them.

use std::process::Command;

use anyhow::{Context as _, Result};
use mq::domain::{Durability, NewMessage, Visibility};
use mq::store::{ClaimRequest, Store as _};

use super::context::{BODY, Bench};
use super::samples::{Samples, time};
use super::table::Table;

const GOAL: &str = "≤ 1.2 × without a backlog";

/// How many messages are put at once.
const BATCH: usize = 1024;

/// A queue with so many messages of a group that is blocked, and what is called on it.
struct Queue {
    backlog: usize,
    put: Command,
    get: Command,
    samples: Samples,
}

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(300, 10);
    let backlogs = [0, bench.options.pick(100_000, 1_000)];
    let mut queues = Vec::new();
    for backlog in backlogs {
        let name = format!("group-{backlog}");
        eprintln!("  filling a queue with {backlog} messages of a group");
        bench.new_queue(&name, Durability::Full, 0)?;
        block(bench, &name, backlog)?;
        queues.push(Queue {
            backlog,
            put: bench.mq(&["put", &name, "-m", BODY]),
            get: bench.mq(&["get", &name, "--delete"]),
            samples: Samples::default(),
        });
    }
    for round in 0..rounds {
        // Nobody is always the first.
        let shift = round % queues.len();
        queues.rotate_left(shift);
        for queue in &mut queues {
            time(&mut queue.put)?;
            queue.samples.push(time(&mut queue.get)?);
        }
        queues.rotate_right(shift);
    }
    table.section("mq get --delete of a free message (the floor is the queue without a backlog)".to_owned());
    for queue in &queues {
        let what = format!("{} of a blocked group ahead of it", queue.backlog);
        table.against(&what, &queues[0].samples, &queue.samples, GOAL);
    }
    Ok(())
}

/// Puts messages of one group, and claims the first of them for longer than all lasts.
fn block(bench: &Bench, queue: &str, backlog: usize) -> Result<()> {
    if backlog == 0 {
        return Ok(());
    }
    let (store, queue) = (&bench.spool, queue.parse()?);
    let new =
        NewMessage { group: Some("blocked".parse()?), durability: Some(Durability::None), ..NewMessage::default() };
    let mut left = backlog;
    while left > 0 {
        let batch = vec![(new.clone(), BODY.as_bytes().to_vec()); left.min(BATCH)];
        let outcome = store.put_batch(&queue, &batch);
        outcome.error.map_or(Ok(()), Err)?;
        left -= batch.len();
    }
    let visibility = Visibility::Timed(Some(std::time::Duration::from_secs(24 * 3600)));
    let claims = store.claim(&queue, &ClaimRequest { visibility, most: 1 })?;
    claims.deliveries.first().context("nothing of the group is deliverable")?;
    bench.settle()
}
