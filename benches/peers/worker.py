"""Holds one network in one runtime, and times inferences when `compare.py` asks.

    python worker.py RUNTIME MODEL THREADS

RUNTIME is `onnxruntime` or `openvino`. MODEL lies beside the `inputs.npy` and `logits.npy` of `prepare.py`. Prints
a line of JSON about the loaded network, then one for each line `WARMUP RUNS` on stdin. In between the process
sleeps.
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


RUNTIMES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


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
    args = parser.parse_args()

    inputs = np.load(args.model.parent / "inputs.npy")
    runtime = RUNTIMES[args.runtime](args.model, args.threads)
    print(json.dumps(facts(runtime, inputs, np.load(args.model.parent / "logits.npy"))), flush=True)

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
