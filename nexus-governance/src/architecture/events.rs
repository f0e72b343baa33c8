use syn::ext::IdentExt;
use syn::{Attribute, Expr, ExprCall, ExprLit, Ident, ItemEnum, Lit, Meta};

use super::source::is_for_tests;
use super::texts::Constants;

/// A kind of event or command, as the derive macros of `nexus-core` name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: String,
    /// None where only the name is written.
    pub(super) version: Option<u32>,
}

/// Whether a macro of that name is derived.
pub(super) fn derives(attributes: &[Attribute], derived: &str) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let mut is_derived = false;
        // What is no list of paths is for the compiler to tell.
        let _ = attribute.parse_nested_meta(|path| {
            is_derived |= path.path.segments.last().is_some_and(|last| last.ident == derived);
            Ok(())
        });
        is_derived
    })
}

/// What `#[event(…)]` or `#[command(…)]` says.
#[derive(Default)]
struct Naming {
    name: Option<String>,
    prefix: Option<String>,
    version: Option<u32>,
}

impl Naming {
    fn of(attributes: &[Attribute], named: &str) -> Self {
        let mut naming = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(named)) {
            let Meta::List(list) = &attribute.meta else { continue };
            let _ = list.parse_nested_meta(|setting| {
                if setting.input.peek(syn::token::Paren) {
                    let inside;
                    syn::parenthesized!(inside in setting.input);
                    inside.parse::<proc_macro2::TokenStream>()?;
                } else if setting.input.peek(syn::Token![=]) {
                    let value: Lit = setting.value()?.parse()?;
                    match (setting.path.get_ident().map(Ident::to_string).as_deref(), value) {
                        (Some("name"), Lit::Str(text)) => naming.name = Some(text.value()),
                        (Some("prefix"), Lit::Str(text)) => naming.prefix = Some(text.value()),
                        (Some("version"), Lit::Int(number)) => naming.version = number.base10_parse().ok(),
                        _ => {}
                    }
                }
                Ok(())
            });
        }
        naming
    }
}

/// The kinds of an enum of events, each with where it is named.
pub(super) fn of_enum(item: &ItemEnum) -> Vec<(Kind, &Ident)> {
    let prefix = Naming::of(&item.attrs, "event").prefix.unwrap_or_else(|| {
        let name = item.ident.unraw().to_string();
        let short = name.strip_suffix("Events").or_else(|| name.strip_suffix("Event"));
        short.unwrap_or(&name).to_owned()
    });
    let variants = item.variants.iter().filter(|variant| !is_for_tests(&variant.attrs));
    let named = variants.map(|variant| {
        let naming = Naming::of(&variant.attrs, "event");
        let name = naming.name.unwrap_or_else(|| format!("{prefix}{}", variant.ident.unraw()));
        (Kind { name, version: Some(naming.version.unwrap_or(1)) }, &variant.ident)
    });
    named.collect()
}

/// The kind of an event that is a struct, or of a command.
pub(super) fn of_type(attributes: &[Attribute], ident: &Ident, attribute: &str) -> Kind {
    let naming = Naming::of(attributes, attribute);
    Kind {
        name: naming.name.unwrap_or_else(|| ident.unraw().to_string()),
        version: Some(naming.version.unwrap_or(1)),
    }
}

/// What `EventKind::new("…", 1)` or `EventType::new("…")` names.
pub(super) fn of_call(call: &ExprCall, constants: &Constants) -> Option<Kind> {
    let Expr::Path(path) = &*call.func else { return None };
    let mut names = path.path.segments.iter().rev().map(|segment| segment.ident.to_string());
    let (new, of) = (names.next()?, names.next()?);
    let name = constants.text(call.args.first()?)?;
    match (of.as_str(), new.as_str()) {
        ("EventType", "new") => Some(Kind { name, version: None }),
        ("EventKind", "new") => {
            let version = match call.args.iter().nth(1)? {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
                _ => None,
            };
            Some(Kind { name, version })
        }
        _ => None,
    }
}
