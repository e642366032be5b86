//! How much of the memory is in use, as the linker and the stack tell.

use crate::print::{print, print_number};

/// Is what unused stack is filled with.
const PAINT: u32 = 0x5AFE_57AC;

/// Is how much of the stack below the caller stays unpainted: it may be in use.
const MARGIN: usize = 64;

unsafe extern "C" {
    // Of cortex-m-rt's link.x; addresses, not variables.
    static __sdata: u32;
    static __edata: u32;
    static __euninit: u32;
    static __sidata: u32;
    static _stack_start: u32;
}

/// Fills the stack, so that [`report`] can tell how deep it was. Call it first.
pub fn paint_stack() {
    let end = cortex_m::register::msp::read() as usize - MARGIN;
    let mut word = (&raw const __euninit).cast_mut();
    while word.addr() < end {
        // SAFETY: between the variables and the stack's top is nothing, up to the
        // margin. Volatile, or this would become a call that needs stack.
        unsafe {
            word.write_volatile(PAINT);
            word = word.add(1);
        }
    }
}

/// Prints `flash`, `ram` and `stack`, in bytes: code and constants, variables,
/// and the most stack that was in use since [`paint_stack`].
pub fn report() {
    let data = (&raw const __edata).addr() - (&raw const __sdata).addr();
    let flash = (&raw const __sidata).addr() + data;
    let ram = (&raw const __euninit).addr() - (&raw const __sdata).addr();
    let top = &raw const _stack_start;
    let mut word = &raw const __euninit;
    // SAFETY: this reads RAM, below the stack's top.
    while word < top && unsafe { word.read_volatile() } == PAINT {
        // SAFETY: as above.
        word = unsafe { word.add(1) };
    }
    for (name, bytes) in [("flash ", flash), ("ram ", ram), ("stack ", top.addr() - word.addr())] {
        print(name);
        print_number(bytes as u32);
        print("\n");
    }
}
