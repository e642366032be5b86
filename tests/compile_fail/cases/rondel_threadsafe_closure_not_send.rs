//! What is handed to another thread's loop must be allowed to go there.

use std::rc::Rc;

use rondel::Remote;

fn schedule(remote: &Remote, shared: Rc<u32>) {
    let _ = remote.call_soon_threadsafe(move |_| drop(shared));
}

fn main() {
    let _: fn(&Remote, Rc<u32>) = schedule;
}
