//! Providers: what is sent, what is read, and what happens when it goes wrong.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail where they stand")]

mod answers;
mod complaints;
mod golden;
mod models;
mod recordings;
mod reliability;
mod specs;
mod support;
