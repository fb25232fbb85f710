"""Quantizes a network for ncnn, as its tools `ncnn2table` and `ncnn2int8` do, which its Python package lacks.

Convolutions and the fully connected layer become int8: weights with a scale per channel (in grouped convolutions per
group, all that ncnn has), activations with a scale per tensor. Scales come from the largest magnitude over the samples;
`ncnn2table` clips by KL divergence, which takes the same time at inference. A convolution whose output only other
convolutions read hands int8 on. Weights stay fp32 in the file: ncnn quantizes them as it loads them.
"""

from dataclasses import dataclass
from pathlib import Path

import ncnn
import numpy as np

# Keys in a .param file (https://github.com/Tencent/ncnn/wiki/operators), and the tag of fp32 weights in a .bin file.
OUTPUTS, FC_WEIGHTS, WEIGHTS, GROUPS, INT8 = 0, 2, 6, 7, 8
FP32 = bytes(4)
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
# The value of INT8 by kind of layer, and what is added if the output has a scale, too.
TERMS = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}
REQUANTIZES = 100


@dataclass
class Layer:
    """A line of a .param file."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    params: dict[int, str]

    @staticmethod
    def parse(line: str) -> "Layer":
        """Parses a line: kind, name, how many inputs and outputs, their names, `key=value`."""
        kind, name, inputs, outputs, *rest = line.split()
        blobs = int(inputs) + int(outputs)
        params = (param.partition("=") for param in rest[blobs:])
        return Layer(kind, name, rest[: int(inputs)], rest[int(inputs) : blobs], {int(k): v for k, _, v in params})

    def line(self) -> str:
        """Returns the line that `parse` reads."""
        counts = str(len(self.inputs)), str(len(self.outputs))
        params = (f"{key}={value}" for key, value in self.params.items())
        return " ".join((self.kind, self.name, *counts, *self.inputs, *self.outputs, *params))

    def number(self, key: int) -> int:
        """Returns an integer parameter."""
        return int(self.params[key])


def scales(values: np.ndarray) -> np.ndarray:
    """Returns the scale of each row: what maps its largest magnitude to 127."""
    return (127 / np.maximum(np.abs(values).max(axis=1), 1e-30)).astype(np.float32)


def input_scales(param: Path, weights: Path, layers: list[Layer], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Runs fp32 on the samples and returns the scale of each blob that a layer with weights reads."""
    network = ncnn.Net()
    network.opt.lightmode = False  # Else blobs are dropped once they have been read.
    # Ranges of fp32, and not of what ncnn makes of fp32 on this CPU by default.
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.load_param(str(param))
    network.load_model(str(weights))
    found: dict[str, np.ndarray] = {}
    for x in inputs:
        extractor = network.create_extractor()
        extractor.input(layers[0].outputs[0], ncnn.Mat(x))
        for name in (layer.inputs[0] for layer in layers if layer.kind in TERMS):
            scale = scales(np.array(extractor.extract(name)[1]).reshape(1, -1))
            found[name] = np.minimum(scale, found.get(name, scale))
    return found


def readers(layers: list[Layer], blob: str) -> list[Layer]:
    """Returns the layers that read a blob, through copies of it."""
    found: list[Layer] = []
    for layer in layers:
        if blob in layer.inputs:
            copies = layer.outputs if layer.kind == "Split" else []
            found += [reader for copy in copies for reader in readers(layers, copy)] or [layer]
    return found


def quantize(folder: Path, source: str, target: str, inputs: np.ndarray) -> None:
    """Writes `target`.param and .bin, the int8 of the fp32 in `source`.param and .bin."""
    param, weights = folder / f"{source}.param", folder / f"{source}.bin"
    magic, counts, *lines = param.read_text().splitlines()
    layers = [Layer.parse(line) for line in lines]
    ranges = input_scales(param, weights, layers, inputs)
    left, out = memoryview(weights.read_bytes()), bytearray()
    for layer in layers:
        if layer.kind not in TERMS:
            continue
        outputs, size = layer.number(OUTPUTS), layer.number(WEIGHTS if layer.kind in CONVOLUTIONS else FC_WEIGHTS)
        end = len(FP32) + 4 * (size + outputs)
        body, left = left[:end], left[end:]
        if body[: len(FP32)] != FP32:
            raise ValueError(f"{weights} is not fp32 (pnnx fp16=0)")
        rows = layer.number(GROUPS) if layer.kind == "ConvolutionDepthWise" else outputs
        kernel = np.frombuffer(body, np.float32, size, len(FP32)).reshape(rows, -1)
        out += bytes(body) + scales(kernel).tobytes() + ranges[layer.inputs[0]].tobytes()
        layer.params[INT8] = str(TERMS[layer.kind])
        nexts = readers(layers, layer.outputs[0])
        if layer.kind in CONVOLUTIONS and nexts and all(reader.kind in CONVOLUTIONS for reader in nexts):
            layer.params[INT8] = str(TERMS[layer.kind] + REQUANTIZES)
            out += ranges[nexts[0].inputs[0]].tobytes()
    if left:
        raise ValueError(f"{weights} has weights of layers that are not known here")
    (folder / f"{target}.param").write_text("\n".join((magic, counts, *(layer.line() for layer in layers))) + "\n")
    (folder / f"{target}.bin").write_bytes(out)
