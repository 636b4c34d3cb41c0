//! What a scalar without quotes means: the core schema of YAML 1.2 (section 10.3.2), number for number.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::cbor::bignum;
use super::super::event::Event;

/// What a scalar means.
#[derive(Debug, PartialEq)]
pub(super) enum Plain<'t> {
    Null,
    Bool(bool),
    /// In the grammar of JSON.
    Number(Cow<'t, str>),
    Float(f64),
    Str(&'t str),
}

impl Plain<'_> {
    pub(super) fn event(&self) -> Event<'_> {
        match self {
            Plain::Null => Event::Null,
            Plain::Bool(value) => Event::Bool(*value),
            Plain::Number(text) => Event::Number(text),
            Plain::Float(value) => Event::F64(*value),
            Plain::Str(text) => Event::Str(text),
        }
    }
}

/// What a plain scalar without a tag means, or why that cannot be told.
pub(super) fn plain(text: &str) -> Result<Plain<'_>, String> {
    match text.as_bytes().first() {
        // Nothing else begins what is no string.
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => match integer(text) {
            Some(number) => number.map(Plain::Number),
            None => Ok(float(text).unwrap_or(Plain::Str(text))),
        },
        None | Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F') => {
            Ok(null(text).or_else(|| boolean(text)).unwrap_or(Plain::Str(text)))
        }
        _ => Ok(Plain::Str(text)),
    }
}

/// What a scalar means that has the tag of a type; `None` if it is not of that type.
pub(super) fn forced<'t>(name: &str, text: &'t str) -> Option<Result<Plain<'t>, String>> {
    match name {
        "null" => null(text).map(Ok),
        "bool" => boolean(text).map(Ok),
        "int" => Some(integer(text)?.map(Plain::Number)),
        _ => match integer(text) {
            // An integer as a float.
            Some(Ok(number)) => Some(Ok(Plain::Number(format!("{number}.0").into()))),
            Some(Err(reason)) => Some(Err(reason)),
            None => float(text).map(Ok),
        },
    }
}

/// The bytes of base64, between whose digits there may be white space.
pub(super) fn binary(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(digits).ok()
}

pub(super) fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() { format!("{shown}…") } else { shown }
}

fn null(text: &str) -> Option<Plain<'_>> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(Plain::Null)
}

fn boolean(text: &str) -> Option<Plain<'_>> {
    match text {
        "true" | "True" | "TRUE" => Some(Plain::Bool(true)),
        "false" | "False" | "FALSE" => Some(Plain::Bool(false)),
        _ => None,
    }
}

/// The integer in decimal digits, if it is one.
fn integer(text: &str) -> Option<Result<Cow<'_, str>, String>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16).then(|| decimal(text, digits, 4));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8).then(|| decimal(text, digits, 3));
    }
    let digits = unsigned(text);
    is_digits(digits).then(|| Ok(with_sign(text, without_zeros(digits))))
}

fn based(digits: &str, base: u32) -> bool {
    !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base))
}

/// The decimal digits of an integer in a base of so many bits.
fn decimal<'t>(text: &str, digits: &str, bits: u32) -> Result<Cow<'t, str>, String> {
    let mut bytes = Vec::with_capacity(digits.len() / 2 + 1);
    let (mut held, mut held_bits) = (0_u32, 0);
    for digit in digits.chars().rev() {
        held |= digit.to_digit(16).unwrap_or_default() << held_bits;
        held_bits += bits;
        if held_bits >= 8 {
            bytes.push(held.to_le_bytes()[0]);
            held >>= 8;
            held_bits -= 8;
        }
    }
    bytes.push(held.to_le_bytes()[0]);
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes.reverse();
    match bignum::to_text(&bytes, false) {
        Some(number) => Ok(number.into()),
        None => Err(format!("the integer {} is too long", shortened(text))),
    }
}

/// The float as JSON spells it, if it is one.
fn float(text: &str) -> Option<Plain<'_>> {
    let unsigned = unsigned(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => return Some(Plain::Float(f64::NEG_INFINITY)),
        ".inf" | ".Inf" | ".INF" => return Some(Plain::Float(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => return Some(Plain::Float(f64::NAN)),
        _ => {}
    }
    let (digits, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at..])),
        None => (unsigned, None),
    };
    if exponent.is_some_and(|exponent| !is_digits(self::unsigned(&exponent[1..]))) {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let may_be = |digits: &str| digits.is_empty() || is_digits(digits);
    let fits =
        may_be(whole) && fraction.is_none_or(may_be) && !(whole.is_empty() && fraction.is_none_or(str::is_empty));
    if !fits {
        return None;
    }
    let is_json = unsigned.len() == text.len() || text.starts_with('-');
    if is_json && without_zeros(whole) == whole && fraction != Some("") {
        return Some(Plain::Number(text.into()));
    }
    let whole = without_zeros(whole);
    let fraction = match fraction {
        Some("") => ".0".to_owned(),
        Some(fraction) => format!(".{fraction}"),
        None => String::new(),
    };
    let spelled = format!("{whole}{fraction}{}", exponent.unwrap_or_default());
    Some(Plain::Number(with_sign(text, &spelled).into_owned().into()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// Digits without those that say nothing before the others; at least one.
fn without_zeros(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    }
}

fn with_sign<'t>(text: &'t str, digits: &str) -> Cow<'t, str> {
    match text.strip_prefix('-') {
        Some(rest) if rest == digits => text.into(),
        Some(_) => format!("-{digits}").into(),
        None if text == digits => text.into(),
        None => digits.to_owned().into(),
    }
}
