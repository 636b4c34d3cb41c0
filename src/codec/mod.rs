//! Bytes in one format to bytes in another, and many messages in one byte stream.
//!
//! This room owns the body formats ([`Format`], [`convert`]) and the framings ([`framing`]). It keeps no state
//! between calls, and knows nothing of queues.
//!
//! # How a conversion runs
//!
//! ```text
//! input ─> reader of one format ─> events ─> writer of another ─> output
//!          json::read              Null, Str,    json::writer
//!          msgpack::read           BeginMap …    msgpack::writer
//! ```
//!
//! A reader drives a serde `Deserializer` with a visitor that turns what it visits into events at once, or a parser that
//! has events of its own; a writer is a sink for events. Where a format wants to be told something before it can be, events
//! are kept on a `tape`; the trees of TOML and XML are their own. A new format is a file with a reader and a writer, a variant of
//! [`Format`] and a line in each of the tables below; the other formats do not change.
//!
//! A format whose bodies do not say what they mean (`protobuf`, `grpc`) is read and written by a [`Schema`], which the caller
//! has made; this room opens no file. What such bodies say in JSON is the mapping of the format's own documentation.
//!
//! Bodies without a structure (`plain`) are one string or one binary value as values, and bytes as they stand.
//!
//! # What is kept
//!
//! * Integers from -2^63 to 2^64-1 stay integers. One outside is kept digit by digit in JSON, YAML and CBOR, and refused
//!   where the target cannot hold it; it never becomes a float.
//! * Floats keep their value: `1.0` stays a float, `-0.0` (and JSON's `-0`) stays negative zero. A decimal is rounded
//!   to the nearest `f64` when it leaves the text formats, and one beyond its range (`1e400`) is refused. A Msgpack
//!   `float 32` becomes the `f64` of the same value in JSON.
//! * JSON and YAML, in themselves and to one another, keep the spelling of every number (YAML's as far as JSON has it),
//!   and drop only white space, comments and needless escapes.
//! * The order of keys and repeated keys are kept.
//! * Msgpack to Msgpack keeps values and types; heads become the shortest ones.
//!
//! # Markers: what JSON has no form for
//!
//! | Msgpack | JSON |
//! |---|---|
//! | bin | `{"$binary":"aGk="}` (standard base64, padded) |
//! | ext, timestamp | `{"$ext":[-1,"AAAAAA=="]}` (type, base64) |
//! | a float that is no number | `{"$float":"NaN"}`, `{"$float":"Infinity"}`, `{"$float":"-Infinity"}` |
//!
//! Exactly these shapes turn back: one key, strict base64, a type from -128 to 127. An object that only resembles one
//! (other keys beside it, base64 that is malformed, a type out of range) is an ordinary map. Two consequences:
//!
//! * A JSON object that was *meant* literally as `{"$binary":"aGk="}` becomes a Msgpack bin. It comes back as the same
//!   JSON text, so JSON to Msgpack to JSON is the identity.
//! * A Msgpack *map* of such a shape would come back from JSON as a bin; it is refused rather than changed silently.
//!
//! # What is lost
//!
//! [`Conversion::is_strict`] turns each of these into an error:
//!
//! * the digits of a decimal that no `f64` has;
//! * that a map key is no string, where it becomes one for JSON, TOML or XML (an array, a map or binary as a key is always
//!   refused there);
//! * tags and simple values of CBOR, and that a value is undefined, anywhere but in CBOR;
//! * the type of an ext: in CBOR, unless it is a timestamp of whole seconds, in YAML, TOML and XML;
//! * tags of YAML that are none of its core;
//! * that a value is binary, in TOML and XML; that it is a date or a time, anywhere but in TOML;
//! * in XML, that a value is no string, that an array has less than two elements, that a map is empty;
//! * comments and processing instructions of XML;
//! * fields of Protobuf that the schema does not have.
//!
//! The bits inside a NaN, the width of a float, the length of a head and the comments of YAML and TOML are not part of a
//! value.
//!
//! # Limits
//!
//! Arrays and maps nest up to [`MAX_DEPTH`] levels, so stack use is bounded whatever the body says. Memory:
//! JSON to JSON and Msgpack to anything need no more than the longest string in the body. JSON to Msgpack holds up to four
//! MiB, and more in a temporary file, because Msgpack puts the count before the elements and JSON does not tell it; heads
//! are kept aside and merged in one pass, so the cost is linear however deep the nesting. YAML is
//! read whole, up to 256 MiB, and its aliases bring at most ten times the body, or 10 MiB; TOML and XML are read whole,
//! up to 16 and 32 MiB, TOML with up to 80 levels, and both are held until they are written.
//! Protobuf is held whole, either way: its fields come in any order. A length that a Msgpack body claims is never believed
//! before the bytes have arrived.

mod cbor;
mod error;
mod event;
mod format;
pub mod framing;
mod grpc;
mod json;
mod markers;
mod msgpack;
mod plain;
mod protobuf;
mod tape;
mod toml;
mod transcode;
mod whole;
mod xml;
mod yaml;

#[cfg(test)]
mod tests;

use std::io::{BufWriter, Read, Write};

pub use error::{CodecError, Place};
pub use event::MAX_DEPTH;
pub use format::{DetectError, Format, UnknownFormat};
pub use protobuf::{Schema, SchemaError};

use event::{Care, Sink};

/// Output is gathered into writes of this size, since the writers emit a few bytes at a time.
const OUTPUT_BLOCK_BYTES: usize = 16 * 1024;

/// Reads one document in the format `from` and writes it in the format `to`.
///
/// The input must hold exactly one document: an empty body, or anything but white space (JSON) or anything at all
/// (Msgpack) after the document, is an error. JSON is written compactly, without a line end. With `from` and `to` the
/// same, the body is validated and written anew.
///
/// # Errors
///
/// [`CodecError::Data`] if the input is not valid, or holds what the target cannot; [`CodecError::Input`] and
/// [`CodecError::Output`] if reading or writing failed. The output may then hold the beginning of a document, and is
/// to be thrown away.
pub fn convert(from: Format, to: Format, input: &mut dyn Read, output: &mut dyn Write) -> Result<(), CodecError> {
    Conversion::new(from, to).run(input, output)
}

/// Whether a body can be of a format, of which this is the beginning.
fn can_be(format: Format, body_start: &[u8], whole_len: u64) -> bool {
    struct Nowhere;
    impl Sink for Nowhere {
        fn accept(&mut self, _: event::Event<'_>) -> Result<(), event::SinkError> {
            Ok(())
        }
    }
    let known = body_start.len() as u64;
    match Conversion::new(format, format).read(&mut &*body_start, &mut Nowhere) {
        Ok(()) => known == whole_len,
        // It may go on well where it is not known.
        Err(CodecError::Data { place: Place::Offset(offset), .. }) => known < whole_len && offset == known,
        Err(_) => false,
    }
}

/// How a body is converted.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The format of the input.
    pub from: Format,
    /// The format of the output.
    pub to: Format,
    /// Whether to refuse what would lose something of a value, however little.
    pub is_strict: bool,
    /// What the bodies of a format mean that do not say it themselves.
    pub schema: Option<&'a Schema>,
}

impl Conversion<'_> {
    /// One that keeps what it can.
    #[must_use]
    pub fn new(from: Format, to: Format) -> Self {
        Self { from, to, is_strict: false, schema: None }
    }

    /// Reads one document and writes it in the other format, as [`convert`] does.
    ///
    /// # Errors
    ///
    /// As those of [`convert`].
    pub fn run(self, input: &mut dyn Read, output: &mut dyn Write) -> Result<(), CodecError> {
        let mut output = BufWriter::with_capacity(OUTPUT_BLOCK_BYTES, output);
        if let Err(error) = self.write(input, &mut output) {
            // Dropping the writer would push its bytes out, and they are worthless now.
            drop(output.into_parts());
            return Err(error);
        }
        output.flush().map_err(CodecError::Output)
    }

    fn write(self, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), CodecError> {
        let care = self.care();
        match self.to {
            Format::Json => self.read(input, &mut json::writer(out, care)),
            Format::JsonLines => self.read(input, &mut json::lines_writer(out, care)),
            Format::Msgpack => self.read(input, &mut msgpack::writer(out, care)),
            Format::Cbor => self.read(input, &mut cbor::writer(out, care)),
            Format::Yaml => self.read(input, &mut yaml::writer(out, care)),
            Format::Toml => self.read(input, &mut toml::writer(out, care)),
            Format::Xml => self.read(input, &mut xml::writer(out, care)),
            Format::Protobuf => self.read(input, &mut protobuf::writer(out, self.schema(self.to)?, care)),
            Format::Grpc => self.read(input, &mut grpc::writer(out, self.schema(self.to)?, care)),
            Format::Text if self.from.is_bytes() => plain::copy(self.from, self.to, input, out),
            Format::Text => self.read(input, &mut plain::text_writer(out)),
            Format::Raw | Format::Base64 | Format::Hex => plain::copy(self.from, self.to, input, out),
        }
    }

    fn care(self) -> Care {
        Care { is_strict: self.is_strict }
    }

    fn read<S: Sink>(self, input: &mut dyn Read, sink: &mut S) -> Result<(), CodecError> {
        match self.from {
            Format::Json => json::read(input, sink),
            Format::JsonLines => json::read_lines(input, sink),
            Format::Msgpack => msgpack::read(input, sink),
            Format::Cbor => cbor::read(input, sink),
            Format::Yaml => yaml::read(input, sink, self.care()),
            Format::Toml => toml::read(input, sink),
            Format::Xml => xml::read(input, sink, self.care()),
            Format::Protobuf => protobuf::read(input, self.schema(self.from)?, self.spelling(), self.care(), sink),
            Format::Grpc => grpc::read(input, self.schema(self.from)?, self.spelling(), self.care(), sink),
            Format::Text | Format::Raw | Format::Base64 | Format::Hex => plain::read(self.from, input, sink),
        }
    }

    /// The format that needs the schema, if one does. A body that is only spelled anew, as base64 say, is not looked at.
    #[must_use]
    pub fn needs_schema(self) -> Option<Format> {
        let is_read = !matches!(self.to, Format::Raw | Format::Base64 | Format::Hex);
        if is_read && self.from.has_schema() { Some(self.from) } else { Some(self.to).filter(|to| to.has_schema()) }
    }

    fn schema(&self, format: Format) -> Result<&Schema, CodecError> {
        self.schema.ok_or(CodecError::NoSchema(format))
    }

    /// How the values of Protobuf are told: text has a form for less of them.
    fn spelling(self) -> protobuf::Spelling {
        match self.to {
            Format::Msgpack | Format::Cbor | Format::Protobuf | Format::Grpc => protobuf::Spelling::Native,
            _ => protobuf::Spelling::Text,
        }
    }
}
