//! What the C library would have brought: the entry, the exit, and the memory
//! functions that the compiler calls.

use core::arch::{asm, naked_asm};

const SYS_WRITE: i64 = 1;
const SYS_EXIT_GROUP: i64 = 231;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print("guard: panicked\n");
    exit(101)
}

#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    naked_asm!("and rsp, -16", "call {main}", "ud2", main = sym crate::main)
}

pub fn exit(code: i32) -> ! {
    // SAFETY: exit_group(code) does not return.
    unsafe { asm!("syscall", in("rax") SYS_EXIT_GROUP, in("rdi") i64::from(code), options(noreturn)) }
}

pub fn print(text: &str) {
    // SAFETY: write(2, text, len) reads the text; the kernel changes rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") SYS_WRITE => _,
            in("rdi") 2_i64,
            in("rsi") text.as_ptr(),
            in("rdx") text.len(),
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
}

/// Prints a number; without `core::fmt`, so that what is left of it is core's.
pub fn print_number(number: u32) {
    if number > 9 {
        print_number(number / 10);
    }
    let digit = [b'0' + (number % 10) as u8];
    print(core::str::from_utf8(&digit).unwrap_or("?"));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear between calls.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: copying forwards reads nothing that was overwritten.
        return unsafe { memcpy(to, from, len) };
    }
    // SAFETY: the last bytes of both; `len` isn't zero here. The flag is restored.
    unsafe {
        asm!(
            "std", "rep movsb", "cld",
            inout("rcx") len => _,
            inout("rdi") to.add(len - 1) => _,
            inout("rsi") from.add(len - 1) => _,
            options(nostack),
        );
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: as for `memcpy`.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8, options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    let mut index = 0;
    while index < len {
        // SAFETY: both are `len` bytes long. Volatile, or this would become a
        // call of `memcmp`.
        let (left, right) = unsafe { (left.add(index).read_volatile(), right.add(index).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
        index += 1;
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(left, right, len) }
}
