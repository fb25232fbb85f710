"""Runs quantized networks in onnxruntime and OpenVINO, for `agree.py`.

    python worker.py JOB.json

The job names photos, how to prepare them, the fp32 network and our QDQ file. onnxruntime quantizes the fp32 network and
writes it to `theirs`. Prints what each runtime answers for each file, as a JSON list.
"""

import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

Infer = Callable[[np.ndarray], np.ndarray]


def prepare(path: str, recipe: dict) -> np.ndarray:
    """Returns the network's input for a photo, `[1, 3, height, width]`: torchvision's Resize, CenterCrop and Normalize."""
    image = Image.open(path).convert("RGB")
    short, (height, width) = recipe["short_side"], recipe["crop"]
    scale = [int(short * side / min(image.size)) for side in image.size]
    filters = {"pillow-bilinear": Image.Resampling.BILINEAR, "pillow-bicubic": Image.Resampling.BICUBIC}
    scale = [short if side == min(image.size) else long for side, long in zip(image.size, scale, strict=True)]
    image = image.resize(scale, filters[recipe["filter"]])
    left, top = (round((side - crop) / 2) for side, crop in zip(image.size, (width, height), strict=True))
    pixels = np.asarray(image.crop((left, top, left + width, top + height)), np.float32) / np.float32(255)
    normalised = (pixels - np.float32(recipe["mean"])) / np.float32(recipe["std"])
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def onnxruntime(path: Path, precise: bool = False) -> tuple[Infer, str]:
    """Runs the network in onnxruntime with its defaults and one thread, and how many convolutions are int8."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if precise:
        # On x86-64 without VNNI products are added in 16 bits, which saturates, unless this is set.
        options.add_session_config_entry("session.x64quantprecision", "1")
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        kinds = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    name = session.get_inputs()[0].name
    int8, real = kinds["QLinearConv"], kinds["Conv"] + kinds["FusedConv"]
    return lambda x: session.run(None, {name: x})[0], f"{int8}/{int8 + real}"


def in_openvino(path: Path, **settings: str) -> tuple[Infer, str]:
    """Runs the network in OpenVINO on the CPU with one thread, and how many convolutions are int8."""
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, **settings}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    request = compiled.create_infer_request()
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [i["primitiveType"].astype(str) for i in infos if i["layerType"].astype(str).endswith("Convolution")]

    def infer(x: np.ndarray) -> np.ndarray:
        request.infer([x])
        return request.get_output_tensor().data.copy()

    return infer, f"{sum(kind.endswith('_I8') for kind in kinds)}/{len(kinds)}"


class Reader(CalibrationDataReader):
    """Hands photos to onnxruntime's calibration."""

    def __init__(self, name: str, images: Iterator[np.ndarray]) -> None:
        self.left = ({name: image} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def quantize(fp32: Path, target: Path, images: Iterator[np.ndarray]) -> None:
    """Quantizes to QDQ as onnxruntime's documentation recommends."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(fp32, ready, skip_symbolic_shape=True)
        name = onnx.load(fp32, load_external_data=False).graph.input[0].name
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(ready, target, Reader(name, images), quant_format=QuantFormat.QDQ, per_channel=True, **types)


def round_summands(source: Path, target: Path, images: Iterator[np.ndarray]) -> None:
    """Rewrites residual additions to the form that we do not use: both summands are quantized, each in its range."""
    model = onnx.load(source)
    adds = [node for node in model.graph.node if node.op_type == "Add" and node.name.endswith(".add")]
    names = [add.input[0] for add in adds]
    probed = onnx.load(source)
    probed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = ort.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for image in images:
        values = session.run(names, {"image": image})
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    for add, name, least, most in zip(adds, names, low, high, strict=True):
        scale = np.float32((most - least) / 255)
        zero_point = np.uint8(round(-least / scale))
        for kind, value in (("scale", scale), ("zero_point", zero_point)):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{name}.{kind}"))
        parameters = [f"{name}.scale", f"{name}.zero_point"]
        position = list(model.graph.node).index(add)
        pair = (
            helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}.quantized"]),
            helper.make_node("DequantizeLinear", [f"{name}.quantized", *parameters], [f"{name}.dequantized"]),
        )
        for node in reversed(pair):
            model.graph.node.insert(position, node)
        add.input[0] = f"{name}.dequantized"
    onnx.save(model, target)


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    job = json.loads(Path(sys.argv[1]).read_text())
    ours, fp32, theirs = (Path(job[name]) for name in ("ours", "fp32", "theirs"))

    def samples() -> Iterator[np.ndarray]:
        return (prepare(path, job["preprocess"]) for path in job["samples"])

    rounded = ours.with_name("rounded.onnx")
    quantize(fp32, theirs, samples())
    round_summands(ours, rounded, samples())
    # Only runtimes that read our file must reach 99.5 %.
    runs = [
        ("ours", "onnxruntime", True, onnxruntime(ours)),
        ("ours", "onnxruntime, `session.x64quantprecision`", True, onnxruntime(ours, precise=True)),
        ("ours", "OpenVINO", True, in_openvino(ours)),
        ("ours", "OpenVINO, `INFERENCE_PRECISION_HINT=f32`", True, in_openvino(ours, INFERENCE_PRECISION_HINT="f32")),
        ("ours", "onnxruntime, summands rounded too", False, onnxruntime(rounded)),
        ("ours", "OpenVINO, summands rounded too", False, in_openvino(rounded)),
        ("theirs", "onnxruntime", False, onnxruntime(theirs)),
        ("theirs", "OpenVINO", False, in_openvino(theirs)),
        ("fp32", "onnxruntime", False, onnxruntime(fp32)),
    ]
    found = [
        {"file": file, "runtime": runtime, "held": held, "int8": int8, "top": [], "times": []}
        for file, runtime, held, (_, int8) in runs
    ]
    # Photo by photo, so that other load on the machine affects all runtimes alike.
    for path in job["files"]:
        image = prepare(path, job["preprocess"])
        for record, (_, _, _, (infer, _)) in zip(found, runs, strict=True):
            start = time.perf_counter()
            logits = infer(image)
            record["times"].append(time.perf_counter() - start)
            record["top"].append(int(logits.argmax()))
    for record in found:
        record["ms"] = float(np.median(record.pop("times")) * 1e3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
