//! One market data message (`smd`) into a typed update.
//!
//! Two readers fill the same [`Fields`]: [`read_flat`] takes the plain messages
//! that make up the stream, [`read_document`] takes every JSON object. Where the
//! first gives an answer, the second gives the same; tests and fuzzing hold them
//! to it. All judgement of values is in [`Fields::update`], once.
//!
//! A value that cannot be read exactly is counted and leaves its field unknown:
//! what was there before is no longer what the broker shows.

use crate::decimal::{self, Format};
use crate::json::{self, Value};

/// The topic of every market data message begins with this.
pub const TOPIC_PREFIX: &[u8] = b"smd+";
/// How far ahead of our clock the time of an update may be.
///
/// A time beyond it would close bars early and make all that follows late.
pub const AHEAD_MS_MAX: i64 = 60_000;
/// Bytes of an availability text; the broker uses two to four.
const AVAILABILITY_BYTES_MAX: usize = 15;

/// What an update does to one field of a quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// The update does not mention the field.
    #[default]
    Keep,
    /// The broker has no value, or one that cannot be read.
    Clear,
    /// The new value, in units of 10⁻⁸.
    Set(i64),
}

impl Change {
    /// Puts the change into effect.
    pub fn apply(self, field: &mut Option<i64>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// The new value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<i64> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

/// How the broker says a contract's data is delivered, such as `RpB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    bytes: [u8; AVAILABILITY_BYTES_MAX],
    length: usize,
}

impl Availability {
    /// Takes a short, printable ASCII text.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; AVAILABILITY_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        text.iter().all(u8::is_ascii_graphic).then_some(Self { bytes, length: text.len() })
    }

    /// The text; empty when the broker said nothing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }
}

/// What one message says about one contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The contract.
    pub conid: i64,
    /// When the broker changed it, in ms since 1970.
    pub updated_ms: Option<i64>,
    /// Field 84.
    pub bid: Change,
    /// Field 86.
    pub ask: Change,
    /// Field 31 without a prefix, or with `H`; cleared by `C`.
    pub last: Change,
    /// Field 88.
    pub bid_size: Change,
    /// Field 85.
    pub ask_size: Change,
    /// Field 7059.
    pub last_size: Change,
    /// Field 87, rounded by the broker once it needs a suffix.
    pub volume: Change,
    /// Field 7762, exact.
    pub volume_exact: Change,
    /// Field 7741, else field 31 with prefix `C`.
    pub prior_close: Change,
    /// Whether field 31 has prefix `H`; `None` when it is not there.
    pub halted: Option<bool>,
    /// Field 6509; `None` when it is not there.
    pub availability: Option<Availability>,
    /// Whether field 31 shows a trade: it has a price and no prefix.
    pub is_trade: bool,
    /// Fields that could not be read.
    pub bad_fields: u64,
}

/// A message that is not an update, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It names no contract; the broker sends such ones.
    NoConid,
    /// The name of its contract cannot be read.
    BadConid,
}

/// One value as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Raw<'a> {
    /// Not in the message.
    #[default]
    Absent,
    /// A string, unescaped.
    Text(&'a [u8]),
    /// A number.
    Number(&'a [u8]),
    /// `null`.
    Null,
    /// Neither.
    Other,
}

/// The fields of a market data message that we know, as they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    conid: Raw<'a>,
    updated: Raw<'a>,
    last: Raw<'a>,
    bid: Raw<'a>,
    ask: Raw<'a>,
    bid_size: Raw<'a>,
    ask_size: Raw<'a>,
    last_size: Raw<'a>,
    volume: Raw<'a>,
    volume_exact: Raw<'a>,
    prior_close: Raw<'a>,
    availability: Raw<'a>,
}

impl<'a> Fields<'a> {
    /// Keeps a member if it is known; the last of several with one key counts.
    fn set(&mut self, key: &[u8], value: Raw<'a>) {
        let field = match key {
            b"conid" => &mut self.conid,
            b"_updated" => &mut self.updated,
            b"31" => &mut self.last,
            b"84" => &mut self.bid,
            b"85" => &mut self.ask_size,
            b"86" => &mut self.ask,
            b"87" => &mut self.volume,
            b"88" => &mut self.bid_size,
            b"6509" => &mut self.availability,
            b"7059" => &mut self.last_size,
            b"7741" => &mut self.prior_close,
            b"7762" => &mut self.volume_exact,
            _ => return,
        };
        *field = value;
    }

    /// Judges the values.
    ///
    /// # Errors
    ///
    /// Returns [`Ignored`] when the message cannot be given to a contract.
    pub fn update(&self, now_ms: i64) -> Result<Update, Ignored> {
        let conid = match integer(self.conid) {
            Change::Set(conid) if conid > 0 => conid,
            Change::Keep => return Err(Ignored::NoConid),
            Change::Clear if is_empty(self.conid) => return Err(Ignored::NoConid),
            Change::Set(_) | Change::Clear => return Err(Ignored::BadConid),
        };
        let mut update = Update { conid, ..Update::default() };
        let bad = &mut update.bad_fields;
        update.bid = counted(self.bid, Format::Price, bad);
        update.ask = counted(self.ask, Format::Price, bad);
        update.bid_size = counted(self.bid_size, Format::Quantity, bad);
        update.ask_size = counted(self.ask_size, Format::Quantity, bad);
        update.last_size = counted(self.last_size, Format::Quantity, bad);
        update.volume = counted(self.volume, Format::Quantity, bad);
        update.volume_exact = counted(self.volume_exact, Format::Quantity, bad);
        self.read_updated(now_ms, &mut update);
        self.read_availability(&mut update);
        self.read_last(&mut update);
        let prior_close = counted(self.prior_close, Format::Price, &mut update.bad_fields);
        if prior_close.value().is_some() || update.prior_close == Change::Keep {
            update.prior_close = prior_close;
        }
        Ok(update)
    }

    fn read_updated(&self, now_ms: i64, update: &mut Update) {
        let latest = now_ms.saturating_add(AHEAD_MS_MAX);
        let change = counted(self.updated, Format::Integer, &mut update.bad_fields);
        match change.value() {
            Some(time) if (0..=latest).contains(&time) => update.updated_ms = Some(time),
            Some(_) => update.bad_fields = update.bad_fields.saturating_add(1),
            None => {}
        }
    }

    fn read_availability(&self, update: &mut Update) {
        update.availability = match self.availability {
            Raw::Absent => None,
            Raw::Null => Some(Availability::default()),
            Raw::Text(text) if Availability::new(text).is_some() => Availability::new(text),
            _ => {
                update.bad_fields = update.bad_fields.saturating_add(1);
                Some(Availability::default())
            }
        };
    }

    /// Reads field 31: the last trade, `C` the prior close instead, `H` halted.
    fn read_last(&self, update: &mut Update) {
        let (prefix, raw) = match self.last {
            Raw::Text([prefix @ (b'C' | b'H'), rest @ ..]) if !rest.is_empty() => {
                (Some(*prefix), Raw::Text(rest))
            }
            raw => (None, raw),
        };
        let change = counted(raw, Format::Price, &mut update.bad_fields);
        update.last = change;
        let Some(price) = change.value() else {
            return;
        };
        update.halted = Some(prefix == Some(b'H'));
        update.is_trade = prefix.is_none();
        if prefix == Some(b'C') {
            update.last = Change::Clear;
            update.prior_close = Change::Set(price);
        }
    }
}

fn is_empty(raw: Raw<'_>) -> bool {
    matches!(raw, Raw::Null) || matches!(raw, Raw::Text(text) if text.trim_ascii().is_empty())
}

fn integer(raw: Raw<'_>) -> Change {
    counted(raw, Format::Integer, &mut 0)
}

/// Reads a number, and counts it when it is there and cannot be read.
fn counted(raw: Raw<'_>, format: Format, bad_fields: &mut u64) -> Change {
    let value = match raw {
        Raw::Absent => return Change::Keep,
        raw if is_empty(raw) => return Change::Clear,
        Raw::Text(text) => decimal::parse(text.trim_ascii(), format),
        Raw::Number(text) => decimal::parse(text, format),
        Raw::Null | Raw::Other => None,
    };
    if value.is_none() {
        *bad_fields = bad_fields.saturating_add(1);
    }
    value.map_or(Change::Clear, Change::Set)
}

/// Reads a document that [`json::Scanner`] called whole, whatever it looks like.
///
/// `read` gets the fields, which borrow from the document as it is unescaped.
pub fn read_document<T>(document: &[u8], read: impl FnOnce(&Fields<'_>) -> T) -> T {
    let members: Vec<_> = json::members(document).collect();
    let mut fields = Fields::default();
    for (key, value) in &members {
        let raw = match value {
            Value::Text(text) => Raw::Text(text),
            Value::Number(text) => Raw::Number(text),
            Value::Null => Raw::Null,
            Value::Other => Raw::Other,
        };
        fields.set(key, raw);
    }
    read(&fields)
}

/// Reads a plain market data message in one pass.
///
/// Returns `None` for everything unusual, which [`read_document`] must look at:
/// another topic, an error, nesting, escapes, bytes beyond ASCII, bad JSON.
#[must_use]
pub fn read_flat(message: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let mut topic = Raw::Absent;
    let mut rest = message.strip_prefix(b"{")?;
    loop {
        let (key, after) = split_plain_text(skip_spaces(rest))?;
        let (value, after) = split_plain_value(skip_spaces(skip_colon(after)?))?;
        match key {
            b"topic" => topic = value,
            b"error" => return None,
            _ => fields.set(key, value),
        }
        match skip_spaces(after).split_first()? {
            (b',', after) => rest = after,
            (b'}', []) => break,
            _ => return None,
        }
    }
    match topic {
        Raw::Text(topic) if topic.starts_with(TOPIC_PREFIX) => Some(fields),
        _ => None,
    }
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b' ', rest @ ..] => skip_spaces(rest),
        _ => bytes,
    }
}

fn skip_colon(bytes: &[u8]) -> Option<&[u8]> {
    skip_spaces(bytes).strip_prefix(b":")
}

fn split_plain_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.strip_prefix(b"\"")?;
    let end = bytes.iter().position(|&b| b == b'"' || b == b'\\' || !(0x20..0x80).contains(&b))?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.strip_prefix(b"\"")?))
}

fn split_plain_value(bytes: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    if bytes.first() == Some(&b'"') {
        return split_plain_text(bytes).map(|(text, rest)| (Raw::Text(text), rest));
    }
    let end = bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b' '))?;
    let (word, rest) = bytes.split_at_checked(end)?;
    let raw = match word {
        b"null" => Raw::Null,
        b"true" | b"false" => Raw::Other,
        number if json::is_number(number) => Raw::Number(number),
        _ => return None,
    };
    Some((raw, rest))
}
