#!/usr/bin/env python3
"""Holds our fp32 path against the library of every variant, in every file format it saves.

    tests/zoo/sweep.py                                            everything: a long evening
    tests/zoo/sweep.py --only resnext50 --formats pth safetensors part of it
    tests/zoo/sweep.py --compile --only fix_resnext101            memory and time of `resnext compile` instead

README.md beside this file says what is compared. Needs Python 3.11 with venv; it installs everything else in its
cache. Results go to stdout as a Markdown table, progress to stderr.
"""

import argparse
import array
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))

from script import Failure, count, install, last_words, main, output_of, say, table, write_json  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
REQUIREMENTS = "requirements.txt", "requirements-no-deps.txt"

# The largest accepted difference of a logit, as a fraction of the largest logit.
TOLERANCE = 1e-3
# The memory that `resnext compile` may take: a multiple of the weights in fp32, and a constant.
PEAK_OF_WEIGHTS, PEAK_BEYOND = 1.3, 1_000_000_000


# Running programs


@dataclass(frozen=True)
class Ran:
    """The outcome of a program."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int


def run(*command: str | Path) -> Ran:
    """Runs a program and measures its time and its peak resident memory."""
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(child.stderr.read()))
        reader.start()
        stdout = child.stdout.read()
        reader.join()
        # `Popen` would reap the child without saying what it used.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(child.returncode, stdout, said[0], time.monotonic() - start, usage.ru_maxrss * unit)


def install_libraries(cache: Path) -> Path:
    """Returns the Python of an environment with the libraries in it."""

    def fill(pip) -> None:
        pip("-r", HERE / REQUIREMENTS[0])
        pip("--no-deps", "-r", HERE / REQUIREMENTS[1])

    wanted = "\n".join((HERE / name).read_text() for name in REQUIREMENTS)
    return install(cache, "torch, Paddle and the model libraries", wanted, fill)


@dataclass(frozen=True)
class Binaries:
    """Our programs."""

    resnext: Path
    fp32_logits: Path

    @classmethod
    def build(cls) -> "Binaries":
        say("building resnext and fp32_logits")
        cargo = ["cargo", "build", "--release", "--quiet", "--manifest-path", ROOT / "Cargo.toml"]
        output_of("cargo", *cargo, "-p", "resnext-cli")
        output_of("cargo", *cargo, "-p", "resnext-calibration", "--example", "fp32_logits")
        return cls(TARGET / "release/resnext", TARGET / "release/examples/fp32_logits")


# The models to check


@dataclass(frozen=True)
class Model:
    """A model of a library, with its variant in the zoo."""

    id: str
    library: str
    variant: dict[str, Any]

    @property
    def arch(self) -> str:
        return self.variant["arch"]

    @property
    def size(self) -> int:
        return self.variant["preprocess"]["size"]


def models(python: Path, binaries: Binaries) -> list[Model]:
    """Returns the oracle's models in the order of the zoo. Every variant must have one."""
    zoo = json.loads(output_of("resnext zoo", binaries.resnext, "zoo", "--json"))
    variants = {each["arch"]: each for each in zoo if each["source"] != "bundled"}
    listed = json.loads(output_of("the oracle", *oracle(python), "--list"))
    if {each["arch"] for each in listed} != set(variants):
        unknown = set(variants) ^ {each["arch"] for each in listed}
        raise Failure(f"the zoo and the oracle differ in {', '.join(sorted(unknown))}")
    return [Model(each["id"], each["library"], variants[each["arch"]]) for each in listed]


def oracle(python: Path) -> list[str | Path]:
    """Returns the command that runs the oracle from any directory."""
    enter = f"import sys, runpy; sys.path.insert(0, {str(HERE)!r}); runpy.run_module('oracle', run_name='__main__')"
    return [python, "-W", "ignore", "-c", enter]


@contextmanager
def saved(python: Path, model: Model, folder: Path, formats: list[str]) -> Iterator[Iterator[dict[str, Any]]]:
    """Yields the files that the oracle saves, one at a time. Each is removed when the next is asked for."""
    command = [*oracle(python), model.id, "--folder", folder, "--size", str(model.size)]
    if formats:
        command += ["--formats", *formats]
    folder.mkdir(parents=True)
    log = folder / "oracle.log"

    def reports() -> Iterator[dict[str, Any]]:
        for line in child.stdout:
            yield json.loads(line)
            child.stdin.write("\n")
            child.stdin.flush()
        if child.wait() != 0:
            what = f"was killed by signal {-child.returncode}" if child.returncode < 0 else "failed"
            raise Failure(f"the oracle {what}; it said last: {last_words(log.read_text(errors='replace'))}")

    pipe = subprocess.PIPE
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as child,
    ):
        try:
            yield reports()
        finally:
            child.kill()
            shutil.rmtree(folder, ignore_errors=True)


# Checks


@dataclass
class Row:
    """One file and the outcome of its checks."""

    arch: str
    library: str
    format: str
    keys: int
    parameters: int
    file_bytes: int
    seconds: float = 0.0
    peak_bytes: int = 0
    # Of the logits.
    difference: float | None = None
    # Of `resnext compile`.
    peak_limit: int | None = None
    classify_s: float | None = None
    wrong: str = ""


def floats(path: Path) -> array.array:
    values = array.array("f")
    values.frombytes(path.read_bytes())
    if sys.byteorder == "big":
        values.byteswap()
    return values


def relative_difference(ours: array.array, theirs: array.array) -> float:
    """Returns the largest difference as a fraction of the largest logit."""
    if len(ours) != len(theirs):
        raise Failure(f"{len(ours)} logits, the library has {len(theirs)}")
    return max(abs(a - b) for a, b in zip(ours, theirs)) / max(map(abs, theirs))


def check_logits(binaries: Binaries, model: Model, folder: Path, path: Path, row: Row) -> None:
    """Compares our fp32 logits with the library's."""
    output = folder / "ours.f32"
    ran = run(binaries.fp32_logits, "--arch", model.arch, path, folder / "image.f32", output)
    row.seconds, row.peak_bytes = ran.seconds, ran.peak_bytes
    if ran.status != 0:
        raise Failure(last_words(ran.stderr))
    row.difference = relative_difference(floats(output), floats(folder / "logits.f32"))
    if not row.difference <= TOLERANCE:
        raise Failure(f"the logits differ by {row.difference:.1e} of the largest")


def check_compile(binaries: Binaries, model: Model, path: Path, row: Row, args: argparse.Namespace) -> None:
    """Measures time and memory of `resnext compile`, and checks that `resnext classify` accepts the result."""
    photos = (".jpg", ".jpeg", ".png")
    photo = next((file for file in sorted(args.samples.rglob("*")) if file.suffix.lower() in photos), None)
    if photo is None:
        raise Failure(f"{args.samples} has no photos; give --samples a folder that has")
    out = path.with_name("out.rnx")
    command = [binaries.resnext, "compile", path, "--arch", model.arch, "--samples", args.samples]
    ran = run(*command, "--num", str(args.num), "-o", out, "--json")
    row.seconds, row.peak_bytes = ran.seconds, ran.peak_bytes
    if ran.status != 0:
        raise Failure(last_words(ran.stderr))
    start = time.monotonic()
    [result] = json.loads(output_of("classify", binaries.resnext, "classify", out, photo, "--json"))
    row.classify_s = time.monotonic() - start
    if not result["top"]:
        raise Failure("classify named no class")
    if row.peak_bytes >= row.peak_limit:
        raise Failure(f"compile took {row.peak_bytes / 1e9:.2f} GB, more than {row.peak_limit / 1e9:.2f} GB")


def check_parameters(model: Model, row: Row) -> None:
    if row.parameters != model.variant["params"]:
        raise Failure(f"the library counts {row.parameters} parameters, we {model.variant['params']}")


def check(python: Path, binaries: Binaries, model: Model, args: argparse.Namespace) -> Iterator[Row]:
    """Checks one model in all its formats; with `--compile` in the first of them only."""
    folder = args.work / model.id.replace("/", "-").replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    with saved(python, model, folder, args.formats) as reports:
        for report in reports:
            path = Path(report["path"])
            row = Row(
                arch=model.arch,
                library=f"{report['library']}, {report['framework']}",
                format=report["format"],
                keys=report["keys"],
                parameters=report["parameters"],
                file_bytes=sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")),
                peak_limit=int(PEAK_OF_WEIGHTS * report["tensor_bytes"]) + PEAK_BEYOND if args.compile else None,
            )
            try:
                check_parameters(model, row)
                if args.compile:
                    check_compile(binaries, model, path, row, args)
                else:
                    check_logits(binaries, model, folder, path, row)
            except Failure as failure:
                row.wrong = str(failure)
            outcome = row.wrong or ("ok" if args.compile else f"ok, {row.difference:.1e}")
            say(f"{model.id}, {row.format}: {outcome}; {row.seconds:.1f} s, {row.peak_bytes / 1e9:.2f} GB")
            yield row
            if args.compile:
                return


# Reporting


def markdown(rows: list[Row], compiled: bool) -> str:
    """Returns rows as Markdown."""
    measured = ["of allowed GB", "classify s"] if compiled else ["max difference"]
    numbers = ["keys", "params M", "file MB", *measured, "s", "peak GB"]
    lines = []
    for row in rows:
        if compiled:
            figures = [f"{row.peak_limit / 1e9:.2f}", "" if row.classify_s is None else f"{row.classify_s:.1f}"]
        else:
            figures = ["" if row.difference is None else f"{row.difference:.1e}"]
        lines.append(
            [
                row.arch,
                row.library,
                row.format,
                str(row.keys),
                f"{row.parameters / 1e6:.3f}",
                f"{row.file_bytes / 1e6:.0f}",
                *figures,
                f"{row.seconds:.1f}",
                f"{row.peak_bytes / 1e9:.2f}",
                row.wrong.replace("|", "¦") or "ok",
            ]
        )
    return table(["variant", "library", "format", *numbers, ""], lines, numbers)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Holds our fp32 path against the library of every variant, in every file format it saves."
    )
    option = parser.add_argument
    option("--only", nargs="+", metavar="PATTERN", default=[],
           help='models whose "ARCH by LIBRARY" contains one of these; * and ? stand for others')  # fmt: skip
    option("--formats", nargs="+", metavar="FORMAT", default=[],
           help="such as pth, safetensors, pdparams (default: all)")  # fmt: skip
    option("--compile", action="store_true",
           help="measure `resnext compile` and `classify`, of the first format")  # fmt: skip
    option("--samples", type=Path, default=ROOT / "calibration/samples", metavar="DIR",
           help="photos to calibrate on (default: calibration/samples)")  # fmt: skip
    option("--num", type=count, default=2, metavar="N", help="how many of them (default: 2)")
    option("--jobs", type=count, default=1, metavar="N", help="models at a time (default: 1, which measures best)")
    option("--json", type=Path, metavar="FILE", help="where to write everything measured")
    option("--work", type=Path, default=TARGET / "zoo", metavar="DIR",
           help="for the libraries and, one at a time, the files: 20 GB (default: target/zoo)")  # fmt: skip
    option("--python", type=Path, metavar="PATH",
           help="an interpreter that has the libraries (default: installs them)")  # fmt: skip
    option("--binaries", nargs=2, type=Path, metavar=("RESNEXT", "FP32_LOGITS"),
           help="built ones (default: builds them)")  # fmt: skip
    option("--list", action="store_true", help="print the models and stop")
    return parser.parse_args()


def chosen(everything: list[Model], patterns: list[str]) -> list[Model]:
    matching = [m for m in everything if not patterns or any(fnmatch.fnmatch(m.id, f"*{p}*") for p in patterns)]
    if not matching:
        raise Failure("no model matches --only; --list prints them")
    return matching


def sweep() -> bool:
    """Checks everything; returns whether nothing failed."""
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    python = args.python or install_libraries(args.work)
    binaries = Binaries(*args.binaries) if args.binaries else Binaries.build()
    wanted = chosen(models(python, binaries), args.only)
    if args.list:
        print("\n".join(model.id for model in wanted))
        return True
    broken: list[str] = []

    def rows(model: Model) -> list[Row]:
        found: list[Row] = []
        try:
            found.extend(check(python, binaries, model, args))
        except Failure as failure:
            broken.append(f"{model.id}: {failure}")
            say(broken[-1])
        return found

    pool = ThreadPoolExecutor(args.jobs)
    try:
        found = [row for each in pool.map(rows, wanted) for row in each]
    finally:
        # After an interruption nothing else is started.
        pool.shutdown(cancel_futures=True)
    print(markdown(found, args.compile))
    write_json(args.json, {"tolerance": TOLERANCE, "rows": [asdict(row) for row in found], "broken": broken})
    wrong = sum(bool(row.wrong) for row in found)
    say(f"{len(found) - wrong} files as they should be, {wrong} not; {len(broken)} of {len(wanted)} models broke off")
    return bool(found) and not wrong and not broken


if __name__ == "__main__":
    sys.exit(main("sweep.py", sweep))
