//! Messages that lie in files of other programs: what every kind of them has in common.
//!
//! A repeated import has to know what an earlier one has put. So the random part of such a message's id is none: it is
//! made of the file's name and bytes, and who has a message of that in the queue has that file's. The time in the id is
//! that of the import, as of every put, so that nothing is too old for the queue's `retention` on its first day.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::commands::feed::Feeder;
use crate::commands::streams::{Input, open_file};
use crate::domain::{Clock as _, MediaType, MessageId, NewMessage, Origin, QueueName, SystemClock};

/// A directory is not what it was said to be.
#[derive(Debug, thiserror::Error)]
#[error("{path} is no {expected}, and nothing was imported")]
pub(crate) struct Unexpected {
    pub(super) path: String,
    pub(super) expected: &'static str,
}

/// A file that is a message.
pub(super) struct Source {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it is called for as long as it is the same message.
    pub(super) name: Vec<u8>,
}

/// What lies in a directory.
#[derive(Default)]
pub(super) struct Found {
    /// In the order in which they are to be put.
    pub(super) sources: Vec<Source>,
    /// What each thing is that is no message, or cannot be one now.
    pub(super) left_out: Vec<String>,
    /// How many are messages, and somebody has locked them.
    pub(super) locked: u64,
}

/// How the messages of a directory are put.
pub(super) struct Import<'a> {
    pub(super) dir: &'a Path,
    pub(super) queue: &'a QueueName,
    pub(super) media_type: Option<MediaType>,
    /// The random parts of the ids that are in the queue.
    pub(super) known: HashSet<u128>,
    /// How long the queue keeps back what is put.
    pub(super) delay: Duration,
}

impl Import<'_> {
    /// Puts each file that the queue has no message of, and notes those that have gone.
    pub(super) fn feed(&mut self, feeder: &mut Feeder<'_>, found: &mut Found) -> Result<()> {
        let mut input = Input::stdin()?;
        let fed = self.feed_each(feeder, found, &mut input);
        // What was gathered is put, whatever ended it.
        let flushed = feeder.flush();
        fed.and(flushed)
    }

    fn feed_each(&mut self, feeder: &mut Feeder<'_>, found: &mut Found, input: &mut Input) -> Result<()> {
        for source in &found.sources {
            let path = &source.path;
            let file = match open_file(path) {
                Ok(file) => file,
                Err(error) if error.is_missing() => {
                    let gone = "was renamed or deleted meanwhile; if it is there again, repeat the import";
                    found.left_out.push(format!("{} {gone}", path.display()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            input.switch_to(Some(file));
            let failed = || format!("cannot read {}", path.display());
            let digest = digest(&source.name, input).with_context(failed)?;
            input.rewind().with_context(failed)?;
            let now = SystemClock.now();
            let id = MessageId::new(now, &digest);
            if !self.known.insert(id.random()) {
                feeder.pass_over();
                continue;
            }
            let mut new = NewMessage { media_type: self.media_type.clone(), ..NewMessage::default() };
            let inside = path.strip_prefix(self.dir).unwrap_or(path);
            new.attributes.insert("file", &inside.to_string_lossy())?;
            new.origin = Some(Box::new(Origin {
                id,
                queue: self.queue.clone(),
                put_at: now,
                deliveries: 0,
                due: (!self.delay.is_zero()).then(|| now.plus(self.delay).ceil_seconds()),
                expires_at: None,
                failures: Vec::new(),
            }));
            feeder.feed_whole(new, path, input)?;
        }
        Ok(())
    }
}

/// What tells a file from any other.
fn digest(name: &[u8], input: &mut Input) -> io::Result<[u8; 10]> {
    let mut sha = Sha256::new();
    // The length first, or a name could go on in the bytes of another file.
    sha.update((name.len() as u64).to_le_bytes());
    sha.update(name);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match input.read(&mut chunk)? {
            0 => break,
            n => sha.update(&chunk[..n]),
        }
    }
    let mut digest = [0; 10];
    digest.copy_from_slice(&sha.finalize()[..10]);
    Ok(digest)
}

/// Everything in a directory, sorted by name.
pub(super) fn entries_of(dir: &Path) -> Result<Vec<walkdir::DirEntry>> {
    let walk = walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name();
    walk.into_iter().map(|entry| entry.with_context(|| format!("cannot read {}", dir.display()))).collect()
}

/// Why what is there, links followed, is no file, if it is none.
pub(super) fn why_no_file(entry: &walkdir::DirEntry) -> Option<&'static str> {
    match entry.path().metadata() {
        Ok(there) if there.is_file() => None,
        Ok(there) if there.is_dir() => Some("is a directory"),
        Ok(_) => Some("is no plain file"),
        Err(_) if entry.path_is_symlink() => Some("is a symbolic link that leads nowhere"),
        // It has gone, or may not be looked at: whoever opens it says so.
        Err(_) => None,
    }
}

/// Refuses what is no directory in the words of the system.
pub(super) fn check_dir(dir: &Path, expected: &'static str) -> Result<()> {
    let there = dir.metadata().with_context(|| format!("cannot read {}", dir.display()))?;
    if there.is_dir() { Ok(()) } else { Err(unexpected(dir, expected)) }
}

pub(super) fn unexpected(dir: &Path, expected: &'static str) -> anyhow::Error {
    Unexpected { path: dir.display().to_string(), expected }.into()
}
