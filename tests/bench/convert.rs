//! How fast bodies are converted between JSON and Msgpack, beside what else does that, where it is installed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::context::{Bench, MQ, program};
use super::peers::is_installed;
use super::samples::{Samples, time};
use super::table::Table;

const GOAL: &str = "≤ 0.2 × Python";

/// As a script would do it with the two modules that are best known.
const TO_MSGPACK: &str = "import json, msgpack, sys; \
    sys.stdout.buffer.write(msgpack.packb(json.load(open(sys.argv[1]))))";
const TO_JSON: &str = "import json, msgpack, sys; \
    sys.stdout.write(json.dumps(msgpack.unpack(open(sys.argv[1], 'rb'))))";

/// Somebody who converts a file onto stdout.
struct Converter {
    what: String,
    command: Command,
    samples: Samples,
}

pub(crate) fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    let bytes = bench.options.pick(100_000_000, 1_000_000);
    for (what, is_records) in [("records", true), ("one document", false)] {
        let (json, msgpack) = (bench.dir.join("body.json"), bench.dir.join("body.msgpack"));
        std::fs::write(&json, document(bytes, is_records))?;
        let mut first = mq("json", "msgpack", &json);
        let made = first.stdout(std::fs::File::create(&msgpack)?).status().context("mq convert")?;
        anyhow::ensure!(made.success(), "mq convert failed");
        for (from, to, input, script, tool) in [
            ("json", "msgpack", &json, TO_MSGPACK, "json2msgpack"),
            ("msgpack", "json", &msgpack, TO_JSON, "msgpack2json"),
        ] {
            against_others(
                bench,
                table,
                &format!("{} MB of {what}, {from} to {to}", bytes / 1_000_000),
                &mut vec![
                    Converter::new("mq convert", mq(from, to, input)),
                    Converter::new("python3, json and msgpack", python(script, input)),
                    Converter::new(tool, tool_on(tool, input)),
                ],
            )?;
        }
    }
    Ok(())
}

fn against_others(bench: &Bench, table: &mut Table, title: &str, all: &mut Vec<Converter>) -> Result<()> {
    let mut missing = Vec::new();
    all.retain(|converter| {
        let is_there = match converter.what.as_str() {
            "mq convert" => true,
            what if what.starts_with("python3") => has_python_modules(),
            tool => is_installed(tool),
        };
        if !is_there {
            missing.push(converter.what.clone());
        }
        is_there
    });
    for _ in 0..bench.options.pick(5, 1) {
        for converter in all.iter_mut() {
            converter.samples.push(time(&mut converter.command)?);
        }
    }
    table.section(title);
    let python = all.iter().find(|converter| converter.what.starts_with("python3"));
    for converter in all.iter() {
        match python {
            Some(python) => table.against(&converter.what, &python.samples, &converter.samples, GOAL),
            None => table.alone(&converter.what, &converter.samples),
        }
    }
    for what in missing {
        table.note(&format!("not installed: {what}"));
    }
    Ok(())
}

impl Converter {
    fn new(what: &str, command: Command) -> Self {
        Self { what: what.to_owned(), command, samples: Samples::default() }
    }
}

fn mq(from: &str, to: &str, input: &Path) -> Command {
    let mut command = program("sh");
    command.args(["-c", "exec \"$0\" convert --from \"$1\" --to \"$2\" < \"$3\""]).args([MQ, from, to]).arg(input);
    command
}

fn python(script: &str, input: &Path) -> Command {
    let mut command = program("python3");
    command.args(["-c", script]).arg(input);
    command
}

fn tool_on(tool: &str, input: &Path) -> Command {
    let mut command = program(tool);
    command.args([Path::new("-i"), input]);
    command
}

fn has_python_modules() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import json, msgpack"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An array of records, or a map of arrays of them in arrays, of about so many bytes.
fn document(bytes: usize, is_records: bool) -> String {
    let mut text = String::with_capacity(bytes + 1024);
    text.push_str(if is_records { "[" } else { r#"{"data":[["# });
    for n in 0_u64.. {
        if n > 0 {
            text.push_str(if is_records || n % 1000 > 0 { ", " } else { "], [" });
        }
        let (cents, active) = (n * 7919 % 100_000, n % 3 == 0);
        let _ = write!(
            text,
            r#"{{"id": {n}, "name": "customer {n}", "email": "c{n}@example.org", "price": {}.{:02}, "tags": ["a", "b", "new"], "address": {{"street": "Hauptstra\u00dfe {}", "city": "Zürich", "zip": "8{:03}"}}, "active": {active}, "note": null, "big": {}}}"#,
            cents / 100,
            cents % 100,
            n % 97,
            n % 1000,
            (1_u64 << 53) + n,
        );
        if text.len() >= bytes {
            break;
        }
    }
    text.push_str(if is_records { "]" } else { "]]}" });
    text
}
