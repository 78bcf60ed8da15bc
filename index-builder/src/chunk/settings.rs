//! How documents are cut, in the API's own words.
//!
//! Fields that are left out get the strategy's defaults, so that `{"strategy":"recursive"}` is complete.

use omni_retrieval::embed::{Embedder, MAX_TOKENS, Tokenizer};
use omni_retrieval::error::{Code, Error, Result};
use serde::Serialize;

use super::atom::{CHARS_PER_TOKEN, Limit, Unit};
use super::context::CONTEXT_TOKENS;
use crate::cli::name;

/// Tokens that stand beside a chunk's text in what is embedded: the special ones, and the room kept for the heading path.
const TOKENS_BESIDE: usize = Tokenizer::SPECIAL_TOKENS + CONTEXT_TOKENS;

/// The least `chunk_size`: two of the largest atoms fit, so that a chunk can always begin with what the one before it ended with.
const LEAST_SIZE: usize = 64;

/// The most `separators`; each is a rank of its own.
const MOST_SEPARATORS: usize = 32;

/// What is kept beside a chunk's text.
const METADATA_FIELDS: [&str; 4] = ["source", "title", "page", "section"];

/// Where a document is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Strategy {
    /// Windows of a fixed size, cut at the end of a word.
    FixedSize,
    /// One separator; pieces are put together up to the size.
    Character,
    /// Windows of the embedding model's own tokens, cut at the end of a word.
    Token,
    /// Separators from the strongest to the weakest, then words.
    Recursive,
    /// Where neighbouring sentences are about different things.
    Semantic,
    /// Sections, then blocks and paragraphs, then sentences.
    #[default]
    Structure,
}

/// How documents are cut. Written with the API's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    /// Where the cuts are.
    pub(crate) strategy: Strategy,
    /// The most that one chunk holds, in `unit`. Whatever it says, a chunk never exceeds `most_tokens`.
    #[serde(rename = "chunk_size")]
    pub(crate) size: usize,
    /// The most that a chunk repeats of the one before it, in `unit`.
    #[serde(rename = "chunk_overlap")]
    pub(crate) overlap: usize,
    /// What sizes are counted in.
    pub(crate) unit: Unit,
    /// Strongest first, for `recursive`; exactly one for `character`; the other strategies have no use for them.
    pub(crate) separators: Vec<String>,
    /// What is kept beside a chunk's text, always the same.
    pub(super) metadata_fields: [&'static str; 4],
    /// Most tokens of one chunk's text: what the model reads, less what stands beside it.
    #[serde(skip)]
    pub(super) most_tokens: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(Strategy::default())
    }
}

impl Settings {
    /// The defaults of `strategy`.
    pub(crate) fn new(strategy: Strategy) -> Self {
        let unit = match strategy {
            Strategy::Structure | Strategy::Token => Unit::Tokens,
            _ => Unit::Characters,
        };
        let (size, overlap) = default_sizes(unit);
        let separators: &[&str] = match strategy {
            Strategy::Recursive => &["\n\n", "\n", ". ", " "],
            Strategy::Character => &["\n\n"],
            _ => &[],
        };
        Self {
            strategy,
            size,
            overlap,
            unit,
            separators: separators.iter().map(ToString::to_string).collect(),
            metadata_fields: METADATA_FIELDS,
            most_tokens: MAX_TOKENS - TOKENS_BESIDE,
        }
    }

    /// Checks that the sizes can be kept.
    ///
    /// # Errors
    /// A field is out of its range; the text names it and says what is in range.
    pub(crate) fn validate(&self) -> Result<()> {
        let Self { size, overlap, unit, .. } = *self;
        let unit_name = name(unit);
        if size < LEAST_SIZE {
            return Err(Error::bad_request(format!("`chunk_size`: {size} {unit_name}; at least {LEAST_SIZE}")));
        }
        if overlap > size / 2 {
            return Err(Error::bad_request(format!(
                "`chunk_overlap`: {overlap} {unit_name}; at most {}, half of `chunk_size`",
                size / 2
            )));
        }
        self.validate_separators()
    }

    fn validate_separators(&self) -> Result<()> {
        let given = self.separators.len();
        if given > MOST_SEPARATORS {
            return Err(Error::bad_request(format!("`separators`: {given} of them; at most {MOST_SEPARATORS}")));
        }
        if self.strategy == Strategy::Character && given != 1 {
            return Err(Error::bad_request(format!(
                "`separators`: {given} of them; `character` takes one, use `recursive` for more"
            )));
        }
        Ok(())
    }

    /// The most that one chunk holds.
    pub(super) fn size_limit(&self) -> Limit {
        let most = self.most_tokens;
        match self.unit {
            Unit::Tokens => Limit { tokens: self.size.min(most), chars: self.size.min(most) * CHARS_PER_TOKEN },
            Unit::Characters => Limit { tokens: most, chars: self.size.min(most * CHARS_PER_TOKEN) },
        }
    }

    /// The most that a chunk repeats. Where text is so dense that `most_tokens` shortens the chunk, the overlap shrinks with it.
    pub(super) fn overlap_limit(&self) -> Limit {
        let size = self.size_limit();
        let share = |whole: usize| (whole.saturating_mul(self.overlap) / self.size).max(usize::from(self.overlap > 0));
        match self.unit {
            Unit::Tokens => Limit { tokens: self.overlap, chars: share(size.chars) },
            Unit::Characters => Limit { tokens: share(size.tokens), chars: share(size.chars) },
        }
    }

    /// The least that a chunk adds before a strong boundary is preferred to a fuller chunk, in `unit`: a fifth of the size.
    pub(super) fn minimum(&self) -> usize {
        self.size.min(self.size_limit().chars) / 5
    }
}

fn default_sizes(unit: Unit) -> (usize, usize) {
    match unit {
        Unit::Characters => (1000, 200),
        Unit::Tokens => (220, 30),
    }
}

/// Settings as somebody wrote them: what is left out gets the strategy's default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) strategy: Strategy,
    pub(crate) chunk_size: Option<usize>,
    pub(crate) chunk_overlap: Option<usize>,
    pub(crate) unit: Option<Unit>,
    /// None are the strategy's default.
    pub(crate) separators: Vec<String>,
}

impl Given {
    /// The settings for what `embedder` reads of a document, its own words before it left out.
    ///
    /// # Errors
    /// As [`Self::for_tokens`].
    pub(crate) fn for_model(self, embedder: &Embedder) -> Result<Settings> {
        let tokenizer = embedder.tokenizer();
        self.for_tokens(tokenizer.max_tokens().saturating_sub(tokenizer.count(&embedder.manifest().document_prefix)))
    }

    /// The settings for a model that reads `tokens`, special ones included. A default that is too large for it shrinks.
    ///
    /// # Errors
    /// A field is out of its range, `chunk_size` is larger than what the model reads, or that is less than the least chunk with
    /// its heading path.
    pub(crate) fn for_tokens(self, tokens: usize) -> Result<Settings> {
        let most_tokens = tokens.saturating_sub(TOKENS_BESIDE);
        if most_tokens < LEAST_SIZE {
            let least = LEAST_SIZE + TOKENS_BESIDE;
            let what = "a chunk with its heading path; pack one with a larger `--max-tokens`, or choose another";
            return Err(Error::new(
                Code::NotSupported,
                format!("the embedding model reads {tokens} tokens of a document; at least {least} are needed for {what}"),
            ));
        }
        let defaults = Settings::new(self.strategy);
        let unit = self.unit.unwrap_or(defaults.unit);
        let most = match unit {
            Unit::Tokens => most_tokens,
            Unit::Characters => most_tokens * CHARS_PER_TOKEN,
        };
        if let Some(size) = self.chunk_size.filter(|size| *size > most) {
            return Err(Error::bad_request(format!(
                "`chunk_size`: {size} {}; at most {most}, as the embedding model reads {tokens} tokens with the heading path",
                name(unit)
            )));
        }
        if !self.separators.is_empty() && defaults.separators.is_empty() {
            return Err(Error::bad_request(format!(
                "`separators`: `{}` has no use for them; leave them out, or choose `recursive` or `character`",
                name(self.strategy)
            )));
        }
        let (size, overlap) = default_sizes(unit);
        let size = self.chunk_size.unwrap_or(size.min(most));
        let settings = Settings {
            size,
            overlap: self.chunk_overlap.unwrap_or(overlap.min(size / 5)),
            unit,
            separators: if self.separators.is_empty() { defaults.separators } else { self.separators },
            most_tokens,
            ..defaults
        };
        settings.validate()?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn fitted(given: Given, tokens: usize) -> Result<Settings, String> {
        given.for_tokens(tokens).map_err(|error| error.to_string())
    }

    fn read(given: Given) -> Result<Settings, String> {
        fitted(given, MAX_TOKENS)
    }

    fn of(strategy: Strategy) -> Given {
        Given { strategy, ..Given::default() }
    }

    fn sized(strategy: Strategy, size: usize) -> Given {
        Given { chunk_size: Some(size), ..of(strategy) }
    }

    fn parted(strategy: Strategy, separators: &[&str]) -> Given {
        Given { separators: separators.iter().map(ToString::to_string).collect(), ..of(strategy) }
    }

    #[test]
    fn what_is_left_out_is_the_strategys_default() {
        assert_eq!(read(Given::default()).unwrap(), Settings::default());
        for &strategy in Strategy::value_variants() {
            assert_eq!(read(of(strategy)).unwrap(), Settings::new(strategy));
            assert_eq!(serde_json::to_value(strategy).unwrap(), name(strategy));
        }
        let small = read(sized(Strategy::Token, 100)).unwrap();
        assert_eq!((small.size, small.overlap), (100, 20));
        let given = Given { chunk_overlap: Some(200), separators: vec!["\n\n".to_owned()], ..sized(Strategy::Recursive, 1000) };
        let settings = read(given).unwrap();
        assert_eq!((settings.size, settings.overlap, settings.unit), (1000, 200, Unit::Characters));
        assert_eq!(settings.separators, ["\n\n"]);
    }

    #[test]
    fn what_an_index_records_is_the_apis_form() {
        assert_eq!(
            serde_json::to_string(&Settings::default()).unwrap(),
            r#"{"strategy":"structure","chunk_size":220,"chunk_overlap":30,"unit":"tokens","separators":[],"metadata_fields":["source","title","page","section"]}"#
        );
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let cases = [
            (sized(Strategy::Structure, 63), "`chunk_size`: 63 tokens; at least 64"),
            (sized(Strategy::Recursive, 10), "`chunk_size`: 10 characters; at least 64"),
            (
                Given { chunk_overlap: Some(501), ..sized(Strategy::Recursive, 1000) },
                "`chunk_overlap`: 501 characters; at most 500, half of `chunk_size`",
            ),
            (
                parted(Strategy::Structure, &["zz"]),
                "`separators`: `structure` has no use for them; leave them out, or choose `recursive` or `character`",
            ),
            (
                parted(Strategy::Character, &["a", "b"]),
                "`separators`: 2 of them; `character` takes one, use `recursive` for more",
            ),
            (parted(Strategy::Recursive, &["x"; 33]), "`separators`: 33 of them; at most 32"),
        ];
        for (given, text) in cases {
            assert_eq!(read(given).unwrap_err(), text);
        }
    }

    #[test]
    fn a_model_decides_how_large_a_chunk_can_be() {
        // As the default model has it, nothing changes.
        let given = Given::default;
        assert_eq!(fitted(given(), 256).unwrap(), Settings::default());
        let small = fitted(given(), 128).unwrap();
        assert_eq!((small.size, small.overlap, small.size_limit().tokens), (96, 19, 96));
        assert_eq!(fitted(Given { chunk_overlap: Some(40), ..given() }, 128).unwrap().overlap, 40);
        let dense = fitted(of(Strategy::Recursive), 128).unwrap().size_limit();
        assert_eq!((dense.tokens, dense.chars), (96, 768));
        // What is stored is what is cut by.
        assert_eq!(fitted(of(Strategy::Recursive), 128).unwrap().size, 768);
        assert_eq!(
            fitted(sized(Strategy::Recursive, 99_999_999), 256).unwrap_err(),
            "`chunk_size`: 99999999 characters; at most 1792, as the embedding model reads 256 tokens with the heading path"
        );
        // Named is named, even where it is the default.
        assert!(fitted(sized(Strategy::Structure, 220), 128).is_err());
        assert_eq!(fitted(sized(Strategy::Structure, 480), 512).unwrap().size_limit().tokens, 480);
        assert_eq!(
            fitted(sized(Strategy::Token, 512), 256).unwrap_err(),
            "`chunk_size`: 512 tokens; at most 224, as the embedding model reads 256 tokens with the heading path"
        );
        assert_eq!(
            fitted(Given { chunk_overlap: Some(60), ..given() }, 128).unwrap_err(),
            "`chunk_overlap`: 60 tokens; at most 48, half of `chunk_size`"
        );
        fitted(given(), 96).unwrap();
        assert_eq!(
            fitted(given(), 95).unwrap_err(),
            "the embedding model reads 95 tokens of a document; at least 96 are needed for a chunk with its heading path; pack one \
             with a larger `--max-tokens`, or choose another"
        );
    }
}
