"""Train a ResNeXt on Imagenette (ten classes of ImageNet) on a CPU.

    python train.py --data imagenette2-160/ --out runs/small

Training uses SGD with Nesterov momentum 0.9 and batches of 64, a one-cycle cosine learning rate, weight decay on matrices only,
label smoothing, random resized crops, horizontal flips, and small crops in the first half. It saves an exponential moving
average of the weights. All randomness is seeded. An interrupted run continues from its last epoch. `convert.py` makes the
bundled file from the result.

`--arch small` is the reference model: timm's ResNet class as a ResNeXt-26 with cardinality 16 and half the usual channels.
`--arch rx50` is resnext50_32x4d. Needs torch, timm, safetensors and pillow.
"""
import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

WNIDS = [
    "n01440764",  # tench
    "n02102040",  # English springer
    "n02979186",  # cassette player
    "n03000684",  # chain saw
    "n03028079",  # church
    "n03394916",  # French horn
    "n03417042",  # garbage truck
    "n03425413",  # gas pump
    "n03445777",  # golf ball
    "n03888257",  # parachute
]
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

BATCH = 64
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
WARM_UP = 0.15  # fraction of the run in which the learning rate rises
SMALLEST_CROP = 0.35  # fraction of the area of the image
AVERAGE_DECAY = 0.998  # decay of the moving average after its warm-up


def build(arch: str) -> torch.nn.Module:
    """Make the untrained network, with ten outputs."""
    if arch == "rx50":
        return timm.create_model("resnext50_32x4d", num_classes=len(WNIDS), pretrained=False)
    return timm.models.resnet.ResNet(
        timm.models.resnet.Bottleneck,
        layers=[2, 2, 2, 2],
        num_classes=len(WNIDS),
        cardinality=16,
        base_width=8,
        channels=(32, 64, 128, 256),
    )


def load(folder: Path) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Load all images of a split as uint8 [3, height, width], and their classes. Imagenette at 160 pixels fits in memory."""
    images, classes = [], []
    for y, wnid in enumerate(WNIDS):
        for path in sorted((folder / wnid).glob("*.JPEG")):
            pixels = np.array(Image.open(path).convert("RGB"))
            images.append(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
            classes.append(y)
    return images, torch.tensor(classes)


def resized(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.interpolate(image[None].float(), (height, width), mode="bilinear", antialias=True)[0]


def random_crop(image: torch.Tensor, size: int) -> torch.Tensor:
    """Crop a random part with an aspect ratio from 3:4 to 4:3, scale it to size×size, and mirror it half the time."""
    _, height, width = image.shape
    h = w = min(height, width)
    for _ in range(10):
        area = height * width * np.random.uniform(SMALLEST_CROP, 1)
        ratio = math.exp(np.random.uniform(math.log(3 / 4), math.log(4 / 3)))
        try_w, try_h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < try_w <= width and 0 < try_h <= height:
            h, w = try_h, try_w
            break
    top, left = np.random.randint(height - h + 1), np.random.randint(width - w + 1)
    crop = resized(image[:, top : top + h, left : left + w], size, size)
    return crop.flip(2) if np.random.rand() < 0.5 else crop


def centre_crop(image: torch.Tensor, resize: int, size: int) -> torch.Tensor:
    _, height, width = image.shape
    scale = resize / min(height, width)
    height, width = max(size, round(height * scale)), max(size, round(width * scale))
    top, left = (height - size) // 2, (width - size) // 2
    return resized(image, height, width)[:, top : top + size, left : left + size]


def forward(model: torch.nn.Module, crops: list[torch.Tensor]) -> torch.Tensor:
    batch = (torch.stack(crops) / 255 - MEAN) / STD
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(batch.to(memory_format=torch.channels_last))


@torch.no_grad()
def top1(model: torch.nn.Module, images, classes, size: int, resize: int, probe: int | None = None) -> float:
    """Measure the accuracy, on about `probe` evenly spaced images if `probe` is given."""
    model.eval()
    chosen = list(range(len(images)))[:: max(1, len(images) // probe) if probe else 1]
    right = 0
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        logits = forward(model, [centre_crop(images[i], resize, size) for i in part])
        right += int((logits.argmax(1) == classes[part]).sum())
    return right / len(chosen)


def learning_rate(peak: float, step: int, steps: int) -> float:
    """Return the learning rate: linear to the peak, then half a cosine to zero."""
    warm = WARM_UP * steps
    if step < warm:
        return peak * step / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


@torch.no_grad()
def average(shadow: dict[str, torch.Tensor], model: torch.nn.Module, step: int) -> None:
    decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if value.dtype.is_floating_point:
            shadow[name].lerp_(value, 1 - decay)
        else:
            shadow[name].copy_(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and val/, one folder per class each")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", choices=["small", "rx50"], default="small")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--sizes", default="96:0.5,128:1.0", help="crop size and the part of the run at which it ends")
    parser.add_argument("--probe", type=int, default=800, help="validation images looked at after an epoch")
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    np.random.seed(0)

    images, classes = load(args.data / "train")
    val_images, val_classes = load(args.data / "val")
    print(f"{len(images)} training images, {len(val_images)} validation images", flush=True)

    model = build(args.arch).to(memory_format=torch.channels_last)
    shadow = {name: value.clone() for name, value in model.state_dict().items()}
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0},
    ]
    optimizer = torch.optim.SGD(groups, lr=args.lr, momentum=MOMENTUM, nesterov=True)
    steps_per_epoch = len(images) // BATCH
    steps = steps_per_epoch * args.epochs
    sizes = [(int(size), float(end)) for size, end in (part.split(":") for part in args.sizes.split(","))]

    first_epoch, checkpoint = 0, args.out / "last.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        shadow, first_epoch = saved["shadow"], saved["epoch"]

    for epoch in range(first_epoch, args.epochs):
        started, total_loss = time.time(), 0.0
        size = next(size for size, end in sizes if epoch < end * args.epochs)
        order = torch.randperm(len(images))
        model.train()
        for i in range(steps_per_epoch):
            step = epoch * steps_per_epoch + i
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(args.lr, step, steps)
            chosen = order[i * BATCH : (i + 1) * BATCH].tolist()
            logits = forward(model, [random_crop(images[j], size) for j in chosen])
            loss = F.cross_entropy(logits.float(), classes[chosen], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average(shadow, model, step)
            total_loss += loss.item()

        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "shadow": shadow, "epoch": epoch + 1}
        torch.save(state, checkpoint)
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(shadow)
        line = {
            "epoch": epoch,
            "size": size,
            "loss": round(total_loss / steps_per_epoch, 4),
            "val_top1": round(top1(averaged, val_images, val_classes, 160, 182, args.probe), 4),
            "seconds": round(time.time() - started),
        }
        print(json.dumps(line), flush=True)

    model.load_state_dict(shadow)
    tensors = {k: v.contiguous() for k, v in shadow.items() if not k.endswith("num_batches_tracked")}
    save_file(tensors, args.out / "final.safetensors", metadata={"format": "pt"})
    for size, resize in [(128, 146), (160, 182), (224, 256)]:
        print(json.dumps({"size": size, "val_top1": round(top1(model, val_images, val_classes, size, resize), 4)}))


if __name__ == "__main__":
    main()
