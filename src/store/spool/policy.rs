//! The policy of a queue: `policy.json`, read by everybody, replaced as a whole.
//!
//! Invariants: a policy that is read makes sense, or is an error that names the file; two changes at once both take
//! effect; after a power cut it is the old one or the new one.

use std::io::{self, Read as _, Write as _};

use super::Queue;
use super::fs::{Access, FileHandle as _, Fs};
use crate::domain::queue::PolicyError;
use crate::domain::{Clock, Policy};
use crate::store::{At, Error, Result};

impl<F: Fs, C: Clock> Queue<'_, F, C> {
    pub(super) fn policy(&self) -> Result<Policy> {
        let path = self.layout.policy();
        let file = match self.fs().open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.capped.set(Some(false));
                return Ok(Policy::default());
            }
            Err(error) => return Err(error).at("open", &path),
        };
        let mut text = Vec::new();
        file.take(1024 * 1024).read_to_end(&mut text).at("read", &path)?;
        // A list would do for a policy as well, its members taken by their places.
        if text.trim_ascii_start().first() == Some(&b'[') {
            let reason = "it is a list, and a policy is an object, from line 1 on".to_owned();
            return Err(Error::PolicyFile { path, reason });
        }
        let policy: Policy = serde_json::from_slice(&text)
            .map_err(|error| Error::PolicyFile { path: path.clone(), reason: error.to_string() })?;
        policy.check_for(&self.name).map_err(|error| Error::PolicyFile { path, reason: located(&error, &text) })?;
        self.capped.set(Some(policy.is_capped()));
        Ok(policy)
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
        let before = self.policy()?;
        let mut policy = before.clone();
        change(&mut policy)?;
        policy.check_change(&self.name, Some(&before))?;
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

/// What is wrong with a policy's settings, and in which line of its file they are.
fn located(error: &PolicyError, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line_of = |key: &&str| text.lines().position(|line| line.contains(&format!("\"{key}\"")));
    match error.keys().iter().find_map(line_of) {
        Some(before) => format!("{error} at line {}", before + 1),
        None => error.to_string(),
    }
}
