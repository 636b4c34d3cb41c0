//! The manual: a page per verb out of the definition that --help shows, and those written by hand.
//!
//! The pages are in the language of man(7). What a help text marks with backticks is set in bold; what it indents is
//! an example; a line after it such as `Examples:` begins a section of that name.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};

use super::exit;
use super::roff::{self, Roff};
use crate::commands::streams::{Stdout, StdoutError};
use crate::commands::{Outcome, Usage};

pub(super) const ABOUT: &str = "Print a page of the manual";

/// Pages that no definition knows: the format and protocol of the spool, and what may be relied on.
const BY_HAND: [(&str, &str); 2] = [
    ("mq-spool.5", include_str!("../../man/mq-spool.5")),
    ("mq-reliability.7", include_str!("../../man/mq-reliability.7")),
];

/// The date that every page bears: that of this version, or a page would be another one tomorrow.
const DATE: &str = "2026-11-23";

const ENVIRONMENT: [(&str, &str); 3] = [
    ("MQ_SPOOL", "The spool, when --spool does not name one."),
    ("XDG_STATE_HOME", "Without either, the spool is the directory mq in here; a relative path is passed over."),
    ("HOME", "Without any of these, the spool is .local/state/mq in here."),
];

const FILES: [(&str, &str); 1] = [("~/.local/state/mq", "The spool of a user who does not say otherwise.")];

/// Options that every verb has, and mq(1) explains.
const EVERYWHERE: [&str; 3] = ["spool", "help", "version"];

pub(super) fn define(command: Command) -> Command {
    command
        .long_about(
            "Print a page of the manual\n\nWithout PAGE: mq(1). A page is named as a verb, or as its file: put, \
             mq-put.1, mq-spool.5. It is in the language of man(7), for man(1) or mandoc(1) to show.",
        )
        .after_long_help("Examples:\n  mq man put | man -l -\n  mq man --list")
        .arg(Arg::new("page").value_name("PAGE").help("Which page"))
        .arg(Arg::new("list").long("list").action(clap::ArgAction::SetTrue).help("The names of all pages, one a line"))
}

pub(super) fn run(matches: &ArgMatches) -> Result<Outcome> {
    let pages = pages();
    let text = if matches.get_flag("list") {
        pages.iter().flat_map(|(name, _)| [name.as_str(), "\n"]).collect()
    } else {
        let wanted = matches.get_one::<String>("page").map_or("mq.1", String::as_str);
        let page = pages
            .into_iter()
            .find(|(name, _)| name.split('.').next() == Some(wanted) || name == wanted || is_verb(name, wanted));
        page.ok_or_else(|| Usage(format!("there is no page '{wanted}'; `mq man --list` shows the pages there are")))?.1
    };
    Stdout.write_all(text.as_bytes()).map_err(StdoutError)?;
    Ok(Outcome::Done)
}

fn is_verb(page: &str, verb: &str) -> bool {
    page.strip_prefix("mq-").and_then(|name| name.split('.').next()) == Some(verb)
}

/// Every page, by the name of its file.
fn pages() -> Vec<(String, String)> {
    let mut command = super::definition(true);
    command.build();
    let mut pages = vec![("mq.1".to_owned(), page_of_all(&command))];
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        pages.push((format!("mq-{}.1", verb.get_name()), page_of(verb)));
    }
    pages.extend(BY_HAND.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    pages
}

/// mq(1): the verbs, and what holds for all of them.
fn page_of_all(command: &Command) -> String {
    let mut page = begin("mq", command);
    page.section("SYNOPSIS");
    page.line(&format!("\\fBmq\\fR [\\fB{}\\fR \\fIDIR\\fR] \\fIVERB\\fR [...]", roff::escape("--spool")));
    describe(&mut page, command);
    page.section("VERBS");
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        page.item(&roff::page_reference(&format!("mq-{}", verb.get_name()), 1), &about(verb));
    }
    page.section("OPTIONS");
    for arg in command.get_arguments() {
        page.item(&header(arg), &help_of(arg));
    }
    page.section("EXIT STATUS");
    for (status, meaning) in exit::TABLE {
        page.item(&roff::bold(&status.to_string()), &format!("{meaning}."));
    }
    page.item(
        &roff::bold("126, 127"),
        "With a command: it cannot be run, or is not there. Any other status is its own.",
    );
    page.section("ENVIRONMENT");
    for (name, meaning) in ENVIRONMENT {
        page.item(&roff::bold(name), meaning);
    }
    page.section("FILES");
    for (path, meaning) in FILES {
        page.item(&roff::italic(path), meaning);
    }
    // Its exit statuses are those above, in short.
    after_help(&mut page, command, &["EXIT STATUS"]);
    let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    let verbs = verbs.map(|verb| (format!("mq-{}", verb.get_name()), 1));
    see_also(&mut page, verbs.chain([("mq-spool".to_owned(), 5), ("mq-reliability".to_owned(), 7)]));
    page.finish()
}

/// The page of one verb.
fn page_of(verb: &Command) -> String {
    let title = format!("mq-{}", verb.get_name());
    let mut page = begin(&title, verb);
    page.section("SYNOPSIS");
    page.line(&synopsis(verb));
    describe(&mut page, verb);
    let args: Vec<&Arg> = verb.get_arguments().filter(|arg| !is_everywhere(arg)).collect();
    page.section("OPTIONS");
    for arg in args.iter().filter(|arg| arg.is_positional()).chain(args.iter().filter(|arg| !arg.is_positional())) {
        page.item(&header(arg), &help_of(arg));
    }
    page.paragraph("The options of every verb, `--spool` and `--help`, are in `mq`(1).");
    after_help(&mut page, verb, &[]);
    if !text_after(verb).contains("Exit status") {
        page.section("EXIT STATUS");
        page.paragraph("As in `mq`(1).");
    }
    let related = mentioned(verb).into_iter().map(|verb| (format!("mq-{verb}"), 1));
    see_also(&mut page, [("mq".to_owned(), 1)].into_iter().chain(related).chain([("mq-spool".to_owned(), 5)]));
    page.finish()
}

fn begin(title: &str, command: &Command) -> Roff {
    let mut page = Roff::new(title, 1, DATE, concat!("mq ", env!("CARGO_PKG_VERSION")));
    page.section("NAME");
    // apropos(1) reads this line.
    let about = about(command);
    let about = about.chars().take(1).flat_map(char::to_lowercase).chain(about.chars().skip(1)).collect::<String>();
    page.line(&format!("{} \\- {}", roff::escape(title), roff::escape(&about)));
    page
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn is_everywhere(arg: &Arg) -> bool {
    EVERYWHERE.contains(&arg.get_id().as_str())
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().map(clap::builder::Str::as_str).collect::<Vec<_>>().join(" ")
}

fn is_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// `mq put [OPTIONS] QUEUE [FILE...]`, with the options that cannot be left out.
fn synopsis(verb: &Command) -> String {
    let mut words = vec![roff::bold(verb.get_bin_name().unwrap_or("mq"))];
    let args: Vec<&Arg> = verb.get_arguments().filter(|arg| !is_everywhere(arg)).collect();
    if args.iter().any(|arg| !arg.is_positional() && !arg.is_required_set()) {
        words.push(format!("[{}]", roff::italic("OPTIONS")));
    }
    for arg in args.iter().filter(|arg| !arg.is_positional() && arg.is_required_set()) {
        words.push(header(arg));
    }
    for arg in args.iter().filter(|arg| arg.is_positional()) {
        let dashes = if arg.is_last_set() { format!("{} ", roff::bold("--")) } else { String::new() };
        let dots = if is_many(arg) { "..." } else { "" };
        let word = format!("{dashes}{}{dots}", roff::italic(&value_name(arg)));
        words.push(if arg.is_required_set() { word } else { format!("[{word}]") });
    }
    words.join(" ")
}

/// An option with its names and its value, or an argument's name.
fn header(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let aliases = arg.get_visible_aliases().unwrap_or_default().into_iter().map(|alias| format!("--{alias}"));
    let names: Vec<String> = short.into_iter().chain(long).chain(aliases).map(|name| roff::bold(&name)).collect();
    let takes_values = arg.get_num_args().is_some_and(|range| range.takes_values());
    let value = if takes_values { roff::italic(&value_name(arg)) } else { String::new() };
    if takes_values && arg.is_require_equals_set() {
        return format!("{}[={value}]", names.join(", "));
    }
    let dots = if arg.is_positional() && is_many(arg) { "..." } else { "" };
    format!("{} {value}{dots}", names.join(", ")).trim().to_owned()
}

fn help_of(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let takes_values = arg.get_num_args().is_some_and(|range| range.takes_values());
    if takes_values && !defaults.is_empty() {
        let _ = write!(text, " [default: {}]", defaults.join(" "));
    }
    let possible: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if takes_values && !possible.is_empty() {
        let _ = write!(text, " [{}]", possible.join(", "));
    }
    text
}

/// The description, without its first line, which is in NAME.
fn describe(page: &mut Roff, command: &Command) {
    page.section("DESCRIPTION");
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let (_, rest) = long.split_once("\n\n").unwrap_or_default();
    if rest.is_empty() {
        page.paragraph(&format!("{}.", about(command)));
    } else {
        page.text(rest);
    }
}

fn text_after(command: &Command) -> String {
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    after.map(ToString::to_string).unwrap_or_default()
}

/// What stands below the options of a help text: sections, each with a heading that ends in a colon.
fn after_help(page: &mut Roff, command: &Command, except: &[&str]) {
    for block in text_after(command).split("\n\n") {
        let (heading, rest) = block.split_once(":\n").unwrap_or(("Notes", block));
        let heading = if heading == "Example" { "EXAMPLES".to_owned() } else { heading.to_uppercase() };
        if !rest.trim().is_empty() && !except.contains(&heading.as_str()) {
            page.section(&heading);
            page.text(rest);
        }
    }
}

/// The verbs that a verb's help speaks of.
fn mentioned(verb: &Command) -> Vec<String> {
    let long = verb.get_long_about().map(ToString::to_string).unwrap_or_default();
    let text = format!("{long}\n{}", text_after(verb));
    let mut verbs: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .windows(2)
        .filter(|words| words[0] == "mq" && words[1] != verb.get_name())
        .map(|words| words[1].to_owned())
        .filter(|word| super::definition(false).find_subcommand(word).is_some())
        .collect();
    verbs.sort_unstable();
    verbs.dedup();
    verbs
}

fn see_also(page: &mut Roff, pages: impl Iterator<Item = (String, u8)>) {
    page.section("SEE ALSO");
    let references: Vec<String> = pages.map(|(name, section)| roff::page_reference(&name, section)).collect();
    page.line(&references.join(",\n"));
}
