//! Files of a request, as several dialects write them.

use serde_json::{Value, json};

use crate::chat::{Media, Source};

/// The address of a file; bytes become a `data:` one.
pub(super) fn address(media: &Media) -> String {
    match &media.source {
        Source::Url { url, .. } => url.clone(),
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Text(text) => text.clone(),
    }
}

/// A picture, as OpenAI and Cohere have it.
pub(super) fn image_url(media: &Media) -> Value {
    let mut image = json!({"url": address(media)});
    if let Some(detail) = &media.detail {
        image["detail"] = detail.as_str().into();
    }
    json!({"type": "image_url", "image_url": image})
}

/// A document of plain text as a part of the prompt.
pub(super) fn titled(name: Option<&str>, text: &str) -> String {
    match name {
        Some(name) => format!("{name}\n\n{text}"),
        None => text.to_owned(),
    }
}
