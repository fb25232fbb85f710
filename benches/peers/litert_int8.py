"""Writes a network as LiteRT reads it, and quantizes it with LiteRT's own quantizer.

The fp32 file is the ONNX network node by node, as converters write it: channels last, each Relu fused into what it
follows, and explicit padding where LiteRT's SAME is not symmetrical (strides). ai-edge-quantizer then makes it int8 by
its recipe `static_wi8_ai8`: weights with a scale per channel, activations with a scale and zero point per tensor.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import quantizer, recipe
from onnx import helper, numpy_helper

OP, ACTIVATION, TYPE = schema.BuiltinOperator, schema.ActivationFunctionType, schema.TensorType
TYPES = {np.dtype(np.float32): TYPE.FLOAT32, np.dtype(np.int32): TYPE.INT32}
SIGNATURE = "serving_default"
# The version of CONV_2D that has groups. Everything else here is version 1.
VERSIONS = {OP.CONV_2D: 6}


class Writer:
    """A LiteRT network under construction."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.reads = Counter(name for node in graph.node for name in node.input)
        self.codes: list[int] = []
        self.part = schema.SubGraphT()
        self.part.name = b"main"
        self.part.tensors, self.part.operators = [], []
        self.model = schema.ModelT()
        self.model.version, self.model.subgraphs = 3, [self.part]
        self.model.buffers = [schema.BufferT()]  # Buffer 0 means that a tensor is no constant.
        # The tensor of each ONNX value.
        self.tensors: dict[str, int] = {}

    def tensor(self, name: str, shape: tuple[int, ...], constant: np.ndarray | None = None) -> int:
        """Adds a tensor and returns its index."""
        made = schema.TensorT()
        made.name, made.shape, made.type = name.encode(), list(shape), TYPE.FLOAT32
        if constant is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(constant).tobytes(), np.uint8)
            made.type, made.buffer = TYPES[constant.dtype], len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.part.tensors.append(made)
        return len(self.part.tensors) - 1

    def constant(self, name: str, value: np.ndarray) -> int:
        """Adds a constant and returns its index."""
        return self.tensor(name, value.shape, value)

    def shape(self, tensor: int) -> list[int]:
        """Returns a tensor's shape."""
        return self.part.tensors[tensor].shape

    def operator(self, code: int, inputs: list[int], output: int, options: object | None = None) -> None:
        """Adds an operator. `options` is an object of the schema, whose class tells their kind."""
        if code not in self.codes:
            self.codes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self.codes.index(code), inputs, [output]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        self.part.operators.append(made)

    def padded(self, x: int, node: onnx.NodeProto, size: int, stride: int, pad: int) -> tuple[int, int]:
        """Returns `x` padded by an operator of its own if need be, and the kind of padding that is left."""
        if pad == 0:
            return x, schema.Padding.VALID
        if stride == 1 and pad == size // 2:
            return x, schema.Padding.SAME
        batch, height, width, channels = self.shape(x)
        edges = np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32)
        padded = self.tensor(f"{node.name}.pad", (batch, height + 2 * pad, width + 2 * pad, channels))
        # Zeros are right for the maximum, too: it follows a Relu.
        self.operator(OP.PAD, [x, self.constant(f"{node.name}.pads", edges)], padded, schema.PadOptionsT())
        return padded, schema.Padding.VALID

    def window(self, node: onnx.NodeProto, channels: int, activation: int) -> None:
        """Adds a convolution or pooling."""
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        size, stride, pad = (attributes[key][0] for key in ("kernel_shape", "strides", "pads"))
        x = self.tensors[node.input[0]]
        batch, height, width, _ = self.shape(x)
        x, padding = self.padded(x, node, size, stride, pad)
        shape = batch, *((edge + 2 * pad - size) // stride + 1 for edge in (height, width)), channels
        output = self.tensors[node.output[0]] = self.tensor(node.name, shape)
        options = schema.Conv2DOptionsT() if node.op_type == "Conv" else schema.Pool2DOptionsT()
        options.padding, options.strideW, options.strideH = padding, stride, stride
        options.fusedActivationFunction = activation
        if node.op_type == "Conv":
            weight = self.constants[node.input[1]].transpose(0, 2, 3, 1)
            bias = self.constants[node.input[2]]
            inputs = [x, self.constant(node.input[1], weight), self.constant(node.input[2], bias)]
            self.operator(OP.CONV_2D, inputs, output, options)
        else:
            options.filterWidth = options.filterHeight = size
            self.operator(OP.MAX_POOL_2D, [x], output, options)

    def node(self, node: onnx.NodeProto, activation: int) -> None:
        """Adds what an ONNX node does, with a fused activation."""
        inputs = [self.tensors[name] for name in node.input if name in self.tensors]
        if node.op_type == "Conv":
            self.window(node, len(self.constants[node.input[2]]), activation)
        elif node.op_type == "MaxPool":
            self.window(node, self.shape(inputs[0])[3], activation)
        elif node.op_type == "Add":
            options = schema.AddOptionsT()
            options.fusedActivationFunction = activation
            output = self.tensors[node.output[0]] = self.tensor(node.name, self.shape(inputs[0]))
            self.operator(OP.ADD, inputs, output, options)
        elif node.op_type == "GlobalAveragePool":
            shape = self.shape(inputs[0])[0], self.shape(inputs[0])[3]
            output = self.tensors[node.output[0]] = self.tensor(node.name, shape)
            axes = self.constant(f"{node.name}.axes", np.array([1, 2], np.int32))
            self.operator(OP.MEAN, [*inputs, axes], output, schema.ReducerOptionsT())
        elif node.op_type == "Flatten":
            self.tensors[node.output[0]] = inputs[0]  # The mean has already dropped height and width.
        elif node.op_type == "Gemm":
            weight, bias = (self.constants[name] for name in node.input[1:])
            output = self.tensors[node.output[0]] = self.tensor(node.name, (self.shape(inputs[0])[0], len(bias)))
            constants = [self.constant(node.input[1], weight), self.constant(node.input[2], bias)]
            self.operator(OP.FULLY_CONNECTED, [*inputs, *constants], output, schema.FullyConnectedOptionsT())
        else:
            raise ValueError(f"{node.op_type} is not known here")

    def write(self, path: Path) -> None:
        """Writes the network."""
        entry, result = self.graph.input[0], self.graph.output[0]
        batch, channels, height, width = (each.dim_value for each in entry.type.tensor_type.shape.dim)
        self.tensors[entry.name] = self.tensor(entry.name, (batch, height, width, channels))
        relus = {node.input[0]: node for node in self.graph.node if node.op_type == "Relu"}
        for node in self.graph.node:
            if node.op_type == "Relu":
                continue
            relu = relus.get(node.output[0])
            if relu and self.reads[node.output[0]] > 1:
                raise ValueError(f"{node.name} is read before its Relu, too")
            self.node(node, ACTIVATION.RELU if relu else ACTIVATION.NONE)
            if relu:
                self.tensors[relu.output[0]] = self.tensors[node.output[0]]
        self.part.inputs, self.part.outputs = [self.tensors[entry.name]], [self.tensors[result.name]]
        for code in self.codes:
            made = schema.OperatorCodeT()
            made.builtinCode, made.version = code, VERSIONS.get(code, 1)
            made.deprecatedBuiltinCode = min(code, 127)
            self.model.operatorCodes = [*(self.model.operatorCodes or []), made]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
        signature.inputs, signature.outputs = ([self.named(value.name)] for value in (entry, result))
        self.model.signatureDefs = [signature]
        flatbuffer_utils.write_model(self.model, path)

    def named(self, name: str) -> schema.TensorMapT:
        """Returns an input or output of the signature."""
        made = schema.TensorMapT()
        made.name, made.tensorIndex = name.encode(), self.tensors[name]
        return made


def ranges(maker: quantizer.Quantizer, inputs: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Returns the range of each tensor over all samples.

    Given several samples at once, the quantizer would keep a moving average, which with eight of them is hardly more than
    the range of the first.
    """
    whole: dict[str, dict[str, np.ndarray]] = {}
    for x in inputs:
        sample = {"input": np.ascontiguousarray(x[None].transpose(0, 2, 3, 1))}
        for name, part in maker.calibrate({SIGNATURE: [sample]}, num_threads=1).items():
            before = whole.setdefault(name, part)
            before["min"] = np.minimum(before["min"], part["min"])
            before["max"] = np.maximum(before["max"], part["max"])
    return whole


def quantize(source: Path, target: Path, inputs: np.ndarray) -> None:
    """Writes the int8 of an fp32 ONNX network."""
    fp32 = target.with_name("litert-fp32.tflite")
    Writer(onnx.load(source).graph).write(fp32)
    maker = quantizer.Quantizer(str(fp32), recipe.static_wi8_ai8())
    target.unlink(missing_ok=True)  # The quantizer refuses to replace a file.
    maker.quantize(ranges(maker, inputs), serialize_to_path=str(target))
    fp32.unlink()
