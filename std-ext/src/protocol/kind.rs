//! The kinds of protocol, to tell them apart by type.

#![allow(missing_debug_implementations, reason = "never made")]

/// Marks a [`Protocol`](crate::Protocol).
pub struct Streaming(());
/// Marks a [`BufferedProtocol`](crate::BufferedProtocol).
pub struct Buffered(());
/// Marks a [`ReadPipeProtocol`](crate::ReadPipeProtocol).
pub struct ReadPipe(());
/// Marks a [`WritePipeProtocol`](crate::WritePipeProtocol).
pub struct WritePipe(());
/// Marks a [`DatagramProtocol`](crate::DatagramProtocol).
pub struct Datagrams(());
/// Marks a [`SubprocessProtocol`](crate::SubprocessProtocol).
pub struct Subprocess(());
