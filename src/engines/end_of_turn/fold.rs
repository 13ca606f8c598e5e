//! Turns a quantised graph into a float one: weights are dequantised, and the pairs that quantise activations are dropped.
//!
//! On telephone audio the quantised activations cost more accuracy than the smaller file is worth.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimensionValue;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

const QUANTIZE: &str = "QuantizeLinear";
const DEQUANTIZE: &str = "DequantizeLinear";

/// The operator set that the folded graph is read as.
const OPERATOR_SET: i64 = 18;

/// Folds `model`, and fixes the batch of its inputs and outputs to one.
///
/// # Errors
/// A graph with tensors of another layout than per-tensor or per-axis quantisation of 8 or 32 bits.
pub fn fold(model: &mut ModelProto) -> Result<(), String> {
    let graph = model.graph.as_mut().ok_or("the file has no graph")?;
    let constants: HashMap<String, TensorProto> =
        graph.initializer.drain(..).map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut folded = Folded::default();
    let mut nodes = Vec::new();
    for node in graph.node.drain(..) {
        match node.op_type.as_str() {
            QUANTIZE => folded.alias(&node)?,
            DEQUANTIZE if node.input.first().is_some_and(|input| constants.contains_key(input)) => {
                folded.weights.push(dequantised(&node, &constants)?);
            }
            DEQUANTIZE => folded.alias(&node)?,
            _ => nodes.push(node),
        }
    }
    for name in nodes.iter_mut().flat_map(|node| &mut node.input) {
        *name = folded.source(name).to_owned();
    }
    let used: std::collections::HashSet<&String> = nodes.iter().flat_map(|node| &node.input).collect();
    graph.initializer = constants.into_values().filter(|tensor| used.contains(&tensor.name)).collect();
    graph.initializer.append(&mut folded.weights);
    graph.node = nodes;
    graph.value_info.clear();
    rename_outputs(graph, &folded);
    graph.input.iter_mut().chain(&mut graph.output).for_each(fix_batch);
    model.opset_import.retain(|set| set.domain.is_empty());
    model.opset_import.iter_mut().for_each(|set| set.version = OPERATOR_SET);
    Ok(())
}

fn rename_outputs(graph: &mut GraphProto, folded: &Folded) {
    for output in &mut graph.output {
        output.name = folded.source(&output.name).to_owned();
    }
}

#[derive(Default)]
struct Folded {
    /// The output of a dropped node, and its input.
    aliases: HashMap<String, String>,
    weights: Vec<TensorProto>,
}

impl Folded {
    fn alias(&mut self, node: &NodeProto) -> Result<(), String> {
        let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
            return Err(format!("node {} has no input or no output", node.name));
        };
        self.aliases.insert(output.clone(), input.clone());
        Ok(())
    }

    /// The name that `name` stands for. A cycle, which no valid graph has, ends at any of its names.
    fn source<'a>(&'a self, name: &'a str) -> &'a str {
        let next = |name: &&str| self.aliases.get(*name).map(String::as_str);
        std::iter::successors(Some(name), next).take(self.aliases.len() + 1).last().unwrap_or(name)
    }
}

/// The weights of a node that dequantises a constant, as floats.
fn dequantised(node: &NodeProto, constants: &HashMap<String, TensorProto>) -> Result<TensorProto, String> {
    let constant = |n: usize| {
        let name = node.input.get(n).ok_or_else(|| format!("node {} lacks input {n}", node.name))?;
        constants.get(name).ok_or_else(|| format!("{name} is no constant"))
    };
    let weights = constant(0)?;
    let (scale, zero) = (values(constant(1)?)?, values(constant(2)?)?);
    if scale.is_empty() {
        return Err(format!("{} has no scale", weights.name));
    }
    let axis = node.attribute.iter().find(|attribute| attribute.name == "axis").map_or(1, |axis| axis.i);
    let inner = inner_size(weights, axis)?;
    let channel = |n: usize| if scale.len() == 1 { 0 } else { n / inner % scale.len() };
    let floats = values(weights)?.into_iter().enumerate().map(|(n, weight)| {
        let channel = channel(n);
        let zero = zero.get(channel).copied().unwrap_or(0.0);
        (weight - zero) * scale.get(channel).copied().unwrap_or(1.0)
    });
    Ok(TensorProto {
        name: node.output.first().cloned().unwrap_or_default(),
        dims: weights.dims.clone(),
        data_type: DataType::Float as i32,
        float_data: floats.collect(),
        ..TensorProto::default()
    })
}

/// The number of values per step of `axis`.
fn inner_size(tensor: &TensorProto, axis: i64) -> Result<usize, String> {
    let count = tensor.dims.len();
    let axis = if axis < 0 { axis + count as i64 } else { axis };
    let after = usize::try_from(axis).unwrap_or(count).saturating_add(1).min(count);
    let inner = tensor.dims[after..]
        .iter()
        .try_fold(1_usize, |product, dim| product.checked_mul(usize::try_from(*dim).ok()?));
    inner.filter(|inner| *inner > 0).ok_or_else(|| format!("{} has a wrong shape", tensor.name))
}

/// A tensor's values as floats.
fn values(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    let raw = &tensor.raw_data;
    let is_raw = !raw.is_empty();
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if is_raw => {
            Ok(raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        Ok(DataType::Float) => Ok(tensor.float_data.clone()),
        Ok(DataType::Int8) if is_raw => Ok(raw.iter().map(|byte| f32::from(byte.cast_signed())).collect()),
        Ok(DataType::Uint8) if is_raw => Ok(raw.iter().map(|byte| f32::from(*byte)).collect()),
        Ok(DataType::Int32) if is_raw => {
            Ok(raw.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32).collect())
        }
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Int32) => {
            Ok(tensor.int32_data.iter().map(|value| *value as f32).collect())
        }
        other => Err(format!("{} has values of type {other:?}", tensor.name)),
    }
}

fn fix_batch(value: &mut ValueInfoProto) {
    let Some(TypeValue::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    else {
        return;
    };
    if let Some(batch) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut()) {
        *batch = Dimension { value: Some(DimensionValue::DimValue(1)), ..Dimension::default() };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tract_onnx::pb::AttributeProto;

    use super::*;

    fn tensor(name: &str, dims: &[i64], data_type: DataType, raw: &[u8]) -> TensorProto {
        let (name, raw_data) = (name.to_owned(), raw.to_vec());
        TensorProto {
            name,
            dims: dims.to_vec(),
            data_type: data_type as i32,
            raw_data,
            ..TensorProto::default()
        }
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn node(kind: &str, inputs: &[&str], output: &str) -> NodeProto {
        let input = inputs.iter().map(ToString::to_string).collect();
        NodeProto { op_type: kind.into(), input, output: vec![output.into()], ..NodeProto::default() }
    }

    /// y = dequantise(quantise(x)) · w, with a scale for each row of w.
    fn quantised() -> ModelProto {
        let axis = AttributeProto { name: "axis".into(), i: 0, ..AttributeProto::default() };
        let weights = NodeProto { attribute: vec![axis], ..node(DEQUANTIZE, &["w8", "ws", "wz"], "w") };
        let graph = GraphProto {
            node: vec![
                node(QUANTIZE, &["x", "xs", "xz"], "xq"),
                node(DEQUANTIZE, &["xq", "xs", "xz"], "xd"),
                weights,
                node("MatMul", &["xd", "w"], "y"),
            ],
            initializer: vec![
                tensor("w8", &[2, 2], DataType::Int8, &[1, 2, 255, 4]),
                tensor("ws", &[2], DataType::Float, &floats(&[0.5, 2.0])),
                tensor("wz", &[2], DataType::Int8, &[1, 0]),
                tensor("xs", &[], DataType::Float, &floats(&[0.1])),
                tensor("xz", &[], DataType::Uint8, &[128]),
            ],
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    #[test]
    fn weights_become_floats_and_activations_stay_unquantised() {
        let mut model = quantised();
        fold(&mut model).expect("it is well formed");
        let graph = model.graph.expect("it has a graph");
        assert_eq!(graph.node.len(), 1);
        assert_eq!(graph.node[0].input, ["x", "w"]);
        assert_eq!(graph.initializer.len(), 1);
        assert_eq!(graph.initializer[0].float_data, [0.0, 0.5, -2.0, 8.0]);
    }

    #[test]
    fn weights_without_a_scale_are_refused() {
        let mut model = quantised();
        model.graph.as_mut().expect("it has a graph").initializer[1] =
            tensor("ws", &[0], DataType::Float, &[]);
        assert_eq!(fold(&mut model), Err("w8 has no scale".to_owned()));
    }

    proptest! {
        /// A file that is damaged gives an error, or a graph that is refused later.
        #[test]
        fn damaged_graphs_do_not_panic(dims in prop::collection::vec(-3i64..5, 0..3), axis in -5i64..5, kind in 0i32..12, raw in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut model = quantised();
            let graph = model.graph.as_mut().expect("it has a graph");
            graph.node[2].attribute[0].i = axis;
            graph.initializer[0] = TensorProto { dims, data_type: kind, raw_data: raw, name: "w8".into(), ..TensorProto::default() };
            graph.node.push(node(DEQUANTIZE, &["a"], "b"));
            graph.node.push(node(DEQUANTIZE, &["b"], "a"));
            let _ = fold(&mut model);
        }
    }
}
