//! A closure of more than 24 bytes is refused when the program is built.

use rondel_core::EventLoopHandle;

fn schedule(event_loop: &EventLoopHandle) {
    let captured = [1_u64; 4];
    let _ = event_loop.call_soon(move |_| captured.len());
}

fn main() {
    let _: fn(&EventLoopHandle) = schedule;
}
