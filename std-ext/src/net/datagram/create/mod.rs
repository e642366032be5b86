//! Making endpoints: `create_datagram_endpoint` and its kin.

#![allow(private_interfaces, reason = "the trait of the builder is implemented here alone")]

mod builder;
mod target;

use std::os::fd::OwnedFd;

pub use self::builder::CreateDatagramEndpoint;
use self::target::{DatagramSock, InetPair, UnixPair};
use crate::EventLoopHandle;
use crate::net::datagram::protocol::DatagramProtocol;

impl EventLoopHandle {
    /// Makes a UDP endpoint and gives it a protocol made by `factory`, which is
    /// called once, when the socket stands. Ends when `connection_made` has
    /// returned.
    ///
    /// ```
    /// use rondel::{Address, DatagramProtocol, DatagramTransport};
    ///
    /// struct Echo;
    ///
    /// impl DatagramProtocol for Echo {
    ///     fn datagram_received(
    ///         &mut self,
    ///         transport: &DatagramTransport,
    ///         data: &[u8],
    ///         addr: &Address,
    ///     ) -> rondel::Result<()> {
    ///         transport.sendto(data, addr)
    ///     }
    /// }
    ///
    /// rondel::run(async |event_loop| {
    ///     let (transport, _echo) =
    ///         event_loop.create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
    ///     println!("receiving on {:?}", transport.local_addr());
    ///     transport.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`CreateDatagramEndpoint`].
    ///
    /// # Cancellation
    /// As of [`CreateDatagramEndpoint`].
    ///
    /// # Python
    /// `loop.create_datagram_endpoint(factory, local_addr, remote_addr)`.
    #[track_caller]
    pub fn create_datagram_endpoint<F, P>(&self, factory: F) -> CreateDatagramEndpoint<InetPair, F>
    where
        F: FnOnce() -> P + 'static,
        P: DatagramProtocol,
    {
        CreateDatagramEndpoint::new(self, InetPair::default(), factory)
    }

    /// As [`create_datagram_endpoint`](Self::create_datagram_endpoint), on a
    /// datagram socket from elsewhere, of UDP or UNIX. It becomes the transport's,
    /// also if this fails (contract DG-1).
    ///
    /// # Errors
    /// Those of [`CreateDatagramEndpoint`].
    ///
    /// # Cancellation
    /// As of [`CreateDatagramEndpoint`].
    ///
    /// # Python
    /// `loop.create_datagram_endpoint(factory, sock=sock)`.
    #[track_caller]
    pub fn create_datagram_endpoint_with_sock<F, P>(
        &self,
        factory: F,
        socket: impl Into<OwnedFd>,
    ) -> CreateDatagramEndpoint<DatagramSock, F>
    where
        F: FnOnce() -> P + 'static,
        P: DatagramProtocol,
    {
        CreateDatagramEndpoint::new(self, DatagramSock(socket.into()), factory)
    }

    /// As [`create_datagram_endpoint`](Self::create_datagram_endpoint), on a UNIX
    /// socket. Without a path of its own nobody can answer it.
    ///
    /// # Errors
    /// Those of [`CreateDatagramEndpoint`].
    ///
    /// # Cancellation
    /// As of [`CreateDatagramEndpoint`].
    ///
    /// # Python
    /// `loop.create_datagram_endpoint(factory, path, family=socket.AF_UNIX)`.
    #[track_caller]
    pub fn create_unix_datagram_endpoint<F, P>(&self, factory: F) -> CreateDatagramEndpoint<UnixPair, F>
    where
        F: FnOnce() -> P + 'static,
        P: DatagramProtocol,
    {
        CreateDatagramEndpoint::new(self, UnixPair::default(), factory)
    }
}
