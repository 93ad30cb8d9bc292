"""create, delete, mount and umount killed at each call that changes something: the next command finds an instance that is
whole, or none, and nothing has to be repaired."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import program
import rootfs
import test_crash

CALLS = ("mkdirat", "openat", "write", "pwrite64", "fsync", "fdatasync", "renameat2", "unlinkat", "flock", "fchmod", "fchown",
         "ftruncate", "fsetxattr", "utimensat", "fsconfig", "fsmount", "move_mount", "mount", "umount2")
SAMPLE = 24 if not program.SANITIZED else 6


class Killed(rootfs.Case):
    def setUp(self):
        super().setUp()
        self.load()
        self.ok("create", "-q", self.IMAGE, "first")
        self.ok("delete", "first")
        # The leak checker does not work under ptrace.
        self.env = {"ASAN_OPTIONS": "detect_leaks=0"}

    def folder(self, *inside):
        return os.path.join(self.root, ".imgstore", "rootfs", *inside)

    def strace(self, log, *what):
        return ["strace", "-f", "-qq", "-o", log, "-e", "signal=none", *[word for w in what for word in ("-e", w)]]

    def at_every_call(self, arguments, before, after):
        """before(), the command killed at a call, after(); for a sample of its calls."""
        log, made, calls = self.path("trace"), {}, []
        before()
        self.ok(*arguments, env=self.env, before=self.strace(log, "trace=" + ",".join(CALLS)))
        after()
        with open(log, encoding="utf-8", errors="replace") as file:
            for match in re.finditer(r"^(?:\d+ +)?([a-z0-9_]+)\(", file.read(), re.MULTILINE):
                made[match[1]] = made.get(match[1], 0) + 1
                calls.append((match[1], made[match[1]]))
        reading = sum(1 for name, _ in calls if name == "openat")
        step, killed = max(1, (len(calls) - reading) // SAMPLE), 0
        changing = [c for c in calls if c[0] != "openat"][::step] + [c for c in calls if c[0] == "openat"][::8]
        for name, nth in changing:
            with self.subTest(f"{name} number {nth}"):
                before()
                result = self.imgstore(*arguments, env=self.env, before=self.strace(
                    "/dev/null", "trace=" + name, f"inject={name}:signal=KILL:when={nth}"))
                killed += result.code in (-9, 137)
                after()
        self.assertGreater(killed, len(changing) // 2)

    def names(self, root=None):
        return self.ok("ls", "--rootfs", "-q", root=root).split()

    def clean(self):
        """Whole or not there; deleted for good, with its hold on the image."""
        for name in self.names():
            self.ok("ls", "--rootfs", "--format", "json")
            if rootfs.may_mount() and not rootfs.instances(self)[name]["Mounted"]:
                self.assertEqual(len(os.listdir(self.ok("mount", "-q", name).strip())), 9)
            self.ok("delete", "-f", name)
        self.ok("prune")
        self.assertEqual(self.names(), [])
        self.assertEqual(os.listdir(self.folder("trash")) + os.listdir(self.folder("staging")), [])
        holds = [e for e in self.index() if "imgstore.rootfs/" in e["annotations"]["io.containerd.image.name"]]
        if holds:
            self.fails("delete", "nothing", naming="none of that name")  # any open cleans up
            holds = [e for e in self.index() if "imgstore.rootfs/" in e["annotations"]["io.containerd.image.name"]]
        self.assertEqual(holds, [])
        with open("/proc/self/mounts", encoding="utf-8") as file:
            self.assertNotIn(self.dir, file.read())

    def test_create(self):
        self.at_every_call(["create", "-q", "--workers", 0, self.IMAGE, "web"], lambda: None, self.clean)

    def test_delete(self):
        self.at_every_call(["delete", "web"], lambda: self.ok("create", "-q", self.IMAGE, "web"), self.clean)

    def test_mount(self):
        if not rootfs.may_mount():
            self.skipTest("may not mount here")
        self.at_every_call(["mount", "-q", "web"], lambda: self.ok("create", "-q", self.IMAGE, "web"), self.clean)

    def test_umount(self):
        if not rootfs.may_mount():
            self.skipTest("may not mount here")

        def before():
            self.ok("create", "-q", self.IMAGE, "web")
            self.ok("mount", "-q", "web")

        self.at_every_call(["umount", "web"], before, self.clean)

    def test_copy(self):
        self.at_every_call(["mount", "-q", "--workers", 0, "--way", "copy", "web"],
                           lambda: self.ok("create", "-q", self.IMAGE, "web"), self.clean)


if __name__ == "__main__":
    program.main(["busybox", "strace"],
                 None if program.lack_of(["strace"]) or test_crash.strace_works() else "strace may not trace here")
