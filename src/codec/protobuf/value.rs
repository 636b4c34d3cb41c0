//! Scalars as other formats spell them: numbers may be strings, and what does not fit the type is refused.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::Kind;

use super::super::event::{Care, Number, SinkError, is_spelled, significand};
use super::scalar::Scalar;
use super::tape::{Tape, Token};
use super::{Failure, Taken, is_null_value, shown};

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// The value at a place as one of the kind.
pub(super) fn scalar<'t>(tape: &'t Tape, at: usize, kind: &Kind, care: Care) -> Taken<Scalar<'t>> {
    let token = tape.token(at);
    Ok(match kind {
        Kind::Double => Scalar::F64(double(tape, token, care)?),
        Kind::Float => Scalar::F32(float(tape, token, care)?),
        Kind::Bool => match token {
            Token::Bool(value) => Scalar::Bool(value),
            _ => return Err(not(kind, tape, token)),
        },
        Kind::String => match token {
            Token::Str(run) => Scalar::Str(tape.text(run)),
            _ => return Err(not(kind, tape, token)),
        },
        Kind::Bytes => Scalar::Bytes(bytes(tape, token)?),
        Kind::Enum(_) => Scalar::Enum(enumerator(tape, token, kind)?),
        Kind::Uint32 | Kind::Fixed32 => Scalar::Unsigned(integer(tape, token, kind, 0, u32::MAX.into())?),
        Kind::Uint64 | Kind::Fixed64 => Scalar::Unsigned(integer(tape, token, kind, 0, u64::MAX.into())?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Scalar::Signed(integer(tape, token, kind, i32::MIN.into(), i32::MAX.into())?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Scalar::Signed(integer(tape, token, kind, i64::MIN.into(), i64::MAX.into())?)
        }
        Kind::Message(_) => return Err(not(kind, tape, token)),
    })
}

/// The key of a map at a place.
pub(super) fn key<'t>(tape: &'t Tape, at: usize, kind: &Kind, care: Care) -> Taken<Scalar<'t>> {
    match (kind, tape.token(at)) {
        (Kind::Bool, Token::Str(run)) if tape.text(run) == "true" => Ok(Scalar::Bool(true)),
        (Kind::Bool, Token::Str(run)) if tape.text(run) == "false" => Ok(Scalar::Bool(false)),
        _ => scalar(tape, at, kind, care),
    }
}

fn enumerator(tape: &Tape, token: Token, kind: &Kind) -> Taken<i32> {
    let Kind::Enum(of) = kind else { return Err(not(kind, tape, token)) };
    match token {
        Token::Null if is_null_value(kind) => Ok(0),
        Token::Str(run) => match of.get_value_by_name(tape.text(run)) {
            Some(value) => Ok(value.number()),
            None => Err(Failure::new(format!("the enum {} has no value {}", of.full_name(), shown(tape.text(run))))),
        },
        _ => integer(tape, token, kind, i32::MIN.into(), i32::MAX.into()),
    }
}

fn integer<T: TryFrom<i128>>(tape: &Tape, token: Token, kind: &Kind, least: i128, most: i128) -> Taken<T> {
    let value = match token {
        Token::Unsigned(value) => Some(value.into()),
        Token::Signed(value) => Some(value.into()),
        Token::F32(value) => whole(f64::from(value)),
        Token::F64(value) => whole(value),
        Token::Number(run) => exact_integer(tape.text(run)),
        Token::Str(run) if is_number(tape.text(run)) => exact_integer(tape.text(run)),
        _ => return Err(not(kind, tape, token)),
    };
    let value = value.ok_or_else(|| not(kind, tape, token))?;
    if !(least..=most).contains(&value) {
        return Err(Failure::new(format!("{value} is outside the range of {}", name(kind))));
    }
    T::try_from(value).map_err(|_| not(kind, tape, token))
}

/// A float that is an integer, in the range that integers have here.
#[allow(clippy::cast_possible_truncation)] // It is not: the bound is far below that of the type.
fn whole(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}

/// The integer that a number in the grammar of JSON is, also where it is spelled `1e2` or `1.0`. None if it has more than
/// twenty digits or is no integer.
fn exact_integer(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let (digits, power) = significand(text);
    if digits.is_empty() {
        return Some(0);
    }
    let power = usize::try_from(power).ok().filter(|power| digits.len().saturating_add(*power) <= 20)?;
    let value: i128 = format!("{digits}{}", "0".repeat(power)).parse().ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}

fn double(tape: &Tape, token: Token, care: Care) -> Taken<f64> {
    let refused = |error: SinkError| Failure::of(error, 0);
    match token {
        Token::F64(value) => Ok(value),
        Token::F32(value) => Ok(f64::from(value)),
        Token::Unsigned(value) => spelled(&value.to_string(), care).map_err(refused),
        Token::Signed(value) => spelled(&value.to_string(), care).map_err(refused),
        Token::Number(run) => spelled(tape.text(run), care).map_err(refused),
        Token::Str(run) => match (named(tape.text(run)), is_number(tape.text(run))) {
            (Some(value), _) => Ok(value),
            (None, true) => spelled(tape.text(run), care).map_err(refused),
            (None, false) => Err(not(&Kind::Double, tape, token)),
        },
        _ => Err(not(&Kind::Double, tape, token)),
    }
}

/// The float that a number in the grammar of JSON is next to.
fn spelled(text: &str, care: Care) -> Result<f64, SinkError> {
    let is_integer = !text.contains(['.', 'e', 'E']);
    // As an integer it would be said to be outside the range of integers.
    let text = if is_integer { format!("{text}.0") } else { text.to_owned() };
    match care.number(&text)? {
        Number::Float(value) => Ok(value),
        Number::Unsigned(_) | Number::Signed(_) => Ok(0.0),
    }
}

#[allow(clippy::cast_possible_truncation)] // To the next float of 32 bits, as the target has no others.
fn float(tape: &Tape, token: Token, care: Care) -> Taken<f32> {
    let text = match token {
        Token::F32(value) => return Ok(value),
        Token::Number(run) => tape.text(run),
        Token::Str(run) if is_number(tape.text(run)) => tape.text(run),
        _ => {
            // All the others are 64-bit floats that come near enough.
            let value = double(tape, token, care)?;
            let single = value as f32;
            if value.is_finite() && single.is_infinite() {
                return Err(Failure::new(format!("{value:e} is outside the range of float")));
            }
            if value.is_finite() && f64::from(single).to_bits() != value.to_bits() {
                care.lose(&format!("a part of the digits of {value}")).map_err(|error| Failure::of(error, 0))?;
            }
            return Ok(single);
        }
    };
    // Not by way of 64 bits, which would round twice.
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => {
            if !is_spelled(text, &format!("{value:e}")) {
                care.lose(&format!("a part of the digits of {}", shown(text)))
                    .map_err(|error| Failure::of(error, 0))?;
            }
            Ok(value)
        }
        _ => Err(Failure::new(format!("{} is outside the range of float", shown(text)))),
    }
}

fn named(text: &str) -> Option<f64> {
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
        .into_iter()
        .find(|value| super::super::markers::float_name(*value) == text)
}

fn bytes(tape: &Tape, token: Token) -> Taken<Cow<'_, [u8]>> {
    let text = match token {
        Token::Bytes(run) => return Ok(Cow::Borrowed(tape.bytes(run))),
        Token::Str(run) => tape.text(run),
        _ => return Err(not(&Kind::Bytes, tape, token)),
    };
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).map(Cow::Owned).map_err(|error| Failure::new(format!("this is no base64: {error}")))
}

/// Whether a string is a number in the grammar of JSON.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    let (text, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let text = text.strip_prefix('-').unwrap_or(text);
    let (integer, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let has_one_spelling = integer == "0" || !integer.starts_with('0');
    digits(integer)
        && has_one_spelling
        && digits(fraction)
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

/// What the schema calls a kind.
pub(super) fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => format!("the enum {}", of.full_name()),
        other => format!("{other:?}"),
    }
}

/// That a value is not what the schema says.
pub(super) fn not(kind: &Kind, tape: &Tape, token: Token) -> Failure {
    let found = match token {
        Token::Null => "null".to_owned(),
        Token::Bool(value) => value.to_string(),
        Token::Unsigned(value) => value.to_string(),
        Token::Signed(value) => value.to_string(),
        Token::F32(value) => value.to_string(),
        Token::F64(value) => value.to_string(),
        Token::Number(run) => shown(tape.text(run)).replace('"', ""),
        Token::Str(run) => format!("the string {}", shown(tape.text(run))),
        Token::Bytes(_) => "binary".to_owned(),
        Token::Seq(_) => "an array".to_owned(),
        Token::Map(_) => "a map".to_owned(),
        Token::End => "nothing".to_owned(),
    };
    Failure::new(format!("this is {found}, and the schema says {}", name(kind)))
}
