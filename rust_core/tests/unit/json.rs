use proptest::prelude::*;
use rust_core::json::{DEPTH_MAX, Scan, Scanner, Value, is_number, members};

fn scan(text: &[u8]) -> Scan {
    Scanner::default().scan(text)
}

#[test]
fn a_document_ends_where_its_last_bracket_closes() {
    let cases: [(&str, Scan); 20] = [
        ("{}", Scan::Whole(2)),
        ("[]", Scan::Whole(2)),
        (" \n{ }x", Scan::Whole(5)),
        (r#"{"a":1}{"b":2}"#, Scan::Whole(7)),
        (r#"{"a":"}"}"#, Scan::Whole(9)),
        (r#"{"a":"\"}"}"#, Scan::Whole(11)),
        (r#"{"a":[1,-2.5e+3,true,false,null,{"b":[]}]}"#, Scan::Whole(42)),
        ("", Scan::Partial),
        ("  ", Scan::Partial),
        ("{", Scan::Partial),
        (r#"{"a""#, Scan::Partial),
        (r#"{"a":1"#, Scan::Partial),
        (r#"{"a":1,}"#, Scan::Invalid),
        (r#"{"a" 1}"#, Scan::Invalid),
        ("{]", Scan::Invalid),
        ("[01]", Scan::Invalid),
        ("[1.]", Scan::Invalid),
        ("[nul]", Scan::Invalid),
        ("ech+hb", Scan::Invalid),
        ("\"text\"", Scan::Invalid),
    ];

    for (text, expected) in cases {
        assert_eq!(scan(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn control_characters_and_unknown_escapes_are_not_json() {
    assert_eq!(scan(b"[\"\n\"]"), Scan::Invalid);
    assert_eq!(scan(b"[\"\x1f\"]"), Scan::Invalid);
    assert_eq!(scan(b"[\"\x20\x7f\"]"), Scan::Whole(6));
    assert_eq!(scan(br#"["\x"]"#), Scan::Invalid);
    assert_eq!(scan(br#"["\u12g4"]"#), Scan::Invalid);
    assert_eq!(scan(br#"["\u12F4\/\b"]"#), Scan::Whole(14));
}

#[test]
fn a_document_may_be_so_deep_and_no_deeper() {
    let deep = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();

    assert_eq!(scan(&deep(DEPTH_MAX)), Scan::Whole(2 * DEPTH_MAX));
    assert_eq!(scan(&deep(DEPTH_MAX + 1)), Scan::Invalid);
}

#[test]
fn members_come_unescaped_and_in_order() {
    let document = r#" { "a" : "x\"y" ,"\u0062":-1.5e3, "c":{"a":[1,2,"}"]},"d":null,"e":true,"f":"\ud83d\ude00\ud800" }"#;

    let found: Vec<_> =
        members(document.as_bytes()).map(|(key, value)| (key.into_owned(), value)).collect();

    let text = |text: &str| Value::Text(text.as_bytes().to_vec().into());
    assert_eq!(
        found,
        [
            (b"a".to_vec(), text("x\"y")),
            (b"b".to_vec(), Value::Number(b"-1.5e3")),
            (b"c".to_vec(), Value::Other),
            (b"d".to_vec(), Value::Null),
            (b"e".to_vec(), Value::Other),
            (b"f".to_vec(), text("😀\u{fffd}")),
        ]
    );
}

#[test]
fn an_array_has_no_members() {
    assert_eq!(members(br#"[{"a":1}]"#).count(), 0);
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.5e10".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|values| format!("[{}]", values.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| {
                        format!("{}: {value}", serde_json::to_string(&key).unwrap())
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_is_whole_exactly_when_another_parser_takes_it(
        text in json_text(),
        change in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(
            b"{}[]\",:\\0-.eut \n".to_vec()
        ))),
    ) {
        let mut bytes = format!("[{text}]").into_bytes();
        if let Some((index, byte)) = change {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }

        let is_whole = scan(&bytes) == Scan::Whole(bytes.len());

        // The other parser looks at UTF-8 and at halves of surrogate pairs too.
        let other = serde_json::from_slice::<serde_json::Value>(&bytes);
        if std::str::from_utf8(&bytes).is_ok() && !text.contains("\\u") {
            let is_container = bytes.first().is_some_and(|first| b"[{".contains(first));
            prop_assert_eq!(is_whole, other.is_ok() && is_container, "{:?}", bytes);
        }
    }

    #[test]
    fn how_a_document_is_cut_does_not_matter(
        text in json_text(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = format!("[{text}]tail").into_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut scanner = Scanner::default();
        let mut start = 0;
        let mut found = None;

        for end in cuts.into_iter().chain([bytes.len()]) {
            match scanner.scan(&bytes[start..end]) {
                Scan::Partial => start = end,
                Scan::Whole(length) => {
                    found = Some(start + length);
                    break;
                }
                Scan::Invalid => break,
            }
        }

        prop_assert_eq!(found, Some(bytes.len() - 4));
    }

    #[test]
    fn members_are_those_that_another_parser_finds(
        members_in in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6),
    ) {
        let document = serde_json::to_vec(&members_in).unwrap();

        let found: std::collections::BTreeMap<_, _> = members(&document)
            .map(|(key, value)| match value {
                Value::Text(text) => (key.into_owned(), text.into_owned()),
                other => (key.into_owned(), format!("{other:?}").into_bytes()),
            })
            .collect();

        let expected: std::collections::BTreeMap<_, _> = members_in
            .into_iter()
            .map(|(key, value)| (key.into_bytes(), value.into_bytes()))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn numbers_are_those_that_another_parser_takes(text in "[-+0-9.eE]{0,8}") {
        let other = serde_json::from_str::<serde_json::Number>(&text).is_ok();

        prop_assert_eq!(is_number(text.as_bytes()), other, "{}", text);
    }
}
