"""Images to make instances of, and what the machine lets a test do with them."""
import json
import os
import shutil
import subprocess

import images
import program
from images import Layer, Layout, entry, link
from program import IS_ROOT

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:Web:/srv/web:/bin/sh\nbroken line\n"
GROUP = "root:x:0:\nweb:x:1001:\nstaff:x:50:web,other\naudio:x:63:other,web\n"


def system(changes=()):
    """Entries of a small root file system with Debian's static busybox."""
    with open(shutil.which("busybox"), "rb") as file:
        busybox = file.read()
    return [entry("./", mode=0o755), entry("bin/"), entry("bin/busybox", busybox, mode=0o755),
            *[link("bin/" + name, "busybox") for name in ("sh", "cat", "id", "env", "ls", "pwd", "hostname", "touch", "rm")],
            entry("etc/"), entry("etc/passwd", PASSWD.encode()), entry("etc/group", GROUP.encode()), entry("proc/"),
            entry("dev/"), entry("sys/"), entry("tmp/", mode=0o1777), entry("srv/"), entry("srv/web/", uid=1000, gid=1001),
            entry("gone/"), entry("gone/file", b"x"), entry("hidden/"), entry("hidden/below", b"y"), *changes]


def image(folder, config=None, tag="latest"):
    """A layout with an image of three layers; the second hides things of the first."""
    layout = Layout(folder)
    layers = [Layer(system()),
              Layer([entry("gone/"), entry("gone/.wh.file"), entry("hidden/"), entry("hidden/.wh..wh..opq"),
                     entry("hidden/new", b"n")]),
              Layer([entry("etc/"), entry("etc/motd", b"Hello from an image.\n")])]
    defaults = {"Cmd": ["/bin/sh", "-c", "cat /etc/motd"], "Env": ["A=image", "B=image"], "WorkingDir": "/srv/web/made",
                "User": "web", "StopSignal": "SIGINT", "Labels": {"made.by": "tests"}, "ExposedPorts": {"80/tcp": {}}}
    layout.image(layers, tag, config={"config": {**defaults, **(config or {})}})
    return layout


def many(folder, count):
    """An image of so many layers: each has a file of its own and one that all have."""
    layout = Layout(folder)
    layout.image([Layer([entry(f"f{i}", b"%d" % i), entry("last", b"%d" % i)]) for i in range(count)])
    return layout


def succeeds(*words, **more):
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=30, check=False, **more).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# A command in namespaces of its own, as root there.
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--"]


def may_mount():
    return IS_ROOT and succeeds("unshare", "--mount", "true")


def has_user_namespaces():
    return succeeds(*NAMESPACES, "true")


def crun():
    """The words that run crun here, or None: it knows no mixture of both kinds of control groups."""
    plain = ["crun"]
    if not shutil.which("crun"):
        return None
    if os.path.isdir("/sys/fs/cgroup/unified"):
        plain = ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified && exec crun "$@"', "crun"]
    return plain


def instances(case, root=None, **more):
    """{name: what ls --rootfs says}."""
    lines = case.ok("ls", "--rootfs", "--format", "json", root=root, **more).splitlines()
    return {one["Name"]: one for one in map(json.loads, lines)}


class Case(program.Case):
    """A test whose mounts below its folder go with it."""
    IMAGE = "system:latest"

    def setUp(self):
        super().setUp()
        self.addCleanup(self.unmount_all)

    def unmount_all(self):
        with open("/proc/self/mounts", encoding="utf-8") as file:
            for line in reversed(file.read().splitlines()):
                if line.split()[1].startswith(self.dir):
                    subprocess.run(["umount", "-l", line.split()[1]], check=False)

    def load(self, config=None):
        """Brings the image in, instead of one that was there before."""
        shutil.rmtree(self.path("system"), ignore_errors=True)
        self.layout = image(self.path("system"), config)
        self.ok("load", "-q", "-i", self.layout.folder)

    def mount(self, name="web", *options):
        return self.ok("mount", "-q", *options, name).strip()
