use std::collections::BTreeMap;

use syn::punctuated::Punctuated;
use syn::visit::Visit;
use syn::{Expr, ExprLit, ImplItemConst, Item, ItemConst, ItemStatic, Lit, Macro, Token, TraitItemConst};

use super::source::{SourceFile, attributes, is_for_tests};

/// The texts that the constants of a crate hold, by name; those of which there are two are not known.
#[derive(Debug, Default)]
pub(super) struct Constants(BTreeMap<String, Option<String>>);

impl Constants {
    pub(super) fn of(files: &[SourceFile]) -> Self {
        let mut constants = Self::default();
        // One may be made of another that comes later.
        for _ in 0..2 {
            files.iter().for_each(|file| constants.visit_file(&file.read));
        }
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
            Expr::Call(call) => {
                let Expr::Path(path) = &*call.func else { return None };
                let is_same = path
                    .path
                    .segments
                    .last()
                    .is_some_and(|last| last.ident == "Some" || last.ident == "from");
                if is_same && call.args.len() == 1 { self.text(call.args.first()?) } else { None }
            }
            Expr::Macro(made) => self.joined(&made.mac),
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

    /// What `concat!` or `format!` make, if all of it is known.
    fn joined(&self, made: &Macro) -> Option<String> {
        let name = made.path.segments.last()?.ident.to_string();
        let arguments = made.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated).ok()?;
        let known = || arguments.iter().map(|argument| self.text(argument));
        match name.as_str() {
            "concat" => known().collect(),
            "format" => {
                let (named, plain) = self.arguments(arguments.iter().skip(1));
                let filled = self.filled(&known().next()??, &plain, &named);
                (!filled.contains('{')).then_some(filled)
            }
            _ => None,
        }
    }

    /// What is known of the arguments of a format, by name and in order.
    pub(super) fn arguments<'e>(
        &self,
        arguments: impl Iterator<Item = &'e Expr>,
    ) -> (BTreeMap<String, String>, Vec<Option<String>>) {
        let (mut named, mut plain) = (BTreeMap::new(), Vec::new());
        for argument in arguments {
            match argument {
                Expr::Assign(of) => {
                    if let (Expr::Path(name), Some(text)) = (&*of.left, self.text(&of.right))
                        && let Some(name) = name.path.get_ident()
                    {
                        named.insert(name.to_string(), text);
                    }
                }
                argument => plain.push(self.text(argument)),
            }
        }
        (named, plain)
    }

    /// A format with what is known put in: `{NAME}`, and `{}` by its arguments.
    pub(super) fn filled(
        &self,
        format: &str,
        arguments: &[Option<String>],
        named: &BTreeMap<String, String>,
    ) -> String {
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
                named.get(name).map(String::as_str).or_else(|| self.get(name)).map(str::to_owned)
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
        if !is_for_tests(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_trait_item_const(&mut self, item: &'ast TraitItemConst) {
        if let Some((_, value)) = &item.default {
            self.add(item.ident.to_string(), value);
        }
    }

    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        self.add(item.ident.to_string(), &item.expr);
    }

    fn visit_item_static(&mut self, item: &'ast ItemStatic) {
        self.add(item.ident.to_string(), &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'ast ImplItemConst) {
        if is_for_tests(&item.attrs) {
            return;
        }
        self.add(item.ident.to_string(), &item.expr);
    }
}
