//! Prints what it reads in capitals, line by line: from a pipe, a file or a terminal, to any of these.
//!
//! ```text
//! printf 'a\nb\n' | upper
//! upper < file
//! ```

fn main() -> rondel::Result<()> {
    rondel::run(async |event_loop| {
        let mut input = event_loop.open_stdin().await?;
        let mut output = event_loop.open_stdout().await?;
        while let Some(line) = input.next_line().await? {
            output.write_all(&line.to_ascii_uppercase()).await?;
        }
        Ok(())
    })
}
