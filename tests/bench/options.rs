//! What the caller asks for.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

const USAGE: &str = "\
options (after `cargo bench --bench speed --`):
  --dir DIR          measure in DIR, instead of on a journaled ext4 made for the purpose
  --small            a quick pass, with small counts
  --depths N,N,…     the depths of the queues for the part 'depth'
  --only NAME,…      only these parts";

/// What to measure, and where.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) small: bool,
    pub(crate) depths: Vec<u64>,
    pub(crate) only: Vec<String>,
}

impl Options {
    pub(crate) fn from_args() -> Result<Self> {
        let mut is_bench = false;
        let mut options = Self { dir: None, small: false, depths: Vec::new(), only: Vec::new() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| anyhow::anyhow!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--bench" => is_bench = true,
                "--small" => options.small = true,
                "--dir" => options.dir = Some(std::path::absolute(value()?)?),
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--depths" => {
                    for depth in value()?.split(',') {
                        options.depths.push(depth.parse()?);
                    }
                }
                _ => bail!("'{arg}' is not an option\n{USAGE}"),
            }
        }
        for name in &options.only {
            let known = super::PARTS.map(|(part, _)| part);
            ensure!(known.contains(&name.as_str()), "'{name}' is not a part: {}", known.join(", "));
        }
        options.small |= !is_bench;
        if options.depths.is_empty() {
            options.depths = if options.small { vec![1_000, 4_000] } else { vec![1_000, 10_000, 100_000, 1_000_000] };
        }
        options.depths.sort_unstable();
        Ok(options)
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }

    /// `full`, or in a small pass `small`.
    pub(crate) fn pick<T>(&self, full: T, small: T) -> T {
        if self.small { small } else { full }
    }

    /// How many messages the deepest queue has.
    pub(crate) fn deepest(&self) -> u64 {
        self.depths.last().copied().unwrap_or(0)
    }
}
