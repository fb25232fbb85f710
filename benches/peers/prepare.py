"""Makes what `compare.py` measures: an fp32 ONNX network, sample images, and the peers' int8 versions of it.

    python prepare.py VARIANT DIR

Everything is seeded. The weights are random: nothing here says how accurate a network is, only that every peer
computes the same one. Writes to DIR:

    fp32.onnx                        the network, batch norm folded, as torch.onnx.export writes it
    samples/*.png                    noise to calibrate on; 256x256, so that preprocessing only crops
    inputs.npy, logits.npy           the same samples, cropped and normalised, and what fp32 makes of them
    ort-{u8s8,s8s8,u8u8}.onnx        QDQ by onnxruntime, per-channel weights
    openvino-nncf.xml                int8 by NNCF, if it is installed
    litert-int8.tflite               int8 by ai-edge-quantizer
    ncnn-{fp32,int8}.{param,bin}     fp32 by pnnx, and int8 made from it
"""

import argparse
import importlib.util
import logging
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import litert_int8
import ncnn_int8
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

SAMPLES, RESIZE, CROP = 8, 256, 224
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
# Gain of a block's branch against its shortcut. He's gain of 1 doubles the variance in every block.
BRANCH_GAIN = 0.3


@dataclass(frozen=True)
class Variant:
    """A ResNeXt: blocks per stage, cardinality, channels per group."""

    blocks: tuple[int, int, int, int]
    groups: int
    base_width: int


VARIANTS = {
    "resnext50_32x4d": Variant((3, 4, 6, 3), 32, 4),
    "resnext101_32x4d": Variant((3, 4, 23, 3), 32, 4),
    "resnext101_32x8d": Variant((3, 4, 23, 3), 32, 8),
    "resnext101_64x4d": Variant((3, 4, 23, 3), 64, 4),
}


class Network:
    """An ONNX graph under construction, with seeded weights."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: list[str], name: str, **attributes) -> str:
        """Adds a node; its output has its name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def weight(self, name: str, shape: tuple[int, ...], deviation: float) -> str:
        """Adds a normally distributed constant."""
        values = self.random.standard_normal(shape, np.float32) * np.float32(deviation)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, name: str, channels: tuple[int, int], size: int, stride=1, groups=1, gain=1.0) -> str:
        """Adds a convolution from `channels[0]` to `channels[1]` that multiplies the variance by `gain`²."""
        per_group = channels[0] // groups
        deviation = gain * (2 / (per_group * size * size)) ** 0.5
        weight = self.weight(f"{name}.weight", (channels[1], per_group, size, size), deviation)
        bias = self.weight(f"{name}.bias", (channels[1],), 0.1 * gain)
        return self.node(
            "Conv", [x, weight, bias], name,
            group=groups, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4, dilations=[1, 1],
        )  # fmt: skip

    def block(self, x: str, name: str, channels: tuple[int, int], width: int, stride: int, groups: int) -> str:
        """Adds a bottleneck: 1x1, grouped 3x3 with the stride, 1x1, shortcut."""
        y = self.node("Relu", [self.conv(x, f"{name}.conv1", (channels[0], width), 1)], f"{name}.relu1")
        y = self.conv(y, f"{name}.conv2", (width, width), 3, stride, groups)
        y = self.node("Relu", [y], f"{name}.relu2")
        y = self.conv(y, f"{name}.conv3", (width, channels[1]), 1, gain=BRANCH_GAIN)
        if channels[0] != channels[1] or stride != 1:
            x = self.conv(x, f"{name}.downsample", channels, 1, stride)
        return self.node("Relu", [self.node("Add", [y, x], f"{name}.add")], f"{name}.relu3")

    def resnext(self, variant: Variant, classes: int = 1000) -> onnx.ModelProto:
        """Builds the whole network."""
        x = self.node("Relu", [self.conv("input", "conv1", (3, 64), 7, 2)], "relu")
        x = self.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        channels = 64
        for stage, blocks in enumerate(variant.blocks):
            width = variant.groups * variant.base_width << stage
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                shape = (channels, 256 << stage)
                x = self.block(x, f"layer{stage + 1}.{index}", shape, width, stride, variant.groups)
                channels = shape[1]
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x], "avgpool")], "flatten", axis=1)
        weight = self.weight("fc.weight", (classes, channels), channels**-0.5)
        self.node("Gemm", [x, weight, self.weight("fc.bias", (classes,), 0.1)], "output", transB=1)
        floats = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "resnext",
            [floats("input", TensorProto.FLOAT, [1, 3, CROP, CROP])],
            [floats("output", TensorProto.FLOAT, [1, classes])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sample(random: np.random.Generator) -> np.ndarray:
    """Returns an RGB image of smooth gradients and noise: like a photo, it has low and high frequencies."""
    corners = random.uniform(0, 255, (2, 2, 3))
    along = np.linspace(0, 1, RESIZE)
    rows = corners[0] + along[:, None, None] * (corners[1] - corners[0])
    image = rows[:, :1] + along[None, :, None] * (rows[:, 1:] - rows[:, :1])
    return np.clip(image + random.normal(0, 25, image.shape), 0, 255).astype(np.uint8)


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes RGB pixels without a library."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, _ = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks))


def write_samples(folder: Path) -> np.ndarray:
    """Writes the samples as images and returns them as inputs of the network, one per row."""
    (folder / "samples").mkdir(exist_ok=True)
    random = np.random.default_rng(1)
    inputs = []
    for index in range(SAMPLES):
        image = sample(random)
        write_png(folder / "samples" / f"{index}.png", image)
        edge = (RESIZE - CROP) // 2
        crop = image[edge : edge + CROP, edge : edge + CROP].astype(np.float32) / 255
        inputs.append(((crop - MEAN) / STD).transpose(2, 0, 1))
    stacked = np.ascontiguousarray(np.stack(inputs), np.float32)
    np.save(folder / "inputs.npy", stacked)
    return stacked


class Reader(CalibrationDataReader):
    """Hands the samples to onnxruntime's calibration."""

    def __init__(self, inputs: np.ndarray) -> None:
        self.left = iter(inputs[:, None])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(({"input": x} for x in self.left), None)


def quantize_onnxruntime(folder: Path, inputs: np.ndarray) -> None:
    """Quantizes to QDQ as onnxruntime's documentation recommends, for pairs of activation and weight types."""
    ready = folder / "ready.onnx"
    quant_pre_process(folder / "fp32.onnx", ready, skip_symbolic_shape=True)
    types = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
    for pair in ("u8s8", "s8s8", "u8u8"):
        quantize_static(
            ready,
            folder / f"ort-{pair}.onnx",
            Reader(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=types[pair[:2]],
            weight_type=types[pair[2:]],
        )
    ready.unlink()


def quantize_nncf(folder: Path, inputs: np.ndarray) -> None:
    """Quantizes with the defaults of NNCF's post-training quantization."""
    out = folder / "openvino-nncf.xml"
    out.unlink(missing_ok=True)
    try:
        import nncf
    except ImportError:
        print("nncf is not installed: OpenVINO is measured on onnxruntime's QDQ network only", file=sys.stderr)
        return
    import openvino

    nncf.set_log_level(logging.ERROR)
    # Not `read_model`: it leaves the weights of grouped convolutions computed, NNCF then gives them scales along
    # the kernel's width, and OpenVINO runs those layers in fp32.
    network = openvino.convert_model(folder / "fp32.onnx")
    quantized = nncf.quantize(network, nncf.Dataset(inputs[:, None]), subset_size=len(inputs))
    openvino.save_model(quantized, out, compress_to_fp16=False)


def convert_ncnn(folder: Path) -> None:
    """Converts fp32 with pnnx, whose Python package is only a wrapper of its program and would need torch."""
    pnnx = Path(importlib.util.find_spec("pnnx").origin).with_name("pnnx")
    with tempfile.TemporaryDirectory() as scratch:  # It writes ten files, all beside its input.
        shutil.copy(folder / "fp32.onnx", scratch)
        shape = f"inputshape=[1,3,{CROP},{CROP}]"
        subprocess.run([pnnx, "fp32.onnx", shape, "fp16=0"], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        for kind in ("param", "bin"):
            shutil.move(f"{scratch}/fp32.ncnn.{kind}", folder / f"ncnn-fp32.{kind}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the networks that compare.py measures.")
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)

    onnx.save(Network().resnext(VARIANTS[args.variant]), args.folder / "fp32.onnx")
    inputs = write_samples(args.folder)
    session = ort.InferenceSession(args.folder / "fp32.onnx", providers=["CPUExecutionProvider"])
    logits = np.concatenate([session.run(None, {"input": x})[0] for x in inputs[:, None]])
    np.save(args.folder / "logits.npy", logits)
    quantize_onnxruntime(args.folder, inputs)
    quantize_nncf(args.folder, inputs)
    litert_int8.quantize(args.folder / "fp32.onnx", args.folder / "litert-int8.tflite", inputs)
    convert_ncnn(args.folder)
    ncnn_int8.quantize(args.folder, "ncnn-fp32", "ncnn-int8", inputs)


if __name__ == "__main__":
    main()
