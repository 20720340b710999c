//! `#[tool]` and `#[marque::main]`: what an agent's author writes above two functions.
//!
//! Both are thin. `#[tool]` turns an async function into a value that is a tool *and* can still be
//! called by its own name; `#[marque::main]` hands the program's start to the runtime, so that the
//! steward is a process of its own before any code of the author runs. Everything they expand to
//! lives under `::marque::__private`, or under the crate that `crate = path` names instead.
//!
//! A mistake is answered at the word that is wrong, in one line that says how to mend it
//! (pinned by `tests/messages.rs`).

mod main_fn;
mod options;
mod parameters;
mod tool;

use proc_macro::TokenStream;

/// Makes a tool of an `async fn(cx: &Cx, args...) -> Result<T, E>`.
///
/// The doc comment becomes the description that the model reads, each parameter after `cx` becomes
/// an argument with a JSON schema (its type must be owned and implement `Deserialize` and
/// `JsonSchema`), and the result may be anything serialisable. Any error type does that converts
/// into `Box<dyn Error + Send + Sync>`.
///
/// A parameter may carry a doc comment, which describes it, `#[default(10)]`, which lets the model
/// leave it out, and whatever serde and schemars understand above a field:
/// `#[schemars(range(min = 1, max = 100))]` binds what the model can write.
///
/// `State(db): State<Db>` is no argument: it is what the program gave with `agent.state(db)`. A run
/// does not begin without it.
///
/// The name stays callable, `weather(&cx, city).await`, and is passed on as it is:
/// `agent.tool(weather)`.
///
/// Options: `crate = path` (whose `__private` is used), `description = "..."` (instead of the doc
/// comment), `independent` (calls of it may be made at the same time as others: none changes what
/// another brings).
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    tool::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a program of an `async fn main() -> Result<(), E>`.
///
/// The first process becomes the steward before any of the function's code runs, and starts the
/// program again as the fenced mind, in which the function then runs. `E` is anything that can be
/// displayed; an error ends the program with one line and an exit code.
///
/// Option: `crate = path` (whose `__private` is used).
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    let mistake = |error: syn::Error| {
        let message = error.into_compile_error();
        // Some `main` has to be there, or the compiler complains of that as well.
        quote::quote!(#message fn main() {})
    };
    main_fn::expand(options.into(), item.into()).unwrap_or_else(mistake).into()
}
