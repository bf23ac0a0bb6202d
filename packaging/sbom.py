"""sbom.py: what the released programs are made of, as CycloneDX 1.5, read from Cargo.lock through cargo metadata."""

import datetime
import json
import os
import subprocess
import sys
import uuid

LINUX = ["--filter-platform", "x86_64-unknown-linux-musl", "--filter-platform", "aarch64-unknown-linux-musl"]
command = [os.environ.get("CARGO", "cargo"), "metadata", "--locked", "--format-version", "1", *LINUX]
metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
with open("Cargo.lock", encoding="utf-8") as lock:
    text = lock.read()
checksums = {}
for entry in text.split("[[package]]"):
    fields = dict(line.split(" = ", 1) for line in entry.splitlines() if " = " in line)
    if "checksum" in fields:
        checksums[json.loads(fields["name"]), json.loads(fields["version"])] = json.loads(fields["checksum"])


def normal(node):
    """The packages that end up in the program: neither those of tests nor those of build scripts."""
    return [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, kind):
    made = {
        "type": kind,
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package["license"]:
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


root = metadata["resolve"]["root"]
linked, waiting = {}, [root]
while waiting:
    one = waiting.pop()
    if one not in linked:
        linked[one] = normal(nodes[one])
        waiting += linked[one]

order = sorted(linked, key=lambda one: purl(packages[one]))
epoch = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
bom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, purl(packages[root]) + text)}",
    "version": 1,
    "metadata": {
        "timestamp": epoch.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "component": component(packages[root], "application"),
    },
    "components": [component(packages[one], "library") for one in order if one != root],
    "dependencies": [
        {"ref": purl(packages[one]), "dependsOn": sorted(purl(packages[dep]) for dep in linked[one])}
        for one in order
    ],
}
json.dump(bom, sys.stdout, indent=1)
print()
