//! The messages of `google.protobuf` that JSON has other forms for than maps of their fields.

use std::ops::Range;

use prost_reflect::{Kind, MessageDescriptor};

use super::super::super::event::Event;
use super::super::scalar::{LEN, Scalar};
use super::super::{Failure, Field, Taken, WellKnown, resolve_any, shown, time};
use super::{Piece, Reader};

impl Reader<'_, '_> {
    pub(super) fn well_known(
        &mut self,
        known: WellKnown,
        message: &MessageDescriptor,
        parts: &[Range<usize>],
    ) -> Taken<()> {
        let at = parts.first().map_or(0, |part| part.start);
        let pieces = self.index(message, parts)?;
        if let Some(unknown) = pieces.iter().find(|piece| Field::numbered(message, piece.number).is_none()) {
            self.lose_unknown(message, *unknown)?;
        }
        let of =
            |number: u32| -> Vec<Piece> { pieces.iter().filter(|piece| piece.number == number).copied().collect() };
        match known {
            WellKnown::Any => self.any(message, &of(1), &of(2), parts),
            WellKnown::Timestamp | WellKnown::Duration => {
                let (seconds, nanos) = (self.integer(&Kind::Int64, &of(1))?, self.integer(&Kind::Int32, &of(2))?);
                let (spelled, what) = if known == WellKnown::Timestamp {
                    (time::spell_timestamp(seconds, nanos), "no time from the year 1 to 9999")
                } else {
                    (time::spell_duration(seconds, nanos), "no span of up to 10000 years")
                };
                let reason = || Failure::new(format!("{seconds} seconds and {nanos} nanoseconds are {what}")).at(at);
                self.send(Event::Str(&spelled.ok_or_else(reason)?), at)
            }
            WellKnown::FieldMask => {
                let mut paths = of(1).iter().map(|piece| self.mask_path(*piece)).collect::<Taken<Vec<String>>>()?;
                if paths.iter().any(String::is_empty) {
                    // Between commas it would not be seen.
                    let lost = self.care.lose("an empty path of a field mask");
                    lost.map_err(|error| Failure::of(error, at))?;
                    paths.retain(|path| !path.is_empty());
                }
                self.send(Event::Str(&paths.join(",")), at)
            }
            WellKnown::Struct => self.object(message, &of(1), parts),
            WellKnown::List => {
                self.begin(false, parts)?;
                for (place, piece) in of(1).iter().enumerate() {
                    self.inner(message, 1, &[*piece]).map_err(|failure| failure.within(format!("[{place}]")))?;
                }
                self.end(false, parts)
            }
            WellKnown::Value => self.value(message, &pieces, at),
            WellKnown::Wrapper | WellKnown::Empty => {
                let kind = known_field(message, 1)?.kind();
                let values = of(1);
                for value in &values {
                    self.scalar(&kind, *value)?;
                }
                let nothing = Piece { number: 1, wire: 0, start: u32::try_from(at).unwrap_or(u32::MAX), end: 0 };
                let value = values.last().map(|piece| self.scalar(&kind, *piece)).transpose()?;
                let value = value.unwrap_or_else(|| Scalar::default_of(&kind));
                self.send_scalar(&kind, &value, values.last().copied().unwrap_or(nothing))
            }
        }
    }

    fn integer(&self, kind: &Kind, pieces: &[Piece]) -> Taken<i64> {
        match pieces.last().map(|piece| self.scalar(kind, *piece)).transpose()? {
            Some(Scalar::Signed(value)) => Ok(value),
            _ => Ok(0),
        }
    }

    /// `user.display_name` as `user.displayName`, if that is how it comes back.
    fn mask_path(&self, piece: Piece) -> Taken<String> {
        let Scalar::Str(path) = self.scalar(&Kind::String, piece)? else { return Ok(String::new()) };
        let refused = || Failure::new(format!("the path {} would not come back from JSON", shown(path)));
        let mut spelled = String::new();
        let mut letters = path.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '_' => match letters.next() {
                    Some(letter @ 'a'..='z') => spelled.push(letter.to_ascii_uppercase()),
                    _ => return Err(refused().at(piece.start as usize)),
                },
                'A'..='Z' | ',' => return Err(refused().at(piece.start as usize)),
                letter => spelled.push(letter),
            }
        }
        Ok(spelled)
    }

    fn any(
        &mut self,
        message: &MessageDescriptor,
        urls: &[Piece],
        bodies: &[Piece],
        parts: &[Range<usize>],
    ) -> Taken<()> {
        let at = parts.first().map_or(0, |part| part.start);
        let url = match urls.last() {
            Some(piece) => self.scalar(&Kind::String, *piece)?,
            None => Scalar::Str(""),
        };
        let Scalar::Str(url) = url else { return Ok(()) };
        let body = match bodies.last() {
            Some(piece) => {
                self.expect(*piece, LEN, "bytes")?;
                piece.span()
            }
            None => at..at,
        };
        self.begin(true, parts)?;
        if !(url.is_empty() && body.is_empty()) {
            let inner = resolve_any(message, url).map_err(|failure| failure.at(at))?;
            self.send(Event::Str("@type"), at)?;
            self.send(Event::Str(url), at)?;
            if WellKnown::of(&inner).is_some() {
                self.send(Event::Str("value"), body.start)?;
                self.message(&inner, &[body]).map_err(|failure| failure.within(".value".to_owned()))?;
            } else {
                self.fields(&inner, &[body])?;
            }
        }
        self.end(true, parts)
    }

    /// A map from names to values of JSON.
    fn object(&mut self, message: &MessageDescriptor, pieces: &[Piece], parts: &[Range<usize>]) -> Taken<()> {
        let field = known_field(message, 1)?;
        match field.kind() {
            Kind::Message(entry) if field.is_map() => self.entries(&entry, pieces, parts),
            _ => Err(strange(message)),
        }
    }

    /// A value of JSON.
    fn value(&mut self, message: &MessageDescriptor, pieces: &[Piece], at: usize) -> Taken<()> {
        let Some(last) = pieces.iter().rfind(|piece| (1..=6).contains(&piece.number)) else {
            return self.send(Event::Null, at);
        };
        let same: Vec<Piece> = pieces.iter().filter(|piece| piece.number == last.number).copied().collect();
        let at = last.start as usize;
        let value = match last.number {
            1 => return self.send(Event::Null, at),
            2 => self.scalar(&Kind::Double, *last)?,
            3 => self.scalar(&Kind::String, *last)?,
            4 => self.scalar(&Kind::Bool, *last)?,
            _ => return self.inner(message, last.number, &same),
        };
        match value {
            Scalar::F64(value) if !value.is_finite() => {
                Err(Failure::new(format!("{value} is no number that JSON has")).at(at))
            }
            // Its numbers are those of JSON, where an integer is spelled as one.
            #[allow(clippy::cast_possible_truncation)] // It is not: the bound is that of exact integers.
            Scalar::F64(value) if value.fract() == 0.0 && value.abs() < EXACT && !is_negative_zero(value) => {
                self.send(Event::Signed(value as i64), at)
            }
            value => self.send_scalar(&Kind::Double, &value, *last),
        }
    }

    fn inner(&mut self, message: &MessageDescriptor, number: u32, pieces: &[Piece]) -> Taken<()> {
        let Kind::Message(inner) = known_field(message, number)?.kind() else { return Err(strange(message)) };
        let parts = self.parts(pieces, false)?;
        self.message(&inner, &parts)
    }
}

/// All integers below it are numbers of 64-bit floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn is_negative_zero(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}

fn known_field(message: &MessageDescriptor, number: u32) -> Taken<Field> {
    Field::numbered(message, number).ok_or_else(|| strange(message))
}

fn strange(message: &MessageDescriptor) -> Failure {
    Failure::new(format!("the schema has another {} than everybody", message.full_name()))
}
