//! Where the fields of a message lie in its body. Nothing is copied, and no length is believed that reaches past the end of
//! what it is in.

use std::ops::Range;

use prost_reflect::MessageDescriptor;

use super::super::super::event::{MAX_DEPTH, SinkError};
use super::super::scalar::{END_GROUP, FIXED32, FIXED64, GROUP, LEN, VARINT, get_varint};
use super::super::{Failure, Taken};
use super::{ENDS_EARLY, Reader};

/// A field as it lies in the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) number: u32,
    pub(super) wire: u8,
    /// Where its value is, without its length.
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Piece {
    pub(super) fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Reader<'_, '_> {
    /// The fields of a message, sorted by number, without those that another of the same choice has replaced.
    pub(super) fn index(&self, message: &MessageDescriptor, parts: &[Range<usize>]) -> Taken<Vec<Piece>> {
        let mut pieces = Vec::new();
        for part in parts {
            let mut at = part.start;
            while at < part.end {
                let (piece, next) = self.piece(at, part.end)?;
                if piece.wire == END_GROUP {
                    return Err(Failure::new("a group ends here, and none has begun").at(at));
                }
                pieces.push(piece);
                at = next;
            }
        }
        for choice in message.oneofs().filter(|choice| choice.fields().len() > 1) {
            let numbers: Vec<u32> = choice.fields().map(|field| field.number()).collect();
            let Some(last) = pieces.iter().rposition(|piece| numbers.contains(&piece.number)) else { continue };
            let chosen = pieces[last].number;
            let is_other = |piece: &Piece| piece.number != chosen && numbers.contains(&piece.number);
            // What was there before another was chosen does not come back.
            let since = pieces.iter().rposition(is_other).map_or(0, |at| at + 1);
            let mut place = 0;
            pieces.retain(|piece| {
                place += 1;
                place > since || !numbers.contains(&piece.number)
            });
        }
        if !pieces.is_sorted_by_key(|piece| piece.number) {
            pieces.sort_by_key(|piece| piece.number);
        }
        Ok(pieces)
    }

    /// The field at a place, and the place after it.
    fn piece(&self, at: usize, end: usize) -> Taken<(Piece, usize)> {
        let (tag, start) = self.varint(at, end)?;
        let wire = tag.to_le_bytes()[0] & 7;
        let Ok(number @ 1..=0x1fff_ffff) = u32::try_from(tag >> 3) else {
            return Err(Failure::new(format!("{} is no number that a field can have", tag >> 3)).at(at));
        };
        let (start, content_end, next) = match wire {
            VARINT => {
                let next = self.varint(start, end)?.1;
                (start, next, next)
            }
            FIXED64 | FIXED32 => {
                let next = start + if wire == FIXED64 { 8 } else { 4 };
                (start, next, next)
            }
            LEN => {
                let (len, start) = self.varint(start, end)?;
                let len = usize::try_from(len).ok().filter(|len| *len <= end - start);
                let len = len.ok_or_else(|| Failure::new(ENDS_EARLY).at(start))?;
                (start, start + len, start + len)
            }
            GROUP => {
                let (content_end, next) = self.group(number, start, end)?;
                (start, content_end, next)
            }
            END_GROUP => (start, start, start),
            _ => return Err(Failure::new(format!("no field has the wire type {wire}")).at(at)),
        };
        if next > end {
            return Err(Failure::new(ENDS_EARLY).at(start));
        }
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Ok((Piece { number, wire, start: place(start), end: place(content_end) }, next))
    }

    /// Where a group ends, and the place after that. What is inside is skipped.
    fn group(&self, number: u32, mut at: usize, end: usize) -> Taken<(usize, usize)> {
        let mut open = vec![number];
        loop {
            if at >= end {
                return Err(Failure::new("the message ends within a group").at(at));
            }
            let (tag, after_tag) = self.varint(at, end)?;
            match tag.to_le_bytes()[0] & 7 {
                GROUP if open.len() == MAX_DEPTH => return Err(Failure::of(SinkError::too_deep(), at)),
                GROUP => {
                    open.push(u32::try_from(tag >> 3).unwrap_or_default());
                    at = after_tag;
                }
                END_GROUP if open.last().is_some_and(|number| u64::from(*number) == tag >> 3) => {
                    open.pop();
                    if open.is_empty() {
                        return Ok((at, after_tag));
                    }
                    at = after_tag;
                }
                END_GROUP => return Err(Failure::new("another group ends here than has begun last").at(at)),
                _ => at = self.piece(at, end)?.1,
            }
        }
    }

    pub(super) fn varint(&self, at: usize, end: usize) -> Taken<(u64, usize)> {
        let (value, len) = get_varint(&self.body[at..end]).map_err(|reason| Failure::new(reason).at(at))?;
        Ok((value, at + len))
    }
}
