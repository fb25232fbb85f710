"""Make the photographs in this folder from a Debian package that carries them.

    python make.py [FOLDER]

Downloads gcompris-qt-data of Debian 12 with apt-get (nothing is installed), takes the photographs out and writes JPEG,
quality 90, without metadata, into FOLDER (this one, if not given). Needs apt-get, dpkg-deb and pillow.
Who made each photograph, and under which licence: README.md.
"""
import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

PACKAGE = "gcompris-qt-data=3.1-2"
RESOURCES = "usr/share/gcompris-qt/rcc/categorization.rcc"
QUALITY = 90

PHOTOS = [
    ("church-vienna.jpg", "categorization/resource/images/monuments/monument3.webp"),
    ("church-santiago.jpg", "categorization/resource/images/monuments/cathedral.webp"),
]


def entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file in a binary resource file of Qt (qtbase/src/corelib/io/qresource.cpp)."""
    magic, version, tree, blobs, names = struct.unpack_from(">4sIIII", data)
    assert magic == b"qres"
    size = 14 if version < 2 else 22

    def walk(node: int, path: str) -> Iterator[tuple[str, bytes]]:
        name_at, flags, first, second = struct.unpack_from(">IHII", data, tree + node * size)
        length = struct.unpack_from(">H", data, names + name_at)[0]
        path += "/" + data[names + name_at + 6 :][: 2 * length].decode("utf-16-be")
        if flags & 2:
            for child in range(second, second + first):
                yield from walk(child, path)
            return
        length = struct.unpack_from(">I", data, blobs + second)[0]
        content = data[blobs + second + 4 :][:length]
        yield path, zlib.decompress(content[4:]) if flags & 1 else content

    return walk(0, "")


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=folder, check=True)
        package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        files = dict(entries((Path(folder) / RESOURCES).read_bytes()))
    for name, path in PHOTOS:
        content = next(content for found, content in files.items() if found.endswith(path))
        image = Image.open(io.BytesIO(content)).convert("RGB")
        image.save(out / name, "JPEG", quality=QUALITY, optimize=True)
        print(f"{name}: {image.size[0]}×{image.size[1]}, {(out / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
