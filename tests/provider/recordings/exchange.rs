//! What was recorded: whom it is of, and the bytes that came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use omni_llm::provider::embed::EmbedDialect;
use omni_llm::provider::{Dialect, Preset, preset};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::super::support::{bedrock_event, frame};

/// A request, of which often nothing was recorded, and what came back.
pub(super) struct Exchange<'a> {
    pub(super) provider: &'a str,
    pub(super) request: &'a Value,
    pub(super) response: &'a Value,
}

impl Exchange<'_> {
    /// Our row for whom the recordings call so.
    pub(super) fn row(&self) -> &'static Preset {
        let name = match self.provider {
            "google-gemini" => "gemini",
            "google-vertex" => "vertexai",
            other => other,
        };
        preset(name).unwrap_or_else(|| preset("custom").unwrap())
    }

    /// Where it went; empty where that is not known.
    pub(super) fn path(&self) -> &str {
        let path = self.request["path"].as_str().unwrap_or_default();
        path.split('?').next().unwrap_or_default().trim_end_matches('/')
    }

    /// Whose status was not recorded had an answer.
    pub(super) fn status(&self) -> u16 {
        self.response["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap())
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.response["headers"].as_object().into_iter().flatten() {
            let value = value.get(0).unwrap_or(value).as_str().map(HeaderValue::try_from);
            if let (Ok(name), Some(Ok(value))) = (HeaderName::try_from(name), value) {
                headers.insert(name, value);
            }
        }
        headers
    }

    fn is_asked(&self) -> bool {
        self.request["method"].as_str().is_none_or(|method| method.eq_ignore_ascii_case("post"))
    }

    /// The dialect, by the end of the path; by the look of the body where no request was recorded.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        let path = self.path();
        if path.is_empty() {
            return self.look();
        }
        let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
        let is_claude = path.contains("/publishers/anthropic/models/") && !path.contains("/models/count-tokens");
        let dialect = match () {
            () if ends(&["/chat/completions"]) => Dialect::OpenAi,
            () if ends(&["/v1/messages"]) || (is_claude && ends(&[":rawPredict", ":streamRawPredict"])) => Dialect::Anthropic,
            () if ends(&["/converse", "/converse-stream"]) => Dialect::Bedrock,
            () if ends(&[":generateContent", ":streamGenerateContent"]) => Dialect::Gemini,
            () if ends(&["/v2/chat"]) => Dialect::Cohere,
            () => return None,
        };
        self.is_asked().then_some(dialect)
    }

    fn look(&self) -> Option<Dialect> {
        let text = self.text().unwrap_or_default();
        let begins = chunks(Dialect::OpenAi, text.as_bytes()).into_iter().next();
        let body = self.lines().first().and_then(|line| json(line).ok()).or(begins).or_else(|| json(&text).ok())?;
        let has = |name: &str| body.get(name).is_some();
        match self.provider {
            "anthropic" => (has("content") || body["type"] == "message_start").then_some(Dialect::Anthropic),
            "bedrock" => {
                let is_event = ["messageStart", "contentBlockStart", "contentBlockDelta"].into_iter().any(has);
                (body["output"]["message"].is_object() || is_event).then_some(Dialect::Bedrock)
            }
            "google-gemini" | "google-vertex" => has("candidates").then_some(Dialect::Gemini),
            "cohere" => {
                let is_cohere = body["message"].is_object() || has("finish_reason") || body["type"] == "message-start";
                is_cohere.then_some(Dialect::Cohere)
            }
            _ => has("choices").then_some(Dialect::OpenAi),
        }
    }

    /// How an exchange about vectors is read, likewise. Only what we ask for is: not Ollama's own path, one text of Gemini's,
    /// pictures of Vertex AI's or Cohere's small integers.
    pub(super) fn embeds(&self) -> Option<EmbedDialect> {
        let (dialect, path, body) = (self.row().embeds?, self.path(), self.json().unwrap_or_default());
        let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
        let has_floats = !body["embeddings"].is_object() || body["embeddings"]["float"].is_array();
        let looks = ["/embeddings/float", "/embeddings/0/values", "/predictions/0/embeddings", "/data/0/embedding"];
        let is_ours = match dialect {
            _ if path.is_empty() => looks.iter().any(|place| body.pointer(place).is_some()),
            EmbedDialect::OpenAi | EmbedDialect::Mistral => ends(&["/embeddings"]) && !ends(&["/api/embeddings"]),
            EmbedDialect::Cohere => ends(&["/v1/embed", "/v2/embed"]),
            EmbedDialect::Bedrock => {
                ends(&["/invoke"])
                    && ["titan-embed", "cohere.embed", "multimodal-embeddings"].iter().any(|name| path.contains(name))
            }
            EmbedDialect::Gemini => ends(&[":batchEmbedContents"]),
            EmbedDialect::Vertex => {
                let is_text = path.contains("embedding") && !path.contains("multimodal");
                ends(&[":embedContent"]) || (is_text && ends(&[":predict"]))
            }
        };
        (is_ours && has_floats && self.is_asked()).then_some(dialect)
    }

    /// The body as JSON, if it is any.
    pub(super) fn json(&self) -> Option<Value> {
        json(&self.text()?).ok()
    }

    /// A body that came whole.
    pub(super) fn body(&self) -> Option<Vec<u8>> {
        self.text().map(String::into_bytes)
    }

    /// The body as text, as it came where that was recorded.
    fn text(&self) -> Option<String> {
        let response = self.response;
        let told = Some(&response["body_json"]).filter(|body| !body.is_null()).map(Value::to_string);
        let text = response["body_text"].as_str().map(str::to_owned).or_else(|| String::from_utf8(self.base64()?).ok());
        match text.filter(|text| !text.trim().is_empty()) {
            Some(text) if told.is_none() || json(&text).is_ok() => Some(text),
            _ => told,
        }
    }

    fn base64(&self) -> Option<Vec<u8>> {
        self.response["body_base64"].as_str().map(|text| STANDARD.decode(text).unwrap())
    }

    fn lines(&self) -> Vec<String> {
        list(&self.response["event_json_lines"])
            .map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned))
            .collect()
    }

    /// The bytes of a stream, where it is one.
    pub(super) fn stream(&self) -> Option<Vec<u8>> {
        let (lines, is_bedrock) = (self.lines(), self.dialect() == Some(Dialect::Bedrock));
        if !lines.is_empty() {
            let stream = lines.iter().map(|line| match is_bedrock {
                true => bedrock_message(&json(line).unwrap()),
                false => format!("data: {line}\n\n").into_bytes(),
            });
            return Some(stream.flatten().collect());
        }
        let body = self.base64().or_else(|| Some(self.response["body_text"].as_str()?.as_bytes().to_vec()))?;
        let start = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
        let start = start.trim_start_matches('\u{feff}').trim_start();
        let is_stream = match is_bedrock {
            true => !start.is_empty() && !start.starts_with('{'),
            false => ["data:", "event:", "id:", "retry:", ":"].iter().any(|name| start.starts_with(name)),
        };
        is_stream.then_some(body)
    }
}

/// A message of Bedrock's, of which the name and the payload were recorded.
fn bedrock_message(line: &Value) -> Vec<u8> {
    let (name, payload) = line.as_object().unwrap().iter().next().unwrap();
    if name.ends_with("Exception") {
        frame(&[(":exception-type", name), (":message-type", "exception")], payload.to_string().as_bytes())
    } else {
        bedrock_event(name, &payload.to_string())
    }
}

/// The JSON of every frame up to the end, found by the simplest means; what is none is a text.
pub(super) fn chunks(dialect: Dialect, stream: &[u8]) -> Vec<Value> {
    if dialect == Dialect::Bedrock {
        return bedrock_chunks(stream);
    }
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let mut found = Vec::new();
    for frame in text.trim_start_matches('\u{feff}').split("\n\n") {
        let fields = |name: &str| frame.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim).collect::<Vec<_>>();
        let data = fields("data:").join("\n");
        if data == "[DONE]" {
            found.push(data.into());
            break;
        }
        if !data.is_empty() {
            let chunk = json(&data).unwrap_or_else(|_| data.into());
            found.push(if fields("event:") == ["error"] { serde_json::json!({ "error": chunk }) } else { chunk });
        }
    }
    found
}

/// Each message of AWS's event stream as an object of its name.
fn bedrock_chunks(stream: &[u8]) -> Vec<Value> {
    let (mut found, mut rest) = (Vec::new(), stream);
    while rest.len() > 16 {
        let total = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let headers = u32::from_be_bytes(rest[4..8].try_into().unwrap()) as usize;
        if total > rest.len() {
            break;
        }
        let head = String::from_utf8_lossy(&rest[12..12 + headers]).into_owned();
        let payload: Value = serde_json::from_slice(&rest[12 + headers..total - 4]).unwrap_or_default();
        let names = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
        let name = [":exception-type"].iter().chain(&names).find(|name| head.contains(**name)).unwrap_or(&"");
        found.push(serde_json::json!({ *name: payload }));
        rest = &rest[total..];
    }
    found
}

/// The items of a list; none of what is no list.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}

pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}

/// JSON; a half of a character that stands alone in it, as where a text was cut between the two, is a replacement character.
pub(super) fn json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|cause| {
        let (mut whole, mut rest) = (String::new(), text);
        while let Some((before, escape)) = rest.find('\\').map(|at| rest.split_at(at)) {
            let half = |at: usize| {
                let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
                u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..0xE000).contains(unit))
            };
            let taken = match (half(0), half(6)) {
                (Some(..0xDC00), Some(0xDC00..)) => 12,
                (Some(_), _) => 6,
                _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
            };
            whole.push_str(before);
            whole.push_str(if taken == 6 { "\\ufffd" } else { &escape[..taken] });
            rest = &escape[taken..];
        }
        whole.push_str(rest);
        serde_json::from_str(&whole).map_err(|_| cause)
    })
}

/// What an exchange is for must not be told by words that stand anywhere in its path.
#[test]
fn a_path_says_what_is_asked() {
    let none = (None, None);
    for (provider, method, path, expected) in [
        ("openai", "post", "/v1/chat/completions?x=1", (Some(Dialect::OpenAi), None)),
        ("openai", "GET", "/v1/chat/completions", none),
        ("openai", "DELETE", "/v1/chat/completions/chatcmpl-1", none),
        ("openai", "GET", "/v1/models/text-embedding-3-small", none),
        ("openai", "POST", "/v1/embeddings", (None, Some(EmbedDialect::OpenAi))),
        ("ollama", "POST", "/api/embeddings", none),
        ("ollama", "POST", "/api/embed", none),
        ("voyage", "POST", "/v1/contextualizedembeddings", none),
        ("anthropic", "POST", "/v1/messages", (Some(Dialect::Anthropic), None)),
        ("anthropic", "POST", "/v1/messages/count_tokens", none),
        ("google-vertex", "POST", "/v1/publishers/anthropic/models/claude:rawPredict", (Some(Dialect::Anthropic), None)),
        ("google-vertex", "POST", "/v1/publishers/anthropic/models/count-tokens:rawPredict", none),
        ("google-vertex", "POST", "/v1/publishers/google/models/multimodalembedding@001:predict", none),
        ("google-vertex", "POST", "/v1/publishers/google/models/text-embedding-005:predict", (None, Some(EmbedDialect::Vertex))),
        ("google-gemini", "POST", "/v1beta/models/gemini:streamGenerateContent", (Some(Dialect::Gemini), None)),
        ("google-gemini", "POST", "/v1beta/models/gemini:batchGenerateContent", none),
        ("google-gemini", "POST", "/v1beta/models/gemini-embedding-001:embedContent", none),
        ("google-gemini", "POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", (None, Some(EmbedDialect::Gemini))),
        ("bedrock", "POST", "/model/a/converse-stream", (Some(Dialect::Bedrock), None)),
        ("bedrock", "POST", "/model/anthropic.claude/invoke", none),
        ("bedrock", "POST", "/model/amazon.titan-embed-text-v2%3A0/invoke", (None, Some(EmbedDialect::Bedrock))),
        ("cohere", "POST", "/v2/embed", (None, Some(EmbedDialect::Cohere))),
        ("cohere", "POST", "/v2/chat", (Some(Dialect::Cohere), None)),
    ] {
        let request = serde_json::json!({"method": method, "path": path});
        let exchange = Exchange { provider, request: &request, response: &Value::Null };
        assert_eq!((exchange.dialect(), exchange.embeds()), expected, "{method} {path}");
    }
}
