//! Integers of any size between bytes and decimal digits.

use std::fmt::Write as _;

/// The bytes of the largest integer that becomes digits: turning it takes the square of its length.
const MOST_BYTES: usize = 1024;

/// The digits of the largest integer that becomes bytes: as many as [`MOST_BYTES`] can have.
const MOST_DIGITS: usize = 2467;

/// The decimal digits of the integer that `bytes` are, the most significant first; of -1 minus that, if it is negative.
/// `None` if there are too many.
pub(in super::super) fn to_text(bytes: &[u8], is_negative: bool) -> Option<String> {
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let mut number = bytes.to_vec();
    if is_negative {
        // -1 - n is minus (n + 1).
        number.insert(0, 0);
        for byte in number.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
    let mut groups = Vec::new();
    while number.iter().any(|byte| *byte != 0) {
        let mut rest: u64 = 0;
        for byte in &mut number {
            let value = rest << 8 | u64::from(*byte);
            *byte = u8::try_from(value / GROUP).unwrap_or_default();
            rest = value % GROUP;
        }
        groups.push(rest);
    }
    let mut text = String::from(if is_negative { "-" } else { "" });
    text.push_str(&groups.pop().unwrap_or_default().to_string());
    for group in groups.iter().rev() {
        // Writing to a string does not fail.
        let _ = write!(text, "{group:09}");
    }
    Some(text)
}

/// Nine digits at a time.
const GROUP: u64 = 1_000_000_000;

/// The bytes of the integer with these decimal digits, the most significant first, without zeros before; of -1 minus
/// that, if it is negative. `None` if there are too many.
pub(super) fn from_digits(digits: &str, is_negative: bool) -> Option<Vec<u8>> {
    if digits.len() > MOST_DIGITS {
        return None;
    }
    // The least significant first.
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut bytes {
            let value = u16::from(*byte) * 10 + carry;
            *byte = value.to_le_bytes()[0];
            carry = value >> 8;
        }
        if carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
        }
    }
    if is_negative {
        for byte in &mut bytes {
            let borrows = *byte == 0;
            *byte = byte.wrapping_sub(1);
            if !borrows {
                break;
            }
        }
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes.reverse();
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_are_the_same_number() {
        let two_64 = [1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(to_text(&two_64, false).unwrap(), "18446744073709551616");
        assert_eq!(to_text(&two_64, true).unwrap(), "-18446744073709551617");
        assert_eq!(to_text(&[0xff; 9], true).unwrap(), "-4722366482869645213696");
        assert_eq!(to_text(&[], false).unwrap(), "0");
        assert_eq!(to_text(&[0, 0, 1], false).unwrap(), "1");
        assert_eq!(to_text(&[], true).unwrap(), "-1");
        for bytes in [&two_64[..], &[0xff; 9], &[0xff; MOST_BYTES], &[7; 33]] {
            for is_negative in [false, true] {
                let text = to_text(bytes, is_negative).unwrap();
                assert_eq!(from_digits(text.trim_start_matches('-'), is_negative).unwrap(), bytes);
            }
        }
        assert_eq!(to_text(&[1; MOST_BYTES + 1], false), None);
        assert_eq!(from_digits(&"1".repeat(MOST_DIGITS + 1), false), None);
    }
}
