//! Instants and durations: milliseconds for what is told, whole seconds for what names a directory. Sizes, rates, and
//! numbers of things in words.
//!
//! A second that ends something (a claim, a delay) is always rounded *up*, so nothing ends early.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// Whole seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

/// The last instant that RFC 3339 can write: the end of the year 9999.
const LATEST_MS: u64 = 253_402_300_799_999;

impl UnixMillis {
    /// This instant `by` later; instants beyond the year 9999 are that year's end.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(by_ms).min(LATEST_MS))
    }

    /// The first whole second that is not before this instant.
    pub fn ceil_seconds(self) -> UnixSeconds {
        UnixSeconds(self.0.div_ceil(1000))
    }

    /// The whole second that this instant lies in.
    pub fn floor_seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// How long ago this was, seen from `now`; zero for an instant that is still to come.
    pub fn age_at(self, now: UnixMillis) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.0))
    }

    /// RFC 3339 in UTC, with milliseconds: `2026-11-23T04:36:25.123Z`.
    pub fn to_rfc3339(self) -> String {
        let time = std::time::UNIX_EPOCH + Duration::from_millis(self.0.min(LATEST_MS));
        humantime::format_rfc3339_millis(time).to_string()
    }

    /// Reads what [`Self::to_rfc3339`] writes.
    pub fn from_rfc3339(text: &str) -> Result<Self, Invalid> {
        humantime::parse_rfc3339(text)
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .map(Self)
            .ok_or_else(|| Invalid::new(text, "a time such as 2026-11-23T04:36:25.123Z"))
    }
}

impl UnixSeconds {
    /// The instant at which this second begins.
    pub fn start(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(1000))
    }

    /// Whether this second has begun at `now`.
    pub fn is_due(self, now: UnixMillis) -> bool {
        self.start() <= now
    }
}

/// The longest duration that any option takes: 100 years.
pub const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// The units of durations, in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: a whole number and one unit (`500ms`, `30s`, `5m`, `2h`, `1d`).
///
/// There is no unit for months, which other tools write as `M`: to be taken for one would be a nasty surprise to
/// whoever meant minutes. Anything longer than [`LONGEST`] is refused: it is a slip of the hand.
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    const EXPECTED: &str = "a duration: a number with a unit, such as 500ms, 30s, 5m, 2h or 1d";
    let invalid = || Invalid::new(text, EXPECTED);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
    let number: u64 = number.parse().map_err(|_| invalid())?;
    let duration = number.checked_mul(*unit_ms).map(Duration::from_millis);
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| Invalid::new(text, "a duration of at most 100 years"))
}

/// Writes a duration so that [`parse_duration`] reads it back: in the largest unit that does so exactly.
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit_ms): &&(&str, u64)| ms > 0 && ms.is_multiple_of(*unit_ms);
    UNITS.iter().find(fits).map_or_else(|| "0s".to_owned(), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

/// The units of sizes, in bytes, the largest first.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a size in bytes: a whole number and one unit (`512B`, `64KiB`, `10MiB`, `1GiB`, `2TiB`).
///
/// A number alone is refused, and so is `MB`: whether it is a million bytes is what nobody agrees on.
pub fn parse_size(text: &str) -> Result<u64, Invalid> {
    let invalid = || Invalid::new(text, "a size: a number with a unit, such as 512B, 64KiB, 10MiB or 1GiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit_bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
    let number: u64 = number.parse().map_err(|_| invalid())?;
    number.checked_mul(*unit_bytes).ok_or_else(|| Invalid::new(text, "a size that any disk has"))
}

/// Writes a size so that [`parse_size`] reads it back: in the largest unit that does so exactly.
pub fn format_size(bytes: u64) -> String {
    let fits = |(_, unit_bytes): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit_bytes);
    SIZES
        .iter()
        .find(fits)
        .map_or_else(|| "0B".to_owned(), |(unit, unit_bytes)| format!("{}{unit}", bytes / unit_bytes))
}

/// Writes a size for people: in the largest unit of which there are ten at least, rounded down.
pub fn size_in_words(bytes: u64) -> String {
    let fits = |(_, unit_bytes): &&(&str, u64)| bytes / unit_bytes >= 10;
    let (unit, unit_bytes) = SIZES.iter().find(fits).unwrap_or(&("B", 1));
    format!("{} {unit}", bytes / unit_bytes)
}

/// Writes how many there are of something: `1 message`, `2 messages`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Reads a rate (`10`, `10/s`, `100/m`, `5/h`; a number alone is per second) as the time from one to the next.
pub fn parse_rate(text: &str) -> Result<Duration, Invalid> {
    let invalid = || Invalid::new(text, "a rate: a number from 1 up, alone or as in 10/s, 100/m or 5/h");
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(invalid()),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = number.parse().ok().filter(|number| is_number && *number > 0).ok_or_else(invalid)?;
    Ok(Duration::from_secs(unit_s) / number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_that_end_something_are_rounded_up() {
        assert_eq!(UnixMillis(1000).ceil_seconds(), UnixSeconds(1));
        assert_eq!(UnixMillis(1001).ceil_seconds(), UnixSeconds(2));
        assert!(!UnixSeconds(2).is_due(UnixMillis(1999)));
        assert!(UnixSeconds(2).is_due(UnixMillis(2000)));
    }

    #[test]
    fn durations_round_trip_and_nonsense_is_refused() {
        for text in ["0s", "500ms", "30s", "90s", "5m", "2h", "1d", "36500d"] {
            let parsed = parse_duration(text).unwrap();
            assert_eq!(format_duration(parsed), text);
        }
        for text in [
            "",
            "30",
            "-1s",
            "s",
            "1 fortnight",
            "1e9s",
            "1000000000000d",
            "5 apples",
            "5M",
            "1y",
            "1ns",
            "1h30m",
            " 5s",
            "+5s",
            "0",
            "1.5h",
        ] {
            assert!(parse_duration(text).is_err(), "{text} was taken for a duration");
        }
    }

    #[test]
    fn rates_are_times_from_one_to_the_next() {
        for (text, ms) in [("1", 1000), ("10", 100), ("4/s", 250), ("60/m", 1000), ("1/h", 3_600_000)] {
            assert_eq!(parse_rate(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "0", "-1", "+1", "1.5", "1/d", "/s", "1/", "10 /s", "fast", "5000000000"] {
            assert!(parse_rate(text).is_err(), "{text} was taken for a rate");
        }
    }

    #[test]
    fn sizes_round_trip_and_nonsense_is_refused() {
        for text in ["0B", "1B", "1000B", "64KiB", "1MiB", "3GiB", "2TiB"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(format_size(parse_size("1024KiB").unwrap()), "1MiB");
        for text in ["", "5", "5K", "5MB", "5 MiB", "-1B", "+1B", "1.5GiB", "MiB", "5mib", "99999999999TiB", "1B "] {
            assert!(parse_size(text).is_err(), "{text} was taken for a size");
        }
    }

    #[test]
    fn words_for_people_are_right() {
        for (bytes, words) in [(0, "0 B"), (9, "9 B"), (10_239, "10239 B"), (10_240, "10 KiB"), (15 << 40, "15 TiB")] {
            assert_eq!(size_in_words(bytes), words);
        }
        assert_eq!([0, 1, 2].map(|n| counted(n, "message")), ["0 messages", "1 message", "2 messages"]);
    }

    #[test]
    fn times_round_trip() {
        let time = UnixMillis(1_763_872_585_123);
        assert_eq!(UnixMillis::from_rfc3339(&time.to_rfc3339()), Ok(time));
        assert_eq!(UnixMillis(u64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999Z");
    }
}
