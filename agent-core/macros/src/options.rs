//! What stands in the parentheses of an attribute: `crate = path`, `description = "..."`.

use proc_macro2::TokenStream;
use syn::{
    Error, Expr, ExprLit, Lit, MetaNameValue, Path, Result, Token,
    ext::IdentExt as _,
    parse::{Parse, ParseStream, Parser as _},
    punctuated::Punctuated,
};

/// The options of one attribute, each at most once.
pub(crate) struct Options {
    /// The crate whose `__private` module the expansion uses.
    pub(crate) krate: Path,
    /// A description that replaces the doc comment.
    pub(crate) description: Option<String>,
    /// Whether calls may be made at the same time as others.
    pub(crate) independent: bool,
}

/// `name = value`, or a name alone, where the name may be the keyword `crate`.
struct Pair {
    name: syn::Ident,
    value: Value,
}

/// A path, a text, or nothing.
enum Value {
    Nothing,
    Path(Path),
    Text(String),
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = syn::Ident::parse_any(input)?;
        if !input.peek(Token![=]) {
            return Ok(Self { name, value: Value::Nothing });
        }
        input.parse::<Token![=]>()?;
        let value = if input.peek(syn::LitStr) {
            Value::Text(input.parse::<syn::LitStr>()?.value())
        } else {
            Value::Path(input.parse()?)
        };
        Ok(Self { name, value })
    }
}

impl Options {
    /// Reads the options that `allowed` names.
    pub(crate) fn parse(tokens: TokenStream, allowed: &[&str]) -> Result<Self> {
        let pairs = Punctuated::<Pair, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut krate = None;
        let mut description = None;
        let mut independent = false;
        for Pair { name, value } in pairs {
            let known = allowed.iter().any(|allowed| name == allowed);
            match (name.to_string().as_str(), value) {
                ("crate", Value::Path(path)) if known && krate.is_none() => krate = Some(path),
                ("description", Value::Text(text)) if known && description.is_none() => {
                    description = Some(text);
                }
                ("independent", Value::Nothing) if known && !independent => independent = true,
                _ => {
                    let known = allowed.join(", ");
                    let message = format!("unknown, repeated or misspelt option; known: {known}");
                    return Err(Error::new(name.span(), message));
                }
            }
        }
        let krate = match krate {
            Some(path) => path,
            None => syn::parse_quote!(::marque),
        };
        Ok(Self { krate, description, independent })
    }
}

/// The text of the doc comments among `attributes`, first paragraph only, on one line.
pub(crate) fn first_paragraph(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(MetaNameValue {
            path,
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }),
            ..
        }) if path.is_ident("doc") => Some(text.value().trim().to_owned()),
        _ => None,
    });
    lines
        .skip_while(String::is_empty)
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
