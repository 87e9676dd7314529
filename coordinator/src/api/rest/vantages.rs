//! `GET /v1/vantages`: who is attached now.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State};
use onlyhere_proto::{Vantage, VantageName};
use schemars::JsonSchema;
use serde::Serialize;

use super::unreadable;
use crate::{
    api::{Api, problem::Problem},
    clock,
    fleet::sighting::remarks_of_all,
    tokens::{Scope, Token},
};

/// The vantages that are attached now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Vantages {
    /// By name.
    vantages: Vec<Vantage>,
    /// What is odd about enrolled probes, by name; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remarks: Option<BTreeMap<VantageName, Vec<String>>>,
}

pub(super) async fn list(
    State(api): State<Api>,
    Extension(token): Extension<Token>,
) -> Result<Json<Vantages>, Problem> {
    let remarks = if token.may(Scope::ReadAll) {
        let names = api.store.probes().await.map_err(unreadable)?;
        let mut remarks = remarks_of_all(&names, clock::now());
        remarks.retain(|_, remarks| !remarks.is_empty());
        Some(remarks)
    } else {
        None
    };
    Ok(Json(Vantages {
        vantages: api.fleet.vantages(),
        remarks,
    }))
}
