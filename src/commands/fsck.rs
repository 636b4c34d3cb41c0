//! `mq fsck`: explains what is wrong with a spool, and mends it.

use std::io::{self, BufWriter, Write};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::streams::{Stdout, StdoutError};
use super::{Context, NoSpool, Outcome, VerbArgs, note, visible};
use crate::domain::QueueName;
use crate::domain::units::counted;
use crate::store::spool::fs::Names;
use crate::store::spool::fsck::{Finding, Repair, Summary};
use crate::store::spool::{Order, Spool};

/// Explain what is wrong with the spool, and mend it
///
/// Each thing that is not as it should be is told in two lines: what it is, and what would be done about it. Nothing is
/// changed unless --repair says so. What mq does in passing (returning claims that have ended, say) is not told. The last
/// line tells what was looked at, and which order of syncs is in force and why; see mq-spool(5). Every message is
/// read and its checksum compared, which takes as long as reading the spool does. Queues can be in use meanwhile.
///
/// With --repair, what can be mended is, and no message is lost: what is damaged is set aside, what is whole is
/// brought where receivers find it, what is not mq's is left alone. It can be interrupted at any time, and run again.
/// A second repair of the same spool says that it waits for the first one to end, and does.
///
/// The status is 0 if nothing is wrong (any more), and 1 if something is.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq fsck
  mq fsck --repair
  mq fsck jobs --json | jq -r 'select(.finding == \"damaged\") | .path'")]
pub(crate) struct FsckArgs {
    /// The queues to look at [default: all, and the spool itself]
    #[arg(value_name = "QUEUE")]
    queues: Vec<QueueName>,

    /// Mend what can be mended
    #[arg(long)]
    repair: bool,

    /// Write a line of JSON for each finding, with finding (a word for what it is), path, queue, what, remedy, outcome
    /// (would, done, failed or by-hand) and error; and a last one with spool, queues, messages, set_aside, temporaries,
    /// found, repaired, left, order and names
    #[arg(long)]
    json: bool,
}

impl VerbArgs for FsckArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let spool = Spool::for_fsck(context.spool.as_ref().ok_or(NoSpool)?);
        let mut output = BufWriter::new(Stdout);
        let mut written = Ok(());
        // Who reads along hears of each thing when it is found. A repair goes on if nobody listens any more.
        let mut waits = || note("another repair of this spool is at work; waiting for it to end");
        let checked = spool.fsck_in_turn(&self.queues, self.repair, &mut waits, &mut |finding| {
            if written.is_ok() {
                written = self.show(&finding, &mut output).and_then(|()| output.flush());
            }
        });
        if let (Ok(summary), Ok(())) = (&checked, &written) {
            written = self.conclude(&spool, summary, &mut output).and_then(|()| output.flush());
        }
        // What could not be written is not tried again.
        let (_, _) = output.into_parts();
        let summary = checked?;
        written.map_err(StdoutError)?;
        Ok(if summary.left() == 0 { Outcome::Done } else { Outcome::Found })
    }
}

impl FsckArgs {
    fn show(&self, finding: &Finding, output: &mut impl Write) -> io::Result<()> {
        let (outcome, error) = match &finding.repair {
            Repair::Would => ("would", None),
            Repair::Done => ("done", None),
            Repair::Failed(why) => ("failed", Some(why)),
            Repair::ByHand => ("by-hand", None),
        };
        if self.json {
            let line = json!({
                "finding": finding.kind,
                // Names of files are bytes; JSON has none.
                "path": finding.path.to_string_lossy(),
                "queue": finding.queue,
                "what": finding.what,
                "remedy": finding.remedy,
                "outcome": outcome,
                "error": error,
            });
            return writeln!(output, "{line}");
        }
        let path = visible(&finding.path.display().to_string());
        let remedy = visible(&finding.remedy);
        writeln!(output, "{path}: {}", visible(&finding.what))?;
        match &finding.repair {
            Repair::Would => writeln!(output, "    would {remedy}"),
            Repair::Done => writeln!(output, "    done: {remedy}"),
            Repair::Failed(why) => writeln!(output, "    failed to {remedy}: {}", visible(why)),
            Repair::ByHand => writeln!(output, "    by hand: {remedy}"),
        }
    }

    fn conclude(&self, spool: &Spool, summary: &Summary, output: &mut impl Write) -> io::Result<()> {
        let order = match summary.order {
            Order::RollForward => "roll-forward",
            Order::Classical => "classical",
        };
        let (names, why) = match summary.names {
            Names::Ordered => ("ordered", "keeps changes of names in their order"),
            Names::Whole => ("whole", "keeps a rename whole"),
            Names::Bare => ("bare", "is not known to keep a rename whole"),
            Names::Unknown => ("unknown", "could not be told, and is treated with the care for all"),
        };
        if self.json {
            let line = json!({
                "spool": spool.root().to_string_lossy(),
                "queues": summary.queues,
                "messages": summary.messages,
                "set_aside": summary.set_aside,
                "temporaries": summary.temporaries,
                "found": summary.found,
                "repaired": summary.repaired,
                "left": summary.left(),
                "order": order,
                "names": names,
            });
            return writeln!(output, "{line}");
        }
        let found = match (summary.found, summary.repaired) {
            (0, _) => "nothing is wrong".to_owned(),
            (found, 0) if !self.repair => format!("found {}", counted(found, "thing")),
            (found, repaired) => format!("found {}, mended {repaired}", counted(found, "thing")),
        };
        let aside = if summary.set_aside == 0 { String::new() } else { format!(" ({} set aside)", summary.set_aside) };
        let (queues, messages) = (counted(summary.queues, "queue"), counted(summary.messages, "message"));
        writeln!(output, "{queues}, {messages}{aside}: {found}")?;
        writeln!(output, "order of syncs: {order}, because the file system {why}")
    }
}
