//! A future is set only in its loop's thread.

use rondel_core::Future;

fn send(future: Future<u32>) {
    std::thread::spawn(move || future.set_result(1));
}

fn main() {
    let _: fn(Future<u32>) = send;
}
