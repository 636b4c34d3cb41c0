//! What purge and move have in common: they are about every message of a queue, and cannot be taken back.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

use super::streams::{Stdout, StdoutError};
use super::{Outcome, confirmed, note};
use crate::domain::QueueName;
use crate::store;

/// How something is done to every message of a queue.
#[derive(Debug, Args)]
pub(super) struct BulkArgs {
    /// Say how many messages it would be, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask, not even on a terminal
    #[arg(short, long)]
    yes: bool,

    /// Say how many in JSON on stdout, instead of in words on stderr
    #[arg(long)]
    json: bool,
}

impl BulkArgs {
    /// Does `act`, if it is to be done and the user agrees, and says to how many messages of `queue`. `count` tells
    /// how many there are; `done`, `whence` and `question` are the words for it.
    pub(super) fn carry_out(
        &self,
        queue: &QueueName,
        done: &str,
        whence: &str,
        question: impl FnOnce(u64) -> String,
        count: impl FnOnce() -> store::Result<u64>,
        act: impl FnOnce() -> store::Result<u64>,
    ) -> Result<Outcome> {
        // A large queue takes a while to count: only where the number is needed.
        let there = if self.dry_run || !self.yes { count()? } else { 0 };
        if !self.dry_run && !confirmed(self.yes, &question(there))? {
            note(format_args!("nothing was {done}"));
            return Ok(Outcome::Done);
        }
        let messages = if self.dry_run { there } else { act()? };
        if self.json {
            let line = serde_json::json!({ "queue": queue, done: messages, "dry_run": self.dry_run });
            Stdout.write_all(format!("{line}\n").as_bytes()).map_err(StdoutError)?;
        } else {
            let would = if self.dry_run { "would have " } else { "" };
            let plural = if messages == 1 { "" } else { "s" };
            note(format_args!("{would}{done} {messages} message{plural} {whence}"));
        }
        Ok(Outcome::Done)
    }
}
