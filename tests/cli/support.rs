//! What every test uses: a spool of its own, `mq` run as a user would run it, and waiting with a deadline.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// No single thing takes longer, not even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Longer input than this goes through a pipe that somebody else feeds, so that nobody can wait for ever.
const PIPE_BYTES: usize = 32 * 1024;

pub(crate) fn mq_program() -> &'static Path {
    assert_cmd::cargo::cargo_bin!("mq")
}

/// The numbers, each on a line of its own.
pub(crate) fn lines_of(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().fold(String::new(), |lines, number| lines + &format!("{number}\n"))
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(comes_true(PATIENCE, condition), "waited {PATIENCE:?} in vain: {what}");
}

/// Whether `condition` comes true in the time given.
pub(crate) fn comes_true(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory of its own with room for a spool and for a user's files. It is every program's current directory
/// and its home.
pub(crate) struct Spool {
    dir: TempDir,
}

impl Spool {
    /// In memory where that can be had: most tests are not about the disk.
    pub(crate) fn new() -> Self {
        let in_memory = tempfile::Builder::new().prefix("mq-cli-").tempdir_in("/dev/shm");
        Self { dir: in_memory.or_else(|_| tempfile::tempdir()).unwrap() }
    }

    /// Where temporary files usually are.
    pub(crate) fn on_disk() -> Self {
        Self { dir: tempfile::Builder::new().prefix("mq-cli-").tempdir().unwrap() }
    }

    /// The spool itself; it is not there until somebody makes it.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("spool")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn queue_dir(&self, queue: &str) -> PathBuf {
        self.root().join(queue)
    }

    /// A file of the user's.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A program that finds this spool, and nothing of the environment that the tests run in.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let bin = mq_program().parent().unwrap().display();
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let mut command = Command::new(program);
        command.env_clear().env("PATH", format!("{bin}:{path}")).env("HOME", self.dir.path());
        command.env("MQ_SPOOL", self.root()).current_dir(self.dir.path());
        command
    }

    pub(crate) fn mq_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(mq_program());
        command.args(args);
        command
    }

    /// Runs `mq` with nothing on stdin.
    #[track_caller]
    pub(crate) fn mq(&self, args: &[&str]) -> Ran {
        run(self.mq_command(args), b"")
    }

    /// Runs `mq` with a pipe as stdin.
    #[track_caller]
    pub(crate) fn mq_with(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        let stdin = stdin.as_ref();
        if stdin.len() <= PIPE_BYTES {
            return run(self.mq_command(args), stdin);
        }
        self.file(".stdin", stdin);
        let mut command = self.command("sh");
        command.args(["-c", r#"cat .stdin | mq "$@""#, "sh"]).args(args);
        run(command, b"")
    }

    /// Runs a script of a user's, in which `mq` is this one.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Ran {
        self.sh_with(script, b"")
    }

    #[track_caller]
    pub(crate) fn sh_with(&self, script: &str, stdin: impl AsRef<[u8]>) -> Ran {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        run(command, stdin.as_ref())
    }

    /// Puts one message, and returns its id.
    #[track_caller]
    pub(crate) fn put(&self, queue: &str, body: impl AsRef<[u8]>) -> String {
        let ran = self.mq_with(&["put", queue], body).ok().quiet();
        ran.text().trim_end().to_owned()
    }

    /// Claims one message by a timed claim, and returns its receipt.
    #[track_caller]
    pub(crate) fn claim(&self, queue: &str, visibility: &str) -> String {
        self.mq(&["get", queue, "--visibility", visibility]).ok().receipt()
    }

    /// Starts `mq` with pipes at stdin and stdout, to go on while it runs.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.mq_command(args), format!("mq {}", args.join(" ")))
    }

    /// What `stat --json` says of a queue.
    #[track_caller]
    pub(crate) fn stat(&self, queue: &str) -> Value {
        self.mq(&["stat", queue, "--json"]).ok().json()
    }

    /// The count of messages in one state.
    #[track_caller]
    pub(crate) fn count(&self, queue: &str, state: &str) -> u64 {
        self.stat(queue)[state].as_u64().unwrap()
    }

    /// The bodies that can be had now, as lines, without claiming them.
    #[track_caller]
    pub(crate) fn bodies(&self, queue: &str) -> Vec<String> {
        let ran = self.mq(&["peek", queue, "--count", "100000", "--json"]);
        ran.jsons().iter().map(|envelope| envelope["body"].as_str().unwrap_or("(bytes)").to_owned()).collect()
    }

    /// All plain files in a part of a queue, sorted.
    pub(crate) fn files_in(&self, queue: &str, part: &str) -> Vec<PathBuf> {
        let walk = walkdir::WalkDir::new(self.queue_dir(queue).join(part)).sort_by_file_name();
        let entries = walk.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
        entries.map(walkdir::DirEntry::into_path).collect()
    }

    /// I7: no temporaries.
    #[track_caller]
    pub(crate) fn assert_no_temporaries(&self, queue: &str) {
        let tmp: Vec<_> = fs::read_dir(self.queue_dir(queue).join("tmp")).unwrap().collect();
        assert!(tmp.is_empty(), "temporaries are left: {tmp:?}");
    }

    /// A FIFO that a script waits at, as in `read x < NAME`.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.path(name);
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o666)).unwrap();
        // For both, so that opening waits for nobody.
        Gate(OpenOptions::new().read(true).write(true).open(&path).unwrap())
    }
}

/// See [`Spool::gate`].
pub(crate) struct Gate(File);

impl Gate {
    /// Lets one script go on.
    pub(crate) fn open(&mut self) {
        self.0.write_all(b"\n").unwrap();
    }
}

/// Runs a program to its end, with a limit.
#[track_caller]
pub(crate) fn run(command: Command, stdin: &[u8]) -> Ran {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let what = format!("{} {}", command.get_program().to_string_lossy(), args.join(" "));
    let mut command = assert_cmd::Command::from_std(command);
    let output = command.timeout(PATIENCE).write_stdin(stdin).output().unwrap();
    Ran { what, status: output.status, out: output.stdout, err: text_of(&output.stderr) }
}

/// Runs a program with files of the test's own choice as its stdin and stdout. What comes of stdout is not seen.
#[track_caller]
pub(crate) fn run_onto(mut command: Command, stdout: impl Into<Stdio>) -> Ran {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let mut running = Running::attach(command.spawn().unwrap(), what);
    let status = running.ended();
    running.into_ran(status)
}

/// A pipe that nobody reads any more.
pub(crate) fn broken_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program has said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    what: String,
    status: ExitStatus,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    /// Ended with this status.
    #[track_caller]
    pub(crate) fn status(self, expected: i32) -> Self {
        assert_eq!(self.status.code(), Some(expected), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.status(0)
    }

    /// I9: failed with this status, said so, and wrote nothing that could be taken for an answer.
    #[track_caller]
    pub(crate) fn fails(self, expected: i32) -> Self {
        assert_eq!(text_of(&self.out), "", "a failure writes nothing to stdout: {self}");
        self.breaks(expected)
    }

    /// I9: failed with this status and said so, with part of its work done.
    #[track_caller]
    pub(crate) fn breaks(self, expected: i32) -> Self {
        let ran = self.status(expected);
        assert!(ran.err.contains("mq"), "a failure says who failed: {ran}");
        assert!(!ran.err.contains("panicked"), "{ran}");
        ran
    }

    /// Nothing was there, which is an answer and no failure.
    #[track_caller]
    pub(crate) fn nothing(self) -> Self {
        self.status(1).quiet().silent()
    }

    /// Ended by this signal.
    #[track_caller]
    pub(crate) fn killed_by(self, signal: Signal) -> Self {
        assert_eq!(self.status.signal(), Some(signal.as_raw()), "{self}");
        self
    }

    /// Nothing on stderr.
    #[track_caller]
    pub(crate) fn quiet(self) -> Self {
        assert_eq!(self.err, "", "{self}");
        self
    }

    /// Nothing on stdout.
    #[track_caller]
    pub(crate) fn silent(self) -> Self {
        assert!(self.out.is_empty(), "{self}");
        self
    }

    /// These words are on stderr.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "{words:?} is not said: {self}");
        self
    }

    /// Exactly these bytes are on stdout.
    #[track_caller]
    pub(crate) fn wrote(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        if self.out != bytes {
            let at = self.out.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let expected = text_of(&bytes[..bytes.len().min(200)]);
            panic!(
                "stdout is not as expected, from byte {at} on ({} bytes, not {}): {expected:?} {self}",
                self.out.len(),
                bytes.len()
            );
        }
        self
    }

    /// `None` if a signal or the limit ended it.
    pub(crate) fn status_code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn out(&self) -> &[u8] {
        &self.out
    }

    pub(crate) fn err(&self) -> &str {
        &self.err
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// The one receipt on stderr.
    #[track_caller]
    pub(crate) fn receipt(&self) -> String {
        let mut receipts = self.err.lines().filter_map(|line| line.strip_prefix("receipt: "));
        let receipt = receipts.next().unwrap_or_else(|| panic!("no receipt was told: {self}"));
        assert_eq!(receipts.next(), None, "{self}");
        receipt.to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let mut values = self.jsons();
        assert_eq!(values.len(), 1, "{self}");
        values.remove(0)
    }

    /// One value a line.
    #[track_caller]
    pub(crate) fn jsons(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = text_of(&self.out[..self.out.len().min(2000)]);
        write!(f, "\n  {}\n  ended with {}\n  stdout: {shown:?}\n  stderr: {:?}", self.what, self.status, self.err)
    }
}

/// A program that runs beside the test. It does not outlive it.
pub(crate) struct Running {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Option<Receiver<Vec<u8>>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command, what: String) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::attach(command.spawn().unwrap(), what)
    }

    fn attach(mut child: Child, what: String) -> Self {
        let lines = child.stdout.take().map(|stdout| {
            let (sender, receiver) = channel();
            std::thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                let mut line = Vec::new();
                while stdout.read_until(b'\n', &mut line).is_ok_and(|got| got > 0) {
                    if sender.send(std::mem::take(&mut line)).is_err() {
                        break;
                    }
                }
            });
            receiver
        });
        let stderr = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stderr.read_to_end(&mut bytes);
                text_of(&bytes)
            })
        });
        Self { what, stdin: child.stdin.take(), child, lines, stderr }
    }

    /// Writes to its stdin.
    #[track_caller]
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdin.as_mut().unwrap().write_all(bytes.as_ref()).unwrap();
    }

    /// Ends its stdin.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// Its next line on stdout.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.lines.as_ref().unwrap().recv_timeout(PATIENCE) {
            Ok(line) => text_of(&line).trim_end().to_owned(),
            Err(error) => panic!("no line of {}: {error}", self.what),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has opened a file that is called so.
    #[track_caller]
    pub(crate) fn until_it_has_open(&mut self, name: &str) {
        let dir = format!("/proc/{}/fd", self.child.id());
        until(&format!("{} opens {name}", self.what), || {
            let entries = fs::read_dir(&dir).unwrap().filter_map(Result::ok);
            entries.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| path.ends_with(name))
        });
    }

    /// Waits for its end, but not for those who hold its stdout and stderr.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        until(&format!("{} ends", self.what), || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// Ends its stdin and waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ran {
        self.close();
        let status = self.ended();
        self.into_ran(status)
    }

    #[track_caller]
    fn into_ran(mut self, status: ExitStatus) -> Ran {
        let mut out = Vec::new();
        if let Some(lines) = &self.lines {
            let end = Instant::now() + PATIENCE;
            while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                out.extend(line);
            }
        }
        let err = self.stderr.take().map_or_else(String::new, |stderr| stderr.join().unwrap());
        Ran { what: self.what.clone(), status, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the tests may become somebody else: nobody, who has no rights to what they make.
pub(crate) fn can_be_nobody() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    is_root && Command::new("setpriv").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs `mq` as nobody, on a copy that nobody may run.
#[track_caller]
pub(crate) fn mq_as_nobody(spool: &Spool, args: &[&str]) -> Ran {
    use std::os::unix::fs::PermissionsExt as _;
    let program = spool.path("mq-for-nobody");
    if !program.exists() {
        // Not by this process: another test's child would inherit the file open for writing, and it could not be run.
        assert!(Command::new("cp").arg(mq_program()).arg(&program).status().unwrap().success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(spool.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = spool.command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program).args(args);
    run(command, b"")
}
