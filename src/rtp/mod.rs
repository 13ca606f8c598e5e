//! RTP (RFC 3550): packets, their order, and what the line did to them.
//!
//! Pure: bytes and times are arguments. It knows no codec and no call.

pub mod jitter;
pub mod packet;
pub mod quality;
