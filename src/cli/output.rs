//! The output of a command: JSON for programs, text for people.

use std::io::{ErrorKind, Write, stdout};

use serde::Serialize;

use super::failure::Failure;

pub struct Output<'a> {
    json: bool,
    to: Box<dyn Write + 'a>,
}

impl<'a> Output<'a> {
    pub fn to_stdout(json: bool) -> Output<'static> {
        Output { json, to: Box::new(stdout()) }
    }

    #[cfg(test)]
    pub fn to(json: bool, to: &'a mut Vec<u8>) -> Output<'a> {
        Output { json, to: Box::new(to) }
    }

    /// Writes bytes as they are. Returns false when they cannot be written, as when the reader has closed the pipe.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.to.write_all(bytes).and_then(|()| self.to.flush()).is_ok()
    }

    /// Prints a value as JSON, or the text that says the same.
    pub fn print<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let shown = if self.json {
            serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?
        } else {
            text()
        };
        self.write(shown.trim_end())
    }

    /// Prints one of many values at once: JSON on a line, or the equivalent text.
    pub fn line<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let shown =
            if self.json { serde_json::to_string(value).map_err(anyhow::Error::from)? } else { text() };
        self.write(&shown)
    }

    fn write(&mut self, shown: &str) -> Result<(), Failure> {
        match writeln!(self.to, "{shown}") {
            // Whoever read us has seen enough, as in `vca call list | head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.map_err(|error| anyhow::Error::from(error).into()),
        }
    }
}
