//! A GBNF grammar as a tree.

use super::characters::Characters;

/// Names a node of a [`Syntax`].
pub(super) type NodeId = usize;

/// A part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// One character of a set.
    Characters(Characters),
    /// One token by id, or any but that.
    Token { id: u32, negated: bool },
    /// A rule, by its place in [`Syntax::rules`].
    Rule(usize),
    /// All of these in order; none of them: the empty text.
    Sequence(Vec<NodeId>),
    /// One of these.
    Choice(Vec<NodeId>),
    /// `min` to `max` times; `None`: without end.
    Repeat { node: NodeId, min: u32, max: Option<u32> },
}

impl Node {
    /// The nodes directly inside.
    pub(super) fn children(&self) -> &[NodeId] {
        match self {
            Node::Characters(_) | Node::Token { .. } | Node::Rule(_) => &[],
            Node::Sequence(nodes) | Node::Choice(nodes) => nodes,
            Node::Repeat { node, .. } => std::slice::from_ref(node),
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) body: NodeId,
}

/// A whole grammar. Nodes come after the nodes inside them, but for rules, which may refer to each other at will.
#[derive(Debug, Clone, Default)]
pub(super) struct Syntax {
    pub(super) nodes: Vec<Node>,
    pub(super) rules: Vec<Rule>,
    /// The place of the rule `root`.
    pub(super) root: usize,
}

impl Syntax {
    pub(super) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The rules that a node refers to, outside of rules. The nesting inside a rule is bounded by the parser.
    pub(super) fn references(&self, node: NodeId, found: &mut Vec<usize>) {
        if let Node::Rule(rule) = &self.nodes[node] {
            found.push(*rule);
        }
        for child in self.nodes[node].children() {
            self.references(*child, found);
        }
    }
}
