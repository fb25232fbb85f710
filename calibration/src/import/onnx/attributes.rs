//! Typed access to the attributes of a node, and its name in messages.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use crate::import::error::{ImportErrorKind, Location};

/// Returns the location of `node`, for messages.
pub(super) fn location(node: &NodeProto) -> Location {
    let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
    Location::Node { name: name.cloned().unwrap_or_default(), op: node.op_type.clone() }
}

/// Typed access to the attributes of one node, all of which must be `known`.
pub(super) struct Attributes<'a>(&'a NodeProto);

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto, known: &[&str]) -> Result<Self, ImportErrorKind> {
        match node.attribute.iter().find(|a| !known.contains(&a.name.as_str())) {
            None => Ok(Self(node)),
            Some(other) => Err(ImportErrorKind::layer(
                location(node),
                format!("it has the attribute `{}`", other.name.escape_debug()),
                format!("expected none but {}", known.join(", ")),
            )),
        }
    }

    fn get(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, ImportErrorKind> {
        let Some(attribute) = self.0.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        // Files that are older than the type field leave it at zero.
        if attribute.r#type == kind as i32 || attribute.r#type == AttributeType::Undefined as i32 {
            return Ok(Some(attribute));
        }
        Err(ImportErrorKind::layer(
            location(self.0),
            format!("its attribute `{name}` has the wrong type"),
            format!("expected {}", kind.as_str_name()),
        ))
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, ImportErrorKind> {
        Ok(self.get(name, AttributeType::Int)?.map_or(default, |a| a.i))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, ImportErrorKind> {
        Ok(self.get(name, AttributeType::Float)?.map_or(default, |a| a.f))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, ImportErrorKind> {
        Ok(self.get(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a [u8]>, ImportErrorKind> {
        Ok(self.get(name, AttributeType::String)?.map(|a| a.s.as_slice()))
    }

    /// Checks that the integer attribute `name` is `expected`, which is also its default.
    pub(super) fn expect_int(&self, name: &str, expected: i64) -> Result<(), ImportErrorKind> {
        match self.int(name, expected)? {
            value if value == expected => Ok(()),
            value => Err(self.wrong(name, value, expected)),
        }
    }

    /// Makes the error for the attribute `name` with the value `found`.
    pub(super) fn wrong(
        &self,
        name: &str,
        found: impl std::fmt::Debug,
        expected: impl std::fmt::Display,
    ) -> ImportErrorKind {
        ImportErrorKind::layer(
            location(self.0),
            format!("its attribute `{name}` is {found:?}"),
            format!("expected {expected}"),
        )
    }
}
