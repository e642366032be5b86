//! Watches a file descriptor for read events with `add_reader`, as in asyncio's
//! documentation (18.5.1.22).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rondel::EventLoop;

fn main() -> rondel::Result<()> {
    // Create a pair of connected file descriptors.
    let (mut rsock, mut wsock) = UnixStream::pair()?;
    let event_loop = EventLoop::new()?;

    // Register the file descriptor for read events.
    let watched = rsock.try_clone()?;
    event_loop.add_reader(&watched, move |event_loop| {
        let mut data = [0; 100];
        let count = rsock.read(&mut data)?;
        println!("Received: {}", String::from_utf8_lossy(&data[..count]));
        // We are done: unregister the file descriptor, and stop the event loop.
        event_loop.remove_reader(&rsock);
        event_loop.stop();
        Ok::<(), std::io::Error>(())
    })?;

    // Simulate the reception of data from the network.
    event_loop.call_soon(move |_| wsock.write_all(b"abc"))?;

    // Run the event loop.
    event_loop.run_forever()
}
