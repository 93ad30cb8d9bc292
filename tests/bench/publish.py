#!/usr/bin/env python3
"""Compares pushes and copies between registries with skopeo's, on the same image in the same run, and prints ratios.

    publish.py --image HOST/REPOSITORY:TAG [--runs N] [--directory DIR]

The image comes from a plain-http registry on loopback that runs already. Every measurement gets a registry of its own,
started afresh, so that no tool finds anything there or mounts it from somewhere. Nothing here asserts a time.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
from compare import Measure, show  # noqa: E402
from registry import Registry  # noqa: E402

SKOPEO = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]


def contenders(image, imgstore, root):
    """(job, tool, function from the name at the destination to a command)"""
    tag = image.rsplit(":", 1)[1]
    base = [imgstore, "--root", root]
    return [
        ("push", "imgstore", lambda to: base + ["push", "-q", image, to]),
        ("push", "skopeo", lambda to: SKOPEO + [f"oci:{root}:{tag}", "docker://" + to]),
        ("registry copy", "imgstore", lambda to: base + ["copy", "-q", "docker://" + image, "docker://" + to]),
        ("registry copy", "skopeo", lambda to: SKOPEO + ["docker://" + image, "docker://" + to]),
    ]


def measure(image, imgstore, directory, runs):
    root = os.path.join(directory, "store")
    subprocess.run([imgstore, "--root", root, "pull", "-q", "--plain-http", image], check=True, stdout=subprocess.DEVNULL)
    rows = {}
    for run in range(runs):
        for number, (job, tool, command) in enumerate(contenders(image, imgstore, root)):
            folder = os.path.join(directory, f"{run}-{number}")
            with Registry(folder) as registry:
                os.sync()
                words = command(registry.name("bench/image"))
                rows.setdefault((job, tool), []).append(Measure(words))
                if tool == "imgstore":
                    again = Measure(words)
                    rows.setdefault((job + ", again", tool), []).append(again)
            shutil.rmtree(folder)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="imgstore-bench-", dir=options.directory)
    try:
        show(measure(options.image, os.environ.get("IMGSTORE", "imgstore"), directory, options.runs))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
