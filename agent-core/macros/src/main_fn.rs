//! `#[marque::main]`: a synchronous `main` around the author's asynchronous one.

use crate::options::Options;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result, ReturnType, spanned::Spanned as _};

/// Expands the attribute on `item`.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options { krate, .. } = Options::parse(options, &["crate"])?;
    let ItemFn { attrs, sig, block, .. } = syn::parse2(item)?;
    if sig.asyncness.is_none() {
        return Err(Error::new(sig.fn_token.span, "`main` must be `async`"));
    }
    if sig.ident != "main" {
        return Err(Error::new(sig.ident.span(), "this attribute belongs above `async fn main()`"));
    }
    if !sig.inputs.is_empty() {
        return Err(Error::new(
            sig.inputs.span(),
            "`main` takes no parameters: read `std::env::args()`",
        ));
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new(
            sig.generics.span(),
            "`main` cannot be generic: nobody names its types",
        ));
    }
    let ReturnType::Type(_, output) = &sig.output else {
        let message = "`main` must return a `Result`, such as `-> marque::Result`";
        return Err(Error::new(sig.ident.span(), message));
    };
    Ok(quote! {
        #(#attrs)*
        fn main() -> ::std::process::ExitCode {
            async fn main() -> #output #block
            #krate::__private::main(main)
        }
    })
}
