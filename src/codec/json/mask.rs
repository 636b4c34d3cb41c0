//! Keeping numbers as they are spelled.
//!
//! `serde_json` reads a number into a `u64`, an `i64` or, without a word, an `f64`: the spelling is lost, and a large
//! integer with it. Its feature `arbitrary_precision` would keep both, but features hold for a whole build: it changes
//! how every flattened or untagged type in the program sees numbers, and it passes numbers as maps of a magic key that
//! a body may hold too.
//!
//! So each number is masked before `serde_json` sees it: `-12.50` is set aside and passed on as `0     `. The length
//! stays the same, and so do the lines and columns in errors. When the visitor is told of a number, the one masked
//! last is the one it stands for: `serde_json` looks one byte ahead, which is a space or the byte after the number,
//! and neither begins another. What is not a number by the grammar passes unmasked, for `serde_json` to refuse.

use std::io::{self, Read};

use super::Spelled;

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// A reader of JSON text in which every number reads as zero.
pub(super) struct Masked<'a> {
    input: &'a mut dyn Read,
    spelled: &'a Spelled,
    block: Vec<u8>,
    /// The bytes of the block that have not been looked at.
    unread: std::ops::Range<usize>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Outside,
    InString,
    /// In a string, after a backslash.
    Escaped,
    /// The rest of a masked number.
    Spaces(usize),
    /// The rest, from this byte, of what looked like a number.
    Unmasked(usize),
}

impl<'a> Masked<'a> {
    pub(super) fn new(input: &'a mut dyn Read, spelled: &'a Spelled) -> Self {
        Masked { input, spelled, block: vec![0; BLOCK_BYTES], unread: 0..0, state: State::Outside }
    }

    /// The next byte of the input, left where it is.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.unread.is_empty() {
            let len = loop {
                match self.input.read(&mut self.block) {
                    Ok(len) => break len,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.spelled.failure.replace(Some(error));
                        return Err(io::ErrorKind::Other.into());
                    }
                }
            };
            self.unread = 0..len;
        }
        Ok(self.block[self.unread.clone()].first().copied())
    }

    fn take(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.unread.start += 1;
        }
        Ok(byte)
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        match self.state {
            State::Spaces(0) => self.state = State::Outside,
            State::Spaces(left) => {
                self.state = State::Spaces(left - 1);
                return Ok(Some(b' '));
            }
            State::Unmasked(at) => {
                let byte = self.spelled.number.borrow().as_bytes().get(at).copied();
                self.state = if byte.is_some() { State::Unmasked(at + 1) } else { State::Outside };
                if byte.is_some() {
                    return Ok(byte);
                }
            }
            State::Outside | State::InString | State::Escaped => {}
        }
        let Some(byte) = self.take()? else {
            return Ok(None);
        };
        self.state = match (self.state, byte) {
            (State::InString, b'\\') => State::Escaped,
            (State::InString, b'"') => State::Outside,
            (State::InString | State::Escaped, _) | (_, b'"') => State::InString,
            (_, b'-' | b'0'..=b'9') => return self.number(byte).map(Some),
            _ => State::Outside,
        };
        if !self.spelled.any.get() {
            self.spelled.any.set(!byte.is_ascii_whitespace());
        }
        Ok(Some(byte))
    }

    /// Sets the number that begins with `first` aside, and begins to pass on what stands for it.
    fn number(&mut self, first: u8) -> io::Result<u8> {
        let spelled = self.spelled;
        spelled.any.set(true);
        let mut number = spelled.number.borrow_mut();
        number.clear();
        number.push(char::from(first));
        while let Some(byte @ (b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) = self.peek()? {
            number.push(char::from(byte));
            self.unread.start += 1;
        }
        if is_number(number.as_bytes()) {
            self.state = State::Spaces(number.len() - 1);
            Ok(b'0')
        } else {
            self.state = State::Unmasked(1);
            Ok(first)
        }
    }
}

impl Read for Masked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // serde_json asks for one byte at a time.
        let Some(first) = buf.first_mut() else {
            return Ok(0);
        };
        match self.next()? {
            Some(byte) => {
                *first = byte;
                Ok(1)
            }
            None => Ok(0),
        }
    }
}

/// Whether this is a number by RFC 8259, section 6.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let leading_zero = text.first() == Some(&b'0');
    let (integer, mut text) = digits(text);
    if integer == 0 || (leading_zero && integer > 1) {
        return false;
    }
    if let Some(after) = text.strip_prefix(b".") {
        let (fraction, after) = digits(after);
        if fraction == 0 {
            return false;
        }
        text = after;
    }
    let [b'e' | b'E', text @ ..] = text else {
        return text.is_empty();
    };
    let unsigned = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    let (exponent, after) = digits(unsigned);
    exponent > 0 && after.is_empty()
}

/// The number of digits that `text` begins with, and what follows them.
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, &text[count..])
}
