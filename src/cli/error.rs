//! How errors look: what was tried and on what, then why it failed, then what to do.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::exit;
use crate::commands::streams::{StdoutError, interruption};
use crate::store::{self, Error, Uneditable};

/// Tells an error of the verb `name` on stderr, and returns its exit status.
pub(super) fn report(name: &str, error: &anyhow::Error) -> u8 {
    if let Some(interrupted) = error.chain().find_map(interruption) {
        let _ = writeln!(io::stderr(), "mq {name}: interrupted");
        // As if it had not been caught: a shell loop around this ends too. Returns only if that fails.
        let _ = signal_hook::low_level::emulate_default_handler(interrupted.signal);
        return exit::IO;
    }
    if is_broken_pipe(error) {
        // Nobody listens any more, and that was their choice.
        return exit::IO;
    }
    let mut text = format!("mq {name}: {}", store::chain(error.as_ref()));
    if let Some(hint) = hint(name, error) {
        let _ = write!(text, "\n  {hint}");
    }
    // Who closed stderr does not want to hear it.
    let _ = writeln!(io::stderr(), "{text}");
    exit::status(error)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StdoutError>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// What to do about it, in the verb `name`.
fn hint(name: &str, error: &anyhow::Error) -> Option<String> {
    // What is wrong with a user's own file, its path says.
    let of_store = error.chain().find_map(|cause| cause.downcast_ref::<Error>())?;
    hint_for(name, of_store).or_else(|| match exit::status(error) {
        exit::TRY_LATER => Some("free some space, or take messages out of the queue, and try again".to_owned()),
        exit::PERMISSION => Some("check who owns the path, or name another spool with --spool".to_owned()),
        _ => None,
    })
}

fn hint_for(name: &str, error: &Error) -> Option<String> {
    Some(match error {
        Error::NoSuchQueue { .. } => {
            "`mq list` shows the queues there are; `mq create` and `mq put` make one".to_owned()
        }
        Error::QueueExists(queue) => format!("`mq set {queue} ...` changes its policy; --if-missing accepts it"),
        Error::QueueNotEmpty { queue, .. } => {
            format!("`mq stat {queue}` shows what it holds; --force removes it all")
        }
        Error::Full { .. } if name == "put" => "take messages out; `mq put --wait DUR` waits for room".to_owned(),
        Error::Full { queue, cap, .. } => {
            format!("take messages out of '{queue}', or let it hold more by `mq set {queue} {cap}=...`, and try again")
        }
        Error::KeyTaken { queue, holder, .. } => {
            format!("it can be moved when message {holder} of '{queue}' is done")
        }
        Error::TooLarge { queue, .. } => {
            format!("`mq set {queue} max-bytes=SIZE` makes the queue larger")
        }
        Error::NoReserve { queue, key, .. } => {
            format!("free some space, or take messages out; `mq set {queue} {key}=...` says how much stays free")
        }
        Error::Paused(queue) => format!("`mq resume {queue}` lets its receivers go on"),
        Error::NoSuchMessage { queue, .. } => format!("`mq list {queue}` shows the messages there are"),
        Error::StaleReceipt { .. } => {
            "this message was left as it is; only the receipt of its latest delivery works".to_owned()
        }
        Error::NotEdited { queue, id, why } => match why {
            Uneditable::Claimed => "wait until it is released, or its claim has ended, and try again".to_owned(),
            Uneditable::Expired => {
                format!("`mq set {queue} expired=dead-letter` keeps what becomes too old, where it can be edited")
            }
            Uneditable::Changed => format!("`mq peek {queue} --id {id}` shows it as it is, if it is there"),
            Uneditable::Keyed | Uneditable::Grouped => "when it is a dead letter it can be edited".to_owned(),
        },
        Error::NotASpool { .. } => "nothing was touched; name an empty or new directory with --spool".to_owned(),
        Error::UnknownFormat { .. } => "nothing was touched; a newer mq has written it".to_owned(),
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory => {
            "a spool is a directory; name another path with --spool".to_owned()
        }
        Error::PolicyFile { .. } => "nothing was touched; mend the file, or remove it for the defaults".to_owned(),
        _ => return None,
    })
}
