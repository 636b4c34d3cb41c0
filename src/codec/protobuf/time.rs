//! Points in time and spans of it, as Protobuf's JSON spells them: RFC 3339, and seconds with an `s`.

/// The first second of the year 1, and the last of the year 9999.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// Ten thousand years, in days of 86400 seconds.
const LONGEST_SECONDS: i64 = 315_576_000_000;

const DAY_SECONDS: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// `1972-01-01T10:00:20.021Z`, of seconds since 1970 and nanoseconds. `None` if that is no point in time.
pub(super) fn spell_timestamp(seconds: i64, nanos: i64) -> Option<String> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return None;
    }
    let (year, month, day) = date_of(seconds.div_euclid(DAY_SECONDS));
    let second = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{}Z", spell_fraction(nanos)))
}

/// `-1.5s`, of seconds and nanoseconds of the same sign. `None` if that is no span of time.
pub(super) fn spell_duration(seconds: i64, nanos: i64) -> Option<String> {
    let is_negative = seconds < 0 || nanos < 0;
    let fits = (-LONGEST_SECONDS..=LONGEST_SECONDS).contains(&seconds) && (1 - NANOS..NANOS).contains(&nanos);
    if !fits || (is_negative && (seconds > 0 || nanos > 0)) {
        return None;
    }
    let sign = if is_negative { "-" } else { "" };
    Some(format!("{sign}{}{}s", seconds.abs(), spell_fraction(nanos.abs())))
}

/// None, three, six or nine digits.
fn spell_fraction(nanos: i64) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
        _ if nanos % 1000 == 0 => format!(".{:06}", nanos / 1000),
        _ => format!(".{nanos:09}"),
    }
}

/// Seconds since 1970 and nanoseconds.
pub(super) fn read_timestamp(text: &str) -> Option<(i64, i64)> {
    let (date, time) = text.split_once('T')?;
    let (time, offset_seconds) = if let Some(time) = time.strip_suffix('Z') { (time, 0) } else { split_offset(time)? };
    let (time, nanos) = match time.split_once('.') {
        Some((time, fraction)) => (time, read_fraction(fraction)?),
        None => (time, 0),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_of(year, month, day);
    // A day that its month does not have is another one.
    if date_of(days) != (year, month, day) {
        return None;
    }
    let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset_seconds;
    (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then_some((seconds, nanos))
}

/// The time of `10:00:20+01:00`, and how many seconds that is ahead.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    let (time, offset) = time.split_at_checked(time.len().checked_sub(6)?)?;
    let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
    let seconds = hours * 3600 + minutes * 60;
    let fits = hours <= 23 && minutes <= 59;
    match offset.as_bytes()[0] {
        b'+' if fits => Some((time, seconds)),
        b'-' if fits => Some((time, -seconds)),
        _ => None,
    }
}

/// Seconds, and nanoseconds of the same sign.
pub(super) fn read_duration(text: &str) -> Option<(i64, i64)> {
    let text = text.strip_suffix('s')?;
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, nanos) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, read_fraction(fraction)?),
        None => (text, 0),
    };
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|seconds| *seconds <= LONGEST_SECONDS)?;
    Some((sign * seconds, sign * nanos))
}

/// Nanoseconds of up to nine digits.
fn read_fraction(digits: &str) -> Option<i64> {
    let is_fraction = matches!(digits.len(), 1..=9) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_fraction.then(|| format!("{digits:0<9}").parse().ok()).flatten()
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, len) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != len || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// The days from 1970-01-01 to a date of the Gregorian calendar. Years begin with March here, so that the day that only some
/// of them have is the last one.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The other way round.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year_of_era, month + 3) } else { (year_of_era + 1, month - 9) };
    (era * 400 + year, month, day)
}
