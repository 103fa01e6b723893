//! Tests of the crate through its public face, one file per module.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod bar;
mod book;
mod decimal;
mod error;
mod feed;
mod frame;
mod handshake;
mod json;
mod message;
mod tick;
mod wire;
