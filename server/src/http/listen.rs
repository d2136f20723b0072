//! Connections: accepted until told to stop, each with a bound on how long it may take to say what it wants;
//! those that are being answered then are finished first.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// How long a connection may take to send the head of a request, also while it idles between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long answers may take to finish after the end was called.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// The most headers of one request.
const HEADERS_MAX: usize = 64;
/// The pause after the system gave no connection, for want of file handles mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
}

/// Binds an address; port 0 takes a free one.
pub async fn listen(address: SocketAddr) -> io::Result<Listening> {
    Ok(Listening { listener: TcpListener::bind(address).await? })
}

impl Listening {
    /// The address, with the port that was taken.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `end` comes, then finishes what was begun.
    pub async fn serve(self, router: Router, end: impl Future<Output = ()>) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_headers(HEADERS_MAX);
        let connections = GracefulShutdown::new();
        let mut end = std::pin::pin!(end);
        loop {
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = &mut end => break,
            };
            // Small answers must not wait for one another; a socket that refuses works all the same.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let watched = connections.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = watched.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        drop(self.listener);
        if tokio::time::timeout(FINISH_TIMEOUT, connections.shutdown()).await.is_err() {
            tracing::warn!("connections were still open at the end");
        }
    }
}
