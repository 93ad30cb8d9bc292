"""OCI runtime bundles, run by crun as root and without privileges; the command run; examples/runtime.c."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import program
import registry
import rootfs
from program import NOBODY, run_tool

CRUN = rootfs.crun()
needs_crun = unittest.skipUnless(CRUN and rootfs.may_mount(), "no crun, or no privilege to mount")
RUNTIME = os.path.join(os.path.dirname(program.IMGSTORE), "example-runtime")


class Case(rootfs.Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.load()

    def mounted(self, name="web", *options):
        self.ok("create", "-q", *options, "system:latest", name)
        return self.mount(name)

    def bundle(self, *options, name="web", command=()):
        """Returns what config.json says."""
        self.ok("bundle", *options, name, self.path("b"), *command)
        with open(self.path("b", "config.json"), encoding="utf-8") as file:
            return json.load(file)

    def crun(self, name="imgstore-test", before=(), code=0):
        done = subprocess.run([*before, *CRUN, "run", "--bundle", self.path("b"), f"{name}-{os.getpid()}"], check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout


@unittest.skipUnless(rootfs.may_mount(), "may not mount here")
class Config(Case):
    def test_from_the_image(self):
        merged = self.mounted()
        c = self.bundle()
        self.assertEqual(c["process"]["args"], ["/bin/sh", "-c", "cat /etc/motd"])
        self.assertEqual(c["process"]["user"], {"uid": 1000, "gid": 1001, "additionalGids": [50, 63]})
        self.assertEqual(c["process"]["cwd"], "/srv/web/made")
        self.assertTrue(os.path.isdir(merged + "/srv/web/made"))
        self.assertEqual(set(c["process"]["env"]), {
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=image", "B=image", "HOME=/srv/web"})
        self.assertEqual((c["root"]["path"], c["root"]["readonly"], c["hostname"]), (merged, False, "web"))
        self.assertEqual(c["annotations"]["org.opencontainers.image.stopSignal"], "SIGINT")
        self.assertEqual(c["annotations"]["org.opencontainers.image.exposedPorts"], "80/tcp")
        self.assertEqual(c["annotations"]["made.by"], "tests")
        self.assertFalse(c["process"]["terminal"])
        self.assertIn("/proc/kcore", c["linux"]["maskedPaths"])
        self.assertNotIn("user", [n["type"] for n in c["linux"]["namespaces"]])

    def test_options(self):
        self.mounted("under_score")
        c = self.bundle("-u", "0:audio", "-e", "A=mine", "-e", "C=", "-w", "/tmp", "--hostname", "h", "-t", "--network",
                        "host", name="under_score", command=["a", "-b", "--", "c d"])
        self.assertEqual(c["process"]["args"], ["a", "-b", "--", "c d"])
        self.assertEqual(c["process"]["user"], {"uid": 0, "gid": 63})
        self.assertEqual((c["process"]["cwd"], c["hostname"], c["process"]["terminal"]), ("/tmp", "h", True))
        self.assertEqual({v for v in c["process"]["env"] if v[0] in "ABCT"}, {"A=mine", "B=image", "C=", "TERM=xterm"})
        self.assertNotIn("network", [n["type"] for n in c["linux"]["namespaces"]])
        c = self.bundle("--entrypoint", "/bin/ls", name="under_score")
        self.assertEqual((c["process"]["args"], c["hostname"]), (["/bin/ls"], "under-score"))

    def test_entrypoint_and_command(self):
        self.load({"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id"]})
        self.mounted()
        self.assertEqual(self.bundle()["process"]["args"], ["/bin/sh", "-c", "id"])
        self.assertEqual(self.bundle(command=["pwd"])["process"]["args"], ["/bin/sh", "-c", "pwd"])

    def test_wrong(self):
        self.ok("create", "-q", "system:latest", "web")
        self.fails("bundle", "web", self.path("b"), naming="rootfs web: it is not mounted")
        self.ok("mount", "-q", "web")
        for options, naming in ((["-u", "nobody"], "nobody"), (["-u", "web:none"], "web:none"), (["-e", "x"], "NAME=VALUE"),
                                (["-e", "=x"], "NAME=VALUE"), (["-w", "relative"], "relative"),
                                (["-w", "/etc/motd"], "/etc/motd is not a directory"), (["--rootless"], "not in the id map"),
                                (["--rootless", "-u", "0", "-w", "/bin/sh/x"], "not a directory")):
            self.fails("bundle", *options, "web", self.path("b"), naming=naming)
        self.assertFalse(os.path.exists(self.path("b", "config.json")))
        self.fails("bundle", "web", self.path("no", "parent"), naming="no/parent")
        self.fails("bundle", "web", self.write("file", ""), naming="not a directory")

    def test_nothing_to_run(self):
        self.load({"Cmd": None})
        self.mounted()
        self.fails("bundle", "web", self.path("b"), naming="names no command")
        self.assertEqual(self.bundle(command=["x"])["process"]["args"], ["x"])

    def test_volumes(self):
        self.load({"Volumes": {"/srv/web": {}, "/new/one": {}}})
        merged = self.mounted()
        volumes = {m["destination"]: m["source"] for m in self.bundle()["mounts"] if m["type"] == "bind"}
        self.assertEqual(set(volumes), {"/srv/web", "/new/one"})
        self.assertTrue(os.path.isdir(merged + "/new/one"))
        st = os.stat(volumes["/srv/web"])
        self.assertEqual((st.st_uid, st.st_gid), (1000, 1001))
        for path in ("relative", "/", "/a/../../b", ""):
            self.ok("delete", "-f", "web")
            self.load({"Volumes": {path: {}}})
            self.mounted()
            self.fails("bundle", "web", self.path("b2"), naming="volume")

    def test_hostile_root(self):
        """Whatever the root file system makes of the places that are looked at, nothing outside is read or made."""
        merged = self.mounted()
        os.mkdir(self.path("outside"))
        os.symlink(self.path("outside"), merged + "/out")
        os.symlink("../../../../../../../.." + self.path("outside"), merged + "/up")
        for cwd in ("/up/made", "/out/made"):
            self.fails("bundle", "-w", cwd, "web", self.path("b"), naming=cwd)  # it leads to what is not in there
        for cwd in ("/../../../made", "/tmp/../../../made/it"):
            self.bundle("-w", cwd)
        self.assertEqual(os.listdir(self.path("outside")), [])
        self.assertFalse(os.path.exists("/made"))
        os.unlink(merged + "/etc/passwd")
        os.symlink("/etc/shadow", merged + "/etc/passwd")
        self.fails("bundle", "-u", "daemon", "web", self.path("b"), naming="not in /etc/passwd")
        os.unlink(merged + "/etc/passwd")
        os.mkfifo(merged + "/etc/passwd")
        self.fails("bundle", "web", self.path("b"), naming="not a regular file")

    def test_a_config_that_is_there(self):
        self.mounted()
        os.mkdir(self.path("b"))
        self.write("precious", "p")
        os.symlink(self.path("precious"), self.path("b", "config.json"))
        self.bundle()
        self.assertFalse(os.path.islink(self.path("b", "config.json")))
        self.assertEqual(open(self.path("precious"), encoding="ascii").read(), "p")


@needs_crun
class Crun(Case):
    SHOW = ("/bin/sh", "-c", "id; pwd; env; hostname; cat /etc/motd; touch /tmp/x && ls /tmp")

    def test_as_root(self):
        merged = self.mounted()
        self.bundle(command=self.SHOW)
        out = self.crun().splitlines()
        self.assertEqual(out[:2], ["uid=1000(web) gid=1001(web) groups=50(staff),63(audio)", "/srv/web/made"])
        self.assertEqual({"A=image", "HOME=/srv/web", "web", "Hello from an image.", "x"} - set(out), set())
        self.assertTrue(os.path.exists(merged + "/tmp/x"))

    def test_exit_status(self):
        self.mounted()
        self.bundle(command=["/bin/sh", "-c", "exit 7"])
        self.crun(code=7)

    def test_read_only(self):
        self.mounted("web", "--read-only")
        self.bundle("-w", "/", command=["/bin/sh", "-c", "touch /x || echo refused"])
        self.assertIn("refused", self.crun())

    def test_volumes(self):
        self.load({"Volumes": {"/srv/web": {}}})
        merged = self.mounted()
        self.bundle("-w", "/", command=["/bin/sh", "-c", "touch /srv/web/kept"])
        self.crun()
        self.assertEqual(os.listdir(self.path("b", "volumes", "0")), ["kept"])
        self.assertEqual(os.listdir(merged + "/srv/web"), [])

    def test_id_maps(self):
        os.chmod(self.dir, 0o711)
        self.ok("create", "-q", "--uid-map", "0:100000:65536", "--gid-map", "0:100000:65536", "system:latest", "web")
        os.mkdir(self.path("m"))
        self.ok("mount", "-q", "web", self.path("m"))
        self.bundle(command=["/bin/sh", "-c", "id; touch /srv/web/x"])
        self.assertIn("uid=1000(web)", self.crun())
        self.assertEqual(os.stat(self.path("m", "srv", "web", "x")).st_uid, 101000)

    def test_rootless(self):
        if not rootfs.has_user_namespaces():
            self.skipTest("no user namespaces here")
        run_tool("chown", "-R", f"{NOBODY}:{NOBODY}", self.dir)
        copy = self.readable_by_all(program.IMGSTORE)[0]
        run = f"{copy} --root {self.root}"
        script = f"""set -e
            {run} create -q system:latest web
            {run} mount -q --way overlay web
            {run} bundle --rootless --network host -u 0 web {self.path('b')} {' '.join(self.SHOW[:2])} 'id; cat /etc/motd'
            crun --root {self.path('state')} --cgroup-manager=disabled run --bundle {self.path('b')} c
            {run} umount web"""
        hybrid = ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified && exec "$@"', "sh"]
        before = hybrid if os.path.isdir("/sys/fs/cgroup/unified") else []
        done = subprocess.run([*before, *program.AS_NOBODY, *rootfs.NAMESPACES, "sh", "-c", script], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=self.environment({"XDG_RUNTIME_DIR": self.home, "LD_LIBRARY_PATH": os.path.dirname(copy)}),
                              check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("uid=0(root)", done.stdout)
        self.assertIn("Hello from an image.", done.stdout)

    def test_run(self):
        before = CRUN[:-2] + ['umount /sys/fs/cgroup/unified && exec "$@"', "sh"] if len(CRUN) > 1 else []
        result = self.imgstore("run", "--rm", "-e", "X=1", "system:latest", "/bin/sh", "-c", "echo $X; id; exit 3",
                               before=before)
        self.assertEqual(result.code, 3, str(result))
        self.assertIn("1\nuid=1000(web)", result.out)
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
        result = self.imgstore("run", "--name", "kept", "system:latest", before=before)
        self.assertEqual((result.code, result.out), (0, "Hello from an image.\n"), str(result))
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "kept\n")


@unittest.skipUnless(os.path.exists(RUNTIME) and rootfs.may_mount(), "no example-runtime, or no privilege to mount")
class Example(Case):
    """examples/runtime.c, as a stranger's program would use the library."""

    def runtime(self, *arguments):
        done = subprocess.run([RUNTIME, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=self.environment({"IMGSTORE_ROOT": self.root}), check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_runtime(self):
        server = registry.FaultServer(self.path("server"), self.path("system"))
        self.addCleanup(server.stop)
        code, out, err = self.runtime(server.name("plain"), "sh", "-c", "echo $$; echo $A; hostname; cat /etc/motd; exit 5")
        self.assertEqual((code, out), (5, "1\nimage\ncontainer\nHello from an image.\n"), err)
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
        code, _, err = self.runtime(server.name("plain"), "nothing")
        self.assertEqual(code, 1, err)
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")

    def test_runtime_commits(self):
        server = registry.FaultServer(self.path("server"), self.path("system"))
        self.addCleanup(server.stop)
        code, _, err = self.runtime("--commit", "changed:1", server.name("plain"), "sh", "-c", "echo new > /etc/new; rm /etc/motd; exit 6")
        self.assertEqual(code, 6, err)
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
        self.ok("unpack", "-q", "changed:1", self.path("tree"))
        with open(self.path("tree", "etc", "new"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "new\n")
        self.assertFalse(os.path.exists(self.path("tree", "etc", "motd")))
        code, _, err = self.runtime("--commit", "bad name", server.name("plain"), "true")
        self.assertEqual(code, 1)
        self.assertIn("commit:", err)
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
        self.assertEqual(self.runtime("--commit", "x", "only-an-image")[0], 2)


if __name__ == "__main__":
    program.main(["busybox"])
