//! Whether the relay can do what it is asked. Needs no key and says nothing that a stranger may not know.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bore_api::Code;
use bore_api::wire::Health;

use crate::control::Control;
use crate::refusal::Refusal;

/// Says whether the relay and its store work, by a change that was made within the last second.
///
/// 503 when the store does not answer or takes no changes, 507 when its disk is full: what runs goes on, changes do not.
#[utoipa::path(get, path = "/v1/health", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn show(State(control): State<Control>) -> Result<Json<Health>, Refusal> {
    let away = || Refusal::new(Code::STORE_UNAVAILABLE, "the relay's database does not answer");
    let probe = control.check_store();
    tokio::time::timeout(PROBE_TIME_MAX, probe).await.map_err(|_| away())??;
    Ok(Json(Health {
        status: "ok".to_owned(),
        store: "ok".to_owned(),
        database: control.core().store.kind().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }))
}

const PROBE_TIME_MAX: Duration = Duration::from_secs(2);
