//! Listening, connections, and the two ways to end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;
use tower::{Service, ServiceExt};

use crate::ServedModel;
use crate::app::{AppState, Closing, router};
use crate::settings::ServeSettings;

/// After a failed accept (no file handles left, say) this long nothing is tried.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be listened at.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The signals that end a server can't be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// A server that has its address, and may not have its model yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: AppState,
}

/// What a server is told while it runs.
#[derive(Debug, Clone)]
pub struct ServerHandle(AppState);

impl ServerHandle {
    /// Takes the model into service.
    pub fn install(&self, model: ServedModel) {
        self.0.install(model);
    }

    /// Ends the server when the answers under way have ended.
    pub fn drain(&self) {
        self.0.close(Closing::Draining);
    }

    /// Ends the server now; answers under way are cut off.
    pub fn stop(&self) {
        self.0.close(Closing::Stopped);
    }
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// An address that is taken, or not this machine's.
    pub async fn bind(settings: ServeSettings) -> Result<Self, ServeError> {
        let address = settings.address;
        let bind = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address, state: AppState::new(settings) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it is told while it runs.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.state.clone())
    }

    /// Answers until it is told to end, and the answers that were under way then have ended or run out of time. Says how
    /// many connections were cut off.
    pub async fn run(self) -> usize {
        let app = router(self.state.clone());
        let permits = Arc::new(Semaphore::new(self.state.settings().connections));
        let mut connections = JoinSet::new();
        let mut closing = self.state.closing();
        tokio::select! {
            () = self.accept_all(&mut connections, &app, &permits) => {}
            _ = closing.wait_for(|closing| *closing != Closing::Open) => {}
        }
        // New connections are still answered, with refusals: whoever balances load hears that the end is near.
        let mut late = JoinSet::new();
        let ended = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = ended => {}
            () = self.accept_all(&mut late, &app, &permits) => {}
            () = out_of_time(self.state.settings().drain_time) => self.state.close(Closing::Stopped),
            _ = closing.wait_for(|closing| *closing == Closing::Stopped) => {}
        }
        while connections.try_join_next().is_some() {}
        connections.len()
    }

    /// Takes connections in, and forgets those that have ended; never returns.
    async fn accept_all(&self, connections: &mut JoinSet<()>, app: &axum::Router, permits: &Arc<Semaphore>) {
        loop {
            tokio::select! {
                Some((stream, permit)) = accept(&self.listener, permits) => {
                    let connection = serve_connection(stream, app.clone(), self.state.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Some(_) = connections.join_next() => {}
                else => {}
            }
        }
    }
}

/// Ends after so long; without a limit, never.
async fn out_of_time(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(_) => {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Answers the requests of one connection.
async fn serve_connection(stream: TcpStream, app: axum::Router, state: AppState) {
    // A token is a small packet that has nothing to wait for.
    let _ = stream.set_nodelay(true);
    // Who takes nothing holds a connection, an answer and its pages, and a drain.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(state.settings().write_time));
    let stream = Box::pin(stream);
    let service = tower::service_fn(move |request: hyper::Request<Incoming>| {
        let mut app = app.clone();
        async move {
            let ready = ServiceExt::<Request>::ready(&mut app).await?;
            let response: Result<Response, Infallible> = ready.call(request.map(axum::body::Body::new)).await;
            response
        }
    });
    let mut closing: watch::Receiver<Closing> = state.closing();
    let late = *closing.borrow() != Closing::Open;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.settings().head_time)
        .max_buf_size(64 << 10)
        // Who comes when the server is closing gets one response, which says so.
        .keep_alive(!late)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    if !late {
        tokio::select! {
            biased;
            // Whatever goes wrong on a connection is its client's affair.
            _ = connection.as_mut() => return,
            _ = closing.wait_for(|closing| *closing != Closing::Open) => connection.as_mut().graceful_shutdown(),
        }
    }
    let _ = connection.await;
}

/// Serves a model until SIGINT or SIGTERM; the first lets answers end, the second does not.
///
/// # Errors
/// An address that can't be listened at.
pub async fn serve(model: ServedModel, settings: ServeSettings) -> Result<(), ServeError> {
    let server = Server::bind(settings).await?;
    let handle = server.handle();
    handle.install(model);
    let signals = crate::signals::obey(handle, |_| {})?;
    server.run().await;
    signals.abort();
    Ok(())
}
