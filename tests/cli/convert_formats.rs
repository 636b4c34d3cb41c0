//! `mq convert` against readers and writers of the formats that others wrote.

use crate::support::Spool;

/// Whether `python3` has a module; says so where it has not.
fn python_has(module: &str) -> bool {
    let import = format!("import {module}");
    let python = std::process::Command::new("python3").args(["-c", &import]).output();
    let has = python.is_ok_and(|output| output.status.success());
    if !has {
        println!("skipped: needs python3 with {module}");
    }
    has
}

/// What a program in Python makes of `input`.
fn python(spool: &Spool, program: &str, input: &[u8]) -> String {
    let mut command = spool.command("python3");
    command.args(["-c", program]).env("PYTHONIOENCODING", "utf-8");
    String::from_utf8(crate::support::run(command, input).ok().quiet().out().to_vec()).unwrap()
}

fn convert(spool: &Spool, from: &str, to: &str, input: &[u8]) -> Vec<u8> {
    spool.mq_with(&["convert", "--from", from, "--to", to], input).ok().quiet().out().to_vec()
}

/// Strings that look like something else in some format or other.
const TRICKY: &str = r##"["", " ", "yes", "No", "ON", "y", "N", "null", "Null", "~", "true", "FALSE", "12", "-1", "+1",
    "0x1f", "0o17", "0777", "1_000", "1e3", "1.5", ".5", "1.", ".inf", "-.INF", ".nan", "1:30", "190:20:30", "2001-12-14",
    "2001-12-14T21:59:43.10-05:00", "<<", "=", "a", "a b", " a", "a ", "a: b", "a:", "a:b", "a #b", "#a", "- a", "-", "--- a",
    "...", "? a", "?", ": a", "[a", "a]", "{a", "a, b", "&a", "*a", "!a", "%a", "@a", "`a", "|", ">", "\"", "'", "it's",
    "\\", "\n", "a\nb\n", "\na", "a\n", "\r", "a\r\nb", "\t", "a\tb", "\u0000", "\u0007", "\u001b", "\u007f", "\u0085",
    "\u00a0", "\u2028", "\u2029", "\ufeff", "\ufeffa", "\ufffe", "\u00e9", "\u6c34", "\ud83d\ude00", "http://a.b:80/c?d#e",
    "C:\\x", "None", "nan", "inf", "Infinity"]"##;

#[test]
fn another_reader_of_yaml_reads_what_is_written() {
    if !python_has("yaml") {
        return;
    }
    let spool = Spool::new();
    // It is one of YAML 1.1, which resolves far more than 1.2.
    let program = "import json, sys, yaml\njson.dump(yaml.safe_load(sys.stdin.buffer), sys.stdout)";
    let keys = r#"{"no":{"on":{"12":[]}},"":{"~":{}},"a b":[[["x"]],{"- a":[{"b":"c"}]}],"a: b":{"null":[null,true,-1,0,1.5,1.0e+300]}}"#;
    let floats = "[1.0,-0.5,1.5e-9,1e300,123456789012345678901234567890]";
    let long = format!("{{\"{0}\":{{\"{0}\":[\"{0}\"]}}}}", "long ".repeat(300));
    for json in [TRICKY, keys, &long] {
        let read = python(&spool, program, &convert(&spool, "json", "yaml", json.as_bytes()));
        let expected: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&read).unwrap(), expected);
    }
    // Floats out of a binary format have a form that 1.1 takes for floats.
    let msgpack = convert(&spool, "json", "msgpack", floats.replace(",123456789012345678901234567890", "").as_bytes());
    let read = python(&spool, program, &convert(&spool, "msgpack", "yaml", &msgpack));
    assert_eq!(read, "[1.0, -0.5, 1.5e-09, 1e+300]");
}

#[test]
fn what_another_writer_of_yaml_writes_is_read() {
    if !python_has("yaml") {
        return;
    }
    let spool = Spool::new();
    // Strings in YAML 1.1, and so written plain, but numbers in 1.2.
    let tricky = TRICKY.replace("\"1e3\", ", "").replace("\"0o17\", ", "");
    for style in ["default_flow_style=False", "default_flow_style=True", "default_style='\"'", "width=20"] {
        let program = format!(
            "import json, sys, yaml\nsys.stdout.reconfigure(newline='')\nyaml.safe_dump(json.load(sys.stdin), sys.stdout, {style})"
        );
        let written = python(&spool, &program, tricky.as_bytes());
        let read = convert(&spool, "yaml", "json", written.as_bytes());
        let read: serde_json::Value = serde_json::from_slice(&read).unwrap();
        assert_eq!(read, serde_json::from_str::<serde_json::Value>(&tricky).unwrap(), "{style}");
    }
}

#[test]
fn another_reader_of_toml_reads_what_is_written() {
    if !python_has("tomllib") {
        return;
    }
    let spool = Spool::new();
    let program = "import json, sys, tomllib\njson.dump(tomllib.load(sys.stdin.buffer), sys.stdout)";
    let strings = format!("{{\"all\":{TRICKY}}}");
    // The same strings as keys.
    let keys = TRICKY.trim_matches(['[', ']']).replace("\",", "\":1,") + ":1";
    let keys = format!("{{\"all\":{{{keys}}},\"again\":[{{\"a\":{{{keys}}}}}]}}");
    let shapes =
        r#"{"a":{"b":{"c":[]}},"d":{"e":1,"f":{"g":[{"h":1},{"i":{"j":[[{}]]}}]}},"k":[{"l":{}},{"m":[{},1]}]}"#;
    let numbers = "{\"a\":[0,-1,9223372036854775807,1.0,-0.5,1.5e-9,1e300,2.2250738585072014e-308]}";
    for json in [&strings, &keys, shapes, numbers] {
        let read = python(&spool, program, &convert(&spool, "json", "toml", json.as_bytes()));
        let expected: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&read).unwrap(), expected, "{json}");
    }
}

#[test]
fn another_reader_of_xml_finds_the_same_document() {
    if !python_has("xml.etree.ElementTree") {
        return;
    }
    let spool = Spool::new();
    // Its canonical form says all that a document does, but for comments.
    let program = "import sys, xml.etree.ElementTree as tree\nsys.stdout.write(tree.canonicalize(sys.stdin.read()))";
    for xml in [
        "<a/>",
        "<?xml version='1.0'?><a k='1' b=\"x &lt;&#10;&#9;y\">text &amp; <![CDATA[<more>]]></a>",
        "<r xmlns='urn:d' xmlns:p='urn:p'><p:a p:k='v' k='w'/><b xmlns=''>x<c/>y<c/> </b><b/></r>",
        "<r><a>1</a><a>2</a><b/><a xml:space='preserve'> <b/> </a></r>",
        "<r>\u{e9}\u{6c34}\u{1f600}\u{85}&#13;\u{2028}]]&gt;</r>",
    ] {
        let expected = python(&spool, program, xml.as_bytes());
        for through in ["json", "msgpack", "cbor", "yaml", "toml", "xml"] {
            let back = convert(&spool, through, "xml", &convert(&spool, "xml", through, xml.as_bytes()));
            assert_eq!(python(&spool, program, &back), expected, "{through}: {xml}");
        }
    }
}
