//! What purge, move, redrive and replay have in common: they are about many messages of a queue, and cannot be taken back.
//!
//! Each message is a step of its own: interrupted, what is done is done and said and the rest is as it was, and the same
//! command goes on with it.
//!
//! All of nothing is done without a word of complaint, so that a script can do it twice. Who chose among the messages meant
//! some: where none of them is there the outcome is [`Outcome::Nothing`], also of a dry run.

use std::io::Write as _;
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;

use super::filter::FilterArgs;
use super::progress::Progress;
use super::streams::{Stdout, StdoutError};
use super::{Outcome, confirmed, is_attended, note};
use crate::domain::QueueName;
use crate::domain::lifecycle::State;
use crate::domain::units::counted;
use crate::store::{self, Filter, Listed, Store};

/// How something is done to messages of a queue, and to which.
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

    #[command(flatten)]
    filter: FilterArgs,
}

/// What is to be done, and the words for it.
pub(super) struct Deed<'a> {
    /// The queue whose messages it is done to.
    pub(super) queue: &'a QueueName,
    /// What they are afterwards.
    pub(super) done: &'static str,
    /// Completes "N messages …".
    pub(super) whence: String,
    /// What a person is asked.
    pub(super) question: &'a dyn Fn(u64) -> String,
    /// How many messages are meant.
    pub(super) count: &'a dyn Fn(&Filter) -> store::Result<u64>,
}

impl BulkArgs {
    /// Whether messages are meant by their state.
    pub(super) fn names_states(&self) -> bool {
        self.filter.names_states()
    }

    /// Does `act`, if it is to be done and the user agrees, and says to how many messages. `act` is told which messages, and
    /// whom to tell of each.
    pub(super) fn carry_out(
        self,
        deed: &Deed<'_>,
        act: impl FnOnce(&Filter, &mut Progress) -> Result<u64>,
    ) -> Result<Outcome> {
        let Deed { queue, done, whence, .. } = deed;
        let filter = self.filter.into_filter()?;
        // A large queue takes a while to count: only where the number is needed.
        let is_counted = self.dry_run || !self.yes && is_attended();
        let there = if is_counted { (deed.count)(&filter)? } else { 0 };
        // (Nobody is asked about nothing.)
        let is_question = !self.dry_run && is_counted && there > 0;
        if is_question && !confirmed(self.yes, &(deed.question)(there))? {
            note(format_args!("nothing was {done}"));
            return Ok(Outcome::Done);
        }
        let messages = if self.dry_run {
            there
        } else {
            let mut progress = Progress::new(done);
            let acted = act(&filter, &mut progress);
            progress.finish();
            let acted = match progress.interrupted() {
                Some(interrupted) => {
                    // What else was wrong is told, and the end is by the signal.
                    acted.err().iter().for_each(|error| note(store::chain(error.as_ref())));
                    Err(interrupted.into())
                }
                None => acted,
            };
            if acted.is_err() && progress.count() > 0 {
                // Whoever repeats it has to know.
                note(format_args!("{done} {} {whence} before this:", counted(progress.count(), "message")));
            }
            acted?
        };
        if self.json {
            let line = serde_json::json!({ "queue": queue, *done: messages, "dry_run": self.dry_run });
            Stdout.write_all(format!("{line}\n").as_bytes()).map_err(StdoutError)?;
        } else {
            let would = if self.dry_run { "would have " } else { "" };
            note(format_args!("{would}{done} {} {whence}", counted(messages, "message")));
        }
        Ok(Outcome::of_matched(messages, &filter))
    }
}

/// How many messages of a queue are meant.
pub(super) fn count_meant(store: &dyn Store, queue: &QueueName, which: &Filter) -> store::Result<u64> {
    if which.is_all() {
        return store.stat(queue).map(|stat| stat.messages());
    }
    count(store, queue, which, |_| true)
}

/// How many of them nobody has claimed.
pub(super) fn count_unclaimed(store: &dyn Store, queue: &QueueName, which: &Filter) -> store::Result<u64> {
    if which.is_all() {
        return store.stat(queue).map(|stat| stat.messages() - stat.claimed - stat.held);
    }
    count(store, queue, which, |listed| is_unclaimed(listed.state))
}

/// Whether a message can be moved: nobody has it.
pub(super) fn is_unclaimed(state: State) -> bool {
    !matches!(state, State::Claimed { .. } | State::Held)
}

/// How many of the deleted messages are meant that the archive has.
pub(super) fn count_archived(store: &dyn Store, queue: &QueueName, which: &Filter) -> store::Result<u64> {
    if which.is_all() {
        return store.stat(queue).map(|stat| stat.archived);
    }
    let mut count = 0;
    store.list_archived(queue, which, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

fn count(store: &dyn Store, queue: &QueueName, which: &Filter, counts: impl Fn(&Listed) -> bool) -> store::Result<u64> {
    let mut count = 0;
    store.list(queue, which, &mut |listed| {
        count += u64::from(counts(&listed));
        ControlFlow::Continue(())
    })?;
    Ok(count)
}
