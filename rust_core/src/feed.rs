//! One connection's decoder, from socket bytes to bars, quotes and messages.
//!
//! Rule 1: what came whole before an error is delivered, with the error beside
//! it. After an error or a close frame the connection is over.
//!
//! Rule 2: how the bytes are cut into calls changes nothing but which call
//! returns what.

use std::mem;

use crate::bar::{Bar, Bars};
use crate::book::{Book, Merge, Quote};
use crate::error::{ArgumentError, ProtocolError};
use crate::frame::{self, MaskKey, NO_CLOSE_CODE, Opcode};
use crate::json::{self, Value};
use crate::message::{Assembler, Document, Event, Joined, Joiner};
use crate::tick::{self, Fields, Ignored};

/// Pings that a peer may send within one second.
pub const PINGS_PER_SECOND_MAX: u32 = 20;
/// The topic under which messages that are not JSON are handed out.
pub const TEXT_TOPIC: &str = "text";

const NS_PER_SECOND: i64 = 1_000_000_000;
const NS_PER_MS: i64 = 1_000_000;

/// What to send back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// The end of the connection, with this code.
    Close(u16),
}

/// How much of everything was in one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes given to the decoder.
    pub bytes: u64,
    /// Whole frames, control frames included.
    pub frames: u64,
    /// Whole documents: ticks, ignored ones and those handed out.
    pub messages: u64,
    /// Market data updates of a contract, late ones included.
    pub ticks: u64,
    /// Fields that could not be read exactly.
    pub bad_fields: u64,
    /// Updates older than the quote, or trades older than the open bar.
    pub late_ticks: u64,
    /// Market data messages that belong to no contract, or to one too many.
    pub ignored: u64,
    /// Documents that came in more than one message.
    pub split_messages: u64,
    /// Beginnings of documents that never ended.
    pub partials_dropped: u64,
    /// Closed bars.
    pub bars: u64,
}

/// Everything that came out of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Bars that closed.
    pub bars: Vec<Bar>,
    /// Topic and bytes of every document that is not market data.
    pub messages: Vec<(String, Vec<u8>)>,
    /// What to send back.
    pub replies: Vec<Reply>,
    /// The code and reason of the peer's close frame.
    pub closed: Option<(u16, String)>,
    /// What the peer did wrong after all of the above.
    pub error: Option<ProtocolError>,
    /// How much of everything.
    pub counters: Counters,
}

impl Batch {
    /// The replies as frames, each masked with its own key.
    ///
    /// # Errors
    ///
    /// Returns the error of `next_key`.
    pub fn encode_replies<E>(
        &self,
        mut next_key: impl FnMut() -> Result<MaskKey, E>,
    ) -> Result<Vec<u8>, E> {
        let mut out = Vec::new();
        for reply in &self.replies {
            let key = next_key()?;
            match reply {
                Reply::Pong(payload) => frame::encode(Opcode::Pong, payload, key, &mut out),
                Reply::Close(NO_CLOSE_CODE) => frame::encode(Opcode::Close, &[], key, &mut out),
                Reply::Close(code) => {
                    frame::encode(Opcode::Close, &code.to_be_bytes(), key, &mut out);
                }
            }
        }
        Ok(out)
    }
}

enum State {
    Open,
    Closed,
    Failed(ProtocolError),
}

/// The decoder of one connection.
pub struct Feed {
    message_bytes_max: usize,
    state: State,
    /// The beginning of a frame that has not come whole.
    unread: Vec<u8>,
    assembler: Assembler,
    router: Router,
}

impl Feed {
    /// A decoder that takes messages and split documents of up to this many bytes.
    ///
    /// # Errors
    ///
    /// Returns [`ArgumentError`] when the limit is zero.
    pub fn new(message_bytes_max: usize) -> Result<Self, ArgumentError> {
        if message_bytes_max == 0 {
            return Err(ArgumentError::InvalidMessageLimit);
        }
        Ok(Self {
            message_bytes_max,
            state: State::Open,
            unread: Vec::new(),
            assembler: Assembler::new(message_bytes_max),
            router: Router {
                joiner: Joiner::new(message_bytes_max),
                pings: Pings::default(),
                market: Market::default(),
            },
        })
    }

    /// Builds bars of these lengths for a contract, see [`Bars::track`].
    ///
    /// # Errors
    ///
    /// Returns [`ArgumentError`] when a value is out of range.
    pub fn track(&mut self, conid: i64, intervals_ms: &[i64]) -> Result<(), ArgumentError> {
        self.router.market.bars.track(conid, intervals_ms)
    }

    /// Forgets a contract: its quote, and its open bars, which are dropped.
    pub fn untrack(&mut self, conid: i64) {
        self.router.market.bars.untrack(conid);
        self.router.market.book.forget(conid);
    }

    /// The last quote of a contract, or `None` when nothing came for it.
    #[must_use]
    pub fn quote(&self, conid: i64) -> Option<&Quote> {
        self.router.market.book.quote(conid)
    }

    /// Begins a new connection; quotes, tracked contracts and open bars stay.
    pub fn reset(&mut self) {
        self.state = State::Open;
        self.unread.clear();
        self.assembler = Assembler::new(self.message_bytes_max);
        self.router.joiner = Joiner::new(self.message_bytes_max);
        self.router.pings = Pings::default();
        self.router.market.bars.forget_volumes();
        self.router.market.book.reset_order();
    }

    /// Takes the bytes of one socket read; `now_ns` counts from 1970.
    ///
    /// Bytes after a close frame are counted and not looked at.
    ///
    /// # Errors
    ///
    /// Returns the [`ProtocolError`] of an earlier batch: the connection is over.
    pub fn feed(&mut self, bytes: &[u8], now_ns: i64) -> Result<Batch, ProtocolError> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        let mut batch = Batch::default();
        batch.counters.bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut unread = mem::take(&mut self.unread);
        if unread.is_empty() {
            let read_bytes = self.read(bytes, now_ns, &mut batch);
            unread.extend_from_slice(bytes.get(read_bytes..).unwrap_or_default());
        } else {
            unread.extend_from_slice(bytes);
            let read_bytes = self.read(&unread, now_ns, &mut batch);
            unread.drain(..read_bytes.min(unread.len()));
        }
        if matches!(self.state, State::Open) {
            self.unread = unread;
        }
        batch.counters.bars = u64::try_from(batch.bars.len()).unwrap_or(u64::MAX);
        Ok(batch)
    }

    /// Closes the bars that ended by the clock; `now_ns` counts from 1970.
    ///
    /// A trade that comes after its bar was closed is late, so give the clock
    /// less the delay that trades may have.
    pub fn advance(&mut self, now_ns: i64) -> Batch {
        let mut batch = Batch::default();
        self.router.market.bars.advance(to_ms(now_ns), &mut batch.bars);
        batch.counters.bars = u64::try_from(batch.bars.len()).unwrap_or(u64::MAX);
        batch
    }

    /// Reads whole frames and returns how many bytes they were.
    fn read(&mut self, bytes: &[u8], now_ns: i64, batch: &mut Batch) -> usize {
        let mut read_bytes = 0usize;
        while matches!(self.state, State::Open) {
            let rest = bytes.get(read_bytes..).unwrap_or_default();
            let result = match self.assembler.read(rest) {
                Ok(None) => break,
                Ok(Some((event, frame_bytes))) => {
                    read_bytes = read_bytes.saturating_add(frame_bytes);
                    batch.counters.frames = batch.counters.frames.saturating_add(1);
                    self.router.take(event, now_ns, batch)
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(()) if batch.closed.is_some() => self.state = State::Closed,
                Ok(()) => {}
                Err(error) => {
                    batch.replies.push(Reply::Close(error.close_code()));
                    batch.error = Some(error.clone());
                    self.state = State::Failed(error);
                }
            }
        }
        read_bytes
    }
}

/// Sends every event of the connection where it belongs.
struct Router {
    joiner: Joiner,
    pings: Pings,
    market: Market,
}

impl Router {
    fn take(
        &mut self,
        event: Event<'_>,
        now_ns: i64,
        batch: &mut Batch,
    ) -> Result<(), ProtocolError> {
        match event {
            Event::Fragment | Event::Pong => {}
            Event::Ping(payload) => {
                self.pings.count(now_ns)?;
                batch.replies.push(Reply::Pong(payload.to_vec()));
            }
            Event::Close(code, reason) => {
                batch.replies.push(Reply::Close(code));
                batch.closed = Some((code, reason.to_owned()));
            }
            Event::Message(_, payload) => return self.take_message(payload, now_ns, batch),
        }
        Ok(())
    }

    fn take_message(
        &mut self,
        payload: &[u8],
        now_ns: i64,
        batch: &mut Batch,
    ) -> Result<(), ProtocolError> {
        if !self.joiner.is_waiting() {
            if let Some(fields) = tick::read_flat(payload) {
                self.market.take_tick(&fields, now_ns, batch);
                return Ok(());
            }
        }
        let mut joined = Joined::default();
        let result = self.joiner.push(payload, now_ns, &mut joined, &mut |document| {
            self.market.take_document(document, now_ns, batch);
        });
        add(&mut batch.counters.split_messages, joined.split_documents);
        add(&mut batch.counters.partials_dropped, joined.partials_dropped);
        result
    }
}

/// The quotes and bars, and the sorting of documents into ticks and others.
#[derive(Default)]
struct Market {
    book: Book,
    bars: Bars,
}

impl Market {
    fn take_document(&mut self, document: Document<'_>, now_ns: i64, batch: &mut Batch) {
        let (topic, payload) = match document {
            Document::Json(document) if simdutf8::basic::from_utf8(document).is_ok() => {
                let (topic, has_error) = topic_of(document);
                if topic.as_bytes().starts_with(tick::TOPIC_PREFIX) && !has_error {
                    return tick::read_document(document, |fields| {
                        self.take_tick(fields, now_ns, batch);
                    });
                }
                (topic, document)
            }
            Document::Json(payload) | Document::Text(payload) => (TEXT_TOPIC.to_owned(), payload),
        };
        add(&mut batch.counters.messages, 1);
        batch.messages.push((topic, payload.to_vec()));
    }

    fn take_tick(&mut self, fields: &Fields<'_>, now_ns: i64, batch: &mut Batch) {
        let counters = &mut batch.counters;
        add(&mut counters.messages, 1);
        let now_ms = to_ms(now_ns);
        let update = match fields.update(now_ms) {
            Ok(update) => update,
            Err(reason) => {
                add(&mut counters.ignored, 1);
                add(&mut counters.bad_fields, u64::from(reason == Ignored::BadConid));
                return;
            }
        };
        let merge = self.book.merge(&update, now_ns);
        if merge == Merge::Full {
            return add(&mut counters.ignored, 1);
        }
        let outcome = self.bars.merge(&update, now_ms, &mut batch.bars);
        add(&mut counters.ticks, 1);
        add(&mut counters.bad_fields, update.bad_fields);
        add(&mut counters.bad_fields, outcome.overflows);
        add(&mut counters.late_ticks, u64::from(merge == Merge::Late || outcome.late));
    }
}

/// The topic of a document, empty when it has none, and whether it is an error.
fn topic_of(document: &[u8]) -> (String, bool) {
    let mut topic = String::new();
    let mut has_error = false;
    for (key, value) in json::members(document) {
        match (&*key, value) {
            (b"topic", Value::Text(text)) => topic = String::from_utf8_lossy(&text).into_owned(),
            (b"topic", _) => topic.clear(),
            (b"error", _) => has_error = true,
            _ => {}
        }
    }
    (topic, has_error)
}

/// Counts the pings of a second that begins with the first of them.
#[derive(Default)]
struct Pings {
    since_ns: Option<i64>,
    count: u32,
}

impl Pings {
    fn count(&mut self, now_ns: i64) -> Result<(), ProtocolError> {
        let is_same = self
            .since_ns
            .is_some_and(|since_ns| (0..NS_PER_SECOND).contains(&now_ns.saturating_sub(since_ns)));
        if !is_same {
            *self = Self { since_ns: Some(now_ns), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        if self.count > PINGS_PER_SECOND_MAX {
            return Err(ProtocolError::PingFlood { allowed: PINGS_PER_SECOND_MAX });
        }
        Ok(())
    }
}

fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}

fn to_ms(now_ns: i64) -> i64 {
    now_ns.checked_div_euclid(NS_PER_MS).unwrap_or(0)
}
