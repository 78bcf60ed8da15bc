//! How the values of variables are read, and in what range.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::ops::RangeInclusive;

use serde::de::{Deserialize as _, Deserializer, Error as _};

use super::{Level, LogFormat, Preferred, PreferredBy, SECRET_PREFIX, Secret};

pub(super) const SECONDS: RangeInclusive<u64> = 1..=900;
pub(super) const MEBIBYTES: RangeInclusive<u64> = 1..=64;
pub(super) const TOP_K: RangeInclusive<usize> = 1..=100;
pub(super) const UNIT: RangeInclusive<f32> = 0.0..=1.0;
pub(super) const COSINE: RangeInclusive<f32> = -1.0..=1.0;
pub(super) const TEMPERATURE: RangeInclusive<f64> = 0.0..=2.0;
pub(super) const TOKENS: RangeInclusive<u32> = 1..=1_000_000;
pub(super) const CONTEXT_CHARS: RangeInclusive<usize> = 500..=4_000_000;
/// No function of Lambda's has more memory.
pub(super) const WARMEST_MB: u64 = 32_768;
pub(super) const RETRIES: RangeInclusive<u32> = 0..=10;
pub(super) const HEDGE_MS: RangeInclusive<u64> = 1..=600_000;

pub(super) fn within<T: PartialOrd + fmt::Display>(key: &str, value: T, range: &RangeInclusive<T>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("`{key}`: {value} is not between {} and {}", range.start(), range.end()))
}

pub(super) fn number<T: std::str::FromStr + PartialOrd + fmt::Display>(
    value: &str,
    range: &RangeInclusive<T>,
) -> Result<T, String> {
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("`{value}` is not a number between {} and {}", range.start(), range.end())),
    }
}

/// Comma-separated; the type says of what.
pub(super) fn set_list<T: From<String>>(place: &mut Vec<T>, value: &str) -> Result<(), String> {
    *place = value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| T::from(item.to_owned())).collect();
    Ok(())
}

pub(super) fn header_name(value: &str) -> Result<String, String> {
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) && !value.is_empty() {
        return Ok(value.to_ascii_lowercase());
    }
    Err(format!("`{value}` is not the name of a header"))
}

pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{value}` is neither `true` nor `false`")),
    }
}

/// An address to listen on: a host, by its number or name, and a port.
///
/// # Errors
/// It is none, or nobody knows the name.
pub fn address(value: &str) -> Result<SocketAddr, String> {
    let is_whole = value.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !is_whole {
        let example = "`127.0.0.1:8080`, or `0.0.0.0:8080` to be reached from elsewhere";
        return Err(format!("`{value}` is not a host and a port, as in {example}"));
    }
    let found: Vec<SocketAddr> = value.to_socket_addrs().map_err(|cause| format!("`{value}`: {cause}"))?.collect();
    // A name may lead to addresses of both kinds; the older one is what everybody tries.
    let first = found.iter().find(|found| found.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("`{value}`: the name leads nowhere"))
}

/// As [`address`], out of a file.
pub(super) fn read_address<'a, D: Deserializer<'a>>(reader: D) -> Result<SocketAddr, D::Error> {
    address(&String::deserialize(reader)?).map_err(D::Error::custom)
}

pub(super) fn level(value: &str) -> Result<Level, String> {
    match value.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::Trace),
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warn),
        "error" | "fatal" | "critical" => Ok(Level::Error),
        _ => Err(format!("`{value}` is none of `trace`, `debug`, `info`, `warn`, `error`")),
    }
}

pub(super) fn format(value: &str) -> Result<LogFormat, String> {
    match value.to_ascii_lowercase().as_str() {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err(format!("`{value}` is none of `auto`, `json`, `text`")),
    }
}

/// `openai,groq`, `cheapest`, `fastest:openai,groq`.
pub(super) fn preferred(value: &str) -> Result<Preferred, String> {
    let (by, names) = value.split_once(':').unwrap_or(match value {
        "cheapest" | "fastest" | "listed" => (value, ""),
        names => ("listed", names),
    });
    let by = match by.trim() {
        "listed" => PreferredBy::Listed,
        "cheapest" => PreferredBy::Cheapest,
        "fastest" => PreferredBy::Fastest,
        other => return Err(format!("`{other}` is none of `listed`, `cheapest`, `fastest`")),
    };
    let providers: Vec<String> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect();
    if by == PreferredBy::Listed && providers.is_empty() {
        return Err("a list names nobody".to_owned());
    }
    Ok(Preferred { by, providers })
}

pub(super) fn invoke_mode(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "response_stream" => Ok(true),
        "buffered" => Ok(false),
        _ => Err(format!("`{value}` is neither `buffered` nor `response_stream`")),
    }
}

/// A base URL, below which paths lie, without credentials in it. Plain `http` is the operator's choice: a model on the same machine
/// has no certificate.
pub(super) fn url(value: &str) -> Result<String, String> {
    let parsed = url::Url::parse(value).map_err(|cause| format!("not a URL: {cause}"))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
        return Err(format!("`{}` is not an `http` or `https` URL", parsed.scheme()));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("the URL carries credentials, which would be logged; put the key in its own variable".to_owned());
    }
    if parsed.query().or(parsed.fragment()).is_some() {
        return Err("the URL has a `?` or a `#`, and nothing behind these would be sent; end it with the path".to_owned());
    }
    Ok(value.to_owned())
}

/// A proxy as the HTTP client takes it. The value is never echoed: it may hold a password.
pub(super) fn proxy(value: &str) -> Result<(), String> {
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    match url::Url::parse(&whole) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        Ok(url) if url.scheme().starts_with("socks") => Err(format!("`{}` is not spoken here, a proxy of HTTP is", url.scheme())),
        _ => Err("no address of a proxy".to_owned()),
    }
}

/// A host as an address names it, with `*.` before it where any below is meant. With more than that it would never match.
pub(super) fn host(value: &str) -> Result<(), String> {
    let name = value.strip_prefix("*.").unwrap_or(value);
    if url::Host::parse(name).is_ok_and(|host| host.to_string().eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let named = [value.to_owned(), format!("https://{value}")].into_iter().find_map(|address| {
        let address = url::Url::parse(&address).ok()?;
        Some(format!("; its host is `{}`", address.host_str()?))
    });
    Err(format!("`{value}` is not a host alone{}", named.unwrap_or_default()))
}

/// A key fit for a header. The value is never echoed.
pub(super) fn secret(value: &str) -> Result<Secret, String> {
    let is_nameless = |named: &str| named.is_empty() || named.starts_with('#') || named.ends_with('#');
    if value.strip_prefix(SECRET_PREFIX).is_some_and(is_nameless) {
        return Err(format!("`{SECRET_PREFIX}NAME` or `{SECRET_PREFIX}NAME#FIELD` names a secret"));
    }
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::new(value));
    }
    Err("the key holds spaces or characters that no key has".to_owned())
}
