//! A loop is touched only by its own thread.

use rondel_core::EventLoopHandle;

fn send(event_loop: EventLoopHandle) {
    std::thread::spawn(move || event_loop.stop());
}

fn main() {
    let _: fn(EventLoopHandle) = send;
}
