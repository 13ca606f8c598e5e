//! Connections that serve one request: a second one on the same connection is not answered.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Relays connections to the port of the real server.
pub async fn serve(listener: TcpListener, port: u16) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(relay(client, port));
    }
}

async fn relay(mut client: TcpStream, port: u16) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        let (mut buffer, mut heads) = (vec![0; 64 * 1024], 0);
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            heads += buffer[..length].windows(11).filter(|window| *window == b" HTTP/1.1\r\n").count();
            if heads > 1 || to_server.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}
