#!/usr/bin/env python3
"""What a calibration set or a network does to int8: the measurements behind the thresholds of `resnext compile`'s warnings.

    calibration_warnings.py RESNEXT DATA OUT_DIR [NAME...]

Makes folders of photos and copies of the reference network in OUT_DIR, compiles each with RESNEXT, and prints a row of Markdown for
each: agreement and dB on the samples, with VALIDATE=1 also on 200 photos of validation, the distance from the training images at
each stage, and which warnings there were. DATA has imagenette/calib, imagenette/val and imagenet. NAMEs choose
rows. STRESS is the path of a script that writes networks whose channels differ in scale, called with a model and a folder. Needs Pillow, numpy and safetensors.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "models/reference/resnext26_16x4d_half-imagenette.safetensors"
ARCH = "bundled/resnext26_16x4d_half-imagenette"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

resnext, data, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
wanted = set(sys.argv[4:])
rng = random.Random(0)


def spread(files, count):
    """As `resnext` spreads samples."""
    files = sorted(files)
    return files if count >= len(files) else [files[(2 * i + 1) * len(files) // (2 * count)] for i in range(count)]


def images(folder):
    return [p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")]


CALIB = images(data / "imagenette/calib")
PHOTOS = spread(CALIB, 64)


def links(name, files):
    folder = out / "samples" / name
    folder.mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(files):
        link = folder / f"{i:04}{file.suffix}"
        if not link.exists():
            link.symlink_to(file)
    return folder


def made(name, pictures):
    folder = out / "samples" / name
    if not folder.exists():
        folder.mkdir(parents=True)
        for i, picture in enumerate(pictures()):
            picture.save(folder / f"{i:04}.png")
    return folder


def each(change):
    return lambda: (change(Image.open(p).convert("RGB")) for p in PHOTOS)


def constant(colour, count=64):
    return lambda: (Image.new("RGB", (200, 180), colour(i)) for i in range(count))


def noise(low, high):
    generator = np.random.default_rng(0)
    return lambda: (Image.fromarray(generator.integers(low, high, (180, 200, 3), dtype=np.uint8)) for _ in range(64))


def pages():
    for i in range(64):
        page = Image.new("RGB", (300, 400), (250, 248, 245))
        draw = ImageDraw.Draw(page)
        for y in range(20, 380, 14):
            draw.text((20, y), "".join(rng.choice("abcdefghi klmno prstuvw") for _ in range(40)), fill=(20, 20, 20))
        yield page


def jittered():
    picture = Image.open(PHOTOS[3]).convert("RGB")
    for i in range(64):
        pixels = np.asarray(picture, dtype=float) * rng.uniform(0.8, 1.2) + np.random.default_rng(i).normal(0, 4, (picture.height, picture.width, 3))
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def first_layer(change):
    """Writes the network that expects another form of its input: its function on that form is the reference's on its own."""
    def write(path):
        tensors = load_file(WEIGHTS)
        key = next(k for k in tensors if k.endswith("conv1.weight") and "." not in k.removesuffix("conv1.weight").strip("."))
        tensors[key] = np.ascontiguousarray(change(tensors[key].astype(np.float32), tensors))
        save_file(tensors, path)
    return write


def network(name, write):
    path = out / f"{name}.safetensors"
    if not path.exists():
        write(path)
    return path


def scaled(factor):
    return first_layer(lambda w, _: w * np.array(factor, np.float32).reshape(1, 3, 1, 1))


def shifted(scale, mean):
    """Input (pixel / 255 - mean) / scale instead of the usual; the batch norm behind takes up the difference of the means."""
    def change(weight, tensors):
        factor = scale / STD
        shift = ((mean - MEAN) / STD).astype(np.float32)
        bias = (weight * shift.reshape(1, 3, 1, 1)).sum((1, 2, 3))
        key = next(k for k in tensors if k.endswith("bn1.running_mean") and k.count(".") == 1)
        tensors[key] = tensors[key] - bias.astype(tensors[key].dtype)
        return weight * factor.astype(np.float32).reshape(1, 3, 1, 1)
    return first_layer(change)


def stress():
    folder = out / "stress"
    if not folder.exists() and "STRESS" in os.environ:
        subprocess.run([sys.executable, os.environ["STRESS"], str(WEIGHTS), str(folder)], check=True)
    return sorted(folder.glob("*.safetensors")) if folder.exists() else []


FAST = ["--effort", "fast"]
ROWS = {}
for count in (1, 2, 4, 6, 8, 10, 16, 32, 64):
    ROWS[f"photos {count}"] = lambda count=count: (WEIGHTS, links(f"photos{count}", spread(CALIB, count)), FAST)
for seed in range(4):
    pick = lambda seed=seed: random.Random(seed).sample(sorted(CALIB), 1)
    ROWS[f"one photo, {seed}"] = lambda seed=seed, pick=pick: (WEIGHTS, links(f"one{seed}", pick()), FAST)
ROWS["validation 64"] = lambda: (WEIGHTS, links("val64", spread(images(data / "imagenette/val"), 64)), FAST)
ROWS["demo photos"] = lambda: (WEIGHTS, ROOT / "calibration/samples", FAST)
ROWS["imagenet"] = lambda: (WEIGHTS, data / "imagenet", FAST)
ROWS["high effort"] = lambda: (WEIGHTS, links("photos64", PHOTOS), [])
for folder in sorted((data / "imagenette/calib").iterdir()):
    ROWS[f"one class, {folder.name}"] = lambda f=folder: (WEIGHTS, links(f"class-{f.name}", spread(images(f), 50)), FAST)
ROWS |= {
    "black 8": lambda: (WEIGHTS, made("black8", constant(lambda i: (0, 0, 0), 8)), FAST),
    "black 64": lambda: (WEIGHTS, made("black64", constant(lambda i: (0, 0, 0))), FAST),
    "white": lambda: (WEIGHTS, made("white", constant(lambda i: (255, 255, 255))), FAST),
    "one colour each": lambda: (WEIGHTS, made("colours", constant(lambda i: (i * 37 % 256, i * 91 % 256, i * 11 % 256))), FAST),
    "dark noise": lambda: (WEIGHTS, made("dark", noise(0, 8)), FAST),
    "white noise": lambda: (WEIGHTS, made("noise", noise(0, 256)), FAST),
    "copies": lambda: (WEIGHTS, links("copies", [PHOTOS[3]] * 64), FAST),
    "copies, brighter and noisy": lambda: (WEIGHTS, made("jittered", jittered), FAST),
    "small 32": lambda: (WEIGHTS, made("small32", each(lambda p: p.resize((32, 32), Image.BILINEAR))), FAST),
    "small 32, enlarged": lambda: (WEIGHTS, made("enlarged", each(lambda p: p.resize((32, 32), Image.BILINEAR).resize((200, 200), Image.BICUBIC))), FAST),
    "blurred": lambda: (WEIGHTS, made("blurred", each(lambda p: p.filter(ImageFilter.GaussianBlur(4)))), FAST),
    "grey": lambda: (WEIGHTS, made("grey", each(lambda p: p.convert("L").convert("RGB"))), FAST),
    "negative": lambda: (WEIGHTS, made("negative", each(lambda p: Image.eval(p, lambda v: 255 - v))), FAST),
    "dark photos": lambda: (WEIGHTS, made("darker", each(lambda p: Image.eval(p, lambda v: v // 8))), FAST),
    "half as bright": lambda: (WEIGHTS, made("half", each(lambda p: Image.eval(p, lambda v: v // 2))), FAST),
    "swapped colours in the photos": lambda: (WEIGHTS, made("swapped", each(lambda p: Image.merge("RGB", p.split()[::-1]))), FAST),
    "pages of text": lambda: (WEIGHTS, made("pages", pages), FAST),
    "network for BGR": lambda: (network("bgr", first_layer(lambda w, _: w[:, ::-1])), links("photos64", PHOTOS), FAST),
    "network for 0..255": lambda: (network("255", shifted(np.full(3, 1 / 255), np.zeros(3))), links("photos64", PHOTOS), FAST),
    "network for 0..1": lambda: (network("01", shifted(np.ones(3), np.zeros(3))), links("photos64", PHOTOS), FAST),
    "network for -1..1": lambda: (network("11", shifted(np.full(3, 0.5), np.full(3, 0.5))), links("photos64", PHOTOS), FAST),
    "network for mean 0.5, std 0.25": lambda: (network("25", shifted(np.full(3, 0.25), np.full(3, 0.5))), links("photos64", PHOTOS), FAST),
    "network for 0..255 minus mean": lambda: (network("caffe", shifted(np.full(3, 1 / 255), MEAN)), links("photos64", PHOTOS), FAST),
}
for method in (["max"], ["mse"], ["entropy"], *(["percentile", "--percentile", p] for p in ("99.99", "99.9", "99.5", "99", "98", "95", "90", "75", "50"))):
    ROWS["method " + " ".join(m for m in method if m != "--percentile")] = lambda m=method: (WEIGHTS, links("photos64", PHOTOS), ["--method", *m, *FAST])
ROWS["method percentile 90, high effort"] = lambda: (WEIGHTS, links("photos64", PHOTOS), ["--method", "percentile", "--percentile", "90"])
ROWS["data-free"] = lambda: (WEIGHTS, None, [])
for path in stress():
    ROWS[f"stress {path.stem}"] = lambda path=path: (path, links("photos64", PHOTOS), [])
    ROWS[f"stress {path.stem}, fast"] = lambda path=path: (path, links("photos64", PHOTOS), FAST)
    ROWS[f"stress {path.stem}, data-free"] = lambda path=path: (path, None, [])

print("| calibrated on | agreement %, dB | validation: agreement %, dB | nats at stages 1 to 4 | warnings |")
print("|---|---|---|---|---|")
for name, row in ROWS.items():
    if wanted and not any(name.startswith(w) for w in wanted):
        continue
    weights, samples, options = row()
    model = out / "model.rnx"
    calibrate = ["--samples", str(samples)] if samples else ["--data-free"]
    run = [resnext, "compile", str(weights), "--arch", ARCH, *calibrate, "-o", str(model), *options, "--json"]
    ran = subprocess.run(run, capture_output=True, text=True)
    if ran.returncode:
        print(f"| {name} | {ran.stderr.strip()} | | | |", flush=True)
        continue
    found = json.loads(ran.stdout)
    validated = ""
    # A network for another form of the input is the reference on that form, so only fp32 beside int8 says anything.
    if os.environ.get("VALIDATE") and not name.startswith("network"):
        val = [resnext, "eval", str(model), "--data", str(data / "imagenette/val"), "--num", "200", "--baseline", str(weights), "--json"]
        val = json.loads(subprocess.run(val, capture_output=True, text=True, check=True).stdout)
        validated = f"{100 * val['agreement']:.1f}, {val['logit_sqnr_db']:.1f}"
    number = lambda x, digits=1: "" if x is None else f"{x:.{digits}f}"
    distance = ", ".join(number(d["nats"], 3) for d in found["training_distance"])
    quiet = ("slower", "disturbed", "times vary")
    warnings = " / ".join(w.split(";")[0] for w in found["warnings"] if not any(q in w for q in quiet))
    agreement = "" if found["agreement"] is None else f"{100 * found['agreement']:.1f}"
    print(f"| {name} | {agreement}, {number(found['logit_sqnr_db'])} | {validated} | {distance} | {warnings} |", flush=True)
