//! Compiles the code of the documents: `cargo test` runs it.

/// Makes an item of each document, so that its code blocks are tests.
macro_rules! documents {
    ($($name:ident = $path:literal;)*) => {$(
        #[doc = include_str!(concat!("../../", $path))]
        #[derive(Debug)]
        pub struct $name;
    )*};
}

documents! {
    Readme = "README.md";
    Architecture = "ARCHITECTURE.md";
    Asyncio = "docs/asyncio.md";
    Tokio = "docs/tokio.md";
    Guide = "docs/guide/README.md";
    GettingStarted = "docs/guide/getting-started.md";
    CallbacksAndTasks = "docs/guide/callbacks-and-tasks.md";
    ProtocolsAndStreams = "docs/guide/protocols-and-streams.md";
    Tls = "docs/guide/tls.md";
    ChildrenAndSignals = "docs/guide/children-and-signals.md";
    BoundedMemory = "docs/guide/bounded-memory.md";
    VirtualTime = "docs/guide/virtual-time.md";
    StuckLoop = "docs/guide/stuck-loop.md";
    Microcontroller = "docs/guide/microcontroller.md";
    StaticBinaries = "docs/guide/static-binaries.md";
}
