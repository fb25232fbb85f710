#!/usr/bin/env python3
"""Compares decoded pixels with Pillow's: on JPEGs of thousands of layouts, whole and damaged, and on files of every other
format that is read.

    pip install pillow numpy
    cargo build --release -p resnext-photo --example pixels
    benches/photo.py target/release/examples/pixels [COUNT]

A file must give the same bytes, or be refused. benches/record/jpeg.md has results.
"""

import io
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "crates/photo/tests/fixtures"))
import formats
import layouts


def pillow(data):
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return image.size, image.tobytes()
    except Exception:
        return None


def ours(program, files):
    """Yields what `program` decodes the files to, or None where it refuses one."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(i)) for i in range(len(files))]
        for path, data in zip(paths, files):
            path.write_bytes(data)
        names = "".join(f"{path}\n" for path in paths)
        out = io.BytesIO(subprocess.run([program], input=names.encode(), stdout=subprocess.PIPE, check=True).stdout)
    for _ in files:
        width, height = struct.unpack("<II", out.read(8))
        yield ((width, height), out.read(width * height * 3)) if width else None


def compare(kind, program, cases, told=20):
    names, files = zip(*cases)
    counts = Counter()
    for name, data, found in zip(names, files, ours(program, files)):
        wanted = pillow(data)
        result = "equal" if found == wanted else "refused here" if not found else "DIFFERENT"
        result = "refused by both" if not wanted and not found else result
        counts[result] += 1
        if result in ("DIFFERENT", "refused here") and counts[result] <= told:
            print(f"{kind}: {result}: {name}")
    print(f"{kind}: {', '.join(f'{count} {result}' for result, count in sorted(counts.items()))}")
    return counts["DIFFERENT"]


def damaged(cases, seed):
    """Yields files in which some bytes are changed, mostly in the headers."""
    roll = random.Random(seed)
    for name, data in cases:
        data = bytearray(data)
        for _ in range(roll.choice([1, 1, 2, 4])):
            end = roll.choice([min(len(data), 60), len(data)])
            data[roll.randrange(2, end)] = roll.choice([0, 1, 2, 0x11, 0x22, 0xFF, roll.randrange(256)])
        yield name, bytes(data)


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    wrong = sum(compare("JPEG", program, layouts.chance(500, seed)) for seed in range(-(-count // 500)))
    wrong += sum(compare("damaged JPEG", program, damaged(layouts.chance(500, seed), seed), 0)
                 for seed in range(-(-count // 500)))
    wrong += sum(compare(kind, program, formats.cases(kind)) for kind in formats.KINDS)
    sys.exit(1 if wrong else 0)


main()
