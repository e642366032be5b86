//! What must not compile, and what the compiler says about it.

#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    // With a case that compiles everything is built and not only checked, so
    // that assertions over the size of a closure are reached.
    cases.pass("compile_fail/cases/closure_of_24_bytes.rs");
    cases.compile_fail("compile_fail/cases/core_*.rs");
    cases.compile_fail("compile_fail/cases/rondel_*.rs");
}
