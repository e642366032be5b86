//! Output and the end of the program, through the debugger (semihosting).

use core::fmt::{self, Write};

use cortex_m_semihosting::debug;

/// Is the number of the operation that prints a string that ends with a zero.
const WRITE0: usize = 4;

/// Prints a text; without `core::fmt`.
pub fn print(text: &str) {
    for chunk in text.as_bytes().chunks(32) {
        let mut line = [0_u8; 33];
        line[..chunk.len()].copy_from_slice(chunk);
        // SAFETY: the debugger reads up to the zero that ends `line`.
        unsafe { cortex_m_semihosting::syscall1(WRITE0, line.as_ptr().addr()) };
    }
}

/// Prints a number; without `core::fmt`.
pub fn print_number(number: u32) {
    if number > 9 {
        print_number(number / 10);
    }
    let digit = [b'0' + (number % 10) as u8];
    print(core::str::from_utf8(&digit).unwrap_or("?"));
}

/// Prints a formatted line.
pub fn print_line(line: fmt::Arguments<'_>) {
    // `Output` can't fail; a `Display` that does has printed what it could.
    let _ = Output.write_fmt(line);
    print("\n");
}

struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print(text);
        Ok(())
    }
}

/// Ends the program: exit code 0 or 1.
pub fn exit(is_success: bool) -> ! {
    debug::exit(if is_success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}
