//! The image that a graph reads, as it declares it.

use tract_onnx::pb::ValueInfoProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Type;

use crate::import::error::{ImportErrorKind, Location};

/// The image as a graph declares it; `None` where a size is left open.
pub(super) struct Image<'a> {
    pub(super) name: &'a str,
    pub(super) batch: Option<usize>,
    pub(super) height: Option<usize>,
    pub(super) width: Option<usize>,
    /// Whether it is N×H×W×3.
    pub(super) channels_last: bool,
    /// Whether it consists of bytes, which can only be pixels from 0 to 255.
    pub(super) is_bytes: bool,
}

impl<'a> Image<'a> {
    /// Reads the declaration of a graph's input.
    pub(super) fn read(info: &'a ValueInfoProto) -> Result<Self, ImportErrorKind> {
        let wrong = |problem: String| {
            Err(ImportErrorKind::layer(
                Location::Graph,
                problem,
                "expected a floating-point image of N×3×H×W",
            ))
        };
        let Some(Type::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            return wrong("its input is not a tensor".into());
        };
        let is_bytes = tensor.elem_type == DataType::Uint8 as i32;
        let floats = [DataType::Float, DataType::Float16, DataType::Bfloat16, DataType::Double];
        if !is_bytes && !floats.iter().any(|&float| tensor.elem_type == float as i32) {
            let name = DataType::try_from(tensor.elem_type).map_or("unknown", |t| t.as_str_name());
            return wrong(format!("the element type of its input is {name}"));
        }
        let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
        // Exporters write an open size as a name, as nothing, or as a number that is not positive.
        let sizes: Vec<Option<usize>> = dims
            .map(|dim| match dim.value {
                Some(Dim::DimValue(size)) if size > 0 => usize::try_from(size).ok(),
                _ => None,
            })
            .collect();
        let name = &info.name;
        match sizes[..] {
            // An open number of channels may be that of either order; the first is the usual one.
            [batch, channels @ (None | Some(3)), height, width] if channels.is_some() || width != Some(3) => {
                Ok(Image { name, batch, height, width, channels_last: false, is_bytes })
            }
            [batch, height, width, Some(3)] => {
                Ok(Image { name, batch, height, width, channels_last: true, is_bytes })
            }
            _ => {
                let sizes: Vec<String> =
                    sizes.iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string())).collect();
                wrong(format!("the shape of its input is {}", sizes.join("×")))
            }
        }
    }
}
