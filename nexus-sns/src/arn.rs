use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names a topic, such as `arn:aws:sns:eu-central-1:123456789012:shop-events`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicArn(Arc<str>);

/// A text that names no topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} names no topic: it takes an ARN such as \"arn:aws:sns:eu-central-1:123456789012:shop-events\""
)]
pub struct InvalidTopic {
    found: String,
}

impl TopicArn {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it keeps the order of each stream of events.
    pub fn is_fifo(&self) -> bool {
        self.0.ends_with(".fifo")
    }
}

impl FromStr for TopicArn {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["arn", partition, "sns", region, account, name]
                if [partition, region, account, name].iter().all(|part| !part.is_empty()) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidTopic { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_named_by_its_arn() {
        let topic: TopicArn = "arn:aws:sns:eu-central-1:123456789012:shop.fifo".parse().unwrap();
        assert!(topic.is_fifo());
        for text in [
            "",
            "shop",
            "arn:aws:sqs:eu-central-1:123456789012:shop",
            "arn:aws:sns:::shop",
            "arn:aws:sns:a:b:c:d",
        ] {
            assert!(text.parse::<TopicArn>().unwrap_err().to_string().contains("an ARN such as"), "{text}");
        }
    }
}
