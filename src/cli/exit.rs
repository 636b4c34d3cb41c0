//! The exit statuses, and which error has which: one table. The numbers are those of sysexits.h.

use std::io;

use crate::codec::framing::FramingError;
use crate::codec::{CodecError, DetectError, SchemaError, UnknownFormat};
use crate::commands::envelope::EnvelopeError;
use crate::commands::import::elsewhere::Unexpected;
use crate::commands::streams::{FileError, StdoutError};
use crate::commands::{NoEditor, NoProgram, NoSpool, Usage};
use crate::domain::Invalid;
use crate::domain::queue::PolicyError;
use crate::store;

/// Done.
pub(super) const DONE: u8 = 0;
/// Nothing there: the queue is empty, the wait timed out, nothing matched. As diff(1) says it, of fsck: something is
/// not as it should be.
pub(super) const NOTHING: u8 = 1;
/// The command line makes no sense.
pub(super) const USAGE: u8 = 2;
/// Data cannot be decoded or converted.
pub(super) const DATA: u8 = 65;
/// No such queue or message, or a stale receipt.
pub(super) const NOT_FOUND: u8 = 66;
/// A bug in this program.
pub(super) const INTERNAL: u8 = 70;
/// Cannot create.
pub(super) const CANNOT_CREATE: u8 = 73;
/// The system failed a read, a write or a sync.
pub(super) const IO: u8 = 74;
/// Try again later: the queue or the disk is full, the queue is paused, the message is claimed, its key is taken.
pub(super) const TRY_LATER: u8 = 75;
/// Not allowed.
pub(super) const PERMISSION: u8 = 77;
/// A bad policy or configuration.
pub(super) const CONFIG: u8 = 78;

/// What each means, for the manual.
pub(super) const TABLE: [(u8, &str); 11] = [
    (DONE, "Done"),
    (NOTHING, "Nothing there: the queue is empty, the wait timed out, or nothing matched; of fsck: something is wrong"),
    (USAGE, "Usage: the command line makes no sense, or asks for what is not allowed"),
    (DATA, "Data cannot be decoded, converted or framed, the message stays queued; or it is too large for the queue"),
    (NOT_FOUND, "No such queue or message, or a stale receipt"),
    (INTERNAL, "Internal error: a bug in mq"),
    (CANNOT_CREATE, "Cannot create: the queue exists already, or a directory or file cannot be made"),
    (IO, "I/O error: a read, a write or a sync failed, or a pipe was closed"),
    (
        TRY_LATER,
        "Try again later: the queue is full or paused, the disk is full but for its reserve, a message is claimed, or its unique key is taken",
    ),
    (PERMISSION, "Permission denied"),
    (CONFIG, "A bad policy or configuration, a directory that is not a spool, or an editor that cannot be run"),
];

/// The status of an error: that of the first of its causes that has one.
pub(super) fn status(error: &anyhow::Error) -> u8 {
    error.chain().find_map(of_cause).unwrap_or(IO)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<store::Error>() {
        return of_store(error);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        // A reader in between wraps what it has to say in an io::Error.
        let inner = error.get_ref().and_then(|inner| of_cause(inner));
        return inner.or_else(|| Some(of_io(error)));
    }
    if cause.is::<StdoutError>() || cause.is::<FileError>() {
        return Some(of_users_file(cause.source()));
    }
    if let Some(error) = cause.downcast_ref::<CodecError>() {
        return match error {
            CodecError::Input(error) | CodecError::Output(error) => Some(of_io(error)),
            CodecError::NoSchema(_) => Some(USAGE),
            _ => Some(DATA),
        };
    }
    if let Some(error) = cause.downcast_ref::<FramingError>() {
        return match error {
            FramingError::Read(error) | FramingError::Write(error) => Some(of_io(error)),
            _ => Some(DATA),
        };
    }
    if let Some(error) = cause.downcast_ref::<SchemaError>() {
        return Some(if matches!(error, SchemaError::NoSuchMessage { .. }) { USAGE } else { DATA });
    }
    if let Some(error) = cause.downcast_ref::<NoProgram>() {
        return Some(error.status());
    }
    let is_data = cause.is::<DetectError>()
        || cause.is::<UnknownFormat>()
        || cause.is::<EnvelopeError>()
        || cause.is::<Unexpected>();
    let is_usage = cause.is::<Usage>() || cause.is::<Invalid>() || cause.is::<PolicyError>();
    let is_config = cause.is::<NoSpool>() || cause.is::<NoEditor>();
    match (is_data, is_usage, is_config) {
        (true, ..) => Some(DATA),
        (_, true, _) => Some(USAGE),
        (_, _, true) => Some(CONFIG),
        _ => None,
    }
}

fn of_store(error: &store::Error) -> Option<u8> {
    use store::{Error, Uneditable};
    match error {
        Error::NoSuchQueue { .. }
        | Error::NoSuchMessage { .. }
        | Error::StaleReceipt { .. }
        // As good as gone: whoever comes next sweeps it away.
        | Error::NotEdited { why: Uneditable::Expired, .. } => Some(NOT_FOUND),
        Error::QueueExists(_) => Some(CANNOT_CREATE),
        Error::NotASpool { .. } | Error::UnknownFormat { .. } | Error::PolicyFile { .. } => Some(CONFIG),
        Error::Paused(_)
        | Error::Full { .. }
        | Error::KeyTaken { .. }
        | Error::NoReserve { .. }
        | Error::NotEdited { why: Uneditable::Claimed | Uneditable::Changed, .. } => Some(TRY_LATER),
        Error::TooLarge { .. } => Some(DATA),
        Error::ReservedName(_)
        | Error::NotEdited { .. }
        | Error::QueueNotEmpty { .. }
        | Error::Refused { .. }
        | Error::Policy(_)
        | Error::HeaderTooLong { .. }
        | Error::NotInABatch { .. }
        | Error::UniqueForTooLong { .. }
        | Error::DelayTooLong { .. } => Some(USAGE),
        Error::Io { action: "create", source, .. } if of_io(source) == IO => Some(CANNOT_CREATE),
        // Their cause says more.
        Error::Io { .. } | Error::Body(_) => None,
    }
}

/// The disk that is full is not the queue's: to try again later is no advice.
fn of_users_file(source: Option<&(dyn std::error::Error + 'static)>) -> u8 {
    match source.and_then(|source| source.downcast_ref::<io::Error>()).map_or(IO, of_io) {
        TRY_LATER => IO,
        status => status,
    }
}

fn of_io(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::PermissionDenied => PERMISSION,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TRY_LATER,
        io::ErrorKind::ReadOnlyFilesystem => CANNOT_CREATE,
        _ => IO,
    }
}
