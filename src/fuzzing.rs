//! An opening for the fuzz targets in `tests/fuzz/`, to what is private to its room. It is no part of the program:
//! only cargo-fuzz builds it, by setting `--cfg fuzzing`.

#![allow(clippy::missing_panics_doc)] // A panic is how a target says that something is wrong.

use std::time::Duration;

use crate::commands::envelope::{self, Facts};
use crate::domain::{NewMessage, QueueName, UnixMillis};
use crate::store::{Body, Failure, Message};

pub use crate::store::spool::fuzzing::*;

/// Reads a line of a stream of envelopes as `put --jsonl` does; `None` if it is refused.
pub fn read_envelope(line: &[u8], defaults: &NewMessage) -> Option<(NewMessage, Vec<u8>)> {
    envelope::read(line, 1, defaults).ok().map(|envelope| (envelope.new, envelope.body))
}

/// The line that `get --json` writes for a message.
pub fn write_envelope(message: &Message, body: &[u8], failures: &[Failure]) -> Vec<u8> {
    let facts = Facts::new(message, &message.queue, 1).claimed("receipt".to_owned(), None).with_failures(failures);
    let mut line = Vec::new();
    facts.write_with_body(&mut Body::from_bytes(body.to_vec()), &mut line).expect("memory can be written");
    line
}

/// Reads a line of an export as `import` does; `None` if it is refused.
pub fn read_exported(line: &[u8]) -> Option<(NewMessage, Vec<u8>)> {
    envelope::read_exported(line, 1).ok()
}

/// The line that `export` writes, at the beginning of time, for what was imported into `queue`.
pub fn write_exported(new: &NewMessage, queue: &QueueName, body: &[u8]) -> Vec<u8> {
    let fresh = || unreachable!("it has an id");
    let (message, state) = Message::of(new, queue, fresh, Duration::ZERO, UnixMillis(0));
    let message = Message { len_bytes: body.len() as u64, ..message };
    let facts = Facts::new(&message, queue, new.deliveries()).in_state(state).with_failures(new.failures());
    let mut line = Vec::new();
    facts.write_with_body(&mut Body::from_bytes(body.to_vec()), &mut line).expect("memory can be written");
    line
}

/// The line that `list --json` writes for a message.
pub fn write_facts(message: &Message) -> Vec<u8> {
    let mut line = Vec::new();
    Facts::new(message, &message.queue, 1).write(&mut line).expect("memory can be written");
    line
}
