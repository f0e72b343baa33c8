use serde::{Deserialize, Serialize};

/// What a crate says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) service: String,
    /// None of a program that puts sides together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) side: Option<Side>,
    #[serde(skip)]
    pub(crate) addresses: Vec<Address>,
}

/// What a crate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Command,
    Query,
    Shared,
}

/// Where a service could be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host, in small letters, perhaps with a port.
    Host(String),
    /// The name of an environment variable that holds one.
    Variable(String),
}

impl Address {
    /// The address that a manifest has: a host such as `billing.internal:8080`, also as a URL, or `$VARIABLE`.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        };
        if let Some(variable) = text.strip_prefix('$') {
            return is_name(variable).then(|| Self::Variable(variable.to_owned()));
        }
        let host = text.split_once("://").map_or(text, |(_, host)| host);
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let is_host = !host.is_empty()
            && host.chars().all(|character| is_of_host(character) || "[]".contains(character));
        is_host.then(|| Self::Host(host.to_lowercase()))
    }

    /// Whether a text names it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let host = match self {
            Self::Variable(variable) => return text == variable,
            Self::Host(host) => host,
        };
        // One word is a host in a URL alone.
        let is_word = !host.contains(['.', ':']);
        let text = text.to_lowercase();
        text.match_indices(host.as_str()).any(|(start, _)| {
            let (before, after) = (&text[..start], &text[start + host.len()..]);
            let is_whole = !before.ends_with(is_of_name) && !after.starts_with(is_of_name);
            is_whole && (!is_word || before.ends_with("//") || before.ends_with('@'))
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Variable(variable) => write!(f, "${variable}"),
        }
    }
}

fn is_of_host(character: char) -> bool {
    is_of_name(character) || character == ':'
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_where_it_is_whole() {
        let billing = Address::new("http://Billing.internal:8080/v1").unwrap();
        assert_eq!(billing.to_string(), "billing.internal:8080");
        assert!(billing.is_in("https://billing.INTERNAL:8080/pay") && billing.is_in("billing.internal:8080"));
        assert!(
            !billing.is_in("http://billing.internal:80/") && !billing.is_in("http://rebilling.internal:8080")
        );
        let word = Address::new("billing").unwrap();
        assert!(
            word.is_in("http://billing/pay")
                && word.is_in("http://ada@billing:80")
                && !word.is_in("the billing")
        );
        let variable = Address::new("$BILLING_URL").unwrap();
        assert!(variable.is_in("BILLING_URL") && !variable.is_in("NO_BILLING_URL"));
        for broken in ["", "$", "$A-B", "http://", "a b"] {
            assert_eq!(Address::new(broken), None, "{broken}");
        }
    }
}
