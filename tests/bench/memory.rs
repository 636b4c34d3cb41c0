//! The most memory that a verb ever had, on large bodies and on many messages.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mq::domain::{Durability, QueueName};
use mq::store::Store as _;

use super::context::{Bench, program, same_bytes};
use super::depth;
use super::peers::is_installed;
use super::samples::show;
use super::table::{NOTHING, Table};

const GOAL: &str = "≤ 16 MiB";

/// A body far larger than the memory it may take, in and out.
pub(crate) fn run_bodies(bench: &Bench, table: &mut Table) -> Result<()> {
    let mib: u32 = bench.options.pick(1024, 64);
    let queue = bench.new_queue("body", Durability::Full, 0)?;
    let (source, copy) = (bench.dir.join("body"), bench.dir.join("body.copy"));
    write_noise(&source, mib)?;
    bench.settle()?;

    table.section(format!("peak memory (and time): a body of {mib} MiB"));
    let mut put = bench.mq(&["put", queue.as_str()]);
    put.stdin(File::open(&source)?);
    peak_row(bench, table, "mq put < FILE", &put, Stdio::null(), Some(&source))?;
    let get = bench.mq(&["get", queue.as_str(), "--delete"]);
    peak_row(bench, table, "mq get --delete > FILE", &get, File::create(&copy)?.into(), None)?;
    ensure!(same_bytes(&source, &copy)?, "the body that came out is not the one that went in");
    std::fs::remove_file(&source)?;
    std::fs::remove_file(&copy)?;
    bench.settle()
}

/// Many messages: bulk loading, listing, taking a thousand at a time.
pub(crate) fn run_many(bench: &Bench, table: &mut Table) -> Result<()> {
    let count = bench.options.deepest();
    let deep: QueueName = depth::queue_name(count).parse()?;
    if bench.spool.policy(&deep).is_err() {
        bench.new_queue(deep.as_str(), Durability::Full, count)?;
    }
    table.section(format!("peak memory (and time): {count} messages"));
    let lines = bench.file_of_lines(count)?;
    let queue = bench.new_queue("memory", Durability::Full, 0)?;
    let put = bench.mq(&["put", queue.as_str(), "--lines"]);
    peak_row(bench, table, &format!("mq put --lines, {count} lines"), &put, Stdio::null(), Some(&lines))?;
    for args in [
        &["list", deep.as_str()][..],
        &["stat", deep.as_str()],
        &["get", deep.as_str(), "--count", "1000", "--null", "--delete"],
        &["get", deep.as_str(), "--count", "1000", "--json"],
    ] {
        let what = format!("mq {}", args.join(" "));
        peak_row(bench, table, &what, &bench.mq(args), Stdio::null(), None)?;
    }
    Ok(())
}

fn peak_row(
    bench: &Bench,
    table: &mut Table,
    what: &str,
    command: &Command,
    stdout: Stdio,
    stdin: Option<&Path>,
) -> Result<()> {
    let (kib, took) = peak_kib(bench, command, stdout, stdin)?;
    let measured = format!("{:.1} MiB ({})", f64::from(kib) / 1024.0, show(took));
    table.row(what, 1, [NOTHING, &measured, NOTHING, GOAL]);
    Ok(())
}

/// The most memory that was resident while the command ran, and how long it ran.
fn peak_kib(bench: &Bench, command: &Command, stdout: Stdio, stdin: Option<&Path>) -> Result<(u32, Duration)> {
    let stdin = stdin.map_or_else(|| Ok(Stdio::null()), |path| File::open(path).map(Stdio::from))?;
    let has_time = is_installed("time");
    let report = bench.dir.join("peak");
    let mut run = if has_time {
        // It is small itself: what a process has before it executes another program counts for its peak.
        let mut run = program("time");
        run.args(["-f", "%M", "-o"]).arg(&report).arg(command.get_program());
        run
    } else {
        program(command.get_program())
    };
    run.args(command.get_args()).stdin(stdin).stdout(stdout);
    let start = Instant::now();
    let mut child = run.spawn()?;
    if has_time {
        ensure!(child.wait()?.success(), "{run:?} failed");
        let took = start.elapsed();
        let text = std::fs::read_to_string(&report)?;
        return Ok((text.trim().parse().with_context(|| format!("time says '{text}'"))?, took));
    }
    // The kernel keeps the peak, but not beyond the end of the process.
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = now.unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{run:?} failed");
            return Ok((peak, start.elapsed()));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Bytes that no file system and no disk can make smaller.
fn write_noise(path: &Path, mib: u32) -> Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chunk = vec![0_u8; 1 << 20];
    for _ in 0..mib {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_ne_bytes());
        }
        file.write_all(&chunk)?;
    }
    Ok(())
}
