#!/usr/bin/env python3
"""Compares JPEG decoders with Pillow's libjpeg-turbo on photographs, pixel by pixel: as decoded, and after resizing to 256
and cropping 224 as for most of the zoo.

    pip install pillow numpy opencv-python-headless
    cargo build --release -p resnext-photo --example pixels
    benches/jpeg.py target/release/examples/pixels DIR

DIR is searched for .jpg, .jpeg and .JPEG. Prints a table in Markdown: for each way of storing chroma the share of bytes that
equal Pillow's, the greatest and the mean difference, for `resnext-photo`, zune-jpeg and OpenCV.
"""

import argparse
import struct
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy
from PIL import Image

SAMPLING = {((1, 1),): "grey", ((1, 1),) * 3: "4:4:4", ((2, 1), (1, 1), (1, 1)): "4:2:2", ((2, 2), (1, 1), (1, 1)): "4:2:0"}


def pixels(command, paths):
    """Returns each picture as the example decodes it."""
    with tempfile.TemporaryFile() as listing:
        listing.write("".join(f"{path}\n" for path in paths).encode())
        listing.seek(0)
        with subprocess.Popen(command, stdin=listing, stdout=subprocess.PIPE) as process:
            for _ in paths:
                width, height = struct.unpack("<II", process.stdout.read(8))
                yield numpy.frombuffer(process.stdout.read(width * height * 3), numpy.uint8).reshape(height, width, 3)


def opencv(paths):
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    for path in paths:
        yield cv2.imread(str(path), flags)[:, :, ::-1]


def crop(picture):
    """Applies torchvision's Resize(256) and CenterCrop(224)."""
    height, width = picture.shape[:2]
    short = min(width, height)
    size = tuple(256 if side == short else int(256 * side / short) for side in (width, height))
    image = Image.fromarray(numpy.ascontiguousarray(picture)).resize(size, Image.Resampling.BILINEAR)
    left, top = (int(round((side - 224) / 2)) for side in size)
    return numpy.asarray(image.crop((left, top, left + 224, top + 224)))


class Difference:
    def __init__(self):
        self.bytes = self.equal = self.sum = self.most = 0

    def add(self, a, b):
        difference = numpy.abs(a.astype(numpy.int16) - b)
        self.bytes += difference.size
        self.equal += int((difference == 0).sum())
        self.sum += int(difference.sum())
        self.most = max(self.most, int(difference.max()))

    def __str__(self):
        return f"{100 * self.equal / self.bytes:.2f} | {self.most} | {self.sum / self.bytes:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", help="the example `pixels` of resnext-photo")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args()

    paths = sorted(path for path in args.directory.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    decoders = {
        "resnext-photo": pixels([args.example], paths),
        "zune-jpeg": pixels([args.example, "zune"], paths),
        "OpenCV": opencv(paths),
    }
    photos = defaultdict(int)
    table = defaultdict(lambda: (Difference(), Difference()))
    for path, *pictures in zip(paths, *decoders.values()):
        image = Image.open(path)
        sampling = tuple((layer[1], layer[2]) for layer in image.layer)
        sampling = SAMPLING.get(sampling, "other")
        photos[sampling] += 1
        reference = numpy.asarray(image.convert("RGB"))
        cropped = crop(reference)
        for decoder, picture in zip(decoders, pictures):
            decoded, resized = table[sampling, decoder]
            decoded.add(picture, reference)
            resized.add(crop(picture), cropped)
    print("| chroma | photos | decoder | equal % | most | mean | equal %, resized | most | mean |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (sampling, decoder), (decoded, resized) in sorted(table.items()):
        print(f"| {sampling} | {photos[sampling]} | {decoder} | {decoded} | {resized} |")


main()
