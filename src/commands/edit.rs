//! `mq edit`: a message's body in an editor.
//!
//! Invariant: what somebody has written and could not be put in its place is kept in a file, and the file is named.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result};
use clap::Args;
use tempfile::TempPath;

use super::streams::{Interrupted, Signals, open_file};
use super::{Context, Outcome, VerbArgs, note};
use crate::domain::{MessageId, QueueName};
use crate::store::{Body, Peeked, Store as _, read_full};

/// Change the body of a message in an editor
///
/// Opens the body, as it is, in $VISUAL, or else $EDITOR, or else vi, and puts what was saved in its place. All else stays:
/// id, put time, type, attributes, priority, delivery count, log of failures, place in the queue. It is for dead letters above
/// all, before `mq redrive`, and for any other message that nobody has claimed and that is not of a unique key or a group.
///
/// The queue goes on meanwhile. If the message was claimed, moved, deleted or edited by others before the editor ended, it
/// stays as it is, and what was written is kept in a file that is named. It stays as well if nothing was changed, or the
/// editor ends with another status than 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq edit jobs.dead 018bcfe5-684b-722a-b1ba-804098e6cb29
  EDITOR='code --wait' mq edit jobs.dead 018bcfe5-684b-722a-b1ba-804098e6cb29
  EDITOR='sed -i s/http:/https:/' mq edit jobs.dead \"$id\"    without a person

Exit status:
   0  the message has the new body, or nothing was changed
   1  the editor failed, or removed the file; the message is as it was
  65  the new body is larger than the queue's max-bytes
  66  there is no such queue or message, or it is too old to be delivered
  75  the message is claimed, or was claimed, moved, deleted or edited meanwhile
  78  the editor cannot be run: $VISUAL or $EDITOR names one that is not there
      The others are in mq(1).")]
pub(crate) struct EditArgs {
    /// The queue that the message is in
    queue: QueueName,

    /// The message's id, as `mq list` shows it
    id: MessageId,
}

/// The editor cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot run the editor '{0}', and message {1} stays as it is\n  set VISUAL or EDITOR to one that is there")]
pub(crate) struct NoEditor(String, MessageId);

/// What a shell ends with that cannot run a command, or cannot find it.
const CANNOT_RUN: [i32; 2] = [126, 127];

/// What became of the body in the editor.
enum Edited {
    /// It was changed.
    Changed,
    Unchanged,
    /// The editor says that it is not to count.
    Failed(ExitStatus),
    /// There is nothing left of what was opened.
    Removed,
    Interrupted(Interrupted),
}

impl VerbArgs for EditArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        let Self { queue, id } = &self;
        // What the editor did, and the file that it did it to.
        let mut written: Option<Result<(Edited, TempPath)>> = None;
        let replaced = store.edit(queue, *id, &mut |peeked| {
            let edited = let_edit(*id, peeked);
            let new_body = match &edited {
                Ok((Edited::Changed, path)) => Some(open_file(path)),
                _ => None,
            };
            match new_body {
                None => {
                    written = Some(edited);
                    None
                }
                Some(Ok(file)) => {
                    written = Some(edited);
                    Some(Box::new(file) as Box<dyn Read>)
                }
                Some(Err(error)) => {
                    written = Some(Err(error.into()));
                    None
                }
            }
        });
        let kept = |path: TempPath| match path.keep() {
            Ok(path) => format!("what was written is kept in {}", path.display()),
            Err(error) => format!("what was written is lost: {error}"),
        };
        let Some(written) = written else { return replaced.map(|_| Outcome::Done).map_err(Into::into) };
        let (edited, path) = written?;
        if let Err(error) = replaced {
            // What was not put anywhere is the work of a person.
            return Err(if matches!(edited, Edited::Changed) {
                with_words(error.into(), kept(path))
            } else {
                error.into()
            });
        }
        match edited {
            Edited::Changed => {
                note(format_args!("message {id} of '{queue}' has a new body"));
                Ok(Outcome::Done)
            }
            Edited::Unchanged => {
                note(format_args!("message {id} of '{queue}' stays as it is: nothing was changed"));
                Ok(Outcome::Done)
            }
            Edited::Failed(status) => {
                // One that was killed did not mean to throw anything away. (The shell may tell it by a number.)
                let is_killed = status.code().is_none_or(|code| code > 128);
                let kept = if is_killed { format!("; {}", kept(path)) } else { String::new() };
                note(format_args!("message {id} of '{queue}' stays as it is: the editor ended with {status}{kept}"));
                Ok(Outcome::Nothing)
            }
            Edited::Removed => {
                note(format_args!("message {id} of '{queue}' stays as it is: the editor removed the file"));
                Ok(Outcome::Nothing)
            }
            Edited::Interrupted(interrupted) => {
                note(format_args!("message {id} of '{queue}' stays as it is; {}", kept(path)));
                Err(interrupted.into())
            }
        }
    }
}

/// An error of which somebody has to hear more than its cause.
fn with_words(error: anyhow::Error, words: String) -> anyhow::Error {
    note(words);
    error
}

/// Opens the body in the editor, and waits until that ends.
fn let_edit(id: MessageId, mut peeked: Peeked) -> Result<(Edited, TempPath)> {
    let failed = || format!("cannot write the body of message {id} to a file for the editor");
    let mut file = tempfile::Builder::new().prefix(&format!("mq-{id}-")).tempfile().with_context(failed)?;
    io::copy(&mut peeked.body, &mut file).with_context(failed)?;
    let path = file.into_temp_path();
    // A person's Ctrl-C is for the editor; who asks this program to end is heard when that has ended.
    let signals = Signals::catch()?;
    let editor = editor();
    let status = Command::new("sh")
        .arg("-c")
        // By the shell, so that it can have arguments of its own.
        .arg([editor.as_os_str(), " \"$1\"".as_ref()].into_iter().collect::<OsString>())
        .arg("mq edit")
        .arg(&path)
        .status()
        .with_context(|| format!("cannot run the editor '{}'", editor.display()))?;
    let interrupted = signals.pending().filter(|caught| caught.signal != signal_hook::consts::SIGINT);
    let edited = match interrupted {
        Some(interrupted) => Edited::Interrupted(interrupted),
        None if status.code().is_some_and(|code| CANNOT_RUN.contains(&code)) => {
            return Err(NoEditor(editor.display().to_string(), id).into());
        }
        None if !status.success() => Edited::Failed(status),
        None => match open_file(&path) {
            Err(error) if error.is_missing() => Edited::Removed,
            Err(error) => return Err(error.into()),
            Ok(file) if is_same(&mut peeked.body, &file)? => Edited::Unchanged,
            Ok(_) => Edited::Changed,
        },
    };
    Ok((edited, path))
}

/// The command that edits, in the order in which other programs look for it. Empty is as good as not set.
fn editor() -> OsString {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into())
}

/// Whether the file has the very bytes of the body. (An editor may have put another file in its place.)
fn is_same(body: &mut Body, mut file: &File) -> io::Result<bool> {
    body.rewind()?;
    let (mut ours, mut theirs) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let (one, other) = (read_full(body, &mut ours)?, read_full(&mut file, &mut theirs)?);
        if ours[..one] != theirs[..other] {
            return Ok(false);
        }
        if one == 0 {
            return Ok(true);
        }
    }
}
