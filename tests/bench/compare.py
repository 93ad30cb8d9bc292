#!/usr/bin/env python3
"""Compares imgstore with other tools on the same image in the same run, and prints ratios.

    compare.py [--image HOST/REPOSITORY:TAG] [--runs N] [--directory DIR] [--megabytes N]

Without --image, a registry is started on loopback and filled with an image of five layers made of this machine's
/usr. Tools that are not installed are left out: skopeo, umoci, podman, crane. Everything is made in fresh folders
below DIR and removed at the end only: a file system that has just deleted many files is slow for a while, for every
tool. Nothing here asserts a time: it only prints.
"""
import argparse
import gzip
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from registry import Registry  # noqa: E402

LAYERS = 5
MEDIA = "application/vnd.oci.image."


# A process starts with the peak memory of the one that it was made from, so commands are started by a small one.
STARTER = """
import os, sys, time
started = time.monotonic()
child = os.fork()
if not child:
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Measure:
    """Wall and CPU seconds, and peak memory of the largest process, of one or several commands together."""

    def __init__(self, *commands):
        self.wall = self.cpu = self.peak = 0.0
        for command in commands:
            words = [str(c) for c in command]
            done = subprocess.run([sys.executable, "-I", "-S", "-c", STARTER, *words], capture_output=True, text=True,
                                  check=False)
            if done.returncode:
                raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr}")
            wall, cpu, peak = map(float, done.stdout.split())
            self.wall += wall
            self.cpu += cpu
            self.peak = max(self.peak, peak)


def share_of_usr(megabytes):
    """Files of /usr, up to so many megabytes in all, as LAYERS lists of about the same size."""
    layers, sizes, total = [[] for _ in range(LAYERS)], [0] * LAYERS, 0
    for folder, _, names in sorted(os.walk("/usr")):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if total >= megabytes << 20:
                return layers
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            size = os.path.getsize(path)
            if size > 64 << 20:
                continue
            at = sizes.index(min(sizes))
            layers[at].append(path)
            sizes[at] += size
            total += size
    return layers


def make_layout(directory, megabytes):
    blobs = os.path.join(directory, "blobs", "sha256")
    os.makedirs(blobs)

    def put(data, media):
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, name), "wb") as file:
            file.write(data)
        return {"mediaType": media, "digest": "sha256:" + name, "size": len(data)}

    layers, diff_ids = [], []
    for paths in share_of_usr(megabytes):
        plain = os.path.join(directory, "layer.tar")
        with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
            for path in paths:
                archive.add(path, path.lstrip("/"), recursive=False)
        with open(plain, "rb") as file:
            data = file.read()
        os.unlink(plain)
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        layers.append(put(gzip.compress(data, 6, mtime=0), MEDIA + "layer.v1.tar+gzip"))
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json",
                "config": put(json.dumps(config).encode(), MEDIA + "config.v1+json"), "layers": layers}
    entry = put(json.dumps(manifest).encode(), MEDIA + "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "bench"}
    with open(os.path.join(directory, "index.json"), "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, file)
    with open(os.path.join(directory, "oci-layout"), "w", encoding="utf-8") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')


def contenders(image, imgstore):
    """Rows of (job, tool, function of a fresh folder that gives commands). The first tool of a job is ours."""
    skopeo = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://" + image]

    def ours(folder, *more):
        return [imgstore, "--root", folder + "/store", "pull", "-q", "--plain-http", *more, image]

    def podman(folder):
        return ["podman", "--root", folder + "/root", "--runroot", folder + "/run", "--storage-driver", "overlay",
                "pull", "-q", "--tls-verify=false", image]

    return [
        ("pull to store", "imgstore", lambda f: [ours(f)]),
        ("pull to store", "skopeo", lambda f: [skopeo + [f"oci:{f}/oci:x"]]),
        ("pull to store", "crane", lambda f: [["crane", "pull", "--insecure", "--format=oci", image, f + "/oci"]]),
        ("pull and unpack", "imgstore", lambda f: [ours(f, "--unpack", f + "/tree")]),
        ("pull and unpack", "umoci", lambda f: [skopeo + [f"oci:{f}/oci:x"],
                                                ["umoci", "unpack", "--image", f + "/oci:x", f + "/bundle"]]),
        ("pull and unpack", "podman", lambda f: [podman(f)]),
        ("pull to layers", "imgstore", lambda f: [ours(f, "--layers")]),
        ("pull to layers", "podman", lambda f: [podman(f)]),
    ]


def measure(image, imgstore, directory, runs):
    rows, folders = {}, 0
    for _ in range(runs):
        for job, tool, commands in contenders(image, imgstore):
            if tool != "imgstore" and not shutil.which(tool):
                continue
            folders += 1
            folder = os.path.join(directory, str(folders))
            os.mkdir(folder)
            os.sync()
            rows.setdefault((job, tool), []).append(Measure(*commands(folder)))
    again = [imgstore, "--root", os.path.join(directory, "1", "store"), "pull", "-q", "--plain-http", image]
    rows[("pull what is there", "imgstore")] = [Measure(again) for _ in range(runs)]
    return rows


def show(rows):
    print(f"{'job':20}{'tool':10}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}{'wall':>8}{'cpu':>8}")
    base = {}
    for (job, tool), measures in rows.items():
        wall = statistics.median(m.wall for m in measures)
        cpu = statistics.median(m.cpu for m in measures)
        peak = max(m.peak for m in measures) / 1024
        base.setdefault(job, (wall, cpu))
        print(f"{job:20}{tool:10}{wall:9.3f}{cpu:9.3f}{peak:10.1f}{wall / base[job][0]:7.1f}x{cpu / base[job][1]:7.1f}x")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", help="an image of a plain-http registry that runs already")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    parser.add_argument("--megabytes", type=int, default=600, help="uncompressed size of the image that is made")
    options = parser.parse_args()
    imgstore = os.environ.get("IMGSTORE", "imgstore")
    directory = tempfile.mkdtemp(prefix="imgstore-bench-", dir=options.directory)
    registry = None
    try:
        if not options.image:
            make_layout(os.path.join(directory, "layout"), options.megabytes)
            registry = Registry(os.path.join(directory, "registry"))
            options.image = registry.host + "/bench/usr:latest"
            subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                            f"oci:{directory}/layout:bench", "docker://" + options.image], check=True)
        show(measure(options.image, imgstore, directory, options.runs))
    finally:
        if registry:
            registry.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
