#!/usr/bin/env python3
"""Models the cycles that one inference takes on an Arm core, without the core.

Runs the aarch64 board binary under qemu-aarch64 (older than 9) with a plugin that counts how often each basic block runs
(tests/emulation/count.c). llvm-mca then says how many cycles each block takes at its steady state, by LLVM's scheduling
model of the core. What two inferences execute minus what one executes is one inference. Instructions are exact. Cycles are
a model with perfect caches and perfect branch prediction: good for comparing kernels, and no promise about a board.

    cargo board
    benches/cycles.py target/aarch64-unknown-linux-gnu/board/resnext model.rnx

benches/peers/arm.py does the same with other runtimes. Debian: qemu-user, llvm-19, gcc.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent.parent / "tests/emulation/count.c"

# The cores that qemu emulates, each with the scheduling models that fit it. LLVM models the A76 as the Neoverse N1.
CORES = {
    "cortex-a53": {"A53": "cortex-a53"},
    "cortex-a72": {"A72": "cortex-a72"},
    "cortex-a76": {"A76": "neoverse-n1", "A55": "cortex-a55"},
    "max": {"A76 if it had SMMLA": "neoverse-n1"},
}

# Blocks are modelled, hottest first, until they cover this much of all instructions.
COVER = 0.995
ITERATIONS = 100
# Marks the end of a block in the disassembler's output: `sevl`, which no program here uses.
MARK = "0xbf 0x20 0x03 0xd5"


def tool(name):
    found = next(filter(None, (shutil.which(f"{name}{version}") for version in ("-19", "-20", "-21", ""))), None)
    return found or sys.exit(f"{name} not found: apt-get install llvm-19")


def blocks(program, cpu, runs, directory):
    """Returns how often each block runs, by its code. `program` is called with the CPU, qemu's options, and `runs`."""
    path = directory / f"{cpu}-{runs}"
    program(cpu, ["-plugin", f"{directory / 'count.so'},blocks={path}"], runs)
    counts = Counter()
    for line in path.read_text().splitlines():
        count, code = line.split()
        counts[code] += int(count)
    return counts


def words(code):
    return [code[i : i + 8] for i in range(0, len(code), 8)]


def disassemble(codes):
    """Returns the assembly of each block."""
    text = []
    for code in codes:
        text += [" ".join(f"0x{byte:02x}" for byte in bytes.fromhex(word)[::-1]) for word in words(code)] + [MARK]
    command = [tool("llvm-mc"), "--disassemble", "-triple=aarch64", "-mattr=+all"]
    output = subprocess.run(command, input="\n".join(text), capture_output=True, text=True, check=True).stdout
    result, block = [], []
    for line in map(str.strip, output.splitlines()):
        if line == "sevl":
            result.append(block)
            block = []
        elif line and not line.startswith("."):
            block.append(line)
    return result


def cycles(assembly, core):
    """Returns the cycles of each block at its steady state."""
    text = "\n".join(
        f"# LLVM-MCA-BEGIN {i}\n" + "\n".join(block) + "\n# LLVM-MCA-END" for i, block in enumerate(assembly)
    )
    options = ["-mattr=+all", f"-iterations={ITERATIONS}", "-skip-unsupported-instructions=any"]
    command = [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={core}", *options]
    ran = subprocess.run(command, input=text, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{command[0]} cannot model this: {ran.stderr.splitlines()[0]}; install LLVM 19")
    regions = re.findall(r"Code Region - (\d+)\s.*?Total Cycles:\s+(\d+)", ran.stdout, re.S)
    total = {int(region): int(count) / ITERATIONS for region, count in regions}
    return [total.get(i, 0.0) for i in range(len(assembly))]


def count(program, cpus):
    """Prints what one inference executes and how many cycles it takes on each core."""
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        compile_plugin = ["cc", "-O2", "-shared", "-fPIC", "-DAPI_VERSION=1", PLUGIN, "-o", directory / "count.so"]
        subprocess.run(compile_plugin, check=True)
        for cpu in cpus or CORES:
            one, two = (blocks(program, cpu, runs, directory) for runs in (1, 2))
            inference = {code: count - one[code] for code, count in two.items() if count > one[code]}
            weight = {code: count * len(words(code)) for code, count in inference.items()}
            total, hot, covered = sum(weight.values()), [], 0
            for code in sorted(weight, key=weight.get, reverse=True):
                if covered >= COVER * total:
                    break
                hot.append(code)
                covered += weight[code]
            print(f"{cpu:12} {total / 1e6:9.1f} M instructions", flush=True)
            assembly = disassemble(hot)
            for name, core in CORES[cpu].items():
                modelled = sum(n * inference[code] for n, code in zip(cycles(assembly, core), hot))
                print(f"{'':12} {modelled * total / covered / 1e6:9.1f} M cycles, modelled: {name}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="resnext for aarch64, see `cargo board`")
    parser.add_argument("model", help="a .rnx model")
    parser.add_argument("cpu", nargs="*", help=f"what qemu emulates: {', '.join(CORES)} [default: all]")
    args = parser.parse_args()
    if unknown := set(args.cpu) - set(CORES):
        parser.error(f"no model for {', '.join(sorted(unknown))}; choose from {', '.join(CORES)}")

    def program(cpu, options, runs):
        bench = [args.binary, "bench", args.model, "--threads", "1", "--warmup", "0", "--json", "--runs", str(runs)]
        subprocess.run(["qemu-aarch64", "-cpu", cpu, *options, *bench], check=True, stdout=subprocess.DEVNULL)

    count(program, args.cpu)


if __name__ == "__main__":
    main()
