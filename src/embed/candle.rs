//! The reference encoder: BERT by candle, mean pooling over the tokens, unit length.
//!
//! Slow and trusted: what our own encoder is tested against. Only with the feature `candle`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

use crate::error::{Code, Error, Result};

/// A loaded BERT encoder.
pub struct Reference {
    model: BertModel,
    dimensions: usize,
}

impl Reference {
    /// Opens `config.json` and `model.safetensors` in a model folder.
    ///
    /// # Errors
    /// A file is missing, or is not a BERT encoder.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|cause| Error::io(&path, cause))?;
        let config: Config = serde_json::from_str(&text)
            .map_err(|cause| Error::corrupt(&path, format_args!("not a BERT configuration: {cause}")).caused_by(cause))?;
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(|cause| Error::io(&path, cause))?;
        let weights =
            VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).map_err(|cause| unreadable(&path, cause))?;
        let model = BertModel::load(weights, &config).map_err(|cause| unreadable(&path, cause))?;
        Ok(Self { model, dimensions: config.hidden_size })
    }

    /// Floats of one vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Unit vectors of token sequences of one length, row after row.
    ///
    /// Sequences of one length need no padding, so that a text has the same vector whatever stands beside it.
    ///
    /// # Errors
    /// The engine failed.
    pub fn embed(&self, ids: &[u32], length: usize) -> Result<Vec<f32>> {
        self.forward(ids, length).map_err(|cause| Error::new(Code::Internal, format!("embedding: {cause}")).caused_by(cause))
    }

    fn forward(&self, ids: &[u32], length: usize) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::from_slice(ids, (ids.len() / length, length), &Device::Cpu)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?;
        let pooled = hidden.mean(1)?;
        let norm = pooled.sqr()?.sum_keepdim(1)?.sqrt()?;
        pooled.broadcast_div(&norm)?.flatten_all()?.to_vec1()
    }
}

fn unreadable(path: &Path, cause: candle_core::Error) -> Error {
    Error::corrupt(
        path,
        format_args!("not the weights of a BERT encoder: {cause}; fetch the model again with `index-builder model`"),
    )
    .caused_by(cause)
}
