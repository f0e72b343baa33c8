//! Between a store and its server: what the server says may get lost on the way, while the connection stays open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::url;

/// On which connections nothing of what the server says comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Lost {
    /// On none.
    Nothing,
    /// On those that listen for news.
    News,
    /// On all.
    Everything,
}

/// Passes on what it is told to. A connection on which something was lost stays mute.
pub(crate) struct Proxy {
    pub(crate) url: String,
    lost: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let target = url()
            .split('@')
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .expect("host and port")
            .to_owned();
        let url = url().replace(&target, &format!("127.0.0.1:{port}"));
        let lost = Arc::new(AtomicU8::new(Lost::Nothing as u8));
        tokio::spawn(serve(listener, target, Arc::clone(&lost)));
        Self { url, lost }
    }

    pub(crate) fn lose(&self, lost: Lost) {
        self.lost.store(lost as u8, Ordering::SeqCst);
    }
}

async fn serve(listener: TcpListener, target: String, lost: Arc<AtomicU8>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let listens = Arc::new(AtomicBool::new(false));
        let (heard, lost) = (Arc::clone(&listens), Arc::clone(&lost));
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                if buffer[..count].windows(7).any(|part| part == b"LISTEN ") {
                    heard.store(true, Ordering::SeqCst);
                }
                if to_server.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            let mut is_mute = false;
            while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                let lost = lost.load(Ordering::SeqCst);
                is_mute |= lost == Lost::Everything as u8;
                is_mute |= lost == Lost::News as u8 && listens.load(Ordering::SeqCst);
                if !is_mute && to_client.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}
