//! Pure: tokens -> money, by a dated table (`data/prices.json`) and the operator's own prices over it.
//!
//! A cost that is not known is none, never 0, and counted: an unknown model, cached tokens whose price the table lacks, or a
//! provider that does not say how many tokens there were. A request is priced as a whole in one tier, by the size of its prompt, as
//! the providers that have tiers do. Our table is read when the first price is asked for; the operator's at once, so that a broken
//! one stops the start.

mod table;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use self::table::{Book, Table};
use crate::chat::Usage;
use crate::error::{Error, Result};

const BUILT_IN: &str = include_str!("../data/prices.json");
const MILLION: f64 = 1_000_000.0;

/// A day as `YYYY-MM-DD`, which orders as days do.
pub(crate) type Day = String;

/// What models cost.
#[derive(Debug, Default)]
pub struct Prices {
    book: OnceLock<Book>,
    unknown: AtomicU64,
}

/// What one request would cost, for comparing providers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Dollars a million tokens of the prompt.
    pub input: f64,
    /// Dollars a million tokens of the answer.
    pub output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
}

impl Prices {
    /// The built-in table, with the operator's `file` over it where there is one.
    ///
    /// # Errors
    /// The file is missing or no price table.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
        let theirs = Table::read(&text, &path.display().to_string())?;
        Ok(Self { book: OnceLock::from(book(Some(theirs))), ..Self::default() })
    }

    fn book(&self) -> &Book {
        self.book.get_or_init(|| book(None))
    }

    /// How many exchanges with providers had a cost that is not known.
    pub fn unknown_count(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Dollars of one exchange today, at the price of the first of `models` that has one. None, and counted, where it is not known.
    pub fn charge(&self, provider: &str, models: &[&str], usage: Option<&Usage>) -> Option<f64> {
        self.charge_on(&today(), provider, models, usage)
    }

    fn charge_on(&self, day: &str, provider: &str, models: &[&str], usage: Option<&Usage>) -> Option<f64> {
        let price = |tokens: u64| models.iter().find_map(|model| self.price_on(day, provider, model, tokens));
        let cost = usage.and_then(|usage| price(usage.prompt_tokens)?.of(usage));
        if cost.is_none() {
            self.count_unknown();
        }
        cost
    }

    /// Counts an exchange whose tokens are not known.
    pub(crate) fn count_unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// What a model costs today for a prompt of that size.
    pub fn price(&self, provider: &str, model: &str, prompt_tokens: u64) -> Option<Price> {
        self.price_on(&today(), provider, model, prompt_tokens)
    }

    fn price_on(&self, day: &str, provider: &str, model: &str, prompt_tokens: u64) -> Option<Price> {
        let (row, factor) = self.book().row(provider, model)?;
        let mut price = Price {
            input: row.input,
            output: row.output,
            cache_read: row.cache_read,
            cache_write: row.cache_write,
            cache_write_1h: row.cache_write_1h,
        };
        if let Some(then) = row.earlier.iter().filter(|then| day < then.until.as_str()).min_by(|a, b| a.until.cmp(&b.until)) {
            price.input = then.input.unwrap_or(price.input);
            price.output = then.output.unwrap_or(price.output);
            price.cache_read = then.cache_read.or(price.cache_read);
            price.cache_write = then.cache_write.or(price.cache_write);
        }
        let tier =
            row.tiers.iter().filter(|tier| prompt_tokens >= tier.from_prompt_tokens).max_by_key(|tier| tier.from_prompt_tokens);
        if let Some(tier) = tier {
            let times = tier.input_factor.unwrap_or(1.0);
            price.input = tier.input.unwrap_or(price.input * times);
            price.output = tier.output.unwrap_or(price.output);
            price.cache_read = tier.cache_read.or(price.cache_read.map(|price| price * times));
            price.cache_write = tier.cache_write.or(price.cache_write.map(|price| price * times));
            price.cache_write_1h = tier.cache_write_1h.or(price.cache_write_1h.map(|price| price * times));
        }
        Some(price.times(factor))
    }

    /// What the caller should know of a model that its provider has ended or will end soon.
    pub fn retirement(&self, provider: &str, model: &str) -> Option<String> {
        self.retirement_on(&today(), provider, model)
    }

    fn retirement_on(&self, day: &str, provider: &str, model: &str) -> Option<String> {
        let row = self.book().retired(provider, model)?;
        Some(match row.day.as_deref() {
            Some(end) if end > day => format!("`{model}`: `{provider}` ends it on {end}; choose another model before that day"),
            Some(end) => format!("`{model}`: `{provider}` ended it on {end} and may refuse it; choose another model"),
            None => format!("`{model}`: `{provider}` has ended it and may refuse it; choose another model"),
        })
    }
}

impl Price {
    /// Dollars of `usage`. None where it holds cached tokens whose price is not known.
    pub fn of(&self, usage: &Usage) -> Option<f64> {
        let part = |tokens: u64, price: Option<f64>| match tokens {
            0 => Some(0.0),
            tokens => Some(tokens as f64 * price?),
        };
        let short = usage.cache_write_tokens.saturating_sub(usage.cache_write_1h_tokens);
        let dollars = part(usage.uncached_tokens(), Some(self.input))?
            + part(usage.cache_read_tokens, self.cache_read)?
            + part(short, self.cache_write)?
            + part(usage.cache_write_1h_tokens, self.cache_write_1h)?
            + part(usage.completion_tokens, Some(self.output))?;
        Some(dollars / MILLION)
    }

    fn times(self, factor: f64) -> Self {
        let times = |price: Option<f64>| price.map(|price| price * factor);
        Self {
            input: self.input * factor,
            output: self.output * factor,
            cache_read: times(self.cache_read),
            cache_write: times(self.cache_write),
            cache_write_1h: times(self.cache_write_1h),
        }
    }
}

fn book(theirs: Option<Table>) -> Book {
    let mut book = Book::default();
    // A test reads ours, so a build with a broken one does not pass.
    book.add(Table::read(BUILT_IN, "our prices").unwrap_or_default());
    theirs.into_iter().for_each(|table| book.add(table));
    book
}

/// Today, in UTC.
fn today() -> Day {
    jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "2026-11-20";

    fn usage(prompt: u64, read: u64, write: u64, completion: u64) -> Usage {
        Usage {
            prompt_tokens: prompt,
            cache_read_tokens: read,
            cache_write_tokens: write,
            completion_tokens: completion,
            ..Usage::default()
        }
    }

    fn cost(provider: &str, model: &str, usage: Usage, day: &str) -> Option<f64> {
        Prices::open(None).unwrap().charge_on(day, provider, &[model], Some(&usage)).map(|cost| (cost * 1e8).round() / 1e8)
    }

    #[test]
    fn cached_tokens_have_prices_of_their_own() {
        // 3 fresh, 12,304 written, 550 answered at 3 / 15 / 3.75.
        assert_eq!(cost("anthropic", "claude-sonnet-4-6", usage(12_307, 0, 12_304, 550), DAY), Some(0.054_399));
        assert_eq!(cost("openai", "gpt-6-sol", usage(1_000_000, 400_000, 0, 0), DAY), Some(2.0 * (0.6 * 2.0 + 0.4 * 0.2)));
        let hour = Usage { cache_write_1h_tokens: 1_000_000, ..usage(1_000_000, 0, 1_000_000, 0) };
        assert_eq!(cost("anthropic", "claude-opus-5-5", hour, DAY), Some(8.0));
        // The table has no price of what is written into this one's cache.
        assert_eq!(cost("openai", "gpt-5.4", usage(1_000, 0, 1_000, 0), DAY), None);
        assert_eq!(cost("openai", "gpt-5.4", usage(1_000_000, 200_000, 0, 0), DAY), Some(4.1));
    }

    #[test]
    fn tiers_days_and_regions() {
        assert_eq!(cost("anthropic", "claude-haiku-5-5", usage(100_000, 0, 0, 0), DAY), Some(0.01));
        assert_eq!(cost("anthropic", "claude-haiku-5-5", usage(100_001, 0, 0, 1_000_000), DAY), Some(2.550_000_5));
        assert_eq!(cost("openai", "gpt-6.1-sol", usage(272_000, 0, 0, 0), DAY), Some(1.088));
        assert_eq!(cost("anthropic", "claude-sonnet-5-5", usage(1_000_000, 1_000_000, 0, 0), "2026-10-06"), Some(0.2));
        assert_eq!(cost("anthropic", "claude-sonnet-5-5", usage(1_000_000, 1_000_000, 0, 0), "2026-10-07"), Some(0.1));
        let mega = usage(1_000_000, 0, 0, 1_000_000);
        assert_eq!(cost("bedrock", "us.anthropic.claude-sonnet-5-5", mega, DAY), Some(13.2));
        assert_eq!(cost("bedrock", "global.anthropic.claude-sonnet-5-5-20261001-v1:0", mega, DAY), Some(12.0));
        assert_eq!(cost("openai", "gpt-5.5-2026-04-23", usage(1_000_000, 400_000, 0, 1_000_000), DAY), Some(6.0 + 0.4 + 45.0));
        assert_eq!(cost("openai", "gpt-5.5", usage(271_999, 0, 0, 0), DAY), Some(1.359_995));
        assert_eq!(cost("openai", "gpt-4o-2024-05-13", mega, DAY), Some(20.0), "the first of that name cost twice as much");
        assert_eq!(cost("openai", "gpt-4o-2024-08-06", mega, DAY), Some(12.5));
        for (model, expected) in [
            ("us.cohere.embed-v4:0", 0.12),
            ("global.cohere.embed-v4:0", 0.12),
            ("amazon.nova-lite-v1:0", 0.3),
            ("us.amazon.nova-lite-v1:0", 0.3),
            ("eu.amazon.nova-lite-v1:0", 0.39),
            ("eu.amazon.nova-pro-v1:0", 5.25),
            ("us.amazon.nova-2-lite-v1:0", 3.08),
            ("eu.amazon.nova-2-lite-v1:0", 4.026),
        ] {
            assert_eq!(cost("bedrock", model, mega, DAY), Some(expected), "{model}");
        }
        assert_eq!(cost("bedrock", "apac.amazon.nova-lite-v1:0", mega, DAY), None, "nobody said what it costs there");
        assert_eq!(cost("openai-bedrock", "us.openai.gpt-6-sol", usage(200_000, 0, 0, 100_000), DAY), Some(1.54));
        assert_eq!(cost("openai", "gpt-6-sol", usage(272_000, 0, 0, 100_000), DAY), Some(2.588), "the answer costs more, too");
    }

    #[test]
    fn the_same_models_by_another_way() {
        let mega = usage(1_000_000, 0, 0, 1_000_000);
        for (provider, model, expected) in [
            ("gemini", "gemini-3.8-flash", 4.5),
            ("gemini", "models/gemini-4-argon", 12.0),
            ("anthropic-vertex", "claude-sonnet-5-5@20261001", 12.0),
            ("anthropic-bedrock", "anthropic.claude-sonnet-5-5", 13.2),
            ("openai-bedrock", "openai.gpt-5.5", 55.0),
            ("openai-bedrock", "openai.gpt-oss-120b-1:0", 0.75),
        ] {
            assert_eq!(cost(provider, model, mega, DAY), Some(expected), "{provider}/{model}");
        }
        assert_eq!(cost("anthropic-bedrock", "anthropic.claude-opus-5", mega, DAY), None, "nobody said what it costs there");
    }

    #[test]
    fn names_are_found_with_dates_versions_and_owners() {
        let prices = Prices::open(None).unwrap();
        for (provider, model) in [
            ("openai", "gpt-5.4-2026-03-05"),
            ("groq", "openai/gpt-oss-120b"),
            ("anthropic", "claude-haiku-4-5-20251001"),
            ("vertexai", "publishers/google/models/gemini-3.8-flash"),
            ("mistral", "codestral-latest"),
            ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-5"),
        ] {
            assert!(prices.price(provider, model, 0).is_some(), "{model}");
        }
    }

    #[test]
    fn what_is_not_known_is_none_and_counted() {
        let prices = Prices::open(None).unwrap();
        let used = usage(1_000_000, 0, 0, 0);
        for (provider, model) in [("openai", "gpt-99"), ("custom", "gpt-5.4"), ("openai", "gpt-5.44"), ("openai", "")] {
            assert_eq!(prices.charge(provider, &[model], Some(&used)), None, "{model}");
        }
        assert_eq!((prices.charge("openai", &["gpt-5.4"], None), prices.unknown_count()), (None, 5));
        assert_eq!(prices.charge("openai", &["gpt-5.4"], Some(&usage(0, 0, 0, 0))), Some(0.0));
        let by_its_name = prices.charge_on(DAY, "openai", &["gpt-5.4"], Some(&used));
        for names in [["", "gpt-5.4"], ["a-server's", "gpt-5.4"], ["gpt-5.4", "gpt-6-sol"]] {
            assert_eq!(prices.charge_on(DAY, "openai", &names, Some(&used)), by_its_name, "the first that has a price");
        }
        assert_eq!(prices.unknown_count(), 5);
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.json");
        std::fs::write(&path, r#"{"models": [{"provider": "bedrock", "model": "anthropic.claude-opus-5-5", "input": 3, "output": 1}, {"provider": "custom", "model": "llama", "input": 0, "output": 1}, {"provider": "openai", "model": "gpt-5.5", "input": 1, "output": 1}]}"#).unwrap();
        let prices = Prices::open(Some(&path)).unwrap();
        assert_eq!(prices.charge("custom", &["llama"], Some(&usage(5, 0, 0, 1_000_000))), Some(1.0));
        assert_eq!(prices.charge("openai", &["gpt-5.5"], Some(&usage(1_000_000, 0, 0, 0))), Some(1.0));
        assert_eq!(prices.charge("bedrock", &["anthropic.claude-opus-5-5"], Some(&usage(1_000_000, 0, 0, 0))), Some(3.0));
        assert!(prices.charge("openai", &["gpt-5.4"], Some(&usage(1, 0, 0, 0))).is_some());
        std::fs::write(&path, r#"{"models": [{"provider": "x", "model": "y", "input": -1, "output": 1}]}"#).unwrap();
        assert_eq!(Prices::open(Some(&path)).unwrap_err().message(), "prices: `y`: a price is negative or no number");
        std::fs::write(&path, "3").unwrap();
        assert!(Prices::open(Some(&path)).unwrap_err().message().contains("prices.json: no price table"));
    }

    #[test]
    fn our_table_is_whole_and_read_when_a_price_is_asked_for() {
        Table::read(BUILT_IN, "ours").unwrap();
        let prices = Prices::open(None).unwrap();
        assert!(prices.book.get().is_none());
        assert!(prices.price("openai", "gpt-5.4", 0).is_some());
        assert!(prices.book.get().is_some());
    }

    #[test]
    fn ended_models_are_said() {
        let prices = Prices::open(None).unwrap();
        let said = |provider, model| prices.retirement_on(DAY, provider, model);
        assert_eq!(
            said("openai", "gpt-4").unwrap(),
            "`gpt-4`: `openai` ended it on 2026-10-23 and may refuse it; choose another model"
        );
        assert_eq!(said("openai", "o3").unwrap(), "`o3`: `openai` ends it on 2026-12-11; choose another model before that day");
        assert_eq!(
            said("anthropic", "claude-3-5-sonnet-20241022").unwrap(),
            "`claude-3-5-sonnet-20241022`: `anthropic` has ended it and may refuse it; choose another model"
        );
        assert!(said("gemini", "gemini-2.0-flash").is_some());
        assert_eq!(said("openai", "gpt-4.1"), None);
        assert_eq!(said("custom", "gpt-4"), None);
    }
}
