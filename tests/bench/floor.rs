//! The floors: bare programs that make only the system calls which the outcome needs.
//!
//! The outcome is mq's: after a put the message is durable, whole and in the order of its put; after a get it
//! belongs to one receiver; after a delete it never comes back. What a call is needed for stands beside it.
//! There is no checksum, no counter, no lock, no policy, no sweep, no bell, and a single leaf directory.
//!
//! As a process (`floor-VERB DIR ORDER …`) a floor is this executable started anew, so that it pays for the
//! start of a Rust program as mq does.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use mq::store::spool::Order;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir};

/// What the first argument of a floor process begins with.
pub(crate) const PREFIX: &str = "floor-";

/// How many messages are made durable by one sync of the file system, and how many share a directory.
const BATCH: usize = 1024;
const LEAF: usize = 256;

/// Runs a floor's verb as a process of its own.
pub(crate) fn run(verb: &str, args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    match run_verb(verb, &args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PREFIX}{verb} {args:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_verb(verb: &str, args: &[OsString]) -> io::Result<()> {
    let (dir, order, last) = match args {
        [] if verb == "nothing" => return Ok(()),
        [dir, order] => (dir, order, None),
        [dir, order, last] => (dir, order, last.to_str()),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let order = if order == order_name(Order::Classical) { Order::Classical } else { Order::RollForward };
    let floor = Floor::at(Path::new(dir), order, true);
    let mut stdout = io::stdout();
    match (verb, last) {
        ("put", Some(body)) => {
            let id = floor.put(body.as_bytes())?;
            stdout.write_all(format!("{id}\n").as_bytes())
        }
        ("get", Some(receipt)) => {
            let (name, message) = floor.claim()?;
            stdout.write_all(body_of(&message))?;
            stdout.flush()?;
            // The receipt has to reach the process that deletes.
            let file = create(Path::new(receipt), OFlags::TRUNC)?;
            write_all(&file, name.as_bytes())
        }
        ("delete", Some(receipt)) => {
            let mut name = [0; 256];
            let got = rustix::io::read(open(Path::new(receipt), OFlags::RDONLY)?, &mut name)?;
            floor.delete(std::str::from_utf8(&name[..got]).map_err(io::Error::other)?)
        }
        ("get-delete", None) => {
            let (name, message) = floor.claim()?;
            stdout.write_all(body_of(&message))?;
            stdout.flush()?;
            floor.delete(&name)
        }
        ("put-lines", None) => floor.put_lines(),
        ("puts", Some(count)) => {
            let count: usize = count.parse().map_err(io::Error::other)?;
            (0..count).try_for_each(|_| floor.put(super::context::BODY.as_bytes()).map(drop))
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// How an order is spelled as an argument.
pub(crate) fn order_name(order: Order) -> &'static str {
    match order {
        Order::RollForward => "roll-forward",
        Order::Classical => "classical",
    }
}

/// A floor's directory: a temporary place, one leaf, one place for claims.
pub(crate) struct Floor {
    dir: PathBuf,
    tmp: PathBuf,
    ready: PathBuf,
    claimed: PathBuf,
    order: Order,
    is_durable: bool,
}

impl Floor {
    fn at(dir: &Path, order: Order, is_durable: bool) -> Self {
        let [tmp, ready, claimed] = ["tmp", "ready", "claimed"].map(|name| dir.join(name));
        Self { dir: dir.to_owned(), tmp, ready, claimed, order, is_durable }
    }

    /// The floor in `dir`, its directories made if they are missing.
    pub(crate) fn make(dir: &Path, order: Order, is_durable: bool) -> io::Result<Self> {
        let floor = Self::at(dir, order, is_durable);
        for dir in [&floor.tmp, &floor.ready, &floor.claimed] {
            std::fs::create_dir_all(dir)?;
        }
        Ok(floor)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn is_classical(&self) -> bool {
        self.is_durable && self.order == Order::Classical
    }

    /// Puts one message; returns its name, which is its id and its place in the order at once.
    pub(crate) fn put(&self, body: &[u8]) -> io::Result<String> {
        let name = new_name();
        let temporary = self.tmp.join(&name);
        // Nobody may see a message that is not whole, so it is written under another name.
        let file = create(&temporary, OFlags::EXCL)?;
        write_all(&file, &message(&name, body))?;
        if self.is_durable {
            rustix::fs::fsync(&file)?;
            if self.order == Order::RollForward {
                // The bytes alone are no use without a name: the temporary's is the durable one, until
                // the rename, which the journal keeps whole, has reached the disk by itself.
                sync_dir(&self.tmp)?;
            }
        }
        drop(file);
        rustix::fs::rename(&temporary, self.ready.join(&name))?;
        if self.is_classical() {
            // The two halves of the rename may part, so only a synced new name counts.
            sync_dir(&self.ready)?;
        }
        Ok(name)
    }

    /// Takes the oldest message: its name, and the file's bytes.
    pub(crate) fn claim(&self) -> io::Result<(String, Vec<u8>)> {
        let name = self.oldest()?;
        let (from, to) = (self.ready.join(&name), self.claimed.join(&name));
        if self.is_classical() {
            // One durable name has to exist at every moment, and the old one may go at any.
            rustix::fs::linkat(CWD, &from, CWD, &to, AtFlags::empty())?;
            sync_dir(&self.claimed)?;
            rustix::fs::unlink(&from)?;
        } else {
            // One receiver wins; after a power cut it is in one place or the other.
            rustix::fs::rename(&from, &to)?;
        }
        let mut bytes = vec![0; 64 * 1024];
        let got = rustix::io::read(open(&to, OFlags::RDONLY)?, &mut bytes)?;
        bytes.truncate(got);
        Ok((name, bytes))
    }

    /// Deletes a claimed message.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        rustix::fs::unlink(self.claimed.join(name))?;
        if self.is_durable {
            // A deleted message must not come back.
            sync_dir(&self.claimed)?;
        }
        if self.is_classical() {
            // Nor under the name that the claim took away.
            sync_dir(&self.ready)?;
        }
        Ok(())
    }

    /// The least of the names in the leaf: all of them have to be seen to know it.
    fn oldest(&self) -> io::Result<String> {
        let leaf = open(&self.ready, OFlags::RDONLY | OFlags::DIRECTORY)?;
        // A whole leaf, so that one call lists it and one more finds its end.
        #[allow(clippy::large_stack_arrays)] // On the heap it would be one more call.
        let mut buffer = [MaybeUninit::<u8>::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&leaf, &mut buffer);
        let mut oldest: Option<String> = None;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or(".");
            if !name.starts_with('.') && oldest.as_deref().is_none_or(|oldest| name < oldest) {
                oldest = Some(name.to_owned());
            }
        }
        oldest.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Puts every line of standard input; prints the ids of those that are durable.
    fn put_lines(&self) -> io::Result<()> {
        let mut lines = io::BufReader::with_capacity(128 * 1024, io::stdin().lock()).split(b'\n');
        let mut stdout = io::stdout().lock();
        let mut number = 0;
        loop {
            let batch: Vec<Vec<u8>> = lines.by_ref().take(BATCH).collect::<io::Result<_>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            stdout.write_all(self.put_batch(number, &batch)?.as_bytes())?;
            number += 1;
        }
    }

    fn put_batch(&self, number: usize, batch: &[Vec<u8>]) -> io::Result<String> {
        let dir = self.tmp.join(number.to_string());
        mkdir(&dir)?;
        let mut ids = String::new();
        for (leaf, messages) in batch.chunks(LEAF).enumerate() {
            let leaf = dir.join(leaf.to_string());
            mkdir(&leaf)?;
            for body in messages {
                let name = new_name();
                write_all(&create(&leaf.join(&name), OFlags::EXCL)?, &message(&name, body))?;
                ids.push_str(&name);
                ids.push('\n');
            }
        }
        if self.is_durable {
            // One call instead of one for each file.
            rustix::fs::syncfs(open(&dir, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
        }
        for leaf in 0..batch.len().div_ceil(LEAF) {
            // Whole directories become leaves: no call for each message.
            rustix::fs::rename(dir.join(leaf.to_string()), self.ready.join(format!("{number}-{leaf}")))?;
        }
        rustix::fs::rmdir(&dir)?;
        if self.is_durable {
            // What is in a batch's directory is promised to nobody; its published name is.
            sync_dir(&self.ready)?;
        }
        Ok(ids)
    }
}

/// A name that nobody else has and that sorts by time.
fn new_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:020}.{:010}", since.as_nanos(), std::process::id())
}

/// A message file: a header of the length that mq's has, then the body.
fn message(name: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{\"len\":{:>20},\"crc\":\"00000000\",\"id\":\"{name:120}\"}}\n", body.len());
    [header.as_bytes(), body].concat()
}

fn body_of(message: &[u8]) -> &[u8] {
    let start = message.iter().position(|byte| *byte == b'\n').map_or(message.len(), |at| at + 1);
    &message[start..]
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

fn create(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?)
}

fn mkdir(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mkdir(path, Mode::RWXU)?)
}

fn write_all(file: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::write(&file, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::fsync(open(dir, OFlags::RDONLY | OFlags::DIRECTORY)?)?)
}
