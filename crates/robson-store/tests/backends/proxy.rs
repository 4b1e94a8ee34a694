//! A wire that can be cut: forwards a client's connections to a server until it is told to lose a commit.

use std::sync::{Arc, Mutex, PoisonError};

use robson_conformance::Cut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const COMMIT: &[u8] = b"COMMIT\0";

/// Ends with its value.
pub(super) struct Proxy {
    address: String,
    cut: Arc<Mutex<Option<Cut>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(server: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let cut = Arc::new(Mutex::new(None));
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&cut)));
        Ok(Self { address, cut, accepting })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Cuts the connection over which the next COMMIT comes: before it is sent on, or once it was answered.
    pub(super) fn cut_next_commit(&self, cut: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, cut: Arc<Mutex<Option<Cut>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, cut) = (server.clone(), Arc::clone(&cut));
        tokio::spawn(async move {
            // A connection that ends badly is what a client of a lost server sees.
            let _ = forward(client, server, &cut).await;
        });
    }
}

async fn forward(mut client: TcpStream, server: String, cut: &Mutex<Option<Cut>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let asked = &asked[..count?];
                if asked.is_empty() {
                    return Ok(());
                }
                let is_commit = asked.windows(COMMIT.len()).any(|bytes| bytes == COMMIT);
                let cut = is_commit.then(|| cut.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten();
                if cut == Some(Cut::Before) {
                    return Ok(());
                }
                server.write_all(asked).await?;
                if cut == Some(Cut::After) {
                    let _answer = server.read(&mut answered).await?;
                    return Ok(());
                }
            }
            count = server.read(&mut answered) => {
                let answered = &answered[..count?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}
