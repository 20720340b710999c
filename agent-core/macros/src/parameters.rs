//! The parameters of a tool: the way out, what the model fills in, and what the program lends.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Ident, Pat, PatType, PathArguments, Result,
    Signature, Type, spanned::Spanned as _,
};

/// One parameter after `cx`.
pub(crate) enum Parameter {
    /// The model fills it in.
    Argument(Argument),
    /// `State<T>`: the program gave it to the agent.
    State { name: Ident, ty: Type, inner: Type },
}

/// One argument that the model fills in.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    /// Doc comments, and what serde and schemars are told.
    passed_on: Vec<Attribute>,
    default: Option<Expr>,
}

impl Parameter {
    /// Its name inside the expansion.
    pub(crate) const fn name(&self) -> &Ident {
        match self {
            Self::Argument(Argument { name, .. }) | Self::State { name, .. } => name,
        }
    }

    /// Its type.
    pub(crate) const fn ty(&self) -> &Type {
        match self {
            Self::Argument(Argument { ty, .. }) | Self::State { ty, .. } => ty,
        }
    }

    pub(crate) const fn argument(&self) -> Option<&Argument> {
        match self {
            Self::Argument(argument) => Some(argument),
            Self::State { .. } => None,
        }
    }

    /// The name and the type in the brackets, where this is a state.
    pub(crate) const fn state(&self) -> Option<(&Ident, &Type)> {
        match self {
            Self::State { name, inner, .. } => Some((name, inner)),
            Self::Argument(_) => None,
        }
    }
}

impl Argument {
    /// What stands above the field of the arguments' struct.
    pub(crate) fn attributes(&self) -> TokenStream {
        let passed_on = &self.passed_on;
        let default = self.default.is_some().then(|| {
            let function = self.default_name().to_string();
            quote!(#[serde(default = #function)])
        });
        quote!(#(#passed_on)* #default)
    }

    /// The function that serde asks for an argument that was left out.
    pub(crate) fn default_function(&self) -> Option<TokenStream> {
        let (name, ty, default) = (self.default_name(), &self.ty, self.default.as_ref()?);
        Some(quote! {
            fn #name() -> #ty {
                #default
            }
        })
    }

    fn default_name(&self) -> Ident {
        format_ident!("__default_{}", self.name)
    }
}

/// Takes the parameters after `cx` out of a signature, and from the signature the attributes, which
/// Rust does not allow there.
pub(crate) fn take(signature: &mut Signature) -> Result<Vec<Parameter>> {
    let no_cx = "the first parameter of a tool must be `cx: &Cx`";
    let mut inputs = signature.inputs.iter_mut();
    match inputs.next() {
        Some(FnArg::Typed(PatType { ty, .. })) if is_shared_reference(ty) => {}
        Some(other) => return Err(Error::new(other.span(), no_cx)),
        None => return Err(Error::new(signature.ident.span(), no_cx)),
    }
    let numbered = inputs.enumerate();
    numbered
        .map(|(n, input)| match input {
            FnArg::Typed(parameter) => read(n, parameter),
            FnArg::Receiver(_) => Err(Error::new(input.span(), no_cx)),
        })
        .collect()
}

/// Reads the `n`th parameter after `cx`.
fn read(n: usize, PatType { attrs, pat, ty, .. }: &mut PatType) -> Result<Parameter> {
    if let Some(inner) = in_state(ty) {
        let name = format_ident!("__state_{n}");
        return Ok(Parameter::State { name, ty: (**ty).clone(), inner });
    }
    let Pat::Ident(pattern) = pat.as_ref() else {
        let message = "a tool's argument needs a plain name: the model fills it in by name";
        return Err(Error::new(pat.span(), message));
    };
    match ty.as_ref() {
        Type::Reference(_) => {
            let message = "a tool's argument must be owned: take `String` instead of `&str`";
            return Err(Error::new(ty.span(), message));
        }
        Type::ImplTrait(_) => {
            let message = "a tool's argument needs one schema: name a type instead of `impl`";
            return Err(Error::new(ty.span(), message));
        }
        _ => {}
    }
    let (mut passed_on, mut default) = (Vec::new(), None);
    let mut kept = Vec::new();
    for attribute in attrs.drain(..) {
        let path = attribute.path();
        if path.is_ident("default") {
            let value = attribute.parse_args().map_err(|error| {
                Error::new(error.span(), "a default is a value in brackets: `#[default(10)]`")
            })?;
            if default.replace(value).is_some() {
                return Err(Error::new(attribute.span(), "an argument has one default"));
            }
        } else if ["doc", "serde", "schemars"].iter().any(|known| path.is_ident(known)) {
            passed_on.push(attribute);
        } else if ["allow", "cfg", "cfg_attr", "deny", "expect", "forbid", "warn"]
            .iter()
            .any(|known| path.is_ident(known))
        {
            kept.push(attribute);
        } else {
            let message =
                "an argument takes `///`, `#[default(..)]`, `#[schemars(..)]`, `#[serde(..)]`";
            return Err(Error::new(attribute.span(), message));
        }
    }
    *attrs = kept;
    let argument = Argument { name: pattern.ident.clone(), ty: (**ty).clone(), passed_on, default };
    Ok(Parameter::Argument(argument))
}

/// `T` where this is `State<T>`.
fn in_state(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "State")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner.clone()),
        _ => None,
    }
}

/// Whether this is `&T`.
fn is_shared_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_none())
}
