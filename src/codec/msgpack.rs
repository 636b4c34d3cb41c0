//! `MessagePack`: read by `rmp-serde`, written by `rmp`.

mod write;

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::ops::Range;

use rmp::Marker;
use rmp_serde::decode::Error;

use super::error::{CodecError, Place};
use super::event::{Sink, SinkError};
use super::format::Format;
use super::transcode::{Aside, Feed};

pub(super) use write::writer;

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Sends the one Msgpack document in `input` to `sink`.
pub(super) fn read<S: Sink>(input: &mut dyn Read, sink: &mut S) -> Result<(), CodecError> {
    let here = Here::default();
    let mut feed = Feed::new(sink, &here);
    let metered = Metered { input, block: vec![0; BLOCK_BYTES], unread: 0..0, here: &here };
    let mut deserializer = rmp_serde::Deserializer::new(metered);
    feed.value(&mut deserializer).map_err(|error| explain(&error, feed.take_failure(), &here))?;

    // The document ended; whatever can be read now does not belong to it.
    let end = here.offset.get();
    match deserializer.get_mut().read_exact(&mut [0]) {
        Ok(()) => Err(data(end, "more bytes follow the document".to_owned())),
        Err(_) => match here.failure.take() {
            Some(failure) => Err(CodecError::Input(failure)),
            None => Ok(()),
        },
    }
}

fn data(offset: u64, reason: String) -> CodecError {
    CodecError::Data { format: Format::Msgpack, place: Place::Offset(offset), reason }
}

fn explain(error: &Error, failure: Option<SinkError>, here: &Here) -> CodecError {
    if let Some(failure) = here.failure.take() {
        return CodecError::Input(failure);
    }
    match failure {
        Some(SinkError::Io(failure)) => return CodecError::Output(failure),
        Some(SinkError::Refused(reason)) => return data(here.value_start.get(), reason),
        None => {}
    }
    match error {
        // The input itself did not fail, so there was too little of it.
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => match here.offset.get() {
            0 => data(0, "the body is empty, which is no Msgpack document".to_owned()),
            end => data(end, "the body ends before the document does".to_owned()),
        },
        Error::TypeMismatch(Marker::Reserved) => {
            data(here.value_start.get(), "the byte 0xc1 begins no value in Msgpack".to_owned())
        }
        other => data(here.value_start.get(), other.to_string()),
    }
}

/// Where the reader is.
#[derive(Default)]
struct Here {
    /// Bytes read.
    offset: Cell<u64>,
    /// The next byte read is the first of a value.
    value_begins: Cell<bool>,
    /// Where the value begins that was begun last.
    value_start: Cell<u64>,
    /// The first byte of that value.
    value_lead: Cell<u8>,
    /// Why the input could not be read.
    failure: RefCell<Option<io::Error>>,
}

impl Aside for Here {
    fn value_begins(&self) {
        self.value_begins.set(true);
    }

    /// `rmp-serde` visits a string that is not valid UTF-8 as bytes; only its first byte tells it from a bin.
    fn bytes_are_text(&self) -> bool {
        matches!(
            Marker::from_u8(self.value_lead.get()),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32
        )
    }
}

/// The input, with its place and its failure kept aside. `rmp-serde` reads no byte before it needs it.
struct Metered<'a> {
    input: &'a mut dyn Read,
    block: Vec<u8>,
    /// The bytes of the block that have not been handed on.
    unread: Range<usize>,
    here: &'a Here,
}

impl Metered<'_> {
    #[cold]
    fn refill(&mut self) -> io::Result<()> {
        match self.input.read(&mut self.block) {
            Ok(len) => {
                self.unread = 0..len;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.here.failure.replace(Some(error));
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

impl Read for Metered<'_> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.refill()?;
        }
        let known = &self.block[self.unread.clone()];
        let len = buf.len().min(known.len());
        buf[..len].copy_from_slice(&known[..len]);
        self.unread.start += len;
        let here = self.here;
        if let Some(&lead) = buf[..len].first()
            && here.value_begins.take()
        {
            here.value_lead.set(lead);
            here.value_start.set(here.offset.get());
        }
        here.offset.set(here.offset.get() + len as u64);
        Ok(len)
    }
}
