use proptest::prelude::*;
use rust_core::json::{Scan, Scanner};
use rust_core::tick::{
    AHEAD_MS_MAX, Availability, Change, Ignored, Update, read_document, read_flat,
};

const NOW_MS: i64 = 1_712_596_912_000;
const ONE: i64 = 100_000_000;

/// The update of a message with these members, which both readers must agree on.
fn update(members: &str) -> Result<Update, Ignored> {
    let message = format!(r#"{{{members},"topic":"smd+8314"}}"#);
    let flat = read_flat(message.as_bytes()).map(|fields| fields.update(NOW_MS));
    let document = read_document(message.as_bytes(), |fields| fields.update(NOW_MS));
    assert!(flat.is_none_or(|flat| flat == document), "{message}");
    document
}

fn base() -> Update {
    Update { conid: 8314, ..Update::default() }
}

#[test]
fn a_full_message_fills_every_field() {
    let members = r#""server_id":"q2","conidEx":"8314","conid":8314,"_updated":1712596911593,
        "6119":"q2","31":"189.60","84":"189.56","85":"500","86":"189.61","88":"1,200",
        "7059":"100","6509":"RpB","87":"5.66M","7762":"5660173","7741":"188.1","83":"0.54%""#;

    let found = update(members);

    let expected = Update {
        conid: 8314,
        updated_ms: Some(1_712_596_911_593),
        bid: Change::Set(18_956_000_000),
        ask: Change::Set(18_961_000_000),
        last: Change::Set(18_960_000_000),
        bid_size: Change::Set(1_200 * ONE),
        ask_size: Change::Set(500 * ONE),
        last_size: Change::Set(100 * ONE),
        volume: Change::Set(5_660_000 * ONE),
        volume_exact: Change::Set(5_660_173 * ONE),
        prior_close: Change::Set(18_810_000_000),
        halted: Some(false),
        availability: Availability::new(b"RpB"),
        is_trade: true,
        bad_fields: 0,
    };
    assert_eq!(found, Ok(expected));
}

#[test]
fn the_last_price_says_more_than_a_price() {
    let close = Change::Set(18_925_000_000);
    let halted = Change::Set(1_230_000_000);
    let cases = [
        (
            r#""C189.25""#,
            Update { last: Change::Clear, prior_close: close, halted: Some(false), ..base() },
        ),
        (r#""H12.3""#, Update { last: halted, halted: Some(true), ..base() }),
        (r#""""#, Update { last: Change::Clear, ..base() }),
        ("null", Update { last: Change::Clear, ..base() }),
        (r#""C""#, Update { last: Change::Clear, bad_fields: 1, ..base() }),
        (r#""X1""#, Update { last: Change::Clear, bad_fields: 1, ..base() }),
        (r#""CH1""#, Update { last: Change::Clear, bad_fields: 1, ..base() }),
        (
            "-37.63",
            Update {
                last: Change::Set(-3_763_000_000),
                halted: Some(false),
                is_trade: true,
                ..base()
            },
        ),
    ];

    for (value, expected) in cases {
        assert_eq!(update(&format!(r#""conid":8314,"31":{value}"#)), Ok(expected), "{value}");
    }
}

#[test]
fn the_explicit_prior_close_wins_over_the_prefix() {
    let wins = update(r#""conid":8314,"31":"C1","7741":"2""#).unwrap();
    let yields = update(r#""conid":8314,"31":"C1","7741":"""#).unwrap();
    let cleared = update(r#""conid":8314,"7741":"""#).unwrap();

    assert_eq!(wins.prior_close, Change::Set(2 * ONE));
    assert_eq!(yields.prior_close, Change::Set(ONE));
    assert_eq!(cleared.prior_close, Change::Clear);
}

#[test]
fn values_come_as_texts_or_numbers_and_bad_ones_are_counted() {
    let bid = |bid, bad_fields| Update { bid, bad_fields, ..base() };
    let cases = [
        (r#""1,300""#, bid(Change::Set(1_300 * ONE), 0)),
        (r#"" 5 ""#, bid(Change::Set(5 * ONE), 0)),
        ("5e0", bid(Change::Set(5 * ONE), 0)),
        (r#""\u0035""#, bid(Change::Set(5 * ONE), 0)),
        (r#""""#, bid(Change::Clear, 0)),
        ("null", bid(Change::Clear, 0)),
        (r#""1,5""#, bid(Change::Clear, 1)),
        (r#""5.66M""#, bid(Change::Clear, 1)),
        ("1e300", bid(Change::Clear, 1)),
        ("true", bid(Change::Clear, 1)),
        (r#"["5"]"#, bid(Change::Clear, 1)),
        (r#""€""#, bid(Change::Clear, 1)),
    ];

    for (value, expected) in cases {
        assert_eq!(update(&format!(r#""conid":8314,"84":{value}"#)), Ok(expected), "{value}");
    }
}

#[test]
fn a_size_is_never_negative() {
    let found = update(r#""conid":8314,"85":"-5","7059":-1"#).unwrap();

    assert_eq!((found.ask_size, found.last_size), (Change::Clear, Change::Clear));
    assert_eq!(found.bad_fields, 2);
}

#[test]
fn a_time_from_the_future_is_not_believed() {
    let updated = |time_ms: i64| update(&format!(r#""conid":8314,"_updated":{time_ms}"#)).unwrap();
    let latest_ms = NOW_MS + AHEAD_MS_MAX;

    assert_eq!(updated(latest_ms), Update { updated_ms: Some(latest_ms), ..base() });
    assert_eq!(updated(latest_ms + 1), Update { bad_fields: 1, ..base() });
    assert_eq!(updated(-1), Update { bad_fields: 1, ..base() });
}

#[test]
fn an_availability_is_a_short_word() {
    let availability = |value: &str| {
        let found = update(&format!(r#""conid":8314,"6509":{value}"#)).unwrap();
        (found.availability.unwrap().as_str().to_owned(), found.bad_fields)
    };

    assert_eq!(availability(r#""RpB""#), ("RpB".to_owned(), 0));
    assert_eq!(availability(r#""""#), (String::new(), 0));
    assert_eq!(availability("null"), (String::new(), 0));
    assert_eq!(availability(r#""0123456789abcde""#), ("0123456789abcde".to_owned(), 0));
    assert_eq!(availability(r#""0123456789abcdef""#), (String::new(), 1));
    assert_eq!(availability(r#""R B""#), (String::new(), 1));
    assert_eq!(availability("5"), (String::new(), 1));
}

#[test]
fn a_message_belongs_to_the_contract_it_names() {
    let cases = [
        (r#""conid":"265598""#, Ok(265_598)),
        (r#""conid":1,"conid":2"#, Ok(2)),
        (r#""conidEx":"265598""#, Err(Ignored::NoConid)),
        (r#""conid":null"#, Err(Ignored::NoConid)),
        (r#""conid":"""#, Err(Ignored::NoConid)),
        (r#""conid":0"#, Err(Ignored::BadConid)),
        (r#""conid":-5"#, Err(Ignored::BadConid)),
        (r#""conid":"x""#, Err(Ignored::BadConid)),
        (r#""conid":{}"#, Err(Ignored::BadConid)),
        (r#""conid":9223372036854775808"#, Err(Ignored::BadConid)),
    ];

    for (members, expected) in cases {
        assert_eq!(update(members).map(|update| update.conid), expected, "{members}");
    }
}

#[test]
fn the_quick_reader_leaves_everything_unusual_to_the_other() {
    let unusual = [
        r#"{"topic":"smd"}"#,
        r#"{"topic":"sor","conid":1}"#,
        r#"{"conid":1}"#,
        "{}",
        r#"{"conid":1,"error":"No accounts","topic":"smd+1"}"#,
        r#"{"conid":1,"topic":"smd\u002b1"}"#,
        r#"{"conid":1,"x":[],"topic":"smd+1"}"#,
        r#"{"conid":1,"x":"€","topic":"smd+1"}"#,
        r#"{"conid":01,"topic":"smd+1"}"#,
        r#"{"conid":1,"topic":"smd+1",}"#,
        r#"{"conid":1,"topic":"smd+1"} "#,
        r#"{"conid":1,"topic":"smd+1""#,
        "{\"conid\":1,\n\"topic\":\"smd+1\"}",
    ];

    for message in unusual {
        assert_eq!(read_flat(message.as_bytes()), None, "{message}");
    }
    assert!(read_flat(br#"{ "conid" : 1 , "topic" : "smd+1" }"#).is_some());
    assert!(read_flat(br#"{"conid":1,"a":true,"b":null,"topic":"smd+1"}"#).is_some());
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,7}(\\.[0-9]{1,10})?",
        "\"[CH]?-?[0-9]{1,3}(,[0-9]{3})?(\\.[0-9]{1,3})?[KM%]?\"",
        "\"[ -~]{0,6}\"",
        "\"\\\\u00[0-7][0-9a-f]\"",
        prop::sample::select(vec!["null", "true", "[]", "{\"a\":1}", "-", "1e5", "\"\""])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn where_the_quick_reader_answers_the_other_says_the_same(
        members in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "conid", "_updated", "31", "84", "85", "86", "87", "88", "6509", "7059",
                    "7741", "7762", "83", "topic", "error", "x",
                ]),
                value(),
            ),
            0..8,
        ),
        space in " {0,2}",
    ) {
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{space}\"{key}\":{space}{value},"))
            .collect();
        let message = format!("{{{}\"conid\":5,\"topic\":\"smd+5\"}}", members.concat());

        if let Some(flat) = read_flat(message.as_bytes()) {
            let whole = Scanner::default().scan(message.as_bytes());
            prop_assert_eq!(whole, Scan::Whole(message.len()), "{}", message);
            let flat = flat.update(NOW_MS);
            let document = read_document(message.as_bytes(), |fields| fields.update(NOW_MS));
            prop_assert_eq!(flat, document, "{}", message);
        }
    }

    #[test]
    fn no_bytes_make_the_quick_reader_panic(bytes: Vec<u8>) {
        let message = [b"{\"".as_slice(), &bytes, b"\":1,\"topic\":\"smd+1\"}"].concat();

        let found = read_flat(&message);

        prop_assert!(found.is_none() || Scanner::default().scan(&message) == Scan::Whole(message.len()));
    }
}
