use rust_core::bar::{BAR_FIELDS, Bar, Bars, INTERVALS_MAX, Outcome};
use rust_core::book::CONTRACTS_MAX;
use rust_core::error::ArgumentError;
use rust_core::tick::{Change, Update};

const CONID: i64 = 8314;

fn quote(time_ms: i64) -> Update {
    Update { conid: CONID, updated_ms: Some(time_ms), ..Update::default() }
}

fn trade(time_ms: i64, price: i64, size: i64) -> Update {
    Update {
        last: Change::Set(price),
        last_size: Change::Set(size),
        is_trade: true,
        ..quote(time_ms)
    }
}

fn with_exact(update: Update, volume: i64) -> Update {
    Update { volume_exact: Change::Set(volume), ..update }
}

fn with_rounded(update: Update, volume: i64) -> Update {
    Update { volume: Change::Set(volume), ..update }
}

fn tracked(intervals_ms: &[i64]) -> Bars {
    let mut bars = Bars::default();
    bars.track(CONID, intervals_ms).unwrap();
    bars
}

/// The bars that these updates and then the clock close, and how many updates were late.
fn run(bars: &mut Bars, updates: &[Update]) -> (Vec<Bar>, usize) {
    let mut closed = Vec::new();
    let late = updates.iter().filter(|update| bars.merge(update, 0, &mut closed).late).count();
    bars.advance(i64::MAX, &mut closed);
    (closed, late)
}

fn bar(start_ms: i64, prices: [i64; 4], volume: i64, vwap: i64, trades: i64) -> Bar {
    let [open, high, low, close] = prices;
    Bar { conid: CONID, interval_ms: 1_000, start_ms, open, high, low, close, volume, vwap, trades }
}

#[test]
fn trades_become_bars_aligned_to_the_epoch() {
    let updates =
        [trade(1_500, 10, 1), trade(1_700, 14, 1), trade(1_999, 8, 2), trade(4_000, 9, 5)];

    let found = run(&mut tracked(&[1_000]), &updates);

    let expected = vec![bar(1_000, [10, 14, 8, 8], 4, 10, 3), bar(4_000, [9, 9, 9, 9], 5, 9, 1)];
    assert_eq!(found, (expected, 0));
}

#[test]
fn any_later_update_closes_a_bar_and_so_does_the_clock() {
    let mut bars = tracked(&[1_000]);
    let mut closed = Vec::new();
    bars.merge(&trade(1_500, 10, 1), 0, &mut closed);

    bars.advance(1_999, &mut closed);
    bars.merge(&quote(1_999), 0, &mut closed);
    assert_eq!(closed, []);
    bars.merge(&quote(2_000), 0, &mut closed);
    assert_eq!(closed.len(), 1);
    bars.merge(&trade(2_500, 10, 1), 0, &mut closed);
    bars.advance(3_000, &mut closed);
    assert_eq!(closed.len(), 2);
}

#[test]
fn a_late_trade_changes_nothing() {
    let mut bars = tracked(&[1_000]);
    let mut closed = Vec::new();
    bars.merge(&trade(2_500, 10, 1), 0, &mut closed);

    let before_the_open_bar = bars.merge(&trade(1_999, 99, 1), 0, &mut closed);
    let in_the_open_bar = bars.merge(&trade(2_400, 12, 1), 0, &mut closed);
    bars.advance(3_000, &mut closed);
    let in_the_closed_bar = bars.merge(&trade(2_999, 99, 1), 0, &mut closed);
    let late = Outcome { late: true, overflows: 0 };

    assert_eq!(before_the_open_bar, late);
    assert_eq!(in_the_open_bar, Outcome::default());
    assert_eq!(in_the_closed_bar, late);
    assert_eq!(closed, [bar(2_000, [10, 12, 10, 12], 2, 11, 2)]);
}

#[test]
fn a_trade_at_the_very_start_of_a_bar_is_not_late() {
    let updates =
        [trade(1_500, 10, 1), trade(1_000, 12, 1), trade(2_000, 11, 1), trade(2_000, 13, 1)];

    let found = run(&mut tracked(&[1_000]), &updates);

    let expected =
        vec![bar(1_000, [10, 12, 10, 12], 2, 11, 2), bar(2_000, [11, 13, 11, 13], 2, 12, 2)];
    assert_eq!(found, (expected, 0));
}

#[test]
fn a_trade_may_be_late_for_one_interval_and_in_time_for_another() {
    let updates = [trade(1_500, 10, 1), trade(2_500, 11, 1), trade(1_600, 12, 1)];

    let (closed, late) = run(&mut tracked(&[5_000, 1_000]), &updates);

    let ends: Vec<_> =
        closed.iter().map(|bar| (bar.interval_ms, bar.start_ms, bar.trades)).collect();
    assert_eq!(ends, [(1_000, 1_000, 1), (5_000, 0, 3), (1_000, 2_000, 1)]);
    assert_eq!(late, 1);
}

#[test]
fn without_a_time_of_the_broker_ours_counts() {
    let mut bars = tracked(&[1_000]);
    let mut closed = Vec::new();
    bars.merge(&Update { updated_ms: None, ..trade(0, 10, 1) }, 7_300, &mut closed);
    bars.advance(8_000, &mut closed);

    assert_eq!(closed, [bar(7_000, [10; 4], 1, 10, 1)]);
}

#[test]
fn the_volume_is_the_growth_of_the_day_volume() {
    let updates = [
        with_exact(trade(1_000, 10, 3), 100),
        with_exact(trade(1_100, 20, 1), 110),
        with_exact(quote(1_200), 115),
        with_exact(quote(2_000), 118),
        with_exact(trade(3_000, 40, 1), 120),
    ];

    let found = run(&mut tracked(&[1_000]), &updates);

    // 3 by the last size, 10 with the second trade, 5 after it at its price.
    let first = bar(1_000, [10, 20, 10, 20], 18, 18, 2);
    // 3 that came between the bars, and 2.
    assert_eq!(found, (vec![first, bar(3_000, [40; 4], 5, 40, 1)], 0));
}

#[test]
fn a_last_size_is_not_counted_again_by_the_next_growth() {
    let updates = [
        with_exact(quote(1_000), 100),
        trade(1_100, 10, 4),
        with_exact(quote(1_200), 110),
        with_rounded(trade(1_300, 10, 7), 5_000),
        with_exact(trade(1_400, 10, 1), 112),
        with_exact(trade(1_500, 10, 1), 120),
    ];

    let (closed, _) = run(&mut tracked(&[1_000]), &updates);

    // 4, then 6 more up to 110, then 7, of which 112 shows 2 and 120 the other 5 and 3.
    assert_eq!(closed, [bar(1_000, [10; 4], 20, 10, 4)]);
}

#[test]
fn a_rounded_or_late_day_volume_between_trades_changes_nothing() {
    let updates = [
        with_exact(trade(2_000, 10, 1), 100),
        with_rounded(quote(2_100), 5_000),
        with_exact(quote(1_999), 107),
        with_exact(trade(2_200, 30, 1), 110),
    ];

    let (closed, _) = run(&mut tracked(&[1_000]), &updates);

    // 1 by the last size, and all of the growth from 100 to 110 with the last trade.
    assert_eq!(closed, [bar(2_000, [10, 30, 10, 30], 11, 28, 2)]);
}

#[test]
fn a_day_volume_that_shrinks_or_becomes_exact_starts_anew() {
    let updates = [
        with_rounded(trade(1_000, 10, 1), 1_000),
        with_rounded(trade(1_100, 10, 1), 1_200),
        with_exact(trade(1_200, 10, 2), 1_234),
        with_exact(trade(1_300, 10, 3), 5),
        with_exact(quote(1_400), 2),
        with_exact(trade(1_500, 10, 9), 6),
    ];

    let (closed, _) = run(&mut tracked(&[1_000]), &updates);

    assert_eq!(closed, [bar(1_000, [10; 4], 1 + 200 + 2 + 3 + 4, 10, 5)]);
}

#[test]
fn the_mean_price_is_rounded_half_to_even_and_is_the_close_without_volume() {
    let vwap = |updates: &[Update]| run(&mut tracked(&[1_000]), updates).0[0].vwap;

    assert_eq!(vwap(&[trade(0, 10, 1), trade(1, 11, 1)]), 10);
    assert_eq!(vwap(&[trade(0, 11, 1), trade(1, 12, 1)]), 12);
    assert_eq!(vwap(&[trade(0, 10, 1), trade(1, 11, 2)]), 11);
    assert_eq!(vwap(&[trade(0, -10, 1), trade(1, -11, 1)]), -10);
    assert_eq!(vwap(&[trade(0, -11, 1), trade(1, -12, 1)]), -12);
    assert_eq!(vwap(&[trade(0, 10, 0), trade(1, 11, 0)]), 11);
}

#[test]
fn a_volume_that_does_not_fit_is_left_out_and_counted() {
    let mut bars = tracked(&[1_000]);
    let mut closed = Vec::new();
    bars.merge(&trade(0, 10, i64::MAX), 0, &mut closed);

    let outcome = bars.merge(&trade(1, 11, 1), 0, &mut closed);
    bars.advance(1_000, &mut closed);

    assert_eq!(outcome, Outcome { late: false, overflows: 1 });
    assert_eq!(closed[0].volume, i64::MAX);
    assert_eq!((closed[0].close, closed[0].trades), (11, 2));
}

#[test]
fn a_contract_keeps_the_intervals_that_are_still_wanted() {
    let mut bars = tracked(&[1_000, 500]);
    let mut closed = Vec::new();
    bars.merge(&trade(0, 10, 1), 0, &mut closed);

    bars.track(CONID, &[1_000, 2_000, 1_000]).unwrap();
    bars.merge(&trade(1, 12, 1), 0, &mut closed);
    bars.advance(10_000, &mut closed);

    let found: Vec<_> = closed.iter().map(|bar| (bar.interval_ms, bar.open)).collect();
    assert_eq!(found, [(1_000, 10), (2_000, 12)]);
}

#[test]
fn an_untracked_contract_gives_no_bars() {
    let mut bars = tracked(&[1_000]);
    let mut closed = Vec::new();
    bars.merge(&trade(0, 10, 1), 0, &mut closed);

    bars.untrack(CONID);
    bars.merge(&trade(1, 10, 1), 0, &mut closed);
    bars.advance(10_000, &mut closed);

    assert_eq!(closed, []);
}

#[test]
fn a_new_connection_counts_no_growth_across_the_gap() {
    let mut bars = tracked(&[1_000]);
    let mut closed = Vec::new();
    bars.merge(&with_exact(trade(0, 10, 1), 100), 0, &mut closed);

    bars.forget_volumes();
    bars.merge(&with_exact(trade(1, 10, 2), 9_000), 0, &mut closed);
    bars.advance(1_000, &mut closed);

    assert_eq!(closed[0].volume, 3);
}

#[test]
fn what_cannot_be_tracked_is_refused() {
    let many: Vec<i64> = (100..).take(INTERVALS_MAX + 1).collect();
    let mut bars = Bars::default();

    assert_eq!(bars.track(0, &[1_000]), Err(ArgumentError::InvalidConid(0)));
    assert_eq!(bars.track(1, &[1_000, 99]), Err(ArgumentError::InvalidInterval(99)));
    let too_long = 2_678_400_001;
    assert_eq!(bars.track(1, &[too_long]), Err(ArgumentError::InvalidInterval(too_long)));
    assert_eq!(bars.track(1, &many), Err(ArgumentError::TooManyIntervals(many.len())));
    let last = i64::try_from(CONTRACTS_MAX).unwrap();
    for conid in 1..=last {
        bars.track(conid, &[100]).unwrap();
    }
    assert_eq!(bars.track(last + 1, &[100]), Err(ArgumentError::TooManyContracts));
    assert_eq!(bars.track(last, &[200]), Ok(()));
}

#[test]
fn a_packed_bar_holds_its_fields_in_the_published_order() {
    let mut packed = Vec::new();
    let bar = Bar {
        conid: 1,
        interval_ms: 2,
        start_ms: 3,
        open: 4,
        high: 5,
        low: 6,
        close: 7,
        volume: 8,
        vwap: 9,
        trades: -10,
    };

    bar.pack(&mut packed);

    let values: Vec<_> =
        packed.chunks(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8, 9, -10]);
    let names = ["conid", "interval_ms", "start_ms", "open", "high", "low", "close", "volume"];
    assert_eq!(BAR_FIELDS[..8], names);
    assert_eq!(BAR_FIELDS[8..], ["vwap", "trades"]);
}
