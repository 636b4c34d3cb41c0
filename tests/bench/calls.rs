//! How many system calls a one-shot verb makes, and which.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mq::domain::Durability;

use super::context::{BODY, Bench, STANDING, program};
use super::peers::is_installed;
use super::table::{NOTHING, Table};

/// How many of the calls are named.
const NAMED: usize = 12;

/// Calls by name, the most frequent first, and their sum.
struct Counted {
    total: u32,
    by_name: Vec<(u32, String)>,
}

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    table.section("system calls of one process (strace -f -c)");
    if !is_installed("strace") {
        table.note("skipped: needs strace (apt-get install strace)");
        return Ok(());
    }
    let floor = bench.new_floor("calls", true)?;
    let queue = bench.new_queue("calls", Durability::Full, STANDING)?;
    let name = queue.as_str();
    let receipt = bench.dir.join("calls.receipt").to_string_lossy().into_owned();
    let receipt_of_floor = format!("{receipt}.floor");

    let nothing = count(bench, &bench.me("floor-nothing"))?;
    table.row("this program, doing nothing", 1, [NOTHING, &nothing.total.to_string(), NOTHING, NOTHING]);
    let mut names = Vec::new();
    for (what, of_floor, of_mq) in [
        ("mq put -m", bench.floor("put", &floor, &[BODY]), bench.mq(&["put", name, "-m", BODY])),
        ("mq get --delete", bench.floor("get-delete", &floor, &[]), bench.mq(&["get", name, "--delete"])),
        (
            "mq get --receipt-file",
            bench.floor("get", &floor, &[&receipt_of_floor]),
            bench.mq(&["get", name, "--receipt-file", &receipt]),
        ),
        (
            "mq delete --receipt-file",
            bench.floor("delete", &floor, &[&receipt_of_floor]),
            bench.mq(&["delete", "--receipt-file", &receipt]),
        ),
    ] {
        let (of_floor, of_mq) = (count(bench, &of_floor)?, count(bench, &of_mq)?);
        let ratio = format!("{:.2} ×", f64::from(of_mq.total) / f64::from(of_floor.total));
        table.row(what, 1, [&of_floor.total.to_string(), &of_mq.total.to_string(), &ratio, NOTHING]);
        let most: Vec<String> = of_mq.by_name.iter().take(NAMED).map(|(n, name)| format!("{name} {n}")).collect();
        names.push(format!("{what}: {}", most.join(", ")));
    }
    for line in &names {
        table.note(line);
    }
    Ok(())
}

fn count(bench: &Bench, command: &Command) -> Result<Counted> {
    let report = bench.dir.join("calls");
    let mut strace = program("strace");
    strace.args(["-f", "-c", "-o"]).arg(&report).arg(command.get_program()).args(command.get_args());
    let status = strace.status()?;
    ensure!(status.success(), "{strace:?} failed: {status}");
    let text = std::fs::read_to_string(&report)?;
    // % time, seconds, usecs/call, calls, errors (may be blank), syscall
    let mut by_name: Vec<(u32, String)> = text
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            Some((columns.get(3)?.parse().ok()?, (*columns.last()?).to_owned()))
        })
        .collect();
    let at = by_name.iter().position(|(_, name)| name == "total").context("strace printed no total")?;
    let (total, _) = by_name.remove(at);
    by_name.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(Counted { total, by_name })
}
