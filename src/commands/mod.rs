//! One verb per file: its arguments and its `run`.
//!
//! A verb is handed a [`Context`], asks a [`Store`](crate::store::Store), writes bytes to stdout through
//! [`streams`], and says how it went: an [`Outcome`], or an error which it leaves to the caller to render. No
//! verb knows an exit status by number, except for a command's own that it hands on.

// Doc comments in here are what a terminal shows as help; options are switches that do not exclude one another.
#![allow(clippy::doc_markdown, clippy::struct_excessive_bools)]

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::domain::units::format_duration;
use crate::domain::{NewMessage, Policy, QueueName};
use crate::store::spool::Spool;
use crate::store::{self, Filter, Store};

mod bulk;
mod convert;
mod create;
mod delete;
mod drop_queue;
mod edit;
pub(crate) mod envelope;
mod export;
mod extend;
mod feed;
mod filter;
mod frames;
mod fsck;
mod get;
pub(crate) mod import;
mod intake;
mod list;
mod move_all;
mod pause;
mod peek;
mod progress;
mod purge;
mod put;
mod receipts;
mod redrive;
mod release;
mod replay;
pub(crate) mod run;
mod schema;
mod set;
mod stat;
pub(crate) mod streams;

pub(crate) use edit::NoEditor;
pub(crate) use run::NoProgram;

/// How a verb went, when it did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// There was nothing: an empty queue, a wait that timed out, a choice among messages that none of them fits.
    Nothing,
    /// What was looked at is not as it should be.
    Found,
    /// A command ran and said this.
    Command(u8),
    /// Some of what was asked for failed, the rest is done.
    Failed(Vec<anyhow::Error>),
}

impl Outcome {
    /// Of a verb that found so many of the messages that are meant: nothing, where some were chosen and none was there.
    fn of_matched(matched: u64, which: &Filter) -> Self {
        if matched == 0 && !which.is_all() { Self::Nothing } else { Self::Done }
    }
}

/// What every verb is given.
pub(crate) struct Context {
    /// Where the spool is, or would be; `None` if nothing says where.
    pub(crate) spool: Option<PathBuf>,
}

/// There is no place for a spool.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no place for the queues: neither --spool nor MQ_SPOOL, which must not be empty, nor XDG_STATE_HOME or HOME says where"
)]
pub(crate) struct NoSpool;

impl Context {
    /// Opens the spool.
    pub(crate) fn store(&self) -> Result<Spool> {
        Ok(Spool::open(self.spool.as_ref().ok_or(NoSpool)?)?)
    }
}

/// Says something on stderr that is neither output nor an error.
pub(crate) fn note(text: impl std::fmt::Display) {
    use std::io::Write as _;
    // Who closed stderr does not want to hear it.
    let _ = writeln!(std::io::stderr(), "mq: {text}");
}

/// Words of the command line that no definition of options can rule out by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A verb: how it is defined and what it does.
pub(crate) struct Verb {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Adds description and arguments; called only for the verb that is used.
    pub(crate) define: fn(Command) -> Command,
    /// One line for the list of verbs.
    pub(crate) about: &'static str,
    /// Does it.
    pub(crate) run: fn(&ArgMatches, &Context) -> Result<Outcome>,
}

/// A verb's arguments as a type.
pub(crate) trait VerbArgs: Args + FromArgMatches {
    /// Does what the arguments say.
    fn run(self, context: &Context) -> Result<Outcome>;
}

fn run<A: VerbArgs>(matches: &ArgMatches, context: &Context) -> Result<Outcome> {
    A::from_arg_matches(matches)?.run(context)
}

const fn verb<A: VerbArgs>(name: &'static str, about: &'static str) -> Verb {
    Verb { name, define: A::augment_args, about, run: run::<A> }
}

/// Every verb, in the order in which help shows them.
pub(crate) const VERBS: &[Verb] = &[
    verb::<put::PutArgs>("put", "Add messages to a queue"),
    verb::<get::GetArgs>("get", "Claim the next message and write its body to stdout"),
    verb::<delete::DeleteArgs>("delete", "Finish claimed messages for good"),
    verb::<release::ReleaseArgs>("release", "Give claimed messages back"),
    verb::<extend::ExtendArgs>("extend", "Keep claimed messages for longer"),
    verb::<peek::PeekArgs>("peek", "Read messages without claiming them"),
    verb::<export::ExportArgs>("export", "Write all messages of a queue, with all that is known of them"),
    verb::<import::ImportArgs>("import", "Put messages from an export, a Maildir or a dirq directory"),
    verb::<list::ListArgs>("list", "List queues, or the messages of a queue"),
    verb::<stat::StatArgs>("stat", "Count messages by state, age and deliveries"),
    verb::<create::CreateArgs>("create", "Make a queue with a policy"),
    verb::<set::SetArgs>("set", "Change the policy of a queue"),
    verb::<drop_queue::DropArgs>("drop", "Remove a queue"),
    verb::<pause::PauseArgs>("pause", "Hold receivers of a queue off"),
    verb::<pause::ResumeArgs>("resume", "Let receivers of a paused queue go on"),
    verb::<purge::PurgeArgs>("purge", "Delete messages of a queue"),
    verb::<move_all::MoveArgs>("move", "Move messages of a queue to another"),
    verb::<redrive::RedriveArgs>("redrive", "Send dead letters back to where they come from"),
    verb::<edit::EditArgs>("edit", "Change the body of a message in an editor"),
    verb::<replay::ReplayArgs>("replay", "Put deleted messages of a queue again"),
    verb::<fsck::FsckArgs>("fsck", "Explain what is wrong with the spool, and mend it"),
    verb::<convert::ConvertArgs>("convert", "Convert a document from stdin to stdout"),
];

/// Does `action`; when that fails because the queue is missing, makes the queue and does it once more.
fn creating<T>(
    store: &dyn Store,
    queue: &QueueName,
    create: bool,
    mut action: impl FnMut() -> store::Result<T>,
) -> store::Result<T> {
    match action() {
        Err(store::Error::NoSuchQueue { .. }) if create => {
            match store.create_queue(queue, &Policy::default(), None) {
                // Somebody else was faster: as good.
                Ok(()) | Err(store::Error::QueueExists(_)) => action(),
                Err(error) => Err(error),
            }
        }
        other => other,
    }
}

/// Asks on a terminal before something that cannot be taken back; scripts are not asked.
fn confirmed(yes: bool, question: &str) -> Result<bool> {
    use std::io::BufRead as _;
    if yes || !is_attended() {
        return Ok(true);
    }
    eprint!("mq: {question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether somebody sits there who can be asked.
fn is_attended() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A name in one line that plays no tricks on a terminal.
fn visible(name: &str) -> String {
    if name.contains(char::is_control) { name.escape_debug().to_string() } else { name.to_owned() }
}

/// Who asks for archived messages by their state finds none, and would take that for an answer.
const NO_STATES: &str = "archived messages are in no state: choose among them by other options than --state";

/// Why a message of which a sender says this would never be delivered.
fn check_times(new: &NewMessage) -> Result<(), String> {
    match (new.delay.unwrap_or_default(), new.ttl) {
        (_, Some(ttl)) if ttl.is_zero() => Err("ttl 0s: the message would never be delivered".to_owned()),
        (delay, Some(ttl)) if delay >= ttl => {
            let (delay, ttl) = (format_duration(delay), format_duration(ttl));
            Err(format!("delay {delay}, ttl {ttl}: the message would be too old before it is deliverable"))
        }
        _ => Ok(()),
    }
}

/// Reads a duration option.
fn duration(text: &str) -> Result<std::time::Duration, crate::domain::Invalid> {
    crate::domain::units::parse_duration(text)
}
