//! Policies that take too much.

use std::time::{Duration, Instant};

use nexus_governance::{PolicyBundle, PolicyEngine};

use crate::{bundle, engine, refund};

/// What any of them may take, on a slow machine and without optimisation: the limit is 50 ms, and a step is not interrupted.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much memory of its own the whole process may have had by then, in KiB.
const MEMORY: u64 = 1 << 20;

fn denied(command: &str) -> String {
    let started = Instant::now();
    let refusal = engine(command).decide(refund(r#"{"cents":1177}"#)).into_result().unwrap_err().to_string();
    assert!(started.elapsed() < PATIENCE, "{:?}: {refusal}", started.elapsed());
    assert!(refusal.starts_with("policies cannot be evaluated for this command"), "{refusal}");
    refusal
}

fn refused(command: &str) -> String {
    PolicyEngine::new(bundle(command)).unwrap_err().to_string()
}

/// Each of so many rules makes more of the one before.
fn chain(first: &str, next: impl Fn(usize) -> String, count: usize) -> String {
    let rules: Vec<String> = (1..count).map(|index| format!("x{index} := {}", next(index - 1))).collect();
    format!("x0 := {first}\n{}\ndeny contains \"x\" if x{}", rules.join("\n"), count - 1)
}

#[test]
fn what_takes_too_long_is_denied() {
    let nested = "deny contains x if { some i in numbers.range(1, 10000); some j in numbers.range(1, 10000); x := i * j; x < 0 }";
    assert!(denied(nested).contains("time limit"), "{}", denied(nested));
    let squares = denied(&chain("99999999999", |before| format!("x{before} * x{before}"), 28));
    assert!(squares.contains("time limit"), "{squares}");
}

#[test]
fn what_grows_without_end_is_denied() {
    for next in [
        "concat(\"\", [xN, xN])",
        "replace(xN, \"a\", xN)",
        "regex.replace(xN, \"a\", xN)",
        "strings.replace_n({\"a\": xN}, xN)",
        "sprintf(\"%v%v%v%v\", [xN, xN, xN, xN])",
        "json.marshal([xN, xN])",
    ] {
        let of = |before: usize| next.replace('N', &before.to_string());
        let told = denied(&chain("\"aaaaaaaaaaaaaaaa\"", of, 28));
        assert!(told.contains("is the limit") || told.contains("time limit"), "{told}");
    }
    let lists = denied(&chain("[1]", |before| format!("array.concat(x{before}, x{before})"), 28));
    assert!(lists.contains("is the limit"), "{lists}");
    assert!(denied("deny contains x if x := numbers.range(1, 100000000000)").contains("is the limit"));
    assert!(denied("deny contains x if x := sprintf(\"%1000000000d\", [1])").contains("is the limit"));
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < MEMORY, "{peak} KiB");
    }
}

#[test]
fn what_refers_to_itself_is_refused() {
    let told = refused("f(x) := f(x + 1)\ndeny contains x if x := f(1)");
    assert_eq!(told, "command.rego:2:10: f refers to itself by way of data.nexus.command.f");
    assert!(refused("a := b\nb := a\ndeny contains a").contains("refers to itself"));
    assert!(refused("deny contains x if x := data.nexus.command.deny").contains("refers to itself"));
    assert!(refused("deny contains x if x := data.nexus").contains("refers to itself"));
    // A name of its own is no reference.
    engine("deny contains allow if { allow := \"a\"; false }\nallow if true");
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let brackets = format!("deny contains {}1{}", "[\n".repeat(1_000), "]".repeat(1_000));
    assert!(refused(&brackets).contains("it is nested more than 12 levels deep"));
    let sum = vec!["1"; 5_000].join(" +\n");
    let told = refused(&format!("deny contains x if x := {sum}"));
    assert!(told.contains("more than 50 operators"), "{told}");
    let rules = refused(&chain("1", |before| format!("x{before} + 1"), 1_000));
    assert!(rules.contains("nested more than 120 levels deep"), "{rules}");
}

/// In a thread as small as any that commands are decided in.
#[test]
fn what_is_as_deep_as_may_be_is_evaluated() {
    let small = |command: String| {
        let policies = engine(&command);
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let decided =
            thread.spawn(move || policies.decide(refund(r#"{"cents":1177}"#))).unwrap().join().unwrap();
        assert_eq!(decided.denials.len(), 1, "{decided:?}");
        assert_eq!(decided.denials[0].message, "x", "{decided:?}");
    };
    small(chain("1", |before| format!("x{before} + 1"), 28));
    small(format!("deny contains \"x\" if {} == 45", vec!["1"; 45].join(" + ")));
    small(format!("deny contains \"x\" if {}1{} != 1", "[".repeat(11), "]".repeat(11)));
}

#[test]
fn a_package_in_several_files_is_one() {
    let policies = PolicyBundle::default()
        .with("a.rego", "package nexus.command\ndeny contains \"no\" if big(input.payload.cents)")
        .with("b.rego", "package nexus.command\nbig(x) if x > 1000");
    assert!(!PolicyEngine::new(policies).unwrap().decide(refund(r#"{"cents":1177}"#)).is_allowed());
    // A chain through both that is too long is refused before the stack ends.
    let rule = |number: usize| format!("r{number} if r{}\n", number + 1);
    let part = |odd: usize| (0..1_000).filter(|number| number % 2 == odd).map(rule).collect::<String>();
    let chain = PolicyBundle::default()
        .with("a.rego", format!("package nexus.command\ndeny contains \"no\" if r0\n{}", part(0)))
        .with("b.rego", format!("package nexus.command\nr1000 if input.payload\n{}", part(1)));
    let refused = PolicyEngine::new(chain).unwrap_err().to_string();
    assert!(refused.contains("nested more than 120 levels deep"), "{refused}");
}
