//! `mq purge`: deletes every message of a queue.

use anyhow::Result;
use clap::Args;

use super::streams::{Stdout, StdoutError};
use super::{Context, Outcome, VerbArgs, confirmed, note};
use crate::domain::QueueName;
use crate::store::Store as _;

/// Delete every message of a queue
///
/// Claimed and delayed messages too: the receipts of claims that are out become stale. The queue and its policy stay;
/// `mq drop` removes them. On a terminal it asks first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq purge jobs
  mq purge jobs --dry-run --json
  mq purge jobs --yes")]
pub(crate) struct PurgeArgs {
    /// The queue to empty
    queue: QueueName,

    /// Say how many messages there are, and delete none
    #[arg(long)]
    dry_run: bool,

    /// Do not ask, not even on a terminal
    #[arg(short, long)]
    yes: bool,

    /// Say how many in JSON on stdout, instead of in words on stderr
    #[arg(long)]
    json: bool,
}

impl VerbArgs for PurgeArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        let queue = &self.queue;
        let there = if self.dry_run || !self.yes { store.stat(queue)?.messages() } else { 0 };
        let messages = if self.dry_run {
            there
        } else if confirmed(self.yes, &format!("delete all {there} message(s) of '{queue}'?"))? {
            store.purge(queue)?
        } else {
            note("nothing was deleted");
            return Ok(Outcome::Done);
        };
        say_count(queue, "deleted", messages, self.dry_run, self.json)
    }
}

/// Says how many messages something was done to.
pub(super) fn say_count(queue: &QueueName, done: &str, messages: u64, dry_run: bool, json: bool) -> Result<Outcome> {
    if json {
        let mut line = serde_json::to_vec(&serde_json::json!({ "queue": queue, done: messages, "dry_run": dry_run }))?;
        line.push(b'\n');
        std::io::Write::write_all(&mut Stdout, &line).map_err(StdoutError)?;
    } else {
        let would = if dry_run { "would have " } else { "" };
        note(format_args!("{would}{done} {messages} message(s) of '{queue}'"));
    }
    Ok(Outcome::Done)
}
