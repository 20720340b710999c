//! What the macros say when they are used wrongly.

#[test]
fn a_misused_macro_says_how_to_mend_it() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
