//! `bore publish … --node phone`: a publication of a stock WireGuard client, which has no agent to ask. It stays until it is removed.

use bore_api::model::Lifetime;
use bore_api::wire::PublicationView;
use bore_api::wire::{AccessLists, PublishRequest};
use bore_policy::{Source, Target};

use super::report::announce;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use bore_agent::Declaration;

/// Publishes through the API.
pub(super) async fn publish(
    context: &Context<'_>,
    node: &str,
    declaration: Declaration,
    target: &Target,
) -> CliResult {
    let request = request(node, declaration, target)?;
    let api = context.api()?;
    let path = format!("{}/publications", context.network(&api).await?);
    let view: PublicationView = api.post(&path, &request).await?;
    announce(context.output, &view)?;
    context.output.note(&format!("it stays until: bore rm {} --all", view.publication.name));
    Ok(())
}

fn request(node: &str, declaration: Declaration, target: &Target) -> CliResult<PublishRequest> {
    let Target::Host { ports, .. } = target else {
        return Err(CliError::usage(
            "the target on a WireGuard node is a port, not a unix: socket",
        ));
    };
    let texts = |sources: &[Source]| sources.iter().map(ToString::to_string).collect();
    Ok(PublishRequest {
        node: Some(node.to_owned()),
        name: declaration.name,
        protocol: declaration.protocol,
        port: declaration.port,
        preferred_port: Some(ports.first()),
        any_port: declaration.any_port,
        port_count: ports.count(),
        hostnames: declaration.hostnames,
        target: ports.to_string(),
        access: AccessLists {
            allow: texts(&declaration.access.allow),
            deny: texts(&declaration.access.deny),
        },
        options: declaration.options,
        lifetime: Lifetime::Persistent,
        replace: declaration.replace,
    })
}
