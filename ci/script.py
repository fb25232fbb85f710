"""What the Python scripts of this repository share: telling the user, running programs, an environment of their own."""

import argparse
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path


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


def count(text: str) -> int:
    """A number of at least 1, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)
