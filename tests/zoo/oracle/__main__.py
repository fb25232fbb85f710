"""Builds one model, fills it with random weights and saves it in one format after the other.

    python -m oracle ARCH by LIBRARY --folder DIR [--size 224] [--formats pth onnx] [--keep]

Writes `image.f32` and `logits.f32`, raw little-endian, to DIR. Then, for each format, it saves the model there,
prints a line of JSON, waits for a line on stdin and removes the files again, so that never more than one copy is on
the disk. With --keep it waits for nothing and leaves each format in a folder of its own. `--list` says what there is.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from . import MODELS, find
from .weights import Weights, image


def own_stdout():
    """Returns the real stdout for our own use; libraries that print to stdout get stderr instead."""
    ours = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return ours


def check_sanity(logits: np.ndarray, others: np.ndarray) -> None:
    """Refuses logits that are all alike or do not depend on the image: they would prove nothing."""
    largest = np.abs(logits).max()
    assert np.isfinite(logits).all() and 1e-2 < largest < 1e4, f"logits up to {largest}"
    assert logits.std() > 0.1 * largest, f"logits spread {logits.std()} around {logits.mean()}"
    assert np.abs(logits - others).max() > 0.1 * largest, "another image gives the same logits"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="oracle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="*", metavar="ARCH by LIBRARY")
    parser.add_argument("--list", action="store_true", help="print the models as JSON")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--formats", nargs="+")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    out = own_stdout()
    if args.list:
        json.dump([{"id": model.id, "arch": model.arch, "library": model.oracle} for model in MODELS], out, indent=1)
        return

    model = find(" ".join(args.model))
    args.folder.mkdir(parents=True, exist_ok=True)
    oracle = model.build()
    input, other = image(args.size), image(args.size, seed=2)
    oracle.fill(Weights(zlib.crc32(model.id.encode())), other)
    start = time.monotonic()
    logits = oracle.logits(input)
    seconds = time.monotonic() - start
    check_sanity(logits, oracle.logits(other))
    input.astype("<f4").tofile(args.folder / "image.f32")
    logits.astype("<f4").tofile(args.folder / "logits.f32")

    formats = oracle.formats()
    if model.formats:
        formats = {name: save for name, save in formats.items() if name in model.formats}
    for name, save in formats.items():
        if args.formats and name not in args.formats:
            continue
        folder = args.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = save(folder, args.size)
        report = {
            "format": name,
            "path": str(path),
            "library": oracle.library,
            "framework": oracle.framework,
            "keys": oracle.tensors(),
            "parameters": oracle.parameters(),
            "tensor_bytes": oracle.tensor_bytes(),
            "forward_s": round(seconds, 3),
            "largest_logit": float(np.abs(logits).max()),
            "logit_deviation": float(logits.std()),
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        print(json.dumps(report), file=out)
        if not args.keep:
            sys.stdin.readline()
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
