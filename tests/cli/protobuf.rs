//! `mq convert` and `mq get` with Protobuf: schemas in files, and what other programs make of the same messages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Spool, mq_program};

fn proto(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proto").join(name)
}

/// Whether a program is there that a test compares with.
fn has(program: &str, args: &[&str]) -> bool {
    let is_there = Command::new(program).args(args).output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("skipped: needs {program} {}", args.join(" "));
    }
    is_there
}

/// A message of nearly everything that there is.
const ALL: &str = concat!(
    r#"{"d":-1.5,"f":0.1,"i32":-1,"i64":"-9223372036854775808","u32":4294967295,"u64":"18446744073709551615","#,
    r#""s32":-2147483648,"s64":"-5","f32":7,"f64":"8","sf32":-9,"sf64":"-10","b":true,"s":"\u00e9","y":"aGk=","#,
    r#""colour":"RED","packed":[1,-2,300],"loose":[1,2],"names":["","b"],"more":[{},{"i32":5}],"#,
    r#""byName":{"a":"1","b":"2"},"byNumber":{"-1":{"s":"x"},"9":{},"10":{}},"byTruth":{"false":"AA==","true":""},"#,
    r#""number":0,"maybe":0,"at":"1969-12-31T23:59:59.500Z","span":"-1.500s","#,
    r#""object":{"a":[null,true,"x",{"q":1.5}],"z":1},"value":null,"list":[1,"a"],"#,
    r#""any":{"@type":"type.googleapis.com/t.All","i32":4},"wrapped":"0","wrappedText":"t","mask":"fooBar,a.b","#,
    r#""empty":{},"colours":["NONE","RED",7],"mColour":{"k":"MINUS"},"wrappedBytes":"AQ==","wrappedDouble":"NaN","#,
    r#""values":[null,1],"doubles":[-0.0,1e+300],"fixed":[1]}"#,
);

/// What a conversion with the schema of everything is called with.
fn with_all<'a>(schema: &'a str, from: &'a str, to: &'a str) -> Vec<&'a str> {
    vec!["convert", "--strict", "--from", from, "--to", to, "--schema", schema, "--message", "t.All"]
}

#[test]
fn what_protoc_writes_is_read_and_what_is_written_protoc_reads() {
    if !has("protoc", &["--version"]) {
        return;
    }
    let spool = Spool::new();
    let schema = proto("all.proto").display().to_string();
    let json = ALL.replace("\\u00e9", "\u{e9}");
    let message = spool.mq_with(&with_all(&schema, "json", "protobuf"), ALL).ok().quiet();
    spool.file("message", message.out());
    let dir = proto("").display().to_string();
    spool.sh(&format!("protoc -I {dir} --decode t.All {schema} < message > text")).ok().quiet();
    spool.sh(&format!("protoc -I {dir} --encode t.All {schema} < text > again")).ok().quiet();
    // The order of a map is protoc's own choice.
    spool.mq_with(&with_all(&schema, "protobuf", "json"), spool.read("again")).ok().quiet().wrote(&json);
    // Its descriptors say the same as the file.
    spool
        .sh(&format!("protoc -I {dir} --include_imports --descriptor_set_out set.pb {schema}; cp set.pb unnamed"))
        .ok();
    for set in ["set.pb", "unnamed"] {
        spool.mq_with(&with_all(set, "protobuf", "json"), message.out()).ok().quiet().wrote(&json);
        spool.mq_with(&with_all(set, "json", "protobuf"), &json).ok().quiet().wrote(message.out());
    }
}

#[test]
fn pythons_protobuf_reads_and_writes_the_same() {
    if !has("protoc", &["--version"]) || !has("python3", &["-c", "import google.protobuf.message_factory"]) {
        return;
    }
    let spool = Spool::new();
    let schema = proto("all.proto").display().to_string();
    let dir = proto("").display().to_string();
    spool.sh(&format!("protoc -I {dir} --include_imports --descriptor_set_out set.pb {schema}")).ok();
    spool.file(
        "other.py",
        r#"
import sys, json
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, json_format
pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(open("set.pb", "rb").read()).file:
    pool.Add(file)
message = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.All"))
if sys.argv[1] == "read":
    print(json.dumps(json_format.MessageToDict(message.FromString(sys.stdin.buffer.read()), descriptor_pool=pool)))
else:
    sys.stdout.buffer.write(json_format.Parse(sys.stdin.read(), message(), descriptor_pool=pool).SerializeToString())
"#,
    );
    let message = spool.mq_with(&with_all(&schema, "json", "protobuf"), ALL).ok();
    let mut theirs = spool.sh_with("python3 other.py read", message.out()).ok().json();
    let mut ours: serde_json::Value = serde_json::from_str(ALL).unwrap();
    for json in [&mut theirs, &mut ours] {
        // Numbers of JSON, however they are spelled.
        json["doubles"] = json["doubles"].as_array().unwrap().iter().map(serde_json::Value::as_f64).collect();
        for pointer in ["/object/z", "/list/0", "/values/1"] {
            let number = json.pointer_mut(pointer).unwrap();
            *number = number.as_f64().into();
        }
    }
    assert_eq!(theirs, ours);
    let written = spool.sh_with("python3 other.py write", ALL).ok();
    let json = ALL.replace("\\u00e9", "\u{e9}");
    spool.mq_with(&with_all(&schema, "protobuf", "json"), written.out()).ok().wrote(json);
}

#[test]
fn imports_are_looked_for_beside_the_schema_and_where_they_are_said_to_be() {
    let spool = Spool::new();
    spool.sh("mkdir -p protos/pkg lib").ok();
    spool.file("protos/pkg/order.proto", "syntax = \"proto3\"; package pkg; import \"pkg/item.proto\"; import \"money.proto\"; message Order { repeated Item items = 1; Money total = 2; }");
    spool.file("protos/pkg/item.proto", "syntax = \"proto3\"; package pkg; message Item { int64 sku = 1; }");
    spool.file("lib/money.proto", "syntax = \"proto3\"; package pkg; message Money { string amount = 1; }");
    let json = r#"{"items":[{"sku":"7"}],"total":{"amount":"1.50"}}"#;
    let args = ["convert", "--from", "json", "--to", "protobuf", "--message", "pkg.Order", "--schema"];
    let order = ["protos/pkg/order.proto", "--proto-path", "protos", "--proto-path", "lib"];
    spool.mq_with(&[&args[..], &order].concat(), json).ok().quiet().wrote(b"\x0a\x02\x08\x07\x12\x06\x0a\x041.50");
    let refused = spool.mq_with(&[&args[..], &order[..3]].concat(), json).fails(65);
    refused.says("pkg/order.proto:1:").says("import 'money.proto' not found");
    spool.file("flat.proto", "syntax = \"proto3\"; import \"lib/money.proto\"; message M { pkg.Money m = 1; }");
    let flat = ["convert", "--from", "json", "--to", "protobuf", "--schema", "flat.proto", "--message", "M"];
    spool.mq_with(&flat, "{}").ok().wrote("");
}

#[test]
fn a_schema_that_is_missing_or_wrong_is_told_before_anything_is_read() {
    let spool = Spool::new();
    let schema = proto("all.proto").display().to_string();
    for (from, to) in [("json", "protobuf"), ("protobuf", "json"), ("application/protobuf", "msgpack")] {
        let refused = spool.mq(&["convert", "--from", from, "--to", to]).status(2).silent();
        refused.says("protobuf bodies mean nothing without their schema").says("--schema FILE and --message NAME");
    }
    spool.mq(&["convert", "--from", "json", "--to", "protobuf", "--schema", &schema]).status(2).says("--message");
    let useless = ["convert", "--from", "json", "--to", "cbor", "--schema", &schema, "--message", "t.All"];
    spool.mq(&useless).status(2).says("neither of the formats has a schema");
    let args = ["convert", "--from", "json", "--to", "protobuf", "--message", "M", "--schema"];
    spool.mq(&[&args[..], &[&schema]].concat()).status(2).says("no message \"M\": it is one of t.All");
    spool.mq(&[&args[..], &["gone.proto"]].concat()).fails(74).says("gone.proto");
    spool.file("wrong.proto", "syntax = \"proto3\";\n\nmessage M { Nope a = 1; }");
    spool.mq(&[&args[..], &["wrong.proto"]].concat()).fails(65).says("wrong.proto:3:13: name 'Nope' is not defined");
    spool.file("new.proto", "edition = \"2023\"; message M {}");
    spool.mq(&[&args[..], &["new.proto"]].concat()).fails(65).says("editions of Protobuf are not known here");
    spool.file("not.proto", b"\xff\xfe");
    spool.mq(&[&args[..], &["not.proto"]].concat()).fails(65).says("not UTF-8");
    spool.file("set.pb", b"\x0a\xff");
    spool.mq(&[&args[..], &["set.pb"]].concat()).fails(65).says("no set of descriptors");
    // A body that is only spelled in another way is not looked at.
    spool.mq_with(&["convert", "--from", "protobuf", "--to", "hex"], b"\x18\x01").ok().wrote("1801");
}

#[test]
fn bodies_are_converted_as_they_are_got() {
    let spool = Spool::new();
    let schema = proto("all.proto").display().to_string();
    let options = ["--schema", &schema, "--message", "t.All"];
    spool.mq_with(&["put", "orders", "--type", "protobuf"], b"\x18\x07").ok();
    let get = ["get", "orders", "--to", "json", "--delete"];
    spool.mq(&get).fails(2).says("stays queued").says("a protobuf body means nothing without its schema");
    spool.mq(&["get", "orders", "--to", "protobuf"]).status(2).says("--schema FILE");
    assert_eq!(spool.count("orders", "ready"), 1);
    spool.mq(&[&get[..], &options].concat()).ok().quiet().wrote(r#"{"i32":7}"#);
    spool.mq_with(&["put", "orders", "--type", "json"], r#"{"i32":7}"#).ok();
    let get = ["get", "orders", "--to", "protobuf", "--delete"];
    spool.mq(&[&get[..], &options].concat()).ok().quiet().wrote(b"\x18\x07");
    spool.mq_with(&["put", "orders", "--type", "json"], r#"{"nope":7}"#).ok();
    spool.mq(&[&get[..], &options].concat()).fails(65).says("t.All has no field \"nope\"");
}

#[test]
fn streams_of_grpc_are_arrays_of_messages() {
    let spool = Spool::new();
    let schema = proto("all.proto").display().to_string();
    let frames = b"\0\0\0\0\x02\x18\x01\0\0\0\0\0";
    spool.mq_with(&with_all(&schema, "grpc", "jsonl"), frames).ok().quiet().wrote("{\"i32\":1}\n{}\n");
    spool.mq_with(&with_all(&schema, "jsonl", "application/grpc+proto"), "{\"i32\":1}\n{}\n").ok().wrote(frames);
    spool.mq_with(&["convert", "--from", "grpc", "--to", "json"], frames).status(2).says("grpc bodies mean nothing");
    if has("python3", &["-c", "import gzip"]) {
        let bomb = "import gzip, sys; z = gzip.compress(bytes(100 << 20), 9); \
                    sys.stdout.buffer.write(b'\\1' + len(z).to_bytes(4, 'big') + z)";
        spool.sh(&format!("python3 -c \"{bomb}\" > bomb")).ok();
        let line = with_all(&schema, "grpc", "json").join(" ");
        let program = mq_program().display();
        spool.sh(&format!("ulimit -v 500000; exec {program} {line} < bomb")).fails(65).says("longer than 64 MiB");
    }
}

#[test]
fn a_hostile_body_costs_little() {
    let spool = Spool::new();
    let old = proto("old.proto").display().to_string();
    let args = ["convert", "--from", "protobuf", "--to", "json", "--schema", &old, "--message", "old.Group"];
    spool.mq_with(&args, vec![0x0b; 1_000_000]).breaks(65).says("nest more than 120 levels deep");
    spool.mq_with(&args, b"\x22\xff\xff\xff\xff\x0fabc").fails(65).says("byte offset 6: old.Group: its length");
    // In an address space that has no room for what the length claims.
    spool.file("liar", b"\x22\xff\xff\xff\xff\x07abc");
    let program = mq_program().display();
    let line = format!("ulimit -v 500000; exec {program} {} < liar", args.join(" "));
    spool.sh(&line).fails(65).says("its length reaches past");
}
