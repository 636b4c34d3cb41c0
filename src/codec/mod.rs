//! Bytes in one format to bytes in another, and many messages in one byte stream.
//!
//! This room owns the body formats ([`Format`], [`convert`]) and the framings ([`framing`]). It opens no file, keeps
//! no state between calls, and knows nothing of queues.
//!
//! # How a conversion runs
//!
//! ```text
//! input ─> reader of one format ─> events ─> writer of another ─> output
//!          json::read              Null, Str,    json::writer
//!          msgpack::read           BeginMap …    msgpack::writer
//! ```
//!
//! A reader drives a serde `Deserializer` with a visitor that turns what it visits into events at once; a writer is a
//! sink for events. No tree of values is ever built. A new format is a file with a reader and a writer, a variant of
//! [`Format`] and a line in each of the tables below; the other formats do not change.
//!
//! # What is kept
//!
//! * Integers from -2^63 to 2^64-1 stay integers. One outside is kept digit by digit from JSON to JSON, and refused
//!   where the target cannot hold it; it never becomes a float.
//! * Floats keep their value: `1.0` stays a float, `-0.0` (and JSON's `-0`) stays negative zero. A decimal is rounded
//!   to the nearest `f64` when it leaves JSON, and one beyond its range (`1e400`) is refused. A Msgpack `float 32`
//!   becomes the `f64` of the same value in JSON.
//! * JSON to JSON keeps the spelling of every number, and drops only white space and needless escapes.
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
//! The bits inside a NaN are not kept. A Msgpack map key that is no string has no form in JSON and is refused.
//!
//! # Limits
//!
//! Arrays and maps nest up to [`MAX_DEPTH`] levels, so stack use is bounded whatever the body says. Memory:
//! JSON to JSON and Msgpack to anything need no more than the longest string in the body. JSON to Msgpack holds the
//! encoded body until its outermost array or map closes, because Msgpack puts the count before the elements and JSON
//! does not tell it; heads are kept aside and merged in one pass, so the cost is linear however deep the nesting. A
//! length that a Msgpack body claims is never believed before the bytes have arrived.

mod error;
mod event;
mod format;
pub mod framing;
mod json;
mod markers;
mod msgpack;
mod transcode;

#[cfg(test)]
mod tests;

use std::io::{BufWriter, Read, Write};

pub use error::{CodecError, Place};
pub use event::MAX_DEPTH;
pub use format::{DetectError, Format, UnknownFormat};

use event::Sink;

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
    let mut output = BufWriter::with_capacity(OUTPUT_BLOCK_BYTES, output);
    let converted = match to {
        Format::Json => read(from, input, &mut json::writer(&mut output)),
        Format::Msgpack => read(from, input, &mut msgpack::writer(&mut output)),
    };
    if let Err(error) = converted {
        // Dropping the writer would push its bytes out, and they are worthless now.
        drop(output.into_parts());
        return Err(error);
    }
    output.flush().map_err(CodecError::Output)
}

fn read(from: Format, input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    match from {
        Format::Json => json::read(input, sink),
        Format::Msgpack => msgpack::read(input, sink),
    }
}
