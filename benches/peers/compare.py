#!/usr/bin/env python3
"""Measures resnext against OpenVINO, onnxruntime, LiteRT and ncnn on this machine, in one run.

    benches/peers/compare.py                      two networks, 1 and 2 threads: a quarter of an hour
    benches/peers/compare.py --models resnext50_32x4d --threads 1 --rounds 10 --json out.json

Each contender takes a turn in every round, in a new random order, so that other load on the machine affects all of them
alike. README.md beside this file says what is measured and how. Needs Python 3.11 with venv; it installs everything else in
its cache.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import shlex
import statistics
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))

import script  # noqa: E402
from script import Failure, count, last_words, say  # noqa: E402

TARGET = ROOT / "target"
MODELS = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_32x4d", "resnext101_64x4d")
# May be missing: OpenVINO is then measured on onnxruntime's quantized network only.
OPTIONAL = "nncf"
# Installed without what it requires: torch, which its converter of ONNX files does not use.
ALONE = "pnnx"
# More CPU time than this between two turns, in milliseconds, means that a peer's threads are still spinning.
RESTLESS_MS = 10.0


@dataclass(frozen=True)
class Peer:
    """A runtime and one of the files that `prepare.py` writes."""

    key: str
    title: str
    runtime: str
    file: str


PEERS = (
    Peer("openvino-nncf", "OpenVINO int8, NNCF", "openvino", "openvino-nncf.xml"),
    Peer("openvino-u8s8", "OpenVINO int8, QDQ u8s8", "openvino", "ort-u8s8.onnx"),
    Peer("ort-u8s8", "onnxruntime int8, QDQ u8s8", "onnxruntime", "ort-u8s8.onnx"),
    Peer("ort-s8s8", "onnxruntime int8, QDQ s8s8", "onnxruntime", "ort-s8s8.onnx"),
    Peer("ort-u8u8", "onnxruntime int8, QDQ u8u8", "onnxruntime", "ort-u8u8.onnx"),
    Peer("ort-fp32", "onnxruntime fp32", "onnxruntime", "fp32.onnx"),
    Peer("litert", "LiteRT int8", "litert", "litert-int8.tflite"),
    Peer("ncnn-int8", "ncnn int8", "ncnn", "ncnn-int8.param"),
    Peer("ncnn-fp32", "ncnn fp32", "ncnn", "ncnn-fp32.param"),
)


# Running other programs


def environment() -> dict[str, str]:
    """Returns the environment for peers: nothing limits or pins their threads, and no telemetry is sent."""
    limits = ("OMP_", "KMP_", "OPENBLAS_", "ORT_", "OV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(limits)}
    return kept | {"DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def output_of(what: str, *command: str | Path) -> str:
    """Runs a command in that environment and returns what it prints; raises `Failure` with its last message."""
    return script.output_of(what, *command, env=environment())


# Getting ready


def install(cache: Path) -> Path:
    """Returns the Python of an environment with the peers in it."""
    wanted = (HERE / "requirements.txt").read_text()

    def fill(pip) -> None:
        together = [line for line in wanted.split() if not line.startswith(ALONE)]
        pip("--no-deps", *(line for line in wanted.split() if line.startswith(ALONE)))
        pip(*(line for line in together if not line.startswith(OPTIONAL)))
        try:
            pip(*together)
        except Failure as failure:
            say(f"{failure}; going on without {OPTIONAL} (to try again, remove {cache / 'venv'})")

    return script.install(cache, "the peers", wanted, fill)


def versions(python: Path) -> dict[str, str]:
    """Returns the versions of the peers that are installed."""
    listed = json.loads(output_of("pip list", python, "-m", "pip", "list", "--format", "json"))
    wanted = {line.partition("==")[0] for line in (HERE / "requirements.txt").read_text().split()}
    return {each["name"]: each["version"] for each in listed if each["name"] in wanted}


@dataclass
class Network:
    """A network in the cache, in fp32 and in each contender's int8."""

    name: str
    folder: Path
    sqnr_db: float = 0.0

    def ready(self, step: str, *depends: bytes) -> bool:
        """Returns whether `step` was done from the same inputs; if not, forgets that it was ever done."""
        stamp, digest = self.folder / f"{step}.stamp", hashlib.sha256(b"\n".join(depends)).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return True
        stamp.unlink(missing_ok=True)
        say(f"{self.name}: {step}")
        return False

    def done(self, step: str, *depends: bytes) -> None:
        """Notes that `step` was done."""
        (self.folder / f"{step}.stamp").write_text(hashlib.sha256(b"\n".join(depends)).hexdigest())

    def prepare(self, python: Path, peers: dict[str, str]) -> None:
        """Writes the network and the peers' versions of it, unless the cache has them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scripts = ((HERE / name).read_bytes() for name in ("prepare.py", "litert_int8.py", "ncnn_int8.py"))
        depends = *scripts, json.dumps(peers).encode()
        if not self.ready("prepare", *depends):
            output_of(f"preparing {self.name}", python, HERE / "prepare.py", self.name, self.folder)
            self.done("prepare", *depends)

    def compile(self, binary: Path) -> None:
        """Compiles the same network with the same samples for resnext, unless the cache has it."""
        depends = binary.read_bytes(), (self.folder / "prepare.stamp").read_bytes()
        report = self.folder / "compile.json"
        if not self.ready("compile", *depends):
            fp32, samples, model = (self.folder / name for name in ("fp32.onnx", "samples", "model.rnx"))
            command: list[str | Path] = [binary, "compile", fp32, "--samples", samples, "-o", model, "--json"]
            report.write_text(output_of("resnext compile", *command))
            self.done("compile", *depends)
        self.sqnr_db = json.loads(report.read_text())["logit_sqnr_db"]


# Measuring


@dataclass
class Turn:
    """Times of several inferences in a row, in milliseconds."""

    p50: float
    least: float


class Contender(Protocol):
    """A program that takes turns. `facts`: `sqnr_db`, `int8_convolutions` ("how many/of how many") and more."""

    key: str
    title: str
    maker: str
    facts: dict[str, Any]

    def turn(self, warmup: int, runs: int) -> Turn:
        """Runs `warmup` inferences, then measures `runs`."""


class Resnext:
    """`resnext bench`, a new process each turn."""

    key, title, maker = "resnext", "resnext int8", "resnext"

    def __init__(self, binary: Path, network: Network, threads: int) -> None:
        model = str(network.folder / "model.rnx")
        self.command = [str(binary), "bench", model, "--threads", str(threads), "--json"]
        self.facts: dict[str, Any] = {"sqnr_db": network.sqnr_db, "int8_convolutions": "all"}

    def turn(self, warmup: int, runs: int) -> Turn:
        command = [*self.command, "--warmup", str(warmup), "--runs", str(runs)]
        report = json.loads(output_of("resnext bench", *command))
        self.facts["layers"] = report["kernels"]
        return Turn(report["ms"]["p50"], report["ms"]["min"])


class Worker:
    """A peer in a process of its own that lives for all rounds and sleeps between turns."""

    def __init__(self, peer: Peer, python: Path, network: Network, threads: int) -> None:
        self.key, self.title, self.maker = peer.key, peer.title, peer.runtime
        self.log = network.folder / f"{peer.key}.log"
        command = map(str, (python, HERE / "worker.py", peer.runtime, network.folder / peer.file, threads))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )
        self.restless_ms = 0.0
        self.facts = self.answer()

    def answer(self) -> dict[str, Any]:
        """Reads the next line of JSON."""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise Failure(f"{self.title} failed: {last_words(self.log.read_text())} (more in {self.log})")
        return json.loads(line)

    def turn(self, warmup: int, runs: int) -> Turn:
        with suppress(BrokenPipeError):  # It has died, which the missing answer tells.
            self.process.stdin.write(f"{warmup} {runs}\n")
            self.process.stdin.flush()
        answer = self.answer()
        self.restless_ms = max(self.restless_ms, answer["restless_ms"])
        return Turn(statistics.median(answer["ms"]), min(answer["ms"]))

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()


@dataclass
class Record:
    """All turns of one contender."""

    contender: Contender
    turns: list[Turn] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Returns the median over the rounds of the median of a turn."""
        return statistics.median(turn.p50 for turn in self.turns)

    def quartiles_over(self, other: "Record") -> list[float]:
        """Returns the quartiles of this contender's time over the other's in the same round."""
        ratios = [mine.p50 / its.p50 for mine, its in zip(self.turns, other.turns, strict=True)]
        return statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3


def measure(network: Network, threads: int, python: Path, args: argparse.Namespace) -> list[Record]:
    """Lets all contenders take turns on one network; resnext's record is the first."""
    what = f"{network.name}, {threads} thread{'s' if threads > 1 else ''}"
    with ExitStack() as stack:
        records = [Record(Resnext(args.resnext, network, threads))]
        for peer in PEERS:
            if peer.key in args.peers and (network.folder / peer.file).exists():
                worker = Worker(peer, python, network, threads)
                stack.callback(worker.close)
                records.append(Record(worker))
        order = random.Random(0)
        for done in range(args.rounds):
            if sys.stderr.isatty():
                print(f"\r{what}: round {done + 1} of {args.rounds}", end="\r", file=sys.stderr, flush=True)
            for record in order.sample(records, len(records)):
                record.turns.append(record.contender.turn(args.warmup, args.runs))
    say(f"{what}: {args.rounds} rounds done")
    for record in records:
        restless_ms = getattr(record.contender, "restless_ms", 0.0)
        if restless_ms > RESTLESS_MS:
            say(f"warning: {record.contender.title} computed for {restless_ms:.0f} ms out of turn")
    return records


class Bystanders:
    """Measures how much of the CPU other programs use from now on."""

    def __init__(self) -> None:
        self.start = self.now()

    @staticmethod
    def now() -> tuple[float, float, float] | None:
        """Returns the seconds of all cores, those that they were busy, and those of us and our finished children."""
        try:
            counts = [int(count) for count in Path("/proc/stat").read_text().split()[1:9]]
        except (OSError, ValueError):
            return None
        total, tick = sum(counts), os.sysconf("SC_CLK_TCK")
        idle = counts[3] + counts[4]
        return total / tick, (total - idle) / tick, sum(os.times()[:4])

    def share(self) -> float | None:
        """Returns it as a fraction of all cores; `None` where the system does not say."""
        if self.start is None or (end := self.now()) is None:
            return None
        total, busy, own = (after - before for after, before in zip(end, self.start, strict=True))
        return round(max(busy - own, 0.0) / max(total, 0.01), 3)


# Reporting


def rows(network: Network, threads: int, records: list[Record]) -> list[dict[str, Any]]:
    """Returns what to report about each contender."""
    found = []
    for record in records:
        low, middle, high = record.quartiles_over(records[0])
        found.append(
            {
                "model": network.name,
                "threads": threads,
                "contender": record.contender.key,
                "title": record.contender.title,
                "maker": record.contender.maker,
                "ms": {"median": record.median, "min": min(turn.least for turn in record.turns)},
                "ratio_of_medians": record.median / records[0].median,
                "ratio_by_round": {"p25": low, "p50": middle, "p75": high},
                "p50_ms_by_round": [turn.p50 for turn in record.turns],
                **record.contender.facts,
            }
        )
    for row in found:
        rivals = [r for r in found if r["maker"] == row["maker"] and "int8" in r["title"]]
        row["best_int8_of_its_maker"] = row is min(rivals, key=lambda r: r["ratio_by_round"]["p50"], default=None)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Returns a Markdown table, with each maker's best int8 in bold."""
    head = ["network", "threads", "runtime", "median ms", "min ms", "ratio of medians"]
    head += ["ratio by round", "int8 conv.", "SQNR dB"]
    rows = []
    for row in found:
        bold = "**" if row["best_int8_of_its_maker"] else ""
        ratio = row["ratio_by_round"]
        paired = f"{bold}{ratio['p50']:.2f}{bold} ({ratio['p25']:.2f}–{ratio['p75']:.2f})"
        cells = (
            row["model"],
            str(row["threads"]),
            f"{bold}{row['title']}{bold}",
            f"{row['ms']['median']:.1f}",
            f"{row['ms']['min']:.1f}",
            f"{row['ratio_of_medians']:.2f}",
            paired if row["contender"] != Resnext.key else "1",
            row["int8_convolutions"],
            f"{row['sqnr_db']:.1f}" if "int8" in row["title"] else "",
        )
        rows.append(cells)
    return script.table(head, rows)


def cpu() -> dict[str, Any]:
    """Returns the processor's name and its int8 instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    return {
        "name": facts.get("model name", platform.processor() or platform.machine()),
        "family": facts.get("cpu family"),
        "model": facts.get("model"),
        "cores": os.cpu_count(),
        "int8": [kind for kind in ("avx2", "avx_vnni", "avx512_vnni", "amx_int8") if kind in flags],
    }


def summary(report: dict[str, Any]) -> str:
    """Says what the table was measured on."""
    processor, share = report["cpu"], report["others_cpu_share"]
    kinds = ", ".join(processor["int8"])
    names = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    others = "" if share is None else f" Others used {share:.0%} of the CPU meanwhile."
    return (
        f"{report['date'][:10]}, {processor['name']} with {processor['cores']} cores ({kinds}); "
        f"{names}. {report['rounds']} rounds of {report['runs']} inferences after {report['warmup']}.{others}"
    )


def run(args: argparse.Namespace) -> None:
    """Prepares, measures and reports."""
    if not args.resnext.is_file():
        raise Failure(f"{args.resnext} is not there; build it (cargo build --release) or name it with --resnext")
    args.resnext, args.cache = args.resnext.resolve(), args.cache.resolve()
    version = output_of("resnext", args.resnext, "--version").split()[-1]
    python = install(args.cache)
    peers = versions(python)
    networks = [Network(name, args.cache / name) for name in args.models]
    for network in networks:
        network.prepare(python, peers)
        network.compile(args.resnext)

    date, bystanders = datetime.datetime.now().astimezone(), Bystanders()
    found = [
        row
        for network in networks
        for threads in args.threads
        for row in rows(network, threads, measure(network, threads, python, args))
    ]
    report = {
        "date": date.isoformat(timespec="seconds"),
        "command": shlex.join(["benches/peers/compare.py", *sys.argv[1:]]),
        "cpu": cpu(),
        "versions": {"resnext": version, **peers},
        "rounds": args.rounds,
        "warmup": args.warmup,
        "runs": args.runs,
        "others_cpu_share": bystanders.share(),
        "results": found,
    }
    print(f"{table(found)}\n\n{summary(report)}")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    keys = [peer.key for peer in PEERS]
    parser = argparse.ArgumentParser(
        description="Measures resnext against OpenVINO, onnxruntime, LiteRT and ncnn on this machine, turn by turn.",
        epilog="A ratio is a time over resnext's: above 1, resnext is faster.",
    )
    option = parser.add_argument
    option("--resnext", type=Path, default=TARGET / "release/resnext", metavar="PATH",
           help="our binary (default: target/release/resnext)")  # fmt: skip
    option("--models", nargs="+", choices=MODELS, default=MODELS[:2], metavar="NAME",
           help=f"of {', '.join(MODELS)} (default: the first two)")  # fmt: skip
    option("--threads", nargs="+", type=count, default=[1, 2], metavar="N", help="default: 1 2")
    option("--peers", nargs="+", choices=keys, default=keys, metavar="PEER",
           help=f"of {', '.join(keys)} (default: all)")  # fmt: skip
    option("--rounds", type=count, default=20, metavar="N", help="turns that everybody gets (default: 20)")
    option("--runs", type=count, default=5, metavar="N", help="inferences measured in a turn (default: 5)")
    option("--warmup", type=count, default=2, metavar="N", help="inferences before them (default: 2)")
    option("--json", type=Path, metavar="FILE", help="where to write everything measured")
    option("--cache", type=Path, default=TARGET / "peers", metavar="DIR",
           help="for the peers and networks, 2 GB (default: target/peers)")  # fmt: skip
    return parser.parse_args()


def compare() -> bool:
    """Times and prints everything."""
    run(arguments())
    return True


if __name__ == "__main__":
    sys.exit(script.main("compare.py", compare))
