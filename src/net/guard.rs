//! Which addresses an operator may give for a provider.

use std::net::IpAddr;

use url::{Host, Url};

use super::public::is_link_local;

/// Checks an address that the operator gave for a provider: addresses inside a network are the operator's choice, but not those
/// that hand out credentials.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn operator_address(url: &Url, runtime_api: Option<&str>) -> Result<(), String> {
    let host = match url.host() {
        None => return Err("it has no host".to_owned()),
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) if is_link_local(IpAddr::V4(address)) => return Err(credentials(&address.to_string())),
        Some(Host::Ipv6(address)) if is_link_local(IpAddr::V6(address)) => return Err(credentials(&address.to_string())),
        Some(host) => host.to_string(),
    };
    let here = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    if runtime_api.is_some_and(|api| api == here) {
        return Err(format!("`{here}` is Lambda's Runtime API"));
    }
    if host.eq_ignore_ascii_case("metadata.google.internal") {
        return Err(credentials(&host));
    }
    Ok(())
}

fn credentials(host: &str) -> String {
    format!("`{host}` hands out credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_may_name_what_is_inside_but_not_what_hands_out_credentials() {
        let check = |address: &str| operator_address(&Url::parse(address).unwrap(), Some("127.0.0.1:9001"));
        for address in ["http://127.0.0.1:8000/v1", "http://llm.corp/v1", "http://10.0.0.7/v1", "https://api.openai.com/v1"] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
        for address in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.170.2]/",
            "http://127.0.0.1:9001/",
            "http://metadata.google.internal/",
        ] {
            assert!(check(address).is_err(), "{address}");
        }
    }
}
