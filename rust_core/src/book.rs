//! The last quote of every contract, merged from partial updates.
//!
//! An update older than the last one of its contract is not merged: it would
//! put an old price over a newer one. The caller counts it.

use std::collections::HashMap;

use crate::tick::{Availability, Change, Update};

/// Contracts whose quotes are kept, and contracts that may be tracked.
pub const CONTRACTS_MAX: usize = 16_384;

/// What is known of a contract; numbers in units of 10⁻⁸.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// The contract.
    pub conid: i64,
    /// Best bid price.
    pub bid: Option<i64>,
    /// Best ask price.
    pub ask: Option<i64>,
    /// Price of the last trade of this session.
    pub last: Option<i64>,
    /// Size at the best bid.
    pub bid_size: Option<i64>,
    /// Size at the best ask.
    pub ask_size: Option<i64>,
    /// Size of the last trade.
    pub last_size: Option<i64>,
    /// Volume of the day.
    pub volume: Option<i64>,
    /// Whether the volume is exact; it stays so once it was.
    pub is_volume_exact: bool,
    /// Closing price of the day before.
    pub prior_close: Option<i64>,
    /// Whether trading is halted.
    pub halted: bool,
    /// How the data is delivered; empty when unknown.
    pub availability: Availability,
    /// When the broker last changed anything, in ms since 1970.
    pub updated_ms: Option<i64>,
    /// When the last update came to us, in ns since 1970.
    pub received_ns: i64,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is in the quote.
    Merged,
    /// It is older than the quote, which stays as it was.
    Late,
    /// There is no room for another contract.
    Full,
}

#[derive(Default)]
struct Entry {
    quote: Quote,
    /// No update older than this is merged.
    updated_ms_min: Option<i64>,
}

/// The quotes.
#[derive(Default)]
pub struct Book {
    entries: HashMap<i64, Entry>,
}

impl Book {
    /// Merges an update into the quote of its contract.
    pub fn merge(&mut self, update: &Update, now_ns: i64) -> Merge {
        if !self.entries.contains_key(&update.conid) && self.entries.len() >= CONTRACTS_MAX {
            return Merge::Full;
        }
        let entry = self.entries.entry(update.conid).or_default();
        if update.updated_ms.is_some() {
            if update.updated_ms < entry.updated_ms_min {
                return Merge::Late;
            }
            entry.updated_ms_min = update.updated_ms;
        }
        entry.quote.merge(update, now_ns);
        Merge::Merged
    }

    /// The quote of a contract, or `None` when nothing came for it.
    #[must_use]
    pub fn quote(&self, conid: i64) -> Option<&Quote> {
        self.entries.get(&conid).map(|entry| &entry.quote)
    }

    /// Forgets a contract.
    pub fn forget(&mut self, conid: i64) {
        self.entries.remove(&conid);
    }

    /// Takes updates of any age again, as a new connection may begin with old ones.
    pub fn reset_order(&mut self) {
        for entry in self.entries.values_mut() {
            entry.updated_ms_min = None;
        }
    }
}

impl Quote {
    fn merge(&mut self, update: &Update, now_ns: i64) {
        self.conid = update.conid;
        self.received_ns = now_ns;
        if update.updated_ms.is_some() {
            self.updated_ms = update.updated_ms;
        }
        update.bid.apply(&mut self.bid);
        update.ask.apply(&mut self.ask);
        update.last.apply(&mut self.last);
        update.bid_size.apply(&mut self.bid_size);
        update.ask_size.apply(&mut self.ask_size);
        update.last_size.apply(&mut self.last_size);
        update.prior_close.apply(&mut self.prior_close);
        self.halted = update.halted.unwrap_or(self.halted);
        self.availability = update.availability.unwrap_or(self.availability);
        if update.volume_exact != Change::Keep {
            update.volume_exact.apply(&mut self.volume);
            self.is_volume_exact = update.volume_exact.value().is_some();
        } else if !self.is_volume_exact {
            update.volume.apply(&mut self.volume);
        }
    }
}
