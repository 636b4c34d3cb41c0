//! Where it is measured: a journaled ext4 made for the purpose, if that can be had.
//!
//! The file system is an image on a loop device. It is mounted in a mount namespace of its own, and its file
//! is unlinked as soon as it is mounted: when the last process in the namespace is gone, however it went, the
//! kernel unmounts it and gives the space back. So the program runs twice, once outside to make the image and
//! the namespace, and once inside to measure.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use mq::store::spool::Order;

use super::context::Bench;
use super::options::Options;

/// Set for the program inside: the image and where to mount it.
const IMAGE: &str = "MQ_BENCH_IMAGE";
const MOUNT: &str = "MQ_BENCH_MOUNT";

/// The status of the program inside when it could not mount.
const CANNOT_MOUNT: u8 = 98;

/// What a message of one block takes with its inode and its share of directories and journal.
const BYTES_PER_MESSAGE: u64 = 5 * 1024;

/// The directory in which to measure.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    /// Whether the file system is new and nobody else's.
    pub(crate) made_for_this: bool,
}

/// Finds a place, and measures there.
pub(crate) fn run_somewhere(options: Options, measure: fn(Options, &Place) -> Result<ExitCode>) -> Result<ExitCode> {
    if let (Some(image), Some(mount)) = (std::env::var_os(IMAGE), std::env::var_os(MOUNT)) {
        let (image, dir) = (PathBuf::from(image), PathBuf::from(mount));
        let mounted = run(Command::new("mount").args(["-o", "loop,noatime"]).args([&image, &dir]));
        if let Err(error) = mounted {
            eprintln!("speed: {error:#}");
            return Ok(ExitCode::from(CANNOT_MOUNT));
        }
        std::fs::remove_file(&image)?;
        return measure(options, &Place { dir, made_for_this: true });
    }
    let base = match &options.dir {
        Some(dir) => dir.clone(),
        None => match on_an_image(&options) {
            Ok(status) => return Ok(status),
            Err(error) => {
                eprintln!("speed: no file system of its own ({error:#}); measuring in the temporary directory");
                std::env::temp_dir()
            }
        },
    };
    let options = Options { depths: depths_that_fit(&options, &base)?, ..options };
    let dir = tempfile::Builder::new().prefix("mq-speed-").tempdir_in(&base)?;
    measure(options, &Place { dir: dir.path().to_owned(), made_for_this: false })
}

/// Makes the image, and runs this program again inside. An error means that nothing was measured.
fn on_an_image(options: &Options) -> Result<ExitCode> {
    ensure!(rustix::process::geteuid().is_root(), "only root can mount one");
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(base)?;
    let depths = depths_that_fit(options, base)?;
    let dir = tempfile::Builder::new().prefix("mq-speed-").tempdir_in(base)?;
    let (image, mount) = (dir.path().join("image"), dir.path().join("mounted"));
    std::fs::create_dir(&mount)?;
    let deepest = depths.last().copied().unwrap_or(0);
    File::create(&image)?.set_len(bytes_needed(options.small, deepest))?;
    let inodes = messages(deepest) + options.pick(600_000, 60_000);
    // Nothing is left to be initialised by the kernel in the background while it is measured.
    let whole = "lazy_itable_init=0,lazy_journal_init=0";
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", whole, "-N", &inodes.to_string()]).arg(&image))?;

    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe()?);
    let depths: Vec<String> = depths.iter().map(u64::to_string).collect();
    inside.args(without_depths()).args(["--depths".to_owned(), depths.join(",")]);
    let status = inside.env(IMAGE, &image).env(MOUNT, &mount).status().context("cannot run unshare")?;
    match status.code() {
        Some(code) if code == i32::from(CANNOT_MOUNT) => bail!("it cannot be mounted"),
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("unshare was ended by a signal"),
    }
}

/// This program's arguments but for the depths, which are given anew.
fn without_depths() -> Vec<OsString> {
    let mut args = Vec::new();
    let mut all = std::env::args_os().skip(1);
    while let Some(arg) = all.next() {
        if arg == "--depths" {
            all.next();
        } else {
            args.push(arg);
        }
    }
    args
}

/// How many messages the run makes with a deepest queue of `deepest`: the queues of all depths (each is at
/// most a tenth of the next, more or less), and as many lines.
fn messages(deepest: u64) -> u64 {
    deepest * 5 / 2
}

fn bytes_needed(small: bool, deepest: u64) -> u64 {
    // Beside the messages: a large body, its source and its copy; the lines and their files.
    let fixed = if small { 1 << 30 } else { 6 << 30 };
    fixed + messages(deepest) * BYTES_PER_MESSAGE
}

/// The depths that the disk has room for.
fn depths_that_fit(options: &Options, base: &Path) -> Result<Vec<u64>> {
    let stat = rustix::fs::statvfs(base).with_context(|| format!("cannot look at {}", base.display()))?;
    let free = stat.f_bavail * stat.f_frsize;
    let mut depths = options.depths.clone();
    while depths.last().is_some_and(|deepest| bytes_needed(options.small, *deepest) > free) {
        let depth = depths.pop().unwrap_or(0);
        eprintln!("speed: {} has too little room for a queue of {depth} messages: left out", base.display());
    }
    ensure!(!depths.is_empty(), "{} has too little room", base.display());
    Ok(depths)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// What has to be known to read the table.
pub(crate) fn describe(bench: &Bench) -> String {
    let order = match bench.order {
        Order::RollForward => "roll-forward (renames are journaled whole)",
        Order::Classical => "classical (bare POSIX: every published name is synced)",
    };
    let release = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!(
        "mq {} · {} pass\nfile system: {}{}\norder:       {order}\nmachine:     {cpus} CPUs, Linux {}, load {load} at the end\n\
         figures:     median (10th–90th percentile); processes from before their start to after their end\n",
        env!("CARGO_PKG_VERSION"),
        bench.options.pick("full", "small"),
        file_system(&bench.dir),
        if bench.made_for_this { ", an image made for this run" } else { "" },
        release.release().to_string_lossy(),
    )
}

/// What the kernel says of the file system that `dir` is on.
fn file_system(dir: &Path) -> String {
    let magic = rustix::fs::statfs(dir).map_or_else(|_| "unknown".to_owned(), |fs| format!("{:#x}", fs.f_type));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let found = mounts
        .lines()
        .filter_map(|line| {
            // ID PARENT MAJOR:MINOR ROOT MOUNT OPTIONS [TAG…] - TYPE SOURCE SUPER-OPTIONS
            let (mount, fs) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(4);
            let (at, options) = (mount.next()?, mount.next()?);
            let mut fs = fs.split(' ');
            let (kind, source, of_super) = (fs.next()?, fs.next()?, fs.next()?);
            dir.starts_with(at).then(|| (at.len(), format!("{kind} on {source} ({options}; {of_super})")))
        })
        .max_by_key(|(len, _)| *len);
    let text = found.map_or_else(|| "unknown".to_owned(), |(_, text)| text);
    format!("{text}, statfs {magic}")
}
