//! One process per message, as in a shell loop, against a floor process.

use anyhow::Result;
use mq::domain::Durability;

use super::context::{BODY, Bench, STANDING, program};
use super::samples::{Timed, in_turns, time};
use super::table::Table;

/// The goal of the one-shot verbs.
pub(crate) const GOAL: &str = "≤ 1.5 × (for now ≤ 2 ×)";

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(300, 20);
    let floor = bench.new_floor("oneshot", true)?;
    let queue = bench.new_queue("oneshot", Durability::Full, STANDING)?;
    let name = queue.as_str();
    let receipt_path = bench.dir.join("oneshot.receipt");
    let receipt = receipt_path.to_string_lossy().into_owned();
    let receipt_of_floor = format!("{receipt}.floor");

    let mut floor_put = bench.floor("put", &floor, &[BODY]);
    let mut mq_put = bench.mq(&["put", name, "-m", BODY]);
    let mut floor_put_again = bench.floor("put", &floor, &[BODY]);
    let mut mq_put_again = bench.mq(&["put", name, "-m", BODY]);
    let mut floor_both = bench.floor("get-delete", &floor, &[]);
    let mut mq_both = bench.mq(&["get", name, "--delete"]);
    let mut floor_get = bench.floor("get", &floor, &[&receipt_of_floor]);
    let mut floor_delete = bench.floor("delete", &floor, &[&receipt_of_floor]);
    let mut mq_get = bench.mq(&["get", name, "--receipt-file", &receipt]);
    let mut mq_delete = bench.mq(&["delete", "--receipt-file", &receipt]);
    let mut started = bench.me("floor-nothing");
    let mut version = bench.mq(&["--version"]);
    let mut bin_true = program("/bin/true");

    // Two puts a round for the two gets: the depth stays as it is.
    let mut things: Vec<Timed<'_>> = vec![
        Box::new(|| time(&mut floor_put)),
        Box::new(|| time(&mut mq_put)),
        Box::new(|| time(&mut floor_both)),
        Box::new(|| time(&mut mq_both)),
        Box::new(|| time(&mut floor_put_again)),
        Box::new(|| time(&mut mq_put_again)),
        Box::new(|| Ok(time(&mut floor_get)? + time(&mut floor_delete)?)),
        Box::new(|| Ok(time(&mut mq_get)? + time(&mut mq_delete)?)),
        Box::new(|| time(&mut bin_true)),
        Box::new(|| time(&mut started)),
        Box::new(|| time(&mut version)),
    ];
    let samples = in_turns(rounds, &mut things)?;

    table.section("one process a message, durable (the floor is a bare process doing the same)");
    table.against("mq put -m", &samples[0], &samples[1], GOAL);
    table.against("mq get --delete", &samples[2], &samples[3], GOAL);
    table.against("mq get --receipt-file + mq delete", &samples[6], &samples[7], GOAL);
    table.alone("/bin/true", &samples[8]);
    table.alone("this program, doing nothing (in every floor)", &samples[9]);
    table.alone("mq --version", &samples[10]);
    Ok(())
}
