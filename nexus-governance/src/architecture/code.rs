use std::collections::BTreeMap;

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, Block, Expr, ExprBlock, ExprCall, ExprMethodCall, ImplItemConst, ImplItemFn, Item,
    ItemEnum, ItemImpl, ItemStruct, Lit, LitByteStr, LitCStr, LitStr, Local, Macro, Meta, Token, TraitItemFn,
    Variant,
};

use super::calls;
use super::events::{self, Kind};
use super::facts::{Called, Changed, Declaration, Facts, Named};
use super::place::{At, Lines};
use super::source::{SourceFile, attributes, is_for_tests};
use super::sql;
use super::texts::Constants;
use super::workspace::Member;
use super::written::Written;

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
    let lines = Lines::of(text);
    for found in sql::statements(text) {
        facts.statements.push(Changed {
            by: member.declared.clone(),
            statement: found.verb,
            table: found.table,
            at: lines.at(name, found.byte),
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

    /// A text of the code, with what is known put in: SQL, or an address.
    fn text(&mut self, text: &str, span: Span) {
        let statements = sql::statements(text);
        if !statements.is_empty() {
            let written = Written::of(span);
            let mut from = 0;
            for found in statements {
                let at = written.verb(found.verb, &mut from).unwrap_or_else(|| self.at(span));
                let (by, at) = (self.member.declared.clone(), At { file: self.file.to_owned(), ..at });
                self.facts.statements.push(Changed { by, statement: found.verb, table: found.table, at });
            }
        }
        for member in self.members {
            // What a crate may be called by it may name.
            let ours = &self.member.declared.addresses;
            let others = member.declared.addresses.iter().filter(|address| !ours.contains(address));
            if let Some(address) = others.into_iter().find(|address| address.is_in(text)) {
                let (by, of) = (self.member.declared.clone(), member.declared.clone());
                let at = self.at(span);
                self.facts.addresses.push(Named { by, address: address.to_string(), of, at });
            }
        }
    }

    /// A text as it is written, with constants put in.
    fn plain(&mut self, text: &str, span: Span) {
        let text = self.constants.filled(text, &[], &BTreeMap::new());
        self.text(&text, span);
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

    /// What tokens hold that mean something to a macro alone: expressions between signs, and texts.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut runs: Vec<Vec<TokenTree>> = vec![Vec::new()];
        let mut is_joined = false;
        for token in tokens {
            let (ends, joins) = match &token {
                TokenTree::Punct(sign) => match sign.as_char() {
                    ',' | ';' | '=' | '>' => (true, false),
                    // A path has two.
                    ':' => (!is_joined && sign.spacing() == Spacing::Alone, sign.spacing() == Spacing::Joint),
                    _ => (false, false),
                },
                _ => (false, false),
            };
            is_joined = joins;
            if ends {
                runs.push(Vec::new());
            } else if let Some(run) = runs.last_mut() {
                run.push(token);
            }
        }
        for run in runs.into_iter().filter(|run| !run.is_empty()) {
            match syn::parse2::<Expr>(run.iter().cloned().collect()) {
                Ok(expression) => self.visit_expr(&expression),
                Err(_) => run.into_iter().for_each(|token| self.token(token)),
            }
        }
    }

    fn token(&mut self, token: TokenTree) {
        match token {
            TokenTree::Group(group) => self.tokens(group.stream()),
            TokenTree::Literal(literal) => self.visit_lit(&Lit::new(literal)),
            _ => {}
        }
    }

    /// What a macro is given, if that reads as expressions.
    fn arguments(&mut self, arguments: &Punctuated<Expr, Token![,]>, name: &str) {
        if name == "concat" {
            let known = arguments.iter().filter_map(|argument| self.constants.text(argument));
            let joined: String = known.collect();
            return self.text(&joined, arguments.span());
        }
        // A format, as the first text nearly always is.
        let is_text =
            |argument: &&Expr| matches!(argument, Expr::Lit(literal) if matches!(literal.lit, Lit::Str(_)));
        let first = arguments.iter().position(|argument| is_text(&argument));
        for (index, argument) in arguments.iter().enumerate() {
            if let (Some(first), Expr::Lit(literal)) = (first, argument)
                && index == first
                && let Lit::Str(text) = &literal.lit
            {
                let (named, plain) = self.constants.arguments(arguments.iter().skip(index + 1));
                let filled = self.constants.filled(&text.value(), &plain, &named);
                self.text(&filled, text.span());
            } else {
                self.visit_expr(argument);
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
        self.plain(&literal.value(), literal.span());
    }

    fn visit_lit_cstr(&mut self, literal: &'ast LitCStr) {
        self.plain(&literal.value().to_string_lossy(), literal.span());
    }

    fn visit_variant(&mut self, variant: &'ast Variant) {
        if !is_for_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_trait_item_fn(self, item);
        }
    }

    fn visit_impl_item_const(&mut self, item: &'ast ImplItemConst) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_const(self, item);
        }
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        if !is_for_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast ExprBlock) {
        if !is_for_tests(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }

    fn visit_lit_byte_str(&mut self, literal: &'ast LitByteStr) {
        if let Ok(text) = String::from_utf8(literal.value()) {
            self.plain(&text, literal.span());
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.chain(&[], Some(call));
        self.called(call);
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
            Expr::Call(made) => self.called(made),
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
    /// Notes what a call names, and goes on into it; chains are looked at by themselves.
    fn called(&mut self, call: &ExprCall) {
        if let Some(kind) = events::of_call(call, self.constants) {
            self.declare(kind, call.span());
        }
        visit::visit_expr_call(self, call);
    }

    fn chain(&mut self, calls: &[&ExprMethodCall], base: Option<&ExprCall>) {
        let member = self.member;
        for call in calls::sdk_calls(calls, base, &member.uses, self.constants) {
            let at = self.at(call.at.span());
            let by = member.declared.clone();
            self.facts.calls.push(Called { by, call: call.name, table: call.table, at });
        }
    }
}
