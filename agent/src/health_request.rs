//! Asks a web service for a path, as a visitor would, and judges by the status alone.

use bore_driver::Tasks;
use bytes::Bytes;
use http::{Request, StatusCode, Version, header};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::limits::HEALTH_ANSWER_TIMEOUT;
use super::targets::{DialError, LocalStream, Place, SecureStream};

/// Asks for `path`. Answers what was measured.
///
/// # Errors
/// The service cannot be reached, does not answer in time, or answers with another status than 200 to 399.
pub(super) async fn ask(place: &Place, path: &str) -> Result<String, DialError> {
    let begun = Instant::now();
    let failed = |cause: String| DialError::Unhealthy { target: place.to_string(), cause };
    let answered = match place.connect().await? {
        LocalStream::Tcp(stream) => status(stream, place.version(), &place.authority(), path).await,
        LocalStream::Unix(stream) => status(stream, Version::HTTP_11, "localhost", path).await,
        LocalStream::Tls(stream) => {
            let version = agreed_version(&stream);
            status(stream, version, &place.authority(), path).await
        }
    };
    let status = answered.map_err(|cause| failed(format!("GET {path}: {cause}")))?;
    if status.is_success() || status.is_redirection() {
        let milliseconds = begun.elapsed().as_millis();
        return Ok(format!("GET {path} was answered {} in {milliseconds} ms", status.as_u16()));
    }
    Err(failed(format!("GET {path} was answered {}", status.as_u16())))
}

async fn status<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    version: Version,
    host: &str,
    path: &str,
) -> Result<StatusCode, String> {
    let asked = async {
        match version {
            Version::HTTP_2 => ask_by_http2(stream, host, path).await,
            _ => ask_by_http1(stream, host, path).await,
        }
    };
    let late = |_| format!("no answer within {} s", HEALTH_ANSWER_TIMEOUT.as_secs());
    let answered = timeout(HEALTH_ANSWER_TIMEOUT, asked).await.map_err(late)?;
    answered.map_err(|error| error.to_string())
}

async fn ask_by_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    host: &str,
    path: &str,
) -> Result<StatusCode, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let tasks = Tasks::default();
    drive(&tasks, connection);
    let request = Request::get(path).header(header::HOST, host);
    let request =
        request.header(header::USER_AGENT, USER_AGENT).header(header::CONNECTION, "close");
    Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?.status())
}

async fn ask_by_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    host: &str,
    path: &str,
) -> Result<StatusCode, Failure> {
    let tasks = Tasks::default();
    let (mut sender, connection) = http2::handshake(tasks.handle(), TokioIo::new(stream)).await?;
    drive(&tasks, connection);
    let request = Request::get(format!("http://{host}{path}"));
    let request = request.header(header::USER_AGENT, USER_AGENT).body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}

/// Runs a connection with `tasks`. What it says at its end, the request has said.
fn drive(tasks: &Tasks, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    tasks.spawn(async { drop(connection.await) });
}

fn agreed_version(stream: &SecureStream) -> Version {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USER_AGENT: &str = concat!("bore/", env!("CARGO_PKG_VERSION"), " health check");

#[cfg(test)]
mod tests {
    use bore_policy::Target;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::targets::place;

    #[tokio::test]
    async fn a_status_below_400_is_healthy_and_the_failure_names_any_other() {
        for (status, healthy) in [("200 OK", true), ("302 Found", true), ("503 Down", false)] {
            let (place, asked) = serve(status).await;
            let answer = ask(&place, "/up?deep=1").await;
            let request = asked.await.unwrap();
            assert!(request.starts_with("GET /up?deep=1 HTTP/1.1\r\n"), "{request}");
            assert!(request.contains(&format!("host: {place}\r\n")), "{request}");
            match answer {
                Ok(detail) => {
                    assert!(healthy && detail.contains("answered 2") || detail.contains("302"))
                }
                Err(error) => {
                    assert!(!healthy, "{error}");
                    assert!(
                        error.to_string().contains("503")
                            && error.code() == bore_api::Code::TARGET_UNHEALTHY,
                        "{error}"
                    );
                }
            }
        }
    }

    /// A web service that answers one request.
    async fn serve(status: &str) -> (Place, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target: Target = listener.local_addr().unwrap().to_string().parse().unwrap();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        (place(&target, 0).unwrap(), asked)
    }
}
