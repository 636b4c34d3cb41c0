//! Bulk loading: `put --lines` against a floor process that reads the same lines.

use std::fs::File;
use std::process::Command;

use anyhow::Result;
use mq::domain::{Durability, QueueName};
use mq::store::Store as _;

use super::context::Bench;
use super::floor::Floor;
use super::samples::{Samples, time};
use super::table::Table;

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(5, 2);
    let count: u32 = bench.options.pick(100_000, 5_000);
    let lines = bench.file_of_lines(u64::from(count))?;
    let queue: QueueName = "lines".parse()?;
    let (mut of_floor, mut of_mq) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        let floor = Floor::make(&bench.dir.join("floor-lines"), bench.order, true)?;
        of_floor.push(load(bench, bench.floor("put-lines", &floor, &[]), &lines)?);
        std::fs::remove_dir_all(floor.dir())?;

        bench.new_queue(queue.as_str(), Durability::Full, 0)?;
        of_mq.push(load(bench, bench.mq(&["put", queue.as_str(), "--lines"]), &lines)?);
        let put = bench.spool.drop_queue(&queue, true)?;
        anyhow::ensure!(put == u64::from(count), "put --lines put {put} of {count} lines");
    }
    let (of_floor, of_mq) = (of_floor.split(count), of_mq.split(count));
    table.section(format!("bulk loading: {count} lines, durable, one process, per message"));
    let share = format!("{:.2} of its speed", of_floor.ratio_to(&of_mq));
    table.row(
        "mq put --lines",
        rounds,
        [&of_floor.to_string(), &of_mq.to_string(), &share, "≥ 0.7 of the floor's speed"],
    );
    Ok(())
}

fn load(bench: &Bench, mut command: Command, lines: &std::path::Path) -> Result<std::time::Duration> {
    bench.settle()?;
    time(command.stdin(File::open(lines)?))
}
