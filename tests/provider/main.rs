//! Providers: what is sent, what is read, and what happens when it goes wrong.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail where they stand")]

mod answers;
mod beside;
mod complaints;
mod golden;
mod models;
#[path = "../support/random.rs"]
#[expect(dead_code, reason = "other tests need numbers of other kinds")]
mod random;
mod recordings;
mod reliability;
#[path = "../support/shared.rs"]
mod shared;
mod specs;
mod support;
