//! The engine without the start of a process around each message, alone and eight at a time.

use std::ffi::OsString;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mq::domain::{Durability, NewMessage, QueueName, Visibility};
use mq::store::spool::Spool;
use mq::store::{ClaimRequest, Store as _};

use super::context::{BODY, Bench, STANDING};
use super::floor::Floor;
use super::samples::{Samples, Timed, in_turns, time};
use super::table::{NOTHING, Table};

/// The first argument of a process that puts by the library: `worker-puts SPOOL QUEUE COUNT`.
pub(crate) const VERB: &str = "worker-puts";

const AT_ONCE: usize = 8;

pub(crate) fn work(mut args: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let mut next = || args.next().context("worker-puts SPOOL QUEUE COUNT");
    let spool = Spool::open(next()?)?;
    let queue: QueueName = next()?.to_string_lossy().parse()?;
    let count: usize = next()?.to_string_lossy().parse()?;
    for _ in 0..count {
        spool.put(&queue, &NewMessage::default(), &mut BODY.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a put, a claim and a delete took, and all of them together.
type Phases = [Duration; 4];

/// Put, claim and delete in one process without durability: what the engine adds to the calls.
pub(crate) fn run_in_process(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(40, 6);
    let a_round: u32 = bench.options.pick(500, 100);
    let floor = bench.new_floor("in-process", false)?;
    let queue = bench.new_queue("in-process", Durability::None, STANDING)?;
    let mut of_floor = <[Samples; 4]>::default();
    let mut of_mq = <[Samples; 4]>::default();
    for _ in 0..rounds {
        add(&mut of_floor, &many(a_round, || floor_once(&floor))?, a_round);
        add(&mut of_mq, &many(a_round, || engine_once(&bench.spool, &queue))?, a_round);
    }
    table.section("the engine in one process, without durability, per message");
    for (at, what) in ["put", "claim", "delete", "put + claim + delete"].into_iter().enumerate() {
        let share = format!("{:.2} of its speed", of_floor[at].ratio_to(&of_mq[at]));
        let goal = if at == 3 { "≥ 0.6 of the floor's speed" } else { NOTHING };
        table.row(what, rounds, [&of_floor[at].to_string(), &of_mq[at].to_string(), &share, goal]);
    }
    Ok(())
}

fn add(samples: &mut [Samples; 4], phases: &Phases, times: u32) {
    for (samples, phase) in samples.iter_mut().zip(phases) {
        samples.push(*phase / times);
    }
}

/// The sums over many times.
fn many(times: u32, once: impl Fn() -> Result<Phases>) -> Result<Phases> {
    let mut sums = Phases::default();
    for _ in 0..times {
        for (sum, phase) in sums.iter_mut().zip(once()?) {
            *sum += phase;
        }
    }
    Ok(sums)
}

fn phases(start: Instant, put: Instant, claimed: Instant) -> Phases {
    let deleted = Instant::now();
    [put - start, claimed - put, deleted - claimed, deleted - start]
}

fn floor_once(floor: &Floor) -> Result<Phases> {
    let start = Instant::now();
    floor.put(BODY.as_bytes())?;
    let put = Instant::now();
    let (name, _) = floor.claim()?;
    let claimed = Instant::now();
    floor.delete(&name)?;
    Ok(phases(start, put, claimed))
}

fn engine_once(spool: &Spool, queue: &QueueName) -> Result<Phases> {
    let start = Instant::now();
    spool.put(queue, &NewMessage::default(), &mut BODY.as_bytes())?;
    let put = Instant::now();
    let claims = spool.claim(queue, &ClaimRequest { visibility: Visibility::Timed(None), most: 1 })?;
    let delivery = claims.deliveries.into_iter().next().context("nothing to claim")?;
    let claimed = Instant::now();
    for deleted in spool.delete(&[delivery.receipt]) {
        deleted?;
    }
    Ok(phases(start, put, claimed))
}

/// Durable puts by one process and by eight at once: do they share their flushes?
pub(crate) fn run_eight(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(7, 2);
    let puts: usize = bench.options.pick(1_000, 100);
    let floor = bench.new_floor("eight", true)?;
    let queue = bench.new_queue("eight", Durability::Full, 0)?;
    let one_floor = || bench.floor("puts", &floor, &[&puts.to_string()]);
    let one_mq = || {
        let mut command = bench.me(VERB);
        command.arg(bench.spool.root()).args([queue.as_str(), &puts.to_string()]);
        command
    };
    let mut things: Vec<Timed<'_>> = vec![
        Box::new(|| at_once(1, &one_floor)),
        Box::new(|| at_once(1, &one_mq)),
        Box::new(|| at_once(AT_ONCE, &one_floor)),
        Box::new(|| at_once(AT_ONCE, &one_mq)),
        Box::new(|| shell_loops(bench, &queue, 1, puts / 10)),
        Box::new(|| shell_loops(bench, &queue, AT_ONCE, puts / 10)),
    ];
    let samples = in_turns(rounds, &mut things)?;

    table.section("durable puts a second, by one process and by eight at once");
    let speed = |samples: &Samples, puts: usize| Speed::of(samples, puts);
    let (floor_1, mq_1) = (speed(&samples[0], puts), speed(&samples[1], puts));
    let (floor_8, mq_8) = (speed(&samples[2], puts * AT_ONCE), speed(&samples[3], puts * AT_ONCE));
    let share = format!("{:.2} of its speed", mq_1.0 / floor_1.0);
    table.row("1 process putting by the library", rounds, [&floor_1.show(), &mq_1.show(), &share, NOTHING]);
    let gain = format!("{:.2} × one (floor: {:.2})", mq_8.0 / mq_1.0, floor_8.0 / floor_1.0);
    table.row(
        "8 processes putting by the library",
        rounds,
        [&floor_8.show(), &mq_8.show(), &gain, "≥ 4 × one process"],
    );
    let (loop_1, loop_8) = (speed(&samples[4], puts / 10), speed(&samples[5], puts / 10 * AT_ONCE));
    table.row("1 loop of mq put -m", rounds, [NOTHING, &loop_1.show(), NOTHING, NOTHING]);
    let gain = format!("{:.2} × one", loop_8.0 / loop_1.0);
    table.row("8 loops of mq put -m", rounds, [NOTHING, &loop_8.show(), &gain, NOTHING]);
    Ok(())
}

/// Messages a second.
struct Speed(f64);

impl Speed {
    fn of(samples: &Samples, messages: usize) -> Self {
        // Far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let messages = messages as f64;
        Self(messages / samples.median().as_secs_f64())
    }

    fn show(&self) -> String {
        format!("{:.0} /s", self.0)
    }
}

fn at_once(processes: usize, command: &dyn Fn() -> Command) -> Result<Duration> {
    let start = Instant::now();
    let children: Vec<Child> = (0..processes).map(|_| command().spawn()).collect::<std::io::Result<_>>()?;
    let mut all_well = true;
    for mut child in children {
        // All of them, also after one that failed: nobody is left at work in a directory that goes away.
        all_well &= child.wait()?.success();
    }
    let took = start.elapsed();
    ensure!(all_well, "a process that was to put has failed");
    Ok(took)
}

fn shell_loops(bench: &Bench, queue: &QueueName, loops: usize, puts: usize) -> Result<Duration> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let one = || (0..puts).try_for_each(|_| time(&mut bench.mq(&["put", queue.as_str(), "-m", BODY])).map(drop));
        let threads: Vec<_> = (0..loops).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a loop died"))?)
    })?;
    Ok(start.elapsed())
}
