//! The reference encoder: BERT by candle, pooled, unit length.
//!
//! Slow and trusted: what our own encoder is tested and measured against.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use omni_llm::embed::Pooling;

/// A loaded BERT encoder, and what lies beside it.
pub(crate) struct Reference(BertModel, VarBuilder<'static>);

impl Reference {
    /// Opens `config.json` and `model.safetensors` in a model folder.
    pub(crate) fn open(folder: &Path) -> Self {
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap().replace("\"gelu_new\"", "\"geluapproximate\"");
        let config: Config = serde_json::from_str(&config).unwrap();
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
        Self(BertModel::load(weights.clone(), &config).unwrap(), weights)
    }

    /// The logit of a pair whose second text begins at `second`, as `BertForSequenceClassification` with one label computes it.
    pub(crate) fn score(&self, ids: &[u32], second: usize) -> f32 {
        let types: Vec<u32> = (0..ids.len()).map(|position| u32::from(position >= second)).collect();
        let row = |values: &[u32]| Tensor::from_slice(values, (1, values.len()), &Device::Cpu).unwrap();
        let hidden = self.0.forward(&row(ids), &row(&types), None).unwrap();
        let first = hidden.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
        let width = first.dim(1).unwrap();
        let linear = |name: &str, outputs: usize, input: &Tensor| {
            let layer = candle_nn::linear(width, outputs, self.1.pp(name)).unwrap();
            candle_nn::Module::forward(&layer, input).unwrap()
        };
        let pooled = linear("bert.pooler.dense", width, &first).tanh().unwrap();
        linear("classifier", 1, &pooled).flatten_all().unwrap().to_vec1().unwrap()[0]
    }

    /// The unit vector of one token sequence.
    pub(crate) fn embed(&self, ids: &[u32], pooling: Pooling) -> Vec<f32> {
        let ids = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
        let hidden = self.0.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
        let pooled = match pooling {
            Pooling::Mean => hidden.mean(1).unwrap(),
            Pooling::Cls => hidden.narrow(1, 0, 1).unwrap(),
        };
        let pooled: Vec<f32> = pooled.flatten_all().unwrap().to_vec1().unwrap();
        let norm = pooled.iter().map(|value| value * value).sum::<f32>().sqrt();
        pooled.iter().map(|value| value / norm).collect()
    }
}
