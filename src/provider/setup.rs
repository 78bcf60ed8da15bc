//! What the operator said of a provider, joined with what is known of it.

use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::capability::Rules;
use super::{AuthKind, Preset, Provider, no_such, preset};
use crate::config::{Config, Endpoint};
use crate::error::{Code, Error, Result};
use crate::net::aws::Signer;
use crate::net::google::Tokens;
use crate::net::key::Key;
use crate::net::{Auth, guard};

/// Why a provider cannot be asked.
#[derive(Debug, Clone)]
pub(crate) struct Unready {
    pub(crate) error: Error,
    /// Whether nobody set it up, which is no mistake.
    pub(crate) is_missing: bool,
}

impl From<Error> for Unready {
    fn from(error: Error) -> Self {
        Self { error, is_missing: false }
    }
}

impl Provider {
    /// Joins what is known of `name` with what the operator said.
    ///
    /// # Errors
    /// No such provider, what the operator said of it is wrong, or its key or address is missing; the text names the variable.
    pub fn open(name: &str, config: &Config, rules: &Arc<Rules>) -> Result<Self> {
        Self::set_up(name, config, rules).map_err(|unready| unready.error)
    }

    /// As [`Self::open`], with what is missing told from what is wrong.
    pub(crate) fn set_up(name: &str, config: &Config, rules: &Arc<Rules>) -> Result<Self, Unready> {
        let none = Endpoint::default();
        let endpoint = config.providers.get(name).unwrap_or(&none);
        let preset = row(name, endpoint)?;
        let own = endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = preset.headers.iter().copied().chain(own).map(|(header, value)| {
            let pair = (HeaderName::try_from(header).ok(), HeaderValue::try_from(value).ok());
            let (Some(header), Some(value)) = pair else {
                return Err(Error::bad_request(format!("`providers.{name}.headers.{header}`: no header can be so")));
            };
            Ok((header, value))
        });
        let headers = headers.collect::<Result<Vec<_>>>()?.into();
        let place = place(name, preset, endpoint)?;
        if let Some(error) = missing(name, preset, endpoint, config) {
            return Err(Unready { error, is_missing: true });
        }
        let base_url = address(name, preset, endpoint, config)?;
        let auth = auth(place, preset, endpoint, config)?;
        let credential = match auth {
            Auth::Aws(_) => "the AWS credentials and their rights".into(),
            Auth::Google(_) => "the Google credentials and their rights".into(),
            _ => format!("`{}`", key_setting(name, preset, endpoint)).into(),
        };
        let fixed = [preset.path, preset.stream_path].into_iter().filter(|path| !path.contains("{model}"));
        Ok(Self {
            name: name.into(),
            preset,
            fixed: fixed.filter_map(|path| Some((path, base_url.join(path).ok()?))).collect(),
            base_url,
            has_operator_address: endpoint.base_url.is_some(),
            auth,
            credential,
            model: endpoint.model.clone(),
            aliases: Arc::new(endpoint.aliases.clone()),
            headers,
            rules: Arc::clone(rules),
            health: Arc::default(),
        })
    }
}

/// The row that `name` means: ours, or the one that the operator says it is like.
fn row(name: &str, endpoint: &Endpoint) -> Result<&'static Preset> {
    let known = endpoint.like.as_deref().unwrap_or(name);
    preset(known).ok_or_else(|| {
        let field = if endpoint.like.is_some() { format!("`providers.{name}.like`: ") } else { String::new() };
        Error::bad_request(format!("{field}{}", no_such(known)))
    })
}

/// What a provider cannot be asked without and nobody said.
fn missing(name: &str, preset: &Preset, endpoint: &Endpoint, config: &Config) -> Option<Error> {
    let given = base(preset, endpoint);
    let unsaid = holes(endpoint, config).into_iter().find(|(hole, value, _)| given.contains(hole) && value.is_none());
    let unsaid = unsaid.map(|(.., variable)| variable.to_owned());
    let base_url = || setting(name, preset, "base_url");
    if let Some(setting) = if given.is_empty() { Some(base_url()) } else { unsaid } {
        return Some(Error::bad_request(format!("`{name}` has no address; set `{setting}`")));
    }
    // A server at an address of the operator's may want none, unless a variable is named for one.
    let wants_key = endpoint.key_variable.is_some() || (preset.needs_key && endpoint.base_url.is_none());
    if endpoint.api_key.is_some() || endpoint.auth.as_deref() == Some("none") || !wants_key {
        return None;
    }
    let message = format!("`{name}` needs a key; set `{}`", key_setting(name, preset, endpoint));
    Some(Error::new(Code::Authentication, message).from_provider(name, ""))
}

/// Where the operator gives a key.
fn key_setting(name: &str, preset: &Preset, endpoint: &Endpoint) -> String {
    match &endpoint.key_variable {
        Some(variable) => variable.clone(),
        None if name == preset.name => preset.key_variable.to_owned(),
        None => format!("providers.{name}.key_variable"),
    }
}

/// Where the operator says it of this provider: in the row's variable, or, for a row of the operator's own, in `omni.toml`.
pub(super) fn setting(name: &str, preset: &Preset, key: &str) -> String {
    if name == preset.name { preset.variable(key) } else { format!("providers.{name}.{key}") }
}

fn base<'a>(preset: &Preset, endpoint: &'a Endpoint) -> &'a str {
    endpoint.base_url.as_deref().unwrap_or(preset.base_url)
}

/// What an address may leave open, what fills it, and the variable that says it.
fn holes<'a>(endpoint: &'a Endpoint, config: &'a Config) -> [(&'static str, Option<&'a str>, &'static str); 2] {
    let region = endpoint.region.as_deref().or(config.aws.region.as_deref());
    [("{region}", region, "AWS_REGION"), ("{project}", endpoint.project.as_deref(), "GOOGLE_CLOUD_PROJECT")]
}

/// Where the provider is, with what the operator said filled in.
fn address(name: &str, preset: &Preset, endpoint: &Endpoint, config: &Config) -> Result<Url> {
    let location = endpoint.location.as_deref().unwrap_or("global");
    let host = if location == "global" { String::new() } else { format!("{location}-") };
    let given = base(preset, endpoint).replace("{location_host}", &host).replace("{location}", location);
    let filled =
        holes(endpoint, config).into_iter().fold(given, |given, (hole, value, _)| given.replace(hole, value.unwrap_or_default()));
    let wrong = |why: String| Error::bad_request(format!("`{}`: {why}", setting(name, preset, "base_url")));
    let mut url = Url::parse(&filled).map_err(|cause| wrong(format!("not a URL: {cause}")))?;
    guard::operator_address(&url, config.lambda.runtime_api.as_deref()).map_err(wrong)?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Where a key goes.
enum Place {
    Nowhere,
    Bearer,
    Header(HeaderName),
}

/// Where the key goes, where it is given as one.
fn place(name: &str, preset: &Preset, endpoint: &Endpoint) -> Result<Place> {
    let header = match (endpoint.auth.as_deref(), preset.auth) {
        (Some("none"), _) => return Ok(Place::Nowhere),
        (Some("bearer"), _) | (None, AuthKind::Bearer | AuthKind::Aws) => return Ok(Place::Bearer),
        (Some(header), _) | (None, AuthKind::Header(header)) => header,
        (None, AuthKind::Google) => "x-goog-api-key",
    };
    let wrong = |_| Error::bad_request(format!("`providers.{name}.auth`: `{header}`: no header is called so"));
    HeaderName::try_from(header).map(Place::Header).map_err(wrong)
}

fn auth(place: Place, preset: &Preset, endpoint: &Endpoint, config: &Config) -> Result<Auth> {
    let key = endpoint.api_key.as_ref().map(|key| Key::new(key, &config.aws)).transpose()?;
    Ok(match (place, key, preset.auth) {
        (Place::Nowhere, ..) => Auth::None,
        (Place::Bearer, Some(key), _) => Auth::Bearer(key),
        (Place::Header(header), Some(key), _) => Auth::Header(header, key),
        (_, None, AuthKind::Aws) if endpoint.auth.is_none() => {
            let region = endpoint.region.clone().or_else(|| config.aws.region.clone()).unwrap_or_default();
            Auth::Aws(Arc::new(Signer::new(config.aws.clone(), region, preset.aws_service)))
        }
        (_, None, AuthKind::Google) if endpoint.auth.is_none() => {
            let tokens = Tokens::new(config.google_key_file.as_deref(), &config.aws);
            Auth::Google(Arc::new(tokens.map_err(|error| error.at("GOOGLE_APPLICATION_CREDENTIALS"))?))
        }
        (_, None, _) => Auth::None,
    })
}
