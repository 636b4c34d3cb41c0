//! The house keeps its shape: the arrows between the rooms, the sizes of files and functions, and the words.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may know.
const ARROWS: [(&str, &[&str]); 5] = [
    ("domain", &["domain"]),
    ("codec", &["codec", "domain"]),
    ("store", &["store", "codec", "domain"]),
    ("commands", &["commands", "store", "codec", "domain"]),
    ("cli", &["cli", "commands", "store", "codec", "domain"]),
];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    // A package of its own has its own place for what is built.
    let is_ours = |entry: &walkdir::DirEntry| entry.file_name() != "target";
    for entry in walkdir::WalkDir::new(root().join(under)).sort_by_file_name().into_iter().filter_entry(is_ours) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty(), "no sources under {under}");
    found
}

#[test]
fn the_arrows_run_one_way() {
    let mut wrong = Vec::new();
    for (room, may_know) in ARROWS {
        for (path, text) in sources(&format!("src/{room}")) {
            for (number, line) in text.lines().enumerate() {
                for after in line.split("crate::").skip(1) {
                    let known: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !may_know.contains(&known.as_str()) && !known.is_empty() {
                        wrong.push(format!("{}:{}: {room} knows {known}", path.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_stay_small() {
    let mut large = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            large.push(format!("{}: {lines} lines", path.display()));
        }
        let mut start: Option<(usize, usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let is_function = ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn ", "const fn ", "pub const fn "]
                .iter()
                .any(|head| code.starts_with(head));
            if is_function && start.is_none() && !code.ends_with(';') {
                start = Some((number, indent, code));
            }
            // A method that is only declared.
            if start.is_some_and(|(_, depth, _)| depth == indent) && code.ends_with(';') {
                start = None;
            }
            if let Some((first, depth, name)) = start
                && (line.trim_end() == format!("{}}}", " ".repeat(depth)) || (number == first && code.ends_with('}')))
            {
                if number - first > FUNCTION_LINES {
                    large.push(format!("{}:{}: {} lines: {name}", path.display(), first + 1, number - first));
                }
                start = None;
            }
        }
    }
    assert!(large.is_empty(), "{}", large.join("\n"));
}

/// One word per thing: what a user reads says queue, message and body.
#[test]
fn the_words_are_the_fields() {
    let banned = ["job", "tube", "payload", "dequeue", "enqueue", "mailbox"];
    let mut wrong = Vec::new();
    let mut pages = sources("src");
    for dir in ["man", "completions"] {
        for entry in std::fs::read_dir(root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            pages.push((path.strip_prefix(root()).unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    for (path, text) in pages {
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase);
            for word in words {
                // A queue of an example may be called `jobs`; the word for a message may not.
                if banned.contains(&word.as_str()) {
                    wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_is_as_agreed() {
    let allowed = ["Cargo.toml", "Cargo.lock", "README.md", "src", "tests", "man", "completions", "target"];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} at the top level");
    }
}

/// Only well-known licences come in with a dependency, and only from the registry.
#[test]
fn dependencies_are_free_and_from_the_registry() {
    const LICENCES: [&str; 10] = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "Unlicense",
        "MPL-2.0",
        "0BSD",
    ];
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "mq" {
            continue;
        }
        let licence = package["license"].as_str().unwrap_or("none");
        // One of those that are offered, or all of those that are required, has to be known.
        let known = licence.split([' ', '/', '(', ')']).any(|word| LICENCES.contains(&word));
        let source = package["source"].as_str().unwrap_or("a path");
        if !known || !source.starts_with("registry+") {
            wrong.push(format!("{name}: {licence}, {source}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A fuzz target that is forgotten finds nothing: each is built, has a corpus to begin with, and is run by CI, which
/// asks for the list of them.
#[test]
fn every_fuzz_target_is_run_from_a_corpus() {
    let fuzz = root().join("tests/fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let names_in = |dir: &str| {
        let entries = std::fs::read_dir(fuzz.join(dir)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let targets = names_in("fuzz_targets");
    assert_eq!(names_in("corpus"), targets);
    for target in &targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} is not built");
        assert!(!names_in(&format!("corpus/{target}")).is_empty(), "{target} has no corpus");
    }
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.contains("cargo fuzz list --fuzz-dir tests/fuzz |"), "CI does not run the targets");
}
