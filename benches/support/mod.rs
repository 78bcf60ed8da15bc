//! What the benches share: figures on paper, seeded randomness.

pub(crate) mod figures;
pub(crate) mod random;
