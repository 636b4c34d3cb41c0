//! A Maildir: a mail is a file in `new` or `cur`, called by the second of its delivery and what makes that unique, and in
//! `cur` by what became of it behind a colon. What begins with a dot beside them is another folder, as Maildir++ has it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Result;

use super::elsewhere::{Found, Source, check_dir, entries_of, unexpected, why_no_file};
use crate::domain::QueueName;

const EXPECTED: &str = "Maildir: it has neither a directory new nor cur";

/// The mails of a Maildir, the oldest first.
pub(super) fn look(dir: &Path, queue: &QueueName) -> Result<Found> {
    check_dir(dir, EXPECTED)?;
    let parts = ["new", "cur"].map(|part| dir.join(part));
    if !parts.iter().any(|part| part.is_dir()) {
        return Err(unexpected(dir, EXPECTED));
    }
    let mut found = Found::default();
    for part in parts.iter().filter(|part| part.is_dir()) {
        for entry in entries_of(part)? {
            let name = entry.file_name().as_bytes();
            // Not a mail, says maildir(5).
            if name.starts_with(b".") {
                continue;
            }
            match why_no_file(&entry) {
                Some(why) => found.left_out.push(format!("{} {why}", entry.path().display())),
                None => found.sources.push(Source { name: base(name).to_owned(), path: entry.into_path() }),
            }
        }
    }
    found.sources.sort_by_cached_key(|source| (second(&source.name), source.path.file_name().map(OsStr::to_owned)));
    for entry in entries_of(dir)? {
        let is_folder = ["new", "cur"].iter().any(|part| entry.path().join(part).is_dir());
        if is_folder {
            let path = entry.path().display().to_string();
            let word = as_word(&path);
            found.left_out.push(format!("{path} is a folder by itself: mq import {queue} --maildir {word}"));
        }
    }
    Ok(found)
}

/// As a shell has to read it.
fn as_word(path: &str) -> String {
    let is_plain = path.chars().all(|c| c.is_alphanumeric() || "/._-+,:@".contains(c));
    if is_plain { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// What a mail is called in `new` and in `cur`, whatever becomes of it.
fn base(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b':').next().unwrap_or(name)
}

/// When it was delivered.
fn second(name: &[u8]) -> Option<u64> {
    let second = name.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(second).ok()?.parse().ok()
}
