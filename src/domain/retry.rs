//! How long a message that failed is left alone: longer after each delivery, up to a ceiling.
//!
//! After the n-th delivery that is the first delay times the factor to the power of n - 1, or the ceiling if that is less,
//! minus the jitter's share. Invariants: it is never longer than the ceiling; without a first delay it is nothing; the same
//! message after the same delivery is always left alone for as long, whichever engine is asked and however often; all
//! arithmetic is in whole numbers and ends at the ceiling instead of overflowing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::KeyHash;
use super::{Invalid, MessageId};

/// What each delay is multiplied with for the next one: 1 to 100, in thousandths, so that what is written is what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(u32);

impl Factor {
    const EXPECTED: &'static str = "a factor from 1 to 100 with at most three decimals, such as 2 or 1.5";

    fn from_thousandths(thousandths: u64) -> Option<Self> {
        (1_000..=100_000).contains(&thousandths).then_some(thousandths).and_then(|n| u32::try_from(n).ok()).map(Self)
    }
}

impl Default for Factor {
    /// Twice as long each time.
    fn default() -> Self {
        Self(2_000)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        if thousandths == 0 {
            return write!(f, "{whole}");
        }
        f.write_str(format!("{whole}.{thousandths:03}").trim_end_matches('0'))
    }
}

impl FromStr for Factor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
            let is_number = |part: &str, most: usize| {
                (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
            };
            if !is_number(whole, 3) || !is_number(decimals, 3) {
                return None;
            }
            let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
            Self::from_thousandths(whole.parse::<u64>().ok()? * 1000 + thousandths)
        };
        parse().ok_or_else(|| Invalid::new(text, Self::EXPECTED))
    }
}

impl Serialize for Factor {
    /// A number, as a person would write it.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            to.serialize_u32(self.0 / 1000)
        } else {
            to.serialize_f64(f64::from(self.0) / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InPlace;

        impl Visitor<'_> for InPlace {
            type Value = Factor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Factor::EXPECTED)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Factor, E> {
                let factor = number.checked_mul(1000).and_then(Factor::from_thousandths);
                factor.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Factor, E> {
                // The shortest text that means this number is the one that was written.
                number.to_string().parse().map_err(|_| E::invalid_value(Unexpected::Float(number), &self))
            }
        }

        from.deserialize_any(InPlace)
    }
}

/// How much of a delay may be taken off, written as `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u8);

impl Percent {
    const EXPECTED: &'static str = "a percentage from 0% to 100%, such as 25%";
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for Percent {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.strip_suffix('%').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let percent = number.and_then(|number| number.parse().ok()).filter(|percent| *percent <= 100);
        percent.map(Self).ok_or_else(|| Invalid::new(text, Self::EXPECTED))
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InPlace;

        impl Visitor<'_> for InPlace {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage in quotes, such as \"25%\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
                text.parse().map_err(E::custom)
            }
        }

        from.deserialize_str(InPlace)
    }
}

/// How the delays of a queue go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first delivery.
    pub initial: Duration,
    /// From one to the next.
    pub factor: Factor,
    /// No longer than this.
    pub ceiling: Duration,
    /// Up to so much less.
    pub jitter: Percent,
}

impl Backoff {
    /// How long the message `id` is left alone when its delivery of this number, the first being 1, has failed.
    pub fn delay_after(&self, id: MessageId, delivery: u32) -> Duration {
        let mut delay = self.longest(delivery).as_nanos();
        delay -= (delay * u128::from(self.jitter.0) / 100 * share(id, delivery)) >> 32;
        Duration::from_nanos(u64::try_from(delay).unwrap_or(u64::MAX))
    }

    /// The same of any message, without its jitter.
    pub fn longest(&self, delivery: u32) -> Duration {
        // Nanoseconds: even the smallest factor makes more of a millisecond.
        let (initial, ceiling) = (self.initial.as_nanos(), self.ceiling.as_nanos());
        let mut delay = initial.min(ceiling);
        let is_growing = delay > 0 && self.factor > Factor(1_000);
        for _ in 1..if is_growing { delivery } else { 1 } {
            delay = delay * u128::from(self.factor.0) / 1000;
            if delay >= ceiling {
                delay = ceiling;
                break;
            }
        }
        Duration::from_nanos(u64::try_from(delay).unwrap_or(u64::MAX))
    }
}

/// A number below 2^32 that another message, or another delivery, has another one of.
fn share(id: MessageId, delivery: u32) -> u128 {
    KeyHash::of(&format!("{id} {delivery}")).0 >> 96
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;
    use crate::domain::units::LONGEST;

    const S: Duration = Duration::from_secs(1);

    fn id(number: u8) -> MessageId {
        MessageId::new(UnixMillis(1_767_225_600_250), &[number; 10])
    }

    fn backoff(initial: Duration, factor: &str, ceiling: Duration, jitter: &str) -> Backoff {
        Backoff { initial, factor: factor.parse().unwrap(), ceiling, jitter: jitter.parse().unwrap() }
    }

    fn delays(of: Backoff, deliveries: &[u32]) -> Vec<f64> {
        deliveries.iter().map(|n| of.delay_after(id(7), *n).as_secs_f64()).collect()
    }

    #[test]
    fn delays_grow_by_the_factor_up_to_the_ceiling() {
        let every = &[1, 2, 3, 4, 5, 6, u32::MAX];
        assert_eq!(delays(backoff(10 * S, "2", 100 * S, "0%"), every), [10.0, 20.0, 40.0, 80.0, 100.0, 100.0, 100.0]);
        assert_eq!(delays(backoff(2 * S, "1.5", 100 * S, "0%"), &[1, 2, 3, 4]), [2.0, 3.0, 4.5, 6.75]);
        assert_eq!(delays(backoff(3 * S, "1", 100 * S, "0%"), every), [3.0; 7]);
        assert_eq!(delays(backoff(5 * S, "100", 5 * S, "0%"), every), [5.0; 7]);
        // A message that was never claimed is not given back, and does no harm.
        assert_eq!(delays(backoff(5 * S, "2", 9 * S, "0%"), &[0]), [5.0]);
    }

    #[test]
    fn without_a_first_delay_there_is_none() {
        assert_eq!(delays(backoff(Duration::ZERO, "100", LONGEST, "100%"), &[1, 2, u32::MAX]), [0.0; 3]);
    }

    #[test]
    fn nothing_overflows_and_everything_ends() {
        let slowest = backoff(Duration::from_millis(1), "1.001", LONGEST, "0%");
        assert_eq!(slowest.delay_after(id(1), u32::MAX), LONGEST);
        assert_eq!(slowest.delay_after(id(1), 2), Duration::from_micros(1001));
        assert_eq!(backoff(LONGEST, "100", LONGEST, "0%").delay_after(id(1), u32::MAX), LONGEST);
        assert!(backoff(LONGEST, "100", LONGEST, "100%").delay_after(id(1), u32::MAX) <= LONGEST);
    }

    #[test]
    fn jitter_takes_something_off_the_same_each_time_and_another_part_for_each_message() {
        let of = backoff(100 * S, "1", 100 * S, "25%");
        let seen: Vec<Duration> = (0..100).map(|number| of.delay_after(id(number), 1)).collect();
        assert_eq!(seen, (0..100).map(|number| of.delay_after(id(number), 1)).collect::<Vec<_>>());
        assert!(seen.iter().all(|delay| (75 * S..=100 * S).contains(delay)), "{seen:?}");
        let early = seen.iter().filter(|delay| **delay < 87 * S).count();
        assert!((30..70).contains(&early), "{early} of 100 are in the first half");
        assert_ne!(of.delay_after(id(1), 1), of.delay_after(id(1), 2));
        // Fixed: what one version says, every other one has to say.
        assert_eq!(of.delay_after(id(1), 1).as_millis(), 84_717);
    }

    #[test]
    fn factors_are_kept_as_they_are_written() {
        for text in ["1", "2", "1.5", "1.001", "99.999", "100", "2.25"] {
            let factor: Factor = text.parse().unwrap();
            assert_eq!(factor.to_string(), text);
            let json = serde_json::to_string(&factor).unwrap();
            assert_eq!((json.as_str(), serde_json::from_str(&json).ok()), (text, Some(factor)));
        }
        assert_eq!("2.0".parse::<Factor>().unwrap(), serde_json::from_str("2.0").unwrap());
        for wrong in ["", "0", "0.999", "100.001", "101", "-2", "+2", "1.", ".5", "1.0001", "1e1", "two", "1,5", " 2"] {
            assert!(wrong.parse::<Factor>().is_err(), "{wrong} was taken for a factor");
        }
        for wrong in ["0", "0.5", "101", "-1", "\"2\"", "1.23456", "null", "1e300"] {
            assert!(serde_json::from_str::<Factor>(wrong).is_err(), "{wrong} was taken for a factor");
        }
    }

    #[test]
    fn percentages_are_written_as_such() {
        for text in ["0%", "25%", "100%"] {
            let percent: Percent = text.parse().unwrap();
            assert_eq!(percent.to_string(), text);
            let json = serde_json::to_string(&percent).unwrap();
            assert_eq!(serde_json::from_str::<Percent>(&json).unwrap(), percent);
        }
        for wrong in ["", "%", "25", "0.25", "101%", "256%", "-1%", "+1%", "25 %", "25%%"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong} was taken for a percentage");
        }
        assert!(serde_json::from_str::<Percent>("25").is_err());
    }
}
