//! Every decision of a run, drawn from one place and written down.
//!
//! A run is a pure function of its choices: which process goes on, which call fails, when the power goes, what
//! the disk keeps. Choice 0 is always the calm one (go on, no fault, nothing lost), so a run whose choices are
//! replaced by zeros or left out is a simpler run: shrinking needs to know no more than that.

/// A decision that was taken: `value` out of `0..of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub value: u32,
    pub of: u32,
}

#[derive(Debug, Clone)]
enum Source {
    /// Drawn at random, the same for the same seed.
    Seed(u64),
    /// Given; where the script ends calm, or drawn.
    Script(Vec<u32>, Option<u64>),
}

/// Where decisions come from, and those that were taken.
#[derive(Debug, Clone)]
pub struct Choices {
    source: Source,
    taken: Vec<Choice>,
}

impl Choices {
    pub fn from_seed(seed: u64) -> Self {
        Self { source: Source::Seed(seed), taken: Vec::new() }
    }

    pub fn from_script(script: Vec<u32>) -> Self {
        Self { source: Source::Script(script, None), taken: Vec::new() }
    }

    pub fn from_script_and_seed(script: Vec<u32>, seed: u64) -> Self {
        Self { source: Source::Script(script, Some(seed)), taken: Vec::new() }
    }

    pub fn taken(&self) -> &[Choice] {
        &self.taken
    }

    /// One of `0..of`, each as likely.
    pub fn pick(&mut self, of: usize) -> usize {
        self.draw(of, |random| random % of as u64)
    }

    /// 0 but for one time in `one_in`; then one of `1..of`.
    pub fn rarely(&mut self, of: usize, one_in: u64) -> usize {
        self.draw(of, |random| {
            if of < 2 || !random.is_multiple_of(one_in) { 0 } else { 1 + (random / one_in) % (of as u64 - 1) }
        })
    }

    fn draw(&mut self, of: usize, by_chance: impl FnOnce(u64) -> u64) -> usize {
        if of < 2 {
            return 0;
        }
        let most = u32::try_from(of).expect("few options") - 1;
        let drawn = |state: &mut u64| u32::try_from(by_chance(next_random(state))).expect("one of few");
        let value = match &mut self.source {
            Source::Seed(state) => drawn(state),
            Source::Script(script, rest) => match (script.get(self.taken.len()), rest) {
                (Some(value), _) => (*value).min(most),
                (None, Some(state)) => drawn(state),
                (None, None) => 0,
            },
        };
        self.taken.push(Choice { value, of: most + 1 });
        value as usize
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, and good enough to choose by.
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The script that comes after the one that took these choices, if there is one: depth first through all of them.
pub fn next_script(taken: &[Choice]) -> Option<Vec<u32>> {
    let last = taken.iter().rposition(|choice| choice.value + 1 < choice.of)?;
    let mut script: Vec<u32> = taken[..=last].iter().map(|choice| choice.value).collect();
    script[last] += 1;
    Some(script)
}
