//! File locks. The only user of fs2.
//!
//! All of them are flock(2) locks: they belong to an open file *description*, so they are inherited by a
//! command that is handed the description, and the kernel drops them with its last copy, however the
//! processes end. Lock files are never unlinked.
//!
//! The order in which a process may wait for locks (it never waits for one while it holds a later one):
//!
//! 0. `QUEUE/unique/HH`: a put with a unique key, from before it looks until its message is durable. Then
//!    `QUEUE/groups/HH`: a put to a group, and whoever gives the next of a group its turn. Never two of one kind.
//! 1. `SPOOL/lock`: every move, where renames are not journaled whole.
//! 2. `SPOOL/format`: while a spool is made, and while queues are made and dropped.
//! 3. `QUEUE/lock`: a change of the policy.
//! 4. `QUEUE/state`: taking sequence numbers. Nothing else is done under it, but for the first in a boot, who
//!    gives numbers to what a power cut put back into `tmp/`.
//! 5. `QUEUE/room`: taking room in a capped queue, and giving it back. Nothing else is done under it but to count.
//!
//! A repair by fsck has the lock of the spool's directory from its beginning on, before all of these; nobody else
//! ever takes that one, so who repairs holds up only another repair.
//!
//! The others are only *tried*, never waited for, so they cannot take part in a deadlock: `QUEUE/sweep`
//! (one sweeper at a time is enough), the message file of a held claim or of a message that gets another body, a writer's
//! temporary. But for two who wait for a temporary: the writer for its own, and a put with a unique key (which has lock 0)
//! for that of the dead writer of its key. Nobody but a sweeper can have either, and he waits for nothing but locks 1 and 4.
//!
//! Calls are written out as `fs2::FileExt::…`: since Rust 1.89 `std::fs::File` has methods of the same
//! names, which would win silently.

use std::fs::File;
use std::io;

/// Waits until nobody else holds the lock of `file`'s inode, and takes it.
pub(super) fn lock(file: &File) -> io::Result<()> {
    loop {
        match fs2::FileExt::lock_exclusive(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Takes the lock if nobody else has it; `false` if somebody does.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error says that there are no locks of this kind here, and not that this one could not be had.
pub(super) fn are_none(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let none = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK, Errno::INVAL, Errno::BADF, Errno::ISDIR];
    error.raw_os_error().is_some_and(|code| none.iter().any(|errno| errno.raw_os_error() == code))
}

/// Drops the lock for every copy of the description.
pub(super) fn unlock(file: &File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_a_lock_that_fails_is_not_taken_for_a_file_system_without_locks() {
        use rustix::io::Errno;
        for errno in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK] {
            assert!(are_none(&errno.into()), "{errno}");
        }
        for errno in [Errno::IO, Errno::INTR, Errno::WOULDBLOCK, Errno::STALE, Errno::NOMEM] {
            assert!(!are_none(&errno.into()), "{errno}");
        }
        assert!(!are_none(&io::Error::other("no number")));
    }
}
