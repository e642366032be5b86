//! A callback runs later, when the locals of its maker are gone.

use rondel_core::EventLoopHandle;

fn schedule(event_loop: &EventLoopHandle) {
    let name = String::from("local");
    let _ = event_loop.call_soon(|_| drop(name.len()));
}

fn main() {
    let _: fn(&EventLoopHandle) = schedule;
}
