//! The two doors that a CA knocks at, answered from [`Challenges`] alone, on ports of their own.

use std::convert::Infallible;
use std::sync::Arc;

use bore_edge::tls::Challenges;
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where a CA finds the doors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doors {
    pub(crate) http: u16,
    pub(crate) tls: u16,
}

impl Doors {
    /// Opens both. They close with the test.
    pub(crate) async fn open(challenges: &Arc<Challenges>) -> Self {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ports = [&http, &tls].map(|listener| listener.local_addr().unwrap().port());
        tokio::spawn(serve_http(http, Arc::clone(challenges)));
        tokio::spawn(serve_tls(tls, Arc::clone(challenges)));
        Self { http: ports[0], tls: ports[1] }
    }
}

async fn serve_http(listener: TcpListener, challenges: Arc<Challenges>) {
    while let Ok((socket, _)) = listener.accept().await {
        let challenges = Arc::clone(&challenges);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let answer = answer(&challenges, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        // A CA that hangs up has what it wanted.
        tokio::spawn(async move { drop(serving.await) });
    }
}

fn answer(challenges: &Challenges, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request.headers()[HOST].to_str().unwrap();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let token = request.uri().path().strip_prefix("/.well-known/acme-challenge/");
    let found = token.and_then(|token| challenges.http01(host, token));
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::from(found.unwrap_or_default()));
    *response.status_mut() = status;
    response
}

async fn serve_tls(listener: TcpListener, challenges: Arc<Challenges>) {
    let provider = Arc::new(default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(challenges)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((socket, _)) = listener.accept().await {
        let accepting = acceptor.accept(socket);
        // The handshake is all there is.
        tokio::spawn(async move { drop(accepting.await) });
    }
}

#[derive(Debug)]
struct Resolver(Arc<Challenges>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.tls_alpn01(hello.server_name()?)
    }
}
