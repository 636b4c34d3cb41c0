//! `mq import`: messages from elsewhere, as they were.

use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use super::feed::{Feeder, Frames};
use super::streams::{Input, open_file};
use super::{Context, Outcome, Usage, VerbArgs, note};
use crate::domain::{MediaType, MessageId, NewMessage, QueueName};
use crate::store::spool::Spool;
use crate::store::{Error, Filter, Store as _};

/// Put messages from an export, a Maildir or a dirq directory
///
/// Reads what `mq export` has written, from FILE or stdin, and makes the same messages of it: with their ids, bodies,
/// attributes, put times, delivery counts and the reasons of failures. What was claimed is deliverable; what was held back
/// still is. They go to the end of the queue in the order of the lines. A message whose id is in the queue is passed over,
/// so an import that was interrupted can be repeated. A unique key is not taken.
///
/// Prints the id of each imported message, as `mq put` does. The source is left as it is.
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

    /// Put each mail of the Maildir DIR (in new and cur) as a message of type message/rfc822, the oldest first, its file's
    /// name as the attribute `file`
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "files")]
    maildir: Option<PathBuf>,

    /// Put each element of DIR, a Directory::Queue::Simple queue, as a message, in their order, its path in DIR as the
    /// attribute `file`; locked ones are left out, and said so
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
        let mut feeder = Feeder::new(&store, &self.queue, !self.no_create, &defaults);
        let mut locked = 0;
        let fed = match (&self.maildir, &self.dirq) {
            (Some(dir), _) => {
                let media_type: MediaType = "message/rfc822".parse()?;
                let new = NewMessage { media_type: Some(media_type), ..NewMessage::default() };
                mails_in(dir).and_then(|mails| feed_each(&mut feeder, dir, &mails, &new))
            }
            (_, Some(dir)) => {
                elements_of(dir, &mut locked).and_then(|elements| feed_each(&mut feeder, dir, &elements, &defaults))
            }
            _ => {
                feeder = feeder.knowing(known(&store, &self.queue)?);
                self.feed_exports(&mut feeder)
            }
        };
        let (count, passed_over) = (feeder.put_count(), feeder.passed_over());
        let plural = if count == 1 { "" } else { "s" };
        let rest = if passed_over > 0 { format!("; {passed_over} were there already") } else { String::new() };
        let locked = if locked > 0 { format!("; {locked} are locked, and left out") } else { String::new() };
        note(format_args!("imported {count} message{plural} to '{}'{rest}{locked}", self.queue));
        fed?;
        feeder.finish()?;
        Ok(Outcome::Done)
    }
}

impl ImportArgs {
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

/// Puts each file as a message that tells its name inside `dir`.
fn feed_each(feeder: &mut Feeder<'_>, dir: &Path, files: &[PathBuf], new: &NewMessage) -> Result<()> {
    let mut input = Input::stdin()?;
    for path in files {
        let mut new = new.clone();
        if let Some(name) = path.strip_prefix(dir).ok().and_then(Path::to_str) {
            new.attributes.insert("file", name)?;
        }
        input.switch_to(Some(open_file(path)?));
        feeder.put_one(&new, &mut input).with_context(|| format!("cannot import {}", path.display()))?;
    }
    Ok(())
}

/// The files in a directory whose names `is_wanted`, sorted.
fn files_in(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        if entry.file_type().is_file() && entry.file_name().to_str().is_some_and(&is_wanted) {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// The mails of a Maildir, the oldest first: their names begin with the second of their delivery.
fn mails_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut mails = Vec::new();
    for part in ["new", "cur"] {
        mails.extend(files_in(&dir.join(part), |name| !name.starts_with('.'))?);
    }
    let second = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split('.').next().and_then(|second| second.parse::<u64>().ok())
    };
    mails.sort_by(|a, b| (second(a), a.file_name()).cmp(&(second(b), b.file_name())));
    Ok(mails)
}

fn is_hex(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The elements of a Directory::Queue::Simple queue that nobody has locked (a second link, `ELEMENT.lck`), in their order:
/// files named by 14 hexadecimal digits in directories named by 8.
fn elements_of(dir: &Path, locked: &mut u64) -> Result<Vec<PathBuf>> {
    let mut elements = Vec::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        if !entry.file_type().is_dir() || !entry.file_name().to_str().is_some_and(|name| is_hex(name, 8)) {
            continue;
        }
        for element in files_in(entry.path(), |name| is_hex(name, 14))? {
            let mut lock = element.clone().into_os_string();
            lock.push(".lck");
            if Path::new(&lock).symlink_metadata().is_ok() {
                *locked += 1;
            } else {
                elements.push(element);
            }
        }
    }
    if elements.is_empty() && *locked == 0 && !dir.is_dir() {
        return Err(Usage(format!("{} is not a directory", dir.display())).into());
    }
    Ok(elements)
}
