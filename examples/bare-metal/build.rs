//! Lets the linker find the memory map and the names of the interrupts.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    for script in ["memory.x", "device.x"] {
        fs::copy(script, Path::new(&out).join(script))?;
        println!("cargo:rerun-if-changed={script}");
    }
    println!("cargo:rustc-link-search={}", Path::new(&out).display());
    Ok(())
}
