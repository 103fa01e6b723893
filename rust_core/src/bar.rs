//! Trades into time bars.
//!
//! Rule 1: bars are aligned to the epoch, and an interval without a trade gives
//! no bar. A trade belongs to the bar of the broker's time, else of ours.
//!
//! Rule 2: a bar is closed by the first later update of its contract, or by the
//! clock. Nothing changes a closed bar: a trade older than the open bar, or than
//! the last closed one, is late; it is counted and merged nowhere. Within a bar
//! the order of arrival counts.
//!
//! Rule 3: the volume of a bar is the growth of the broker's day volume while it
//! is known (7762, else 87), because updates are conflated and the last size
//! shows only one of several trades. A trade that comes without a day volume
//! counts with its last size, which the next growth then already contains. Growth
//! that comes between two bars goes to the next trade. A day volume that shrinks
//! was reset: it starts anew, and its trade counts with its last size.

use std::collections::HashMap;

use crate::error::ArgumentError;
use crate::tick::Update;

/// The shortest bar.
pub const INTERVAL_MS_MIN: i64 = 100;
/// The longest bar: 31 days.
pub const INTERVAL_MS_MAX: i64 = 2_678_400_000;
/// Intervals that one contract may have.
pub const INTERVALS_MAX: usize = 16;

/// The fields of a packed bar in order; each is a little-endian `i64`.
pub const BAR_FIELDS: [&str; 10] = [
    "conid",
    "interval_ms",
    "start_ms",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "trades",
];

/// A closed bar; prices and volume in units of 10⁻⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// The contract.
    pub conid: i64,
    /// Length of the bar.
    pub interval_ms: i64,
    /// When it began, in ms since 1970.
    pub start_ms: i64,
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub close: i64,
    /// Volume, see rule 3.
    pub volume: i64,
    /// Mean price weighted by volume, half to even; the close when there is no volume.
    pub vwap: i64,
    /// Number of updates that showed a trade.
    pub trades: i64,
}

impl Bar {
    /// Appends the packed bar: [`BAR_FIELDS`] in order.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let fields = [
            self.conid,
            self.interval_ms,
            self.start_ms,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.vwap,
            self.trades,
        ];
        for field in fields {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
}

/// What an update did to the bars of its contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It was a trade too old for at least one interval.
    pub late: bool,
    /// Volumes that did not fit into a bar and were left out.
    pub overflows: u64,
}

/// The volume of the day so far.
#[derive(Clone, Copy)]
struct DayVolume {
    units: i64,
    is_exact: bool,
}

/// A price, and the size that was shown with it.
#[derive(Clone, Copy)]
struct Trade {
    price: i64,
    size: i64,
}

#[derive(Clone, Copy)]
struct OpenBar {
    bar: Bar,
    end_ms: i64,
    /// Sum of price × volume, in units of 10⁻¹⁶.
    notional: i128,
}

impl OpenBar {
    fn add_volume(&mut self, price: i64, volume: i64) -> bool {
        let notional = i128::from(price)
            .checked_mul(i128::from(volume))
            .and_then(|product| self.notional.checked_add(product));
        match (self.bar.volume.checked_add(volume), notional) {
            (Some(volume), Some(notional)) => {
                self.bar.volume = volume;
                self.notional = notional;
                true
            }
            _ => false,
        }
    }

    fn closed(&self) -> Bar {
        let vwap = divide_half_even(self.notional, i128::from(self.bar.volume));
        Bar { vwap: vwap.unwrap_or(self.bar.close), ..self.bar }
    }
}

fn divide_half_even(dividend: i128, divisor: i128) -> Option<i64> {
    let quotient = dividend.checked_div_euclid(divisor)?;
    let remainder = dividend.checked_rem_euclid(divisor)?;
    let is_odd = quotient & 1 == 1;
    let is_up = match remainder.checked_mul(2)?.cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => is_odd,
        std::cmp::Ordering::Greater => true,
    };
    i64::try_from(quotient.checked_add(i128::from(is_up))?).ok()
}

/// The bars of one contract and one interval.
struct Series {
    interval_ms: i64,
    open: Option<OpenBar>,
    /// Nothing before this may change any more.
    closed_until_ms: i64,
    seen: Option<DayVolume>,
    /// Volume already counted by last sizes that `seen` does not contain yet.
    ahead: i64,
}

impl Series {
    fn new(interval_ms: i64) -> Self {
        Self { interval_ms, open: None, closed_until_ms: i64::MIN, seen: None, ahead: 0 }
    }

    /// Closes the open bar if it ended by then.
    fn close(&mut self, now_ms: i64, closed: &mut Vec<Bar>) {
        if let Some(open) = self.open.take_if(|open| open.end_ms <= now_ms) {
            self.closed_until_ms = open.end_ms;
            closed.push(open.closed());
        }
    }

    fn is_late(&self, time_ms: i64) -> bool {
        let start_ms = self.open.as_ref().map_or(self.closed_until_ms, |open| open.bar.start_ms);
        time_ms < start_ms
    }

    fn trade(&mut self, conid: i64, time_ms: i64, trade: Trade, day: Option<DayVolume>) -> bool {
        let volume = self.volume_of_trade(trade.size, day);
        let interval_ms = self.interval_ms;
        let open = self.open.get_or_insert_with(|| {
            let past_ms = time_ms.checked_rem_euclid(interval_ms).unwrap_or(0);
            let start_ms = time_ms.saturating_sub(past_ms);
            let price = trade.price;
            let bar = Bar {
                conid,
                interval_ms,
                start_ms,
                open: price,
                high: price,
                low: price,
                close: price,
                ..Bar::default()
            };
            OpenBar { bar, end_ms: start_ms.saturating_add(interval_ms), notional: 0 }
        });
        open.bar.high = open.bar.high.max(trade.price);
        open.bar.low = open.bar.low.min(trade.price);
        open.bar.close = trade.price;
        open.bar.trades = open.bar.trades.saturating_add(1);
        open.add_volume(trade.price, volume)
    }

    /// Takes the day volume of an update that shows no trade.
    fn no_trade(&mut self, time_ms: i64, day: DayVolume) -> bool {
        let is_late = self.is_late(time_ms);
        let is_known = match self.seen {
            Some(seen) if seen.is_exact == day.is_exact => day.units >= seen.units,
            Some(seen) => seen.is_exact,
            None => false,
        };
        if !is_known {
            self.start_anew(day);
            return true;
        }
        if is_late || self.open.is_none() {
            return true;
        }
        let growth = self.growth(day).unwrap_or(0);
        self.open.as_mut().is_none_or(|open| open.add_volume(open.bar.close, growth))
    }

    fn volume_of_trade(&mut self, size: i64, day: Option<DayVolume>) -> i64 {
        if let Some(growth) = day.and_then(|day| self.growth(day)) {
            return growth;
        }
        let is_behind = |seen: DayVolume| day.is_none_or(|day| seen.is_exact && !day.is_exact);
        match (self.seen, day) {
            (Some(seen), _) if is_behind(seen) => self.ahead = self.ahead.saturating_add(size),
            (_, Some(day)) => self.start_anew(day),
            _ => {}
        }
        size
    }

    /// How far the day volume grew, less what is counted already; `None` when it
    /// cannot be compared with the one before, and then nothing is changed.
    fn growth(&mut self, day: DayVolume) -> Option<i64> {
        let seen = self.seen.filter(|seen| seen.is_exact == day.is_exact)?;
        let growth = day.units.checked_sub(seen.units).filter(|&growth| growth >= 0)?;
        let counted = growth.min(self.ahead);
        self.ahead = self.ahead.saturating_sub(counted);
        self.seen = Some(day);
        Some(growth.saturating_sub(counted))
    }

    fn start_anew(&mut self, day: DayVolume) {
        self.seen = Some(day);
        self.ahead = 0;
    }
}

/// The bars of all tracked contracts.
pub struct Bars {
    series: HashMap<i64, Vec<Series>>,
    /// No open bar ends before this.
    end_ms_min: i64,
}

impl Default for Bars {
    fn default() -> Self {
        Self { series: HashMap::new(), end_ms_min: i64::MAX }
    }
}

impl Bars {
    /// Builds bars of these lengths for a contract, and of no others.
    ///
    /// An interval that was there goes on; the open bar of one that is no longer
    /// wanted is dropped.
    ///
    /// # Errors
    ///
    /// Returns [`ArgumentError`] for a conid, a length or a number of them out of
    /// range; then nothing is changed.
    pub fn track(&mut self, conid: i64, intervals_ms: &[i64]) -> Result<(), ArgumentError> {
        if conid <= 0 {
            return Err(ArgumentError::InvalidConid(conid));
        }
        let mut wanted = intervals_ms.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let range = INTERVAL_MS_MIN..=INTERVAL_MS_MAX;
        if let Some(&interval_ms) = wanted.iter().find(|ms| !range.contains(ms)) {
            return Err(ArgumentError::InvalidInterval(interval_ms));
        }
        if wanted.len() > INTERVALS_MAX {
            return Err(ArgumentError::TooManyIntervals(wanted.len()));
        }
        if !self.series.contains_key(&conid) && self.series.len() >= crate::book::CONTRACTS_MAX {
            return Err(ArgumentError::TooManyContracts);
        }
        let kept = self.series.remove(&conid).unwrap_or_default();
        let mut series: Vec<Series> =
            kept.into_iter().filter(|series| wanted.contains(&series.interval_ms)).collect();
        for interval_ms in wanted {
            if !series.iter().any(|series| series.interval_ms == interval_ms) {
                series.push(Series::new(interval_ms));
            }
        }
        series.sort_unstable_by_key(|series| series.interval_ms);
        self.series.insert(conid, series);
        Ok(())
    }

    /// Builds no more bars for a contract; its open bars are dropped.
    pub fn untrack(&mut self, conid: i64) {
        self.series.remove(&conid);
    }

    /// Merges an update; `now_ms` is its time when the broker names none.
    pub fn merge(&mut self, update: &Update, now_ms: i64, closed: &mut Vec<Bar>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(all) = self.series.get_mut(&update.conid) else {
            return outcome;
        };
        let time_ms = update.updated_ms.unwrap_or(now_ms);
        let exact = update.volume_exact.value().map(|units| DayVolume { units, is_exact: true });
        let rounded = update.volume.value().map(|units| DayVolume { units, is_exact: false });
        let day = exact.or(rounded);
        let size = update.last_size.value().unwrap_or(0);
        let trade = update.last.value().filter(|_| update.is_trade);
        let trade = trade.map(|price| Trade { price, size });
        for series in all {
            series.close(time_ms, closed);
            let fits = match (trade, day) {
                (Some(_), _) if series.is_late(time_ms) => {
                    outcome.late = true;
                    true
                }
                (Some(trade), day) => series.trade(update.conid, time_ms, trade, day),
                (None, Some(day)) => series.no_trade(time_ms, day),
                (None, None) => true,
            };
            outcome.overflows = outcome.overflows.saturating_add(u64::from(!fits));
            let end_ms = series.open.as_ref().map_or(i64::MAX, |open| open.end_ms);
            self.end_ms_min = self.end_ms_min.min(end_ms);
        }
        outcome
    }

    /// Closes every bar that ended by the clock, oldest first.
    pub fn advance(&mut self, now_ms: i64, closed: &mut Vec<Bar>) {
        if now_ms < self.end_ms_min {
            return;
        }
        let first = closed.len();
        self.end_ms_min = i64::MAX;
        for series in self.series.values_mut().flatten() {
            series.close(now_ms, closed);
            let end_ms = series.open.as_ref().map_or(i64::MAX, |open| open.end_ms);
            self.end_ms_min = self.end_ms_min.min(end_ms);
        }
        let new = closed.get_mut(first..).unwrap_or_default();
        new.sort_unstable_by_key(|bar| (bar.start_ms, bar.conid, bar.interval_ms));
    }

    /// Forgets the day volumes: what was traded while nobody listened is in no bar.
    pub fn forget_volumes(&mut self) {
        for series in self.series.values_mut().flatten() {
            series.seen = None;
            series.ahead = 0;
        }
    }
}
