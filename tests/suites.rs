//! Conformance: the formats against the test suites that their communities keep.
//!
//! The suites are packages that are not part of this one; `.ci/run` unpacks them below `target/suites`. A test whose suite is
//! not there says so.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

use std::path::{Path, PathBuf};

use common::skipped;
use mq::codec::{CodecError, Format, convert};
use serde_json::Value;

/// The directory of a package, if it is there.
fn suite(package: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/suites").join(package).join("package");
    if dir.is_dir() {
        return Some(dir);
    }
    skipped(&format!("the npm package {package} in {}", dir.display()));
    None
}

fn converted(from: Format, to: Format, body: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    convert(from, to, &mut &*body, &mut out).map(|()| out)
}

/// The cases of the YAML test suite: modules of JavaScript, each of which exports JSON.
fn yaml_cases(dir: &Path) -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    for entry in walkdir::WalkDir::new(dir.join("data")).sort_by_file_name() {
        let entry = entry.unwrap();
        let Some(id) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".js")) else { continue };
        let module = std::fs::read_to_string(entry.path()).unwrap();
        // One of them only gathers the others.
        let Some((_, exported)) = module.split_once("export default") else { continue };
        let exported = exported.trim().trim_end_matches(';');
        let exported: Value = serde_json::from_str(exported).unwrap_or_else(|error| panic!("{id}: {error}"));
        for (number, case) in exported["cases"].as_array().expect("cases").iter().enumerate() {
            cases.push((format!("{id}/{number}"), case.clone()));
        }
    }
    cases
}

/// Whether values are equal; 450 and 450.00 are, as JavaScript has no other idea of them.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

#[test]
fn yaml_agrees_with_its_test_suite() {
    let Some(dir) = suite("yaml-test-suite") else { return };
    let cases = yaml_cases(&dir);
    assert!(cases.len() >= 400, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (id, case) in cases {
        let yaml = case["yaml"].as_str().expect("a document");
        // With a format that has everything that YAML has, but not JSON: keys of any type.
        let read = converted(Format::Yaml, Format::Cbor, yaml.as_bytes());
        // A body is one document; where a case does not show what it is, it is like another.
        let is_another = case["tree"].as_str().is_some_and(|tree| tree.matches("+DOC").count() != 1);
        if case["fail"] == true || is_another {
            if read.is_ok() {
                wrong.push(format!("{id} is accepted"));
            }
            continue;
        }
        let written = match converted(Format::Yaml, Format::Yaml, yaml.as_bytes()) {
            Ok(written) => written,
            Err(error) => {
                wrong.push(format!("{id}: {error}"));
                continue;
            }
        };
        if converted(Format::Yaml, Format::Cbor, &written).ok() != read.ok() {
            wrong.push(format!("{id} is another document when it is written: {}", String::from_utf8_lossy(&written)));
        }
        let Some(json) = case["json"].as_str() else { continue };
        let expected: Value = serde_json::from_str(json).expect("JSON");
        let actual = converted(Format::Yaml, Format::Json, yaml.as_bytes()).expect("what is JSON there is JSON here");
        let actual: Value = serde_json::from_slice(&actual).expect("JSON");
        // The suite shows binary as the text that it is written as.
        let is_binary = yaml.contains("!!binary");
        if !same(&actual, &expected) && !is_binary {
            wrong.push(format!("{id}: {actual} is not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
