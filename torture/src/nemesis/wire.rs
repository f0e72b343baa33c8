use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Between one process and the server.
#[derive(Debug)]
pub(crate) struct Wire {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// What the server says does not come through; what it is told does.
    Mute,
    /// Connections end.
    Cut,
}

impl Wire {
    pub(crate) async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let state = Arc::new(watch::Sender::new(State::Whole));
        tokio::spawn(serve(listener, port, Arc::clone(&state)));
        Ok(Self { port: own, state })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Loses what the server answers for so long, then ends all connections: whoever waited does not know what was committed.
    pub(crate) async fn cut(&self, long: Duration) {
        self.state.send_replace(State::Mute);
        sleep(long).await;
        self.state.send_replace(State::Cut);
        sleep(Duration::from_millis(20)).await;
        self.state.send_replace(State::Whole);
    }
}

async fn serve(listener: TcpListener, port: u16, state: Arc<watch::Sender<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = state.subscribe();
        tokio::spawn(async move {
            // While the server is down nobody is let in.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                carry(client, server, state).await;
            }
        });
    }
}

/// Until one side ends it, or the wire is cut.
async fn carry(client: TcpStream, server: TcpStream, mut state: watch::Receiver<State>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = state.clone();
    let asked = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let answered = async {
        let mut buffer = vec![0; 1 << 16];
        let mut is_mute = false;
        loop {
            let count = from_server.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            // What was lost leaves a hole: nothing of it comes through afterwards.
            is_mute |= *answers.borrow() == State::Mute;
            if !is_mute {
                to_client.write_all(&buffer[..count]).await?;
            }
        }
    };
    let cut = async {
        let _ = state.wait_for(|state| *state == State::Cut).await;
    };
    tokio::select! {
        ended = asked => drop(ended),
        ended = answered => { let _: Result<(), std::io::Error> = ended; }
        () = cut => {}
    }
}
