use proptest::prelude::*;
use rust_core::decimal::{Format, SCALE, parse};

#[test]
fn number_texts_are_read_exactly_or_not_at_all() {
    let cases: [(&str, Option<i64>); 48] = [
        ("189.60", Some(18_960_000_000)),
        ("0", Some(0)),
        ("-0.0", Some(0)),
        ("-37.63", Some(-3_763_000_000)),
        ("+3.5", Some(350_000_000)),
        (".05", Some(5_000_000)),
        ("5.", None),
        (".", None),
        ("", None),
        ("-", None),
        ("--1", None),
        ("1,300", Some(130_000_000_000)),
        ("12,345,678.5", Some(1_234_567_850_000_000)),
        ("1,30", None),
        ("1,5", None),
        ("1,3000", None),
        ("0,500", None),
        (",300", None),
        ("1,,300", None),
        ("1.5,000", None),
        ("1300,", None),
        ("0.00000001", Some(1)),
        ("0.000000001", None),
        ("0.0000000010", None),
        ("0.000000010000", Some(1)),
        ("92233720368.54775807", Some(i64::MAX)),
        ("92233720368.54775808", None),
        ("-92233720368.54775808", Some(i64::MIN)),
        ("-92233720368.54775809", None),
        ("99999999999999999999999999999999999999999", None),
        ("1.00000000000000000000000000000000000000000", Some(SCALE)),
        ("1E3", Some(100_000_000_000)),
        ("1.2e-3", Some(120_000)),
        ("1e-9", None),
        ("10e-9", Some(1)),
        ("0e99", Some(0)),
        ("1e99", None),
        ("1e99999999999", None),
        ("1e", None),
        ("1,300e1", None),
        ("e5", None),
        ("5.66M", None),
        ("1 300", None),
        ("0x10", None),
        ("NaN", None),
        ("inf", None),
        ("1.2.3", None),
        ("٣", None),
    ];

    for (text, expected) in cases {
        assert_eq!(parse(text.as_bytes(), Format::Price), expected, "{text}");
    }
}

#[test]
fn quantities_may_be_rounded_by_the_broker_but_not_negative() {
    let cases = [
        ("5.66M", Some(5_660_000 * SCALE)),
        ("812K", Some(812_000 * SCALE)),
        ("1.2B", Some(1_200_000_000 * SCALE)),
        ("1,300K", Some(1_300_000 * SCALE)),
        ("0.5", Some(50_000_000)),
        ("100B", None),
        ("5.66m", None),
        ("5.66MM", None),
        ("M", None),
        (".M", None),
        ("1e3K", None),
        ("-1", None),
        ("-0", Some(0)),
    ];

    for (text, expected) in cases {
        assert_eq!(parse(text.as_bytes(), Format::Quantity), expected, "{text}");
    }
}

#[test]
fn whole_numbers_have_no_separators_and_no_fraction() {
    let cases = [
        ("1712596911593", Some(1_712_596_911_593)),
        ("1.712596911593E12", Some(1_712_596_911_593)),
        ("265598.0", Some(265_598)),
        ("265598.5", None),
        ("265,598", None),
        ("265598K", None),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
    ];

    for (text, expected) in cases {
        assert_eq!(parse(text.as_bytes(), Format::Integer), expected, "{text}");
    }
}

#[test]
fn a_text_longer_than_any_number_of_the_broker_is_refused() {
    assert_eq!(parse(&[b'0'; 64], Format::Price), Some(0));
    assert_eq!(parse(&[b'0'; 65], Format::Price), None);
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

proptest! {
    #[test]
    fn every_value_is_read_back(value: i64, with_commas: bool) {
        let whole = (value.unsigned_abs() / SCALE.unsigned_abs()).to_string();
        let fraction = value.unsigned_abs() % SCALE.unsigned_abs();
        let sign = if value < 0 { "-" } else { "" };
        let whole = if with_commas { grouped(&whole) } else { whole };
        let text = format!("{sign}{whole}.{fraction:08}");

        prop_assert_eq!(parse(text.as_bytes(), Format::Price), Some(value));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+0-9.,eEKMB]{0,70}") {
        let price = parse(text.as_bytes(), Format::Price);
        let quantity = parse(text.as_bytes(), Format::Quantity);

        prop_assert!(price.is_none() || quantity.is_none() || price == quantity);
    }
}
