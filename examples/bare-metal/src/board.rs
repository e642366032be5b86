//! The board: an LM3S6965, as far as the example needs it.

use core::ptr::with_exposed_provenance_mut;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// Is the processor's frequency after reset: 200 MHz divided by 16.
pub const HZ: u32 = 12_500_000;

/// The interrupts that the example uses.
#[derive(Clone, Copy, Debug)]
pub enum Interrupt {
    /// Is pended by software here.
    GpioA = 0,
    /// Comes from the timer of [`start_timer`].
    Timer0A = 19,
}

// SAFETY: the numbers are the data sheet's.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// One entry of the interrupt table.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Vector {
    handler: unsafe extern "C" fn(),
    reserved: u32,
}

impl core::fmt::Debug for Vector {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Vector")
    }
}

unsafe extern "C" {
    fn GPIO_A();
    fn TIMER_0A();
}

/// The interrupt table, as far as the last interrupt that is used.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
pub static __INTERRUPTS: [Vector; 20] = {
    let mut table = [Vector { reserved: 0 }; 20];
    table[Interrupt::GpioA as usize] = Vector { handler: GPIO_A };
    table[Interrupt::Timer0A as usize] = Vector { handler: TIMER_0A };
    table
};

/// Lets an interrupt through to its handler.
pub fn unmask(interrupt: Interrupt) {
    // SAFETY: no critical section of this program is built on masking one.
    unsafe { NVIC::unmask(interrupt) };
}

/// Makes an interrupt pending, as its device would.
pub fn pend(interrupt: Interrupt) {
    NVIC::pend(interrupt);
}

const SYSTEM_RCGC1: usize = 0x400F_E104;
const TIMER0: usize = 0x4003_0000;
const CONFIGURATION: usize = TIMER0;
const MODE_A: usize = TIMER0 + 0x04;
const CONTROL: usize = TIMER0 + 0x0C;
const INTERRUPT_MASK: usize = TIMER0 + 0x18;
const INTERRUPT_CLEAR: usize = TIMER0 + 0x24;
const INTERVAL_A: usize = TIMER0 + 0x28;

/// Starts timer 0: its interrupt comes once, after `cycles`.
pub fn start_timer(cycles: u32) {
    unmask(Interrupt::Timer0A);
    write(SYSTEM_RCGC1, 1 << 16);
    write(CONTROL, 0);
    write(CONFIGURATION, 0);
    write(MODE_A, 1);
    write(INTERVAL_A, cycles);
    write(INTERRUPT_MASK, 1);
    write(CONTROL, 1);
}

/// Takes the interrupt of timer 0 back; for its handler.
pub fn acknowledge_timer() {
    write(INTERRUPT_CLEAR, 1);
}

fn write(register: usize, value: u32) {
    // SAFETY: only the registers above are passed in: devices, not memory.
    unsafe { with_exposed_provenance_mut::<u32>(register).write_volatile(value) };
}
