"""PaddleClas (ppcls): building, saving and running its models."""

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle

from .weights import Weights

PACKAGE = "paddleclas"
ZOO = f"{PACKAGE}.ppcls.arch.backbone.model_zoo"
# The largest weights to export. paddle2onnx writes no external data, so its limit is 2 GB, and with the 1.9 GB of
# 32x32d it and polygraphy need more than 20 GB of memory.
ONNX_LIMIT = 1 << 30


@functools.cache
def import_models() -> tuple[types.ModuleType, ...]:
    """PaddleClas' modules that define ResNeXts, plain, vd and WSL.

    Importing `paddleclas` brings in everything that its prediction pipelines need, with versions that no longer
    install together. The modules that define models need nothing but Paddle, so the packages around them are
    entered without running their `__init__`.
    """
    parts = f"{ZOO}".split(".")
    root = Path(importlib.util.find_spec(PACKAGE).submodule_search_locations[0])
    for end in range(1, len(parts) + 1):
        _enter(parts[:end], root)
    _enter([PACKAGE, "ppcls", "utils"], root)
    return tuple(importlib.import_module(f"{ZOO}.{name}") for name in ("resnext", "resnext_vd", "resnext101_wsl"))


def _enter(parts: list[str], root: Path) -> None:
    package = types.ModuleType(".".join(parts))
    package.__path__ = [str(root.joinpath(*parts[1:]))]
    sys.modules[package.__name__] = package


def fill(model: paddle.nn.Layer, weights: Weights, image: np.ndarray) -> None:
    """Gives every parameter a random value, and every batch norm the statistics of its input for `image`."""
    norms = []
    for name, layer in model.named_sublayers():
        if isinstance(layer, paddle.nn.Conv2D):
            layer.weight.set_value(weights.convolution(tuple(layer.weight.shape)))
        elif isinstance(layer, paddle.nn.BatchNorm):
            ends_branch = name.rsplit(".", 2)[-2] in ("conv2", "_conv2")
            scale, shift = weights.affine(layer.weight.shape[0], ends_branch)
            layer.weight.set_value(scale)
            layer.bias.set_value(shift)
            # From now on the statistics are the last batch's.
            layer._momentum = 0.0
            norms.append(layer)
        elif isinstance(layer, paddle.nn.Linear):
            features, classes = layer.weight.shape
            layer.weight.set_value(weights.linear((features, classes), features))
            layer.bias.set_value(weights.bias(classes))
    model.train()
    with paddle.no_grad():
        model(paddle.to_tensor(image))
    model.eval()
    for norm in norms:
        mean, variance = weights.statistics(norm._mean.numpy(), norm._variance.numpy())
        norm._mean.set_value(mean)
        norm._variance.set_value(variance)


def write_numpy1(path: Path) -> None:
    """Renames in a pickle what NumPy 2 renamed, so that the file is what it was with NumPy 1.

    Every file that PaddleClas publishes is older than NumPy 2. Only for protocol 2, where names end in a newline
    and nothing counts their bytes; a pickle names the function once and refers to it from then on.
    """
    new = path.with_suffix(".numpy1")
    with path.open("rb") as source, new.open("wb") as target:
        head = source.read(1 << 16)
        renamed = head.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
        assert renamed != head, "the pickle names no NumPy array in its beginning"
        target.write(renamed)
        shutil.copyfileobj(source, target, 1 << 22)
    new.replace(path)


class Paddleclas:
    """A model of PaddleClas with random weights."""

    def __init__(self, model: paddle.nn.Layer) -> None:
        self.model = model
        model.eval()
        self.library = f"paddleclas {importlib.metadata.version(PACKAGE)}"
        self.framework = f"paddle {paddle.__version__}"

    @classmethod
    def build(cls, name: str) -> "Paddleclas":
        for module in import_models():
            if hasattr(module, name):
                return cls(getattr(module, name)())
        raise SystemExit(f"PaddleClas has no {name}")

    def fill(self, weights: Weights, image: np.ndarray) -> None:
        fill(self.model, weights, image)

    def parameters(self) -> int:
        """Returns how many numbers are trained. Paddle keeps batch norm statistics among the parameters, too."""
        state = self.model.state_dict()
        return sum(value.size for name, value in state.items() if not name.endswith(("._mean", "._variance")))

    def tensors(self) -> int:
        """Returns how many tensors a checkpoint has."""
        return len(self.model.state_dict())

    def tensor_bytes(self) -> int:
        return sum(4 * value.size for value in self.model.state_dict().values())

    def logits(self, image: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return self.model(paddle.to_tensor(image))[0].numpy()

    def formats(self) -> dict[str, Callable[[Path, int], Path]]:
        """Returns, for each file format, a function that saves the model: (folder, test size) → file."""
        formats = {
            "pdparams": self.save_pdparams,
            "pdparams-2": self.save_pdparams_2,
            "pdparams-program": self.save_pdparams_program,
        }
        if self.tensor_bytes() < ONNX_LIMIT:
            formats |= {"onnx": self.save_onnx, "onnx-constants": self.save_onnx_constants}
        return formats

    def save_pdparams(self, folder: Path, size: int) -> Path:
        """Saves as Paddle does today: pickle protocol 4."""
        path = folder / "model.pdparams"
        paddle.save(self.model.state_dict(), str(path))
        return path

    def save_pdparams_2(self, folder: Path, size: int) -> Path:
        """Saves as Paddle did when PaddleClas' weights were published: protocol 2, arrays as Latin-1 in UTF-8."""
        path = folder / "model.pdparams"
        paddle.save(self.model.state_dict(), str(path), protocol=2)
        write_numpy1(path)
        return path

    def save_pdparams_program(self, folder: Path, size: int) -> Path:
        """Saves the weights of an exported program, named after the program's variables instead of layers."""
        program = self._export(folder, size)
        target = folder / "named"
        paddle.enable_static()
        with paddle.static.scope_guard(paddle.static.Scope()):
            executor = paddle.static.Executor(paddle.CPUPlace())
            loaded, _, _ = paddle.static.load_inference_model(str(program), executor)
            paddle.static.save(loaded, str(target))
        paddle.disable_static()
        return target.with_suffix(".pdparams")

    def save_onnx(self, folder: Path, size: int) -> Path:
        """Exports with the defaults of paddle2onnx: polygraphy folds constants, batch norms stay."""
        return self._convert(folder, size, "polygraphy")

    def save_onnx_constants(self, folder: Path, size: int) -> Path:
        """Exports with paddle2onnx, without polygraphy: weights are nodes of the graph."""
        return self._convert(folder, size, "none")

    def _export(self, folder: Path, size: int) -> Path:
        shape = paddle.static.InputSpec([None, 3, size, size], "float32", name="x")
        program = folder / "inference"
        paddle.jit.save(paddle.jit.to_static(self.model, input_spec=[shape]), str(program))
        return program

    def _convert(self, folder: Path, size: int, optimize_tool: str) -> Path:
        import paddle2onnx

        program = self._export(folder, size)
        # Otherwise it would ask a package registry of NVIDIA.
        os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
        path = folder / "model.onnx"
        parameters = f"{program}.pdiparams"
        paddle2onnx.export(f"{program}.json", parameters, str(path), opset_version=11, optimize_tool=optimize_tool)
        return path
