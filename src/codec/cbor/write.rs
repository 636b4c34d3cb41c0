//! Writing CBOR: everything goes straight out, since an array or a map whose count is not known can be left open.

use std::io::Write;

use super::super::event::{Care, Event, MAX_DEPTH, Number, Sink, SinkError};
use super::{ARRAY, BYTES, MAP, NEGATIVE, NEGATIVE_BIGNUM, POSITIVE_BIGNUM, TAG, TEXT, UNSIGNED, bignum, half};

/// The tag of seconds since 1970 (RFC 8949, section 3.4.2).
const EPOCH: u64 = 1;

/// The type of a Msgpack timestamp.
const TIMESTAMP: i8 = -1;

/// A writer of CBOR.
pub(in super::super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    Writer { out, care, open: Vec::new() }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    care: Care,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Open>,
}

struct Open {
    is_map: bool,
    /// Values seen inside, keys among them.
    values: u64,
    /// What the reader said `values` will be.
    promised: Option<u64>,
}

impl Writer<'_> {
    fn head(&mut self, major: u8, argument: u64) -> Result<(), SinkError> {
        let first = major << 5;
        let bytes = argument.to_be_bytes();
        match argument {
            0..=23 => self.out.write_all(&[first | bytes[7]])?,
            24..=0xff => self.out.write_all(&[first | 0x18, bytes[7]])?,
            0x100..=0xffff => self.out.write_all(&[first | 0x19, bytes[6], bytes[7]])?,
            0x1_0000..=0xffff_ffff => {
                self.out.write_all(&[first | 0x1a])?;
                self.out.write_all(&bytes[4..])?;
            }
            _ => {
                self.out.write_all(&[first | 0x1b])?;
                self.out.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    fn string(&mut self, major: u8, bytes: &[u8]) -> Result<(), SinkError> {
        self.head(major, bytes.len() as u64)?;
        Ok(self.out.write_all(bytes)?)
    }

    fn signed(&mut self, value: i64) -> Result<(), SinkError> {
        match u64::try_from(value) {
            Ok(value) => self.head(UNSIGNED, value),
            // -1 - n, whose bits are those of n, all of them the other way.
            Err(_) => self.head(NEGATIVE, !value.cast_unsigned()),
        }
    }

    fn number(&mut self, text: &str) -> Result<(), SinkError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer = text != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_integer {
            let is_negative = digits.len() < text.len();
            let Some(bytes) = bignum::from_digits(digits, is_negative) else {
                return Err(SinkError::Refused(format!("an integer of {} digits is too long", digits.len())));
            };
            return if bytes.len() <= 8 {
                let mut whole = [0; 8];
                whole[8 - bytes.len()..].copy_from_slice(&bytes);
                self.head(if is_negative { NEGATIVE } else { UNSIGNED }, u64::from_be_bytes(whole))
            } else {
                self.head(TAG, if is_negative { NEGATIVE_BIGNUM } else { POSITIVE_BIGNUM })?;
                self.string(BYTES, &bytes)
            };
        }
        match self.care.number(text)? {
            Number::Unsigned(value) => self.head(UNSIGNED, value),
            Number::Signed(value) => self.signed(value),
            Number::Float(value) => self.float(value),
        }
    }

    /// The shortest float that has the value.
    fn float(&mut self, value: f64) -> Result<(), SinkError> {
        if value.is_nan() {
            return Ok(self.out.write_all(&[0xf9, 0x7e, 0x00])?);
        }
        #[allow(clippy::cast_possible_truncation)] // Whether it was is what the next line asks.
        let single = value as f32;
        if f64::from(single).to_bits() != value.to_bits() {
            self.out.write_all(&[0xfb])?;
            return Ok(self.out.write_all(&value.to_be_bytes())?);
        }
        if let Some(bits) = half_of(single) {
            self.out.write_all(&[0xf9])?;
            return Ok(self.out.write_all(&bits.to_be_bytes())?);
        }
        self.out.write_all(&[0xfa])?;
        Ok(self.out.write_all(&single.to_be_bytes())?)
    }

    fn ext(&mut self, kind: i8, bytes: &[u8]) -> Result<(), SinkError> {
        // A timestamp of whole seconds.
        if let (TIMESTAMP, Ok(seconds)) = (kind, <[u8; 4]>::try_from(bytes)) {
            self.head(TAG, EPOCH)?;
            return self.head(UNSIGNED, u64::from(u32::from_be_bytes(seconds)));
        }
        self.care.lose(&format!("the type {kind} of an ext"))?;
        self.string(BYTES, bytes)
    }

    fn begin(&mut self, is_map: bool, count: Option<u64>) -> Result<(), SinkError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SinkError::too_deep());
        }
        let major = if is_map { MAP } else { ARRAY };
        match count {
            Some(count) => self.head(major, count)?,
            None => self.out.write_all(&[major << 5 | 31])?,
        }
        let promised = count.map(|count| if is_map { count.saturating_mul(2) } else { count });
        self.open.push(Open { is_map, values: 0, promised });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SinkError> {
        match self.open.pop() {
            Some(Open { promised: None, .. }) => Ok(self.out.write_all(&[0xff])?),
            // The head is out already; better to fail than to write a document that says another thing.
            Some(open) if open.promised != Some(open.values) => {
                let what = if open.is_map { "a map" } else { "an array" };
                Err(SinkError::Refused(format!("{what} is not as long as it claims")))
            }
            _ => Ok(()),
        }
    }
}

impl Sink for Writer<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if !matches!(event, Event::EndSeq | Event::EndMap | Event::Tag(_))
            && let Some(around) = self.open.last_mut()
        {
            around.values += 1;
        }
        match event {
            Event::Null => Ok(self.out.write_all(&[0xf6])?),
            Event::Bool(value) => Ok(self.out.write_all(&[if value { 0xf5 } else { 0xf4 }])?),
            Event::Undefined => Ok(self.out.write_all(&[0xf7])?),
            Event::Simple(value @ 0..=23) => Ok(self.out.write_all(&[0xe0 | value])?),
            Event::Simple(value) => Ok(self.out.write_all(&[0xf8, value])?),
            Event::Unsigned(value) => self.head(UNSIGNED, value),
            Event::Signed(value) => self.signed(value),
            Event::F32(value) => self.float(f64::from(value)),
            Event::F64(value) => self.float(value),
            Event::Number(text) => self.number(text),
            Event::Str(text) => self.string(TEXT, text.as_bytes()),
            Event::Datetime(_) => match self.care.plain(event)? {
                Some(Event::Str(text)) => self.string(TEXT, text.as_bytes()),
                _ => Ok(()),
            },
            Event::Bytes(bytes) => self.string(BYTES, bytes),
            Event::Ext(kind, bytes) => self.ext(kind, bytes),
            Event::Tag(tag) => self.head(TAG, tag),
            Event::BeginSeq(count) => self.begin(false, count),
            Event::BeginMap(count) => self.begin(true, count),
            Event::EndSeq | Event::EndMap => self.end(),
        }
    }
}

/// The float of 16 bits that has the value, if there is one.
fn half_of(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 16).unwrap_or_default() & 0x8000;
    let exponent = (bits >> 23 & 0xff).cast_signed() - 112;
    let fraction = bits & 0x7f_ffff;
    let magnitude = match exponent {
        _ if value == 0.0 => 0,
        143 => 0x7c00,
        1..=30 => exponent.cast_unsigned() << 10 | fraction >> 13,
        // Below the normal ones: the fraction with the one before it, moved down.
        -10..=0 => (fraction | 0x80_0000) >> (14 - exponent),
        _ => return None,
    };
    let candidate = sign | u16::try_from(magnitude).ok()?;
    (half(candidate).to_bits() == bits).then_some(candidate)
}
