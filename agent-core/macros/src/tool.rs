//! `#[tool]`: a function becomes a unit struct of the same name that is the tool and dereferences
//! to the function.
//!
//! A call looks through `Deref` at what is called, so `weather(&cx, city)` goes on working while
//! `agent.tool(weather)` passes a value with a name, a description and a schema. The author's body
//! stays a function of its own inside the expansion, untouched.

use crate::{
    options::{Options, first_paragraph},
    parameters::{self, Parameter},
};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, Ident, ItemFn, Result, ReturnType, Signature, Type, spanned::Spanned as _};

/// The name of the answer, which is no tool.
const FINISH: &str = "finish";

/// Expands the attribute on `item`.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options { krate, description, independent } =
        Options::parse(options, &["crate", "description", "independent"])?;
    let mut function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            "`#[tool]` belongs above an `async fn(cx: &Cx, ..) -> Result<T, E>`",
        )
    })?;
    let output = check(&function.sig)?;
    let parameters = parameters::take(&mut function.sig)?;
    let description = match description {
        Some(text) => text,
        None => first_paragraph(&function.attrs),
    };
    if description.is_empty() {
        let message = "a tool needs a doc comment: the model chooses tools by it";
        return Err(Error::new(function.sig.ident.span(), message));
    }
    if description.contains('\n') {
        let message = "the description is one line of the prompt: leave the line break out";
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
    let names: Vec<_> = parameters.iter().map(Parameter::name).collect();
    let types: Vec<_> = parameters.iter().map(Parameter::ty).collect();
    let arguments: Vec<_> = parameters.iter().filter_map(Parameter::argument).collect();
    let argument_names: Vec<_> = arguments.iter().map(|argument| &argument.name).collect();
    let argument_types: Vec<_> = arguments.iter().map(|argument| &argument.ty).collect();
    let argument_attributes = arguments.iter().map(|argument| argument.attributes());
    let defaults = arguments.iter().filter_map(|argument| argument.default_function());
    let states: Vec<_> = parameters.iter().filter_map(Parameter::state).collect();
    let (state_names, state_types): (Vec<_>, Vec<_>) = states.into_iter().unzip();
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
                #(#argument_attributes #argument_names: #argument_types,)*
            }

            #(#defaults)*

            #(const _: fn() = #private::is_argument::<#argument_types>;)*

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

                fn independent(&self) -> bool {
                    #independent
                }

                async fn call(
                    &self,
                    cx: &#private::Cx,
                    arguments: #private::Value,
                ) -> ::std::result::Result<#private::Value, #private::ToolError> {
                    let #args { #(#argument_names),* } = #private::arguments(arguments)?;
                    #(let #state_names = #private::state::<#state_types>(cx)?;)*
                    #private::outcome(__call(cx, #(#names),*).await)
                }

                fn lacks(&self, states: &#private::States) -> ::std::option::Option<&'static str> {
                    #(if !states.has::<#state_types>() {
                        return ::std::option::Option::Some(::std::any::type_name::<#state_types>());
                    })*
                    ::std::option::Option::None
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
    if let Some(unsafety) = signature.unsafety {
        let message = "a tool cannot be `unsafe`: a model calls it with any arguments";
        return Err(Error::new(unsafety.span, message));
    }
    if unraw(&signature.ident) == FINISH {
        let message = "`finish` is how a model gives its answer: choose another name";
        return Err(Error::new(signature.ident.span(), message));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message =
            "a tool cannot be generic: its arguments need one schema, so name their types";
        return Err(Error::new(signature.generics.params.span(), message));
    }
    match &signature.output {
        ReturnType::Type(_, output) => Ok((**output).clone()),
        ReturnType::Default => {
            let message = "a tool must return a `Result<T, E>`: it can be refused";
            Err(Error::new(signature.ident.span(), message))
        }
    }
}

/// The name without `r#`.
fn unraw(ident: &Ident) -> String {
    syn::ext::IdentExt::unraw(ident).to_string()
}

/// A path as the text that serde's and schemars' `crate` attributes want.
fn path_text(path: &TokenStream) -> String {
    path.to_string().replace(' ', "")
}
