use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Result};

use crate::attributes::{Naming, Place, refuse_generics};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    refuse_generics(&input.generics, "a command")?;
    let naming = Naming::parse(&input.attrs, "command", Place::Command)?;
    let ident = &input.ident;
    let name = naming.name.unwrap_or_else(|| ident.to_string());
    let version = naming.version.unwrap_or(1);
    Ok(quote! {
        #[automatically_derived]
        impl ::nexus_core::Command for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
        }
    })
}
