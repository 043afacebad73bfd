//! TLS handshakes a second, full or resumed.
//!
//! Each is a connection of its own: dialled, agreed on, and closed in the way of TLS by both sides, so that nothing is left behind when
//! the next one begins. Tickets are used once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::Result;
use crate::certificate::{Certified, HOST};

/// Which handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) group: NamedGroup,
    pub(crate) resumed: bool,
}

/// How many there were in how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) count: u32,
    pub(crate) took: Duration,
}

impl Wanted {
    /// Makes them for `span`, [`AT_ONCE`] at a time.
    pub(crate) async fn measure(
        self,
        address: SocketAddr,
        certified: &Certified,
        span: Duration,
    ) -> Result<Made> {
        let began = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let tickets = if self.resumed { TICKETS } else { 0 };
            let config = Arc::new(certified.client(self.group, tickets)?);
            workers.spawn(async move {
                self.work(address, config, began + span).await.map_err(|why| why.to_string())
            });
        }
        let mut count = 0;
        while let Some(worker) = workers.join_next().await {
            count += worker??;
        }
        Ok(Made { count, took: began.elapsed() })
    }

    async fn work(
        self,
        address: SocketAddr,
        config: Arc<ClientConfig>,
        until: Instant,
    ) -> Result<u32> {
        if self.resumed {
            // For the first ticket.
            shake_hands(address, Arc::clone(&config)).await?;
        }
        let mut count = 0;
        while Instant::now() < until {
            let kind = shake_hands(address, Arc::clone(&config)).await?;
            if (kind == HandshakeKind::Resumed) != self.resumed {
                return Err(format!("a handshake was {kind:?} after {count} others").into());
            }
            count += 1;
        }
        Ok(count)
    }
}

async fn shake_hands(address: SocketAddr, config: Arc<ClientConfig>) -> Result<HandshakeKind> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(HOST)?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    stream.shutdown().await?;
    // Tickets come here. Not every server says goodbye in TLS as well.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    stream.get_ref().1.handshake_kind().ok_or_else(|| "no handshake".into())
}

const AT_ONCE: usize = 32;
/// The store of rustls keeps at most as many for one server.
const TICKETS: usize = 8;
