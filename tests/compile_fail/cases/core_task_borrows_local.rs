//! A task may outlive its maker; to borrow, `run_until_complete`.

use rondel_core::EventLoopHandle;

fn create(event_loop: &EventLoopHandle) {
    let name = String::from("local");
    let _ = event_loop.create_task(async { name.len() });
}

fn main() {
    let _: fn(&EventLoopHandle) = create;
}
