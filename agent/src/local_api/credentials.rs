//! Who may speak to the agent: its own user and root, and no web page.

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use bore_api::Code;
use http::{HeaderMap, header};
use tokio::net::UnixListener;

use super::HOST;
use super::routes::Refusal;
use crate::Agent;

/// The user at the other end, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `None` when the kernel did not say.
    pub(super) user: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { user: stream.io().peer_cred().ok().map(|credentials| credentials.uid()) }
    }
}

/// What [`check`] compares with.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) owner: u32,
    pub(super) agent: Agent,
}

/// Lets a request through, or refuses it before it is read.
pub(super) async fn check(
    State(guard): State<Guard>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match refuse(caller, guard.owner, request.headers()) {
        None => next.run(request).await,
        Some(why) => {
            guard.agent.shared().counters.local_requests_refused.add_one();
            tracing::warn!(why, "request to the local API refused");
            Refusal::new(Code::SCOPE_MISSING, why, "use the bore command as the agent's own user")
                .into_response()
        }
    }
}

fn refuse(caller: Caller, owner: u32, headers: &HeaderMap) -> Option<&'static str> {
    let ours = caller.user.is_some_and(|user| user == owner || user == ROOT);
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = hosts.next().is_some_and(|host| host.as_bytes() == HOST.as_bytes());
    if !ours {
        Some("this agent belongs to another user")
    } else if headers.contains_key(header::ORIGIN) {
        Some("web pages may not speak to the agent")
    } else if !named || hosts.next().is_some() {
        Some("the request names another host")
    } else {
        None
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_46_another_unix_user_is_refused() {
        let headers = headers(&[("host", "bore")]);
        assert!(refuse(Caller { user: Some(1001) }, 1000, &headers).is_some());
        assert!(refuse(Caller { user: None }, 1000, &headers).is_some());
        assert_eq!(refuse(Caller { user: Some(1000) }, 1000, &headers), None);
        assert_eq!(refuse(Caller { user: Some(ROOT) }, 1000, &headers), None);
    }

    #[test]
    fn attack_46_a_web_page_is_refused_whatever_its_origin() {
        for origin in ["https://evil.example", "null", "http://bore"] {
            let headers = headers(&[("host", "bore"), ("origin", origin)]);
            assert!(refuse(OWNER, 1000, &headers).is_some(), "{origin}");
        }
    }

    #[test]
    fn attack_46_a_rebound_host_is_refused() {
        for host in ["localhost", "127.0.0.1:3000", "bore.evil.example", "bore:80", "BORE", ""] {
            assert!(refuse(OWNER, 1000, &headers(&[("host", host)])).is_some(), "{host}");
        }
        assert!(refuse(OWNER, 1000, &HeaderMap::new()).is_some(), "no host at all");
        let twice = headers(&[("host", "bore"), ("host", "evil.example")]);
        assert!(refuse(OWNER, 1000, &twice).is_some());
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    const OWNER: Caller = Caller { user: Some(1000) };
}
