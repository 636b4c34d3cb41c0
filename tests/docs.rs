//! The documents: man pages and completions are what the program prints, the manual lints clean, completions complete
//! in real shells, and every example of the README does what it shows.
//!
//! `MQ_UPDATE=1 cargo test --test docs` writes the man pages and completions anew.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{has, mq_bin, scratch, skipped};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `mq` prints, without a spool.
#[track_caller]
fn printed(args: &[&str]) -> String {
    let output = Command::new(mq_bin()).args(args).output().expect("mq runs");
    assert!(output.status.success(), "mq {args:?} ended with {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn pages() -> Vec<String> {
    printed(&["man", "--list"]).lines().map(str::to_owned).collect()
}

/// Compares files with what they should be, or, with `MQ_UPDATE`, makes them so. Nothing else may lie in `dir`.
#[track_caller]
fn assert_fresh(dir: &str, files: &[(String, String)]) {
    let dir = root().join(dir);
    if std::env::var_os("MQ_UPDATE").is_some() {
        for (name, text) in files {
            fs::write(dir.join(name), text).expect("the file can be written");
        }
    }
    let stale = files.iter().filter(|(name, text)| fs::read_to_string(dir.join(name)).ok().as_ref() != Some(text));
    let stale: Vec<_> = stale.map(|(name, _)| name.as_str()).collect();
    assert!(stale.is_empty(), "stale, run `MQ_UPDATE=1 cargo test --test docs`: {stale:?} in {}", dir.display());
    let there = fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    for name in there {
        let name = name.to_string_lossy();
        assert!(files.iter().any(|(known, _)| *known == name), "nothing prints {} of {}", name, dir.display());
    }
}

#[test]
fn man_pages_are_fresh() {
    let pages: Vec<_> = pages().into_iter().map(|page| (page.clone(), printed(&["man", &page]))).collect();
    assert_fresh("man", &pages);
}

#[test]
fn completions_are_fresh() {
    let scripts = [("bash", "mq.bash"), ("zsh", "_mq"), ("fish", "mq.fish")];
    assert_fresh("completions", &scripts.map(|(shell, file)| (file.to_owned(), printed(&["completions", shell]))));
}

/// Runs a checker on files, which must find nothing.
#[track_caller]
fn assert_clean(program: &str, args: &[&str], files: &[PathBuf]) {
    if !has(program) {
        return skipped(program);
    }
    let output = Command::new(program).args(args).args(files).output().expect("the checker runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(said.is_empty() && output.status.success(), "{program} says:\n{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_manual_lints_clean() {
    let pages: Vec<_> = pages().iter().map(|page| root().join("man").join(page)).collect();
    assert_clean("mandoc", &["-Tlint", "-W", "warning"], &pages);
}

#[test]
fn bash_completion_lints_clean() {
    assert_clean("shellcheck", &[], &[root().join("completions/mq.bash")]);
}

/// A command with the built `mq` first in its path, and a spool of its own.
fn command(program: &str, spool: &Path) -> Command {
    let bin = mq_bin();
    let bin = bin.parent().expect("a directory");
    let path = std::env::join_paths(
        [bin]
            .into_iter()
            .map(Path::to_owned)
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new(program);
    command.env("PATH", path.expect("a path")).env("MQ_SPOOL", spool).stdin(Stdio::null()).current_dir(root());
    command
}

fn spool_with_queues(dir: &Path) -> PathBuf {
    let spool = dir.join("spool");
    for queue in ["invoices", "invitations", "jobs"] {
        common::expect(&spool, &["create", queue], 0);
    }
    spool
}

#[track_caller]
fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn bash_completes_queue_names() {
    if !has("bash") {
        return skipped("bash");
    }
    let dir = scratch();
    let spool = spool_with_queues(dir.path());
    // What readline does: look up the function of the command, and call it with the words.
    let script = r#"
        source completions/mq.bash
        [[ $(complete -p mq) =~ -F\ ([^ ]+) ]] || exit 1
        complete_words() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
            "${BASH_REMATCH[1]}" mq "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}"
        }
        complete_words mq get inv
        complete_words mq re
        complete_words mq --spool /nowhere get inv
        complete_words mq convert --to m
        complete_words mq create x vis
        complete_words mq put jobs Cargo.t
    "#;
    let output = command("bash", &spool).args(["--norc", "-c", script]).output().expect("bash runs");
    let expected = "invitations invoices\nrelease resume redrive replay\n\nmsgpack\nvisibility=\nCargo.toml\n";
    assert_eq!(stdout(output), expected);
}

#[test]
fn zsh_completes_queue_names() {
    if !has("zsh") {
        return skipped("zsh");
    }
    let dir = scratch();
    let spool = spool_with_queues(dir.path());
    let line = dir.path().join("line");
    // An interactive zsh on a terminal: the script is found in fpath, TAB is typed, and the line is looked at.
    let script = r#"
        zmodload zsh/zpty || exit 9
        zpty z zsh -f -i
        zpty -w z "fpath=($PWD/completions \$fpath); autoload -Uz compinit; compinit -u -D"
        zpty -w z "show-line() { print -r -- \"\$BUFFER\" > $1.new; mv $1.new $1 }; zle -N show-line; bindkey '^T' show-line"
        zpty -w -n z "mq get invo"$'\t\x14'
        for i in {1..600}; do [[ -s $1 ]] && break; sleep 0.05; done
        zpty -d z
    "#;
    let output = command("zsh", &spool).args(["-f", "-c", script, "zsh"]).arg(&line).output().expect("zsh runs");
    if output.status.code() == Some(9) {
        return skipped("zsh with its module zpty");
    }
    assert_eq!(fs::read_to_string(&line).expect("the line").trim_end(), "mq get invoices");
}

#[test]
fn fish_completes_queue_names() {
    if !has("fish") {
        return skipped("fish");
    }
    let dir = scratch();
    let spool = spool_with_queues(dir.path());
    let script = "source completions/mq.fish; complete -C 'mq get inv'; complete -C 'mq convert --to m'";
    let output = command("fish", &spool)
        .env("HOME", dir.path())
        .args(["--no-config", "-c", script])
        .output()
        .expect("fish runs");
    assert_eq!(stdout(output), "invitations\ninvoices\nmsgpack\n");
}

/// Why an example is not run: as the README's comments say it.
const NOT_RUN: [&str; 5] =
    ["installs a program", "it is what runs this", "does not end", "a unit file", "writes to the home directory"];

/// A fenced block of the README.
#[derive(Default)]
struct Fence {
    language: String,
    line: usize,
    text: String,
    /// What the comment in front of it says: `not run`, `before` or `needs`.
    marks: Vec<(String, String)>,
    /// The `text` block that follows it at once.
    shows: Option<String>,
}

impl Fence {
    fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find(|(mark, _)| mark == name).map(|(_, value)| value.as_str())
    }
}

fn fences(markdown: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut marks = Vec::new();
    let mut follows_at_once = false;
    let mut lines = markdown.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let text = text.join("\n") + "\n";
            if language == "text" && follows_at_once {
                fences.last_mut().expect("a fence before").shows = Some(text);
            } else {
                let (language, marks) = (language.to_owned(), std::mem::take(&mut marks));
                fences.push(Fence { language, line: at + 1, text, marks, shows: None });
            }
            follows_at_once = true;
            continue;
        }
        follows_at_once = false;
        let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        match comment.and_then(|comment| comment.split_once(": ")) {
            Some((name, value)) => marks.push((name.to_owned(), value.to_owned())),
            None => assert!(marks.is_empty(), "README.md:{}: a mark, and no fence right after it", at + 1),
        }
    }
    fences
}

/// Whether `line` is what the README shows: word by word, where `01...` stands for any word that begins so (ids are
/// never the same) and `0s` for any age.
fn is_shown(shown: &str, line: &str) -> bool {
    let is_age = |word: &str| word.strip_suffix('s').is_some_and(|number| number.parse::<u32>().is_ok());
    let is_same = |shown: &str, word: &str| match shown.strip_suffix("...") {
        Some(start) => word.starts_with(start),
        None => shown == word || (is_age(shown) && is_age(word)),
    };
    shown.split_whitespace().count() == line.split_whitespace().count()
        && shown.split_whitespace().zip(line.split_whitespace()).all(|(shown, word)| is_same(shown, word))
}

#[test]
fn what_is_shown_is_compared_word_by_word() {
    assert!(is_shown("01...  jobs   0s", "01a206 jobs 13s") && is_shown("", ""));
    assert!(!is_shown("x", "x y") && !is_shown("01...", "02") && !is_shown("0s", "s") && !is_shown("1", "2"));
}

#[track_caller]
fn run_example(fence: &Fence) {
    let place = format!("README.md:{}", fence.line);
    let dir = tempfile::tempdir().expect("a directory");
    let script = format!("exec 2>&1\n{}\n{}", fence.mark("before").unwrap_or_default(), fence.text);
    let output = command("sh", &dir.path().join("spool"))
        .env("HOME", dir.path())
        .current_dir(dir.path())
        .args(["-euc", &script])
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{place} ended with {}:\n{said}", output.status);
    let Some(shown) = &fence.shows else { return };
    let is_same = shown.lines().count() == said.lines().count()
        && shown.lines().zip(said.lines()).all(|(shown, line)| is_shown(shown, line));
    assert!(is_same, "{place} shows:\n{shown}\nbut it said:\n{said}");
}

#[test]
fn every_example_of_the_readme_does_what_it_shows() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let fences = fences(&readme);
    let mut not_run = Vec::new();
    let mut run = 0;
    for fence in &fences {
        if let Some(reason) = fence.mark("not run") {
            not_run.push(reason);
            continue;
        }
        assert_eq!(fence.language, "sh", "README.md:{}: neither run nor marked with why not", fence.line);
        match fence.mark("needs") {
            Some(needs) if !has(needs) => skipped(needs),
            _ => {
                run_example(fence);
                run += 1;
            }
        }
    }
    assert_eq!(not_run, NOT_RUN);
    assert!(run > 0 && run + not_run.len() <= fences.len());
}

#[test]
fn the_readme_has_the_exit_statuses_of_the_manual() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let of_readme: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|cell| cell.parse::<u8>().is_ok())
        .collect();
    let manual = printed(&["man", "mq"]);
    let of_manual: Vec<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR"))
        .filter(|tag| tag.parse::<u8>().is_ok())
        .collect();
    assert_eq!(of_readme, of_manual);
    assert!(!of_manual.is_empty());
}

#[test]
fn the_manual_is_found_by_verb_and_by_apropos() {
    assert_eq!(printed(&["man", "put"]), printed(&["man", "mq-put.1"]));
    assert_eq!(printed(&["man"]), printed(&["man", "mq.1"]));
    for page in pages() {
        let text = printed(&["man", &page]);
        let name = page.rsplit_once('.').map_or("", |(name, _)| name).replace('-', "\\-");
        let is_found = text.contains(&format!(".SH NAME\n{name} \\- "))
            || text.contains(&format!(".Nm {}\n.Nd ", name.replace("\\-", "-")));
        assert!(is_found, "apropos could not find {page}");
    }
}
