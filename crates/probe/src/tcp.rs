//! Does a TCP connection open?

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::failure::Failure;

/// Opens a connection and closes it again in the ordinary way.
///
/// A reset would spare this node an entry in TIME-WAIT, but the real server's program would see a broken connection at
/// each probe, and many log that. The price is small: one entry of some 300 bytes for a minute and probe, which the
/// kernel limits by itself (`net.ipv4.tcp_max_tw_buckets`), and no port runs short, because each real server has its own.
pub(crate) async fn probe(target: SocketAddr) -> Result<(), Failure> {
    TcpStream::connect(target).await?;
    Ok(())
}
