//! `stat` for people: a line for each queue, or one queue in full, with tables in the manner of qshape(1).

use std::fmt::{Result, Write as _};
use std::time::Duration;

use super::flow::{Flow, Flows};
use super::{Look, Looks, StatArgs};
use crate::commands::visible;
use crate::domain::units::format_duration;
use crate::domain::{Policy, UnixMillis};
use crate::store::{AGE_LIMITS_S, Ages, DELIVERY_LIMITS, Stat, StateName, chain};

/// An age in at most five columns: `59s`, `4m`, `23h`, `400d`.
pub(in crate::commands) fn short_age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// What one look shows; with `flows`, also what came and went since the one before.
pub(super) fn shown(
    args: &StatArgs,
    looks: &Looks,
    flows: Option<&Flows>,
) -> std::result::Result<String, std::fmt::Error> {
    let mut text = String::new();
    if args.queue.is_some() {
        for look in &looks.counted {
            in_full(&mut text, look, flows, looks.now)?;
        }
        return Ok(text);
    }
    heading(&mut text, flows.is_some())?;
    for look in &looks.counted {
        row(&mut text, look, flows, looks.now)?;
    }
    if flows.is_some() {
        // While the screen is drawn again and again, nothing else can be told on it.
        for (queue, error) in &looks.failed {
            writeln!(text, "{:<20} {}", queue.as_str(), visible(&chain(error)))?;
        }
    }
    if args.shape {
        shape_of_all(&mut text, looks)?;
    }
    Ok(text)
}

pub(super) fn oldest(stat: &Stat, now: UnixMillis) -> String {
    stat.oldest.map_or_else(|| "-".to_owned(), |oldest| short_age(oldest.age_at(now)))
}

/// A rate in few columns; `-` if it cannot be told.
pub(super) fn rate(flow: Option<Flow>, per_s: impl Fn(Flow) -> f64) -> String {
    match flow.map(per_s) {
        None => "-".to_owned(),
        Some(per_s) if per_s < 1000.0 => format!("{per_s:.1}"),
        Some(per_s) => format!("{per_s:.0}"),
    }
}

fn heading(text: &mut String, is_watched: bool) -> Result {
    write!(text, "{:<20}", "QUEUE")?;
    for state in StateName::ALL {
        write!(text, " {:>8}", state.as_str().to_uppercase())?;
    }
    if is_watched {
        write!(text, " {:>8} {:>8}", "IN/S", "OUT/S")?;
    }
    writeln!(text, " {:>6}  NOTES", "OLDEST")
}

fn row(text: &mut String, look: &Look, flows: Option<&Flows>, now: UnixMillis) -> Result {
    let Look { queue, stat, .. } = look;
    let mut notes = Vec::new();
    if stat.policy.paused {
        notes.push("paused".to_owned());
    }
    if stat.is_full() {
        notes.push("full".to_owned());
    }
    if stat.corrupt > 0 {
        notes.push(format!("{} corrupt", stat.corrupt));
    }
    if stat.strays > 0 {
        notes.push(format!("{} stray", stat.strays));
    }
    if stat.archived > 0 {
        notes.push(format!("{} archived", stat.archived));
    }
    let mut line = format!("{:<20}", queue.as_str());
    for state in StateName::ALL {
        write!(line, " {:>8}", stat.of(state).messages)?;
    }
    if let Some(flows) = flows {
        let flow = flows.of(queue);
        write!(line, " {:>8} {:>8}", rate(flow, Flow::in_per_s), rate(flow, Flow::out_per_s))?;
    }
    write!(line, " {:>6}  {}", oldest(stat, now), notes.join(", "))?;
    writeln!(text, "{}", line.trim_end())
}

fn in_full(text: &mut String, look: &Look, flows: Option<&Flows>, now: UnixMillis) -> Result {
    let Look { queue, stat, .. } = look;
    writeln!(text, "queue        {queue}{}", if stat.policy.paused { " (paused)" } else { "" })?;
    for state in StateName::ALL {
        writeln!(text, "{:<12} {}", state.as_str(), stat.of(state).messages)?;
    }
    writeln!(text, "corrupt      {}", stat.corrupt)?;
    writeln!(text, "temporaries  {}", stat.temporaries)?;
    if stat.archived > 0 || stat.policy.archive.is_some() {
        writeln!(text, "archived     {}", stat.archived)?;
    }
    writeln!(text, "bytes        {}", stat.bytes)?;
    writeln!(text, "oldest       {}", oldest(stat, now))?;
    if let Some(flows) = flows {
        let flow = flows.of(queue);
        writeln!(text, "in           {}/s", rate(flow, Flow::in_per_s))?;
        writeln!(text, "out          {}/s", rate(flow, Flow::out_per_s))?;
    }
    writeln!(text, "policy       {}", policy_words(&stat.policy))?;
    if stat.strays > 0 {
        writeln!(text, "strays       {} (not of this queue; left alone)", stat.strays)?;
        for path in &stat.stray_examples {
            writeln!(text, "             {}", visible(&path.display().to_string()))?;
        }
    }
    if stat.messages() > 0 {
        table(text, "state", &by_state(&[stat]))?;
        table(text, "deliveries", &by_deliveries(&[stat]))?;
    }
    Ok(())
}

fn shape_of_all(text: &mut String, looks: &Looks) -> Result {
    let stats: Vec<&Stat> = looks.counted.iter().map(|look| &look.stat).collect();
    let by_queue: Vec<_> = looks
        .counted
        .iter()
        .map(|look| (look.queue.to_string(), sum(look.stat.by_state.iter().map(|s| s.by_age))))
        .collect();
    table(text, "queue", &by_queue)?;
    table(text, "state", &by_state(&stats))?;
    table(text, "deliveries", &by_deliveries(&stats))
}

/// The settings that are shown whatever they are.
const ALWAYS_SHOWN: [&str; 5] = ["visibility", "max-deliveries", "delay", "retention", "durability"];

fn policy_words(policy: &Policy) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let retention = policy.retention.map_or_else(|| "none".to_owned(), format_duration);
    let mut words = format!(
        "visibility={} max-deliveries={} delay={} retention={} durability={}",
        format_duration(policy.visibility),
        number(policy.max_deliveries),
        format_duration(policy.delay),
        retention,
        policy.durability
    );
    // Of the others, what is default is left out of the policy's file, and here. (Of a back-off all is told.)
    let file = serde_json::to_value(policy).unwrap_or_default();
    for key in Policy::KEYS.into_iter().filter(|key| !ALWAYS_SHOWN.contains(key)) {
        let value = match (key, file.get(key)) {
            ("reserve", Some(_)) if policy.reserve == Some(0) => "none".to_owned(),
            ("reserve-inodes", Some(_)) if policy.reserve_inodes == Some(0) => "none".to_owned(),
            (_, Some(value)) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            ("retry-factor", None) if !policy.retry_delay.is_zero() => policy.retry_factor.to_string(),
            ("retry-max", None) if !policy.retry_delay.is_zero() => format_duration(policy.retry_max),
            ("retry-jitter", None) if !policy.retry_delay.is_zero() => policy.retry_jitter.to_string(),
            _ => continue,
        };
        let _ = write!(words, " {key}={value}");
    }
    words
}

/// A row of a table: what it is about, and how many messages there are of each age.
type Row = (String, Ages);

fn sum(rows: impl IntoIterator<Item = Ages>) -> Ages {
    rows.into_iter().fold(Ages::default(), |sums, row| std::array::from_fn(|column| sums[column] + row[column]))
}

fn by_state(stats: &[&Stat]) -> Vec<Row> {
    let row = |state: StateName| sum(stats.iter().map(|stat| stat.of(state).by_age));
    StateName::ALL.into_iter().map(|state| (state.to_string(), row(state))).collect()
}

/// Up to the most deliveries that there are.
fn by_deliveries(stats: &[&Stat]) -> Vec<Row> {
    let row = |row: usize| (row_label(row), sum(stats.iter().map(|stat| stat.shape[row])));
    let mut rows: Vec<Row> = (0..=DELIVERY_LIMITS.len()).map(row).collect();
    while rows.len() > 1 && rows.last().is_some_and(|(_, ages)| *ages == Ages::default()) {
        rows.pop();
    }
    rows
}

/// A table of messages by age, with totals, after an empty line: in 80 columns as long as the numbers allow.
fn table(text: &mut String, of: &str, rows: &[Row]) -> Result {
    let all = sum(rows.iter().map(|(_, ages)| *ages));
    let total = |ages: &Ages| ages.iter().sum::<u64>();
    let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(10);
    let digits = total(&all).to_string().len().max(6);
    write!(text, "\n{of:>names$} {:>digits$}", "total")?;
    for limit in AGE_LIMITS_S {
        write!(text, " {:>digits$}", format!("<{}", short_age(Duration::from_secs(limit))))?;
    }
    writeln!(text, " {:>digits$}", "older")?;
    for (name, ages) in [("total", &all)].into_iter().chain(rows.iter().map(|(name, ages)| (name.as_str(), ages))) {
        write!(text, "{name:>names$} {:>digits$}", total(ages))?;
        for count in ages {
            write!(text, " {count:>digits$}")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// The deliveries that a row of [`Stat::shape`] is about.
pub(super) fn row_label(row: usize) -> String {
    let low = if row == 0 { 0 } else { DELIVERY_LIMITS[row - 1] + 1 };
    match DELIVERY_LIMITS.get(row) {
        Some(high) if *high == low => low.to_string(),
        Some(high) => format!("{low}-{high}"),
        None => format!("{low}+"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_fit_into_80_columns_up_to_a_million() {
        for (count, widest) in [(0, 80), (999_999 / 8, 80), (u64::MAX / 64, 200)] {
            let rows: Vec<Row> = StateName::ALL.iter().map(|state| (state.to_string(), [count; 8])).collect();
            let mut text = String::new();
            table(&mut text, "state", &rows[..1]).unwrap();
            let lines: Vec<&str> = text.lines().skip(1).collect();
            assert_eq!(lines.len(), 3);
            assert!(lines.iter().all(|line| line.len() == lines[0].len() && line.len() <= widest), "{text}");
            let columns = lines[0].split_whitespace().count();
            assert!(columns == 10 && lines.iter().all(|line| line.split_whitespace().count() == columns), "{text}");
        }
    }

    #[test]
    fn a_table_counts_no_message_twice() {
        let ages = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut text = String::new();
        table(&mut text, "state", &[("ready".to_owned(), ages), ("held".to_owned(), ages)]).unwrap();
        let line = |name: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(name) && !line.contains('<'));
            line.unwrap().split_whitespace().skip(1).map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(line("total"), [72, 2, 4, 6, 8, 10, 12, 14, 16]);
        assert_eq!(line("held"), [36, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_cannot_be_told_is_shown_as_that() {
        let flow = |came_in| Flow { over: Duration::from_secs(2), came_in, went_out: 0 };
        assert_eq!(rate(None, Flow::in_per_s), "-");
        assert_eq!(rate(Some(flow(0)), Flow::in_per_s), "0.0");
        assert_eq!(rate(Some(flow(5)), Flow::in_per_s), "2.5");
        assert_eq!(rate(Some(flow(24_690)), Flow::in_per_s), "12345");
    }
}
