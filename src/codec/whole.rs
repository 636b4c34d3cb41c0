//! Bodies that are read whole, because their format says later what comes first, and the places in them.
//!
//! Such a body has a bounded length, and nothing is read past that.

use std::io::Read;

use super::error::{CodecError, Place};
use super::event::SinkError;
use super::format::Format;

const MIB: u64 = 1024 * 1024;

/// The text of a body of at most `most_mib`, which is in UTF-8.
pub(super) fn read(format: Format, input: &mut dyn Read, most_mib: u64) -> Result<String, CodecError> {
    String::from_utf8(bytes(format, input, most_mib)?).map_err(|error| {
        let place = place(error.as_bytes(), error.utf8_error().valid_up_to());
        CodecError::Data { format, place, reason: "this is not UTF-8".to_owned() }
    })
}

/// The bytes of a body of at most `most_mib`.
pub(super) fn bytes(format: Format, input: &mut dyn Read, most_mib: u64) -> Result<Vec<u8>, CodecError> {
    let mut body = Vec::new();
    let len = input.take(most_mib * MIB + 1).read_to_end(&mut body).map_err(CodecError::Input)?;
    if len as u64 > most_mib * MIB {
        let reason = format!("the body is longer than {most_mib} MiB, and of {format} no more is read");
        return Err(CodecError::Data { format, place: place(&body, len), reason });
    }
    Ok(body)
}

/// Refuses to write what would not be read again, for its length.
pub(super) fn check_len(format: Format, len: usize, most_mib: u64) -> Result<(), SinkError> {
    if len as u64 > most_mib * MIB {
        let reason = format!("as {format} the document would be longer than {most_mib} MiB, and no more of it is read");
        return Err(SinkError::Refused(reason));
    }
    Ok(())
}

/// The place of the byte at `offset`.
pub(super) fn place(body: &[u8], offset: usize) -> Place {
    let before = &body[..offset.min(body.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    Place::LineColumn { line, column: before.len() - line_start + 1 }
}

/// The place of a character, of which the line and the column are counted from 0.
pub(super) fn place_of_char(body: &[u8], line: usize, column: usize) -> Place {
    let text = body.split(|byte| *byte == b'\n').nth(line).unwrap_or_default();
    let column = match std::str::from_utf8(text) {
        Ok(text) => text.char_indices().nth(column).map_or(text.len(), |(at, _)| at),
        Err(_) => column,
    };
    Place::LineColumn { line: line + 1, column: column + 1 }
}
