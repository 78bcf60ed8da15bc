//! `GET /v1/models`: the names that the other doors take right now.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::embeddings::is_loaded;
use super::{Target, now_s};
use crate::app::App;
use crate::error::{Code, Error};
use crate::rag::EXTRACTIVE;
use crate::server::response::json;
use crate::server::{Context, failed};

/// When this process began to serve: models have no date of their own here.
pub(in crate::server) static STARTED: LazyLock<i64> = LazyLock::new(now_s);

/// Whose models ask no provider.
const OURS: &str = "omni-llm";

/// With the fields of both dialects: neither one's clients mind the other's.
#[derive(Debug, Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: String,
    created_at: String,
}

impl Model {
    fn new(id: String, owned_by: &str) -> Self {
        let created_at = jiff::Timestamp::from_second(*STARTED).unwrap_or_default().to_string();
        let (display_name, owned_by) = (id.clone(), owned_by.to_owned());
        Self { id, object: "model", created: *STARTED, owned_by, kind: "model", display_name, created_at }
    }
}

/// Which of the models, as Anthropic's clients ask page by page.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

impl Page {
    /// The models of the page, and whether there are more in the direction in which the pages go.
    fn of(self, mut models: Vec<Model>) -> crate::error::Result<(Vec<Model>, bool)> {
        let at = |field: &str, id: &Option<String>| {
            let Some(id) = id else { return Ok(None) };
            let place = models.iter().position(|model| model.id == *id);
            place.map(Some).ok_or_else(|| Error::bad_request(format!("`{field}`: no such model is listed")))
        };
        let (after, before) = (at("after_id", &self.after_id)?, at("before_id", &self.before_id)?);
        let limit = self.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(Error::bad_request("`limit`: 0 leaves no room for a model"));
        }
        models.truncate(before.unwrap_or(usize::MAX));
        models.drain(..after.map_or(0, |at| at + 1).min(models.len()));
        let rest = models.len().saturating_sub(limit);
        if before.is_some() && after.is_none() {
            models.drain(..rest);
        } else {
            models.truncate(limit);
        }
        Ok((models, rest > 0))
    }
}

/// `GET /v1/models`.
pub(in crate::server) async fn list(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    page: Result<Query<Page>, QueryRejection>,
) -> Response {
    let page = page.map_err(|_| Error::bad_request("the query: not `limit`, a number, `after_id` and `before_id`, once each"));
    let (models, has_more) = match page.and_then(|Query(page)| page.of(models(&app))) {
        Ok(page) => page,
        Err(error) => return failed(&context, &error, None),
    };
    let id = |model: Option<&Model>| model.map(|model| model.id.clone());
    let (first_id, last_id) = (id(models.first()), id(models.last()));
    let list = json!({"object": "list", "data": models, "has_more": has_more, "first_id": first_id, "last_id": last_id});
    json(StatusCode::OK, &list)
}

/// `GET /v1/models/{id}`. Any model of a provider that is ready is one; we do not know them all by name.
pub(in crate::server) async fn one(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(id)) = id else {
        return failed(&context, &Error::bad_request("the path is not UTF-8 behind its `%`; name a model"), None);
    };
    if let Some(model) = models(&app).into_iter().find(|model| model.id == id) {
        return json(StatusCode::OK, &model);
    }
    if let Some(owner) = owner(&app, &id) {
        return json(StatusCode::OK, &Model::new(id, &owner));
    }
    let shown: String = id.chars().take(100).collect();
    failed(
        &context,
        &Error::new(Code::InvalidModel, format!("`model`: `{shown}` is not there; `GET /v1/models` lists what is ready")),
        None,
    )
}

/// Who answers where this is named as the model; none where nobody does.
fn owner(app: &App, name: &str) -> Option<String> {
    if is_loaded(app, name) {
        return Some(OURS.to_owned());
    }
    let Target { provider, model, is_rag } = Target::read(app, name).ok()?;
    if is_rag && app.index().is_none() {
        return None;
    }
    let owner = provider.or_else(|| app.config().generation.provider.clone()).or_else(|| app.preferred());
    match owner.filter(|owner| owner != EXTRACTIVE) {
        Some(owner) => app.links(&owner, model.as_deref(), Some(&[])).is_ok().then_some(owner),
        None => (is_rag && model.is_none()).then(|| OURS.to_owned()),
    }
}

fn models(app: &App) -> Vec<Model> {
    let mut models = Vec::new();
    if app.index().is_some() {
        models.push(Model::new(format!("rag/{EXTRACTIVE}"), OURS));
    }
    for provider in app.providers() {
        let name = provider.name();
        let named = app.config().providers.get(name);
        let listed = named.into_iter().flat_map(|named| named.models.iter().chain(named.aliases.keys()));
        let mut ids: Vec<String> = Vec::new();
        for model in provider.model(None).into_iter().chain(listed.map(String::as_str)) {
            let id = format!("{name}/{model}");
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        for id in ids {
            let grounded = app.index().is_some().then(|| Model::new(format!("rag/{id}"), name));
            models.push(Model::new(id, name));
            models.extend(grounded);
        }
    }
    models.extend(app.embedder().map(|embedder| Model::new(format!("local/{}", embedder.name()), OURS)));
    models
}
