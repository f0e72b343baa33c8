use proc_macro2::{Span, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, ExprCall, ExprMethodCall, ImplItemFn, Item, ItemEnum, ItemImpl, ItemStruct, Lit,
    LitByteStr, LitStr, Macro, Meta, Token,
};

use super::calls;
use super::events::{self, Kind};
use super::facts::{Called, Changed, Declaration, Facts, Named};
use super::place::At;
use super::source::{SourceFile, is_for_tests};
use super::sql;
use super::texts::Constants;
use super::workspace::Member;

/// Notes what a file of a crate has that is looked at.
pub(super) fn read(
    file: &SourceFile,
    member: &Member,
    members: &[Member],
    constants: &Constants,
    facts: &mut Facts,
) {
    let mut code = Code { file: &file.name, member, members, constants, facts, is_former: false };
    code.visit_file(&file.read);
}

/// Notes the statements of a file of SQL.
pub(super) fn sql_of_file(name: &str, text: &str, member: &Member, facts: &mut Facts) {
    for found in sql::statements(text) {
        facts.statements.push(Changed {
            by: member.declared.clone(),
            statement: found.verb,
            table: found.table,
            at: At::of_byte(name, text, found.byte),
        });
    }
}

struct Code<'a> {
    file: &'a str,
    member: &'a Member,
    members: &'a [Member],
    constants: &'a Constants,
    facts: &'a mut Facts,
    /// Within `impl Upcast`: what is named there was stored by earlier code.
    is_former: bool,
}

impl Code<'_> {
    fn at(&self, span: Span) -> At {
        At::of_span(self.file, span)
    }

    /// A text of the code: SQL, or an address.
    fn text(&mut self, text: &str, span: Span) {
        let text = self.constants.filled(text, &[]);
        for found in sql::statements(&text) {
            let at = self.at_byte(&text, found.byte, span);
            let by = self.member.declared.clone();
            self.facts.statements.push(Changed { by, statement: found.verb, table: found.table, at });
        }
        for member in self.members {
            let address = member.declared.addresses.iter().find(|address| address.is_in(&text));
            if let Some(address) = address {
                let (by, of) = (self.member.declared.clone(), member.declared.clone());
                let at = self.at(span);
                self.facts.addresses.push(Named { by, address: address.to_string(), of, at });
            }
        }
    }

    /// A place within a text; where the text is written otherwise than it reads, its start.
    fn at_byte(&self, text: &str, byte: usize, span: Span) -> At {
        let lines = span.end().line - span.start().line;
        let within = At::of_byte(self.file, text, byte);
        if within.line == 1 || lines == 0 || text.matches('\n').count() != lines {
            return self.at(span);
        }
        At { line: span.start().line + within.line - 1, ..within }
    }

    fn declare(&mut self, kind: Kind, span: Span) {
        // Names that start so are ours.
        if !kind.name.starts_with('$') {
            let declaration = self.declaration(kind, span);
            self.facts.events.push(declaration);
        }
    }

    fn declaration(&self, kind: Kind, span: Span) -> Declaration {
        let Kind { name, version } = kind;
        let (by, at) = (self.member.declared.clone(), self.at(span));
        Declaration { by, name, version, is_former: self.is_former, at }
    }

    /// What derives `DomainEvent` or `Command` and is no enum.
    fn derived(&mut self, attributes: &[Attribute], ident: &syn::Ident) {
        if events::derives(attributes, "DomainEvent") {
            self.declare(events::of_type(attributes, ident, "event"), ident.span());
        }
        if events::derives(attributes, "Command") {
            let kind = events::of_type(attributes, ident, "command");
            let declaration = self.declaration(kind, ident.span());
            self.facts.commands.push(declaration);
        }
    }

    /// The texts among tokens that mean something to a macro alone.
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let span = literal.span();
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.text(&text.value(), span);
                    }
                }
                _ => {}
            }
        }
    }

    /// What a macro is given, if that reads as expressions.
    fn arguments(&mut self, arguments: &Punctuated<Expr, Token![,]>, name: &str) {
        let known: Vec<Option<String>> =
            arguments.iter().map(|argument| self.constants.text(argument)).collect();
        let first = arguments.iter().position(|argument| matches!(argument, Expr::Lit(_)));
        if name == "concat" {
            let joined: String = known.iter().flatten().map(String::as_str).collect();
            return self.text(&joined, arguments.span());
        }
        for (index, argument) in arguments.iter().enumerate() {
            match (argument, first) {
                // A format, as the first text nearly always is.
                (Expr::Lit(literal), Some(first)) if index == first => {
                    if let Lit::Str(text) = &literal.lit {
                        let filled = self.constants.filled(&text.value(), &known[index + 1..]);
                        self.text(&filled, text.span());
                    }
                }
                _ => self.visit_expr(argument),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Code<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        if events::derives(&item.attrs, "DomainEvent") {
            for (kind, ident) in events::of_enum(item) {
                self.declare(kind, ident.span());
            }
        } else {
            self.derived(&item.attrs, &item.ident);
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.derived(&item.attrs, &item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let of = item.trait_.as_ref().and_then(|of| of.0.segments.last());
        let was_former = self.is_former;
        self.is_former |= of.is_some_and(|of| of.ident == "Upcast");
        visit::visit_item_impl(self, item);
        self.is_former = was_former;
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::Path(_) => {}
            of if of.path().is_ident("doc") => {}
            Meta::List(list) => self.tokens(list.tokens.clone()),
            Meta::NameValue(pair) => self.visit_expr(&pair.value),
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.text(&literal.value(), literal.span());
    }

    fn visit_lit_byte_str(&mut self, literal: &'ast LitByteStr) {
        if let Ok(text) = String::from_utf8(literal.value()) {
            self.text(&text, literal.span());
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Some(kind) = events::of_call(call, self.constants) {
            self.declare(kind, call.span());
        }
        self.chain(&[], Some(call));
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let (calls, base) = calls::chain(call);
        let made = if let Expr::Call(made) = base { Some(made) } else { None };
        self.chain(&calls, made);
        for call in &calls {
            call.args.iter().for_each(|argument| self.visit_expr(argument));
        }
        match base {
            // It was looked at with the whole chain.
            Expr::Call(made) => {
                self.visit_expr(&made.func);
                made.args.iter().for_each(|argument| self.visit_expr(argument));
                if let Some(kind) = events::of_call(made, self.constants) {
                    self.declare(kind, made.span());
                }
            }
            base => self.visit_expr(base),
        }
    }

    fn visit_macro(&mut self, of: &'ast Macro) {
        let name = of.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        if let Ok(arguments) = parser.parse2(of.tokens.clone()) {
            self.arguments(&arguments, &name);
        } else if let Ok(statements) = Block::parse_within.parse2(of.tokens.clone()) {
            statements.iter().for_each(|statement| self.visit_stmt(statement));
        } else {
            self.tokens(of.tokens.clone());
        }
    }
}

impl Code<'_> {
    fn chain(&mut self, calls: &[&ExprMethodCall], base: Option<&ExprCall>) {
        let uses = |name: &str| self.member.uses.contains(name);
        let found: Vec<(&'static str, Option<String>, Span)> =
            calls::sdk_calls(calls, base, &uses, self.constants)
                .into_iter()
                .map(|call| (call.name, call.table, call.at.span()))
                .collect();
        for (call, table, span) in found {
            let (by, at) = (self.member.declared.clone(), self.at(span));
            self.facts.calls.push(Called { by, call, table, at });
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(of) => &of.attrs,
        Item::Enum(of) => &of.attrs,
        Item::ExternCrate(of) => &of.attrs,
        Item::Fn(of) => &of.attrs,
        Item::ForeignMod(of) => &of.attrs,
        Item::Impl(of) => &of.attrs,
        Item::Macro(of) => &of.attrs,
        Item::Mod(of) => &of.attrs,
        Item::Static(of) => &of.attrs,
        Item::Struct(of) => &of.attrs,
        Item::Trait(of) => &of.attrs,
        Item::TraitAlias(of) => &of.attrs,
        Item::Type(of) => &of.attrs,
        Item::Union(of) => &of.attrs,
        Item::Use(of) => &of.attrs,
        _ => &[],
    }
}
