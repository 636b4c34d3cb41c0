//! How long a waiting receiver sleeps on after a put.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mq::domain::{Durability, NewMessage, QueueName};
use mq::store::Store as _;

use super::context::{BODY, Bench};
use super::samples::{Samples, show};
use super::table::{NOTHING, Table};

/// How long a receiver is given to start and to fall asleep.
const UNTIL_ASLEEP: Duration = Duration::from_millis(25);

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(400, 20);
    let queue = bench.new_queue("wake", Durability::Full, 0)?;
    let mut receive = bench.mq(&["get", queue.as_str(), "--wait", "10s", "--delete"]);
    receive.stdout(Stdio::piped());
    let mut put = bench.mq(&["put", queue.as_str(), "-m", BODY]);

    let mut by_library = Samples::default();
    let (mut before_exit, mut after_exit, mut whole) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..rounds {
        // The instant of the rename cannot be seen from outside without disturbing who is to be woken, so the
        // put counts as a whole: what is measured is more than the wake-up.
        let (start, _, came) = once(&mut receive, &mut || put_by_library(bench, &queue))?;
        by_library.push(came - start);
        let (start, end, came) = once(&mut receive, &mut || {
            ensure!(put.status()?.success(), "{put:?} failed");
            Ok(())
        })?;
        whole.push(came - start);
        if came <= end {
            before_exit.push(end - came);
        } else {
            after_exit.push(came - end);
        }
    }

    table.section("from a put to the output of a waiting mq get --wait 10s --delete");
    let quantiles = |samples: &Samples| {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| show(samples.quantile(share)));
        format!("p50 {half}, p99 {most}, most {all}")
    };
    let what = "a put by the library, not durable, itself included";
    table.row(what, rounds, [NOTHING, &quantiles(&by_library), NOTHING, "p50 ≤ 0.5 ms, p99 ≤ 3 ms"]);
    let what = "a durable mq put, itself included";
    table.row(what, rounds, [NOTHING, &quantiles(&whole), NOTHING, NOTHING]);
    let early = "  the output came before mq put had ended, by";
    table.row(early, before_exit.len(), [NOTHING, &quantiles(&before_exit), NOTHING, NOTHING]);
    let late = "  the output came after mq put had ended, by";
    table.row(late, after_exit.len(), [NOTHING, &quantiles(&after_exit), NOTHING, "p50 ≤ 0.5 ms, p99 ≤ 3 ms"]);
    Ok(())
}

fn put_by_library(bench: &Bench, queue: &QueueName) -> Result<()> {
    let new = NewMessage { durability: Some(Durability::None), ..NewMessage::default() };
    bench.spool.put(queue, &new, &mut BODY.as_bytes())?;
    Ok(())
}

/// Lets a receiver fall asleep, puts, and says when the put began, when it ended, and when the body came.
fn once(receive: &mut Command, put: &mut dyn FnMut() -> Result<()>) -> Result<(Instant, Instant, Instant)> {
    let mut receiver: Child = receive.spawn()?;
    let mut stdout = receiver.stdout.take().context("the receiver has no output")?;
    let listener = std::thread::spawn(move || -> Result<Instant> {
        let mut body = vec![0; 4096];
        let got = stdout.read(&mut body)?;
        let came = Instant::now();
        ensure!(&body[..got] == BODY.as_bytes(), "the receiver got something else, or nothing");
        Ok(came)
    });
    std::thread::sleep(UNTIL_ASLEEP);
    let start = Instant::now();
    put()?;
    let end = Instant::now();
    let came = listener.join().map_err(|_| anyhow::anyhow!("the listener died"))??;
    ensure!(receiver.wait()?.success(), "{receive:?} failed");
    Ok((start, end, came))
}
