"""Holds one network in one runtime, and times inferences when `compare.py` asks.

    python worker.py RUNTIME MODEL THREADS [--samples N]

RUNTIME is `litert`, `ncnn`, `onnxruntime` or `openvino`. MODEL lies beside the `inputs.npy` and `logits.npy` of
`prepare.py`. Prints a line of JSON about the loaded network, then one for each line `WARMUP RUNS` on stdin. In between the
process sleeps.
"""

import argparse
import json
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import numpy as np

# Thread pools spin for a while after their last task, onnxruntime's for 40 ms. A turn ends only when they have stopped.
SETTLE_S = 0.1


class Runtime(ABC):
    """A loaded network. Setting its input is not timed."""

    # The kinds of layers that the runtime made from the network, and how many of each.
    layers: Counter[str]

    @abstractmethod
    def set_input(self, x: np.ndarray) -> None:
        """Makes `x` the input of the next inferences."""

    @abstractmethod
    def infer(self) -> None:
        """Runs one inference."""

    @abstractmethod
    def output(self) -> np.ndarray:
        """Returns the logits of the last inference."""

    @staticmethod
    @abstractmethod
    def convolution(layer: str) -> str | None:
        """Returns the type that a kind of layer computes in if it is a convolution: `int8` or another."""


class OnnxRuntime(Runtime):
    """onnxruntime with its defaults, but for the number of threads."""

    def __init__(self, model: Path, threads: int) -> None:
        import onnx
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        with tempfile.TemporaryDirectory() as folder:
            options.optimized_model_filepath = f"{folder}/optimized.onnx"
            options.log_severity_level = 3  # Else it warns not to use that file on another machine.
            self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self.layers = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
        self.inputs: dict[str, np.ndarray] = {}
        self.outputs: list[np.ndarray] = []

    def set_input(self, x: np.ndarray) -> None:
        self.inputs = {"input": x}

    def infer(self) -> None:
        self.outputs = self.session.run(None, self.inputs)

    def output(self) -> np.ndarray:
        return self.outputs[0]

    @staticmethod
    def convolution(layer: str) -> str | None:
        return {"QLinearConv": "int8", "Conv": "fp32", "FusedConv": "fp32"}.get(layer)


class OpenVino(Runtime):
    """OpenVINO on the CPU, told to answer one request at a time as soon as it can."""

    def __init__(self, model: Path, threads: int) -> None:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # No other contender pins threads, and on a busy machine a pinned thread cannot move away.
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        self.layers = Counter(f"{i['layerType'].astype(str)} {i['primitiveType'].astype(str)}" for i in infos)
        self.request = compiled.create_infer_request()
        self.tensor = openvino.Tensor

    def set_input(self, x: np.ndarray) -> None:
        self.request.set_input_tensor(self.tensor(x, shared_memory=True))

    def infer(self) -> None:
        self.request.infer(share_outputs=True)

    def output(self) -> np.ndarray:
        return self.request.get_output_tensor().data

    @staticmethod
    def convolution(layer: str) -> str | None:
        kind, _, primitive = layer.partition(" ")
        if not kind.endswith("Convolution"):
            return None
        return "int8" if primitive.endswith("_I8") else "fp32"


class LiteRt(Runtime):
    """LiteRT's interpreter, which hands everything that XNNPACK knows to XNNPACK."""

    def __init__(self, model: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.network = Interpreter(str(model), num_threads=threads)
        self.network.allocate_tensors()
        self.entry, self.result = self.network.get_input_details()[0], self.network.get_output_details()[0]
        # Private, but nothing public lists the operators. XNNPACK appears beside those that it has taken over.
        operators = [each for each in self.network._get_ops_details() if each["op_name"] != "DELEGATE"]
        types = {each["index"]: np.dtype(each["dtype"]) for each in self.network.get_tensor_details()}
        self.layers = Counter(f"{each['op_name']} {types[each['inputs'][0]]}" for each in operators)

    def set_input(self, x: np.ndarray) -> None:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        if self.entry["dtype"] == np.int8:
            scale, zero = self.entry["quantization"]
            x = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
        self.network.set_tensor(self.entry["index"], x)

    def infer(self) -> None:
        self.network.invoke()

    def output(self) -> np.ndarray:
        values = self.network.get_tensor(self.result["index"])
        if values.dtype != np.int8:
            return values
        scale, zero = self.result["quantization"]
        return (values.astype(np.float32) - zero) * scale

    @staticmethod
    def convolution(layer: str) -> str | None:
        kind, _, element = layer.partition(" ")
        return element if kind == "CONV_2D" else None


class Ncnn(Runtime):
    """ncnn with its defaults, but for the number of threads."""

    def __init__(self, model: Path, threads: int) -> None:
        import ncnn

        self.network = ncnn.Net()
        self.network.opt.num_threads = threads
        if self.network.load_param(str(model)) or self.network.load_model(str(model.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn cannot load {model}")
        # ncnn does not tell what it does in int8; SQNR shows that it does.
        self.layers = Counter(
            f"{line.split()[0]} {'int8' if ' 8=' in line else 'fp32'}" for line in model.read_text().splitlines()[2:]
        )
        self.entry, self.result = self.network.input_names()[0], self.network.output_names()[0]
        self.mat = ncnn.Mat

    def set_input(self, x: np.ndarray) -> None:
        self.pixels = self.mat(np.ascontiguousarray(x[0])).clone()

    def infer(self) -> None:
        extractor = self.network.create_extractor()
        extractor.input(self.entry, self.pixels)
        self.logits = extractor.extract(self.result)[1]

    def output(self) -> np.ndarray:
        return np.array(self.logits)

    @staticmethod
    def convolution(layer: str) -> str | None:
        kind, _, element = layer.partition(" ")
        return element if kind.startswith("Convolution") else None


RUNTIMES = {"litert": LiteRt, "ncnn": Ncnn, "onnxruntime": OnnxRuntime, "openvino": OpenVino}


def signal_to_noise(runtime: Runtime, inputs: np.ndarray, expected: np.ndarray) -> float:
    """Returns how close the network's logits are to fp32's, in dB."""
    noise = 0.0
    for x, logits in zip(inputs[:, None], expected, strict=True):
        runtime.set_input(x)
        runtime.infer()
        noise += float(((runtime.output().ravel() - logits) ** 2).sum(dtype=np.float64))
    return float(10 * np.log10((expected**2).sum(dtype=np.float64) / max(noise, 1e-30)))


def turn(runtime: Runtime, warmup: int, runs: int) -> list[float]:
    """Returns the milliseconds of `runs` inferences in a row, after `warmup` others."""
    for _ in range(warmup):
        runtime.infer()
    times = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        runtime.infer()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


def facts(runtime: Runtime, inputs: np.ndarray, expected: np.ndarray) -> dict[str, object]:
    """Returns facts about the loaded network that show whether it is what it should be."""
    kinds: Counter[str] = Counter()
    for layer, count in runtime.layers.items():
        if kind := runtime.convolution(layer):
            kinds[kind] += count
    return {
        "sqnr_db": signal_to_noise(runtime, inputs, expected),
        "int8_convolutions": f"{kinds['int8']}/{kinds.total()}",
        "layers": dict(sorted(runtime.layers.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Times a network when compare.py asks.")
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("model", type=Path)
    parser.add_argument("threads", type=int)
    parser.add_argument("--samples", type=int, help="for the SQNR (default: all)")
    args = parser.parse_args()

    inputs, logits = (np.load(args.model.parent / name)[: args.samples] for name in ("inputs.npy", "logits.npy"))
    runtime = RUNTIMES[args.runtime](args.model, args.threads)
    print(json.dumps(facts(runtime, inputs, logits)), flush=True)

    runtime.set_input(inputs[:1])
    time.sleep(SETTLE_S)
    asleep_since = time.process_time()
    for line in sys.stdin:
        restless_ms = (time.process_time() - asleep_since) * 1e3
        times = turn(runtime, *map(int, line.split()))
        time.sleep(SETTLE_S)
        asleep_since = time.process_time()
        print(json.dumps({"ms": times, "restless_ms": restless_ms}), flush=True)


if __name__ == "__main__":
    main()
