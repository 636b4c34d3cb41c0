//! The policy of a queue: `policy.json`, read by everybody, replaced as a whole.
//!
//! Invariants: a policy that is read makes sense, or is an error that names the file, and nothing is touched; two changes at
//! once both take effect; after a power cut it is the old one or the new one.

use std::io::{self, Read as _, Write as _};

use serde_json::Value;

use super::Queue;
use super::fs::{Access, FileHandle as _, Fs, is_a_link};
use crate::domain::queue::PolicyError;
use crate::domain::{Clock, Policy};
use crate::store::{At, Error, Result};

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn policy(&self) -> Result<Policy> {
        let (policy, text) = self.read_policy()?;
        self.check_policy(&policy, &text)?;
        self.capped.set(Some(policy.is_capped()));
        Ok(policy)
    }

    /// Errors: [`Error::PolicyFile`], whoever wrote it.
    fn check_policy(&self, policy: &Policy, text: &[u8]) -> Result<()> {
        let checked = policy.check_for(&self.name);
        checked.map_err(|error| Error::PolicyFile { path: self.layout.policy(), reason: located(&error, text) })
    }

    /// What the file says, whether or not that makes sense, and its text.
    fn read_policy(&self) -> Result<(Policy, Vec<u8>)> {
        let path = self.layout.policy();
        let wrong = |reason: String| Error::PolicyFile { path: path.clone(), reason };
        let no_file = |what| wrong(format!("it is {what}, and has to be a regular file"));
        let file = match self.fs().open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Policy::default(), Vec::new()));
            }
            Err(error) if is_a_link(&error) => return Err(no_file("a symbolic link")),
            Err(error) => return Err(error).at("open", &path),
        };
        let mut text = Vec::new();
        match file.take(1024 * 1024).read_to_end(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(no_file("a directory")),
            other => other.at("read", &path)?,
        };
        // A list would do for a policy as well, its members taken by their places.
        let is_list = text.trim_ascii_start().first() == Some(&b'[');
        match serde_json::from_slice(&text) {
            Ok(policy) if !is_list => Ok((policy, text)),
            parsed => Err(wrong(explained(parsed.err().as_ref(), &text))),
        }
    }

    /// Writes a policy beside the old one and puts it in its place, durably.
    pub(super) fn write_policy(&self, policy: &Policy) -> Result<()> {
        let path = self.layout.policy();
        let temporary = self.layout.temporary(self.spool.new_id(self.now()));
        let mut text = serde_json::to_vec_pretty(policy)
            .map_err(|error| Error::PolicyFile { path: path.clone(), reason: error.to_string() })?;
        text.push(b'\n');
        let mut file = self.create_temporary(&temporary)?;
        let written = file.write_all(&text).at("write", &temporary).and_then(|()| {
            file.sync().at("sync", &temporary)?;
            self.fs().replace(&temporary, &path).at("write", &path)?;
            self.fs().sync_dir(self.layout.dir()).at("sync", self.layout.dir())
        });
        if written.is_err() {
            let _ = self.fs().unlink(&temporary);
        }
        written
    }

    pub(super) fn change_policy(
        &self,
        change: &mut dyn FnMut(&mut Policy) -> Result<(), PolicyError>,
    ) -> Result<Policy> {
        let _lock = self.lock()?;
        // A file by which nothing can be done can be mended by what is set: it is the outcome that has to make sense.
        let (mut policy, text) = self.read_policy()?;
        let wrong_before = policy.check_for(&self.name).err();
        change(&mut policy)?;
        match policy.check_for(&self.name) {
            // Whoever pauses such a queue did not make it so.
            Err(error) if Some(&error) == wrong_before.as_ref() => self.check_policy(&policy, &text)?,
            other => other?,
        }
        self.capped.set(Some(policy.is_capped()));
        self.write_policy(&policy)?;
        // Who waits on a paused queue should look again.
        self.ring(1);
        Ok(policy)
    }

    /// The queue's lock: third in the order of `lock`.
    fn lock(&self) -> Result<F::File> {
        let path = self.layout.lock();
        let file = self.fs().open_or_create(&path, self.modes.file).at("open", &path)?;
        file.lock().at("lock", &path)?;
        Ok(file)
    }
}

/// What is wrong with a text that is no policy, and where: `error` is what the parser says of it, unless it is a list.
fn explained(error: Option<&serde_json::Error>, text: &[u8]) -> String {
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => return format!("it is not JSON from line {} column {} on", error.line(), error.column()),
    };
    let what = match value {
        Value::Object(members) => {
            let is_wrong = |(key, value): &(String, Value)| {
                serde_json::from_value::<Policy>(serde_json::json!({ key: value })).is_err()
            };
            return match members.into_iter().find(is_wrong) {
                Some((key, value)) => located(&Policy::wrong_in_file(&key, &value), text),
                // Each is right by itself.
                None => format!("a setting is there twice, again at line {}", error.map_or(1, serde_json::Error::line)),
            };
        }
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) | Value::Null => "a word",
    };
    format!("it is {what}, and a policy is an object, from line 1 on")
}

/// What is wrong with a policy's settings, and in which line of its file they are.
fn located(error: &PolicyError, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line_of = |key: &&str| text.lines().position(|line| line.contains(&format!("\"{key}\"")));
    let unknown = match error {
        PolicyError::UnknownKey(key) => Some(key.as_str()),
        _ => None,
    };
    match error.keys().iter().copied().chain(unknown).find_map(|key| line_of(&key)) {
        Some(before) => format!("{error} at line {}", before + 1),
        None => error.to_string(),
    }
}
