//! The files of a model folder: read, or refused by name.

use std::path::Path;

use crate::error::{Code, Error, Result};

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| {
        if cause.kind() != std::io::ErrorKind::NotFound {
            return Error::io(path, cause);
        }
        Error::new(Code::NotFound, format!("{}: no such file; get the model with `index-builder model`", path.display()))
    })
}

pub(super) fn refused(path: &Path, what: &str) -> Error {
    Error::new(Code::NotSupported, format!("{}: {what}; the encoder cannot run this model", path.display()))
}
