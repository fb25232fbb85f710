"""torchvision, timm and mmcls (which is called mmpretrain now): building, saving and running their models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .weights import Weights


def fill(model: nn.Module, weights: Weights, image: np.ndarray) -> None:
    """Gives every parameter a random value, and every batch norm the statistics of its input for `image`."""
    norms = []
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(torch.from_numpy(weights.convolution(tuple(module.weight.shape))))
            elif isinstance(module, nn.BatchNorm2d):
                scale, shift = weights.affine(module.num_features, ends_branch=name.endswith(".bn3"))
                module.weight.copy_(torch.from_numpy(scale))
                module.bias.copy_(torch.from_numpy(shift))
                # From now on the statistics are the last batch's.
                module.momentum = 1.0
                norms.append(module)
            elif isinstance(module, nn.Linear):
                shape = tuple(module.weight.shape)
                module.weight.copy_(torch.from_numpy(weights.linear(shape, module.in_features)))
                module.bias.copy_(torch.from_numpy(weights.bias(module.out_features)))
        model.train()
        model(torch.from_numpy(image))
        model.eval()
        for norm in norms:
            mean, variance = weights.statistics(norm.running_mean.numpy(), norm.running_var.numpy())
            norm.running_mean.copy_(torch.from_numpy(mean))
            norm.running_var.copy_(torch.from_numpy(variance))


def save_legacy(checkpoint: object, path: Path) -> None:
    """Saves in the format of `torch.save` before PyTorch 1.6, which most published checkpoints have."""
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


class Classifier:
    """A model with random weights. Subclasses know their library."""

    library: str

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    @property
    def framework(self) -> str:
        return f"torch {torch.__version__.split('+')[0]}"

    def fill(self, weights: Weights, image: np.ndarray) -> None:
        fill(self.model, weights, image)

    def parameters(self) -> int:
        """Returns how many numbers are trained: without batch norm statistics."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def tensors(self) -> int:
        """Returns how many tensors a checkpoint has."""
        return len(self.model.state_dict())

    def tensor_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())

    def logits(self, image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.forward(torch.from_numpy(image))[0].numpy()

    def formats(self) -> dict[str, Callable[[Path, int], Path]]:
        """Returns, for each file format, a function that saves the model: (folder, test size) → file."""
        return {
            "pth": self.save_pth,
            "pth-legacy": self.save_pth_legacy,
            "onnx": self.save_onnx,
            "onnx-torchscript": self.save_onnx_torchscript,
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)

    def checkpoint(self) -> object:
        return self.model.state_dict()

    def save_pth(self, folder: Path, size: int) -> Path:
        path = folder / "model.pth"
        torch.save(self.checkpoint(), path)
        return path

    def save_pth_legacy(self, folder: Path, size: int) -> Path:
        path = folder / "model.pth"
        save_legacy(self.checkpoint(), path)
        return path

    def save_onnx(self, folder: Path, size: int) -> Path:
        """Exports with the defaults of the exporter that PyTorch recommends: weights in a file beside the model."""
        path = folder / "model.onnx"
        torch.onnx.export(self.model, (torch.zeros(1, 3, size, size),), path, dynamo=True, verbose=False)
        return path

    def save_onnx_torchscript(self, folder: Path, size: int) -> Path:
        """Exports with the defaults of the exporter of older releases: batch norm folded, everything in one file."""
        return self._export_torchscript(self.model, folder, size, 17)

    def _export_torchscript(self, model: nn.Module, folder: Path, size: int, opset: int) -> Path:
        path = folder / "model.onnx"
        names = {"input_names": ["input"], "output_names": ["output"], "opset_version": opset}
        torch.onnx.export(model, (torch.zeros(1, 3, size, size),), path, dynamo=False, **names)
        return path


class Torchvision(Classifier):
    @classmethod
    def build(cls, name: str) -> "Torchvision":
        import torchvision

        cls.library = f"torchvision {torchvision.__version__.split('+')[0]}"
        return cls(torchvision.models.get_model(name, weights=None))


class WslImages(Classifier):
    """The models that Paddle's WSL variants were converted from: torchvision's class, as the repository
    facebookresearch/WSL-Images builds it."""

    @classmethod
    def build(cls, width_per_group: str) -> "WslImages":
        import torchvision
        from torchvision.models.resnet import Bottleneck, ResNet

        cls.library = f"WSL-Images, torchvision {torchvision.__version__.split('+')[0]}"
        return cls(ResNet(Bottleneck, [3, 4, 23, 3], groups=32, width_per_group=int(width_per_group)))


class Timm(Classifier):
    @classmethod
    def build(cls, name: str) -> "Timm":
        import timm

        cls.library = f"timm {timm.__version__}"
        return cls(timm.create_model(name, pretrained=False))

    def formats(self) -> dict[str, Callable[[Path, int], Path]]:
        return {"safetensors": self.save_safetensors} | super().formats()

    def save_safetensors(self, folder: Path, size: int) -> Path:
        """Saves as timm publishes models on the Hugging Face hub."""
        from timm.models import save_for_hf

        save_for_hf(self.model, folder, safe_serialization=True)
        return folder / "model.safetensors"


class Mmpretrain(Classifier):
    @classmethod
    def build(cls, name: str) -> "Mmpretrain":
        import mmpretrain

        cls.library = f"mmpretrain {mmpretrain.__version__}"
        return cls(mmpretrain.get_model(name, pretrained=False))

    def checkpoint(self) -> object:
        """Returns what mmpretrain's model zoo publishes: a training checkpoint without its optimizer."""
        import mmengine
        import mmpretrain
        from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu

        meta = {
            "epoch": 100,
            "iter": 500400,
            "cfg": "model = dict(type='ImageClassifier')",
            "mmengine_version": mmengine.__version__,
            "mmpretrain_version": mmpretrain.__version__,
            "dataset_meta": {"classes": ["tench", "goldfish"]},
            "seed": 0,
        }
        return {"meta": meta, "state_dict": weights_to_cpu(get_state_dict(self.model))}

    def formats(self) -> dict[str, Callable[[Path, int], Path]]:
        formats = super().formats()
        # Its own exporter uses PyTorch's older one, so one file of it is enough.
        del formats["onnx-torchscript"]
        return formats | {"onnx-softmax": self.save_onnx_softmax}

    def save_pth(self, folder: Path, size: int) -> Path:
        from mmengine.runner import save_checkpoint

        path = folder / "model.pth"
        save_checkpoint(self.checkpoint(), str(path))
        return path

    def save_onnx_softmax(self, folder: Path, size: int) -> Path:
        """Exports as mmdeploy does and as `pytorch2onnx.py` of mmcls did: probabilities, opset 11."""
        # In inference mode, because the exporter otherwise leaves the model in training mode.
        whole = nn.Sequential(self.model, nn.Softmax(dim=1)).eval()
        return self._export_torchscript(whole, folder, size, 11)
