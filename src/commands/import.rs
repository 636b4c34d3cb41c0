//! `mq import`: messages from elsewhere, as they were.

use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use self::elsewhere::{Found, Import};
use super::feed::{Feeder, Frames};
use super::progress::Progress;
use super::streams::{Input, open_file};
use super::{Context, Outcome, VerbArgs, note, visible};
use crate::domain::{MessageId, NewMessage, QueueName};
use crate::store::spool::Spool;
use crate::store::{Error, Filter, Store as _};

mod dirq;
pub(crate) mod elsewhere;
mod maildir;

/// Put messages from an export, a Maildir or a dirq directory
///
/// Reads what `mq export` has written, from FILE or stdin, and makes the same messages of it: with their ids, bodies,
/// attributes, put times, delivery counts and the reasons of failures. What was claimed is deliverable; what was held back
/// still is. They go to the end of the queue in the order of the lines. A unique key is not taken.
///
/// An import can be repeated, as after one that was interrupted: a message that is in the queue, in whatever state, is passed
/// over. An export knows it by its id, a Maildir or dirq directory by the name and the bytes of its file, whatever a mail
/// client has done to the flags at the end of the name. A message that has left the queue meanwhile, deleted, moved or dead,
/// is imported again: to take each mail once, move away or delete what was imported before the next run.
///
/// Prints the id of each imported message, as `mq put` does. The source is left as it is. What of a directory is left out is
/// said on stderr. One that is neither kind is refused with status 65; one that is empty is an import of 0 messages, with
/// status 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mq import jobs jobs.jsonl
  mq import mail --maildir ~/Maildir
  mq import jobs --dirq /var/spool/old-queue")]
pub(crate) struct ImportArgs {
    /// The queue to put to; it is made if it does not exist
    queue: QueueName,

    /// Exports to read; `-` is stdin
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<OsString>,

    /// Put each mail of the Maildir DIR (in new and cur) as a message of type message/rfc822, the oldest first
    ///
    /// Its path in DIR is the attribute `file`, with U+FFFD for what is not UTF-8. A symbolic link to a file is followed. What
    /// begins with a dot in new and cur is no mail. Other folders inside DIR (.Sent) are left out: import each by itself.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "files")]
    maildir: Option<PathBuf>,

    /// Put each element of DIR, a Directory::Queue::Simple queue, as a message, in their order
    ///
    /// Its path in DIR is the attribute `file`. Elements that are locked are left out.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with_all = ["files", "maildir"])]
    dirq: Option<PathBuf>,

    /// Fail if the queue does not exist, instead of making it
    #[arg(long)]
    no_create: bool,
}

impl VerbArgs for ImportArgs {
    fn run(self, context: &Context) -> Result<Outcome> {
        let store = context.store()?;
        let defaults = NewMessage::default();
        let progress = Progress::beside_stdout("imported");
        let mut feeder = Feeder::new(&store, &self.queue, !self.no_create, &defaults).watched(progress);
        let mut found = Found::default();
        let fed = match (&self.maildir, &self.dirq) {
            (Some(dir), _) => {
                found = maildir::look(dir, &self.queue)?;
                let media_type = Some("message/rfc822".parse()?);
                let mut import = Import { media_type, ..self.import_of(dir, &store)? };
                import.feed(&mut feeder, &mut found)
            }
            (_, Some(dir)) => {
                found = dirq::look(dir)?;
                self.import_of(dir, &store)?.feed(&mut feeder, &mut found)
            }
            _ => {
                feeder = feeder.knowing(known(&store, &self.queue)?);
                self.feed_exports(&mut feeder)
            }
        };
        feeder.end_progress();
        // Where nothing was read, there is nothing to say but why.
        if fed.is_ok() || feeder.put_count() > 0 || feeder.passed_over() > 0 {
            self.report(&feeder, &found);
        }
        fed?;
        feeder.finish()?;
        Ok(Outcome::Done)
    }
}

impl ImportArgs {
    /// An import of what lies in `dir`.
    fn import_of<'a>(&'a self, dir: &'a Path, store: &Spool) -> Result<Import<'a>> {
        let delay = match store.policy(&self.queue) {
            Ok(policy) => policy.delay,
            Err(Error::NoSuchQueue { .. }) => Duration::ZERO,
            Err(error) => return Err(error.into()),
        };
        let known = known(store, &self.queue)?.into_iter().map(MessageId::random).collect();
        Ok(Import { dir, queue: &self.queue, media_type: None, known, delay })
    }

    fn report(&self, feeder: &Feeder<'_>, found: &Found) {
        for left_out in &found.left_out {
            note(format_args!("left out: {}", visible(left_out)));
        }
        let (count, passed_over, locked) = (feeder.put_count(), feeder.passed_over(), found.locked);
        let plural = if count == 1 { "" } else { "s" };
        let rest = if passed_over > 0 { format!("; {passed_over} were there already") } else { String::new() };
        let locked = if locked > 0 { format!("; {locked} are locked, and left out") } else { String::new() };
        note(format_args!("imported {count} message{plural} to '{}'{rest}{locked}", self.queue));
    }

    fn feed_exports(&self, feeder: &mut Feeder<'_>) -> Result<()> {
        let mut input = Input::stdin()?;
        if self.files.is_empty() || self.files.iter().any(|file| file == "-") {
            Input::check()?;
        }
        if self.files.is_empty() {
            return feeder.feed(Frames::Exported, &mut input);
        }
        for path in &self.files {
            input.switch_to(if path == "-" { None } else { Some(open_file(path.as_ref())?) });
            feeder.feed(Frames::Exported, &mut input).with_context(|| format!("cannot import {}", path.display()))?;
        }
        Ok(())
    }
}

/// The ids of the messages that are in the queue.
fn known(store: &Spool, queue: &QueueName) -> Result<HashSet<MessageId>> {
    let mut known = HashSet::new();
    let listed = store.list(queue, &Filter::default(), &mut |listed| {
        known.insert(listed.message.id);
        ControlFlow::Continue(())
    });
    match listed {
        Ok(()) | Err(Error::NoSuchQueue { .. }) => Ok(known),
        Err(error) => Err(error.into()),
    }
}
