//! What several test programs need: the binary, a place for spools, file systems of their own.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::disallowed_methods)] // Each program uses a part; these are the tests' own files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The program under test.
pub fn mq_bin() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("mq").to_path_buf()
}

/// `mq --spool SPOOL ARGS…`
pub fn mq(spool: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(mq_bin());
    command.arg("--spool").arg(spool).args(args).stdin(Stdio::null());
    command
}

/// Runs `mq`; the output, whatever the status.
pub fn run(spool: &Path, args: &[&str]) -> Output {
    mq(spool, args).output().expect("mq runs")
}

/// Runs `mq`, which must end with `status`; its stdout.
#[track_caller]
pub fn expect(spool: &Path, args: &[&str], status: i32) -> Vec<u8> {
    let output = run(spool, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "mq {args:?} said: {stderr}");
    output.stdout
}

/// A directory for a spool, in memory where there is such a place.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix("mq-test-").to_owned();
    builder().tempdir_in(memory).or_else(|_| builder().tempdir()).expect("a temporary directory")
}

/// Waits until `done` says so; fails the test after a generous time.
#[track_caller]
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen in 30 s");
        std::thread::sleep(Duration::from_millis(5)); // Between two looks at a condition, not for it.
    }
}

/// A reproducible source of choices.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A second that is long past.
pub const PAST: u64 = 1_000_000_000;

/// Makes everything that lies directly in `dir` look long forgotten.
pub fn make_old(dir: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(PAST);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // A young one may be published or cleared away meanwhile.
        let _ = std::fs::File::open(entry.path()).and_then(|file| file.set_modified(old));
    }
}

/// Lets all the time pass that anything in the spool waits for: claims end, delays are over, what the dead were
/// writing is old.
pub fn let_time_pass(spool: &Path) {
    for queue in std::fs::read_dir(spool).into_iter().flatten().flatten() {
        for state in ["claimed", "delayed"] {
            let dir = queue.path().join(state);
            let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
            let seconds = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
            for (n, second) in seconds.filter(|second| *second > 10 * PAST / 8).collect::<Vec<_>>().iter().enumerate() {
                let past = (PAST / 2 + n as u64).to_string();
                let _ = std::fs::rename(dir.join(second.to_string()), dir.join(past));
            }
        }
        make_old(&queue.path().join("tmp"));
    }
}

/// Whether a program can be run.
pub fn has(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
            || ["/sbin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).is_file())
    })
}

/// Says why a test does not run here.
pub fn skipped(needs: &str) {
    eprintln!("skipped: needs {needs}");
}

/// A file system in a file, mounted through a loop device, gone at the end.
pub struct Image {
    dir: tempfile::TempDir,
    kind: &'static str,
    is_mounted: bool,
    /// What a repair of the file system said.
    pub repaired: String,
}

impl Image {
    /// Makes and mounts one of `kind` (`ext4`, `ext4-without-journal`, `xfs`, `btrfs`); `None`, said on stderr,
    /// where there is no right, no tool or no loop device for it. Where there is all of that, it has to succeed.
    pub fn new(kind: &'static str, size: &str) -> Option<Self> {
        // On the disk, not in memory: loop devices on tmpfs behave differently when they are full.
        let dir = tempfile::Builder::new().prefix("mq-image-").tempdir().expect("a temporary directory");
        Self::new_in(dir, kind, size)
    }

    /// The same, with its file in `dir`.
    pub fn new_in(dir: tempfile::TempDir, kind: &'static str, size: &str) -> Option<Self> {
        let (mkfs, args): (&str, &[&str]) = match kind {
            "ext4" => ("mkfs.ext4", &["-q", "-F", "-m", "0"]),
            "ext4-without-journal" => ("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^has_journal"]),
            "xfs" => ("mkfs.xfs", &["-q"]),
            "btrfs" => ("mkfs.btrfs", &["-q"]),
            other => panic!("no file system {other}"),
        };
        if !has(mkfs) {
            skipped(mkfs);
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            skipped("root");
            return None;
        }
        if !has_loop_devices() {
            skipped("loop devices");
            return None;
        }
        let mut image = Self { dir, kind, is_mounted: false, repaired: String::new() };
        must(Command::new("truncate").arg("-s").arg(size).arg(image.file()));
        must(Command::new(mkfs).args(args).arg(image.file()));
        std::fs::create_dir(image.root()).expect("a mount point");
        must(&mut image.mounting());
        image.is_mounted = true;
        Some(image)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// One of `kind` whose file lies in this one, which has to be an XFS. That file can be cloned: see
    /// [`Image::at_this_moment`].
    pub fn inner(&self, kind: &'static str, size: &str) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("inner-").tempdir_in(self.root()).expect("a directory");
        Self::new_in(dir, kind, size)
    }

    /// What the disk holds at this moment, while it is written to; `None` where its file cannot be cloned.
    ///
    /// The clone is one ioctl(2), FICLONE, and XFS makes it with the file's I/O lock held exclusively, after it has
    /// waited for what was under way and written back what was dirty. The loop device writes to the same file with
    /// write(2)'s own code, which takes that lock for each write. So a clone has each write of the loop device whole
    /// or not at all, all that came before one moment and nothing that came after it: what a disk without a cache
    /// holds when the power goes. That it holds for FICLONE and not for a copy is why it is not `cp` by itself.
    pub fn at_this_moment(&self) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("moment-").tempdir_in(self.dir.path().parent()?).ok()?;
        let copy = Self { dir, kind: self.kind, is_mounted: false, repaired: String::new() };
        quiet(Command::new("cp").arg("--reflink=always").arg(self.file()).arg(copy.file())).then_some(copy)
    }

    /// Mounts a clone: the file system recovers as it would after a power cut.
    pub fn recover(&mut self) {
        std::fs::create_dir(self.root()).expect("a mount point");
        assert!(self.mount(), "the image does not mount");
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn spool(&self) -> PathBuf {
        self.root().join("spool")
    }

    fn mounting(&self) -> Command {
        // A copy of an XFS has the same UUID as its original.
        let options = if self.kind == "xfs" { "loop,nouuid" } else { "loop" };
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).arg(self.file()).arg(self.root());
        mount
    }

    fn mount(&mut self) -> bool {
        self.is_mounted = quiet(&mut self.mounting());
        self.is_mounted
    }

    pub fn remount(&self, options: &str) -> bool {
        quiet(Command::new("mount").args(["-o", options]).arg(self.root()))
    }

    /// How many writes the disk has seen, and how many are under way.
    fn writes(&self) -> Vec<String> {
        let root = self.root().display().to_string();
        let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
        let device = mounts.lines().filter_map(|line| line.strip_prefix("/dev/")).find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            rest.starts_with(&format!("{root} ")).then_some(device)
        });
        let stat = format!("/sys/block/{}/stat", device.expect("the loop device"));
        let fields = std::fs::read_to_string(stat).expect("its counters");
        fields
            .split_whitespace()
            .enumerate()
            .filter(|(n, _)| [4, 6, 8].contains(n))
            .map(|(_, f)| f.to_owned())
            .collect()
    }

    /// What the disk holds at this moment, as a machine would find it after a power cut: mounted, and repaired
    /// first where there is no journal that does it.
    pub fn after_a_power_cut(&self) -> Self {
        let dir = tempfile::Builder::new().prefix("mq-crash-").tempdir().expect("a temporary directory");
        let mut copy = Self { dir, kind: self.kind, is_mounted: false, repaired: String::new() };
        // A power cut takes no time, a copy does: one during which the kernel wrote is of no moment that ever was.
        for attempt in 0.. {
            assert!(attempt < 50, "the disk is never quiet for as long as a copy takes");
            let before = self.writes();
            assert!(quiet(Command::new("cp").arg("--sparse=always").arg(self.file()).arg(copy.file())));
            if self.writes() == before {
                break;
            }
        }
        if self.kind == "ext4-without-journal" {
            // What it had to say helps to understand a loss.
            copy.repaired = Command::new("fsck.ext4")
                .args(["-f", "-y"])
                .arg(copy.file())
                .output()
                .map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        }
        std::fs::create_dir(copy.root()).expect("a mount point");
        assert!(copy.mount(), "the image does not mount");
        copy
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.is_mounted {
            unmount(&self.root());
        }
    }
}

/// An overlay of two directories in memory: a file system of which nothing is known, as containers have it. It asks
/// for the classical order, and its syncs cost nothing.
pub struct Overlay(tempfile::TempDir);

impl Overlay {
    /// Mounts one, where that is allowed.
    pub fn new() -> Option<Self> {
        let dir = scratch();
        let at = |name: &str| dir.path().join(name).display().to_string();
        ["lower", "upper", "work", "root"].iter().try_for_each(|name| std::fs::create_dir(at(name))).ok()?;
        let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
        let mount = ["-t", "overlay", "overlay", "-o", &options, &at("root")];
        quiet(Command::new("mount").args(mount)).then_some(Self(dir))
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unmount(&self.root());
    }
}

/// Unmounts. A child that another thread of the test has forked and that has not come to its program yet has a copy of
/// every open file, and while it has, the file system is busy.
fn unmount(root: &Path) {
    let end = Instant::now() + Duration::from_secs(10);
    while !quiet(Command::new("umount").arg(root)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the kernel gives out loop devices here: not in a container that was given none.
fn has_loop_devices() -> bool {
    quiet(Command::new("losetup").arg("-f"))
}

/// Runs a tool that has to be content: the test stands on what it does.
#[track_caller]
fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a tool; whether it was content.
pub fn quiet(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
