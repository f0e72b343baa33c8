use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Error, Fields, Path, Result, Variant};

use crate::attributes::{Naming, Place, refuse_generics, tag_key};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    refuse_generics(&input.generics, "an event")?;
    let shape = match &input.data {
        Data::Enum(data) => of_enum(input, data)?,
        Data::Struct(data) => of_struct(input, &data.fields)?,
        Data::Union(_) => {
            return Err(Error::new_spanned(&input.ident, "an event is an enum or a struct, not a union"));
        }
    };
    let (ident, Shape { kinds, upcasts, kind, tags, encode, decode }) = (&input.ident, shape);
    Ok(quote! {
        #[automatically_derived]
        impl ::nexus_core::DomainEvent for #ident {
            const KINDS: &'static [::nexus_core::EventKind] = &[#(#kinds),*];
            const FORMER: &'static [::nexus_core::FormerKind<Self>] =
                &[#(::nexus_core::FormerKind::of::<#upcasts>()),*];

            fn kind(&self) -> &'static ::nexus_core::EventKind {
                #kind
            }

            fn tags(
                &self,
            ) -> ::core::result::Result<::std::vec::Vec<::nexus_core::Tag>, ::nexus_core::InvalidTag> {
                #tags
            }

            fn encode(
                &self,
            ) -> ::core::result::Result<::nexus_core::Payload, ::nexus_core::__private::JsonError> {
                #encode
            }

            fn decode(
                kind: &'static ::nexus_core::EventKind,
                payload: &::nexus_core::Payload,
            ) -> ::core::result::Result<Self, ::nexus_core::__private::JsonError> {
                #decode
            }
        }

        #[automatically_derived]
        impl ::nexus_core::UpcastTo<#ident> for #ident {
            fn upcast_to(
                self,
                _: &::nexus_core::RecordedEvent,
                events: &mut ::std::vec::Vec<#ident>,
            ) {
                events.push(self);
            }
        }

        #(
            #[automatically_derived]
            impl ::nexus_core::UpcastTo<#ident> for #upcasts {
                fn upcast_to(
                    self,
                    stored: &::nexus_core::RecordedEvent,
                    events: &mut ::std::vec::Vec<#ident>,
                ) {
                    for next in ::nexus_core::Upcast::upcast(self, stored) {
                        ::nexus_core::UpcastTo::<#ident>::upcast_to(next, stored, events);
                    }
                }
            }
        )*

        const _: () = ::nexus_core::__private::refuse_two_readers::<#ident>();
    })
}

struct Shape {
    kinds: Vec<TokenStream>,
    upcasts: Vec<Path>,
    kind: TokenStream,
    tags: TokenStream,
    encode: TokenStream,
    decode: TokenStream,
}

fn of_struct(input: &DeriveInput, fields: &Fields) -> Result<Shape> {
    let naming = Naming::parse(&input.attrs, "event", Place::Struct)?;
    let name = naming.name.unwrap_or_else(|| input.ident.to_string());
    let version = naming.version.unwrap_or(1);
    let (pattern, tags) = tags_of(&quote!(Self), fields)?;
    Ok(Shape {
        kinds: vec![quote!(::nexus_core::EventKind::new(#name, #version))],
        upcasts: naming.upcasts,
        kind: quote!(&Self::KINDS[0]),
        tags: quote! {
            let #pattern = self;
            #tags
        },
        encode: quote!(::nexus_core::Payload::of(self)),
        decode: quote! {
            let _ = kind;
            ::nexus_core::Payload::decode(payload)
        },
    })
}

fn of_enum(input: &DeriveInput, data: &DataEnum) -> Result<Shape> {
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&input.ident, "an enum of events needs at least one variant"));
    }
    refuse_what_loses_events(&input.attrs)?;
    let naming = Naming::parse(&input.attrs, "event", Place::Enum)?;
    let prefix = naming.prefix.unwrap_or_else(|| without_event(&input.ident));

    let mut taken: Vec<(String, u32)> = Vec::new();
    let (mut kinds, mut kind_arms, mut tag_arms) = (Vec::new(), Vec::new(), Vec::new());
    for (index, variant) in data.variants.iter().enumerate() {
        let (name, version) = named(variant, &prefix)?;
        if taken.contains(&(name.clone(), version)) {
            return Err(Error::new_spanned(
                variant,
                format!(
                    "two variants are stored as {name:?} version {version}: give one another name or version"
                ),
            ));
        }
        kinds.push(quote!(::nexus_core::EventKind::new(#name, #version)));
        taken.push((name, version));

        let ident = &variant.ident;
        kind_arms.push(quote!(Self::#ident { .. } => &Self::KINDS[#index]));
        let (pattern, tags) = tags_of(&quote!(Self::#ident), &variant.fields)?;
        tag_arms.push(quote!(#pattern => { #tags }));
    }
    Ok(Shape {
        kinds,
        upcasts: naming.upcasts,
        kind: quote!(match self { #(#kind_arms),* }),
        tags: quote!(match self { #(#tag_arms),* }),
        encode: quote!(::nexus_core::__private::encode_variant(self)),
        decode: quote!(::nexus_core::__private::decode_variant(Self::KINDS, kind, payload)),
    })
}

/// The stored name and version of a variant.
fn named(variant: &Variant, prefix: &str) -> Result<(String, u32)> {
    refuse_what_loses_events(&variant.attrs)?;
    let naming = Naming::parse(&variant.attrs, "event", Place::Variant)?;
    let name = naming.name.unwrap_or_else(|| format!("{prefix}{}", variant.ident.unraw()));
    Ok((name, naming.version.unwrap_or(1)))
}

/// `OrderEvent` and `OrderEvents` become `Order`; `Event` alone says nothing.
fn without_event(ident: &Ident) -> String {
    let name = ident.to_string();
    let short = name.strip_suffix("Events").or_else(|| name.strip_suffix("Event"));
    short.unwrap_or(&name).to_owned()
}

/// serde counts variants without those it skips, and an event that is not written down is none.
fn refuse_what_loses_events(attributes: &[Attribute]) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|setting| {
            let name = setting.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if matches!(name.as_str(), "skip" | "skip_serializing" | "skip_deserializing") {
                return Err(setting.error("an event cannot be skipped: what happened has to be stored"));
            }
            if name == "untagged" {
                return Err(
                    setting.error("an untagged event could be read as another one: remove `untagged`")
                );
            }
            // Other settings are serde's own; whatever they are given is passed over.
            if setting.input.peek(syn::Token![=]) {
                setting.value()?.parse::<syn::Expr>()?;
            } else if setting.input.peek(syn::token::Paren) {
                let inside;
                syn::parenthesized!(inside in setting.input);
                inside.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A pattern that binds the tagged fields of `path`, and the tags made of them.
fn tags_of(path: &TokenStream, fields: &Fields) -> Result<(TokenStream, TokenStream)> {
    let (mut patterns, mut tags) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        let name = field.ident.as_ref().map(|ident| ident.unraw().to_string());
        let Some(key) = tag_key(&field.attrs, name.as_deref())? else {
            continue;
        };
        let value = format_ident!("field_{index}");
        let place = match &field.ident {
            Some(ident) => quote!(#ident),
            None => {
                let index = syn::Index::from(index);
                quote!(#index)
            }
        };
        patterns.push(quote!(#place: #value));
        tags.push(quote!(::nexus_core::Tag::pair(#key, #value)?));
    }
    let pattern = quote!(#path { #(#patterns,)* .. });
    Ok((pattern, quote!(::core::result::Result::Ok(::std::vec![#(#tags),*]))))
}
