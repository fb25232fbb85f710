#!/usr/bin/env python3
"""Holds our int8 against onnxruntime's and OpenVINO's on the same quantized networks, out and in.

    tests/qdq/agree.py                          the bundled model on 2,000 photos: five minutes
    tests/qdq/agree.py --every 10               on every tenth of them
    tests/qdq/agree.py --model resnext50.onnx   another network

README.md beside this file says what is compared. Needs Python 3.11 with venv, and PyPI the first time; it installs everything
else in its cache. The result is a Markdown table on stdout, progress goes to stderr.
"""

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))

from script import Failure, count, install, main, output_of, say, table, write_json  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PHOTOS = Path(os.environ.get("RESNEXT_DATA", ROOT.parent / "shared/data")) / "imagenette"
BUNDLED = ROOT / "models/reference/resnext26_16x4d_half-imagenette.safetensors"
BUNDLED_ARCH = "bundled/resnext26_16x4d_half-imagenette"
# The share of photos on which a runtime that reads our file must name our class.
AGREEMENT = 0.995
# onnxruntime calibrates what `resnext import` writes on this many photos.
CALIBRATION = 64


def environment(cache: Path) -> Path:
    """Returns the Python of an environment with the runtimes in it."""
    requirements = HERE / "requirements.txt"
    return install(cache, "onnxruntime and OpenVINO", requirements.read_text(), lambda pip: pip("-r", requirements))


def versions(python: Path) -> str:
    """Returns the versions of the runtimes that are installed."""
    listed = json.loads(output_of("pip list", python, "-m", "pip", "list", "--format", "json"))
    wanted = [line.partition("==")[0] for line in (HERE / "requirements.txt").read_text().split()]
    return ", ".join(f"{each['name']} {each['version']}" for each in listed if each["name"] in wanted)


def cpu() -> str:
    """Returns the processor's name and its int8 instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = [flag for flag in ("avx2", "avx_vnni", "avx512_vnni") if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.machine())} ({', '.join(flags)})"


def photos(folder: Path, every: int) -> list[Path]:
    """Returns every n-th photo in the folders of `folder`, which are named after their classes."""
    found = [file for file in sorted(folder.glob("*/*")) if file.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not found:
        raise Failure(f"{folder} has no folders of photos; give --val, or set RESNEXT_DATA")
    return found[::every]


class Resnext:
    """Our program."""

    def __init__(self, binary: Path | None) -> None:
        if binary is None:
            say("building resnext")
            cargo = ["cargo", "build", "--release", "--quiet", "--manifest-path", ROOT / "Cargo.toml"]
            output_of("cargo", *cargo, "-p", "resnext-cli")
        self.binary = binary or TARGET / "release/resnext"

    def report(self, verb: str, *arguments: str | Path) -> Any:
        return json.loads(output_of(f"resnext {verb}", self.binary, verb, *arguments, "--json"))

    def answers(self, model: Path, files: list[Path]) -> list[int]:
        """Returns the number of the class that `model` gives each photo."""
        classes = [name["label"] for name in self.report("inspect", model)["classes"]]
        results = []
        # As many paths as a command line certainly holds.
        for start in range(0, len(files), 500):
            results += self.report("classify", model, *files[start : start + 500], "--top-k", "1")
        return [classes.index(result["top"][0]["label"]) for result in results]


def compare(python: Path, resnext: Resnext, args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns a row for each runtime, and a list of what is wrong."""
    work: Path = args.work
    options: list[str | Path] = ["--samples", args.samples, "--num", "520"]
    arch = ["--arch", args.arch] if args.arch else []
    ours, qdq, fp32, theirs = (work / name for name in ("ours.rnx", "ours.onnx", "fp32.onnx", "theirs.onnx"))
    say("compiling")
    resnext.report("compile", args.model, *arch, *options, "-o", ours, "--qdq", qdq)
    resnext.report("import", "--weights", args.model, *arch, "-o", fp32)
    names = work / "labels.txt"
    model = resnext.report("inspect", ours)
    names.write_text("".join(f"{name['class'] or ''}\t{name['label']}\n" for name in model["classes"]))
    named = [*arch, "--labels", names]

    say("importing our own QDQ")
    back = work / "back.rnx"
    kept = resnext.report("compile", qdq, *named, "-o", back)["kept"]
    wrong = []
    if (kept["activations"], kept["weights"]) != (kept["of_activations"], kept["of_weights"]):
        wrong.append(f"our own scales and integers did not come back: {kept}")

    files = photos(args.val, args.every)
    folders = sorted({file.parent.name for file in files})
    ids = [name["class"] for name in model["classes"]]
    truth = [ids.index(folder) if folder in ids else folders.index(folder) for folder in (f.parent.name for f in files)]
    samples = photos(args.samples, 1)
    samples = samples[:: max(1, len(samples) // CALIBRATION)][:CALIBRATION]
    job = {
        "preprocess": model["preprocess"],
        "files": [str(file) for file in files],
        "samples": [str(file) for file in samples],
        "ours": str(qdq),
        "fp32": str(fp32),
        "theirs": str(theirs),
    }
    (work / "job.json").write_text(json.dumps(job))
    say("running onnxruntime and OpenVINO")
    runs = json.loads(output_of("the runtimes", python, HERE / "worker.py", work / "job.json"))

    say("running resnext")
    imported = work / "theirs.rnx"
    kept = resnext.report("compile", theirs, *named, "-o", imported)["kept"]
    int8 = {"ours": resnext.answers(ours, files), "theirs": resnext.answers(imported, files)}
    if resnext.answers(back, files) != int8["ours"]:
        wrong.append("our own QDQ, imported again, classifies otherwise")

    def share(a: list[int], b: list[int]) -> float:
        return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)

    rows = []
    for source, title in (("ours", "`resnext compile --qdq`"), ("theirs", "`quantize_static`, u8s8 per channel")):
        rows.append({"file": title, "runtime": "resnext", "top1": share(int8[source], truth)})
        for run in (run for run in runs if run["file"] == source):
            row = {"file": title, "runtime": run["runtime"], "int8": run["int8"], "ms": run["ms"]}
            row |= {"top1": share(run["top"], truth), "agreement": share(run["top"], int8[source])}
            row["held"] = source == "ours" and run["held"]
            rows.append(row)
            if row["held"] and row["agreement"] < AGREEMENT:
                wrong.append(f"{run['runtime']} agrees on {row['agreement']:.2%} only")
    fp32_run = next(run for run in runs if run["file"] == "fp32")
    rows.append({"file": "fp32", "runtime": fp32_run["runtime"], "ms": fp32_run["ms"], "top1": share(fp32_run["top"], truth)})
    share_kept = kept["weights"] / kept["of_weights"]
    say(f"of quantize_static's: {kept['activations']} of {kept['of_activations']} scales and {share_kept:.2%} of weights kept")
    return rows, wrong


def markdown(rows: list[dict[str, Any]]) -> str:
    """Returns rows as Markdown, in bold those that must reach 99.5 %."""
    lines = []
    for row in rows:
        bold = "**" if row.get("held") else ""
        agreement = f"{bold}{100 * row['agreement']:.2f}{bold}" if "agreement" in row else ""
        milliseconds = f"{row['ms']:.1f}" if "ms" in row else ""
        top1 = f"{100 * row['top1']:.2f}"
        lines.append((row["file"], row["runtime"], row.get("int8", ""), top1, agreement, milliseconds))
    return table(["quantized by", "run by", "int8 conv.", "top-1 %", "same class as resnext %", "ms"], lines)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Holds our int8 against onnxruntime's and OpenVINO's on the same quantized networks."
    )
    option = parser.add_argument
    option("--model", type=Path, default=BUNDLED, metavar="FILE", help="fp32 network (default: the bundled one)")
    option("--arch", metavar="LIBRARY/VARIANT", help="what it is, as for `resnext compile`")
    option("--samples", type=Path, default=PHOTOS / "calib", metavar="DIR", help="photos to calibrate on")
    option("--val", type=Path, default=PHOTOS / "val", metavar="DIR", help="photos in folders named after classes")
    option("--every", type=count, default=1, metavar="N", help="take every Nth of these (default: all)")
    option("--resnext", type=Path, metavar="PATH", help="our binary (default: builds it)")
    option("--python", type=Path, metavar="PATH",
           help="an interpreter that has the runtimes (default: installs them)")  # fmt: skip
    option("--json", type=Path, metavar="FILE", help="where to write everything measured")
    option("--work", type=Path, default=TARGET / "qdq", metavar="DIR",
           help="for the runtimes and models, 1 GB (default: target/qdq)")  # fmt: skip
    args = parser.parse_args()
    if args.model == BUNDLED and args.arch is None:
        args.arch = BUNDLED_ARCH
    return args


def agree() -> bool:
    """Compares everything; returns whether all runtimes agree as they should."""
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    python = args.python or environment(args.work)
    rows, wrong = compare(python, Resnext(args.resnext), args)
    print(f"{markdown(rows)}\n\n{datetime.date.today().isoformat()}, {cpu()}; {versions(python)}.")
    write_json(args.json, {"rows": rows, "wrong": wrong})
    for problem in wrong:
        say(f"agree.py: {problem}")
    return not wrong


if __name__ == "__main__":
    sys.exit(main("agree.py", agree))
