//! The extension module `engine._rust_core`, and the only place that knows Python.
//!
//! It converts arguments and results and decides nothing. The stub
//! `engine/_rust_core.pyi` is the reference for callers.

use pyo3::buffer::PyBuffer;
use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::bar::BAR_FIELDS;
use crate::decimal;
use crate::error::{ArgumentError, ProtocolError as PeerError};
use crate::feed::{Batch, Counters, Feed};
use crate::frame::{self, MaskKey};
use crate::{book, handshake};

create_exception!(
    engine._rust_core,
    ProtocolError,
    PyValueError,
    "The peer broke the WebSocket protocol or a limit; close with `close_code`."
);

impl From<PeerError> for PyErr {
    fn from(error: PeerError) -> Self {
        let raised = ProtocolError::new_err(error.to_string());
        Python::attach(|py| match raised.value(py).setattr("close_code", error.close_code()) {
            Ok(()) => raised,
            Err(failure) => failure,
        })
    }
}

impl From<ArgumentError> for PyErr {
    fn from(error: ArgumentError) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

fn new_mask_key() -> PyResult<MaskKey> {
    let mut key = MaskKey::default();
    getrandom::fill(&mut key).map_err(|error| PyOSError::new_err(error.to_string()))?;
    Ok(key)
}

fn checked_time(now_ns: i64) -> PyResult<i64> {
    if now_ns < 0 {
        return Err(ArgumentError::InvalidTime(now_ns).into());
    }
    Ok(now_ns)
}

#[pyclass(frozen, get_all, module = "engine._rust_core")]
struct FeedCounters {
    bytes: u64,
    frames: u64,
    messages: u64,
    ticks: u64,
    bad_fields: u64,
    late_ticks: u64,
    ignored: u64,
    split_messages: u64,
    partials_dropped: u64,
    bars: u64,
}

impl From<Counters> for FeedCounters {
    fn from(counters: Counters) -> Self {
        Self {
            bytes: counters.bytes,
            frames: counters.frames,
            messages: counters.messages,
            ticks: counters.ticks,
            bad_fields: counters.bad_fields,
            late_ticks: counters.late_ticks,
            ignored: counters.ignored,
            split_messages: counters.split_messages,
            partials_dropped: counters.partials_dropped,
            bars: counters.bars,
        }
    }
}

#[pyclass(frozen, get_all, module = "engine._rust_core")]
struct FeedBatch {
    bars: Py<PyBytes>,
    messages: Py<PyList>,
    replies: Py<PyBytes>,
    closed: Option<(u16, String)>,
    error: Option<String>,
    error_close_code: Option<u16>,
    counters: Py<FeedCounters>,
}

impl FeedBatch {
    fn new(py: Python<'_>, batch: &Batch) -> PyResult<Self> {
        let mut bars = Vec::new();
        for bar in &batch.bars {
            bar.pack(&mut bars);
        }
        let messages = batch
            .messages
            .iter()
            .map(|(topic, payload)| (topic.as_str(), PyBytes::new(py, payload)));
        let replies = batch.encode_replies(new_mask_key)?;
        Ok(Self {
            bars: PyBytes::new(py, &bars).unbind(),
            messages: PyList::new(py, messages.collect::<Vec<_>>())?.unbind(),
            replies: PyBytes::new(py, &replies).unbind(),
            closed: batch.closed.clone(),
            error: batch.error.as_ref().map(ToString::to_string),
            error_close_code: batch.error.as_ref().map(PeerError::close_code),
            counters: Py::new(py, FeedCounters::from(batch.counters))?,
        })
    }
}

#[pyclass(frozen, get_all, module = "engine._rust_core")]
struct Quote {
    conid: i64,
    bid: Option<i64>,
    ask: Option<i64>,
    last: Option<i64>,
    bid_size: Option<i64>,
    ask_size: Option<i64>,
    last_size: Option<i64>,
    volume: Option<i64>,
    prior_close: Option<i64>,
    halted: bool,
    availability: String,
    updated_ms: Option<i64>,
    received_ns: i64,
}

impl From<&book::Quote> for Quote {
    fn from(quote: &book::Quote) -> Self {
        Self {
            conid: quote.conid,
            bid: quote.bid,
            ask: quote.ask,
            last: quote.last,
            bid_size: quote.bid_size,
            ask_size: quote.ask_size,
            last_size: quote.last_size,
            volume: quote.volume,
            prior_close: quote.prior_close,
            halted: quote.halted,
            availability: quote.availability.as_str().to_owned(),
            updated_ms: quote.updated_ms,
            received_ns: quote.received_ns,
        }
    }
}

#[pyclass(module = "engine._rust_core")]
struct FeedDecoder(Feed);

#[pymethods]
impl FeedDecoder {
    #[new]
    #[pyo3(signature = (*, message_bytes_max = 1_048_576))]
    fn new(message_bytes_max: usize) -> PyResult<Self> {
        Ok(Self(Feed::new(message_bytes_max)?))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a Python list has no slice to lend")]
    fn track(&mut self, conid: i64, intervals_ms: Vec<i64>) -> PyResult<()> {
        Ok(self.0.track(conid, &intervals_ms)?)
    }

    fn untrack(&mut self, conid: i64) {
        self.0.untrack(conid);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn feed(&mut self, data: &Bound<'_, PyAny>, now_ns: i64) -> PyResult<FeedBatch> {
        let now_ns = checked_time(now_ns)?;
        let batch = match data.cast::<PyBytes>() {
            Ok(bytes) => self.0.feed(bytes.as_bytes(), now_ns)?,
            // Memory that somebody may write to while it is read is copied first.
            Err(_) => self.0.feed(&PyBuffer::<u8>::get(data)?.to_vec(data.py())?, now_ns)?,
        };
        FeedBatch::new(data.py(), &batch)
    }

    fn advance(&mut self, py: Python<'_>, now_ns: i64) -> PyResult<FeedBatch> {
        FeedBatch::new(py, &self.0.advance(checked_time(now_ns)?))
    }

    fn quote(&self, conid: i64) -> Option<Quote> {
        self.0.quote(conid).map(Quote::from)
    }
}

#[pyfunction]
fn encode_text<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &frame::encode_text(payload, new_mask_key()?)?))
}

#[pyfunction]
fn encode_close(py: Python<'_>, code: u16) -> PyResult<Bound<'_, PyBytes>> {
    Ok(PyBytes::new(py, &frame::encode_close(code, new_mask_key()?)?))
}

#[pyfunction]
fn accept_key(key: &str) -> String {
    handshake::accept_key(key)
}

/// Decodes the gateway's WebSocket and builds quotes and bars from it.
#[pymodule]
mod _rust_core {
    use super::{BAR_FIELDS, PyModule, PyModuleMethods, PyResult, decimal};
    #[pymodule_export]
    use super::{
        FeedBatch, FeedCounters, FeedDecoder, ProtocolError, Quote, accept_key, encode_close,
        encode_text,
    };
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let dtype: Vec<(&str, &str)> = BAR_FIELDS.iter().map(|&field| (field, "<i8")).collect();
        module.add("BAR_DTYPE", dtype)?;
        module.add("SCALE", decimal::SCALE)?;
        // A default, so that the attribute exists on the class; every error has its own.
        module.py().get_type::<ProtocolError>().setattr("close_code", 1002)
    }
}
