//! Which pages may use a service that listens on the loopback.
//!
//! What listens there is meant for programs of this machine, and a browser is one of them: any page that it shows can send requests
//! here, and one whose name was made to lead to 127.0.0.1 can read the answers, too. The first kind says where it comes from
//! (`Origin`), the second asks for itself by its own name (`Host`).

use axum::http::header::{HOST, HeaderMap, ORIGIN};
use axum::http::uri::{Authority, Uri};
use url::Host;

use crate::error::Error;
use crate::net::{is_allowed, is_loopback};

/// Marks requests to a port on the loopback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loopback;

/// Refuses a request that comes from a page, or was sent to a name, that is neither this machine's nor among `allowed`.
///
/// # Errors
/// Names it, and the remedy.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, allowed: &[String]) -> Result<(), Error> {
    let values = |name| headers.get_all(name).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let authorities = values(HOST).chain(uri.authority().map(|authority| authority.as_str().into())).map(|value| ("host", value));
    for (header, value) in authorities.chain(values(ORIGIN).map(|value| ("origin", value))) {
        let authority = value.rsplit_once("://").map_or(&*value, |(_, authority)| authority).parse::<Authority>();
        let host = authority.as_ref().map_or("", |authority| authority.host());
        // Below `.internal` are the names by which containers know this machine; no page of the internet has one.
        let is_inside = header == "host" && host.to_ascii_lowercase().ends_with(".internal");
        if !Host::parse(host).is_ok_and(|host| is_loopback(&host)) && !is_inside && !is_allowed(allowed, host) {
            let shown: String = value.chars().take(100).collect();
            let message = format!(
                "the header `{header}`: `{shown}` is no name of this machine, whose programs alone the service listens to; a page or a proxy \
                 may use it all the same where `OMNI_ALLOWED_ORIGINS` has its host"
            );
            return Err(Error::bad_request(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn pages_and_names_from_elsewhere_are_refused_unless_they_are_allowed() {
        let check = |uri: &'static str, host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            check(&Uri::from_static(uri), &headers, &["app.example".into(), "*.ours.example".into()]).is_ok()
        };
        for host in [
            "localhost",
            "LocalHost:8080",
            "a.localhost",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "app.example",
            "x.ours.example:443",
            "host.docker.internal:8080",
            "localhost.",
            "localhost.localdomain",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(check("/", host, None), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example", "notlocalhost", "::1", "", "ours.example"]
        {
            assert!(!check("/", host, None), "{host}");
        }
        assert!(!check("http://evil.example/", "localhost", None), "HTTP/2 has the name in the address");
        for (origin, is_ours) in [
            ("http://localhost:3000", true),
            ("https://app.example", true),
            ("http://[::1]:3000", true),
            ("http://evil.example", false),
            ("http://evil.example:8080", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(check("/", "localhost", Some(origin)), is_ours, "{origin}");
        }
    }
}
