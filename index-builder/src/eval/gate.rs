//! The gate: questions whose sources are known, asked of a built index. It fails where the answers are not good enough, or
//! worse than those of an older index.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use omni_llm::config::Retrieval;
use omni_retrieval::embed::{Embedder, Reranker};
use omni_retrieval::index::{Fusion, Index, index_path};
use omni_retrieval::rerank::Reranking;

use super::{Asked, Manner, Scores, Unknown, ask, embed, questions};
use crate::embedding::Embedding;
use crate::remote::Remote;
use crate::report::shown;

/// Questions that are listed as missed; all of them count.
const SHOWN_MISSES: usize = 20;

/// What to ask whom, and what is good enough.
pub(crate) struct Gate {
    pub(crate) questions: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) least: Vec<Least>,
    pub(crate) against: Option<PathBuf>,
    /// How much worse than the older index is still as good.
    pub(crate) tolerance: f64,
    /// The labels of whoever asks.
    pub(crate) access: Vec<String>,
    /// The weight of the vectors, where not the index's own.
    pub(crate) alpha: Option<f32>,
    pub(crate) model: PathBuf,
    /// A cross-encoder that reads what was found again.
    pub(crate) reranker: Option<PathBuf>,
}

/// The least of a metric that is good enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Least {
    pub(crate) metric: Metric,
    pub(crate) value: f64,
}

/// What is measured, among the first so many hits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Metric {
    Recall(usize),
    Ndcg(usize),
    Mrr(usize),
}

/// What is printed, and what an older index is compared by.
const SHOWN: [Metric; 5] = [Metric::Recall(1), Metric::Recall(5), Metric::Recall(10), Metric::Ndcg(10), Metric::Mrr(10)];
const COMPARED: [Metric; 2] = [Metric::Recall(5), Metric::Ndcg(10)];

impl Metric {
    fn of(self, scores: &Scores) -> f64 {
        match self {
            Self::Recall(k) => scores.recall(k),
            Self::Ndcg(k) => scores.ndcg(k),
            Self::Mrr(k) => scores.mrr(k),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recall(k) => write!(f, "recall@{k}"),
            Self::Ndcg(k) => write!(f, "nDCG@{k}"),
            Self::Mrr(k) => write!(f, "MRR@{k}"),
        }
    }
}

/// Asks, and says in words what came of it and why it is not good enough.
pub(crate) fn run(gate: &Gate) -> Result<(String, Vec<String>)> {
    let questions = questions(&gate.questions)?;
    let reranker = gate.reranker.as_deref().map(Reranker::open).transpose()?;
    let Retrieval { rerank_depth: depth, rerank_weight: weight, .. } = Retrieval::default();
    let reranking = reranker.as_ref().map(|reranker| Reranking { reranker, depth, weight, until: None });
    let measure = |named: &Path, is_older: bool| -> Result<(Scores, Index)> {
        let path = index_path(named)?;
        let index = Index::open(&path)?;
        index.bury_beside(&path)?;
        let asked = |embedding: Embedding<'_>| {
            let manifest = embedding.manifest();
            index.require_model(&manifest.model, &manifest.model_fingerprint)?;
            embed(&questions, embedding)
        };
        // A provider's index can be asked without the packed model.
        let vectors = match Remote::of(index.manifest())? {
            Some(remote) => asked(Embedding::Remote(&remote)),
            None => {
                let embedder = Embedder::open(&gate.model)?;
                embedder.verify()?;
                asked(Embedding::Packed(&embedder))
            }
        }?;
        let fusion = Fusion::weighed(gate.alpha, index.manifest().alpha);
        // What the older index does not know is what the new one is better at.
        let manner = Manner { fusion, access: &gate.access, reranking, may_lack_fields: is_older };
        let scores = ask(&index, &questions, &vectors, manner).with_context(|| path.display().to_string())?;
        Ok((scores, index))
    };
    let (new, index) = measure(&gate.index, false)?;
    let old = gate.against.as_deref().map(|old| measure(old, true)).transpose()?.map(|(old, _)| old);
    let unknown = Unknown::of(&index, &questions)?;
    let text = table(&questions, &new, old.as_ref(), &unknown);
    Ok((text, failures(gate, &new, old.as_ref())))
}

fn failures(gate: &Gate, new: &Scores, old: Option<&Scores>) -> Vec<String> {
    let remedy = "name sources as `omni-llm search` shows them, and the labels of who may see them with `--access`";
    let mut failures: Vec<String> = new.require_any(remedy).err().map(|error| error.to_string()).into_iter().collect();
    // As good as nothing is anything.
    failures.extend(old.and_then(|old| old.require_any(remedy).err()).map(|error| format!("the older index: {error}")));
    for Least { metric, value } in &gate.least {
        let reached = metric.of(new);
        if reached < *value {
            failures.push(format!("{metric} is {reached:.4}, wanted at least {value}"));
        }
    }
    for metric in COMPARED {
        let Some(before) = old.map(|old| metric.of(old)) else { continue };
        let now = metric.of(new);
        // What was added up in another order must not count.
        if now < before - gate.tolerance - 1e-9 {
            failures.push(format!("{metric} is {now:.4}, the older index reached {before:.4}"));
        }
    }
    failures
}

fn table(questions: &[Asked], new: &Scores, old: Option<&Scores>, unknown: &Unknown<'_>) -> String {
    let mut text = format!("questions  {}\n", questions.len());
    for metric in SHOWN {
        let before = old.map(|old| format!("  (older index {:.4})", metric.of(old))).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<10} {:.4}{before}", metric.to_string(), metric.of(new));
    }
    let missed = questions.iter().zip(&new.outcomes).enumerate().filter(|(_, (_, outcome))| outcome.ranks.contains(&None));
    let missed: Vec<_> = missed.collect();
    if !missed.is_empty() {
        let _ = writeln!(text, "missed     {} of {}", missed.len(), questions.len());
    }
    for (place, (asked, outcome)) in missed.iter().take(SHOWN_MISSES) {
        let expected = asked.expected();
        let lost = expected.iter().zip(&outcome.ranks).filter(|(_, rank)| rank.is_none()).map(|(source, _)| shown(source));
        let lost: Vec<_> = lost.collect();
        let first = shown(outcome.first.as_deref().unwrap_or("nothing"));
        let why = if unknown.texts.contains(place) { "; the text is in none of its chunks" } else { "" };
        let _ = writeln!(text, "  {}\n    expected {}, found first {first}{why}", asked.shown(), lost.join(", "));
    }
    if missed.len() > SHOWN_MISSES {
        let _ = writeln!(text, "  and {} more", missed.len() - SHOWN_MISSES);
    }
    for source in unknown.sources.iter().take(SHOWN_MISSES) {
        let _ = writeln!(text, "no `{}` is in the index; name sources as `omni-llm search` shows them", shown(source));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Outcome;
    use super::*;

    fn scores(ranks: &[Option<usize>]) -> Scores {
        let outcome = |&rank: &Option<usize>| Outcome { ranks: vec![rank], first: Some("other.md".to_owned()) };
        Scores { outcomes: ranks.iter().map(outcome).collect() }
    }

    fn gate(least: Vec<Least>, tolerance: f64) -> Gate {
        Gate {
            questions: PathBuf::new(),
            index: PathBuf::new(),
            least,
            against: None,
            tolerance,
            access: Vec::new(),
            alpha: None,
            model: PathBuf::new(),
            reranker: None,
        }
    }

    #[test]
    fn too_little_and_worse_than_before_are_failures() {
        let (new, old) = (scores(&[Some(1), None]), scores(&[Some(1), Some(4)]));
        let strict =
            gate(vec![Least { metric: Metric::Recall(5), value: 0.8 }, Least { metric: Metric::Mrr(10), value: 0.5 }], 0.0);
        assert_eq!(failures(&strict, &new, None), ["recall@5 is 0.5000, wanted at least 0.8"]);
        assert_eq!(
            failures(&gate(Vec::new(), 0.0), &new, Some(&old)),
            ["recall@5 is 0.5000, the older index reached 1.0000", "nDCG@10 is 0.5000, the older index reached 0.7153"]
        );
        assert!(failures(&gate(Vec::new(), 0.0), &new, Some(&new)).is_empty());
        assert!(failures(&gate(Vec::new(), 0.6), &new, Some(&old)).is_empty());
        let said = failures(&gate(Vec::new(), 0.0), &new, Some(&scores(&[None, None])));
        assert!(
            said.len() == 1 && said[0].starts_with("the older index: nothing that the questions expect was found; "),
            "{said:?}"
        );
    }

    #[test]
    fn names_do_not_speak_to_the_terminal() {
        let asked = serde_json::json!({"question": "Why\n\u{1b}[2J?", "source": "a\u{1b}[2J.md"});
        let asked: Asked = serde_json::from_value(asked).unwrap();
        let missed = Scores { outcomes: vec![Outcome { ranks: vec![None], first: Some("b\u{7}\n.md".to_owned()) }] };
        let unknown = Unknown { sources: asked.expected().into_iter().collect(), texts: BTreeSet::new() };
        let text = table(std::slice::from_ref(&asked), &missed, None, &unknown);
        let listed =
            "  Why \u{fffd}[2J?\n    expected a\u{fffd}[2J.md, found first b\u{fffd}\u{fffd}.md\nno `a\u{fffd}[2J.md` is in";
        assert!(text.contains(listed), "{text:?}");
    }

    #[test]
    fn misses_are_listed_with_what_came_instead() {
        let asked: Asked = serde_json::from_str(r#"{"question": "Why?", "source": "a.md"}"#).unwrap();
        let questions = [asked.clone(), asked];
        let (new, old) = (scores(&[None, Some(1)]), scores(&[Some(1), Some(1)]));
        let text = table(&questions, &new, Some(&old), &Unknown::default());
        assert!(text.contains("recall@5   0.5000  (older index 1.0000)\n"), "{text}");
        assert!(text.ends_with("missed     1 of 2\n  Why?\n    expected a.md, found first other.md\n"), "{text}");
        let unknown = Unknown { sources: BTreeSet::from(["a.md"]), texts: BTreeSet::from([0]) };
        let text = table(&questions, &new, None, &unknown);
        assert!(text.ends_with("other.md; the text is in none of its chunks\nno `a.md` is in the index; name sources as `omni-llm search` shows them\n"), "{text}");
    }
}
