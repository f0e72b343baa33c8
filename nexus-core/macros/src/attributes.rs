use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Generics, LitInt, LitStr, Path, Result, Token};

/// What `#[event(name = "…", version = 2)]` or `#[command(…)]` says of a type or variant.
#[derive(Default)]
pub(crate) struct Naming {
    pub(crate) name: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) version: Option<u32>,
    /// Former shapes.
    pub(crate) upcasts: Vec<Path>,
}

/// Which of the settings may stand where.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// On a command.
    Command,
    /// On a struct that is an event.
    Struct,
    /// On a variant.
    Variant,
    /// On an enum of events.
    Enum,
}

impl Place {
    fn accepted(self) -> &'static str {
        match self {
            Self::Command => "`name = \"…\"` and `version = …`",
            Self::Struct => "`name = \"…\"`, `version = …` and `upcast(…)`",
            Self::Variant => "`name = \"…\"` and `version = …`; `upcast(…)` belongs on the enum",
            Self::Enum => "`prefix = \"…\"` and `upcast(…)`; `name` and `version` belong on its variants",
        }
    }
}

impl Naming {
    pub(crate) fn parse(attributes: &[Attribute], attribute: &str, place: Place) -> Result<Self> {
        let mut naming = Self::default();
        for found in attributes.iter().filter(|found| found.path().is_ident(attribute)) {
            found.parse_nested_meta(|setting| naming.set(&setting, place))?;
        }
        Ok(naming)
    }

    fn set(&mut self, setting: &ParseNestedMeta<'_>, place: Place) -> Result<()> {
        let key = setting.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match (key.as_str(), place) {
            ("prefix", Place::Enum) => once(&mut self.prefix, setting, name(setting)?),
            ("upcast", Place::Enum | Place::Struct) => {
                let listed;
                syn::parenthesized!(listed in setting.input);
                self.upcasts.extend(Punctuated::<Path, Token![,]>::parse_terminated(&listed)?);
                Ok(())
            }
            ("name", place) if !matches!(place, Place::Enum) => once(&mut self.name, setting, name(setting)?),
            ("version", place) if !matches!(place, Place::Enum) => {
                once(&mut self.version, setting, version(setting)?)
            }
            _ => Err(setting.error(format!("unknown setting: expected {}", place.accepted()))),
        }
    }
}

/// What `#[event(tag)]` or `#[event(tag = "key")]` says of a field called `field`: the key.
pub(crate) fn tag_key(attributes: &[Attribute], field: Option<&str>) -> Result<Option<String>> {
    let mut key = None;
    for found in attributes.iter().filter(|found| found.path().is_ident("event")) {
        found.parse_nested_meta(|setting| {
            if !setting.path.is_ident("tag") {
                return Err(setting.error("unknown setting: expected `tag` or `tag = \"key\"` on a field"));
            }
            let value = if setting.input.peek(syn::Token![=]) {
                name(&setting)?
            } else {
                field.map(str::to_owned).ok_or_else(|| {
                    setting.error("a field without a name needs a key for its tag: `tag = \"key\"`")
                })?
            };
            once(&mut key, &setting, value)
        })?;
    }
    Ok(key)
}

/// Stored names stand for one type; a generic type would be many.
pub(crate) fn refuse_generics(generics: &Generics, what: &str) -> Result<()> {
    if generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(
        generics,
        format!("{what} cannot be generic: its name is stored, and has to mean one type"),
    ))
}

fn once<T>(slot: &mut Option<T>, setting: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(setting.error("this setting is given twice"));
    }
    Ok(())
}

fn name(setting: &ParseNestedMeta<'_>) -> Result<String> {
    let literal: LitStr = setting.value()?.parse()?;
    let name = literal.value();
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::new_spanned(literal, "a name takes 1 to 255 bytes without control characters"));
    }
    Ok(name)
}

fn version(setting: &ParseNestedMeta<'_>) -> Result<u32> {
    let literal: LitInt = setting.value()?.parse()?;
    match literal.base10_parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(Error::new_spanned(literal, "a version is a whole number from 1")),
    }
}
