//! `mq stat --prometheus`: the text is what Prometheus reads, and the numbers are those of `mq stat --json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::stat::OF_2020;
use crate::support::{Spool, run};

/// Series by what stands before their value.
type Series = BTreeMap<String, f64>;

/// The labels of a series, or what is wrong with them.
fn labels(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or_else(|| format!("no value in {rest}"))?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("{name} is no name"));
        }
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without an end")? {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => value.push(c),
                    other => return Err(format!("escaped is {other:?}")),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after[end..].strip_prefix(',').unwrap_or(&after[end..]);
    }
    let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
    if names.len() == labels.len() { Ok(labels) } else { Err(format!("a label twice in {text}")) }
}

/// Reads the text exposition format: HELP and TYPE come once for each metric, before all of its series, which follow one another;
/// no series is there twice; every line ends.
fn parse(text: &str) -> Result<Series, String> {
    let mut series = Series::new();
    let mut seen = BTreeSet::new();
    let (mut helped, mut typed) = (String::new(), String::new());
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').ok_or_else(|| format!("no words in {line}"))?;
            if words.is_empty() || !seen.insert(name.to_owned()) {
                return Err(format!("not the first of its metric, or empty: {line}"));
            }
            name.clone_into(&mut helped);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let name = kind.strip_suffix(" gauge").ok_or_else(|| format!("no gauge: {line}"))?;
            if name != helped || name == typed {
                return Err(format!("not after its HELP: {line}"));
            }
            name.clone_into(&mut typed);
        } else {
            let (name, value) = line.rsplit_once(' ').ok_or_else(|| format!("no value: {line}"))?;
            let metric = name.split('{').next().unwrap_or_default();
            if metric != typed {
                return Err(format!("not after its TYPE: {line}"));
            }
            if let Some(inside) = name[metric.len()..].strip_prefix('{') {
                labels(inside.strip_suffix('}').ok_or_else(|| format!("no end: {line}"))?)?;
            }
            let value = value.parse().map_err(|_| format!("no number: {line}"))?;
            if series.insert(name.to_owned(), value).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
    }
    Ok(series)
}

#[test]
fn what_prometheus_would_refuse_is_found() {
    let whole = "# HELP a b c\n# TYPE a gauge\na{x=\"\\\\ \\\" \\n }\",y=\"\"} 1\na 2\n";
    assert_eq!(parse(whole).unwrap().len(), 2);
    assert_eq!(labels("x=\"\\\\ \\\" \\n }\"").unwrap(), [("x".to_owned(), "\\ \" \n }".to_owned())]);
    for broken in [
        "a 1\n",
        "# HELP a b\na 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a b\n# TYPE a gauge\na 1",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a b\n# TYPE a gauge\na x\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"\"\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"\\t\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\n# HELP b b\n# TYPE b gauge\nb 1\na{x=\"1\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\n# HELP a b\n",
    ] {
        assert!(parse(broken).is_err(), "{broken}");
    }
}

/// Messages in every state, several deliveries, dead letters, a queue that is paused and one that is empty, and names
/// with all that a name may have.
fn busy() -> Spool {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\nd\n").ok();
    spool.mq_with(&["import", "q"], OF_2020).ok();
    spool.claim("q", "1h");
    spool.mq(&["put", "q", "--delay", "1h", "-m", "d"]).ok();
    spool.mq(&["get", "q", "--", "false"]).status(1);
    spool.mq(&["create", "_A.b-9", "max-deliveries=1"]).ok();
    spool.put("_A.b-9", "dead");
    spool.mq(&["get", "_A.b-9", "--", "false"]).status(1);
    spool.mq(&["pause", "_A.b-9"]).ok();
    spool.mq(&["create", "y".repeat(80).as_str()]).ok();
    spool
}

/// The metrics of all queues.
#[track_caller]
fn metrics(spool: &Spool, args: &[&str]) -> Series {
    let ran = spool.mq(&[&["stat", "--prometheus"][..], args].concat()).ok().quiet();
    parse(ran.text()).unwrap_or_else(|wrong| panic!("{wrong}: {ran}"))
}

fn sum(series: &Series, metric: &str, label: &str) -> f64 {
    let is_meant = |name: &str| name.starts_with(&format!("{metric}{{")) && name.contains(label);
    series.iter().filter(|(name, _)| is_meant(name)).map(|(_, value)| value).sum()
}

#[test]
#[allow(clippy::float_cmp)] // Whole numbers.
fn metrics_are_what_stat_counts() {
    let spool = busy();
    let series = metrics(&spool, &[]);
    assert_eq!(series["mq_queues"], 4.0);
    for stat in spool.mq(&["stat", "--json"]).ok().jsons() {
        let label = format!("queue=\"{}\"", stat["queue"].as_str().unwrap());
        let number = |key: &str| stat[key].as_f64().unwrap();
        let mut messages = 0.0;
        for (state, found) in stat["by_state"].as_object().unwrap() {
            let labels = format!("{{{label},state=\"{state}\"}}");
            assert_eq!(series[&format!("mq_messages{labels}")], number(state));
            let age_s = series[&format!("mq_oldest_message_age_seconds{labels}")];
            let later_ms = found["oldest_age_ms"].as_f64().unwrap_or(0.0);
            assert!(age_s <= later_ms / 1000.0, "{state}: {age_s} s, then {later_ms} ms");
            assert_eq!(sum(&series, "mq_messages_by_age", &labels[1..labels.len() - 1]), number(state));
            messages += number(state);
        }
        assert_eq!(sum(&series, "mq_messages", &label), messages);
        assert_eq!(sum(&series, "mq_messages_by_deliveries", &label), messages);
        assert_eq!(series[&format!("mq_queue_size_bytes{{{label}}}")], number("bytes"));
        assert_eq!(series[&format!("mq_queue_up{{{label}}}")], 1.0);
        let paused = f64::from(u8::from(stat["policy"]["paused"] == true));
        assert_eq!(series[&format!("mq_queue_paused{{{label}}}")], paused);
    }
    assert_eq!(series["mq_messages_by_age{queue=\"q\",state=\"ready\",age=\"7d+\"}"], 1.0);
    assert_eq!(series["mq_messages_by_deliveries{queue=\"q\",deliveries=\"3-4\"}"], 1.0);
    assert!(series["mq_oldest_message_age_seconds{queue=\"q\",state=\"ready\"}"] > 1e8);
    assert_eq!(series["mq_queue_paused{queue=\"_A.b-9\"}"], 1.0);
    let one = metrics(&spool, &["q"]);
    assert!(one.keys().all(|name| name == "mq_queues" || name.contains("queue=\"q\"")), "{one:?}");
}

#[test]
#[allow(clippy::float_cmp)] // Whole numbers.
fn dead_letters_count_once_and_from_the_beginning() {
    let spool = busy();
    for queue in ["a", "b"] {
        spool.mq(&["create", queue, "max-deliveries=1", "dead-letter=graves"]).ok();
    }
    let of = |series: &Series| {
        let dead = series.iter().filter(|(name, _)| name.starts_with("mq_dead_letters"));
        dead.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>()
    };
    let there = "mq_dead_letters{queue=\"_A.b-9.dead\"} 1";
    // An alert on a series that comes up with the first dead letter would miss it.
    assert_eq!(of(&metrics(&spool, &[])), [there, "mq_dead_letters{queue=\"graves\"} 0"]);
    for queue in ["a", "b", "b"] {
        spool.put(queue, "body");
        spool.mq(&["get", queue, "--", "false"]).status(1);
    }
    assert_eq!(of(&metrics(&spool, &[])), [there, "mq_dead_letters{queue=\"graves\"} 3"]);
    assert_eq!(of(&metrics(&spool, &["a"])), ["mq_dead_letters{queue=\"graves\"} 3"]);
    // Also those that lie there from before the limit was taken away.
    spool.mq(&["set", "_A.b-9", "max-deliveries=none"]).ok();
    assert_eq!(of(&metrics(&spool, &["_A.b-9"])), [there]);
    spool.mq(&["--spool", "empty", "stat", "--prometheus"]).ok();
    assert_eq!(metrics(&spool, &["--spool", "empty"]), Series::from([("mq_queues".to_owned(), 0.0)]));
}

#[test]
fn labels_are_on_every_series_whatever_they_say() {
    let spool = busy();
    let plain = metrics(&spool, &[]);
    let nasty = "a \\ \" \n {},= ü";
    let labelled = metrics(&spool, &["--label", &format!("spool={nasty}"), "--label", "empty="]);
    assert_eq!(labelled.len(), plain.len());
    for name in labelled.keys() {
        let inside = name.split_once('{').unwrap().1.strip_suffix('}').unwrap();
        let found = labels(inside).unwrap();
        assert!(found.contains(&("spool".to_owned(), nasty.to_owned())), "{name}");
        assert!(found.contains(&("empty".to_owned(), String::new())), "{name}");
    }
    for label in ["queue=x", "a-b=x", "__x=y", "spool", "=x"] {
        spool.mq(&["stat", "--prometheus", "--label", label]).status(2).silent();
    }
    spool.mq(&["stat", "--prometheus", "--label", "a=1", "--label", "a=2"]).fails(2).says("'a' is there twice");
}

#[test]
fn the_manual_has_every_metric_with_its_labels() {
    let spool = busy();
    let manual = spool.mq(&["man", "stat"]).ok();
    let of_manual: BTreeSet<String> =
        manual.lines().into_iter().filter(|line| line.starts_with("mq_")).map(|line| line.replace(' ', "")).collect();
    let shown = |name: &String| match name.split_once('{') {
        Some((metric, inside)) => {
            let names: Vec<_> = labels(inside.strip_suffix('}').unwrap()).unwrap().into_iter().map(|l| l.0).collect();
            format!("{metric}{{{}}}", names.join(","))
        }
        None => name.clone(),
    };
    assert_eq!(metrics(&spool, &[]).keys().map(shown).collect::<BTreeSet<_>>(), of_manual);
}

#[test]
fn promtool_finds_nothing() {
    let spool = busy();
    let mut check = spool.command("promtool");
    check.args(["check", "metrics"]);
    if spool.command("promtool").arg("--version").output().is_err() {
        return println!("skipped: needs promtool");
    }
    spool.mq(&["stat", "--prometheus", "--label", "spool=\"\\\n", "--output", "mq.prom"]).ok().quiet().silent();
    run(check, &spool.read("mq.prom")).ok().quiet().silent();
}

#[test]
fn the_file_is_replaced_in_one_step() {
    let spool = busy();
    let args = ["stat", "--prometheus", "--output", "textfiles/mq.prom"];
    fs::create_dir(spool.path("textfiles")).unwrap();
    spool.mq(&args).ok().quiet().silent();
    let first = spool.read("textfiles/mq.prom");
    parse(std::str::from_utf8(&first).unwrap()).unwrap();
    // Who has the old one open goes on reading the old one.
    fs::hard_link(spool.path("textfiles/mq.prom"), spool.path("old")).unwrap();
    spool.put("q", "more");
    let mut command = spool.command("sh");
    command.args(["-c", "umask 022; exec mq \"$@\"", "sh"]).args(args);
    run(command, b"").ok().quiet().silent();
    assert_eq!(spool.read("old"), first);
    let second = fs::metadata(spool.path("textfiles/mq.prom")).unwrap();
    assert_ne!(second.ino(), fs::metadata(spool.path("old")).unwrap().ino());
    assert_eq!(second.permissions().mode() & 0o777, 0o644, "node_exporter is another user");
    assert_eq!(fs::read_dir(spool.path("textfiles")).unwrap().count(), 1, "nothing is left beside it");
    // What cannot be counted at all leaves the file as it is, to be seen as old.
    fs::write(spool.root().join("format"), "another\n").unwrap();
    let before = spool.read("textfiles/mq.prom");
    spool.mq(&args).fails(78);
    assert_eq!(spool.read("textfiles/mq.prom"), before);
    assert_eq!(fs::metadata(spool.path("textfiles/mq.prom")).unwrap().ino(), second.ino());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let spool = busy();
    for args in [
        &["--output", "x.prom"][..],
        &["--label", "a=b"],
        &["--prometheus", "--json"],
        &["--prometheus", "--shape"],
        &["--prometheus", "--watch"],
    ] {
        spool.mq(&[&["stat"][..], args].concat()).status(2).silent();
        assert!(!spool.path("x.prom").exists());
    }
    let ran = spool.mq(&["stat", "--prometheus", "--output", "no/such/x.prom"]);
    ran.fails(74).says("cannot write no/such/x.prom");
}

#[test]
#[allow(clippy::float_cmp)] // Whole numbers.
fn a_queue_in_trouble_is_down_and_does_not_hide_the_others() {
    let spool = busy();
    spool.mq(&["create", "bad"]).ok();
    fs::write(spool.queue_dir("bad").join("policy.json"), "{\n  \"visibility\": 5\n}\n").unwrap();
    let ran = spool.mq(&["stat", "--prometheus", "--output", "x.prom"]).fails(78).says("bad/policy.json");
    let series = parse(std::str::from_utf8(&spool.read("x.prom")).unwrap()).unwrap();
    assert_eq!((series["mq_queue_up{queue=\"bad\"}"], series["mq_queue_up{queue=\"q\"}"]), (0.0, 1.0), "{ran}");
    assert_eq!(series["mq_queues"], 5.0);
    let of_bad: Vec<_> = series.keys().filter(|name| name.contains("\"bad\"")).collect();
    assert_eq!(of_bad, ["mq_queue_up{queue=\"bad\"}"], "what is not known is not said");
    let ran = spool.mq(&["stat", "missing", "--prometheus"]).breaks(66);
    assert_eq!(parse(ran.text()).unwrap()["mq_queue_up{queue=\"missing\"}"], 0.0);
}
