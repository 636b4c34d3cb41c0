//! gRPC: messages of Protobuf one after the other, each behind five bytes: whether it is compressed, and its length.
//!
//! As a value the stream is an array of the messages, however many there are. Invariants: one message is held at a time; no
//! length is believed before its bytes have come, and none that a compressed message claims to have when it is unpacked.
//!
//! Which compression it is, the headers of the call say, which are not here; nearly always it is gzip, and nothing else is
//! read. Trailers, as gRPC-Web puts them among the messages, are refused.

use std::io::{self, BufReader, Read, Write};

use flate2::bufread::GzDecoder;

use super::error::{CodecError, Place};
use super::event::{Care, Event, Sink, SinkError};
use super::format::Format;
use super::protobuf::{self, Schema, Spelling, Tape};

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 16 * 1024;

const HEAD_BYTES: usize = 5;

/// What a message may be when it is unpacked: sixteen times what gRPC itself takes where nobody says otherwise. A thousandth
/// of it is enough to fill it with.
const MOST_UNPACKED_BYTES: u64 = 64 << 20;

const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
const TRAILERS: u8 = 0x80;

/// Sends the messages in `input` to `sink`, as an array.
pub(super) fn read(
    input: &mut dyn Read,
    schema: &Schema,
    spelling: Spelling,
    care: Care,
    sink: &mut dyn Sink,
) -> Result<(), CodecError> {
    let mut frames = Frames { input: BufReader::with_capacity(BLOCK_BYTES, input), offset: 0 };
    let refused = |at: u64, error| match error {
        SinkError::Io(error) => CodecError::Output(error),
        SinkError::Refused(reason) => data(at, reason),
    };
    sink.accept(Event::BeginSeq(None)).map_err(|error| refused(0, error))?;
    let mut place = 0_u64;
    while let Some(frame) = frames.next()? {
        protobuf::message(&frame.body, schema, spelling, care, 1, sink).map_err(|(at, error)| match error {
            // Of a compressed message, the place in what it was is no place in the body.
            SinkError::Refused(reason) if frame.is_compressed => {
                let reason = format!("message {place}, at {at} of what was compressed: {reason}");
                refused(frame.start, SinkError::Refused(reason))
            }
            SinkError::Refused(reason) => {
                refused(frame.start + at, SinkError::Refused(format!("message {place}: {reason}")))
            }
            SinkError::Io(error) => CodecError::Output(error),
        })?;
        place += 1;
    }
    sink.accept(Event::EndSeq).map_err(|error| refused(frames.offset, error))
}

fn data(offset: u64, reason: String) -> CodecError {
    CodecError::Data { format: Format::Grpc, place: Place::Offset(offset), reason }
}

/// The frames of a stream.
struct Frames<'i> {
    input: BufReader<&'i mut dyn Read>,
    /// Bytes read.
    offset: u64,
}

struct Frame {
    body: Vec<u8>,
    /// Where the bytes of the message begin.
    start: u64,
    is_compressed: bool,
}

impl Frames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        let begin = self.offset;
        let head = self.take(HEAD_BYTES as u64)?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok([flag, length @ ..]) = <[u8; HEAD_BYTES]>::try_from(head.as_slice()) else {
            return Err(data(self.offset, "the body ends within the length of a message".to_owned()));
        };
        let is_compressed = match flag {
            PLAIN => false,
            COMPRESSED => true,
            TRAILERS.. => {
                return Err(data(begin, "these are the trailers of gRPC-Web, and no message".to_owned()));
            }
            _ => return Err(data(begin, format!("a message begins with 0 or 1, and this is {flag}"))),
        };
        let len = u64::from(u32::from_be_bytes(length));
        let start = self.offset;
        let body = self.take(len)?;
        if (body.len() as u64) < len {
            let reason = format!("the body ends early: of a message of {len} bytes it has {}", body.len());
            return Err(data(self.offset, reason));
        }
        let body = if is_compressed { unpack(&body).map_err(|reason| data(start, reason))? } else { body };
        Ok(Some(Frame { body, start, is_compressed }))
    }

    /// Takes so many bytes as they come, or fewer where the input ends.
    fn take(&mut self, len: u64) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        (&mut self.input).take(len).read_to_end(&mut bytes).map_err(CodecError::Input)?;
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoder = GzDecoder::new(packed);
    let mut unpacked = Vec::new();
    (&mut decoder)
        .take(MOST_UNPACKED_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| format!("the message is said to be compressed, and is no gzip: {error}"))?;
    if unpacked.len() as u64 > MOST_UNPACKED_BYTES {
        return Err(format!("the message is longer than {} MiB when it is unpacked", MOST_UNPACKED_BYTES >> 20));
    }
    if !decoder.into_inner().is_empty() {
        return Err("more bytes follow what was compressed".to_owned());
    }
    Ok(unpacked)
}

/// A writer of the elements of an array as messages, or of what is none as one.
pub(super) fn writer<'a>(out: &'a mut dyn Write, schema: &'a Schema, care: Care) -> impl Sink + 'a {
    Writer { out, schema, care, tape: Tape::default(), is_stream: None }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    schema: &'a Schema,
    care: Care,
    /// The message that is not whole.
    tape: Tape,
    /// Whether the document is an array, when it has begun.
    is_stream: Option<bool>,
}

impl Sink for Writer<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        match (event, self.is_stream) {
            (Event::BeginSeq(_), None) => {
                self.is_stream = Some(true);
                return Ok(());
            }
            (Event::EndSeq, Some(true)) if self.tape.is_empty() => return Ok(()),
            // What a tag stands before is still to come.
            (Event::Tag(_), None) => {}
            (_, None) => self.is_stream = Some(false),
            _ => {}
        }
        self.tape.push(event, self.care)?;
        if self.tape.is_whole() {
            self.frame()?;
            self.tape.clear();
        }
        Ok(())
    }
}

impl Writer<'_> {
    fn frame(&mut self) -> Result<(), SinkError> {
        let message = protobuf::encode(&self.tape, self.schema, self.care)?;
        let len = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.out.write_all(&[PLAIN])?;
        self.out.write_all(&len.to_be_bytes())?;
        Ok(message.write_to(self.out)?)
    }
}
