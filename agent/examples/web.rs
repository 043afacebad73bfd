//! A web service that needs no port: an axum router that hyper serves on the streams of a listener.
//!
//! ```text
//! BORE_JOIN_KEY=bore_join_… cargo run -p bore-agent --example web -- STATE_FOLDER
//! ```
//!
//! It prints its public address once that was proved. Ctrl-C lets the requests in hand finish, and takes the publication back.
#![expect(clippy::print_stdout, reason = "a program that a person runs")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;

use axum::routing::get;
use axum::{Extension, Router};
use bore_agent::{
    Agent, Declaration, JoinKey, JoinOptions, Listener, OverlayStream, Protocol, StateFolder,
};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: web STATE_FOLDER, with a join key in BORE_JOIN_KEY";
    let folder = std::env::args_os().nth(1).ok_or(usage)?;
    let key = std::env::var("BORE_JOIN_KEY").map_err(|_| usage)?;
    let folder = StateFolder::open(Path::new(&folder))?;
    let join = JoinOptions { key: JoinKey::parse(&key)?, name: "web".to_owned(), ephemeral: false };
    let agent = Agent::join(folder, join).await?;

    let name = Some("web".to_owned());
    let declaration = Declaration { name, ..Declaration::in_process(Protocol::Http) };
    let listener = agent.listen(declaration).await?;
    let served = serve(listener, Router::new().route("/", get(greet))).await;
    agent.stop().await;
    served
}

async fn greet(Extension(visitor): Extension<SocketAddr>) -> String {
    format!("hello, {}\n", visitor.ip())
}

/// Serves until Ctrl-C.
async fn serve(mut listener: Listener, router: Router) -> Result<(), Box<dyn Error>> {
    let published = listener.live().await.ok_or("the publication was taken back")?;
    println!("live at {}", published.public);
    let mut interrupted = Box::pin(tokio::signal::ctrl_c());
    let serving = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, visitor) = accepted.ok_or("the publication was taken back")?;
                let router = router.clone().layer(Extension(visitor));
                tokio::spawn(converse(stream, router, &serving));
            }
            signal = &mut interrupted => {
                signal?;
                break;
            }
        }
    }
    // Takes no visitor any more, and ends when the last connection has.
    tokio::join!(listener.close(), serving.shutdown());
    Ok(())
}

/// Answers the requests of one connection. The relay speaks HTTP/1.1 on it.
fn converse(
    stream: OverlayStream,
    router: Router,
    serving: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let connection = serving.watch(connection);
    async move {
        if let Err(error) = connection.await {
            println!("a connection broke off: {error}");
        }
    }
}
