//! The edge's own answers: small, self-contained, and without a word about what lies inside: no target, no name of a rule.
//!
//! HTML where a browser asks, `application/problem+json` (RFC 9457) where JSON is asked for, plain
//! text otherwise. Each carries `bore-error`, so that programs and tests can tell them from answers
//! of the origin.

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::access::Outcome;
use super::limits::{CAUSE_BYTES_MAX, RETRY_AFTER_SECONDS};
use super::origins::{DenialKind, Outage, Unopened};

/// Names the edge's own answers: `offline`, `down`, `full`, `denied`, `unknown`, `misdirected` or `invalid`.
pub(super) const BORE_ERROR: HeaderName = HeaderName::from_static("bore-error");

/// Why the edge answers by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nobody publishes the host.
    Unknown,
    /// The visitor may not see it.
    Denied(DenialKind),
    /// It cannot be reached.
    Away(Outage),
    /// It was reached, and what it did is no answer: what the edge itself has seen, in words.
    Faulty(String),
    /// A bound on connections is met.
    Full,
    /// The origin took too long.
    Late,
    /// The connection is for other names.
    Misdirected,
    /// The request is at fault.
    Invalid { status: StatusCode, reason: String },
}

/// How the visitor wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
    Text,
}

impl Format {
    /// By the visitor's `Accept`.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let mut texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut found = Self::Text;
        while let Some(text) = texts.next().filter(|_| found != Self::Html) {
            if text.contains("text/html") {
                found = Self::Html;
            } else if text.contains("json") {
                found = Self::Json;
            }
        }
        found
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/problem+json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

impl From<Unopened> for Notice {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Denied { by } => Self::Denied(by),
            Unopened::Full => Self::Full,
            Unopened::Away(outage) => Self::Away(outage),
        }
    }
}

impl Notice {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown => Outcome::Unknown,
            Self::Denied(_) => Outcome::Denied,
            Self::Away(Outage::Offline) => Outcome::Offline,
            Self::Away(Outage::Down) | Self::Faulty(_) | Self::Late => Outcome::Down,
            Self::Full => Outcome::Full,
            Self::Misdirected => Outcome::Misdirected,
            Self::Invalid { .. } => Outcome::Invalid,
        }
    }

    /// The whole answer.
    pub(super) fn respond(&self, format: Format) -> Response<Bytes> {
        let body = match format {
            Format::Html => self.html(),
            Format::Json => self.json(),
            Format::Text => self.text(),
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
        headers.insert(BORE_ERROR, HeaderValue::from_static(self.code()));
        if self.may_pass() {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Away(Outage::Offline) | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Away(Outage::Down) | Self::Faulty(_) => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Invalid { status, .. } => *status,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Denied(_) => "denied",
            Self::Away(Outage::Offline) => "offline",
            Self::Away(Outage::Down) | Self::Faulty(_) | Self::Late => "down",
            Self::Full => "full",
            Self::Misdirected => "misdirected",
            Self::Invalid { .. } => "invalid",
        }
    }

    fn may_pass(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Faulty(_) | Self::Full | Self::Late)
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Unknown => "Nothing is published here",
            Self::Denied(_) => "You may not visit this",
            Self::Away(Outage::Offline) => "The agent is offline",
            Self::Away(Outage::Down) | Self::Faulty(_) => "The service is down",
            Self::Full => "Too many connections are open",
            Self::Late => "The service did not answer in time",
            Self::Misdirected => "This connection is for another name",
            Self::Invalid { .. } => "This request cannot be served",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Unknown => "No publication has this hostname.".to_owned(),
            Self::Denied(kind) => format!("Refused by {}.", kind.in_words()),
            Self::Away(Outage::Offline) => "No agent that carries it is connected.".to_owned(),
            Self::Away(Outage::Down) => {
                "The agent is connected, and cannot reach the service behind it.".to_owned()
            }
            Self::Faulty(seen) => shortened(seen),
            Self::Full => {
                "This relay, this service or your network has as many as it may have.".to_owned()
            }
            Self::Late => "The request was delivered, and no answer came.".to_owned(),
            Self::Misdirected => {
                "This connection's TLS ends before the host of the request, or is for other hosts."
                    .to_owned()
            }
            Self::Invalid { reason, .. } => reason.clone(),
        }
    }

    /// What can be done, and by whom.
    fn advice(&self) -> &'static str {
        match self {
            Self::Unknown => "If it is yours: check the name with `bore ls`.",
            Self::Denied(_) => "If it is yours: `bore policy explain` names the rule.",
            Self::Away(Outage::Offline) => {
                "If it is yours: start the agent, or run `bore doctor` on its machine."
            }
            Self::Away(Outage::Down) | Self::Faulty(_) | Self::Late => {
                "If it is yours: start the service, and see `bore status` for what the agent finds."
            }
            Self::Full => "Close other connections to this relay, or come again later.",
            Self::Misdirected => "Ask again on a connection of its own.",
            Self::Invalid { .. } => "Check the program that sent it.",
        }
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.title(), self.detail(), self.advice())
    }

    fn json(&self) -> String {
        let problem = serde_json::json!({
            "title": self.title(),
            "status": self.status().as_u16(),
            "detail": self.detail(),
            "advice": self.advice(),
            "code": self.code(),
        });
        problem.to_string()
    }

    fn html(&self) -> String {
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style><main><p class=code>{status}</p><h1>{title}</h1>\
             <p>{detail}</p><p class=advice>{advice}</p></main></html>\n",
            title = escaped(self.title()),
            status = self.status().as_u16(),
            detail = escaped(&self.detail()),
            advice = escaped(self.advice()),
        )
    }
}

impl DenialKind {
    fn in_words(self) -> &'static str {
        match self {
            Self::Rule => "a visit rule",
            Self::DenyList => "the publication's deny list",
            Self::AllowList => "the publication's allow list",
            Self::Default => "the default of this relay",
        }
    }
}

/// What was seen may repeat a word of the service's: bounded, and without control characters.
fn shortened(cause: &str) -> String {
    let printable = cause.chars().filter(|letter| !letter.is_control());
    let mut text = String::new();
    for letter in printable {
        if text.len() + letter.len_utf8() > CAUSE_BYTES_MAX {
            break;
        }
        text.push(letter);
    }
    text
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;min-height:100vh;\
place-items:center;color:#222;background:#f6f6f4}main{max-width:32rem;padding:2rem}h1{font-size:1.4rem;\
margin:0 0 .5rem}.code{font-size:.9rem;color:#888;margin:0}.advice{color:#666}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}.advice{color:#999}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_did_cannot_become_markup_and_is_bounded() {
        let seen = format!("<script>\u{1b}[31m{}", "é".repeat(CAUSE_BYTES_MAX));
        let notice = Notice::Faulty(seen);
        let page = String::from_utf8(notice.respond(Format::Html).body().to_vec()).unwrap();
        assert!(page.contains("&lt;script&gt;[31m") && !page.contains("<script>"));
        assert!(notice.detail().len() <= CAUSE_BYTES_MAX);
    }

    #[test]
    fn json_is_given_to_programs_and_html_to_browsers() {
        let accepted = |text: &'static str| {
            Format::accepted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]))
        };
        assert_eq!(accepted("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Html);
        assert_eq!(accepted("application/json"), Format::Json);
        assert_eq!(accepted("*/*"), Format::Text);
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);

        let response = Notice::Unknown.respond(Format::Json);
        let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(problem["status"], 404);
        assert_eq!(problem["code"], "unknown");
    }
}
