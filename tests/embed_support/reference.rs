//! The reference encoder: BERT by candle, mean pooling over the tokens, unit length.
//!
//! Slow and trusted: what our own encoder is tested and measured against.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

/// A loaded BERT encoder.
pub(crate) struct Reference(BertModel);

impl Reference {
    /// Opens `config.json` and `model.safetensors` in a model folder.
    pub(crate) fn open(folder: &Path) -> Self {
        let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
        Self(BertModel::load(weights, &config).unwrap())
    }

    /// The unit vector of one token sequence.
    pub(crate) fn embed(&self, ids: &[u32]) -> Vec<f32> {
        let ids = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
        let hidden = self.0.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
        let pooled: Vec<f32> = hidden.mean(1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let norm = pooled.iter().map(|value| value * value).sum::<f32>().sqrt();
        pooled.iter().map(|value| value / norm).collect()
    }
}
