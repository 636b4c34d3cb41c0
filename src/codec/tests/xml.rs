//! XML: the mapping there and back, and what means harm.

use super::{refusal, run, text};
use crate::codec::{CodecError, Conversion, Format, Place};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn to_json(xml: &str) -> String {
    text(run(Format::Xml, Format::Json, xml.as_bytes()))
}

fn to_xml(json: &str) -> String {
    let xml = text(run(Format::Json, Format::Xml, json.as_bytes()));
    xml.strip_prefix(HEAD).and_then(|xml| xml.strip_suffix('\n')).expect("a head and an end").to_owned()
}

fn strictly(from: Format, to: Format, mut body: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let conversion = Conversion { is_strict: true, ..Conversion::new(from, to) };
    conversion.run(&mut body, &mut out).map(|()| out)
}

/// Documents, and what they are in JSON; both ways nothing is lost.
const SAME: &[(&str, &str)] = &[
    ("<a/>", r#"{"a":""}"#),
    ("<a> x </a>", r#"{"a":" x "}"#),
    ("<a> </a>", r#"{"a":" "}"#),
    ("<a id=\"1\" b=\"\"/>", r#"{"a":{"@id":"1","@b":""}}"#),
    ("<a id=\"1\">x</a>", r##"{"a":{"@id":"1","#text":"x"}}"##),
    ("<a><b>1</b></a>", r#"{"a":{"b":"1"}}"#),
    ("<a><b>1</b><b/><c><d/></c></a>", r#"{"a":{"b":["1",""],"c":{"d":""}}}"#),
    ("<a><b id=\"1\"/><b><c/><c/></b></a>", r#"{"a":{"b":[{"@id":"1"},{"c":["",""]}]}}"#),
    // Where the simple form would lose the order.
    ("<a><b/><c/><b>2</b></a>", r##"{"a":{"#children":[{"b":""},{"c":""},{"b":"2"}]}}"##),
    ("<a>x<b/>y</a>", r##"{"a":{"#children":["x",{"b":""},"y"]}}"##),
    ("<a k=\"v\"><b>x</b> y</a>", r##"{"a":{"@k":"v","#children":[{"b":"x"}," y"]}}"##),
    ("<a> <b/>x\n</a>", r##"{"a":{"#children":[" ",{"b":""},"x\n"]}}"##),
    // White space that says something.
    (
        "<a xml:space=\"preserve\"> <b> <c/></b></a>",
        r##"{"a":{"@xml:space":"preserve","#children":[" ",{"b":{"#children":[" ",{"c":""}]}}]}}"##,
    ),
    // Namespaces, as they are declared.
    (
        "<p:a xmlns=\"urn:d\" xmlns:p=\"urn:p\" p:k=\"v\" k=\"w\"><b/><c xmlns=\"\"><d xmlns=\"urn:e\"/></c></p:a>",
        r#"{"p:a":{"@xmlns":"urn:d","@xmlns:p":"urn:p","@p:k":"v","@k":"w","b":"","c":{"@xmlns":"","d":{"@xmlns":"urn:e"}}}}"#,
    ),
    ("<a xml:lang=\"en\"/>", r#"{"a":{"@xml:lang":"en"}}"#),
    // Characters.
    (
        "<a k=\"&lt;&amp;&quot;'&gt;&#10;&#9;&#13;\">&lt;&amp;\"'&gt;\n\t&#13;]]&gt;\u{e9}\u{1f600}\u{85}\u{2028}</a>",
        "{\"a\":{\"@k\":\"<&\\\"'>\\n\\t\\r\",\"#text\":\"<&\\\"'>\\n\\t\\r]]>\u{e9}\u{1f600}\u{85}\u{2028}\"}}",
    ),
    ("<\u{e9}.-1/>", "{\"\u{e9}.-1\":\"\"}"),
];

#[test]
fn elements_are_values_and_values_elements() {
    for (xml, json) in SAME {
        assert_eq!(text(strictly(Format::Xml, Format::Json, xml.as_bytes())), *json, "{xml}");
        let whole = format!("{HEAD}{xml}\n");
        assert_eq!(text(strictly(Format::Json, Format::Xml, json.as_bytes())), whole);
        assert_eq!(text(strictly(Format::Xml, Format::Xml, xml.as_bytes())), whole);
        for through in [Format::Msgpack, Format::Cbor, Format::Yaml, Format::Toml] {
            let there = strictly(Format::Xml, through, xml.as_bytes()).unwrap();
            assert_eq!(text(strictly(through, Format::Xml, &there)), whole, "{through}");
        }
    }
}

#[test]
fn what_is_spelled_another_way_is_the_same() {
    for (xml, json) in [
        ("<a></a>", r#"{"a":""}"#),
        ("<?xml version='1.0' standalone='yes'?>\n<a\n b = 'c' />\n", r#"{"a":{"@b":"c"}}"#),
        ("\u{feff}<a/>", r#"{"a":""}"#),
        ("<a>x<![CDATA[<y>]]>&#x7A;</a>", r#"{"a":"x<y>z"}"#),
        ("<a>\r\nx\ry</a>", r#"{"a":"\nx\ny"}"#),
        ("<a k='x\n\ty'/>", r#"{"a":{"@k":"x  y"}}"#),
        ("<a>\n  <b>\n    <c/>\n  </b>\n  <b/>\n</a>", r#"{"a":{"b":[{"c":""},""]}}"#),
        ("<a> <![CDATA[ ]]> <b/></a>", r#"{"a":{"b":""}}"#),
        (
            "<a xmlns='u'><b xmlns='u' xmlns:xml='http://www.w3.org/XML/1998/namespace'/></a>",
            r#"{"a":{"@xmlns":"u","b":""}}"#,
        ),
        ("<a xmlns=''/>", r#"{"a":""}"#),
    ] {
        assert_eq!(text(strictly(Format::Xml, Format::Json, xml.as_bytes())), json, "{xml}");
    }
    for (json, xml) in [
        (r##"{"a":{"#text":"x","@k":"v"}}"##, "<a k=\"v\">x</a>"),
        (r##"{"a":{"#text":"x"}}"##, "<a>x</a>"),
        (r##"{"a":{"#text":"x","b":"","#children":["y",{"b":""},"","z"]}}"##, "<a>x<b/>y<b/>z</a>"),
        (r#"{"a":{"b":"1","@k":"v","@xmlns":"u","c":{"@xmlns":"u"}}}"#, "<a xmlns=\"u\" k=\"v\"><b>1</b><c/></a>"),
        (r#"{"a":{"b":"1","b":"2"}}"#, "<a><b>1</b><b>2</b></a>"),
    ] {
        assert_eq!(to_xml(json), xml, "{json}");
    }
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";
    assert_eq!(text(run(Format::Xml, Format::Json, latin)), "{\"a\":\"\u{e9}\"}");
}

#[test]
fn nothing_is_lost_where_nothing_may_be() {
    for (json, xml, what) in [
        (r#"{"a":1.50}"#, "<a>1.50</a>", "that 1.50 is a number would be lost"),
        (r#"{"a":{"@k":true}}"#, "<a k=\"true\"/>", "line 1, column 12: that true is a boolean would"),
        (r#"{"a":null}"#, "<a/>", "that a value is null"),
        (r#"{"a":{"b":["x"]}}"#, "<a><b>x</b></a>", "that \"b\" is an array of one"),
        (r#"{"a":{"b":[],"c":""}}"#, "<a><c/></a>", "the empty array \"b\""),
        (r#"{"a":{}}"#, "<a/>", "that \"a\" is an empty map"),
        (r#"{"a":{"$float":"-Infinity"}}"#, "<a>-INF</a>", "that -INF is a number"),
        (r#"{"a":{"$binary":"aGk="}}"#, "<a>aGk=</a>", "that a value is binary"),
        (r#"{"a":{"$ext":[5,"aGk="]}}"#, "<a>aGk=</a>", "the type 5 of an ext"),
        (r##"{"a":{"#children":[" ",{"b":""}]}}"##, "<a><b/></a>", "white space between the elements in \"a\""),
    ] {
        assert_eq!(to_xml(json), xml);
        let error = strictly(Format::Json, Format::Xml, json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("would be lost"), "{error}");
    }
    for (xml, what) in [
        ("<a><!-- x --></a>", "line 1, column 4: a comment would be lost"),
        ("<?p x?><a/>", "the processing instruction p would be lost"),
    ] {
        assert_eq!(to_json(xml), r#"{"a":""}"#);
        let error = strictly(Format::Xml, Format::Xml, xml.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn what_xml_cannot_hold_is_refused() {
    for (json, why) in [
        ("[]", "no map of one key"),
        ("1", "no map of one key"),
        ("{}", "no map of one key"),
        (r#"{"a":1,"b":2}"#, "no map of one key"),
        (r#"{"a":["1","2"]}"#, "no map of one key"),
        (r#"{"a b":1}"#, "\"a b\" is no name that an element could have"),
        (r#"{"1":1}"#, "\"1\" is no name"),
        (r#"{"":1}"#, "\"\" is no name"),
        (r#"{"a:b:c":1}"#, "no name"),
        (r#"{"a":{"b/><c":1}}"#, "no name"),
        (r#"{"a":{"@":1}}"#, "\"\" is no name that an attribute"),
        (r#"{"a":{"@b":{}}}"#, "the attribute \"b\" of \"a\" is no text"),
        (r#"{"a":{"@b":"1","@b":"2"}}"#, "as XML it would be refused: attribute 'b' is redefined"),
        (r#"{"a":{"@xmlns":"1","@xmlns":"2"}}"#, "comes twice"),
        (r#"{"p:a":""}"#, "prefix is unbound"),
        (r#"{"a":{"@p:b":""}}"#, "prefix is unbound"),
        (r#"{"a":{"@xmlns:p":""}}"#, "cannot undefine prefix"),
        (r#"{"a":{"b":[["c"]]}}"#, "an array inside of an array, of elements \"b\""),
        (r##"{"a":{"#text":[]}}"##, "#text of \"a\" is no text"),
        (r##"{"a":{"#children":"x"}}"##, "#children of \"a\" is no array"),
        (r##"{"a":{"#children":[["x"]]}}"##, "neither text nor a map of one key"),
        (r##"{"a":{"#children":[{}]}}"##, "neither text nor a map of one key"),
        (r##"{"a":{"#x":""}}"##, "no name"),
        (r#"{"a":"\u0000"}"#, "line 1, column 6: the character U+0000 cannot be in XML"),
        (r#"{"a":"\uffff"}"#, "the character U+FFFF cannot"),
    ] {
        let error = refusal(Format::Json, Format::Xml, json.as_bytes());
        assert!(error.contains(why), "{json}: {error}");
    }
    assert!(refusal(Format::Msgpack, Format::Xml, &[0x81, 0x90, 1]).contains("XML has no such keys"));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (xml, line, column, why) in [
        ("", 1, 1, "the body is empty"),
        (" \n", 1, 1, "the body is empty"),
        ("text", 1, 1, "unexpected characters outside"),
        ("<a>", 1, 4, "unexpected end of stream"),
        ("<a><b></a>", 1, 10, "unexpected closing tag"),
        ("<a>\n<\u{e9}></b></a>", 2, 8, "unexpected closing tag"),
        ("<a/><b/>", 1, 5, ""),
        ("<a>&nope;</a>", 1, 9, "unexpected entity: nope"),
        ("<a>&#0;</a>", 1, 7, ""),
        ("<a>\u{1}</a>", 1, 4, ""),
        ("<a x='1' x='2'/>", 1, 10, "attribute 'x' is redefined"),
        ("<a x='<'/>", 1, 7, ""),
        ("<a x=1/>", 1, 6, ""),
        ("<1a/>", 1, 3, ""),
        ("<a>]]></a>", 1, 4, ""),
        ("<p:a/>", 1, 5, "prefix is unbound"),
        (" <?xml version='1.0'?><a/>", 1, 7, "invalid processing instruction"),
        ("<?xml version='1.1'?><a/>", 1, 1, "only XML 1.0"),
        ("<!DOCTYPE a><a/>", 1, 1, "a document type declaration"),
    ] {
        let CodecError::Data { format: Format::Xml, place, reason } =
            run(Format::Xml, Format::Json, xml.as_bytes()).expect_err(xml)
        else {
            panic!("{xml}")
        };
        assert!(reason.contains(why) && !reason.is_empty() && !reason.contains('\n'), "{xml}: {reason}");
        assert_eq!(place, Place::LineColumn { line, column }, "{xml:?}: {reason}");
    }
    refusal(Format::Xml, Format::Json, b"<a>\xff</a>");
}

#[test]
fn as_much_nests_as_comes_back() {
    let elements = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let deepest = to_json(&elements(120));
    assert_eq!(to_xml(&deepest).matches("<a").count(), 120);
    assert!(refusal(Format::Xml, Format::Json, elements(121).as_bytes()).contains("nest more than 120 levels"));
    // Where the order needs the longer form, every level is three.
    let mixed = |depth: usize| format!("{}{}", "<a>x<b/>".repeat(depth), "</a>".repeat(depth));
    to_json(&mixed(39));
    assert!(refusal(Format::Xml, Format::Json, mixed(40).as_bytes()).contains("nest more than 120 levels"));
    let order = |depth: usize| format!("{}1{}", r#"{"b":1,"c":"#.repeat(depth), r#","b":1}"#.repeat(depth));
    to_xml(&format!("{{\"a\":{}}}", order(38)));
    let error = refusal(Format::Json, Format::Xml, format!("{{\"a\":{}}}", order(60)).as_bytes());
    assert!(error.contains("nest more than 120 levels"), "{error}");
}

#[test]
fn entities_depth_and_namespaces_cost_little() {
    let many = 1_000_000;
    for hostile in ["<a>", "<a b='", "<a>&amp;", "<!--", "<![CDATA[", "<?a ", "&a;", "<a xmlns:a='b'>", "<"] {
        refusal(Format::Xml, Format::Json, hostile.repeat(many).as_bytes());
    }
    let entity = |level: u32| format!("<!ENTITY e{} \"{}\">", level, format!("&e{};", level + 1).repeat(10));
    let laughs: Vec<String> = (0..10).map(entity).collect();
    let laughs = format!("<!DOCTYPE a [{}<!ENTITY e10 \"ha\">]><a>&e0;</a>", laughs.concat());
    assert!(refusal(Format::Xml, Format::Json, laughs.as_bytes()).contains("document type"));
    let external = b"<!DOCTYPE a SYSTEM \"file:///etc/passwd\" [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>";
    assert!(refusal(Format::Xml, Format::Json, external).contains("document type"));

    let attributes = |count: usize, prefix: &str| -> String {
        (0..count).map(|number| format!(" {prefix}a{number}='{number}'")).collect::<Vec<_>>().concat()
    };
    refusal(Format::Xml, Format::Json, format!("<a{}/>", attributes(100_000, "")).as_bytes());
    to_json(&format!("<a{}/>", attributes(5_000, "")));
    let scopes = format!("<a{}>{}</a>", attributes(9_000, "xmlns:"), "<b/>".repeat(100_000));
    let error = refusal(Format::Xml, Format::Json, scopes.as_bytes());
    assert!(error.contains("far too many elements for so many namespaces"), "{error}");
}
