//! What the fuzz targets have to call and nobody else may: the naming and the bytes of this engine.
//!
//! Built by cargo-fuzz alone, which sets `--cfg fuzzing`.

#![allow(clippy::missing_panics_doc)] // A panic is how a target says that something is wrong.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::fs::{FileHandle, Kind};
use super::layout::{self, Layout, Place};
use super::record::{Draft, Opened, ReadError, read_log};
use crate::domain::lifecycle::State;
use crate::domain::{MessageName, UnixSeconds};
use crate::store::{Failure, Message};

/// The message that a path inside a queue names, if it names one.
pub fn message_at(inside: &Path, kind: Kind) -> Option<(State, MessageName)> {
    match layout::classify(inside, kind) {
        Place::Message(state, name) => Some((state, name)),
        _ => None,
    }
}

/// Whether a directory of this path would be one that receivers look into.
pub fn is_directory_of_messages(inside: &Path) -> bool {
    layout::classify(inside, Kind::Dir) == Place::Structure
}

/// Where a message lies.
pub fn path_of(queue_dir: &Path, state: State, name: &MessageName) -> PathBuf {
    Layout::new(queue_dir.to_owned()).path(state, name)
}

/// Where a damaged message is set aside, and where the reason is written.
pub fn quarantine_of(queue_dir: &Path, name: &MessageName) -> (PathBuf, PathBuf) {
    Layout::new(queue_dir.to_owned()).quarantine(name)
}

/// Reads the name of a directory of `claimed/` or `delayed/`.
pub fn parse_second(name: &str) -> Option<UnixSeconds> {
    layout::parse_second(name)
}

/// Reads the name of a group (12 digits) or a leaf (2).
pub fn parse_hex(name: &str, digits: usize) -> Option<u64> {
    layout::parse_hex(name, digits)
}

/// A file's name as a message's name.
pub fn parse_name(name: &OsStr) -> Option<MessageName> {
    layout::parse_name(name)
}

/// A message file that was found right.
pub struct Record {
    /// What its header says.
    pub message: Message,
    /// Its body.
    pub body: Vec<u8>,
    /// Its delivery log.
    pub failures: Vec<Failure>,
}

/// Reads a message file as a get does; `None` if it is damaged.
pub fn read_record<H: FileHandle>(file: H) -> Option<Record> {
    let opened = match Opened::new(file) {
        Ok(opened) => opened,
        Err(ReadError::Damaged(_)) => return None,
        Err(ReadError::Io(error)) => panic!("a file that can be read was not: {error}"),
    };
    let Ok((message, mut body, file, place)) = opened.check() else { return None };
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).expect("a body that was checked can be read");
    let failures = read_log(&*file, place).expect("a log can be read");
    assert_eq!(place.len_bytes, bytes.len() as u64);
    Some(Record { message, body: bytes, failures })
}

/// The bytes of a message file; `None` if the header would be too long.
pub fn write_record(message: &Message, body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Draft::new(message).ok()?.finish(body.len() as u64, crc32c::crc32c(body));
    bytes.extend_from_slice(body);
    Some(bytes)
}
