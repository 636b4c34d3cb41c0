//! How long a deleted message is kept where the policy has an `archive`. Pure.
//!
//! What is kept is filed under a second that is not before its deletion, the *mark*. The mark says nothing of when the
//! time is over: that is for the policy of the day that asks to say. Marks are a hundredth of the time apart, so that there
//! are about a hundred of them however much is deleted, and nothing is kept for more than a hundredth longer.
//!
//! The clock is the wall clock: one that steps forward ends the time of what is kept sooner, one that steps back later.

use std::time::Duration;

use super::{UnixMillis, UnixSeconds};

/// How far two marks are apart at most: of a year's archive, one hour.
const WIDEST_S: u64 = 3600;

/// The mark of what is deleted at `now` and is to be kept for `keep`: never before `now`.
pub fn mark(now: UnixMillis, keep: Duration) -> UnixSeconds {
    let apart = (keep.as_secs() / 100).clamp(1, WIDEST_S);
    UnixSeconds(now.ceil_seconds().0.div_ceil(apart).saturating_mul(apart))
}

/// From when on what has this mark is not kept any more.
pub fn kept_until(mark: UnixSeconds, keep: Duration) -> UnixSeconds {
    mark.start().plus(keep).ceil_seconds()
}

/// Whether what has this mark is not kept any more. Without an archive nothing is.
pub fn is_over(mark: UnixSeconds, keep: Option<Duration>, now: UnixMillis) -> bool {
    keep.is_none_or(|keep| kept_until(mark, keep).is_due(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_for_less_than_its_time_nor_much_longer() {
        for keep_s in [0, 1, 99, 100, 150, 3600, 86_400, 30 * 86_400, 365 * 86_400] {
            for now in [1, 999, 1000, 1_767_225_600_250, 1_767_225_661_000].map(UnixMillis) {
                let keep = Duration::from_secs(keep_s);
                let mark = mark(now, keep);
                let until = kept_until(mark, keep).start();
                assert!(mark.start() >= now && until >= now.plus(keep), "{keep_s} s at {now:?}: until {until:?}");
                let longest = now.plus(keep + (keep / 100).max(Duration::from_secs(1)) + Duration::from_secs(1));
                assert!(until <= longest, "{keep_s} s at {now:?}: until {until:?}");
                assert!(is_over(mark, Some(keep), until) && !is_over(mark, Some(keep), UnixMillis(until.0 - 1)));
                assert!(is_over(mark, None, now));
            }
        }
    }

    #[test]
    fn there_are_few_marks() {
        let keep = Duration::from_secs(7 * 86_400);
        let marks: std::collections::BTreeSet<u64> =
            (0..7 * 86_400).map(|second| mark(UnixMillis(second * 1000 + 5), keep).0).collect();
        assert!(marks.len() <= 200, "{}", marks.len());
    }
}
