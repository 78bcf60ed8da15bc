//! Providers: what is sent, what is read, and what happens when it goes wrong.

mod complaints;
mod golden;
mod recordings;
mod reliability;
mod specs;
mod support;
