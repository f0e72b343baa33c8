use std::io::{BufRead, BufReader, Read, Result};

/// Longer lines are cut: no purchase has so many bytes, and a file without line ends must not fill the memory.
const LONGEST: u64 = 4_096;

/// The lines of a file, whatever bytes they are made of.
#[derive(Debug)]
pub struct Lines<R> {
    source: BufReader<R>,
    text: Vec<u8>,
    number: u64,
    position: u64,
}

/// One line, without its end.
#[derive(Debug)]
pub struct ReadLine<'a> {
    /// From 1.
    pub number: u64,
    pub text: &'a [u8],
    /// How many bytes of the file were read with it.
    pub end: u64,
}

impl<R: Read> Lines<R> {
    pub fn new(source: R) -> Self {
        Self { source: BufReader::new(source), text: Vec::new(), number: 0, position: 0 }
    }

    pub fn next_line(&mut self) -> Result<Option<ReadLine<'_>>> {
        self.text.clear();
        let read = self.source.by_ref().take(LONGEST).read_until(b'\n', &mut self.text)?;
        if read == 0 {
            return Ok(None);
        }
        self.position += read as u64;
        if !self.text.ends_with(b"\n") {
            self.position += skip_line(&mut self.source)?;
        }
        self.number += 1;
        Ok(Some(ReadLine { number: self.number, text: self.text.trim_ascii(), end: self.position }))
    }
}

fn skip_line(source: &mut impl BufRead) -> Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = source.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(index) => (index + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        source.consume(length);
        skipped += length as u64;
        if is_end {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_the_next_is_whole() {
        let long = "x".repeat(100_000);
        let text = format!("a\r\n{long}\nb");
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next_line().unwrap().unwrap().text, b"a");
        assert_eq!(lines.next_line().unwrap().unwrap().text.len(), 4_096);
        let ReadLine { number, text: last, end } = lines.next_line().unwrap().unwrap();
        assert_eq!((number, last, end), (3, b"b".as_slice(), text.len() as u64));
        assert!(lines.next_line().unwrap().is_none());
    }
}
