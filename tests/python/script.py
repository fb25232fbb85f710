"""What the Python scripts of this repository share: messages, running programs, virtual environments, tables."""

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Failure(Exception):
    """An error that the user is told in one line."""


def say(text: str) -> None:
    """Prints progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def last_words(text: str) -> str:
    """Returns the line that says what went wrong: the last one that begins with `error:`, or else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    return (errors or lines or ["it said nothing"])[-1]


def output_of(what: str, *command: str | Path, env: dict[str, str] | None = None) -> str:
    """Runs a command and returns what it prints; raises `Failure` with its last message."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env)
    except OSError as error:
        raise Failure(f"{what} cannot be run: {error}") from None
    if done.returncode != 0:
        raise Failure(f"{what} failed: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def install(cache: Path, what: str, wanted: str, fill: Callable[[Callable[..., str]], None]) -> Path:
    """Makes the virtual environment `cache`/venv, unless it was made for `wanted`, and returns the path of its Python.

    `fill` installs the packages, with the function that it gets: `pip install` with further arguments.
    """
    folder = cache / "venv"
    python, stamp = folder / "bin/python", folder / "requirements.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"installing {what} in {folder}")
    try:
        venv.create(folder, clear=True, symlinks=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"cannot make a virtual environment (is python3-venv installed?): {error}") from None
    quiet: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    fill(lambda *arguments: output_of("installing with pip", *quiet, *arguments))
    stamp.write_text(wanted)
    return python


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """Returns rows as Markdown. The columns whose titles are in `numbers` are aligned to the right."""
    rule = ["---:" if title in numbers else "---" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows))


def write_json(path: Path | None, measured: Any) -> None:
    """Writes everything measured, if a path is given."""
    if path:
        path.write_text(json.dumps(measured, indent=1) + "\n")


def main(program: str, work: Callable[[], bool]) -> int:
    """Runs a program and returns its exit status: 0 if `work` returns true, 1 if not, 130 after an interruption."""
    try:
        return 0 if work() else 1
    except (Failure, OSError) as error:
        say(f"{program}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def count(text: str) -> int:
    """Parses a number of at least 1, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)
