//! [`Document`](crate::extract::Document) to chunks: one file a strategy.
