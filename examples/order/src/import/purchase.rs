use jiff::civil::Date;
use jiff::tz::TimeZone;
use nexus_core::{CommandId, Timestamp};

use order_commands::order::{InvalidOrderId, Line, OrderId};

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Purchase {
    pub customer: String,
    pub day: Date,
    pub units: u32,
    pub cents: u64,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPurchase {
    #[error("the line is no text in UTF-8")]
    NotText,
    #[error("expected 4 fields (customer, date, number of CDs, dollars), found {0}")]
    Fields(usize),
    #[error("{0:?} is no customer: expected 1 to 12 digits, such as 00002")]
    Customer(String),
    #[error("{0:?} is no date: expected YYYYMMDD, such as 19970112")]
    Day(String),
    #[error("{0:?} is no number of CDs: expected a whole number, such as 5")]
    Units(String),
    #[error("{0:?} is no amount: expected dollars with two decimals, such as 77.00")]
    Cents(String),
}

impl Purchase {
    /// Parses one line; `None` for the header, which may be the first line, and for empty lines.
    pub fn parse(number: u64, line: &[u8]) -> Result<Option<Self>, InvalidPurchase> {
        let line = std::str::from_utf8(line).map_err(|_| InvalidPurchase::NotText)?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_header = number == 1 && fields.first() == Some(&"customer_id");
        if fields.is_empty() || is_header {
            return Ok(None);
        }
        let [customer, day, units, dollars] = fields[..] else {
            return Err(InvalidPurchase::Fields(fields.len()));
        };
        if !(1..=12).contains(&customer.len()) || !is_digits(customer) {
            return Err(InvalidPurchase::Customer(shortened(customer)));
        }
        Ok(Some(Self {
            customer: customer.to_owned(),
            day: parse_day(day).ok_or_else(|| InvalidPurchase::Day(shortened(day)))?,
            units: parse_units(units).ok_or_else(|| InvalidPurchase::Units(shortened(units)))?,
            cents: parse_cents(dollars).ok_or_else(|| InvalidPurchase::Cents(shortened(dollars)))?,
        }))
    }

    /// The order that this purchase is, where it is the `occurrence`th identical one, from 1.
    pub fn order_id(&self, occurrence: u32) -> Result<OrderId, InvalidOrderId> {
        self.key(occurrence).parse()
    }

    fn key(&self, occurrence: u32) -> String {
        let Self { customer, day, units, cents } = self;
        format!("{customer}-{}-{units}-{cents}-{occurrence}", day.strftime("%Y%m%d"))
    }

    /// The id of one of its commands: the same whenever the same file is imported.
    pub fn command_id(&self, occurrence: u32, command: &str) -> CommandId {
        let midnight = TimeZone::UTC.to_timestamp(self.day.at(0, 0, 0, 0)).unwrap_or(Timestamp::UNIX_EPOCH);
        CommandId::named(midnight, &format!("cdnow {} {command}", self.key(occurrence)))
    }

    /// What was bought; the data does not say which CDs.
    pub fn line(&self) -> Line {
        Line::new("cd", self.units, self.cents)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_day(text: &str) -> Option<Date> {
    if text.len() != 8 || !is_digits(text) {
        return None;
    }
    Date::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?).ok()
}

fn parse_units(text: &str) -> Option<u32> {
    is_digits(text).then(|| text.parse().ok()).flatten()
}

/// Exactly, without going through a float.
fn parse_cents(text: &str) -> Option<u64> {
    let (dollars, cents) = text.split_once('.')?;
    if !is_digits(dollars) || cents.len() != 2 || !is_digits(cents) {
        return None;
    }
    dollars.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents.parse().ok()?)
}

/// So that a message stays readable.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(40).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_line_is_a_purchase() {
        let purchase = Purchase::parse(2, b" 00002 19970112  5   77.00").unwrap().unwrap();
        let expected = Purchase { customer: "00002".into(), day: date(1997, 1, 12), units: 5, cents: 7_700 };
        assert_eq!(purchase, expected);
        assert_eq!(purchase.order_id(2).unwrap().to_string(), "00002-19970112-5-7700-2");
        assert_ne!(purchase.command_id(1, "PayOrder"), purchase.command_id(2, "PayOrder"));
        assert_ne!(purchase.command_id(1, "PayOrder"), purchase.command_id(1, "ShipOrder"));
    }

    #[test]
    fn only_the_first_line_may_be_a_header() {
        let header = b"customer_id  date number_of_cds  dollar_value";
        assert_eq!(Purchase::parse(1, header), Ok(None));
        assert!(Purchase::parse(2, header).is_err());
        assert_eq!(Purchase::parse(3, b""), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (line, expected) in [
            ("1 19970112 5", "expected 4 fields"),
            ("1 19970112 5 77.00 x", "found 5"),
            ("a 19970112 5 77.00", "\"a\" is no customer"),
            ("1 19971312 5 77.00", "expected YYYYMMDD"),
            ("1 19970229 5 77.00", "\"19970229\" is no date"),
            ("1 19970112 -5 77.00", "\"-5\" is no number"),
            ("1 19970112 99999999999 77.00", "is no number"),
            ("1 19970112 5 77", "two decimals"),
            ("1 19970112 5 77.001", "two decimals"),
            ("1 19970112 5 -7.00", "two decimals"),
            ("1 19970112 5 99999999999999999999.00", "two decimals"),
        ] {
            let message = Purchase::parse(2, line.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{line}: {message}");
        }
        assert_eq!(Purchase::parse(2, b"1 \xff 1 1.00"), Err(InvalidPurchase::NotText));
    }
}
