//! The look at a ClientHello that decides where a connection goes.
//!
//! rustls reads it; what was read is kept, so that a connection that is passed through loses no byte. Bounded by
//! [`HELLO_BYTES_MAX`]; how long it may take is the caller's.

use std::io;
use std::sync::Arc;

use rustls::internal::msgs::enums::AlertLevel;
use rustls::internal::msgs::message::{Message, PlainMessage};
use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use rustls::{AlertDescription, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::limits::{HELLO_BYTES_MAX, TLS_BUFFER_BYTES, WORD_BYTES_MAX};

/// A connection whose ClientHello has come.
pub(crate) struct Hello<S> {
    accepted: Accepted,
    stream: S,
    /// Everything that was read of it.
    recorded: Vec<u8>,
}

/// Why there is no ClientHello.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("the connection ended before a ClientHello")]
    Ended(#[from] io::Error),
    #[error("no ClientHello in the first {HELLO_BYTES_MAX} bytes")]
    TooLong,
    #[error("no ClientHello came")]
    Malformed(#[from] rustls::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Hello<S> {
    /// Reads until the ClientHello is complete. A visitor that speaks something else gets the alert for it.
    pub(crate) async fn read(mut stream: S) -> Result<Self, HelloError> {
        let (mut acceptor, mut recorded) = (Acceptor::default(), Vec::new());
        while recorded.len() < HELLO_BYTES_MAX {
            let before = recorded.len();
            read_some(&mut stream, &mut recorded).await?;
            let mut came = recorded.get(before..).unwrap_or_default();
            while !came.is_empty() {
                acceptor.read_tls(&mut came)?;
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Self { accepted, stream, recorded }),
                Ok(None) => {}
                Err((error, alert)) => {
                    tell(&mut stream, alert).await?;
                    return Err(error.into());
                }
            }
        }
        Err(HelloError::TooLong)
    }

    /// The name that the visitor asks for.
    pub(crate) fn server_name(&self) -> Option<String> {
        self.accepted.client_hello().server_name().map(str::to_owned)
    }

    /// Whether the visitor speaks `protocol` and nothing else.
    pub(crate) fn speaks_only(&self, protocol: &[u8]) -> bool {
        let hello = self.accepted.client_hello();
        hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(protocol) && offered.next().is_none())
    }

    /// What follows `prefix` in the name of the only protocol that the visitor speaks, where that is a short word.
    pub(crate) fn only_protocol_after(&self, prefix: &[u8]) -> Option<String> {
        let hello = self.accepted.client_hello();
        let mut offered = hello.alpn()?;
        let (first, more) = (offered.next()?, offered.next());
        let word = first.strip_prefix(prefix).filter(|_| more.is_none())?;
        let is_word = (1..=WORD_BYTES_MAX).contains(&word.len())
            && word.iter().all(u8::is_ascii_alphanumeric);
        is_word.then(|| String::from_utf8_lossy(word).into_owned())
    }

    /// Answers with `bytes`, which are no TLS, and closes.
    pub(crate) async fn answer(self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream;
        stream.write_all(bytes).await?;
        stream.shutdown().await
    }

    /// Goes on with the handshake.
    pub(crate) async fn finish(self, config: Arc<ServerConfig>) -> io::Result<TlsStream<S>> {
        let start = StartHandshake::from_parts(self.accepted, self.stream);
        start
            .into_stream_with(config, |session| session.set_buffer_limit(Some(TLS_BUFFER_BYTES)))
            .await
    }

    /// Leaves TLS to somebody else: the stream, and everything that was read of it.
    pub(crate) fn into_recorded(self) -> (Vec<u8>, S) {
        (self.recorded, self.stream)
    }

    /// Says why there will be no handshake, and closes.
    pub(crate) async fn refuse(self, alert: AlertDescription) -> io::Result<()> {
        let mut stream = self.stream;
        // rustls offers no other way to say something before it has a configuration.
        let message = PlainMessage::from(Message::build_alert(AlertLevel::Fatal, alert));
        stream.write_all(&message.into_unencrypted_opaque().encode()).await?;
        stream.shutdown().await
    }
}

/// Reads no more at a time than rustls takes at a time, so that nothing of a connection stays behind between them.
async fn read_some<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<()> {
    let room = READ_BYTES.min(HELLO_BYTES_MAX - bytes.len());
    bytes.reserve(room);
    match stream.take(room as u64).read_buf(bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn tell<S: AsyncWrite + Unpin>(stream: &mut S, mut alert: AcceptedAlert) -> io::Result<()> {
    let mut bytes = Vec::new();
    alert.write_all(&mut bytes)?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// What rustls reads at a time.
const READ_BYTES: usize = 4_096;

#[cfg(test)]
mod tests {
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn what_was_read_is_given_back_byte_for_byte() {
        let sent = client_hello("app.example", &[b"h2", b"http/1.1"]);
        let hello = heard(&sent, 7).await.unwrap();
        assert_eq!(hello.server_name().as_deref(), Some("app.example"));
        assert!(!hello.speaks_only(b"h2"));
        let (recorded, mut rest) = hello.into_recorded();
        let mut all = recorded;
        rest.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, sent);
    }

    #[tokio::test]
    async fn a_protocol_counts_only_when_it_is_alone() {
        assert!(
            heard(&client_hello("a.example", &[b"bore/1"]), 99)
                .await
                .unwrap()
                .speaks_only(b"bore/1")
        );
        let two = client_hello("a.example", &[b"bore/1", b"h2"]);
        assert!(!heard(&two, 99).await.unwrap().speaks_only(b"bore/1"));
        assert!(!heard(&client_hello("a.example", &[]), 99).await.unwrap().speaks_only(b"bore/1"));
    }

    #[tokio::test]
    async fn a_word_counts_only_when_it_is_short_and_alone() {
        for (offered, word) in [
            ([b"visit/abc1".as_slice()].as_slice(), Some("abc1")),
            (&[b"visit/abc1", b"h2"], None),
            (&[b"h2"], None),
            (&[b"visit/"], None),
            (&[b"visit/a\r\nb"], None),
            (
                &[b"visit/0123456789012345678901234567890123456789012345678901234567890123456789"],
                None,
            ),
            (&[], None),
        ] {
            let hello = heard(&client_hello("a.example", offered), 99).await.unwrap();
            assert_eq!(hello.only_protocol_after(b"visit/").as_deref(), word, "{offered:?}");
        }
    }

    #[tokio::test]
    async fn nonsense_and_a_hello_without_end_are_refused() {
        assert!(heard(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 99).await.is_err());
        assert!(heard(b"", 1).await.is_err());
        // Handshake records of one byte: a ClientHello that says it has 16 MiB.
        let mut endless = vec![0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
        endless.extend([0x16, 3, 1, 0, 1, 0].repeat(HELLO_BYTES_MAX));
        assert!(heard(&endless, 4096).await.is_err());
    }

    #[tokio::test]
    async fn a_refusal_is_an_alert_that_a_client_understands() {
        let (client, server) = duplex(64 * 1024);
        let refusing = async {
            let hello = Hello::read(server).await.unwrap();
            hello.refuse(AlertDescription::UnrecognisedName).await.unwrap();
        };
        let connecting = async {
            let name = ServerName::try_from("nobody.example").unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client_config(&[])));
            connector.connect(name, client).await.unwrap_err()
        };
        let (error, ()) = tokio::join!(connecting, refusing);
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }

    /// What comes of a visitor that sends `bytes`, some at a time.
    async fn heard(
        bytes: &[u8],
        at_once: usize,
    ) -> Result<Hello<tokio::io::DuplexStream>, HelloError> {
        let (mut client, server) = duplex(at_once);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            // A server that has seen enough closes.
            let _ = client.write_all(&bytes).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut Vec::new()).await;
        });
        Hello::read(server).await
    }

    fn client_hello(name: &'static str, protocols: &[&[u8]]) -> Vec<u8> {
        let name = ServerName::try_from(name).unwrap();
        let config = Arc::new(client_config(protocols));
        let mut connection = rustls::ClientConnection::new(config, name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn client_config(protocols: &[&[u8]]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}
