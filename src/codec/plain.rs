//! Bodies that have no structure: a text, bytes, and bytes as base64 or hexadecimal digits.
//!
//! As values of other formats a text is one string and the rest are binary. The other way round only a document that is one
//! string has a form as text; but every body, of whatever format, is bytes as it stands, so `--to base64` spells those.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;

use super::error::{CodecError, Place};
use super::event::{Event, Sink, SinkError};
use super::format::Format;

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// Sends the body as one string or binary value.
pub(super) fn read(from: Format, input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    let mut body = Vec::new();
    decode(from, input, &mut |bytes| {
        body.extend_from_slice(bytes);
        Ok(())
    })?;
    let sent = match (from, std::str::from_utf8(&body)) {
        (Format::Text, Ok(text)) => sink.accept(Event::Str(text)),
        (Format::Text, Err(error)) => return Err(not_utf8(error.valid_up_to() as u64)),
        _ => sink.accept(Event::Bytes(&body)),
    };
    sent.map_err(|error| match error {
        SinkError::Io(error) => CodecError::Output(error),
        SinkError::Refused(reason) => data(from, 0, reason),
    })
}

/// Writes the bytes of a body, in constant memory.
pub(super) fn copy(from: Format, to: Format, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), CodecError> {
    match to {
        Format::Base64 => {
            let mut encoder = EncoderWriter::new(out, &STANDARD);
            decode(from, input, &mut |bytes| encoder.write_all(bytes).map_err(CodecError::Output))?;
            encoder.finish().map(drop).map_err(CodecError::Output)
        }
        Format::Hex => decode(from, input, &mut |bytes| write_hex(bytes, out).map_err(CodecError::Output)),
        Format::Text => {
            let mut checked = Utf8::default();
            decode(from, input, &mut |bytes| {
                checked.take(bytes)?;
                out.write_all(bytes).map_err(CodecError::Output)
            })?;
            checked.end()
        }
        _ => decode(from, input, &mut |bytes| out.write_all(bytes).map_err(CodecError::Output)),
    }
}

/// Shows the bytes that a body stands for, piece by piece.
fn decode(
    from: Format,
    input: &mut dyn Read,
    each: &mut dyn FnMut(&[u8]) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut digits = Digits::new(from);
    let mut offset = 0;
    loop {
        let len = match input.read(&mut block) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CodecError::Input(error)),
        };
        match &mut digits {
            Some(digits) => each(&digits.take(&block[..len], offset)?)?,
            None => each(&block[..len])?,
        }
        offset += len as u64;
    }
    match &mut digits {
        Some(digits) => each(&digits.end(offset)?),
        None => Ok(()),
    }
}

/// Base64 or hexadecimal digits, of which some wait for more.
struct Digits {
    format: Format,
    waiting: Vec<u8>,
    has_ended: bool,
}

impl Digits {
    fn new(format: Format) -> Option<Self> {
        matches!(format, Format::Base64 | Format::Hex).then(|| Self { format, waiting: Vec::new(), has_ended: false })
    }

    /// How many digits say whole bytes.
    fn unit(&self) -> usize {
        if self.format == Format::Base64 { 4 } else { 2 }
    }

    /// The bytes of the digits so far; white space between them says nothing.
    fn take(&mut self, text: &[u8], offset: u64) -> Result<Vec<u8>, CodecError> {
        for (at, byte) in text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()) {
            let is_digit = match self.format {
                Format::Hex => byte.is_ascii_hexdigit(),
                _ => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            };
            // Nothing comes after the padding, but what fills up its four.
            let is_late = self.has_ended && (*byte != b'=' || self.waiting.len().is_multiple_of(4));
            if !is_digit || is_late {
                return Err(data(self.format, offset + at as u64, format!("this is no {}", self.format)));
            }
            self.has_ended |= *byte == b'=';
            self.waiting.push(*byte);
        }
        let whole = self.waiting.len() / self.unit() * self.unit();
        let rest = self.waiting.split_off(whole);
        let digits = std::mem::replace(&mut self.waiting, rest);
        self.bytes_of(&digits, offset)
    }

    /// The bytes of the last digits: base64 may come without its padding.
    fn end(&mut self, offset: u64) -> Result<Vec<u8>, CodecError> {
        let mut digits = std::mem::take(&mut self.waiting);
        if self.format == Format::Base64 && matches!(digits.len(), 2 | 3) && !self.has_ended {
            digits.resize(4, b'=');
        }
        if !digits.len().is_multiple_of(self.unit()) {
            return Err(data(self.format, offset, "the body ends before the last byte is whole".to_owned()));
        }
        self.bytes_of(&digits, offset)
    }

    fn bytes_of(&self, digits: &[u8], offset: u64) -> Result<Vec<u8>, CodecError> {
        if self.format == Format::Base64 {
            return STANDARD.decode(digits).map_err(|error| data(self.format, offset, error.to_string()));
        }
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0);
        Ok(digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect())
    }
}

fn write_hex(bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let text: Vec<u8> =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect();
    out.write_all(&text)
}

/// Checks that pieces are UTF-8 together.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character that the last piece ended in.
    open: Vec<u8>,
    offset: u64,
}

impl Utf8 {
    fn take(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        let begun = self.open.len();
        self.open.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&self.open) {
            Ok(_) => self.open.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(not_utf8(self.offset + error.valid_up_to() as u64)),
        };
        debug_assert!(begun < 4);
        self.offset += valid as u64;
        self.open.drain(..valid);
        Ok(())
    }

    fn end(&self) -> Result<(), CodecError> {
        if self.open.is_empty() { Ok(()) } else { Err(not_utf8(self.offset)) }
    }
}

/// A writer of text: of a document that is one string.
pub(super) fn text_writer(out: &mut dyn Write) -> impl Sink {
    struct One<'a>(&'a mut dyn Write);
    impl Sink for One<'_> {
        fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
            match event {
                Event::Str(text) => Ok(self.0.write_all(text.as_bytes())?),
                _ => Err(SinkError::Refused("the document is no string, and a text is nothing else".to_owned())),
            }
        }
    }
    One(out)
}

fn data(format: Format, offset: u64, reason: String) -> CodecError {
    CodecError::Data { format, place: Place::Offset(offset), reason }
}

fn not_utf8(offset: u64) -> CodecError {
    data(Format::Text, offset, "this is not UTF-8".to_owned())
}
