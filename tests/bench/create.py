#!/usr/bin/env python3
"""Compares making a layer of a directory with umoci and buildah on the same directory in the same run: ratios.

    create.py [--directory DIR] [--megabytes N] [--runs N] [--workers N]

Without --directory, N megabytes of this machine's /usr are copied. Tools that are not installed are left out. Nothing
here asserts a time: it only prints.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

IMGSTORE = os.environ.get("IMGSTORE", "imgstore")


def fill(folder, megabytes):
    left = megabytes << 20
    for base, folders, files in os.walk("/usr"):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(base, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            target = folder + path
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(path, target)
            left -= os.path.getsize(path)
            if left < 0:
                return


def timed(commands, env=None):
    started = time.monotonic()
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=env)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout.decode()[-500:]}")
    return time.monotonic() - started


class Bench:
    def __init__(self, work, tree, workers):
        self.work, self.tree, self.workers, self.turn = work, tree, workers, 0

    def fresh(self):
        self.turn += 1
        path = os.path.join(self.work, str(self.turn))
        os.mkdir(path)
        return path

    def imgstore(self, compression):
        root = self.fresh()
        return timed([[IMGSTORE, "--root", root + "/store", "--workers", str(self.workers), "build", "-q", "--add-dir",
                       self.tree, "--compression", compression, "-t", "made"]])

    def umoci(self):
        layout = self.fresh() + "/layout"
        timed([["umoci", "init", "--layout", layout], ["umoci", "new", "--image", layout + ":x"]])
        return timed([["umoci", "insert", "--image", layout + ":x", self.tree, "/"]])

    def buildah(self):
        root = self.fresh()
        env = dict(os.environ, BUILDAH_ISOLATION="chroot", STORAGE_DRIVER="vfs")
        base = ["buildah", "--root", root + "/s", "--runroot", root + "/r", "--storage-driver", "vfs"]
        made = subprocess.run([*base, "from", "scratch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, env=env)
        name = made.stdout.decode().strip()
        return timed([[*base, "copy", "-q", name, self.tree, "/"],
                      [*base, "commit", "-q", "--format", "oci", name, f"oci:{root}/out:x"]], env)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imgstore-bench-") as work:
        tree = options.directory or os.path.join(work, "tree")
        if not options.directory:
            fill(tree, options.megabytes)
        bench = Bench(work, tree, options.workers)
        cases = {"gzip": lambda: bench.imgstore("gzip"), "fast": lambda: bench.imgstore("fast"),
                 "zstd": lambda: bench.imgstore("zstd"), "none": lambda: bench.imgstore("none")}
        cases.update({name: getattr(bench, name) for name in ("umoci", "buildah") if shutil.which(name)})
        times = {name: [] for name in cases}
        for _ in range(options.runs):
            for name, run in cases.items():
                try:
                    times[name].append(run())
                except RuntimeError as error:
                    print(f"{name}: left out: {error}", file=sys.stderr)
        best = {name: statistics.median(values) for name, values in times.items() if values}
        for name, seconds in best.items():
            print(f"{name:8s} {seconds:8.2f} s")
        for other in ("umoci", "buildah"):
            for ours in ("gzip", "fast", "zstd"):
                if other in best:
                    print(f"{ours:8s} {best[other] / best[ours]:6.1f} times as fast as {other}")


if __name__ == "__main__":
    main()
