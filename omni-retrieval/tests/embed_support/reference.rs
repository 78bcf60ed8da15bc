//! The reference encoder: BERT by candle, pooled, unit length.
//!
//! Slow and trusted: what our own encoder is tested and measured against.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use omni_retrieval::embed::Pooling;

/// A loaded BERT encoder.
pub(crate) struct Reference(BertModel);

impl Reference {
    /// Opens `config.json` and `model.safetensors` in a model folder.
    pub(crate) fn open(folder: &Path) -> Self {
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap().replace("\"gelu_new\"", "\"geluapproximate\"");
        let config: Config = serde_json::from_str(&config).unwrap();
        Self(BertModel::load(weights(folder), &config).unwrap())
    }

    /// What the last layer makes of the tokens; those from `second` on are of token type 1.
    pub(crate) fn hidden(&self, ids: &[u32], second: usize) -> Tensor {
        let types: Vec<u32> = (0..ids.len()).map(|position| u32::from(position >= second)).collect();
        let row = |values: &[u32]| Tensor::from_slice(values, (1, values.len()), &Device::Cpu).unwrap();
        self.0.forward(&row(ids), &row(&types), None).unwrap()
    }

    /// The unit vector of one token sequence.
    pub(crate) fn embed(&self, ids: &[u32], pooling: Pooling) -> Vec<f32> {
        let hidden = self.hidden(ids, ids.len());
        let pooled = match pooling {
            Pooling::Mean => hidden.mean(1).unwrap(),
            Pooling::Cls => hidden.narrow(1, 0, 1).unwrap(),
        };
        let pooled: Vec<f32> = pooled.flatten_all().unwrap().to_vec1().unwrap();
        let norm = pooled.iter().map(|value| value * value).sum::<f32>().sqrt();
        pooled.iter().map(|value| value / norm).collect()
    }
}

/// All tensors of a model folder.
pub(crate) fn weights(folder: &Path) -> VarBuilder<'static> {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap()
}
