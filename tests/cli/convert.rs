//! `mq convert`.

use crate::support::{Spool, broken_pipe, run_onto};

#[test]
fn a_document_goes_to_msgpack_and_back() {
    let spool = Spool::new();
    let json = r#"{"a":[1,-2,2.5,"x\n",null,true],"b":{"c":18446744073709551615}}"#;
    let msgpack = spool.mq_with(&["convert", "--from", "json", "--to", "msgpack"], json).ok().quiet();
    spool.mq_with(&["convert", "--from", "msgpack", "--to", "json"], msgpack.out()).ok().quiet().wrote(json);
    // Found out by the first byte; MIME types are names too; and a format can be made canonical by itself.
    spool.mq_with(&["convert", "--to", "application/json"], msgpack.out()).ok().wrote(json);
    spool.mq_with(&["convert", "--to", "msgpack"], format!(" \n{json}\n")).ok().wrote(msgpack.out());
    spool.mq_with(&["convert", "--to", "json"], "[ 1 , 2 ]\n").ok().wrote("[1,2]");
}

#[test]
fn binary_and_extensions_survive_the_way_through_json() {
    let spool = Spool::new();
    for msgpack in [&b"\xc4\x03\x00\xff\x01"[..], b"\xd4\x05\xaa", b"\xcb\x7f\xf8\0\0\0\0\0\0"] {
        let json = spool.mq_with(&["convert", "--from", "msgpack", "--to", "json"], msgpack).ok();
        spool.mq_with(&["convert", "--from", "json", "--to", "msgpack"], json.out()).ok().wrote(msgpack);
    }
    spool.mq_with(&["convert", "--to", "json"], b"\xc4\x01a").ok().wrote("{\"$binary\":\"YQ==\"}");
}

#[test]
fn i9_bad_data_is_named_by_its_place_and_nothing_of_it_is_written() {
    let spool = Spool::new();
    for (from, input, place) in [
        ("json", &b"{\"a\": oops}"[..], "line 1, column 7"),
        ("json", b"[1,\n2,,3]", "line 2, column 3"),
        ("json", b"[1", "line 1"),
        ("json", b"1 2", "line 1, column 3"),
        ("json", b"\"\xff\"", "line 1"),
        ("json", b"", "json"),
        ("msgpack", b"\x92\x01", "byte offset 2"),
        ("msgpack", b"\x01\x01", "byte offset 1"),
        ("msgpack", b"\xa2\xff\xff", "byte offset"),
        ("msgpack", b"\xc1", "byte offset 0"),
    ] {
        let to = if from == "json" { "msgpack" } else { "json" };
        spool.mq_with(&["convert", "--from", from, "--to", to], input).fails(65).says(place).says(from);
    }
}

#[test]
fn what_cannot_be_told_apart_is_not_guessed() {
    let spool = Spool::new();
    spool.mq_with(&["convert", "--to", "json"], "").fails(65).says("empty");
    spool.mq_with(&["convert", "--to", "json"], "7").fails(65).says("more than one format (json, msgpack, cbor)");
    spool.mq_with(&["convert", "--to", "json"], "hello").fails(65).says("none of the known formats");
    spool.mq_with(&["convert", "--to", "json", "--from", "json"], "7").ok().wrote("7");
}

#[test]
fn unknown_formats_are_refused_and_the_known_ones_are_named() {
    let spool = Spool::new();
    spool.mq(&["convert", "--to", "xls"]).status(2).silent().says("json, jsonl, msgpack, cbor");
    spool.mq(&["convert", "--to", "json", "--from", "text/html"]).status(2).silent().says("json, jsonl, msgpack");
    spool.mq(&["convert"]).status(2).silent().says("--to");
}

#[test]
fn deep_and_long_documents_are_no_trap() {
    let spool = Spool::new();
    let deep = "[".repeat(1_000_000);
    spool.mq_with(&["convert", "--from", "json", "--to", "msgpack"], &deep).breaks(65);
    let deep = vec![0x91; 1_000_000];
    spool.mq_with(&["convert", "--from", "msgpack", "--to", "json"], &deep).breaks(65);
    // Lengths that lie.
    for liar in
        [&b"\xdd\xff\xff\xff\xff"[..], b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
    {
        spool.mq_with(&["convert", "--from", "msgpack", "--to", "json"], liar).fails(65);
    }
    let long = format!("[{}1]", "\"0123456789\",".repeat(100_000));
    let there = spool.mq_with(&["convert", "--from", "json", "--to", "msgpack"], &long).ok();
    spool.mq_with(&["convert", "--from", "msgpack", "--to", "json"], there.out()).ok().wrote(&long);
}

#[test]
fn a_conversion_needs_no_spool() {
    let spool = Spool::new();
    let mut command = spool.mq_command(&["convert", "--to", "json", "--from", "json"]);
    command.env_remove("MQ_SPOOL").env_remove("HOME");
    crate::support::run(command, b"1").ok().wrote("1");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let spool = Spool::new();
    spool.file("in.json", "[1]");
    let mut command = spool.command("sh");
    command.args(["-c", "mq convert --to msgpack < in.json"]);
    run_onto(command, broken_pipe()).quiet();
}
