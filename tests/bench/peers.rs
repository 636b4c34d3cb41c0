//! What else people use from a shell for the same purpose, where it is installed.

use std::process::Command;

use anyhow::Result;
use mq::domain::Durability;

use super::context::{BODY, Bench, program};
use super::samples::{Samples, time};
use super::table::Table;

/// Puts one message by a call of a program.
struct Peer {
    what: &'static str,
    command: Command,
    /// What has to be waited for before the next one is fairly measured.
    after: Option<Command>,
    samples: Samples,
}

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let rounds = bench.options.pick(100, 10);
    let (mut peers, missing) = find(bench)?;
    bench.new_queue("peers", Durability::Full, 0)?;
    let command = bench.mq(&["put", "peers", "-m", BODY]);
    peers.insert(0, Peer { what: "mq put -m (durable)", command, after: None, samples: Samples::default() });
    for _ in 0..rounds {
        for peer in &mut peers {
            // Not all of them are durable: what one leaves to be written must not be paid by the next.
            bench.settle()?;
            peer.samples.push(time(&mut peer.command)?);
            if let Some(after) = &mut peer.after {
                time(after)?;
            }
        }
    }
    table.section("the same by others, each after a sync of everything");
    for peer in &peers {
        table.alone(peer.what, &peer.samples);
    }
    for (program, how) in missing {
        table.note(&format!("not installed: {program} ({how})"));
    }
    Ok(())
}

type Missing = (&'static str, &'static str);

fn find(bench: &Bench) -> Result<(Vec<Peer>, Vec<Missing>)> {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    let dir = bench.dir.join("peers");
    for sub in ["nq", "tmp", "ready"] {
        std::fs::create_dir_all(dir.join(sub))?;
    }
    let mut add = |what, mut command: Command, after: Option<Command>| {
        command.current_dir(&dir);
        peers.push(Peer { what, command, after, samples: Samples::default() });
    };

    if is_installed("nq") {
        let mut command = program("nq");
        command.args(["-q", "-c", "true"]).env("NQDIR", dir.join("nq"));
        // It runs the command in the background.
        let mut after = program("nq");
        after.arg("-w").env("NQDIR", dir.join("nq"));
        add("nq -q true (not durable)", command, Some(after));
    } else {
        missing.push(("nq", "apt-get install nq"));
    }

    if is_installed("sqlite3") {
        let database = dir.join("queue.db");
        let make = "PRAGMA journal_mode=WAL; CREATE TABLE queue(id INTEGER PRIMARY KEY, body TEXT);";
        time(program("sqlite3").arg(&database).arg(make))?;
        let mut command = program("sqlite3");
        let insert = format!("PRAGMA synchronous=FULL; INSERT INTO queue(body) VALUES('{BODY}');");
        command.arg(&database).arg(insert);
        add("sqlite3, one INSERT, WAL, synchronous=FULL", command, None);
    } else {
        missing.push(("sqlite3", "apt-get install sqlite3"));
    }

    let shell = |script: &str| {
        let mut command = program("sh");
        command.args(["-c", script, "sh", BODY]);
        command
    };
    let plain = r#"f=$(mktemp tmp/XXXXXXXX) && printf %s "$1" | cat >"$f" && mv "$f" ready/"#;
    add("sh: mktemp, cat, mv (not durable)", shell(plain), None);
    let synced =
        r#"f=$(mktemp tmp/XXXXXXXX) && printf %s "$1" | cat >"$f" && sync "$f" && mv "$f" ready/ && sync ready"#;
    add("sh: mktemp, cat, sync, mv, sync", shell(synced), None);
    Ok((peers, missing))
}

/// Whether a program can be started by its name.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
