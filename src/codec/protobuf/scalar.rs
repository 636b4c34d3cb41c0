//! Values that are not made of others, and their bytes.

use std::borrow::Cow;

use prost_reflect::Kind;

/// How a value's bytes end, which is all that they tell of its type.
pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LEN: u8 = 2;
pub(super) const GROUP: u8 = 3;
pub(super) const END_GROUP: u8 = 4;
pub(super) const FIXED32: u8 = 5;

/// A value that is not made of others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    /// Of 32 bits or 64.
    Signed(i64),
    Unsigned(u64),
    F32(f32),
    F64(f64),
    Str(&'a str),
    Bytes(Cow<'a, [u8]>),
    Enum(i32),
}

/// The wire type of values of a kind.
pub(super) fn wire_type(kind: &Kind) -> u8 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
        Kind::String | Kind::Bytes | Kind::Message(_) => LEN,
        _ => VARINT,
    }
}

pub(super) fn is_64_bits(kind: &Kind) -> bool {
    matches!(kind, Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64)
}

fn low_half(bits: u64) -> u32 {
    u32::try_from(bits & 0xffff_ffff).unwrap_or_default()
}

impl Scalar<'_> {
    /// What a value is that nobody gave.
    pub(super) fn default_of(kind: &Kind) -> Self {
        match kind {
            Kind::String => Scalar::Str(""),
            Kind::Bytes => Scalar::Bytes(Cow::Borrowed(&[])),
            Kind::Enum(kind) => Scalar::Enum(kind.default_value().number()),
            _ => Scalar::of_bits(kind, 0),
        }
    }

    /// Whether it is what it would be if nobody gave it. Negative zero is not.
    pub(super) fn is_default(&self) -> bool {
        match self {
            Scalar::Bool(value) => !value,
            Scalar::Signed(value) => *value == 0,
            Scalar::Unsigned(value) => *value == 0,
            Scalar::F32(value) => value.to_bits() == 0,
            Scalar::F64(value) => value.to_bits() == 0,
            Scalar::Str(value) => value.is_empty(),
            Scalar::Bytes(value) => value.is_empty(),
            Scalar::Enum(value) => *value == 0,
        }
    }

    /// Of a varint, or the bits of a fixed length. What is longer than the type is cut, as the format demands.
    pub(super) fn of_bits(kind: &Kind, bits: u64) -> Self {
        let unzigzag = |bits: u64| (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed();
        match kind {
            Kind::Double => Scalar::F64(f64::from_bits(bits)),
            Kind::Float => Scalar::F32(f32::from_bits(low_half(bits))),
            Kind::Int32 | Kind::Sfixed32 => Scalar::Signed(i64::from(low_half(bits).cast_signed())),
            Kind::Int64 | Kind::Sfixed64 => Scalar::Signed(bits.cast_signed()),
            Kind::Uint32 | Kind::Fixed32 => Scalar::Unsigned(u64::from(low_half(bits))),
            Kind::Sint32 => Scalar::Signed(unzigzag(u64::from(low_half(bits)))),
            Kind::Sint64 => Scalar::Signed(unzigzag(bits)),
            Kind::Bool => Scalar::Bool(bits != 0),
            Kind::Enum(_) => Scalar::Enum(low_half(bits).cast_signed()),
            _ => Scalar::Unsigned(bits),
        }
    }

    fn bits(&self, kind: &Kind) -> u64 {
        match self {
            Scalar::Bool(value) => u64::from(*value),
            Scalar::Signed(value) if matches!(kind, Kind::Sint32 | Kind::Sint64) => {
                (value << 1 ^ value >> 63).cast_unsigned()
            }
            Scalar::Signed(value) => value.cast_unsigned(),
            Scalar::Unsigned(value) => *value,
            Scalar::F32(value) => u64::from(value.to_bits()),
            Scalar::F64(value) => value.to_bits(),
            Scalar::Enum(value) => i64::from(*value).cast_unsigned(),
            Scalar::Str(_) | Scalar::Bytes(_) => 0,
        }
    }

    /// Writes it without its tag.
    pub(super) fn put(&self, kind: &Kind, to: &mut Vec<u8>) {
        match (self, wire_type(kind)) {
            (Scalar::Str(text), _) => put_bytes(text.as_bytes(), to),
            (Scalar::Bytes(bytes), _) => put_bytes(bytes, to),
            (_, FIXED64) => to.extend_from_slice(&self.bits(kind).to_le_bytes()),
            (_, FIXED32) => to.extend_from_slice(&low_half(self.bits(kind)).to_le_bytes()),
            _ => put_varint(self.bits(kind), to),
        }
    }
}

fn put_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

pub(super) fn put_varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Seven bits a byte, the lowest first; the highest bit says that more come. Gives the value and its length.
pub(super) fn get_varint(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        if at == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Ok((value, at + 1));
        }
    }
    Err(if bytes.len() < 10 { "the message ends within a number" } else { "a number has more than 64 bits" })
}
