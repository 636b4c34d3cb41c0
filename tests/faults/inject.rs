//! Runs a verb under strace(1), and has it killed at, or failed by, one of its calls.
//!
//! strace counts the invocations of an injection for each process and for each call by its number, so a harm names
//! one call, and its `when=` is the how-manieth of that name since the program's start, the loader's included. A
//! SIGKILL is sent when the call is entered, and the kernel then does not make it: the process dies between this
//! call and the one before. Without `-f`, strace follows no child: the command of a `get -- CMD` is never harmed.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use super::verbs::{EDITED, Verb};
use crate::common::{has, mq_bin};

/// Calls that change something, or that others can see: a death is injected at each, and every error.
const CHANGES: &str = "write,writev,pwrite64,pwritev,sendfile,splice,copy_file_range,fsync,fdatasync,syncfs,sync_file_range,\
    rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chmod,fchmod,\
    fchmodat,chown,fchown,fchownat,flock,mknod,mknodat,truncate,ftruncate,fallocate,utimensat,exit_group";

/// Calls that look, and opens, which may create: they fail too, and must not be taken for an answer.
const LOOKS: &str = "open,openat,creat,statx,getdents64,read,pread64,statfs";

/// A call that a verb makes.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The how-manieth of its name, from 1.
    pub(crate) nth: usize,
    /// As strace shows it.
    pub(crate) text: String,
}

impl Call {
    /// Whether it changes something.
    pub(crate) fn is_change(&self) -> bool {
        CHANGES.split(',').any(|name| name == self.name) || self.text.contains("O_CREAT")
    }
}

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The process dies at it.
    Kill,
    /// It fails with this.
    Fail(&'static str),
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("SIGKILL"),
            Self::Fail(error) => f.write_str(error),
        }
    }
}

/// Whether `MQ_FAULTS=all` is set: every error at every call, which takes long.
pub(crate) fn all() -> bool {
    std::env::var_os("MQ_FAULTS").is_some_and(|which| which == "all")
}

/// What is to be tried at a call: at each that changes something a death; and at each an error, another one each time
/// of those that it can have. All of them if [`all`] is asked for.
pub(crate) fn harms(call: &Call) -> Vec<Harm> {
    let errors: &[&str] = match call.name.as_str() {
        "exit_group" => &[],
        "open" | "openat" if call.text.contains("O_CREAT") => &["EIO", "ENOSPC", "EDQUOT", "EMFILE"],
        "open" | "openat" => &["EIO", "EMFILE", "ESTALE"],
        "read" | "pread64" | "getdents64" | "statx" | "statfs" => &["EIO"],
        "write" | "pwrite64" | "mkdir" | "mkdirat" | "link" | "linkat" => &["EIO", "ENOSPC", "EDQUOT"],
        "rename" | "renameat" | "renameat2" => &["EIO", "ENOSPC", "ESTALE"],
        "flock" => &["ENOLCK"],
        _ => &["EIO", "ENOSPC"],
    };
    let one = errors.get(call.nth % errors.len().max(1)..).map_or(&[][..], |rest| &rest[..rest.len().min(1)]);
    let chosen = if all() { errors } else { one };
    let death = call.is_change().then_some(Harm::Kill);
    death.into_iter().chain(chosen.iter().map(|error| Harm::Fail(error))).collect()
}

/// How a run went.
pub(crate) struct Ran {
    /// Its status; `None` when it was killed.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Whether the injection found its call.
    pub(crate) was_harmed: bool,
    /// The call that was harmed, as strace showed it this time.
    pub(crate) at: Option<String>,
    /// Its calls in the spool that are to be harmed, when nothing was injected.
    pub(crate) calls: Vec<Call>,
    /// How many it made there.
    pub(crate) made: usize,
}

impl Ran {
    /// Whether the harm was that nothing can be said on this descriptor.
    pub(crate) fn was_cut_off(&self, descriptor: u32) -> bool {
        self.at.as_ref().is_some_and(|at| at.starts_with(&format!("write({descriptor}<")))
    }
}

/// Whether there is strace, and whether it is allowed to trace.
pub(crate) fn is_possible() -> bool {
    let traced = || Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    has("strace") && traced().is_ok_and(|status| status.success())
}

/// Runs `verb` on the spool in `dir`.
pub(crate) fn run(dir: &Path, verb: &Verb, harm: Option<(&Call, Harm)>) -> Ran {
    std::fs::write(dir.join("input"), &verb.stdin).unwrap();
    for (name, bytes) in &verb.files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-y", "-o", "log"]).current_dir(dir).env_remove("MQ_SPOOL");
    strace.env_remove("VISUAL").env("EDITOR", format!("printf {EDITED} >")).env("TMPDIR", dir);
    match harm {
        None => strace.args(["-e", &format!("trace={CHANGES},{LOOKS}")]),
        Some((call, harm)) => {
            let what = match harm {
                Harm::Kill => "signal=SIGKILL".to_owned(),
                Harm::Fail(error) => format!("error={error}"),
            };
            let has_child = verb.args[0] == "edit" || verb.args.iter().any(|arg| arg == "--");
            if harm != Harm::Kill && !has_child {
                // Stops at no other call. It asks for -f, and here is no child to be followed. (A signal cannot be
                // sent at a stop of that kind.)
                strace.args(["-f", "--seccomp-bpf"]);
            }
            strace.args(["-e", &format!("trace={}", call.name)]);
            strace.args(["-e", &format!("inject={}:{what}:when={}", call.name, call.nth)])
        }
    };
    let input = File::open(dir.join("input")).unwrap();
    strace.arg(mq_bin()).args(["--spool", "spool"]).args(&verb.args).stdin(input);
    let output = strace.output().expect("strace runs");
    let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    // With -f each line begins with the process.
    let lines = || log.lines().map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '));
    let last = lines().rfind(|line| !line.starts_with("+++"));
    let was_killed = log.contains("+++ killed by SIGKILL +++");
    let injected = lines().find(|line| line.contains("(INJECTED)"));
    let at = if was_killed { last } else { injected };
    let made = if harm.is_none() { calls(&log) } else { Vec::new() };
    Ran {
        status: output.status.code().filter(|_| !was_killed),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        was_harmed: at.is_some(),
        at: at.map(str::to_owned),
        calls: if all() { made.clone() } else { sampled(&made) },
        made: made.len(),
    }
}

/// The calls in a log from the first one in the spool on: what the loader does before is not the program's.
fn calls(log: &str) -> Vec<Call> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((name, _)) =
            line.split_once('(').filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        else {
            continue;
        };
        let nth = counts.entry(name).or_default();
        *nth += 1;
        if line.contains("\"spool") || !calls.is_empty() {
            calls.push(Call { name: name.to_owned(), nth: *nth, text: line.to_owned() });
        }
    }
    calls
}

/// How often a name has to come for some of its calls to be left out, how many are kept at either end, where the edges
/// are, and how many from between.
struct Sample {
    most: usize,
    edge: usize,
    between: usize,
}

/// Of what changes something as good as all: only a bulk has so many.
const OF_CHANGES: Sample = Sample { most: 24, edge: 5, between: 5 };
const OF_LOOKS: Sample = Sample { most: 8, edge: 2, between: 3 };

/// All of them, unless a name comes often: of these some.
fn sampled(calls: &[Call]) -> Vec<Call> {
    let mut of_name: HashMap<String, Vec<usize>> = HashMap::new();
    for call in calls {
        of_name.entry(call.name.clone()).or_default().push(call.nth);
    }
    let is_kept = |call: &Call| {
        let all = &of_name[&call.name];
        let at = all.iter().position(|nth| *nth == call.nth).unwrap_or_default();
        let Sample { most, edge, between } = if call.is_change() { OF_CHANGES } else { OF_LOOKS };
        all.len() <= most || at < edge || at + edge >= all.len() || at % (all.len() / between) == 0
    };
    calls.iter().filter(|call| is_kept(call)).cloned().collect()
}
