use std::collections::BTreeMap;

use syn::visit::Visit;
use syn::{Expr, ExprLit, ImplItemConst, Item, ItemConst, ItemStatic, Lit};

use super::source::{SourceFile, is_for_tests};

/// The texts that the constants of a crate hold, by name; those of which there are two are not known.
#[derive(Debug, Default)]
pub(super) struct Constants(BTreeMap<String, Option<String>>);

impl Constants {
    pub(super) fn of(files: &[SourceFile]) -> Self {
        let mut constants = Self::default();
        files.iter().for_each(|file| constants.visit_file(&file.read));
        constants
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// The text that an expression is, where that is written.
    pub(super) fn text(&self, expression: &Expr) -> Option<String> {
        match expression {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            Expr::Path(path) => self.get(&path.path.segments.last()?.ident.to_string()).map(str::to_owned),
            Expr::Reference(of) => self.text(&of.expr),
            Expr::Paren(of) => self.text(&of.expr),
            Expr::Group(of) => self.text(&of.expr),
            Expr::MethodCall(call) if call.args.is_empty() => {
                let is_same = ["to_owned", "to_string", "into", "as_str", "clone"]
                    .iter()
                    .any(|name| call.method == name);
                if is_same { self.text(&call.receiver) } else { None }
            }
            _ => None,
        }
    }

    /// A format with what is known put in: `{NAME}`, and `{}` by its arguments.
    pub(super) fn filled(&self, format: &str, arguments: &[Option<String>]) -> String {
        let (mut filled, mut rest, mut next) = (String::with_capacity(format.len()), format, 0);
        while let Some(start) = rest.find('{') {
            let Some(length) = rest[start..].find('}') else { break };
            filled.push_str(&rest[..start]);
            let written = &rest[start..=start + length];
            let name = written[1..length].split(':').next().unwrap_or_default().trim();
            let known = if name.is_empty() {
                next += 1;
                arguments.get(next - 1).cloned().flatten()
            } else if let Ok(index) = name.parse::<usize>() {
                arguments.get(index).cloned().flatten()
            } else {
                self.get(name).map(str::to_owned)
            };
            filled.push_str(known.as_deref().unwrap_or(written));
            rest = &rest[start + length + 1..];
        }
        filled + rest
    }

    fn add(&mut self, name: String, value: &Expr) {
        let Some(text) = self.text(value) else { return };
        let known = self.0.entry(name).or_insert_with(|| Some(text.clone()));
        if known.as_ref() != Some(&text) {
            *known = None;
        }
    }
}

impl<'ast> Visit<'ast> for Constants {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(module) if is_for_tests(&module.attrs) => {}
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        self.add(item.ident.to_string(), &item.expr);
    }

    fn visit_item_static(&mut self, item: &'ast ItemStatic) {
        self.add(item.ident.to_string(), &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'ast ImplItemConst) {
        self.add(item.ident.to_string(), &item.expr);
    }
}
