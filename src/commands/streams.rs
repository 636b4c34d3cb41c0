//! The user's own streams and files: stdin with its signals, stdout in raw bytes, files named in arguments.
//!
//! Invariants: nothing is buffered behind a write that was reported as done; an interruption is seen as soon as
//! it comes, also while a read would block.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Stdout could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct StdoutError(#[source] pub(crate) io::Error);

/// A signal came that asks the program to end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted {
    /// Which.
    pub(crate) signal: i32,
}

/// A file of the user's could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub(crate) struct FileError {
    action: &'static str,
    path: String,
    source: io::Error,
}

impl FileError {
    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// The exact bytes of a file descriptor: std's own stdout looks for newlines and flushes at each.
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a standard stream was closed by whoever started this program: the runtime has put /dev/null in its place
/// then, open both ways. (A redirection from or to /dev/null opens it one way.)
fn was_closed(stream: rustix::fd::BorrowedFd<'_>) -> bool {
    let Ok(stat) = rustix::fs::fstat(stream) else { return true };
    let is_null = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device()
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3);
    let flags = rustix::fs::fcntl_getfl(stream).unwrap_or(rustix::fs::OFlags::empty());
    is_null && flags & rustix::fs::OFlags::RWMODE == rustix::fs::OFlags::RDWR
}

impl Stdout {
    /// Refuses a stdout that is closed, before a message is taken that nobody would get.
    pub(crate) fn check() -> Result<(), StdoutError> {
        if was_closed(rustix::stdio::stdout()) {
            return Err(StdoutError(io::Error::new(io::ErrorKind::NotConnected, "it is closed")));
        }
        Ok(())
    }

    /// Waits so long, or until nobody reads stdout any more, which is an error: who has nothing to write would not notice.
    pub(crate) fn rest(time: Duration) -> Result<(), StdoutError> {
        let stdout = rustix::stdio::stdout();
        // No event is asked for: the end of a pipe is told in any case.
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let timeout = Timespec::try_from(time).map_err(|error| StdoutError(io::Error::other(error)))?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Ok(()),
            Ok(_) => Err(StdoutError(io::ErrorKind::BrokenPipe.into())),
            Err(error) => Err(StdoutError(error.into())),
        }
    }

    /// Makes what was written durable, if stdout is a file: a message must not be deleted for good while its
    /// body is only in memory.
    pub(crate) fn sync_if_file() -> io::Result<()> {
        let stdout = rustix::stdio::stdout();
        let stat = rustix::fs::fstat(stdout)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            rustix::fs::fsync(stdout)?;
        }
        Ok(())
    }
}

/// Notices of SIGINT, SIGTERM and SIGHUP, in a form that can be polled.
pub(crate) struct Signals {
    bell: UnixStream,
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts to catch them instead of dying of them.
    pub(crate) fn catch() -> io::Result<Self> {
        let (bell, ringer) = UnixStream::pair()?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The number first: who hears the bell finds it set.
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal.unsigned_abs() as usize)?;
            signal_hook::low_level::pipe::register(signal, ringer.try_clone()?)?;
        }
        bell.set_nonblocking(true)?;
        Ok(Self { bell, last })
    }

    /// The same for who looks only between one step and the next, and may be long on the way: the second signal ends the
    /// program at once. One that is ignored, as under nohup(1), stays so.
    pub(crate) fn catch_between_steps() -> io::Result<Self> {
        let (bell, ringer) = UnixStream::pair()?;
        let last = Arc::new(AtomicUsize::new(0));
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_second))?;
            signal_hook::flag::register(signal, Arc::clone(&is_second))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal.unsigned_abs() as usize)?;
            signal_hook::low_level::pipe::register(signal, ringer.try_clone()?)?;
        }
        bell.set_nonblocking(true)?;
        Ok(Self { bell, last })
    }

    /// Waits so long, or until one comes.
    pub(crate) fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.pending().is_none() {
            let left = end.saturating_duration_since(Instant::now());
            let Some(timeout) = Timespec::try_from(left).ok().filter(|_| !left.is_zero()) else { return };
            let mut fds = [PollFd::new(&self.bell, PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&timeout)), Ok(_) | Err(Errno::INTR)) {
                return std::thread::sleep(left);
            }
        }
    }

    /// The signal that came, if one did.
    pub(crate) fn pending(&self) -> Option<Interrupted> {
        let signal = i32::try_from(self.last.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)?;
        Some(Interrupted { signal })
    }

    /// Forgets the signal that came, to wait for the next.
    pub(crate) fn take(&self) -> Option<Interrupted> {
        let pending = self.pending();
        self.last.store(0, Ordering::SeqCst);
        let mut sink = [0; 64];
        while matches!((&self.bell).read(&mut sink), Ok(n) if n > 0) {}
        pending
    }

    /// What to poll.
    pub(crate) fn bell(&self) -> &UnixStream {
        &self.bell
    }
}

/// Whether whoever started this program did not want it to hear of this signal. (Who cannot tell hears it.)
#[allow(clippy::disallowed_methods)] // Not a file of the spool.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// What came of waiting for input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// So many bytes.
    Bytes(usize),
    /// The end.
    End,
    /// Nothing in the time that was given.
    Silence,
}

/// Stdin, or a file in its place.
pub(crate) struct Input {
    file: Option<File>,
    signals: Signals,
}

impl Input {
    /// Stdin.
    pub(crate) fn stdin() -> io::Result<Self> {
        Ok(Self { file: None, signals: Signals::catch()? })
    }

    /// Refuses a stdin that is closed: there is nothing to put, not even nothing.
    pub(crate) fn check() -> io::Result<()> {
        if was_closed(rustix::stdio::stdin()) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "standard input is closed"));
        }
        Ok(())
    }

    /// Reads from `file` from now on, or from stdin.
    pub(crate) fn switch_to(&mut self, file: Option<File>) {
        self.file = file;
    }

    /// Reads the file that it reads from its start once more.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), io::Seek::rewind)
    }

    /// Waits for bytes, for an hour or for `at_most`. A signal is an error that carries [`Interrupted`].
    pub(crate) fn arrive(&mut self, buffer: &mut [u8], at_most: Option<Duration>) -> io::Result<Arrival> {
        loop {
            if let Some(interrupted) = self.signals.pending() {
                return Err(io::Error::other(interrupted));
            }
            let timeout = at_most.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
            let stdin = rustix::stdio::stdin();
            let source = self.file.as_ref().map_or(stdin, std::os::fd::AsFd::as_fd);
            let mut fds = [PollFd::new(&source, PollFlags::IN), PollFd::new(&self.signals.bell, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(Arrival::Silence),
                Ok(_) if fds[0].revents().is_empty() => {}
                Ok(_) => match rustix::io::read(source, &mut *buffer) {
                    // Who was told to end, and finds the end of its input then, was interrupted all the same.
                    Ok(0) => match self.signals.pending() {
                        Some(interrupted) => return Err(io::Error::other(interrupted)),
                        None => return Ok(Arrival::End),
                    },
                    Ok(n) => return Ok(Arrival::Bytes(n)),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.arrive(buffer, None)? {
            Arrival::Bytes(n) => Ok(n),
            Arrival::End | Arrival::Silence => Ok(0),
        }
    }
}

/// The signal inside an error, if that is what it is about.
pub(crate) fn interruption(error: &(dyn std::error::Error + 'static)) -> Option<Interrupted> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
            return Some(*interrupted);
        }
        // An io::Error shows its inner error's source, not the inner error itself.
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref().and_then(|inner| inner.downcast_ref::<Interrupted>())
        {
            return Some(*inner);
        }
        next = error.source();
    }
    None
}

/// Opens a file that the user named, for reading. A directory is refused.
#[allow(clippy::disallowed_methods)] // The user's own file, not the spool's.
pub(crate) fn open_file(path: &Path) -> Result<File, FileError> {
    let failed = |source| FileError { action: "read", path: path.display().to_string(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Opens a file that the user named, to be written from its start.
#[allow(clippy::disallowed_methods)] // The user's own file, not the spool's.
pub(crate) fn create_file(path: &Path) -> Result<File, FileError> {
    File::create(path).map_err(|source| FileError { action: "write", path: path.display().to_string(), source })
}

/// Opens a descriptor that the caller's shell has opened, by number.
#[allow(clippy::disallowed_methods)] // The user's own descriptor, not the spool's.
pub(crate) fn open_descriptor(number: u32) -> Result<File, FileError> {
    let path = format!("/dev/fd/{number}");
    std::fs::OpenOptions::new().append(true).open(&path).map_err(|source| FileError {
        action: "write to file descriptor",
        path: number.to_string(),
        source,
    })
}

/// Where bodies go.
pub(crate) enum Output {
    /// Stdout.
    Stdout(Stdout),
    /// A file that gets its name when it is whole; who is interrupted before removes it.
    New(Box<tempfile::NamedTempFile>, PathBuf, Signals),
    /// A file under its own name: a new one that was whole once, or something that is no plain file.
    Named(File, PathBuf),
}

/// An error of writing a file that the user named.
pub(crate) fn write_failed(path: &Path, source: io::Error) -> FileError {
    FileError { action: "write", path: path.display().to_string(), source }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Output {
    /// Stdout, or the file `path`.
    pub(crate) fn to(path: Option<&Path>) -> Result<Self, FileError> {
        use std::os::unix::fs::PermissionsExt as _;
        let Some(path) = path else { return Ok(Self::Stdout(Stdout)) };
        #[allow(clippy::disallowed_methods)] // The user's own file, not the spool's.
        let is_special = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if is_special {
            // A FIFO, a device: not to be replaced by a file. (A directory fails, and says so.)
            return Ok(Self::Named(create_file(path)?, path.to_owned()));
        }
        let file = tempfile::Builder::new()
            .prefix(".mq-")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(dir_of(path))
            .map_err(|source| write_failed(path, source))?;
        let signals = Signals::catch().map_err(|source| write_failed(path, source))?;
        Ok(Self::New(Box::new(file), path.to_owned(), signals))
    }

    /// Gives a new file its name; with `durable`, makes what was written survive a power cut, because it is
    /// about to be deleted where it came from.
    pub(crate) fn finish(&mut self, durable: bool) -> anyhow::Result<()> {
        match std::mem::replace(self, Self::Stdout(Stdout)) {
            Self::Stdout(Stdout) => {
                if durable {
                    Stdout::sync_if_file().map_err(StdoutError)?;
                }
            }
            Self::New(file, path, _) => {
                let failed = |source| write_failed(&path, source);
                if durable {
                    file.as_file().sync_all().map_err(failed)?;
                }
                let file = file.persist(&path).map_err(|error| failed(error.error))?;
                if durable {
                    use rustix::fs::{Mode, OFlags};
                    let dir = rustix::fs::open(dir_of(&path), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
                    dir.and_then(rustix::fs::fsync).map_err(|error| failed(error.into()))?;
                }
                *self = Self::Named(file, path);
            }
            Self::Named(file, path) => {
                if durable && file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                    file.sync_all().map_err(|source| write_failed(&path, source))?;
                }
                *self = Self::Named(file, path);
            }
        }
        Ok(())
    }

    /// An error of writing here, by its own name.
    pub(crate) fn failed(&self, source: io::Error) -> anyhow::Error {
        match self {
            Self::Stdout(_) => StdoutError(source).into(),
            Self::New(_, path, _) | Self::Named(_, path) => write_failed(path, source).into(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::New(file, _, signals) => match signals.pending() {
                Some(interrupted) => Err(io::Error::other(interrupted)),
                None => file.write(bytes),
            },
            Self::Named(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
