//! Sockets for media.

use std::net::SocketAddr;

use super::CallServices;
use crate::media::MediaSocket;

/// A socket for media, and its address as Asterisk reaches it.
///
/// # Errors
/// No port is free.
pub fn bind_media(services: &CallServices) -> std::io::Result<(MediaSocket, SocketAddr)> {
    let settings = &services.media_settings;
    let socket = MediaSocket::bind(settings.bind_address, settings.ports, rand::random())?;
    let address = settings.public_address.unwrap_or(settings.bind_address);
    let host = SocketAddr::new(address, socket.local().port());
    Ok((socket, host))
}
