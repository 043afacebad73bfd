//! An echo service that needs no port: this program runs the agent inside itself and takes the visitors as streams.
//!
//! ```text
//! BORE_JOIN_KEY=bore_join_… cargo run -p bore-agent --example echo -- STATE_FOLDER
//! ```
//!
//! It prints its public address once that was proved, says who comes, and sends back what they send. Ctrl-C lets the visitors that are there finish,
//! for five seconds, and takes the publication back.
#![expect(clippy::print_stdout, reason = "a program that a person runs")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bore_agent::{
    Agent, Declaration, JoinKey, JoinOptions, Listener, OverlayStream, Protocol, StateFolder,
};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: echo STATE_FOLDER, with a join key in BORE_JOIN_KEY";
    let folder = std::env::args_os().nth(1).ok_or(usage)?;
    let key = std::env::var("BORE_JOIN_KEY").map_err(|_| usage)?;

    // The state folder holds the node's own key: the next start is the same node, and needs no join key any more.
    let folder = StateFolder::open(Path::new(&folder))?;
    let join =
        JoinOptions { key: JoinKey::parse(&key)?, name: "echo".to_owned(), ephemeral: false };
    let agent = Agent::join(folder, join).await?;

    let name = Some("echo".to_owned());
    let declaration = Declaration { name, ..Declaration::in_process(Protocol::Tcp) };
    let listener = agent.listen(declaration).await?;
    let served = serve(listener).await;
    agent.stop().await;
    served
}

/// Serves until Ctrl-C.
async fn serve(mut listener: Listener) -> Result<(), Box<dyn Error>> {
    let mut interrupted = Box::pin(tokio::signal::ctrl_c());
    tokio::select! {
        published = listener.live() => {
            let published = published.ok_or("the publication was taken back")?;
            println!("live at {}", published.public);
        }
        signal = &mut interrupted => return Ok(signal?),
    }
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, visitor) = accepted.ok_or("the publication was taken back")?;
                println!("visitor {visitor}");
                visitors.spawn(echo(stream));
            }
            Some(_) = visitors.join_next(), if !visitors.is_empty() => {}
            signal = &mut interrupted => {
                signal?;
                break;
            }
        }
    }
    // Visitors that are still there have had their time when this elapses.
    let _ = tokio::time::timeout(PATIENCE, listener.close()).await;
    Ok(())
}

/// Sends everything back, and ends when the visitor has.
async fn echo(stream: OverlayStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    if let Err(error) = tokio::io::copy(&mut reader, &mut writer).await {
        println!("a visitor broke off: {error}");
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
