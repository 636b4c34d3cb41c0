//! Completions: a script for each shell, which asks this program, which asks the spool for the queues.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use crate::codec::Format;
use crate::commands::Outcome;
use crate::commands::streams::{Stdout, StdoutError};
use crate::domain::{Durability, Policy};
use crate::store::Store as _;
use crate::store::spool::Spool;

/// The scripts set this to ask for candidates.
pub(super) const VARIABLE: &str = "MQ_COMPLETE";

/// What shellcheck has to know: candidates come split at IFS, and `$?` is looked at after the array is filled.
const BASH_LINT: &str = "# shellcheck shell=bash disable=SC2207,SC2181\n";

/// Found in fpath, the script is the body of the function `_mq`, whose first call is a completion already.
const ZSH_FIRST_CALL: &str = "\
if [[ ${funcstack[1]} == _mq ]]; then
    _clap_dynamic_completer_mq \"$@\"
fi
";

pub(super) const ABOUT: &str = "Print the completion script of a shell";

pub(super) fn define(command: Command) -> Command {
    command
        .long_about("Print the completion script of a shell\n\nIt completes verbs, options and the names of the queues that there are.")
        .after_long_help(
            "Examples:\n  mq completions bash > ~/.local/share/bash-completion/completions/mq\n  \
             mq completions zsh > ~/.zfunc/_mq\n  mq completions fish > ~/.config/fish/completions/mq.fish",
        )
        .arg(Arg::new("shell").required(true).value_name("SHELL").value_parser(["bash", "zsh", "fish"]).help("Which shell"))
}

pub(super) fn run(matches: &ArgMatches) -> Result<Outcome> {
    let shell = matches.get_one::<String>("shell").context("no shell was named")?;
    let shells = Shells::builtins();
    let completer = shells.completer(shell).context("no such shell")?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "mq", "mq", "mq", &mut script)?;
    // zsh looks for its mark in the very first line.
    let (before, after) = match shell.as_str() {
        "bash" => (BASH_LINT, ""),
        "zsh" => ("", ZSH_FIRST_CALL),
        _ => ("", ""),
    };
    let script = [before.as_bytes(), script.trim_ascii(), b"\n", after.as_bytes()].concat();
    Stdout.write_all(&script).map_err(StdoutError)?;
    Ok(Outcome::Done)
}

/// The definition with candidates for the arguments whose values are known.
pub(super) fn with_queues(command: Command) -> Command {
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    verbs.into_iter().fold(command, |command, verb| {
        command.mut_subcommand(verb, |verb| {
            // Elsewhere --from and --to are formats.
            let is_move = verb.get_name() == "move";
            verb.mut_args(|arg| match arg.get_id().as_str() {
                "queue" | "queues" | "reply_to" => arg.add(ArgValueCompleter::new(queues)),
                "from" | "to" if is_move => arg.add(ArgValueCompleter::new(queues)),
                "settings" => arg.add(ArgValueCompleter::new(settings)),
                "from" | "to" => arg.add(ArgValueCandidates::new(formats)),
                "durability" => arg.add(ArgValueCandidates::new(durabilities)),
                _ => arg,
            })
        })
    })
}

/// The queues whose names begin as typed. Silent when there is no spool: a shell is no place for errors.
fn queues(typed: &OsStr) -> Vec<CompletionCandidate> {
    let line = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let spool = spool_on_line(line).or_else(super::default_spool_dir);
    let names = spool.and_then(|spool| Spool::open(spool).ok()).and_then(|store| store.queues().ok());
    let typed = typed.to_string_lossy();
    names
        .unwrap_or_default()
        .iter()
        .filter(|name| name.as_str().starts_with(&*typed))
        .map(|name| CompletionCandidate::new(name.as_str()))
        .collect()
}

/// What `--spool` says on the line that is being typed.
fn spool_on_line(mut words: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut spool = None;
    while let Some(word) = words.next().filter(|word| word != "--") {
        if word == "--spool" {
            // Bash takes a word apart at an equals sign.
            let value = words.next();
            spool = if value.as_deref() == Some(OsStr::new("=")) { words.next() } else { value };
        } else if let Some(value) = word.as_bytes().strip_prefix(b"--spool=") {
            spool = Some(OsStr::from_bytes(value).to_owned());
        }
    }
    spool.map(PathBuf::from)
}

fn formats() -> Vec<CompletionCandidate> {
    Format::ALL.iter().map(|format| CompletionCandidate::new(format.name())).collect()
}

fn durabilities() -> Vec<CompletionCandidate> {
    [Durability::Full, Durability::None].iter().map(|it| CompletionCandidate::new(it.to_string())).collect()
}

fn settings(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let keys = Policy::KEYS.iter().map(|key| format!("{key}="));
    keys.filter(|key| key.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}
