//! A server that is gone without a word: its sessions stay open, and nothing comes of them any more. New ones reach the one that took its place.

use std::path::Path;
use std::time::Duration;

use bore_control::store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::lab::{ADMIN, Lab, START, audit_key};
use super::server::network;

pub(crate) async fn sessions_that_fell_silent_are_replaced(lab: &Lab) {
    let way = Way::start(lab, Answers::All);
    let store = store::open(&way.url, &lab.path(""), audit_key()).await.unwrap();
    for round in 0..2 {
        let (first, second, third, fourth) = tokio::join!(
            store.probe(START),
            store.probe(START),
            store.networks().list(),
            store.networks().list()
        );
        first.and(second).unwrap();
        third.and(fourth).unwrap();
        way.silence.send_replace(());
        store.networks().create(&network(&format!("n{round}")), &ADMIN).await.unwrap();
        store.networks().list().await.unwrap();
    }
    lab.assert_intact().await;
}

/// The pools ask the server of every session that they get back.
pub(crate) async fn sessions_that_fall_silent_after_their_change_are_replaced(lab: &Lab) {
    let way = Way::start(lab, Answers::UpToCommit);
    let store = store::open(&way.url, &lab.path(""), audit_key()).await.unwrap();
    for round in 0..5 {
        store.networks().create(&network(&format!("n{round}")), &ADMIN).await.unwrap();
    }
    lab.assert_intact().await;
}

pub(crate) async fn a_server_that_says_nothing_ends_the_start(lab: &Lab) {
    let silent = tempfile::tempdir().unwrap();
    let _taken_and_never_answered = UnixListener::bind(socket(silent.path())).unwrap();
    let url = url_through(lab, silent.path());
    let folder = lab.path("");
    let opened = tokio::time::timeout(PATIENCE, store::open(&url, &folder, audit_key()));
    opened.await.expect("an end of the start").unwrap_err();
}

/// What comes through of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    All,
    UpToCommit,
}

/// A way to the server of a lab.
struct Way {
    url: String,
    /// From each word on, nothing comes of the sessions that were open.
    silence: watch::Sender<()>,
    _folder: tempfile::TempDir,
}

impl Way {
    fn start(lab: &Lab, answers: Answers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, server) = lab.url.split_once(HOST).unwrap();
        let server = socket(Path::new(server));
        let sessions = UnixListener::bind(socket(folder.path())).unwrap();
        let silence = watch::Sender::new(());
        let silences = silence.subscribe();
        tokio::spawn(async move {
            while let Ok((relay, _)) = sessions.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                let mut silence = silences.clone();
                silence.mark_unchanged();
                tokio::spawn(carry(relay, server, silence, answers));
            }
        });
        Self { url: url_through(lab, folder.path()), silence, _folder: folder }
    }
}

async fn carry(
    relay: UnixStream,
    server: UnixStream,
    mut silence: watch::Receiver<()>,
    answers: Answers,
) {
    let (mut from_relay, mut to_relay) = relay.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = tokio::io::copy(&mut from_relay, &mut to_server);
    let heard = async {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            to_relay.write_all(&bytes[..count]).await.unwrap();
            let is_last = bytes[..count].windows(COMMITTED.len()).any(|tag| tag == COMMITTED);
            if is_last && answers == Answers::UpToCommit {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = questions => {}
        () = heard => {}
        _ = silence.changed() => std::future::pending().await,
    }
}

fn url_through(lab: &Lab, folder: &Path) -> String {
    let (address, _) = lab.url.split_once(HOST).unwrap();
    format!("{address}{HOST}{}", folder.display())
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join(".s.PGSQL.5432")
}

const HOST: &str = "?host=";
/// What a server says of a COMMIT.
const COMMITTED: &[u8] = b"COMMIT\0";
const PATIENCE: Duration = Duration::from_secs(20);
