//! Who may do what with what is made in a spool: permissions and owners.
//!
//! Invariants: a directory's permissions are those of the queue that it is in, a file's the same without the right to
//! execute; what a repair makes belongs to whom the directory does.

use std::io;

use super::fs::{FileHandle, Status};

/// Permissions of what is made in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Modes {
    pub(super) dir: u32,
    pub(super) file: u32,
}

impl Modes {
    /// Files get what their directory has, without the right to execute and the special bits.
    pub(super) fn of_dir(dir: u32) -> Self {
        Self { dir, file: dir & 0o666 }
    }
}

/// For the owner alone.
pub(super) const PRIVATE: u32 = 0o700;

/// The user and the group, by number, who are to have what somebody else makes: a repair by root shuts nobody out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heir {
    owner: u32,
    group: u32,
}

impl Heir {
    /// The owner and the group of a directory, for what is made in it.
    pub(super) fn of_dir(status: Status) -> Self {
        Self { owner: status.owner, group: status.group }
    }

    /// Gives away what was just made, as far as its maker may: only root can give it to another user, and its owner to a
    /// group that he is in. Where more is needed, the next look tells of a wrong owner.
    pub(super) fn inherits(self, file: &impl FileHandle) -> io::Result<()> {
        // (What has no number in a container cannot be given to.)
        let may_not =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput);
        let status = file.status()?;
        if (status.owner, status.group) == (self.owner, self.group) {
            return Ok(());
        }
        match file.set_owner(self.owner, self.group) {
            Err(error) if may_not(&error) => match file.set_owner(status.owner, self.group) {
                Err(error) if may_not(&error) => Ok(()),
                other => other,
            },
            other => other,
        }
    }
}
