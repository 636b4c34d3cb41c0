//! CBOR (RFC 8949), read and written by its heads.
//!
//! A head is one to nine bytes, so no crate is needed for it, and every crate that was tried takes something ill-formed for
//! well-formed: simple values below 32 in two bytes, strings of strings of strings, characters cut in two by the chunks of
//! a string. The reader keeps a list of what is open instead of calling itself, and believes no length before its bytes
//! have come.
//!
//! Integers beyond 64 bits (tags 2 and 3) are numbers here as everywhere; the tag that says "this is CBOR" is left out at
//! the beginning of a document, since it says nothing of the value. A float is written in the shortest form that has its
//! value.

pub(super) mod bignum;
mod write;

use std::io::{self, BufReader, Read};

use super::error::{CodecError, Place};
use super::event::{Event, MAX_DEPTH, Sink, SinkError};
use super::format::Format;

pub(super) use write::writer;

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// The tag of a document that is CBOR (RFC 8949, section 3.4.6).
const SELF_DESCRIBED: u64 = 55_799;

const POSITIVE_BIGNUM: u64 = 2;
const NEGATIVE_BIGNUM: u64 = 3;

/// Sends the one CBOR document in `input` to `sink`.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    let input = BufReader::with_capacity(BLOCK_BYTES, input);
    let mut reader = Reader { input, sink, offset: 0, value_start: 0, open: Vec::new(), tags: 0 };
    reader.document()
}

/// What a data item begins with.
#[derive(Debug, Clone, Copy)]
struct Head {
    major: u8,
    /// The lower five bits of the first byte.
    info: u8,
    /// What they, or the bytes after them, say; nothing for an indefinite length or a break.
    argument: Option<u64>,
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// An array or a map that has begun and not ended.
struct Open {
    is_map: bool,
    /// How many values are to come, keys among them, where that was told.
    left: Option<u64>,
    /// How many came.
    count: u64,
}

struct Reader<'i, 's> {
    input: BufReader<&'i mut dyn Read>,
    sink: &'s mut dyn Sink,
    /// Bytes read.
    offset: u64,
    /// Where the value begins that was begun last.
    value_start: u64,
    open: Vec<Open>,
    /// How many tags the value that is due has so far.
    tags: usize,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<(), CodecError> {
        loop {
            let head = self.head()?;
            if self.item(head)? && self.close()? {
                break;
            }
        }
        let end = self.offset;
        match self.byte() {
            Ok(Some(_)) => Err(data(end, "more bytes follow the document")),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes an item that begins with `head`. Returns whether a value is whole with that.
    fn item(&mut self, head: Head) -> Result<bool, CodecError> {
        let Head { major, info, argument } = head;
        match (major, argument) {
            (UNSIGNED, Some(value)) => self.send(Event::Unsigned(value))?,
            (NEGATIVE, Some(value)) => match i64::try_from(value) {
                Ok(value) => self.send(Event::Signed(-1 - value))?,
                Err(_) => self.send(Event::Number(&(-1 - i128::from(value)).to_string()))?,
            },
            (BYTES, _) => {
                let bytes = self.string(head)?;
                self.send(Event::Bytes(&bytes))?;
            }
            (TEXT, _) => {
                let text = self.string(head)?;
                match std::str::from_utf8(&text) {
                    Ok(text) => self.send(Event::Str(text))?,
                    Err(_) => return Err(self.bad("a text is not valid UTF-8")),
                }
            }
            (ARRAY | MAP, _) => return self.begin(major == MAP, argument),
            (TAG, Some(tag)) => return self.tag(tag),
            (7, _) => return self.simple(info, argument),
            _ => return Err(self.bad("an integer or a tag has no length that could be left open")),
        }
        Ok(true)
    }

    fn begin(&mut self, is_map: bool, count: Option<u64>) -> Result<bool, CodecError> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.refused(SinkError::too_deep()));
        }
        self.send(if is_map { Event::BeginMap(count) } else { Event::BeginSeq(count) })?;
        let left = match count {
            Some(count) if is_map => {
                Some(count.checked_mul(2).ok_or_else(|| self.bad("a map has more entries than can be counted"))?)
            }
            count => count,
        };
        self.tags = 0;
        if left == Some(0) {
            self.send(if is_map { Event::EndMap } else { Event::EndSeq })?;
            return Ok(true);
        }
        self.open.push(Open { is_map, left, count: 0 });
        Ok(false)
    }

    /// A value is whole: ends what it was the last of. Returns whether the document is.
    fn close(&mut self) -> Result<bool, CodecError> {
        self.tags = 0;
        while let Some(open) = self.open.last_mut() {
            open.count += 1;
            if open.left.is_none_or(|left| open.count < left) {
                return Ok(false);
            }
            let is_map = open.is_map;
            self.open.pop();
            self.send(if is_map { Event::EndMap } else { Event::EndSeq })?;
        }
        Ok(true)
    }

    fn tag(&mut self, tag: u64) -> Result<bool, CodecError> {
        let begins_document = self.open.is_empty() && self.tags == 0;
        self.tags += 1;
        if self.tags > MAX_DEPTH {
            return Err(self.bad(&format!("a value has more than {MAX_DEPTH} tags")));
        }
        if !matches!(tag, POSITIVE_BIGNUM | NEGATIVE_BIGNUM) {
            if !(begins_document && tag == SELF_DESCRIBED) {
                self.send(Event::Tag(tag))?;
            }
            return Ok(false);
        }
        let head = self.head()?;
        if head.major == BYTES {
            let bytes = self.string(head)?;
            if let Some(number) = bignum::to_text(&bytes, tag == NEGATIVE_BIGNUM) {
                self.send(Event::Number(&number))?;
                return Ok(true);
            }
            self.send(Event::Tag(tag))?;
            self.send(Event::Bytes(&bytes))?;
            return Ok(true);
        }
        self.send(Event::Tag(tag))?;
        self.item(head)
    }

    fn simple(&mut self, info: u8, argument: Option<u64>) -> Result<bool, CodecError> {
        let argument = argument.unwrap_or_default();
        match info {
            20 | 21 => self.send(Event::Bool(info == 21))?,
            22 => self.send(Event::Null)?,
            23 => self.send(Event::Undefined)?,
            0..=19 => self.send(Event::Simple(info))?,
            24 => match u8::try_from(argument) {
                Ok(value @ 32..) => self.send(Event::Simple(value))?,
                _ => return Err(self.bad("a simple value below 32 is spelled in two bytes")),
            },
            25 => self.send(Event::F32(half(u16::try_from(argument).unwrap_or_default())))?,
            26 => self.send(Event::F32(f32::from_bits(u32::try_from(argument).unwrap_or_default())))?,
            27 => self.send(Event::F64(f64::from_bits(argument)))?,
            _ => return self.end(),
        }
        Ok(true)
    }

    /// A break: the end of an array or a map that was left open.
    fn end(&mut self) -> Result<bool, CodecError> {
        match self.open.last() {
            Some(Open { left: None, is_map, count }) if self.tags == 0 && !(*is_map && count % 2 == 1) => {
                let is_map = *is_map;
                self.open.pop();
                self.send(if is_map { Event::EndMap } else { Event::EndSeq })?;
                Ok(true)
            }
            _ => Err(self.bad("a break stands where nothing that was left open can end")),
        }
    }

    /// The bytes of a string, whose chunks are whole strings of the same kind.
    fn string(&mut self, head: Head) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        if let Some(len) = head.argument {
            self.take(len, &mut bytes)?;
            return Ok(bytes);
        }
        loop {
            let chunk = self.head()?;
            if chunk.major == 7 && chunk.argument.is_none() && chunk.info == 31 {
                return Ok(bytes);
            }
            let Some(len) = chunk.argument.filter(|_| chunk.major == head.major) else {
                return Err(self.bad("a piece of a string is no string of its kind with a length"));
            };
            let begin = bytes.len();
            self.take(len, &mut bytes)?;
            if head.major == TEXT && std::str::from_utf8(&bytes[begin..]).is_err() {
                return Err(self.bad("a piece of a text is not valid UTF-8"));
            }
        }
    }

    fn head(&mut self) -> Result<Head, CodecError> {
        self.value_start = self.offset;
        let Some(first) = self.byte()? else {
            let whole = if self.offset == 0 { "the body is empty, which is no CBOR document" } else { ENDS_EARLY };
            return Err(data(self.offset, whole));
        };
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let mut bytes = [0; 8];
                let len = 1 << (info - 24);
                let mut taken = Vec::with_capacity(len);
                self.take(len as u64, &mut taken)?;
                bytes[8 - len..].copy_from_slice(&taken);
                Some(u64::from_be_bytes(bytes))
            }
            28..=30 => return Err(self.bad(&format!("the byte 0x{first:02x} begins no value in CBOR"))),
            _ => None,
        };
        Ok(Head { major, info, argument })
    }

    fn byte(&mut self) -> Result<Option<u8>, CodecError> {
        let mut byte = [0];
        loop {
            match self.input.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    self.offset += 1;
                    return Ok(Some(byte[0]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CodecError::Input(error)),
            }
        }
    }

    /// Takes so many bytes, as they come.
    fn take(&mut self, len: u64, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        let taken = (&mut self.input).take(len).read_to_end(bytes).map_err(CodecError::Input)? as u64;
        self.offset += taken;
        if taken < len { Err(data(self.offset, ENDS_EARLY)) } else { Ok(()) }
    }

    fn send(&mut self, event: Event<'_>) -> Result<(), CodecError> {
        self.sink.accept(event).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: SinkError) -> CodecError {
        match error {
            SinkError::Io(error) => CodecError::Output(error),
            SinkError::Refused(reason) => data(self.value_start, &reason),
        }
    }

    fn bad(&self, reason: &str) -> CodecError {
        data(self.value_start, reason)
    }
}

const ENDS_EARLY: &str = "the body ends before the document does";

fn data(offset: u64, reason: &str) -> CodecError {
    CodecError::Data { format: Format::Cbor, place: Place::Offset(offset), reason: reason.to_owned() }
}

/// The value of a float of 16 bits (IEEE 754 binary16), which one of 32 bits always has.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // 2^-24 times the fraction.
        0 => f32::from(bits & 0x3ff) * f32::from_bits(0x3380_0000),
        31 => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}
