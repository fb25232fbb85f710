#!/usr/bin/env python3
"""Models the cycles of LiteRT and ncnn on Arm cores, as benches/cycles.py models those of resnext.

    benches/peers/compare.py --models resnext50_32x4d --rounds 1     makes the networks
    benches/peers/arm.py

Runs the peers' own wheels for aarch64 in Debian's Python for aarch64, under qemu-aarch64, on the networks that compare.py
left in its cache; one thread. Before counting, it compares the logits of one sample with fp32, so nothing broken is
counted. Needs what cycles.py needs, apt and pip; it installs Python and the wheels for aarch64 in the cache, and leaves
the system as it is.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "tests/python"), str(HERE.parent)]

import cycles  # noqa: E402
import script  # noqa: E402

PEERS = {
    "litert": ("litert", "litert-int8.tflite"),
    "ncnn-int8": ("ncnn", "ncnn-int8.param"),
    "ncnn-fp32": ("ncnn", "ncnn-fp32.param"),
}
# The cores by their part numbers in /proc/cpuinfo. XNNPACK and ncnn read these and have kernels for some cores.
PARTS = {"cortex-a53": 0xD03, "cortex-a72": 0xD08, "cortex-a76": 0xD0B}
# Python 3.11 and what it and the wheels link to.
PACKAGES = """libbz2-1.0 libc6 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.11-minimal libpython3.11-stdlib
    libssl3 libstdc++6 libuuid1 python3.11-minimal zlib1g""".split()
WHEELS = ("ai-edge-litert", "ncnn", "numpy")
# Pure Python that LiteRT imports.
PURE = ("absl-py", "flatbuffers", "tqdm", "typing_extensions")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")


def install(cache: Path) -> Path:
    """Returns a folder with Debian's Python 3.11 for aarch64 and, in `site`, the peers."""
    folder = cache / "aarch64"
    wanted = " ".join((*PACKAGES, *PURE)) + (HERE / "requirements.txt").read_text()
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    script.say(f"installing Python and the peers for aarch64 in {folder}")
    state = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    # Of its own, so that the system's apt never hears of the foreign architecture.
    (state / "conf").write_text(
        f'APT::Architecture "arm64"; APT::Architectures {{ "arm64"; }}; Dir::State "{state}";'
        f'Dir::State::status "{state}/status"; Dir::Cache "{state}/cache"; APT::Sandbox::User "";\n'
    )
    environment = os.environ | {"APT_CONFIG": str(state / "conf")}
    script.output_of("apt-get update", "apt-get", "update", env=environment)
    subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=state, env=environment, check=True)
    for package in state.glob("*.deb"):
        script.output_of("dpkg-deb", "dpkg-deb", "-x", package, folder)
    pins = (HERE / "requirements.txt").read_text().split()
    wheels = [pin for pin in pins if pin.partition("==")[0] in WHEELS]
    target = ["--target", folder / "site", "--upgrade", "--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
    for platform in PLATFORMS:
        target += ["--platform", platform]
    script.output_of("pip", cache / "venv/bin/python", "-m", "pip", "install", "-q", *target, *wheels, *PURE)
    stamp.write_text(wanted)
    return folder


def disguise(root: Path, cpu: str) -> None:
    """Makes the files under `root` that describe the CPU. Without them programs see those of this machine, and LiteRT fails."""
    kernel = root / "sys/devices/system/cpu"
    for folder in (kernel, root / "proc"):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (kernel / name).write_text("0\n")
    lines = {
        "processor": "0",
        "Features": "fp asimd",  # What else there is, programs learn from the emulator.
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": f"0x{PARTS[cpu]:x}",
        "CPU revision": "0",
    }
    (root / "proc/cpuinfo").write_text("".join(f"{key}\t: {value}\n" for key, value in lines.items()) + "\n")


def main() -> bool:
    """Counts and prints everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=ROOT / "target/peers", metavar="DIR", help="that of compare.py")
    parser.add_argument("--model", default="resnext50_32x4d", metavar="NAME", help="default: resnext50_32x4d")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER",
                        help=f"of {', '.join(PEERS)} (default: all)")  # fmt: skip
    parser.add_argument("--cpus", nargs="+", choices=PARTS, default=list(PARTS), metavar="CPU",
                        help=f"of {', '.join(PARTS)} (default: all)")  # fmt: skip
    args = parser.parse_args()
    folder = args.cache.resolve() / args.model
    if not (folder / "prepare.stamp").exists():
        raise script.Failure(f"{folder} has no network; run compare.py --models {args.model} --rounds 1 first")
    root = install(args.cache.resolve())
    # Threads of numpy's would be counted, and the counter is made for one thread.
    environment = os.environ | {"PYTHONPATH": str(root / "site"), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for peer in args.peers:
        runtime, file = PEERS[peer]

        def program(cpu: str, options: list[str], runs: int, runtime: str = runtime, file: str = file) -> None:
            disguise(root, cpu)
            emulator = ["qemu-aarch64", "-L", root, "-cpu", cpu, *options, root / "usr/bin/python3.11"]
            command = [*emulator, HERE / "worker.py", runtime, folder / file, "1", "--samples", "1"]
            ran = subprocess.run(command, input=f"0 {runs}\n", env=environment, capture_output=True, text=True)
            if ran.returncode:
                raise script.Failure(f"{runtime} failed: {script.last_words(ran.stderr)}")
            if runs == 1:
                print(f"{file}: SQNR {json.loads(ran.stdout.splitlines()[0])['sqnr_db']:.1f} dB", flush=True)

        cycles.count(program, args.cpus)
    return True


if __name__ == "__main__":
    sys.exit(script.main("arm.py", main))
