//! Claims and their receipts.
//!
//! A receipt names one *delivery* (a message and its delivery count), so the receipt of an earlier
//! delivery can never touch a later one. It also says where the claim was made, which spares a search;
//! the claim may have moved since.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Invalid, MessageName, QueueName, UnixSeconds};

/// How long a claim is to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// For a while, whoever lives or dies; the queue's policy when `None`.
    Timed(Option<Duration>),
    /// As long as somebody holds the claim's lock.
    Held,
}

/// Where a claim was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimPlace {
    /// A timed claim, by the second in which it ends.
    Until(UnixSeconds),
    /// A held claim.
    Held,
}

/// The token of one claim. Spelled in URL-safe base64; what is inside is nobody's business but the engine's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The queue of the claimed message.
    pub queue: QueueName,
    /// Where the claim was made.
    pub place: ClaimPlace,
    /// The claimed message, with the delivery count that this claim gave it.
    pub name: MessageName,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match self.place {
            ClaimPlace::Until(until) => format!("{}/{}/{}", self.queue, until.0, self.name),
            ClaimPlace::Held => format!("{}/held/{}", self.queue, self.name),
        };
        f.write_str(&URL_SAFE_NO_PAD.encode(plain))
    }
}

impl FromStr for Receipt {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let mut parts = plain.split('/');
            let queue = parts.next()?.parse().ok()?;
            let place = match parts.next()? {
                "held" => ClaimPlace::Held,
                until => ClaimPlace::Until(UnixSeconds(until.parse().ok()?)),
            };
            // A delivery is counted from 1: what was never claimed has no receipt.
            let name: MessageName = parts.next()?.parse().ok().filter(|name: &MessageName| name.deliveries > 0)?;
            let receipt = Self { queue, place, name };
            (parts.next().is_none() && receipt.to_string() == text).then_some(receipt)
        };
        parse().ok_or_else(|| Invalid::new(text, "a receipt (the token that get prints after 'receipt: ')"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MessageId, Priority, Seq, UnixMillis};

    #[test]
    fn receipts_round_trip_and_others_are_refused() {
        let name = MessageName {
            seq: Seq(7),
            priority: Priority::default(),
            id: MessageId::new(UnixMillis(1), &[0; 10]),
            deliveries: 1,
        };
        for place in [ClaimPlace::Held, ClaimPlace::Until(UnixSeconds(1_700_000_000))] {
            let receipt = Receipt { queue: "jobs".parse().unwrap(), place, name };
            let text = receipt.to_string();
            assert_eq!(text.parse(), Ok(receipt));
            assert!(text[1..].parse::<Receipt>().is_err());
            assert!(format!("{text}=").parse::<Receipt>().is_err());
        }
        let escape = URL_SAFE_NO_PAD.encode(format!("../held/{name}"));
        assert!(escape.parse::<Receipt>().is_err());
        assert!("".parse::<Receipt>().is_err());
    }
}
