//! Links without the C library and its start files.

fn main() {
    for argument in ["-nostartfiles", "-nodefaultlibs", "-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
