//! The outside world of the spool engine: trait [`Fs`], and [`RealFs`], the only caller of the file system.
//!
//! The engine is generic over [`Fs`], so that the very same code can run on a simulated file system which
//! loses power, kills processes and fails calls. What a method promises here is what the engine may rely
//! on, and nothing else. No method follows a symbolic link in the last component of a path; none retries a
//! failed sync.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::UnixMillis;

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: a symbolic link, a FIFO, a device.
    Other,
}

/// What is known of a file or directory without opening it.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// What it is.
    pub kind: Kind,
    /// Its length.
    pub len_bytes: u64,
    /// Its permissions (the lower 12 bits).
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// When its bytes were last written.
    pub modified: UnixMillis,
    /// The user whose it is, by number.
    pub owner: u32,
    /// The group whose it is, by number.
    pub group: u32,
    /// The file system that it is in.
    pub device: u64,
    /// Which of the file system's files it is: two names with the same number are one file.
    pub inode: u64,
}

/// How much a file system has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it, in bytes.
    pub bytes: u64,
    /// What is left of it for this user.
    pub free_bytes: u64,
    /// How many files it has room for in all; 0 where it makes room as it goes.
    pub inodes: u64,
    /// How many more files this user can make.
    pub free_inodes: u64,
}

/// What a power cut can do to names that were changed and not synced. A property of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Changes reach the disk in the order in which they were made, a rename as one of them: a sync of any
    /// directory makes all that came before it durable.
    Ordered,
    /// Of a rename at least one name survives, and at times both. A sync of a directory is about that directory
    /// alone: of a file that was moved there and then removed, the old name may come back.
    Whole,
    /// Bare POSIX: any of the changes may survive without any of the others, the two halves of a rename too.
    Bare,
    /// It could not be found out now. Handled with the care for all three: another process may know which of them
    /// it is, and may have promised what only that one keeps.
    Unknown,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    ReadWrite,
    /// For adding at the end.
    Append,
}

/// An open file or directory. Closing it (dropping the last copy) drops its lock.
pub trait FileHandle: Read + Write + Seek + Send + 'static {
    /// Fills `buffer` from `offset` on as far as the file goes; returns how far.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts it to a length, or adds zeros up to it; on most file systems without taking any space for them.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable, or a directory's entries.
    fn sync(&self) -> io::Result<()>;
    /// What is known of it.
    fn status(&self) -> io::Result<Status>;
    /// Sets its permissions, whatever the umask.
    fn set_mode(&self, mode: u32) -> io::Result<()>;
    /// Gives it to another user and group.
    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()>;
    /// Waits for the lock and takes it.
    fn lock(&self) -> io::Result<()>;
    /// Takes the lock unless somebody else has it.
    fn try_lock(&self) -> io::Result<bool>;
    /// Drops the lock, whoever else has a copy of this handle.
    fn unlock(&self) -> io::Result<()>;
    /// The descriptor behind it, where there is one, to be inherited by a command.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// Rings when somebody put something, on whatever a [`Fs::ring`] of the same path reaches.
pub trait Bell {
    /// Returns at the next ring or after `at_most`; sometimes for nothing.
    fn wait(&mut self, at_most: Duration) -> io::Result<()>;
}

/// The calls that the engine makes. Paths are absolute or relative to the working directory.
pub trait Fs {
    /// An open file or directory.
    type File: FileHandle;
    /// An open bell.
    type Bell: Bell;

    /// Makes a new file, open for reading and writing. Fails if the name is taken.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Self::File>;
    /// Opens a file that is there. Does not block on a FIFO; the caller asks [`FileHandle::status`] what it got.
    fn open(&self, path: &Path, access: Access) -> io::Result<Self::File>;
    /// Opens a file for reading and writing, and makes it if it is not there.
    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<Self::File>;
    /// Opens a directory, to lock it or to sync it.
    fn open_dir(&self, path: &Path) -> io::Result<Self::File>;

    /// Moves a name, atomically; the new name must be free. `NotFound` when the old name or the new
    /// name's directory is missing.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a name, atomically, over what has the new name (for a directory: an empty one).
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives each of two files the other's name, atomically. `NotFound` when either is missing, `Unsupported` where the file
    /// system cannot do that.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory.
    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Removes an empty directory.
    fn rmdir(&self, path: &Path) -> io::Result<()>;
    /// What is known of a name.
    fn status(&self, path: &Path) -> io::Result<Status>;
    /// Shows every name in a directory, in no order, without `.` and `..`. Memory does not grow with the directory.
    fn scan(&self, dir: &Path, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()>;
    /// Shows everything below a directory, a directory before what is in it. What vanishes on the way is passed over.
    fn walk(&self, dir: &Path, each: &mut dyn FnMut(&Path, Status)) -> io::Result<()>;

    /// Makes the entries of a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the bytes of all `files` and the entries of all `dirs` durable, in whatever order. `root` is a
    /// directory of the same file system that was opened before the first of the files was written.
    fn sync_many(&self, root: &Self::File, files: &[PathBuf], dirs: &[PathBuf]) -> io::Result<()>;
    /// Makes all that was done in the file system of `dir` durable.
    fn sync_file_system(&self, dir: &Path) -> io::Result<()>;
    /// What a power cut can do to names in the file system of `path`.
    fn names(&self, path: &Path) -> Names;

    /// How much room there is in the file system of `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Makes what [`Fs::ring`] and [`Fs::open_bell`] work on.
    fn make_bell(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Wakes up to `times` of those who wait at the bell. Never fails: they look by themselves once a second.
    fn ring(&self, path: &Path, times: usize);
    /// Starts to listen: a ring after this returned ends a wait.
    fn open_bell(&self, path: &Path) -> io::Result<Self::Bell>;

    /// A text that is another one after each boot.
    fn boot_id(&self) -> io::Result<String>;
    /// Random bytes.
    fn random(&self) -> [u8; 10];

    /// Whether the engine is to make this mistake: only a simulation ever says yes.
    fn commits(&self, _fault: Fault) -> bool {
        false
    }
}

/// Whether the error says that the disk, its inodes, or the user's share of it is used up.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the error says that this very file cannot be read, and nothing of any other.
pub(crate) fn is_of_the_file(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let bad = [Errno::IO, Errno::BADMSG, Errno::UCLEAN].map(Errno::raw_os_error);
    error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error().is_some_and(|code| bad.contains(&code))
}

/// Whether a file could not be opened because a symbolic link has its name.
pub(crate) fn is_a_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

pub use super::fault::Fault;
pub use real::RealFs;
pub(crate) use real::followed;

mod real;
