use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta, Token};

use super::place::{At, Fault, shown};

/// A file of Rust.
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) read: syn::File,
}

/// The files of a crate, read one by one as its modules lead to them.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) files: Vec<SourceFile>,
    pub(super) faults: Vec<Fault>,
    seen: BTreeSet<PathBuf>,
}

/// More brackets than these open at once, or more signs in a row, are more than the parser's stack is good for.
const DEEPEST: usize = 1_000;

impl Sources {
    /// Reads the first file of a library or program, and all its modules.
    pub(super) fn read(&mut self, root: &Path) {
        let folder = root.parent().unwrap_or(Path::new(".")).to_owned();
        self.file(root, &folder, None);
    }

    /// Reads a file whose modules are in that folder.
    fn file(&mut self, path: &Path, folder: &Path, declared: Option<At>) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let name = shown(path);
        let mut fault = |at, message| {
            self.faults.push(Fault::new(at, "unreadable-source", message, "mend the file"));
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return fault(
                    declared.unwrap_or_else(|| At::start(&name)),
                    format!("{name} cannot be read: {error}"),
                );
            }
        };
        if text.is_empty() {
            // The parser's map of places has none for it.
            return;
        }
        if let Some(deep) = too_deep(&text) {
            return fault(At::of_byte(&name, &text, deep), "it is nested too deep to be read".to_owned());
        }
        let read = match syn::parse_file(&text) {
            Ok(read) => read,
            Err(error) => {
                return fault(At::of_span(&name, error.span()), format!("this is no Rust: {error}"));
            }
        };
        if is_for_tests(&read.attrs) {
            return;
        }
        self.modules(&read.items, &name, path.parent().unwrap_or(Path::new(".")), folder);
        self.files.push(SourceFile { name, read });
    }

    /// Reads the modules that these items lead to.
    fn modules(&mut self, items: &[Item], file: &str, beside: &Path, folder: &Path) {
        for item in items {
            let Item::Mod(module) = item else { continue };
            if is_for_tests(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let name = name.trim_start_matches("r#");
            match &module.content {
                Some((_, items)) => {
                    let within =
                        path_of(&module.attrs).map_or_else(|| folder.join(name), |path| beside.join(path));
                    self.modules(items, file, &within, &within);
                }
                None => self.module(module, name, file, beside, folder),
            }
        }
    }

    fn module(&mut self, module: &ItemMod, name: &str, file: &str, beside: &Path, folder: &Path) {
        let (path, within) = match path_of(&module.attrs) {
            // Its own modules are beside it.
            Some(path) => {
                let path = beside.join(path);
                let within = path.parent().unwrap_or(beside).to_owned();
                (path, within)
            }
            None => {
                let (plain, nested) = (folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs"));
                let path = if plain.is_file() || !nested.is_file() { plain } else { nested };
                (path, folder.join(name))
            }
        };
        // One that is there on some systems only, or elsewhere there, may be missing here.
        let conditions = ["cfg", "cfg_attr"];
        let is_conditional =
            module.attrs.iter().any(|of| conditions.iter().any(|name| of.path().is_ident(name)));
        if path.is_file() || !is_conditional {
            self.file(&path, &within, Some(At::of_span(file, module.ident.span())));
        }
    }
}

/// The path of `#[path = "…"]`.
fn path_of(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// Whether something is there for tests alone: `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]`, `#[tokio::test]`.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    fn needs_test(condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .is_ok_and(|all| all.iter().any(needs_test)),
            _ => false,
        }
    }
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.segments.last().is_some_and(|last| last.ident == "test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|of| needs_test(&of))
        }
        Meta::List(list) => {
            list.path.segments.len() > 1 && list.path.segments.last().is_some_and(|last| last.ident == "test")
        }
        Meta::NameValue(_) => false,
    })
}

/// Where brackets are open that are too many, or signs follow each other. Texts in quotes do not count; where one is misread the count
/// may be too low, never for long.
fn too_deep(text: &str) -> Option<usize> {
    let (mut open, mut signs) = (0_usize, 0_usize);
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, byte)) = bytes.next_if(|(_, byte)| *byte != b'"') {
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
                bytes.next();
            }
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if matches!(byte, b'!' | b'-' | b'*' | b'&') {
            signs += 1;
        } else if !byte.is_ascii_whitespace() {
            signs = 0;
        }
        if open > DEEPEST || signs > DEEPEST {
            return Some(at);
        }
    }
    None
}

/// The files of a crate that end in `.sql`, with those of crates within it left out.
pub(super) fn sql_files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(there) = left.pop() {
        for entry in fs::read_dir(&there).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                let is_apart =
                    there == folder && matches!(name.as_ref(), "target" | "tests" | "benches" | "examples");
                if !name.starts_with('.') && !is_apart && !path.join("Cargo.toml").is_file() {
                    left.push(path);
                }
            } else if name.ends_with(".sql") && path.metadata().is_ok_and(|of| of.is_file()) {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

/// What is written before an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
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
