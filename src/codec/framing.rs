//! Many messages in one byte stream.
//!
//! | framing | a message is |
//! |---|---|
//! | [`Framing::Lines`] | what a line feed ends; the last may lack it; a carriage return is a byte like any other |
//! | [`Framing::Null`] | likewise, with a NUL byte |
//! | [`Framing::LengthPrefixed`] | a netstring, `5:hello,` (<https://cr.yp.to/proto/netstrings.txt>), of any size |
//!
//! The first two cannot carry a body that holds their delimiter; netstrings carry anything.
//!
//! [`Splitter`] takes messages from a stream as their bytes arrive, so that the caller may do something else while a
//! pipe is slow. It looks at each byte once and holds no more than was pushed. [`write_frame`] is the way out.

mod splitter;

use std::io::{self, Read, Write};

pub use splitter::{FrameReader, Splitter};

/// Bytes moved at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// How messages follow one another in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Each ends with a line feed.
    Lines,
    /// Each ends with a NUL byte.
    Null,
    /// Each is a netstring: its length in decimal, a colon, its bytes, a comma.
    LengthPrefixed,
}

impl Framing {
    /// The byte that ends each message and that no message may hold; `None` if any may hold any.
    #[must_use]
    pub fn delimiter(self) -> Option<u8> {
        match self {
            Framing::Lines => Some(b'\n'),
            Framing::Null => Some(0),
            Framing::LengthPrefixed => None,
        }
    }
}

/// A stream that cannot be split, or a body that cannot be framed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A length prefix holds something that is no digit, or none at all.
    #[error(
        "message {frame} of the stream: byte 0x{byte:02x} in its length prefix, where a netstring has decimal digits \
         and a colon"
    )]
    NotALength {
        /// The number of the message, from 1.
        frame: u64,
        /// What stands there.
        byte: u8,
    },
    /// A length prefix begins with a zero that says nothing.
    #[error("message {frame} of the stream: its length prefix has a leading zero")]
    LeadingZero {
        /// The number of the message, from 1.
        frame: u64,
    },
    /// A length prefix is longer than any length needs.
    #[error("message {frame} of the stream: its length prefix has more than 19 digits")]
    LengthTooLong {
        /// The number of the message, from 1.
        frame: u64,
    },
    /// The byte after a netstring's body is not the comma.
    #[error("message {frame} of the stream: byte 0x{byte:02x} after its body, where a netstring has a comma")]
    MissingComma {
        /// The number of the message, from 1.
        frame: u64,
        /// What stands there.
        byte: u8,
    },
    /// The stream ended inside a netstring.
    #[error("message {frame} of the stream: the stream ends before the message does")]
    Truncated {
        /// The number of the message, from 1.
        frame: u64,
    },
    /// A message was asked for while a [`FrameReader`] had not come to the end of the one before.
    #[error("message {frame} of the stream was not read to its end")]
    Unfinished {
        /// The number of the message that was begun, from 1.
        frame: u64,
    },
    /// The body holds the byte that would end it.
    #[error(
        "the body holds a {} at byte offset {offset}, and would come back as more than one message; \
         use --length-prefixed",
        if *.delimiter == b'\n' { "line feed" } else { "NUL byte" }
    )]
    HoldsDelimiter {
        /// The byte in question.
        delimiter: u8,
        /// How many bytes of the body stand before it.
        offset: u64,
    },
    /// The body is not as long as was said.
    #[error("the body is not of the {len_bytes} bytes it was said to have")]
    WrongLength {
        /// The length that was said.
        len_bytes: u64,
    },
    /// The body could not be read.
    #[error("cannot read the body")]
    Read(#[source] io::Error),
    /// The stream could not be written.
    #[error("cannot write the message to the stream")]
    Write(#[source] io::Error),
}

/// Writes one message of `len_bytes` bytes to `out`.
///
/// That the body may be framed so is for [`check_frame`] to say, beforehand. `out` is not flushed, and should gather
/// small writes.
///
/// # Errors
///
/// [`FramingError::Read`] and [`FramingError::Write`], told apart because a broken pipe on `out` is an ordinary end;
/// [`FramingError::WrongLength`] if the body is longer or shorter. `out` then holds a part of a message.
pub fn write_frame(
    framing: Framing,
    body: &mut dyn Read,
    len_bytes: u64,
    out: &mut dyn Write,
) -> Result<(), FramingError> {
    if framing == Framing::LengthPrefixed {
        write!(out, "{len_bytes}:").map_err(FramingError::Write)?;
    }
    let mut written = 0;
    each_block(body, len_bytes, |block| {
        written += block.len() as u64;
        if written > len_bytes {
            return Err(FramingError::WrongLength { len_bytes });
        }
        out.write_all(block).map_err(FramingError::Write)
    })?;
    if written != len_bytes {
        return Err(FramingError::WrongLength { len_bytes });
    }
    let end = [framing.delimiter().unwrap_or(b',')];
    out.write_all(&end).map_err(FramingError::Write)
}

/// Reads a body to see whether it would come back as it is from a stream of this framing.
///
/// # Errors
///
/// [`FramingError::HoldsDelimiter`] if it would not; [`FramingError::Read`].
pub fn check_frame(framing: Framing, body: &mut dyn Read) -> Result<(), FramingError> {
    let Some(delimiter) = framing.delimiter() else {
        return Ok(());
    };
    let mut before = 0;
    each_block(body, u64::MAX, |block| {
        if let Some(at) = memchr::memchr(delimiter, block) {
            return Err(FramingError::HoldsDelimiter { delimiter, offset: before + at as u64 });
        }
        before += block.len() as u64;
        Ok(())
    })
}

/// Hands the bytes of `body` on in blocks, the size of which a small `len_bytes` keeps small.
fn each_block(
    body: &mut dyn Read,
    len_bytes: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), FramingError>,
) -> Result<(), FramingError> {
    // A byte more than the body should have, to see that it ends there.
    let len = usize::try_from(len_bytes).map_or(BLOCK_BYTES, |len| len.saturating_add(1).min(BLOCK_BYTES));
    let mut block = vec![0; len];
    loop {
        match body.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(len) => each(&block[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FramingError::Read(error)),
        }
    }
}
