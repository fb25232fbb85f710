"""What the Python scripts of this repository share: telling the user, running programs, an environment of their own."""

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Failure(Exception):
    """Something to tell the user in one line."""


def say(text: str) -> None:
    """Tells of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def last_words(text: str) -> str:
    """The line that tells what went wrong: the last that is called an error, or just the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    return (errors or lines or ["it said nothing"])[-1]


def output_of(what: str, *command: str | Path, env: dict[str, str] | None = None) -> str:
    """Runs a command; what it prints, or a `Failure` with what it said last."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env)
    except OSError as error:
        raise Failure(f"{what} cannot be run: {error}") from None
    if done.returncode != 0:
        raise Failure(f"{what} failed: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def install(cache: Path, what: str, wanted: str, fill: Callable[[Callable[..., str]], None]) -> Path:
    """Makes the virtual environment `cache`/venv, unless it was made for `wanted`; the path of its Python.

    `fill` installs what it is for, with the function it is given: `pip install` with further arguments.
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
    """Rows as Markdown; those `numbers` among the titles are set to the right."""
    rule = ["---:" if title in numbers else "---" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows))


def write_json(path: Path | None, measured: Any) -> None:
    """Writes everything measured, if there is a place for it."""
    if path:
        path.write_text(json.dumps(measured, indent=1) + "\n")


def main(program: str, work: Callable[[], bool]) -> int:
    """Runs a program; its exit status: 0 if all is as it should be, 1 if not, 130 if it was interrupted."""
    try:
        return 0 if work() else 1
    except (Failure, OSError) as error:
        say(f"{program}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def count(text: str) -> int:
    """A number of at least 1, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)
