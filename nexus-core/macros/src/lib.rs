//! The derive macros of `nexus-core`, which re-exports and documents them.

mod attributes;
mod command;
mod event;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `nexus_core::DomainEvent`; see there.
#[proc_macro_derive(DomainEvent, attributes(event))]
pub fn derive_domain_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Derives `nexus_core::Command`; see there.
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
