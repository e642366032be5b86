//! What each server of this program does before it serves, and at its end.
#![allow(unsafe_code, reason = "implements an allocator, and handles a signal")]

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::alloc::System;
use std::io::Write;

use crate::peers::{self, Serve};
use crate::socket::{Socket, Transport};
use crate::sys;

/// Is the allocator of this program: the system's, counted.
pub(crate) struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

fn count() {
    // Not exact with threads; a server here has none that allocate.
    COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
}

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: our caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: our caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: our caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: our caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Serves until the process is asked to end. Then tells how often memory was
/// allocated.
pub(crate) fn serve(peer: &str, transport: &str, address: &str, buffer: usize) -> Result<(), String> {
    let peer = peers::find(peer)?;
    let Serve::Here(serve) = peer.serve else {
        return Err(format!("{} is not served by this program", peer.name));
    };
    let transport = Transport::from_name(transport)?;
    sys::raise_descriptor_limit();
    // SAFETY: writes what it has on its stack, and ends.
    unsafe { sys::on_termination(tell_and_end) };
    let (socket, address) = Socket::listen(transport, address).map_err(|error| error.to_string())?;
    let ready = || {
        println!("READY {address} {}", std::process::id());
        let _ = std::io::stdout().flush();
    };
    serve(socket, buffer, &ready)
}

extern "C" fn tell_and_end(_: c_int) {
    let mut digits = [b'\n'; 20];
    let (mut rest, mut start) = (COUNT.load(Relaxed), digits.len() - 1);
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            sys::write_and_exit(&digits[start..]);
        }
    }
}
