//! Getting an embedding model.
