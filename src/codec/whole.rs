//! Bodies that are read whole, because their format says later what comes first, and the places in them.
//!
//! Such a body is a text in UTF-8 of a bounded length; nothing is read past that.

use std::io::Read;

use super::error::{CodecError, Place};
use super::format::Format;

const MIB: u64 = 1024 * 1024;

/// The text of a body of at most `most_mib`.
pub(super) fn read(format: Format, input: &mut dyn Read, most_mib: u64) -> Result<String, CodecError> {
    let mut body = Vec::new();
    let len = input.take(most_mib * MIB + 1).read_to_end(&mut body).map_err(CodecError::Input)?;
    if len as u64 > most_mib * MIB {
        let reason = format!("the body is longer than {most_mib} MiB, and of {format} no more is read");
        return Err(CodecError::Data { format, place: place(&body, len), reason });
    }
    String::from_utf8(body).map_err(|error| {
        let place = place(error.as_bytes(), error.utf8_error().valid_up_to());
        CodecError::Data { format, place, reason: "this is not UTF-8".to_owned() }
    })
}

/// The place of the byte at `offset`.
pub(super) fn place(body: &[u8], offset: usize) -> Place {
    let before = &body[..offset.min(body.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    Place::LineColumn { line, column: before.len() - line_start + 1 }
}
