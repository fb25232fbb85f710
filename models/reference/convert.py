"""Round a trained checkpoint to the bundled file, and measure the cost of rounding.

    python convert.py OUT.safetensors --from TRAINED.safetensors [--eval DIR]

The weights of convolutions and of the classifier become fp16. Batch norms and the bias of the classifier stay fp32, because
they are few and have wide ranges. The same input gives the same bytes.

Without `--from`, OUT is only evaluated. DIR holds a folder of JPEGs for each class, for example
`$RESNEXT_DATA/imagenette/val`. Needs torch, timm, safetensors and pillow.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from train import MEAN, STD, WNIDS, build

SIZE, RESIZE = 160, 182


def rounded(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round convolutions (4 axes) and the classifier (2 axes) to fp16, and keep vectors."""
    out = {}
    for name, tensor in sorted(tensors.items()):
        tensor = tensor.half() if tensor.ndim > 1 else tensor.float()
        assert tensor.isfinite().all(), f"{name} does not fit in fp16"
        out[name] = tensor.contiguous()
    return out


def preprocess(path: Path) -> torch.Tensor:
    """Prepare an image like torchvision: resize the shorter side with Pillow's bilinear filter, crop the centre, normalise."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    short = min(width, height)
    width, height = int(RESIZE * width / short), int(RESIZE * height / short)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    image = image.crop((left, top, left + SIZE, top + SIZE))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    return (pixels - MEAN) / STD


@torch.inference_mode()
def evaluate(model: torch.nn.Module, folder: Path, batch: int = 50) -> tuple[int, int, int]:
    """Count the images, and those whose class is first and among the first five."""
    model.eval()
    images = [(path, y) for y, wnid in enumerate(WNIDS) for path in sorted((folder / wnid).glob("*.JPEG"))]
    first = five = 0
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        logits = model(torch.stack([preprocess(path) for path, _ in part]))
        hits = logits.topk(5).indices == torch.tensor([[y] for _, y in part])
        first += int(hits[:, 0].sum())
        five += int(hits.sum())
    return len(images), first, five


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="trained", type=Path)
    parser.add_argument("--eval", type=Path)
    args = parser.parse_args()

    if args.trained:
        # There is only one key of metadata, because the order of several keys in the header is not fixed.
        save_file(rounded(load_file(args.trained)), args.out, metadata={"format": "pt"})
        print(f"{args.out}: {args.out.stat().st_size} bytes")
    if args.eval:
        model = build("small")
        weights = {name: tensor.float() for name, tensor in load_file(args.out).items()}
        missing = model.load_state_dict(weights, strict=False)
        assert not missing.unexpected_keys
        assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys), missing
        images, first, five = evaluate(model, args.eval)
        print(f"{images} images: top-1 {100 * first / images:.2f} %, top-5 {100 * five / images:.2f} %")


if __name__ == "__main__":
    main()
