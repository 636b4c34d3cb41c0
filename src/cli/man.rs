//! The manual: one page per verb out of the definition that --help shows, and those written by hand.

use std::io::Write as _;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};

use crate::commands::streams::{Stdout, StdoutError};
use crate::commands::{Outcome, Usage};

pub(super) const ABOUT: &str = "Print a page of the manual";

/// Pages that no definition knows: the format and protocol of the spool.
const BY_HAND: [(&str, &str); 1] = [("mq-spool.5", include_str!("../../man/mq-spool.5"))];

pub(super) fn define(command: Command) -> Command {
    command
        .long_about(
            "Print a page of the manual\n\nWithout PAGE: mq(1). A page is named as a verb, or as its file: put, \
             mq-put.1, mq-spool.5. It is in the language of man(1).",
        )
        .after_long_help("Examples:\n  mq man put | man -l -\n  mq man --list")
        .arg(Arg::new("page").value_name("PAGE").help("Which page"))
        .arg(Arg::new("list").long("list").action(clap::ArgAction::SetTrue).help("The names of all pages, one a line"))
}

pub(super) fn run(matches: &ArgMatches) -> Result<Outcome> {
    let pages = pages();
    let mut text = Vec::new();
    if matches.get_flag("list") {
        for (name, _) in &pages {
            writeln!(text, "{name}")?;
        }
    } else {
        let wanted = matches.get_one::<String>("page").map_or("mq.1", String::as_str);
        let page = pages
            .iter()
            .find(|(name, _)| name == wanted || *name == format!("mq-{wanted}.1") || *name == format!("{wanted}.1"))
            .or_else(|| pages.iter().find(|(name, _)| name.split('.').next() == Some(wanted)))
            .ok_or_else(|| Usage(format!("there is no page '{wanted}'; `mq man --list` shows the pages there are")))?;
        text.clone_from(&page.1);
    }
    Stdout.write_all(&text).map_err(StdoutError)?;
    Ok(Outcome::Done)
}

/// Every page, by the name of its file.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut command = super::definition(true).disable_help_subcommand(true);
    command.build();
    let mut pages = vec![("mq.1".to_owned(), render(&command, "mq"))];
    for verb in command.get_subcommands() {
        let title = format!("mq-{}", verb.get_name());
        pages.push((format!("{title}.1"), render(verb, &title)));
    }
    pages.extend(BY_HAND.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())));
    pages
}

fn render(command: &Command, title: &str) -> Vec<u8> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone())
        .title(title.to_uppercase())
        .section("1")
        .source(concat!("mq ", env!("CARGO_PKG_VERSION")))
        .manual("mq");
    // Into memory: it cannot fail.
    let _ = man.render(&mut page);
    page
}
