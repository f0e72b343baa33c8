use std::fmt::Write;

use crate::governed::SchemaRefusal;

/// What is alike: messages that differ in amounts and ids alone tell the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind(String);

impl Kind {
    /// By a message, without the numbers in it; `address1` is a word.
    pub(super) fn of_text(text: &str) -> Self {
        let is_of_word = |character: char| character.is_alphanumeric() || character == '_';
        let words = text.split_inclusive(|character: char| !is_of_word(character));
        let is_number = |word: &str| {
            let word = word.trim_end_matches(|character: char| !is_of_word(character));
            let is_id = word.len() >= 8 && word.chars().all(|character| character.is_ascii_hexdigit());
            is_id || word.starts_with(|character: char| character.is_ascii_digit())
        };
        Self(words.map(|word| if is_number(word) { "#" } else { word }).collect())
    }

    /// By which parts of a schema what is wrong, whatever was found.
    pub(super) fn of_refusal(refusal: &SchemaRefusal) -> Self {
        match refusal {
            SchemaRefusal::Unfit { schema, violations, .. } => {
                let mut kind = schema.to_string();
                for violation in violations {
                    let place: Vec<&str> = violation
                        .pointer
                        .split('/')
                        .map(|part| if part.parse::<u64>().is_ok() { "#" } else { part })
                        .collect();
                    // Texts can always be written.
                    let _ = write!(kind, " {} {}", place.join("/"), violation.keyword);
                }
                Self(kind)
            }
            SchemaRefusal::Unregistered { .. } | SchemaRefusal::Ambiguous { .. } => {
                Self::of_text(&refusal.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_make_no_kind_and_words_do() {
        let kind = |text: &str| Kind::of_text(text);
        assert_eq!(kind("at most 5 of 1,000 cents"), kind("at most 77 of 2,000 cents"));
        assert_eq!(kind("order-17 is late"), kind("order-4 is late"));
        assert_ne!(kind("address1 is needed"), kind("address2 is needed"));
        assert_ne!(kind("a 1"), kind("b 1"));
    }
}
