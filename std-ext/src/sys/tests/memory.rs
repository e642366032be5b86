//! The tables' memory.

use std::fs;

use crate::sys::memory;

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[test]
fn reserved_memory_is_exact_usable_and_given_back() {
    let room = memory::reserve::<String>(3).unwrap();
    assert_eq!(room.len(), 3);
    room[2].write("last".to_owned());
    // SAFETY: written above; then nothing refers to the room.
    unsafe {
        assert_eq!(room[2].assume_init_ref(), "last");
        room[2].assume_init_drop();
        memory::release(room);
    }
}

#[test]
fn nothing_and_things_without_size_work() {
    let none = memory::reserve::<u64>(0).unwrap();
    let units = memory::reserve::<()>(1_000_000).unwrap();
    assert_eq!((none.len(), units.len()), (0, 1_000_000));
    // SAFETY: nothing refers to them.
    unsafe {
        memory::release(none);
        memory::release(units);
    }
}

#[test]
fn generous_reservation_touches_no_page() {
    const GENEROUS: usize = 1 << 30;
    let before = resident_bytes();
    let room = memory::reserve::<u8>(GENEROUS).unwrap();
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GENEROUS / 4, "grew by {grown} bytes");
    // SAFETY: nothing refers to it.
    unsafe { memory::release(room) };
}

#[test]
fn impossible_reservation_is_an_error() {
    memory::reserve::<u64>(usize::MAX).unwrap_err();
    memory::reserve::<u64>(usize::MAX / 16).unwrap_err();
}
