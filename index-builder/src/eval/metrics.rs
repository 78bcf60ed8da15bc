//! What a ranking is worth: its gains, hit by hit, beside those of all that is relevant.

/// Discounted gain among the first `k` by the best that was possible.
pub(super) fn ndcg(ranking: &[f64], relevant: &[f64], k: usize) -> f64 {
    let mut ideal = relevant.to_vec();
    ideal.sort_by(|a, b| b.total_cmp(a));
    dcg(ranking, k) / dcg(&ideal, k)
}

/// The share of what is relevant that stands among the first `k`.
pub(super) fn recall(ranking: &[f64], relevant: &[f64], k: usize) -> f64 {
    ranking.iter().take(k).filter(|&&gain| gain > 0.0).count() as f64 / relevant.len().max(1) as f64
}

/// One by the rank of the first hit that is relevant, 0 beyond `k`.
pub(super) fn mrr(ranking: &[f64], k: usize) -> f64 {
    ranking.iter().take(k).position(|&gain| gain > 0.0).map_or(0.0, |place| 1.0 / (place + 1) as f64)
}

fn dcg(gains: &[f64], k: usize) -> f64 {
    // An empty sum of floats is minus zero.
    gains.iter().take(k).enumerate().map(|(place, gain)| gain / ((place + 2) as f64).log2()).sum::<f64>() + 0.0
}
