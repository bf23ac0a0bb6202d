"""pack.py FOLDER ARCHIVE: packs what is in FOLDER into a .tar.gz whose bytes depend on the files alone."""

import gzip
import os
import sys
import tarfile

folder, archive = sys.argv[1:]
epoch = int(os.environ["SOURCE_DATE_EPOCH"])


def plain(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = epoch
    if entry.isdir():
        # A folder that everybody may write to stays one: /go of the golang image.
        entry.mode = 0o1777 if entry.mode & 0o1000 else 0o755
    else:
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


paths = []
for parent, folders, files in os.walk(folder):
    paths += [os.path.relpath(os.path.join(parent, each), folder) for each in folders + files]
with open(archive, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, epoch) as packed:
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(paths):
            tar.add(os.path.join(folder, path), path, recursive=False, filter=plain)
