//! `bore key`: the secrets that let nodes join, and with `--api` the keys of automation.

use std::time::Duration;

use bore_api::model::{ApiKey, JoinKey, Scope};
use bore_api::wire::{CreatedApiKey, CreatedJoinKey, NewApiKey, NewJoinKey};
use serde_json::json;
use uuid::Uuid;

use super::shared::{from_now, listed, time};
use crate::api::Api;
use crate::context::Context;
use crate::duration::parse_duration;
use crate::error::CliResult;
use crate::output::Table;

/// Join keys, and API keys with --api.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Key {
    /// Make a key; it is shown once
    #[command(
        after_help = "Examples:\n  bore key create                             one node, for an hour\n  bore key create --uses 20 --expires 7d --group ci --ephemeral\n  bore key create --api --scope read --scope publications:write --expires 30d"
    )]
    Create(Create),
    /// List keys, without their secrets
    #[command(after_help = "Examples:\n  bore key ls\n  bore key ls --api")]
    Ls(Which),
    /// Take a key back; nodes that joined with it stay
    #[command(
        after_help = "Examples:\n  bore key revoke 0198…\n  bore key revoke --api 0198…\n  bore key revoke --api --with-made 0198…"
    )]
    Revoke(Revoke),
}

/// `bore key create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    which: Which,
    /// For people: what it is for
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,
    /// When it stops working: 1h, 7d [default: 1h, with --api 90d]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// How many nodes may join with it, 0 for any number
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "api")]
    uses: u32,
    /// Put its nodes into this group (repeatable)
    #[arg(long = "group", value_name = "NAME", conflicts_with = "api")]
    groups: Vec<String>,
    /// Its nodes are removed once they have been away for a while
    #[arg(long, conflicts_with = "api")]
    ephemeral: bool,
    /// What an API key may do (repeatable) [default: read]
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope, requires = "api")]
    scopes: Vec<Scope>,
}

/// Which kind of key.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Which {
    /// API keys, not join keys
    #[arg(long)]
    api: bool,
}

/// `bore key revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    which: Which,
    /// Its id, as `bore key ls` shows it
    id: Uuid,
    /// Revoke every key that this API key made, too, and those that these made
    #[arg(long, requires = "api")]
    with_made: bool,
}

impl Key {
    /// Does one of the three.
    pub(crate) async fn run(self, context: &Context<'_>) -> CliResult {
        let api = context.api()?;
        let network = context.network(&api).await?;
        match self {
            Self::Create(create) if create.which.api => {
                create.api_key(context, &api, &network).await
            }
            Self::Create(create) => create.join_key(context, &api, &network).await,
            Self::Ls(which) if which.api => list_api_keys(context, &api, &network).await,
            Self::Ls(_) => list_join_keys(context, &api, &network).await,
            Self::Revoke(revoke) => revoke.run(context, &api, &network).await,
        }
    }
}

impl Which {
    const fn path(self) -> &'static str {
        if self.api { "api-keys" } else { "join-keys" }
    }
}

impl Create {
    async fn join_key(self, context: &Context<'_>, api: &Api, network: &str) -> CliResult {
        let body = NewJoinKey {
            description: self.description,
            uses_max: (self.uses > 0).then_some(self.uses),
            expires_at: Some(from_now(self.expires.unwrap_or(JOIN_KEY_LIFE))),
            groups: self.groups,
            ephemeral: self.ephemeral,
        };
        let created: CreatedJoinKey = api.post(&format!("{network}/join-keys"), &body).await?;
        context.output.result("join_key_created", &created, &created.key)?;
        let uses = created.item.uses_max.map_or_else(|| "any number of nodes".to_owned(), nodes);
        context.output.note(&format!(
            "for {uses}, until {}\non the other machine: bore join --key-file FILE, or bore join - and paste it",
            time(created.item.expires_at)
        ));
        Ok(())
    }

    async fn api_key(self, context: &Context<'_>, api: &Api, network: &str) -> CliResult {
        let scopes = if self.scopes.is_empty() { vec![Scope::Read] } else { self.scopes };
        let expires_at = self.expires.map(from_now);
        let body = NewApiKey { description: self.description, scopes, expires_at };
        let created: CreatedApiKey = api.post(&format!("{network}/api-keys"), &body).await?;
        context.output.result("api_key_created", &created, &created.key)?;
        let until = time(Some(created.item.expires_at));
        context.output.note(&format!("may {}, until {until}", scope_list(&created.item.scopes)));
        Ok(())
    }
}

async fn list_join_keys(context: &Context<'_>, api: &Api, network: &str) -> CliResult {
    let keys: Vec<JoinKey> = api.list(&format!("{network}/join-keys")).await?;
    let mut table =
        Table::new(["id", "uses", "expires", "revoked", "made by", "groups", "description"]);
    for key in &keys {
        let uses = key.uses_max.map_or_else(|| "any".to_owned(), |max| max.to_string());
        table.row([
            key.id.to_string(),
            format!("{} of {uses}", key.uses),
            time(key.expires_at),
            time(key.revoked_at),
            maker(key.maker),
            listed(&key.groups),
            key.description.clone(),
        ]);
    }
    context.output.list("join_key", &keys, &table, "no join keys: bore key create")
}

async fn list_api_keys(context: &Context<'_>, api: &Api, network: &str) -> CliResult {
    let keys: Vec<ApiKey> = api.list(&format!("{network}/api-keys")).await?;
    let mut table = Table::new(["id", "scopes", "expires", "revoked", "made by", "description"]);
    for key in &keys {
        table.row([
            key.id.to_string(),
            scope_list(&key.scopes),
            time(Some(key.expires_at)),
            time(key.revoked_at),
            maker(key.maker),
            key.description.clone(),
        ]);
    }
    context.output.list("api_key", &keys, &table, "no API keys: bore key create --api")
}

impl Revoke {
    async fn run(self, context: &Context<'_>, api: &Api, network: &str) -> CliResult {
        let query = if self.with_made { "?made=true" } else { "" };
        api.delete(&format!("{network}/{}/{}{query}", self.which.path(), self.id)).await?;
        let fields = json!({ "id": self.id, "with_made": self.with_made });
        let also = if self.with_made { " and what it made" } else { "" };
        context.output.result("key_revoked", &fields, &format!("revoked {}{also}", self.id))
    }
}

/// The API key that made a key; the relay itself otherwise.
fn maker(key: Option<Uuid>) -> String {
    key.map_or_else(|| "relay".to_owned(), |key| key.to_string())
}

fn nodes(count: u32) -> String {
    if count == 1 { "one node".to_owned() } else { format!("{count} nodes") }
}

/// Scopes by the names that the API gives them.
fn parse_scope(text: &str) -> Result<Scope, String> {
    serde_json::from_value(text.into()).map_err(|_| {
        let known = SCOPES.map(scope_name).join(", ");
        format!("`{text}` is not a scope; there are {known}")
    })
}

fn scope_list(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope_name(*scope)).collect::<Vec<_>>().join(",")
}

fn scope_name(scope: Scope) -> String {
    let name = serde_json::to_value(scope).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}

const SCOPES: [Scope; 8] = [
    Scope::Admin,
    Scope::Read,
    Scope::NodesWrite,
    Scope::KeysWrite,
    Scope::PublicationsWrite,
    Scope::DomainsWrite,
    Scope::PoliciesWrite,
    Scope::AuditRead,
];
const JOIN_KEY_LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_by_their_api_names() {
        assert_eq!(parse_scope("publications:write"), Ok(Scope::PublicationsWrite));
        let refused = parse_scope("write").unwrap_err();
        assert!(refused.contains("nodes:write") && refused.contains("audit:read"), "{refused}");
    }
}
