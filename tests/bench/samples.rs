//! Durations that were measured, and how they are summed up.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// What was measured, run by run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The sample below which `share` of all lie.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The counts are small and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// How many times as long as `other` it takes.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }

    /// The same for one of `parts` equal parts of each sample.
    pub(crate) fn split(&self, parts: u32) -> Self {
        Self(self.0.iter().map(|sample| *sample / parts.max(1)).collect())
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// The median, and between what the middle four fifths lie.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.quantile(0.1), self.quantile(0.9));
        write!(f, "{} ({}–{})", show(self.median()), show(low), show(high))
    }
}

/// A duration with three digits or so.
pub(crate) fn show(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    match us {
        ..100.0 => format!("{us:.1} µs"),
        100.0..1e3 => format!("{us:.0} µs"),
        1e3..1e6 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

/// How long the command takes, from before its start to its end. It has to succeed.
pub(crate) fn time(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    let took = start.elapsed();
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(took)
}

/// Something that is done once and says how long it took.
pub(crate) type Timed<'a> = Box<dyn FnMut() -> Result<Duration> + 'a>;

/// Does everything once a round, in turns, and sums up each. Every other round runs backwards, so that none
/// always finds what the same neighbour has left for the next journal commit.
pub(crate) fn in_turns(rounds: usize, things: &mut [Timed<'_>]) -> Result<Vec<Samples>> {
    const WARM_UP: usize = 3;
    let mut samples = vec![Samples::default(); things.len()];
    for round in 0..rounds + WARM_UP {
        let mut order: Vec<usize> = (0..things.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let took = things[at]()?;
            if round >= WARM_UP {
                samples[at].push(took);
            }
        }
    }
    Ok(samples)
}
