use rust_core::book::{Book, CONTRACTS_MAX, Merge, Quote};
use rust_core::tick::{Availability, Change, Update};

fn update(conid: i64) -> Update {
    Update { conid, ..Update::default() }
}

#[test]
fn an_update_changes_only_what_it_mentions() {
    let mut book = Book::default();
    let first = Update {
        bid: Change::Set(10),
        ask: Change::Set(12),
        halted: Some(true),
        availability: Availability::new(b"RpB"),
        updated_ms: Some(5),
        ..update(1)
    };
    let second = Update { bid: Change::Clear, last: Change::Set(11), ..update(1) };

    assert_eq!(book.merge(&first, 100), Merge::Merged);
    assert_eq!(book.merge(&second, 200), Merge::Merged);

    let expected = Quote {
        conid: 1,
        bid: None,
        ask: Some(12),
        last: Some(11),
        halted: true,
        availability: Availability::new(b"RpB").unwrap(),
        updated_ms: Some(5),
        received_ns: 200,
        ..Quote::default()
    };
    assert_eq!(book.quote(1), Some(&expected));
    assert_eq!(book.quote(2), None);
}

#[test]
fn an_older_update_is_late_until_the_order_is_reset() {
    let mut book = Book::default();
    let at = |updated_ms, bid| Update {
        updated_ms: Some(updated_ms),
        bid: Change::Set(bid),
        ..update(1)
    };
    book.merge(&at(10, 1), 100);

    assert_eq!(book.merge(&at(10, 2), 200), Merge::Merged);
    assert_eq!(book.merge(&at(9, 3), 300), Merge::Late);
    assert_eq!(book.quote(1).map(|quote| (quote.bid, quote.received_ns)), Some((Some(2), 200)));
    book.reset_order();
    assert_eq!(book.merge(&at(9, 3), 300), Merge::Merged);
    assert_eq!(book.quote(1).map(|quote| (quote.bid, quote.updated_ms)), Some((Some(3), Some(9))));
}

#[test]
fn a_rounded_volume_does_not_replace_an_exact_one() {
    let mut book = Book::default();
    let rounded = |volume| Update { volume: Change::Set(volume), ..update(1) };
    let exact = |change| Update { volume_exact: change, volume: Change::Set(7), ..update(1) };
    let mut volume = |update: &Update| {
        book.merge(update, 0);
        book.quote(1).and_then(|quote| quote.volume)
    };

    assert_eq!(volume(&rounded(100)), Some(100));
    assert_eq!(volume(&exact(Change::Set(123))), Some(123));
    assert_eq!(volume(&rounded(200)), Some(123));
    assert_eq!(volume(&exact(Change::Clear)), None);
    assert_eq!(volume(&rounded(300)), Some(300));
}

#[test]
fn there_is_room_for_so_many_contracts() {
    let mut book = Book::default();
    let last = i64::try_from(CONTRACTS_MAX).unwrap();
    for conid in 1..=last {
        assert_eq!(book.merge(&update(conid), 0), Merge::Merged);
    }

    assert_eq!(book.merge(&update(last + 1), 0), Merge::Full);
    assert_eq!(book.merge(&update(last), 0), Merge::Merged);
    book.forget(1);
    assert_eq!(book.merge(&update(last + 1), 0), Merge::Merged);
    assert_eq!(book.quote(1), None);
}
