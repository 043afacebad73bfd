//! A caller of the REST API over one kept connection, who knows the difference between refused and cut off.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use bore_tests::wait::SOON;
use serde_json::{Value, json};

/// A connection with an API key.
pub(crate) struct Api {
    stream: BufReader<TcpStream>,
    key: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Api {
    /// Connects; `None` when nobody listens.
    pub(crate) fn connect(to: SocketAddr, key: &str) -> Option<Self> {
        let stream = TcpStream::connect(to).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        Some(Self { stream: BufReader::new(stream), key: key.to_owned() })
    }

    /// Asks; `None` when the connection ended before the whole answer was there.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        self.answer()
    }

    /// Asks a relay that nobody kills meanwhile.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, path, body).expect("the relay answers");
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    /// All rows of a list.
    pub(crate) fn list(&mut self, path: &str) -> Vec<Value> {
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.ask("GET", &format!("{path}{after}"), &Value::Null);
            rows.extend(page["items"].as_array().expect("rows").iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("?after={next}"),
                None => return rows,
            }
        }
    }

    /// A new key with every right.
    pub(crate) fn admin_key(&mut self, description: &str) -> String {
        let wanted = json!({"description": description, "scopes": ["admin"]});
        let made = self.ask("POST", "/v1/api-keys", &wanted);
        made["key"].as_str().expect("the key's text").to_owned()
    }

    fn answer(&mut self) -> Option<Answer> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        Some(line.strip_suffix("\r\n")?.to_owned())
    }
}
