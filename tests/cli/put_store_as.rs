//! `mq put --from --store-as`: a message put as one thing and kept as another.

use crate::support::Spool;

#[test]
fn a_body_is_converted_before_it_is_put() {
    let spool = Spool::new();
    let file = spool.file("order.json", br#"{"id":1,"big":18446744073709551615}"#);
    let file = file.to_str().unwrap();
    spool.mq(&["put", "q", "--store-as", "msgpack", file]).ok();
    spool.mq_with(&["put", "q", "--from", "json", "--store-as", "cbor", "--strict"], "[1,[]]").ok();
    spool.mq(&["put", "q", "--type", "text/plain", "--store-as", "json", "-m", "a \"b\""]).ok();
    let listed = spool.mq(&["list", "q", "--json"]).ok().jsons();
    let types: Vec<_> = listed.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["application/msgpack", "application/cbor", "application/json"]);
    spool.mq(&["get", "q", "--delete"]).ok().wrote(b"\x82\xa2id\x01\xa3big\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    spool.mq(&["get", "q", "--delete"]).ok().wrote(b"\x9f\x01\x9f\xff\xff");
    spool.mq(&["get", "q", "--delete", "--to", "text"]).ok().wrote("a \"b\"");
}

#[test]
fn each_message_of_a_stream_is_converted() {
    let spool = Spool::new();
    let long = format!("\"{}\"", "x".repeat(700_000));
    let lines = format!("{{\"n\": 1}}\n{long}\n2.50\n");
    assert_eq!(spool.mq_with(&["put", "q", "--lines", "--store-as", "json"], &lines).ok().lines().len(), 3);
    for body in ["{\"n\":1}", &long, "2.50"] {
        spool.mq(&["get", "q", "--delete"]).ok().wrote(body);
    }
    let envelopes = "{\"body\":\"{ }\"}\n{\"body_base64\":\"gA==\",\"type\":\"msgpack\",\"unique\":\"k\"}\n";
    spool.mq_with(&["put", "q", "--jsonl", "--store-as", "json"], envelopes).ok();
    for _ in 0..2 {
        spool.mq(&["get", "q", "--delete"]).ok().wrote("{}");
    }
    spool.mq_with(&["put", "q", "--lines", "--batch", "atomic", "--store-as", "hex", "--from", "raw"], "a\nb\n").ok();
    assert_eq!(spool.bodies("q"), ["61", "62"]);
}

#[test]
fn what_does_not_convert_is_not_put() {
    let spool = Spool::new();
    let args = ["put", "q", "--store-as", "msgpack"];
    spool.mq_with(&args, "{\"a\": tru}").fails(65).says("line 1, column 10").says("nothing was put of it");
    spool.mq_with(&args, "<neither>").fails(65).says("begins like none");
    spool.mq_with(&["put", "q", "--lines", "--store-as", "msgpack"], "[1]\n[\n[2]\n").breaks(65).says("1 line was put");
    spool.mq_with(&["put", "q", "--store-as", "msgpack", "--strict", "-m", "0.12345678901234567890"], "").fails(65);
    spool.mq(&["put", "q", "--from", "json", "-m", "1"]).fails(2).says("--store-as");
    spool.mq(&["put", "q", "--type", "image/png", "--store-as", "json", "-m", "1"]).fails(65).says("image/png");
    assert_eq!(spool.count("q", "ready"), 1);
    spool.assert_no_temporaries("q");
}
