//! What all parts share: where things are, and how the programs are called.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use mq::domain::{Durability, NewMessage, Policy, QueueName};
use mq::store::Store as _;
use mq::store::spool::{Order, Spool};

use super::floor::Floor;
use super::options::Options;
use super::place::Place;

/// The program under test.
pub(crate) const MQ: &str = env!("CARGO_BIN_EXE_mq");

/// A body of the size that a shell script puts.
pub(crate) const BODY: &str =
    "resize /srv/photos/2024/07/IMG_20240714_183012.jpg to 1920x1080 and 640x360, then tell the album";

/// How many messages a queue or a floor's directory has before it is measured: listing a leaf is part of a
/// get, and half a leaf is what a get finds on average.
pub(crate) const STANDING: u64 = 128;

/// How many messages are put at a time where many are needed.
const FILL_AT_ONCE: u64 = 4096;

/// The run as a whole.
pub(crate) struct Bench {
    pub(crate) options: Options,
    /// A directory of our own on the file system that is measured.
    pub(crate) dir: PathBuf,
    pub(crate) made_for_this: bool,
    pub(crate) spool: Spool,
    pub(crate) order: Order,
    me: PathBuf,
}

impl Bench {
    pub(crate) fn new(options: Options, place: &Place) -> Result<Self> {
        let root = place.dir.join("spool");
        // The order is asked of the file system of a directory that is there.
        std::fs::create_dir(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let spool = Spool::open(&root)?;
        let order = spool.order();
        let me = std::env::current_exe()?;
        Ok(Self { options, dir: place.dir.clone(), made_for_this: place.made_for_this, spool, order, me })
    }

    /// A call of mq. What it prints goes nowhere, what it complains of comes through.
    pub(crate) fn mq(&self, args: &[&str]) -> Command {
        let mut command = program(MQ);
        command.arg("--spool").arg(self.spool.root()).args(args);
        command
    }

    /// A call of a floor's verb on `floor`.
    pub(crate) fn floor(&self, verb: &str, floor: &Floor, rest: &[&str]) -> Command {
        let mut command = self.me(&format!("{}{verb}", super::floor::PREFIX));
        command.arg(floor.dir()).arg(super::floor::order_name(self.order)).args(rest);
        command
    }

    /// A call of this very program.
    pub(crate) fn me(&self, verb: &str) -> Command {
        let mut command = program(&self.me);
        command.arg(verb);
        command
    }

    /// A floor's directory with [`STANDING`] messages in it.
    pub(crate) fn new_floor(&self, name: &str, is_durable: bool) -> Result<Floor> {
        let floor = Floor::make(&self.dir.join(format!("floor-{name}")), self.order, is_durable)?;
        let not_durable = Floor::make(floor.dir(), self.order, false)?;
        for _ in 0..STANDING {
            not_durable.put(BODY.as_bytes())?;
        }
        Ok(floor)
    }

    /// A queue with `depth` messages in it, put without syncing each.
    pub(crate) fn new_queue(&self, name: &str, durability: Durability, depth: u64) -> Result<QueueName> {
        let queue: QueueName = name.parse()?;
        self.spool.create_queue(&queue, &Policy { durability, ..Policy::default() }, None)?;
        let new = NewMessage { durability: Some(Durability::None), ..NewMessage::default() };
        let mut left = depth;
        while left > 0 {
            let now = left.min(FILL_AT_ONCE);
            let batch: Vec<_> = (0..now).map(|_| (new.clone(), BODY.as_bytes().to_vec())).collect();
            if let Some(error) = self.spool.put_batch(&queue, &batch).error {
                return Err(error).with_context(|| format!("cannot fill the queue '{name}'"));
            }
            left -= now;
        }
        self.settle()?;
        Ok(queue)
    }

    /// Waits until nothing is left for the disk to write: what was done before must not be paid by what comes.
    pub(crate) fn settle(&self) -> Result<()> {
        let dir = std::fs::File::open(&self.dir)?;
        Ok(rustix::fs::syncfs(dir)?)
    }

    /// What mq prints when it is called with `args`.
    pub(crate) fn output_of_mq(&self, args: &[&str]) -> Result<Vec<u8>> {
        let mut command = self.mq(args);
        let output = command.stdout(Stdio::piped()).output()?;
        ensure!(output.status.success(), "{command:?} failed: {}", output.status);
        Ok(output.stdout)
    }

    /// A program that does nothing would be the fastest of all.
    pub(crate) fn check_that_mq_works(&self) -> Result<()> {
        let id = self.output_of_mq(&["put", "check", "-m", BODY])?;
        ensure!(id.len() > 30, "{MQ} put: no id was printed");
        let body = self.output_of_mq(&["get", "check", "--delete"])?;
        ensure!(body == BODY.as_bytes(), "{MQ} get --delete: not the body that was put");
        let left = self.spool.stat(&"check".parse()?)?.messages();
        ensure!(left == 0, "{MQ} get --delete: the message is still there");
        Ok(())
    }

    /// A file of `count` short lines, for `put --lines`.
    pub(crate) fn file_of_lines(&self, count: u64) -> Result<PathBuf> {
        let path = self.dir.join(format!("lines-{count}"));
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        for number in 0..count {
            writeln!(file, "{number:08} {BODY}")?;
        }
        file.flush()?;
        self.settle()?;
        Ok(path)
    }
}

/// A call of a program as a shell would make it. cargo sets a search path for the dynamic loader, which would
/// try each library in each of its directories at the start of every process.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    command.env_remove("LD_LIBRARY_PATH").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Whether two files have the same bytes.
pub(crate) fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    const CHUNK: usize = 1 << 20;
    let (mut one, mut other) = (std::fs::File::open(one)?, std::fs::File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let got = one.read(&mut a)?;
        if got == 0 {
            return Ok(true);
        }
        other.read_exact(&mut b[..got])?;
        if a[..got] != b[..got] {
            return Ok(false);
        }
    }
}
