//! Where documents come from: a folder, or a bucket.
