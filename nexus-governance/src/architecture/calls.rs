use std::collections::BTreeSet;

use syn::{Expr, ExprCall, ExprMethodCall};

use super::texts::Constants;

/// A call of an SDK that changes or deletes.
pub(super) struct SdkCall<'ast> {
    /// Such as `delete_item`.
    pub(super) name: &'static str,
    /// Of what, where that is written: a table, or a stream.
    pub(super) table: Option<String>,
    pub(super) at: &'ast syn::Ident,
}

/// Which calls of which SDK.
const CALLS: [(&str, &[&str]); 2] = [
    (
        "aws-sdk-dynamodb",
        &[
            "batch_write_item",
            "delete_item",
            "delete_table",
            "execute_statement",
            "put_item",
            "update_item",
            "update_table",
            "update_time_to_live",
        ],
    ),
    ("aws-sdk-kinesis", &["decrease_stream_retention_period", "delete_stream"]),
];

/// Parts of a call that are made by themselves: `Delete::builder()`.
const BUILDERS: [(&str, &str, &str); 3] = [
    ("aws-sdk-dynamodb", "Delete", "Delete::builder"),
    ("aws-sdk-dynamodb", "Put", "Put::builder"),
    ("aws-sdk-dynamodb", "Update", "Update::builder"),
];

/// A chain of calls, from its end: `a.b().c(x)` is `c(x)`, then `b()`, at last `a`.
pub(super) fn chain(call: &ExprMethodCall) -> (Vec<&ExprMethodCall>, &Expr) {
    let (mut calls, mut base) = (vec![call], &*call.receiver);
    loop {
        base = match base {
            Expr::MethodCall(inner) => {
                calls.push(inner);
                &inner.receiver
            }
            Expr::Await(inner) => &inner.base,
            Expr::Try(inner) => &inner.expr,
            Expr::Paren(inner) => &inner.expr,
            _ => return (calls, base),
        };
    }
}

/// The calls of SDKs in a chain, and in what it starts with, by a crate that uses these others.
pub(super) fn sdk_calls<'ast>(
    calls: &[&'ast ExprMethodCall],
    base: Option<&'ast ExprCall>,
    uses: &BTreeSet<String>,
    constants: &Constants,
) -> Vec<SdkCall<'ast>> {
    let table = |calls: &[&ExprMethodCall]| {
        let named = calls.iter().rev().find(|call| {
            ["table_name", "stream_name", "set_table_name"].iter().any(|name| call.method == name)
        });
        named.and_then(|call| constants.text(call.args.first()?))
    };
    // A statement that is a text is read as SQL.
    let is_said = |calls: &[&ExprMethodCall]| {
        let statement = calls.iter().find(|call| call.method == "statement");
        statement.is_some_and(|call| call.args.first().is_some_and(|of| constants.text(of).is_some()))
    };
    let mut found = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let known = CALLS.iter().find_map(|(sdk, names)| {
            let name = names.iter().find(|name| call.method == **name)?;
            (call.args.is_empty() && uses.contains(*sdk)).then_some(*name)
        });
        let Some(name) = known else { continue };
        // What is said of it comes behind it.
        let behind = &calls[..index];
        if is_said(behind) {
            continue;
        }
        let several = behind.iter().rev().filter(|call| call.method == "request_items");
        let several: Vec<_> = several.map(|call| constants.text(call.args.first()?)).collect();
        let tables = if several.is_empty() { vec![table(behind)] } else { several };
        found.extend(tables.into_iter().map(|table| SdkCall { name, table, at: &call.method }));
    }
    if let Some(made) = base
        && let Expr::Path(path) = &*made.func
    {
        let segments = &path.path.segments;
        let last = |back: usize| segments.len().checked_sub(back).and_then(|index| segments.get(index));
        if let (Some(of), Some(builder)) = (last(2), last(1))
            && builder.ident == "builder"
            && let Some((_, _, name)) =
                BUILDERS.iter().find(|(sdk, name, _)| of.ident == name && uses.contains(*sdk))
        {
            found.push(SdkCall { name, table: table(calls), at: &of.ident });
        }
    }
    found
}
