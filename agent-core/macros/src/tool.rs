//! `#[tool]`: a function becomes a unit struct of the same name that is the tool and dereferences
//! to the function.
//!
//! A call looks through `Deref` at what is called, so `weather(&cx, city)` goes on working while
//! `agent.tool(weather)` passes a value with a name, a description and a schema. The author's body
//! stays a function of its own inside the expansion, untouched.

use crate::options::{Options, first_paragraph};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, Ident, ItemFn, Pat, PatType, Result, ReturnType, Signature, Type,
    spanned::Spanned as _,
};

/// One argument that the model fills in.
struct Argument {
    name: Ident,
    ty: Type,
    docs: Vec<Attribute>,
}

/// Expands the attribute on `item`.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options { krate, description } = Options::parse(options, &["crate", "description"])?;
    let mut function: ItemFn = syn::parse2(item)?;
    let output = check(&function.sig)?;
    let arguments = take_arguments(&mut function.sig)?;
    let description = match description {
        Some(text) => text,
        None => first_paragraph(&function.attrs),
    };
    if description.is_empty() {
        let message = "a tool needs a doc comment: the model chooses tools by it";
        return Err(Error::new(function.sig.ident.span(), message));
    }

    let (docs, attributes): (Vec<_>, Vec<_>) =
        std::mem::take(&mut function.attrs).into_iter().partition(|a| a.path().is_ident("doc"));
    let visibility = std::mem::replace(&mut function.vis, syn::Visibility::Inherited);
    let ident = &function.sig.ident;
    let name = unraw(ident);
    let private = quote!(#krate::__private);
    let serde_path = path_text(&quote!(#krate::__private::serde));
    let schemars_path = path_text(&quote!(#krate::__private::schemars));
    let names: Vec<_> = arguments.iter().map(|argument| &argument.name).collect();
    let types: Vec<_> = arguments.iter().map(|argument| &argument.ty).collect();
    let argument_docs = arguments.iter().map(|argument| &argument.docs);
    // Must not capture a type of the author's that has the same name.
    let args = format_ident!("__{}_Arguments", name, span = Span::mixed_site());

    Ok(quote! {
        #(#docs)*
        #[expect(non_camel_case_types, reason = "it is called like the function that it stands for")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #ident;

        const _: () = {
            #[expect(non_camel_case_types, reason = "named after the function")]
            #[derive(#private::serde::Deserialize, #private::schemars::JsonSchema)]
            #[serde(crate = #serde_path, deny_unknown_fields)]
            #[schemars(crate = #schemars_path)]
            struct #args {
                #(#(#argument_docs)* #names: #types,)*
            }

            #(#attributes)*
            #function

            fn __call<'cx>(
                cx: &'cx #private::Cx,
                #(#names: #types,)*
            ) -> #private::ToolFuture<'cx, #output> {
                ::std::boxed::Box::pin(#ident(cx, #(#names),*))
            }

            impl ::std::ops::Deref for #ident {
                type Target =
                    for<'cx> fn(&'cx #private::Cx, #(#types),*) -> #private::ToolFuture<'cx, #output>;

                fn deref(&self) -> &Self::Target {
                    static CALL: <#ident as ::std::ops::Deref>::Target = __call;
                    &CALL
                }
            }

            #[#private::async_trait]
            impl #private::Tool for #ident {
                fn name(&self) -> &str {
                    #name
                }

                fn description(&self) -> &str {
                    #description
                }

                fn schema(&self) -> #private::Value {
                    #private::schema_of::<#args>()
                }

                async fn call(
                    &self,
                    cx: &#private::Cx,
                    arguments: #private::Value,
                ) -> ::std::result::Result<#private::Value, #private::ToolError> {
                    let #args { #(#names),* } = #private::arguments(arguments)?;
                    #private::outcome(__call(cx, #(#names),*).await)
                }
            }
        };
    })
}

/// Refuses functions that cannot be tools; gives the return type of those that can.
fn check(signature: &Signature) -> Result<Type> {
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span, "a tool must be an `async fn`"));
    }
    if let Some(receiver) = signature.receiver() {
        let message = "a tool is a free function; what it needs comes through `cx: &Cx`";
        return Err(Error::new(receiver.span(), message));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = "a tool cannot be generic: its arguments need one schema";
        return Err(Error::new(signature.generics.params.span(), message));
    }
    match &signature.output {
        ReturnType::Type(_, output) => Ok((**output).clone()),
        ReturnType::Default => {
            let message = "a tool must return a `Result`: it can be refused";
            Err(Error::new(signature.ident.span(), message))
        }
    }
}

/// Takes the arguments after `cx` out of the signature, without their doc comments, which Rust
/// does not allow on parameters.
fn take_arguments(signature: &mut Signature) -> Result<Vec<Argument>> {
    let no_cx = "the first parameter of a tool must be `cx: &Cx`";
    let mut inputs = signature.inputs.iter_mut();
    match inputs.next() {
        Some(FnArg::Typed(PatType { ty, .. })) if is_shared_reference(ty) => {}
        Some(other) => return Err(Error::new(other.span(), no_cx)),
        None => return Err(Error::new(signature.ident.span(), no_cx)),
    }
    inputs
        .map(|input| {
            let FnArg::Typed(PatType { attrs, pat, ty, .. }) = input else {
                return Err(Error::new(input.span(), no_cx));
            };
            let Pat::Ident(pattern) = pat.as_ref() else {
                let message = "a tool's argument needs a plain name: the model fills it in by name";
                return Err(Error::new(pat.span(), message));
            };
            if matches!(ty.as_ref(), Type::Reference(_)) {
                let message = "a tool's argument must be owned: take `String` instead of `&str`";
                return Err(Error::new(ty.span(), message));
            }
            let docs = attrs.iter().filter(|a| a.path().is_ident("doc")).cloned().collect();
            attrs.retain(|attribute| !attribute.path().is_ident("doc"));
            Ok(Argument { name: pattern.ident.clone(), ty: (**ty).clone(), docs })
        })
        .collect()
}

/// Whether this is `&T`.
fn is_shared_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_none())
}

/// The name without `r#`.
fn unraw(ident: &Ident) -> String {
    syn::ext::IdentExt::unraw(ident).to_string()
}

/// A path as the text that serde's and schemars' `crate` attributes want.
fn path_text(path: &TokenStream) -> String {
    path.to_string().replace(' ', "")
}
