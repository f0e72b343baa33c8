use std::sync::Arc;

use regorus::{Engine, Value};

use crate::policy::PolicyLimits;

/// A built-in function that can make much out of little.
struct Amplifier {
    name: &'static str,
    arguments: u8,
    /// How many bytes its result may have, at most.
    size: fn(&[Value]) -> usize,
}

/// What an item of a list takes, in bytes.
const ITEM: usize = 24;

const AMPLIFIERS: [Amplifier; 11] = [
    Amplifier { name: "array.concat", arguments: 2, size: |of| items(&of[0]).saturating_add(items(&of[1])) },
    Amplifier { name: "bits.lsh", arguments: 2, size: |of| shifted(&of[0], &of[1]) },
    Amplifier { name: "concat", arguments: 2, size: |of| joined(&of[0], &of[1]) },
    Amplifier { name: "json.marshal", arguments: 1, size: |of| 6_usize.saturating_mul(written(&of[0])) },
    Amplifier { name: "net.cidr_expand", arguments: 1, size: |of| expanded(&of[0]) },
    Amplifier { name: "numbers.range", arguments: 2, size: |of| range(&of[0], &of[1], None) },
    Amplifier { name: "numbers.range_step", arguments: 3, size: |of| range(&of[0], &of[1], Some(&of[2])) },
    Amplifier { name: "regex.replace", arguments: 3, size: |of| replaced(&of[0], &of[2]) },
    Amplifier { name: "replace", arguments: 3, size: |of| replaced(&of[0], &of[2]) },
    Amplifier { name: "sprintf", arguments: 2, size: |of| formatted(&of[0], &of[1]) },
    Amplifier { name: "strings.replace_n", arguments: 2, size: |of| replaced_by_any(&of[0], &of[1]) },
];

/// Bounds what they make: each is asked of an engine of its own, if what comes of it cannot be too large.
pub(crate) fn bound(engine: &mut Engine, limits: PolicyLimits) -> Result<(), String> {
    for Amplifier { name, arguments, size } in AMPLIFIERS {
        let parameters: Vec<String> = (0..arguments).map(|index| format!("input[{index}]")).collect();
        let policy = format!("package bounded\nresult := {name}({})", parameters.join(", "));
        let mut inner = Engine::new();
        let prepared = inner.add_policy(format!("{name}.rego"), policy).and_then(|_| {
            // So that each call finds it compiled.
            inner.set_input(Value::Undefined);
            inner.compile_with_entrypoint(&"data.bounded.result".into()).map(drop)
        });
        prepared.map_err(|error| error.to_string())?;
        // With each evaluation these are cloned.
        let inner = Arc::new(inner);
        let bounded = move |given: Vec<Value>| {
            let size = size(&given);
            if size > limits.value {
                return Err(bounded_error(name, size, limits.value));
            }
            let mut inner = Engine::clone(&inner);
            inner.set_input(given.into());
            inner.eval_rule("data.bounded.result".to_owned())
        };
        let added = engine.add_extension(name.to_owned(), arguments, Box::new(bounded));
        added.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn bounded_error(name: &str, size: usize, most: usize) -> anyhow::Error {
    anyhow::anyhow!("{name} could make {size} bytes, and {most} is the limit")
}

/// No value is looked at further than this.
const MOST: usize = 64 << 20;

/// How many bytes a value takes as text, at least up to [`MOST`]: parts that are shared count each time.
fn written(value: &Value) -> usize {
    fn add(value: &Value, sum: &mut usize) {
        *sum += match value {
            Value::String(text) => text.len() + 2,
            _ => 8,
        };
        if *sum > MOST {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| add_if_room(item, sum)),
            Value::Set(items) => items.iter().for_each(|item| add_if_room(item, sum)),
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                add_if_room(name, sum);
                add_if_room(value, sum);
            }),
            _ => {}
        }
    }
    fn add_if_room(value: &Value, sum: &mut usize) {
        if *sum <= MOST {
            add(value, sum);
        }
    }
    let mut sum = 0;
    add(value, &mut sum);
    sum
}

fn length(value: &Value) -> usize {
    value.as_string().map_or(0, |text| text.len())
}

fn items(value: &Value) -> usize {
    let count =
        value.as_array().map(|items| items.len()).or_else(|_| value.as_set().map(|items| items.len()));
    count.map_or(0, |count| count.saturating_mul(ITEM))
}

fn joined(separator: &Value, parts: &Value) -> usize {
    let one = |part: &Value| length(part).saturating_add(length(separator));
    match parts {
        Value::Array(parts) => parts.iter().map(one).sum(),
        Value::Set(parts) => parts.iter().map(one).sum(),
        _ => 0,
    }
}

fn range(from: &Value, to: &Value, step: Option<&Value>) -> usize {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let step = step.map_or(1.0, |step| number(step).abs().max(1.0));
    let count = (number(to) - number(from)).abs() / step + 1.0;
    // What does not fit is as much as there is.
    (count as usize).saturating_mul(ITEM)
}

/// A number has as many digits more as it is shifted by.
fn shifted(number: &Value, by: &Value) -> usize {
    written(number).saturating_add(by.as_f64().unwrap_or(0.0).max(0.0) as usize / 8)
}

/// Each address of a network is a text of its own.
fn expanded(network: &Value) -> usize {
    const ADDRESS: usize = 64;
    let network = network.as_string().map_or(String::new(), |network| network.to_string());
    let Some((address, prefix)) = network.split_once('/') else { return 0 };
    let bits = if address.contains(':') { 128_u32 } else { 32 };
    let free = bits.saturating_sub(prefix.parse().unwrap_or(bits));
    1_usize
        .checked_shl(free)
        .filter(|count| *count > 0)
        .map_or(usize::MAX, |count| count.saturating_mul(ADDRESS))
}

/// Each character may be replaced, and `$0` stands for what was found.
fn replaced(text: &Value, by: &Value) -> usize {
    let (text, by) = (length(text), by.as_string().map_or(String::new(), |by| by.to_string()));
    let found = text.saturating_mul(by.matches('$').count());
    text.saturating_add(1).saturating_mul(by.len() + 1).saturating_add(found)
}

fn replaced_by_any(by: &Value, text: &Value) -> usize {
    let longest = by.as_object().ok().and_then(|by| by.values().map(length).max()).unwrap_or(0);
    length(text).saturating_add(1).saturating_mul(longest.saturating_add(1))
}

/// Each verb writes one argument, as wide as it is told.
fn formatted(format: &Value, arguments: &Value) -> usize {
    let format = format.as_string().map_or(String::new(), |format| format.to_string());
    let verbs = format.matches('%').count();
    let widths = format
        .split(|character: char| !character.is_ascii_digit())
        .map(|digits| digits.parse::<usize>().unwrap_or(if digits.is_empty() { 0 } else { usize::MAX }));
    let widths = widths.fold(0_usize, usize::saturating_add);
    let longest = match arguments {
        Value::Array(arguments) => arguments.iter().map(written).max().unwrap_or(0),
        _ => 0,
    };
    let written = verbs.saturating_mul(longest.saturating_mul(2));
    format.len().saturating_add(widths).saturating_add(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluated(expression: &str) -> Result<Value, String> {
        let mut engine = Engine::new();
        bound(&mut engine, PolicyLimits::default()).unwrap();
        engine.add_policy("a.rego".into(), format!("package a\nx := {expression}")).unwrap();
        engine.set_input(Value::from_json_str(r#"{"n": 10000000000, "s": "aaaaaaaaaa"}"#).unwrap());
        engine.eval_rule("data.a.x".into()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_small_is_as_ever() {
        for (expression, expected) in [
            (r#"concat(", ", ["a", "b"])"#, r#""a, b""#),
            ("array.concat([1], [2])", "[1,2]"),
            ("numbers.range(1, 3)", "[1,2,3]"),
            ("numbers.range_step(1, 5, 2)", "[1,3,5]"),
            (r#"replace("abab", "a", "x")"#, r#""xbxb""#),
            (r#"regex.replace("abab", "a+", "<$0>")"#, r#""<a>b<a>b""#),
            (r#"strings.replace_n({"a": "1"}, "aba")"#, r#""1b1""#),
            (r#"sprintf("%v of %5d: %s", ["a", 12, [1]])"#, r#""a of    12: [1]""#),
            ("bits.lsh(1, 4)", "16"),
            (r#"net.cidr_expand("10.0.0.0/31")"#, r#"["10.0.0.0","10.0.0.1"]"#),
            (r#"json.marshal({"a": [1]})"#, r#""{\"a\":[1]}""#),
        ] {
            assert_eq!(
                serde_json::to_string(&evaluated(expression).unwrap()).unwrap(),
                expected,
                "{expression}"
            );
        }
    }

    #[test]
    fn what_could_be_large_is_not_made() {
        for expression in [
            "numbers.range(1, input.n)",
            "numbers.range_step(input.n, 1, 3)",
            "bits.lsh(1, 4000000000)",
            r#"net.cidr_expand("10.0.0.0/8")"#,
            r#"net.cidr_expand("::/0")"#,
            r#"sprintf("%1000000000d", [1])"#,
            r#"sprintf("%99999999999999999999999d", [1])"#,
            "replace(concat(\"\", [s | some i in numbers.range(1, 4000); s := sprintf(\"%v%v\", [input.s, i])]), \"a\", concat(\"\", [s | some i in numbers.range(1, 4000); s := sprintf(\"%v%v\", [input.s, i])]))",
        ] {
            let error = evaluated(expression).unwrap_err();
            assert!(error.contains("bytes, and 1048576 is the limit"), "{expression}: {error}");
        }
    }
}
