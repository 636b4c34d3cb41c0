//! The file system as the kernel gives it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::super::lock;
use super::{Access, Bell, FileHandle, Fs, Kind, Names, Space, Status};
use crate::domain::UnixMillis;

/// Below this many files, syncing each is cheaper than a sync of the whole file system.
const SYNC_WHOLE_FROM_FILES: usize = 16;

/// With more than this waiting to be written by others, a sync of the whole file system would wait for them.
const SYNC_WHOLE_DIRTY_KIB: u64 = 64 * 1024;

/// The kernel's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

/// A file of the kernel's.
#[derive(Debug)]
pub struct RealFile(File);

impl RealFile {
    fn from_fd(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }
}

impl Read for RealFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for RealFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl FileHandle for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(&self.0, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.0))?)
    }

    fn status(&self) -> io::Result<Status> {
        self.0.metadata().map(|metadata| status_of(&metadata))
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.0, Mode::from_raw_mode(mode))?)
    }

    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()> {
        let (owner, group) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(group));
        Ok(rustix::fs::fchown(&self.0, Some(owner), Some(group))?)
    }

    fn lock(&self) -> io::Result<()> {
        lock::lock(&self.0)
    }

    fn try_lock(&self) -> io::Result<bool> {
        lock::try_lock(&self.0)
    }

    fn unlock(&self) -> io::Result<()> {
        lock::unlock(&self.0)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

fn status_of(metadata: &std::fs::Metadata) -> Status {
    let kind = if metadata.is_file() {
        Kind::File
    } else if metadata.is_dir() {
        Kind::Dir
    } else {
        Kind::Other
    };
    let modified_ms = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    Status {
        kind,
        len_bytes: metadata.len(),
        mode: metadata.mode() & 0o7777,
        links: metadata.nlink(),
        modified: UnixMillis(u64::try_from(modified_ms).unwrap_or(0)),
        owner: metadata.uid(),
        group: metadata.gid(),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

/// The place that `path` leads to, if it is a symbolic link to one.
pub(crate) fn followed(path: PathBuf) -> PathBuf {
    match rustix::fs::readlink(&path, Vec::new()) {
        Ok(_) => path.canonicalize().unwrap_or(path),
        Err(_) => path,
    }
}

fn open(path: &Path, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::from_raw_mode(mode)))?)
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

impl Fs for RealFs {
    type File = RealFile;
    type Bell = RealBell;

    fn create(&self, path: &Path, mode: u32) -> io::Result<RealFile> {
        open(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode).map(RealFile::from_fd)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<RealFile> {
        let access = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
            Access::Append => OFlags::WRONLY | OFlags::APPEND,
        };
        open(path, access | OFlags::NONBLOCK, 0).map(RealFile::from_fd)
    }

    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<RealFile> {
        open(path, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK, mode).map(RealFile::from_fd)
    }

    fn open_dir(&self, path: &Path) -> io::Result<RealFile> {
        open(path, DIRECTORY, 0).map(RealFile::from_fd)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // NFS and some others do not know the flag. Every target is unique by its id, so all that is lost
            // there is a second line of defence.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.replace(from, to),
            other => Ok(other?),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::rename(from, to)?)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(io::ErrorKind::Unsupported.into()),
            other => Ok(other?),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlink(path)?)
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        rustix::fs::mkdir(path, Mode::from_raw_mode(mode & 0o777))?;
        // The umask must not take a group's rights away, and setgid cannot be asked for in mkdir. (A private
        // directory needs neither, and no further call.)
        // By its handle, since others of the group may put a link in its place meanwhile.
        if mode & !0o700 != 0 {
            self.open_dir(path)?.set_mode(mode)?;
        }
        Ok(())
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::rmdir(path)?)
    }

    #[allow(clippy::disallowed_methods)] // This is the place.
    fn status(&self, path: &Path) -> io::Result<Status> {
        std::fs::symlink_metadata(path).map(|metadata| status_of(&metadata))
    }

    fn scan(&self, dir: &Path, each: &mut dyn FnMut(&OsStr, Kind) -> ControlFlow<()>) -> io::Result<()> {
        let fd = open(dir, DIRECTORY, 0)?;
        // A whole leaf (256 names of some 60 bytes) fits, so that listing one is one call and one to see the end.
        // (Its capacity and no more: a build that is not optimized would fill it byte by byte.)
        let mut buffer = Vec::<u8>::with_capacity(32 * 1024);
        let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Dir,
                // Some file systems do not say it in the listing.
                FileType::Unknown => match rustix::fs::statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                        FileType::RegularFile => Kind::File,
                        FileType::Directory => Kind::Dir,
                        _ => Kind::Other,
                    },
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                _ => Kind::Other,
            };
            if each(OsStr::from_bytes(name), kind).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn walk(&self, dir: &Path, each: &mut dyn FnMut(&Path, Status)) -> io::Result<()> {
        for entry in walkdir::WalkDir::new(dir).min_depth(1) {
            match entry.and_then(|entry| entry.metadata().map(|metadata| (entry, metadata))) {
                Ok((entry, metadata)) => each(entry.path(), status_of(&metadata)),
                // The queue is alive: others move and delete while this looks.
                Err(error) if error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.open_dir(path)?.sync()
    }

    fn sync_many(&self, root: &RealFile, files: &[PathBuf], dirs: &[PathBuf]) -> io::Result<()> {
        if files.len() >= SYNC_WHOLE_FROM_FILES && sync_whole_is_cheap() {
            return Ok(retry_on_intr(|| rustix::fs::syncfs(&root.0))?);
        }
        for file in files {
            FileHandle::sync(&self.open(file, Access::Read)?)?;
        }
        dirs.iter().try_for_each(|dir| self.sync_dir(dir))
    }

    fn sync_file_system(&self, dir: &Path) -> io::Result<()> {
        let dir = self.open_dir(dir)?;
        Ok(retry_on_intr(|| rustix::fs::syncfs(&dir.0))?)
    }

    fn names(&self, path: &Path) -> Names {
        names(path).unwrap_or(Names::Unknown)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let known = rustix::fs::statvfs(path)?;
        Ok(Space {
            bytes: known.f_blocks.saturating_mul(known.f_frsize),
            free_bytes: known.f_bavail.saturating_mul(known.f_frsize),
            inodes: known.f_files,
            free_inodes: known.f_favail,
        })
    }

    fn make_bell(&self, path: &Path, mode: u32) -> io::Result<()> {
        rustix::fs::mkfifoat(CWD, path, Mode::from_raw_mode(mode))?;
        if mode & !0o600 != 0 {
            let fd = open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
            if is_fifo(&fd) {
                rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
            }
        }
        Ok(())
    }

    fn ring(&self, path: &Path, times: usize) {
        const RINGS: [u8; 64] = [b'!'; 64];
        // ENXIO when nobody listens, EAGAIN when the FIFO is full of rings: both are as good as rung.
        if let Ok(fd) = open(path, OFlags::WRONLY | OFlags::NONBLOCK, 0)
            && is_fifo(&fd)
        {
            let _ = rustix::io::write(&fd, &RINGS[..times.min(RINGS.len())]);
        }
    }

    fn open_bell(&self, path: &Path) -> io::Result<RealBell> {
        // For writing too: a FIFO without a writer is at its end, and poll would return at once for ever.
        match open(path, OFlags::RDWR | OFlags::NONBLOCK, 0) {
            // Only a FIFO sleeps: a file in its place would always have something to read.
            Ok(fd) if is_fifo(&fd) => Ok(RealBell(Some(fd))),
            Ok(_) => Ok(RealBell(None)),
            // A file system without FIFOs, or a spool that can only be read: looking once a second remains.
            Err(error) if error.kind() != io::ErrorKind::OutOfMemory => Ok(RealBell(None)),
            Err(error) => Err(error),
        }
    }

    #[allow(clippy::disallowed_methods)] // This is the place.
    fn boot_id(&self) -> io::Result<String> {
        Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let mut filled = 0;
        while filled < bytes.len() {
            // The kernel fails this only before its pool is ready, and then it blocks instead.
            filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
        }
        bytes
    }
}

/// A FIFO that somebody writes a byte into.
#[derive(Debug)]
pub struct RealBell(Option<OwnedFd>);

impl Bell for RealBell {
    fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let Some(fd) = &self.0 else {
            std::thread::sleep(at_most);
            return Ok(());
        };
        let end = Instant::now() + at_most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(Errno::INTR) => return Ok(()),
                // One byte wakes one receiver: all of them see it, those who find it taken sleep on.
                Ok(_) => match rustix::io::read(fd, &mut [0_u8; 1]) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    other => return Ok(other.map(|_| ())?),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_fifo(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Whether syncing the whole file system is safe and will not wait for somebody else's gigabytes.
fn sync_whole_is_cheap() -> bool {
    // Before Linux 5.8 syncfs(2) kept write errors to itself.
    static REPORTS_ERRORS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let reports_errors = *REPORTS_ERRORS.get_or_init(|| {
        let release = rustix::system::uname();
        let mut numbers = release.release().to_str().unwrap_or("").split('.').map_while(|n| n.parse::<u32>().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
    });
    reports_errors && dirty_kib().is_some_and(|kib| kib <= SYNC_WHOLE_DIRTY_KIB)
}

#[allow(clippy::disallowed_methods)] // This is the place.
fn dirty_kib() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Dirty:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The table of file systems by what they do to names. Everything that is not in it is taken for bare POSIX; an
/// error says that it could not be found out.
///
/// Btrfs is a case of its own: its log holds what a directory's sync needs and no more, so that a delete which
/// syncs the directory it deletes from came back in `ready/` when the claim before it had not been committed
/// (seen in images of a disk at that moment).
fn names(path: &Path) -> io::Result<Names> {
    const EXT: u32 = 0xef53;
    const BTRFS: u32 = 0x9123_683e;
    const ORDERED: [u32; 5] = [
        0x5846_5342, // XFS
        0xca45_1a4e, // bcachefs
        0x2fc1_2fc1, // ZFS
        0x0102_1994, // tmpfs: nothing survives a power cut, so nothing survives it in halves
        0x8584_58f6, // ramfs
    ];
    // The type's width differs between architectures; the magic numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = rustix::fs::statfs(path)?.f_type as u32;
    Ok(match magic {
        BTRFS => Names::Whole,
        EXT if ext_has_journal(path)? => Names::Ordered,
        magic if ORDERED.contains(&magic) => Names::Ordered,
        _ => Names::Bare,
    })
}

/// ext2, ext3 and ext4 share a magic number, and ext4 can be made without a journal. The kernel tells who
/// writes the journal, `<none>` without one; the file is not there for ext2.
#[allow(clippy::disallowed_methods)] // This is the place.
fn ext_has_journal(path: &Path) -> io::Result<bool> {
    let device = std::fs::metadata(path)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let block = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}"))?;
    let name = block.file_name().ok_or_else(|| io::Error::other("a block device without a name"))?;
    let all = Path::new("/sys/fs/ext4");
    match std::fs::read_to_string(all.join(name).join("journal_task")) {
        Ok(task) => Ok(task.trim().parse::<u32>().is_ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && all.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}
