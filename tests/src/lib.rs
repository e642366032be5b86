//! Compiles the code of the documents: `cargo test` runs it.

#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;
