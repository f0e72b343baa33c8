use proc_macro2::Span;

use super::place::At;

/// A text as it is written, to find the places of its statements: with `\` at the end of a line it reads otherwise.
pub(super) struct Written {
    source: String,
    start: At,
}

impl Written {
    pub(super) fn of(span: Span) -> Self {
        Self { source: span.source_text().unwrap_or_default(), start: At::of_span("", span) }
    }

    /// Where the word of a statement is, looked for from where the last one was.
    pub(super) fn verb(&self, verb: &str, from: &mut usize) -> Option<At> {
        let words = match verb {
            "UPSERT" => &["insert"][..],
            "REPLACE" => &["replace", "insert"],
            _ => &[verb],
        };
        let lower = self.source.to_ascii_lowercase();
        let is_end =
            |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        let found = words.iter().find_map(|word| {
            let word = word.to_ascii_lowercase();
            let all = lower[*from..].match_indices(&word).map(|(at, _)| *from + at);
            all.into_iter().find(|at| {
                let bytes = lower.as_bytes();
                is_end(at.checked_sub(1).and_then(|before| bytes.get(before)))
                    && is_end(bytes.get(at + word.len()))
            })
        })?;
        *from = found + 1;
        let before = &self.source[..found];
        // On the first line only the text itself is named, as are other texts.
        let lines = before.matches('\n').count();
        if lines == 0 {
            return Some(self.start.clone());
        }
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some(At { file: String::new(), line: self.start.line + lines, column })
    }
}
