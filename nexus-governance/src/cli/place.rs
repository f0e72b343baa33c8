use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// A place in a file: line and column from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// Where the parser of a JSON text found it wrong; it counts bytes.
    pub(super) fn of_error(text: &str, error: &serde_json::Error) -> Self {
        let (line, bytes) = (error.line().max(1), error.column().max(1));
        let before = text.lines().nth(line - 1).and_then(|line| line.get(..bytes - 1));
        Self { line, column: before.map_or(bytes, |before| before.chars().count() + 1) }
    }

    fn of_byte(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

/// Where what a JSON Pointer names stands in the text: its name, or as much of the way there as there is.
pub(super) fn of_pointer(text: &str, pointer: &str) -> Place {
    let Ok(parsed) = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()) else {
        return Place::START;
    };
    let Some(mut value) = parsed.value.as_ref() else { return Place::START };
    let mut byte = value.start();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = match value {
            Value::Object(object) => {
                let found = object.properties.iter().find(|member| match &member.name {
                    ObjectPropName::String(name) => name.value == part,
                    ObjectPropName::Word(name) => name.value == part,
                });
                found.map(|member| (member.name.start(), &member.value))
            }
            Value::Array(array) => {
                let item = part.parse::<usize>().ok().and_then(|index| array.elements.get(index));
                item.map(|item| (item.start(), item))
            }
            _ => None,
        };
        let Some((start, found)) = next else { break };
        (byte, value) = (start, found);
    }
    Place::of_byte(text, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_at_a_character() {
        let text = "{\n \"üüü\": x }";
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        assert_eq!(Place::of_error(text, &error), Place { line: 2, column: 9 });
    }

    #[test]
    fn a_pointer_leads_to_a_line_and_a_column() {
        let text = "{\n  \"ü\": { \"a/b\": [1,\n 22] }, \"c\": 3\n}\n";
        let place = |pointer: &str| {
            let Place { line, column } = of_pointer(text, pointer);
            (line, column)
        };
        assert_eq!(place(""), (1, 1));
        assert_eq!(place("/ü"), (2, 3));
        assert_eq!(place("/ü/a~1b"), (2, 10));
        assert_eq!(place("/ü/a~1b/1"), (3, 2));
        assert_eq!(place("/ü/none/deeper"), (2, 3));
        assert_eq!(place("/c"), (3, 9));
        assert_eq!(of_pointer("{ no", "/a"), Place::START);
    }
}
