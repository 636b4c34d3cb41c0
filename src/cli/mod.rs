//! The command line: arguments in, an exit status out.
//!
//! Owns the definition of the whole command line (so also the man pages and the completions that come out of
//! it), where the spool is, the table of exit statuses, and how errors look.

use std::any::Any;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::commands::{Context, Outcome, VERBS, Verb};

mod complete;
mod error;
mod exit;
mod man;
mod roff;

const ABOUT: &str = "A durable message queue for the shell: the queue is a directory";

const LONG_ABOUT: &str = "\
A durable message queue for the shell: the queue is a directory.

Every message is a file, every step one rename: there is no daemon, and any command can be killed at any point \
without losing a message. `mq put` adds, `mq get` claims, `mq delete` finishes.

A queue's name is 1 to 80 of A-Z a-z 0-9 . _ -, and does not start with . or -. A duration is a number with a unit: \
500ms, 30s, 5m, 2h, 1d. Bodies, ids and JSON go to stdout, everything else to stderr.";

const AFTER_HELP: &str = "\
Examples:
  mq put jobs -m 'hello'               add a message; prints its id
  mq get jobs --delete                 take the next one
  mq get jobs --wait 1m -- ./handle    run a command on it; deleted if that succeeds
  mq stat jobs                         see where messages are stuck

Exit status:
  0  done                       73  cannot create
  1  nothing there              74  I/O error
  2  usage                      75  try again later
 65  bad data                   77  permission
 66  no such queue or message,  78  bad policy or configuration
     or a stale receipt         70  internal error";

/// Runs the program on `args`, the first of which is its own name. Everything that goes wrong is told on stderr
/// and in the status.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // A panic is a bug of this program; it must not look like an answer.
    let ran = catch_unwind(AssertUnwindSafe(|| dispatch(args)));
    ExitCode::from(ran.unwrap_or_else(|panic| internal_error(panic.as_ref())))
}

fn internal_error(_: &(dyn Any + Send)) -> u8 {
    // What happened and where has been printed by the panic hook.
    exit::INTERNAL
}

fn dispatch(args: impl IntoIterator<Item = OsString>) -> u8 {
    if std::env::var_os(complete::VARIABLE).is_some() {
        clap_complete::CompleteEnv::with_factory(|| complete::with_queues(definition(true)))
            .var(complete::VARIABLE)
            .complete();
    }
    let matches = match definition(false).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::DONE };
        }
    };
    let Some((name, of_verb)) = matches.subcommand() else { return exit::USAGE };
    let ran = match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => run_verb(verb, of_verb),
        None if name == "completions" => complete::run(of_verb),
        None => man::run(of_verb),
    };
    match ran {
        Ok(Outcome::Done) => exit::DONE,
        Ok(Outcome::Nothing | Outcome::Found) => exit::NOTHING,
        Ok(Outcome::Command(status)) => status,
        Ok(Outcome::Failed(errors)) => {
            // The first one is the answer; all of them are told.
            let statuses: Vec<u8> = errors.iter().map(|error| error::report(name, error)).collect();
            statuses.first().copied().unwrap_or(exit::DONE)
        }
        Err(error) => error::report(name, &error),
    }
}

fn run_verb(verb: &Verb, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let spool = matches.get_one::<PathBuf>("spool").cloned().or_else(default_spool_dir);
    (verb.run)(matches, &Context { spool })
}

/// The XDG base directory specification says that a relative path is to be ignored.
fn default_spool_dir() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MQ_SPOOL") {
        // Empty is a variable that somebody forgot to set: the default is not what they meant.
        return (!named.is_empty()).then(|| named.into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .map(|state| state.join("mq"))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/mq")))
}

/// Adds to a command what it takes.
type Define = fn(Command) -> Command;

/// The whole command line. A verb's own arguments are built only when the verb is used, unless `all` are needed.
fn definition(all: bool) -> Command {
    let mut command = Command::new("mq")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
        .arg_required_else_help(true)
        .max_term_width(100)
        .arg(
            Arg::new("spool")
                .long("spool")
                .value_name("DIR")
                .global(true)
                .display_order(900)
                .value_parser(value_parser!(PathBuf))
                .value_hint(clap::ValueHint::DirPath)
                .help("Where the queues are [default: $MQ_SPOOL, else $XDG_STATE_HOME/mq, else ~/.local/state/mq]"),
        );
    let tools =
        [("completions", complete::ABOUT, complete::define as Define), ("man", man::ABOUT, man::define as Define)];
    let verbs = VERBS.iter().map(|verb| (verb.name, verb.about, verb.define)).chain(tools);
    for (name, about, define) in verbs {
        let verb = Command::new(name).about(about);
        command = command.subcommand(if all { define(verb) } else { verb.defer(define) });
    }
    command
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_does_not_contradict_itself() {
        super::definition(true).debug_assert();
    }
}
