//! Hello World with `call_soon`, as in asyncio's documentation (18.5.1.20).

use rondel::EventLoop;

fn main() -> rondel::Result<()> {
    let event_loop = EventLoop::new()?;

    // Schedule a call to hello_world.
    event_loop.call_soon(|event_loop| {
        println!("Hello World");
        event_loop.stop();
    })?;

    // Blocking call interrupted by event_loop.stop().
    event_loop.run_forever()
}
