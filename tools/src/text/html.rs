//! HTML as text.
//!
//! A page is parsed first, a piece at a time, into a tree that is measured as it grows; only one within
//! bounds is rendered, which takes time and stack with each level of it. Nothing can be told from the
//! tags of a text: a comment and an attribute may hold some, and what a stray `</x>` closes only a
//! parser knows. A parser may also make many elements of few tags, so their number is bounded as well.

use super::{LONGEST, failed};
use html2text::{Element, Handle, RcDom};
use html5ever::{
    Attribute, ExpandedName, ParseOpts, QualName,
    interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink},
    parse_document,
    tendril::{StrTendril, TendrilSink as _},
    tree_builder::TreeBuilderOpts,
};
use marque_agent_core::ToolError;
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// Columns at which rendered HTML is wrapped.
const WIDTH: usize = 200;
/// HTML in which more elements stand in one another than this is refused.
const DEPTH: usize = 256;
/// HTML in which more of those stand in one another that put something before each of their lines.
const INDENTED: usize = 16;
/// HTML of more elements and texts is refused.
const NODES: usize = 50_000;
/// HTML in whose tables more stands that belongs elsewhere is refused: each looks for its place.
const PASSED: usize = 5_000_000;
/// So many bytes are parsed before the nodes are counted.
const PIECE: usize = 1024;
/// So many pieces are parsed before the depth is looked at, which takes a walk.
const PIECES: usize = 16;
/// What no bound foresees is given up after so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A page as a person sees it, without its marks.
pub(super) fn of_html(text: &str) -> Result<String, ToolError> {
    let dom = parsed(text)?;
    let config = html2text::config::plain_no_decorate().raw_mode(true).allow_width_overflow();
    let rendered = config
        .dom_to_render_tree(&dom)
        .and_then(|tree| config.render_to_string(tree, WIDTH))
        .map_err(|error| failed(format!("it cannot be rendered: {error}")))?;
    if rendered.len() > LONGEST {
        return Err(failed(format!(
            "it makes {} bytes of text; at most {LONGEST}",
            rendered.len()
        )));
    }
    let mut whole = String::with_capacity(rendered.len());
    let mut empty = true;
    for line in rendered.lines().map(str::trim_end) {
        // One empty line parts as well as ten do.
        if line.is_empty() && empty {
            continue;
        }
        empty = line.is_empty();
        whole.extend(line.chars().filter(|c| super::fits(*c)));
        whole.push('\n');
    }
    whole.truncate(whole.trim_end().len());
    Ok(whole)
}

/// The tree of a page, unless it is too deep or too large.
fn parsed(mut text: &str) -> Result<RcDom, ToolError> {
    let begun = Instant::now();
    let tree_builder = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    let options = ParseOpts { tree_builder, ..ParseOpts::default() };
    let mut parser = parse_document(Growing::default(), options);
    let mut pieces = 0_usize;
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        parser.process(StrTendril::from_slice(piece));
        text = rest;
        pieces = pieces.saturating_add(1);
        let growing = &parser.tokenizer.sink.sink;
        if growing.nodes.get() > NODES {
            return Err(failed(format!("it has more than {NODES} elements")));
        }
        if growing.passed.get() > PASSED {
            return Err(failed("its tables are broken".to_owned()));
        }
        // What was made last stands deep where most do; where it does not, the walk finds out.
        let last = growing.last.borrow().clone();
        if last.is_some_and(|last| ancestors(last) > DEPTH) || pieces.is_multiple_of(PIECES) {
            shallow(&growing.dom)?;
        }
        if begun.elapsed() > PATIENCE {
            return Err(failed("it takes too long to read".to_owned()));
        }
    }
    let dom = parser.finish();
    shallow(&dom)?;
    Ok(dom)
}

/// In how many others a node stands, as far as it matters.
fn ancestors(node: Handle) -> usize {
    std::iter::successors(Some(node), |node| node.get_parent())
        .take(DEPTH.saturating_add(2))
        .count()
}

/// Refuses a tree that is too deep.
fn shallow(dom: &RcDom) -> Result<(), ToolError> {
    let mut left = vec![(Handle::clone(&dom.document), 0_usize, 0_usize)];
    while let Some((node, depth, indented)) = left.pop() {
        let indents = match &node.data {
            Element { name, .. } => {
                matches!(&*name.local, "blockquote" | "ul" | "ol" | "dl" | "dd")
            }
            _ => false,
        };
        let indented = indented.saturating_add(usize::from(indents));
        if depth > DEPTH || indented > INDENTED {
            let (what, most) = match depth > DEPTH {
                true => ("elements", DEPTH),
                false => ("lists and quotations", INDENTED),
            };
            return Err(failed(format!("its {what} stand more than {most} deep in one another")));
        }
        let below = depth.saturating_add(1);
        let children = node.children.borrow();
        left.extend(children.iter().map(|child| (Handle::clone(child), below, indented)));
    }
    Ok(())
}

/// A tree that is being made, and what it has cost.
#[derive(Default)]
struct Growing {
    dom: RcDom,
    nodes: Cell<usize>,
    /// The element that was made last.
    last: RefCell<Option<Handle>>,
    /// Nodes that were passed by to find the place of one that stands in a table and belongs before it.
    passed: Cell<usize>,
}

impl Growing {
    fn one_more(&self) {
        self.nodes.set(self.nodes.get().saturating_add(1));
    }
}

impl TreeSink for Growing {
    type Handle = Handle;
    type Output = RcDom;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> RcDom {
        self.dom
    }

    // There may be many, and nobody reads them.
    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        self.dom.get_document()
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> ExpandedName<'a> {
        self.dom.elem_name(target)
    }

    fn create_element(
        &self,
        name: QualName,
        mut attrs: Vec<Attribute>,
        flags: ElementFlags,
    ) -> Handle {
        self.one_more();
        // A line of text has no use for them, and the renderer panics at some.
        attrs.retain(|attr| !matches!(&*attr.name.local, "colspan" | "rowspan" | "start"));
        let element = self.dom.create_element(name, attrs, flags);
        self.last.replace(Some(Handle::clone(&element)));
        element
    }

    fn create_comment(&self, text: StrTendril) -> Handle {
        self.one_more();
        self.dom.create_comment(text)
    }

    fn create_pi(&self, target: StrTendril, data: StrTendril) -> Handle {
        self.one_more();
        self.dom.create_pi(target, data)
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.dom.append(parent, child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &Handle,
        prev_element: &Handle,
        child: NodeOrText<Handle>,
    ) {
        match element.get_parent() {
            Some(_) => self.append_before_sibling(element, child),
            None => self.append(prev_element, child),
        }
    }

    fn append_doctype_to_document(
        &self,
        name: StrTendril,
        public_id: StrTendril,
        system_id: StrTendril,
    ) {
        self.dom.append_doctype_to_document(name, public_id, system_id);
    }

    fn get_template_contents(&self, target: &Handle) -> Handle {
        self.dom.get_template_contents(target)
    }

    fn same_node(&self, x: &Handle, y: &Handle) -> bool {
        self.dom.same_node(x, y)
    }

    fn set_quirks_mode(&self, mode: QuirksMode) {
        self.dom.set_quirks_mode(mode);
    }

    fn append_before_sibling(&self, sibling: &Handle, new_node: NodeOrText<Handle>) {
        if let Some(parent) = sibling.get_parent() {
            let passed = self.passed.get().saturating_add(parent.children.borrow().len());
            self.passed.set(passed);
        }
        self.dom.append_before_sibling(sibling, new_node);
    }

    fn add_attrs_if_missing(&self, target: &Handle, attrs: Vec<Attribute>) {
        self.dom.add_attrs_if_missing(target, attrs);
    }

    fn remove_from_parent(&self, target: &Handle) {
        self.dom.remove_from_parent(target);
    }

    fn reparent_children(&self, node: &Handle, new_parent: &Handle) {
        self.dom.reparent_children(node, new_parent);
    }

    fn is_mathml_annotation_xml_integration_point(&self, target: &Handle) -> bool {
        self.dom.is_mathml_annotation_xml_integration_point(target)
    }
}
