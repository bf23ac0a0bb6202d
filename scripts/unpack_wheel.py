"""Unpacks the one wheel in a folder and checks every file against its RECORD.

usage: unpack_wheel.py FOLDER DESTINATION
"""

import base64
import csv
import hashlib
import io
import pathlib
import sys
import zipfile


def main() -> None:
    folder, destination = map(pathlib.Path, sys.argv[1:])
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = csv.reader(io.TextIOWrapper(archive.open(record), encoding="utf-8"))
        digests = {name: digest for name, digest, _size in rows if digest}
        for entry in archive.infolist():
            if not entry.is_dir() and entry.filename != record:
                unpack(archive, entry, digests, destination)


def unpack(archive, entry, digests, destination: pathlib.Path) -> None:
    content = archive.read(entry)
    algorithm, _, expected = digests.get(entry.filename, "").partition("=")
    if algorithm != "sha256":
        sys.exit(f"unpack_wheel: no SHA-256 of {entry.filename} in RECORD")
    found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if found != expected:
        sys.exit(f"unpack_wheel: {entry.filename} is not what RECORD says")
    file = (destination / entry.filename).resolve()
    if destination.resolve() not in file.parents:
        sys.exit(f"unpack_wheel: {entry.filename} lies outside")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    if is_program(entry):
        file.chmod(0o755)


def is_program(entry) -> bool:
    """By its mode, and by its place where the wheel keeps no modes."""
    parts = pathlib.PurePosixPath(entry.filename).parts
    return bool(entry.external_attr >> 16 & 0o111) or parts[:2] == ("go", "bin") or parts[:3] == ("go", "pkg", "tool")


main()
