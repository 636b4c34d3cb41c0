//! A command on a message, under a held claim.
//!
//! The command inherits the locked description of the message file: the claim lives as long as either mq or the
//! command lives, and if both die, however they die, the kernel drops the lock and the next sweep returns the
//! message. The body comes from a file, never through a pipe that mq would have to feed: if mq is killed, the
//! command still reads a whole body, not a torn one (I3).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use command_fds::{CommandFdExt as _, FdMapping};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::streams::{Interrupted, Signals};
use super::{Context, Outcome, note};
use crate::codec::Format;
use crate::domain::{Clock as _, MediaType, SystemClock};
use crate::store::{self, Body, Delivery, Failure, Store};

/// Where the command finds the lock: out of the way of what scripts use.
const LOCK_FD: i32 = 99;

/// The command cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot run '{program}'")]
pub(crate) struct NoProgram {
    program: String,
    source: io::Error,
}

impl NoProgram {
    /// As shells say it: 127 for a command that is not there, 126 for one that cannot be run.
    pub(crate) fn status(&self) -> u8 {
        if self.source.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

fn can_run(path: &Path) -> rustix::io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
    // Directories have that permission too, with another meaning.
    let is_dir = FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode).is_dir();
    if is_dir { Err(rustix::io::Errno::ISDIR) } else { Ok(()) }
}

/// Whether there is such a program, before a delivery is spent on it.
pub(super) fn check_program(program: &OsStr) -> Result<(), NoProgram> {
    let failed = |source| NoProgram { program: program.display().to_string(), source };
    if program.as_encoded_bytes().contains(&b'/') {
        return can_run(Path::new(program)).map_err(|error| failed(error.into()));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let mut dirs = std::env::split_paths(&path);
    if dirs.any(|dir| can_run(&dir.join(program)).is_ok()) {
        return Ok(());
    }
    Err(failed(io::Error::new(io::ErrorKind::NotFound, "it is not in PATH")))
}

/// Runs `command` on the message, and deletes or releases it as the command's status says.
pub(super) fn run(
    command: &[OsString],
    mut delivery: Delivery,
    converted: Option<Body>,
    to: Option<Format>,
    store: &dyn Store,
    context: &Context,
) -> Result<Outcome> {
    let receipt = delivery.receipt.clone();
    let ran = start(command, &mut delivery, converted, to, context).and_then(|(child, signals)| wait(child, &signals));
    let (status, interrupted) = match ran {
        Ok(ran) => ran,
        Err(error) => {
            // Started once more it would fail again: it is left alone for as long as after any other failure.
            fail(store, &mut delivery, "the command could not be started", None);
            return Err(error);
        }
    };
    if status.success() {
        if store.is_held(&receipt)? {
            return match store.delete(&[receipt]).pop() {
                // In this very moment, by the command's own receipt.
                None | Some(Ok(()) | Err(store::Error::StaleReceipt { .. })) => Ok(Outcome::Command(0)),
                Some(Err(error)) => Err(error.into()),
            };
        }
        // The command has deleted it, or released it for later: that is not to be undone.
        return Ok(Outcome::Command(0));
    }
    let reason = status.to_string();
    // Somebody broke it off, and the message has no part in that: it goes back at once.
    let delay = interrupted.map(|_| Duration::ZERO);
    let became = fail(store, &mut delivery, &reason, delay);
    note(format_args!("message {} {became}: the command ended with {reason}", delivery.message.id));
    match (status.signal(), interrupted) {
        // Ctrl-C was meant for both.
        (Some(SIGINT), Some(interrupted)) => Err(interrupted.into()),
        (Some(signal), _) => Ok(Outcome::Command(u8::try_from(128 + signal).unwrap_or(u8::MAX))),
        (None, _) => Ok(Outcome::Command(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))),
    }
}

/// Notes the failure and gives the message back, `delay` as for [`Store::release`]. Returns what became of it: what the
/// command has done with its message itself stays done.
fn fail(store: &dyn Store, delivery: &mut Delivery, reason: &str, delay: Option<Duration>) -> String {
    let failure = Failure { at: SystemClock.now(), delivery: delivery.deliveries, reason: reason.to_owned() };
    // Best effort: on a full disk the log cannot grow, and that must not keep the message from going back.
    let _ = store.note_failure(&delivery.receipt, &failure);
    let released = store.is_held(&delivery.receipt).and_then(|is_held| {
        if is_held {
            // The lock first: who is woken by the release must find it free.
            delivery.hold.iter_mut().for_each(|hold| hold.let_go());
            store.release(std::slice::from_ref(&delivery.receipt), delay).into_iter().collect::<Result<(), _>>()?;
        }
        Ok(is_held)
    });
    match released {
        Ok(true) => "was not deleted".to_owned(),
        Ok(false) | Err(store::Error::StaleReceipt { .. }) => "is as the command left it".to_owned(),
        Err(error) => format!("could not be released ({})", store::chain(&error)),
    }
}

fn start(
    command: &[OsString],
    delivery: &mut Delivery,
    converted: Option<Body>,
    to: Option<Format>,
    context: &Context,
) -> Result<(Child, Signals)> {
    let media_type = converted.as_ref().and(to).map(Format::mime_type);
    let stdin = body_file(delivery, converted).context("cannot hand the body to the command")?;
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).stdin(Stdio::from(stdin));
    // The attributes of a message further out are not this one's.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MQ_ATTR_")) {
        process.env_remove(name);
    }
    process.envs(environment(delivery, media_type, context));
    let hold = delivery.hold.as_ref().and_then(|hold| hold.as_fd());
    if let Some(fd) = hold {
        let parent_fd: OwnedFd = fd.try_clone_to_owned()?;
        process.fd_mappings(vec![FdMapping { parent_fd, child_fd: LOCK_FD }]).map_err(io::Error::other)?;
    }
    let signals = Signals::catch()?;
    let child = process.spawn().map_err(|source| NoProgram { program: command[0].display().to_string(), source })?;
    Ok((child, signals))
}

/// A file that stands at the body's start and ends at its end.
fn body_file(delivery: &mut Delivery, converted: Option<Body>) -> io::Result<File> {
    if converted.is_none()
        && let Some(file) = delivery.hold.as_ref().map_or(Ok(None), |hold| hold.body_file())?
    {
        return Ok(file);
    }
    let mut body = converted;
    let body = body.as_mut().unwrap_or(&mut delivery.body);
    let mut file = tempfile::tempfile()?;
    io::copy(body, &mut file)?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

fn environment(delivery: &Delivery, media_type: Option<&str>, context: &Context) -> Vec<(String, OsString)> {
    let message = &delivery.message;
    let mut variables: Vec<(String, OsString)> = vec![
        ("MQ_ID".to_owned(), message.id.to_string().into()),
        ("MQ_QUEUE".to_owned(), delivery.receipt.queue.to_string().into()),
        ("MQ_RECEIPT".to_owned(), delivery.receipt.to_string().into()),
        ("MQ_DELIVERIES".to_owned(), delivery.deliveries.to_string().into()),
        ("MQ_PRIORITY".to_owned(), message.priority.to_string().into()),
        ("MQ_PUT_AT".to_owned(), message.put_at.to_rfc3339().into()),
        // Set in any case, so that none is inherited from a message further out.
        ("MQ_GROUP".to_owned(), message.group.as_ref().map(ToString::to_string).unwrap_or_default().into()),
        ("MQ_REPLY_TO".to_owned(), message.reply_to.as_ref().map(ToString::to_string).unwrap_or_default().into()),
    ];
    if let Some(spool) = &context.spool {
        let spool = std::path::absolute(spool).unwrap_or_else(|_| spool.clone());
        variables.push(("MQ_SPOOL".to_owned(), spool.into()));
    }
    let own_type = message.media_type.as_ref().map(MediaType::as_str);
    variables.push(("MQ_TYPE".to_owned(), media_type.or(own_type).unwrap_or_default().into()));
    for (name, value) in message.attributes.iter() {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        variables.push((format!("MQ_ATTR_{name}"), value.into()));
    }
    variables
}

/// Waits for the command, and hands on the signals that ask it to end. (SIGINT comes from a terminal, which has
/// sent it to the command as well.)
fn wait(mut child: Child, signals: &Signals) -> Result<(ExitStatus, Option<Interrupted>)> {
    let pid = Pid::from_child(&child);
    let mut interrupted = None;
    // Without pidfds (before Linux 5.3) it waits all the same, and hands nothing on.
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
        loop {
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(signals.bell(), PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            if !fds[0].revents().is_empty() {
                break;
            }
            if let Some(caught) = signals.take() {
                interrupted = Some(caught);
                let _ = match caught.signal {
                    SIGTERM => kill_process(pid, Signal::TERM),
                    SIGHUP => kill_process(pid, Signal::HUP),
                    _ => Ok(()),
                };
            }
        }
    }
    Ok((child.wait()?, interrupted.or_else(|| signals.pending())))
}
