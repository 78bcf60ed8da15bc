//! What both doors read and write beyond their dialects: marks of the cache, and what must come back with a call.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::unknown;
use crate::chat::{CacheMark, CacheTtl, Raw, Warning, Warnings};

/// A mark of the cache, as Anthropic writes it.
#[derive(Debug, Deserialize)]
pub(super) struct CacheControl {
    ttl: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl CacheControl {
    /// The mark that stands in `field`; a time that is not known here is the shortest.
    pub(super) fn mark(mut self, field: &str, warnings: &mut Warnings) -> CacheMark {
        // There is one kind of mark.
        self.rest.shift_remove("type");
        self.rest.retain(|_, value| !value.is_null());
        let ttl = match self.ttl.as_deref() {
            Some("1h") => CacheTtl::OneHour,
            None | Some("5m") => CacheTtl::FiveMinutes,
            Some(other) => {
                let detail = format!("`{other}` is not known here: `5m`");
                warnings.push(Warning::changed(format!("{field}.cache_control.ttl"), detail));
                CacheTtl::FiveMinutes
            }
        };
        let own = (!self.rest.is_empty()).then(|| Raw { dialect: "anthropic".into(), value: self.rest.into() });
        CacheMark { ttl, own }
    }
}

/// What must come back with a tool call, as Google's own server writes it in this dialect.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ExtraContent {
    google: Option<Google>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Google {
    thought_signature: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ExtraContent {
    pub(super) fn of(signature: String) -> Self {
        Self { google: Some(Google { thought_signature: Some(signature), ..Google::default() }), ..Self::default() }
    }

    /// What came back; what else stands there is said in `warnings`.
    pub(super) fn signature(self, field: &str, warnings: &mut Warnings) -> Option<String> {
        let field = format!("{field}.extra_content");
        unknown(self.rest, &field, warnings);
        let google = self.google?;
        unknown(google.rest, &format!("{field}.google"), warnings);
        google.thought_signature
    }
}
