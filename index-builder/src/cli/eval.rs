//! The command line of `eval`: what is measured, by what was given.

use std::path::PathBuf;

use clap::Args;
use omni_retrieval::error::{Error, Result};
use omni_retrieval::index::Lexical;

use super::LexicalArgs;
use crate::eval::excerpts::Excerpts;
use crate::eval::gate::{Gate, Least, Metric};
use crate::eval::testset::{Evaluation, Mode};
use crate::model::default_folder;

/// A number from 0 to 1: what is none would never fail a gate.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().map_err(|cause| cause.to_string())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("give a number from 0 to 1".to_owned()) }
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Questions to ask an index: lines of `{"question", "source"}`, also `sources`, `page`, `text`, `filter`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["corpus", "excerpts"], help_heading = "An index")]
    questions: Option<PathBuf>,

    /// The index file, or a folder holding exactly one
    #[arg(long, default_value = "knowledge.omni", value_name = "FILE", requires = "questions", help_heading = "An index")]
    index: PathBuf,

    /// Fail where less of what is expected is among the first so many
    #[arg(long = "min-recall@1", value_name = "X", value_parser = share, requires = "questions", help_heading = "An index")]
    min_recall_1: Option<f64>,
    /// Likewise
    #[arg(long = "min-recall@5", value_name = "X", value_parser = share, requires = "questions", help_heading = "An index")]
    min_recall_5: Option<f64>,
    /// Likewise
    #[arg(long = "min-recall@10", value_name = "X", value_parser = share, requires = "questions", help_heading = "An index")]
    min_recall_10: Option<f64>,
    /// Fail where the order of the first ten is worse
    #[arg(long = "min-ndcg@10", value_name = "X", value_parser = share, requires = "questions", help_heading = "An index")]
    min_ndcg_10: Option<f64>,
    /// Fail where what is expected comes later, on average
    #[arg(long = "min-mrr@10", value_name = "X", value_parser = share, requires = "questions", help_heading = "An index")]
    min_mrr_10: Option<f64>,

    /// Fail where an older index answered the same questions better
    #[arg(long, value_name = "OLD", requires = "questions", help_heading = "An index")]
    against: Option<PathBuf>,

    /// How much worse than the older one is still as good
    #[arg(long, default_value_t = 0.0, value_name = "X", value_parser = share, requires = "against", help_heading = "An index")]
    tolerance: f64,

    /// Labels of whoever asks, comma-separated; labelled documents are not there for others
    #[arg(long = "access", value_name = "LABELS", value_delimiter = ',', requires = "questions", help_heading = "An index")]
    access: Vec<String>,

    /// A cross-encoder that reads what was found again, as the service does with `OMNI_RERANKER`: its folder, or a packed file
    #[arg(long, value_name = "PATH", requires = "questions", help_heading = "An index")]
    reranker: Option<PathBuf>,

    /// Questions with the excerpts that answer them, to compare chunking strategies: lines of `{"question", "source", "excerpts"}`
    #[arg(long, value_name = "FILE", requires = "documents", conflicts_with = "corpus", help_heading = "Chunking strategies")]
    excerpts: Option<PathBuf>,

    /// The documents of the excerpts
    #[arg(long, value_name = "FOLDER", requires = "excerpts", help_heading = "Chunking strategies")]
    documents: Option<PathBuf>,

    /// Chunks that are retrieved for each question
    #[arg(
        long,
        short = 'k',
        default_value_t = 5,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        requires = "excerpts",
        help_heading = "Chunking strategies"
    )]
    top_k: u16,

    /// Most of one chunk, as for `build`; each strategy's default where it is left out
    #[arg(long, value_name = "N", requires = "excerpts", help_heading = "Chunking strategies")]
    chunk_size: Option<usize>,

    /// Documents: lines of `{"_id", "title", "text"}`
    #[arg(long, value_name = "FILE", requires = "queries", help_heading = "A judged test set")]
    corpus: Option<PathBuf>,

    /// Questions: lines of `{"_id", "text"}`
    #[arg(long, value_name = "FILE", requires = "corpus", help_heading = "A judged test set")]
    queries: Option<PathBuf>,

    /// Judgements: lines of `query-id<TAB>corpus-id<TAB>score`; the first may be a heading
    #[arg(long, value_name = "FILE", requires = "corpus", help_heading = "A judged test set")]
    qrels: Option<PathBuf>,

    /// Folder for the run files, one a mode: lines of `query-id<TAB>doc-id<TAB>score`
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "target/eval",
        conflicts_with = "questions",
        help_heading = "A judged test set"
    )]
    runs: PathBuf,

    /// What is measured
    #[arg(long = "mode", value_enum, default_values_t = [Mode::Dense, Mode::Bm25, Mode::Hybrid], requires = "corpus", help_heading = "A judged test set")]
    modes: Vec<Mode>,

    /// Weight of the vectors against the words, 0 to 1 [default: what the index was tuned to, else 0.55]
    #[arg(long, value_name = "X")]
    alpha: Option<f32>,

    /// Embedding model: its folder, or a packed file; `OMNI_MODEL` names another default
    #[arg(long, default_value_os_t = default_folder(), value_name = "PATH")]
    model: PathBuf,

    #[command(flatten, next_help_heading = "Words")]
    lexical: LexicalArgs,

    /// Folder of what is remembered between runs [default: `.omni-cache` beside the run files]
    #[arg(long, value_name = "FOLDER", conflicts_with = "questions")]
    cache: Option<PathBuf>,
}

/// What is measured.
pub(crate) enum What {
    /// Questions against an index.
    Gate(Gate),
    /// Excerpts against chunking strategies.
    Excerpts(Excerpts),
    /// A judged test set.
    TestSet(Evaluation),
}

impl EvalArgs {
    /// What is measured, by what was given.
    pub(crate) fn what(self) -> Result<What> {
        let lexical = self.lexical.settings()?;
        if let Some(alpha) = self.alpha.filter(|alpha| !(0.0..=1.0).contains(alpha)) {
            return Err(Error::bad_request(format!("`--alpha`: {alpha}; give a number from 0 to 1")));
        }
        let cache = self.cache.unwrap_or_else(|| self.runs.join(".omni-cache"));
        if let Some(questions) = self.questions {
            if lexical != Lexical::default() {
                let message = "`--questions` asks an index, which has its words already; leave `--k1`, `--b`, `--no-stemming` and `--no-stop-words` out";
                return Err(Error::bad_request(message));
            }
            let least = [
                (Metric::Recall(1), self.min_recall_1),
                (Metric::Recall(5), self.min_recall_5),
                (Metric::Recall(10), self.min_recall_10),
                (Metric::Ndcg(10), self.min_ndcg_10),
                (Metric::Mrr(10), self.min_mrr_10),
            ];
            let least = least.into_iter().filter_map(|(metric, value)| Some(Least { metric, value: value? })).collect();
            let Self { index, against, tolerance, access, alpha, model, reranker, .. } = self;
            return Ok(What::Gate(Gate { questions, index, least, against, tolerance, access, alpha, model, reranker }));
        }
        if let (Some(questions), Some(documents)) = (self.excerpts, self.documents) {
            let Self { chunk_size, alpha, model, .. } = self;
            let top_k = self.top_k.into();
            return Ok(What::Excerpts(Excerpts { questions, documents, top_k, chunk_size, alpha, lexical, model, cache }));
        }
        let (Some(corpus), Some(queries)) = (self.corpus, self.queries) else {
            return Err(Error::bad_request(
                "`eval`: nothing to measure; give `--questions FILE`, `--excerpts FILE --documents FOLDER`, or `--corpus FILE --queries FILE`",
            ));
        };
        let Self { qrels, runs, modes, alpha, model, .. } = self;
        Ok(What::TestSet(Evaluation { corpus, queries, qrels, runs, modes, alpha, lexical, model, cache }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn eval(arguments: &[&str]) -> Result<EvalArgs, String> {
        let cli = Cli::try_parse_from([&["index-builder", "eval"], arguments].concat()).map_err(|error| error.to_string())?;
        let Command::Eval(args) = cli.command else { return Err("another command".to_owned()) };
        Ok(*args)
    }

    #[test]
    fn labels_are_separated_by_commas() {
        let args = eval(&["--questions", "q.jsonl", "--access", "hr,it", "--access", "staff"]).unwrap();
        let What::Gate(gate) = args.what().unwrap() else { panic!() };
        assert_eq!(gate.access, ["hr", "it", "staff"]);
    }

    #[test]
    fn nothing_retrieved_is_nothing_measured() {
        let error = eval(&["--excerpts", "q.jsonl", "--documents", "docs", "-k", "0"]).unwrap_err();
        assert!(error.contains("0 is not in 1.."), "{error}");
    }
}
