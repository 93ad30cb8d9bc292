"""What instances changed and images of them, through the program: listed as docker diff does, committed, pulled by
skopeo and unpacked by umoci, committed again on top; kept from what somebody inside planted; killed at every system
call."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import program
import rootfs
import trees
from program import run_tool

needs_mount = unittest.skipUnless(rootfs.may_mount(), "may not mount here")
KILLED_CALLS = ["openat", "pwrite64", "renameat2", "unlinkat", "fdatasync", "fsync", "flock", "fchmod"]


class Case(rootfs.Case):
    def setUp(self):
        super().setUp()
        self.load()
        self.ok("create", "-q", self.IMAGE, "web")

    def upper(self, *path):
        return os.path.join(self.root, ".imgstore", "rootfs", "instances", "web", "upper", *path)

    def put(self, path, content="x"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)

    def change(self, merged):
        self.put(os.path.join(merged, "etc/new"), "new")
        self.put(os.path.join(merged, "etc/motd"), "changed")
        os.remove(os.path.join(merged, "etc/group"))
        shutil.rmtree(os.path.join(merged, "hidden"))
        os.mkdir(os.path.join(merged, "hidden"))
        self.put(os.path.join(merged, "hidden/other"))
        shutil.rmtree(os.path.join(merged, "srv"))
        os.chmod(os.path.join(merged, "tmp"), 0o700)
        os.link(os.path.join(merged, "etc/new"), os.path.join(merged, "etc/second"))
        os.chown(os.path.join(merged, "etc/new"), 1000, 1001)
        os.setxattr(os.path.join(merged, "etc/new"), "user.kind", b"new")

    def manifest(self, name):
        return json.loads(self.ok("inspect", "--raw", "manifest", name))

    def config(self, name):
        return json.loads(self.ok("inspect", "--raw", "config", name))


@needs_mount
class Changes(Case):
    LINES = ["C /etc", "D /etc/group", "C /etc/motd", "A /etc/new", "A /etc/second", "C /hidden", "D /hidden/new",
             "A /hidden/other", "D /srv", "C /tmp"]

    def test_listed_as_docker_does(self):
        self.assertEqual(self.ok("diff", "web"), "")
        merged = self.mount()
        self.change(merged)
        self.assertEqual(self.ok("diff", "web").splitlines(), self.LINES)
        lines = [json.loads(line) for line in self.ok("diff", "--format", "json", "web").splitlines()]
        self.assertEqual([f"{line['Kind']} {line['Path']}" for line in lines], self.LINES)
        self.ok("umount", "web")
        self.assertEqual(self.ok("diff", "web").splitlines(), self.LINES)
        self.assertEqual(self.ok("--workers", "0", "diff", "web").splitlines(), self.LINES)

    def test_names_are_shown_safely(self):
        merged = self.mount()
        self.put(os.path.join(merged, "a\x1b[31m\nb"))
        out = self.ok("diff", "web")
        self.assertNotIn("\x1b", out)
        self.assertEqual(len(out.splitlines()), 1)

    def test_copies_are_compared(self):
        merged = self.mount("web", "--way", "copy")
        self.change(merged)
        self.assertEqual(self.ok("diff", "web").splitlines(), self.LINES)
        self.ok("commit", "web", "copied:1")
        self.ok("unpack", "copied:1", self.path("out"))
        self.assertEqual(trees.differences(merged, self.path("out"), times=False), [])

    def exported(self, name, folder):
        os.mkdir(self.path(folder))
        self.ok("export", "-q", "-o", self.path(folder + ".tar"), name)
        run_tool("tar", "-C", self.path(folder), "-xpf", self.path(folder + ".tar"), "--numeric-owner", "--xattrs",
                 "--xattrs-include=*")
        return self.path(folder)

    def test_export(self):
        merged = self.mount()
        self.assertEqual(trees.differences(merged, self.exported("web", "plain")), [])
        self.change(merged)
        self.assertEqual(trees.differences(merged, self.exported("web", "changed")), [])
        self.ok("umount", "web")
        for i, workers in enumerate(("0", "2")):
            again = self.path(f"again{i}.tar")
            self.ok("--workers", workers, "export", "-q", "-o", again, "web")
            with open(again, "rb") as one, open(self.path("changed.tar"), "rb") as other:
                self.assertEqual(one.read(), other.read())
        self.ok("import", "-q", self.path("changed.tar"), "flat:1")
        self.ok("unpack", "-q", "flat:1", self.path("flat"))
        self.assertEqual(trees.differences(self.path("changed"), self.path("flat")), [])

    def test_export_of_copies_and_of_what_is_read_only(self):
        merged = self.mount("web", "--way", "copy")
        self.change(merged)
        self.assertEqual(trees.differences(merged, self.exported("web", "copied")), [])
        self.ok("create", "-q", "--read-only", self.IMAGE, "fixed")
        self.ok("export", "-q", "-o", self.path("fixed.tar"), "fixed")
        self.ok("export", "-q", "-o", self.path("image.tar"), self.IMAGE)
        with open(self.path("fixed.tar"), "rb") as one, open(self.path("image.tar"), "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_export_of_a_name_that_both_have(self):
        self.ok("tag", self.IMAGE, "web:latest")
        self.put(self.upper("only-here"))
        for name, there in (("web", True), ("web:latest", False)):
            names = subprocess.run(["tar", "-t"], input=subprocess.run(
                [program.IMGSTORE, "export", "-q", name], env=self.environment({"IMGSTORE_ROOT": self.root}),
                stdout=subprocess.PIPE, check=True).stdout, stdout=subprocess.PIPE, check=True).stdout
            self.assertEqual(b"only-here\n" in names, there, name)
        self.fails("export", "-o", self.path("x.tar"), "none", naming="none")
        self.assertFalse(os.path.exists(self.path("x.tar")))

    def test_export_of_what_somebody_planted(self):
        self.put(self.path("secret"), "secret")
        os.symlink(self.path("secret"), self.upper("link"))
        os.symlink(self.dir, self.upper("folder"))
        os.mkdir(self.upper("etc")) if not os.path.exists(self.upper("etc")) else None
        os.mkfifo(self.upper("pipe"))
        with socket.socket(socket.AF_UNIX) as plug:
            here = os.getcwd()
            os.chdir(self.upper())
            plug.bind("plug")
            os.chdir(here)
        self.ok("export", "-q", "-o", self.path("out.tar"), "web")
        with tarfile.open(self.path("out.tar")) as tar:
            found = {m.name.rstrip("/"): m for m in tar}
            self.assertTrue(found["link"].issym() and found["folder"].issym() and found["pipe"].isfifo())
            self.assertNotIn("plug", found)
            self.assertFalse([n for n in found if n.startswith("folder/")])

    def test_a_layer_of_a_build(self):
        merged = self.mount()
        self.change(merged)
        os.mkdir(self.path("more"))
        self.put(self.path("more", "conf"), "conf")
        self.ok("build", "-q", "--rootfs", "web", "--history", "changed", "--add-dir", self.path("more") + ":/opt",
                "--timestamp", "1700000000", "-t", "built:1")
        self.ok("commit", "-q", "--timestamp", "1700000000", "web", "committed:1")
        base = self.config(self.IMAGE)["rootfs"]["diff_ids"]
        built, committed = self.config("built:1"), self.config("committed:1")
        self.assertEqual(built["rootfs"]["diff_ids"][:-1], committed["rootfs"]["diff_ids"])
        self.assertEqual(built["rootfs"]["diff_ids"][:-2], base)
        self.assertEqual(built["history"][-2]["created_by"], "changed")
        self.ok("unpack", "-q", "built:1", self.path("out"))
        with open(self.path("out", "opt", "conf"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "conf")
        shutil.rmtree(self.path("out", "opt"))
        self.assertEqual(trees.differences(merged, self.path("out"), times=False), [])
        # The name of its image may mean another one by now.
        self.ok("tag", "built:1", self.IMAGE)
        self.ok("build", "-q", "--rootfs", "web", "-t", "again:1")
        self.assertEqual(self.config("again:1")["rootfs"]["diff_ids"][:-1], base)
        self.fails("build", "-q", "--rootfs", "none", "-t", "x:1", naming="rootfs none")
        self.fails("build", "-q", "--rootfs", "web", root=self.path("empty"), naming="no images yet")
        self.assertNotIn("x:1", self.names())

    def test_unknown_and_read_only(self):
        self.fails("diff", "none", naming="none")
        self.fails("commit", "none", "x:1", naming="none")
        self.ok("create", "-q", "--read-only", self.IMAGE, "fixed")
        self.assertEqual(self.ok("diff", "fixed"), "")
        self.fails("commit", "fixed", "x:1", naming="fixed")


@needs_mount
class Commits(Case):
    def test_round_trip(self):
        merged = self.mount()
        self.change(merged)
        image_id = self.ok("commit", "-q", "web", "made/web:2").strip()
        self.assertEqual(self.ok("ls", "-q", "--no-trunc", "made/web:2").strip(), image_id)
        self.ok("unpack", "-q", "made/web:2", self.path("out"))
        self.assertEqual(trees.differences(merged, self.path("out")), [])
        base, made = self.manifest(self.IMAGE), self.manifest("made/web:2")
        self.assertEqual([l["digest"] for l in made["layers"][:-1]], [l["digest"] for l in base["layers"]])
        self.assert_sound()
        self.assert_clean()

    @unittest.skipIf(program.lack_of(["skopeo", "umoci"]), "no skopeo and umoci")
    def test_other_tools_read_it(self):
        merged = self.mount()
        self.change(merged)
        self.ok("commit", "-q", "web", "made/web:2")
        run_tool("skopeo", "copy", "oci:" + self.root + ":2", "oci:" + self.path("copied") + ":2")
        run_tool("umoci", "unpack", "--image", self.path("copied") + ":2", self.path("bundle"))
        self.assertEqual(trees.differences(merged, self.path("bundle", "rootfs")), [])

    def test_on_top_again(self):
        merged = self.mount()
        self.change(merged)
        self.ok("commit", "-q", "web", "made:2")
        self.ok("create", "-q", "made:2", "again")
        second = self.mount("again")
        self.assertEqual(trees.differences(merged, second), [])
        shutil.rmtree(os.path.join(second, "hidden"))
        self.put(os.path.join(second, "etc/third"))
        self.ok("commit", "-q", "again", "made:3")
        self.ok("unpack", "-q", "made:3", self.path("out"))
        self.assertEqual(trees.differences(second, self.path("out")), [])
        self.assertEqual(len(self.manifest("made:3")["layers"]), 5)
        history = [h for h in self.config("made:3")["history"] if not h.get("empty_layer")]
        self.assertEqual(len(history), 5)

    def test_the_same_twice(self):
        merged = self.mount()
        self.change(merged)
        env = {"SOURCE_DATE_EPOCH": "1700000000"}
        ids = {self.ok(*more, "commit", "-q", "web", f"made:{i}", env=env)
               for i, more in enumerate([(), ("--workers", "0"), ("--workers", "4")])}
        self.assertEqual(len(ids), 1)
        self.assertEqual(self.config("made:0")["created"], "2023-11-14T22:13:20Z")

    def test_without_changes_there_is_no_layer(self):
        self.ok("commit", "-q", "-m", "nothing", "web", "made:2")
        self.assertEqual(self.manifest("made:2")["layers"], self.manifest(self.IMAGE)["layers"])
        last = self.config("made:2")["history"][-1]
        self.assertEqual((last["comment"], last["empty_layer"]), ("nothing", True))

    def test_config_and_history(self):
        self.put(self.upper("file"))
        self.ok("commit", "-q", "-m", "a message", "-a", "Ada <ada@example.org>", "-c", 'CMD ["a", "b c"]', "-c",
                "ENTRYPOINT run it", "-c", 'ENV A=new C="x y" D=1', "-c", "ENV E with spaces ", "-c", "EXPOSE 81 53/udp",
                "-c", "LABEL more=1", "-c", "USER 5:6", "-c", 'VOLUME ["/data"]', "-c", "WORKDIR below", "-c",
                "stopsignal SIGTERM", "web", "made:2")
        base, made = self.config(self.IMAGE), self.config("made:2")
        config = made["config"]
        self.assertEqual(config["Cmd"], ["a", "b c"])
        self.assertEqual(config["Entrypoint"], ["/bin/sh", "-c", "run it"])
        self.assertEqual(config["Env"], ["A=new", "B=image", "C=x y", "D=1", "E=with spaces "])
        self.assertEqual(set(config["ExposedPorts"]), {"80/tcp", "81/tcp", "53/udp"})
        self.assertEqual(config["Labels"], {"made.by": "tests", "more": "1"})
        self.assertEqual((config["User"], config["WorkingDir"], config["StopSignal"]),
                         ("5:6", "/srv/web/made/below", "SIGTERM"))
        self.assertEqual(config["Volumes"], {"/data": {}})
        self.assertEqual(made["author"], "Ada <ada@example.org>")
        last = made["history"][-1]
        self.assertEqual((last["comment"], last["author"], last["created_by"]),
                         ("a message", "Ada <ada@example.org>", "imgstore commit"))
        self.assertEqual(made["rootfs"]["diff_ids"][:-1], base["rootfs"]["diff_ids"])
        self.assertEqual(made["architecture"], base["architecture"])

    def test_bad_instructions(self):
        for instruction in ("RUN x", "", "ENV", "ENV =x", "ENV a", "WORKDIR a b", "USER", 'LABEL "a', "EXPOSE x",
                            "EXPOSE 99999", "STOPSIGNAL"):
            self.fails("commit", "-c", instruction, "web", "made:2")
        self.assertEqual(len(self.ok("ls", "-q").split()), 1)

    def test_what_a_layer_cannot_have_is_said(self):
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        merged = self.mount()
        here = os.getcwd()
        os.chdir(merged)
        try:
            server.bind("sock")
        finally:
            os.chdir(here)
        self.put(os.path.join(merged, ".wh.etc"))
        result = self.imgstore("commit", "-q", "web", "made:2")
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("sock", result.err)
        self.assertIn(".wh.etc", result.err)
        self.ok("unpack", "-q", "made:2", self.path("out"))
        self.assertTrue(os.path.exists(self.path("out", "etc", "passwd")))

    def test_planted_marks(self):
        merged = self.mount()
        self.put(os.path.join(merged, "etc/new"))
        for name in ("user.overlay.opaque", "user.fuseoverlayfs.opaque", "trusted.overlay.opaque"):
            os.setxattr(os.path.join(merged, "etc"), name, b"y")
        self.ok("commit", "-q", "web", "made:2")
        self.ok("unpack", "-q", "made:2", self.path("out"))
        self.assertTrue(os.path.exists(self.path("out", "etc", "passwd")))
        self.assertEqual(os.listxattr(self.path("out", "etc")), [])
        self.ok("umount", "web")
        os.setxattr(self.upper("etc"), "trusted.overlay.redirect", b"/tmp")
        self.fails("commit", "-q", "web", "made:3", naming='"etc"')
        self.assertEqual(len(self.ok("ls", "-q").split()), 2)

    def test_owners_are_mapped_back(self):
        self.ok("create", "-q", "--uid-map", "0:100000:65536", "--gid-map", "0:100000:65536", self.IMAGE, "mapped")
        merged = self.mount("mapped")
        self.put(os.path.join(merged, "mine"))
        os.chown(os.path.join(merged, "mine"), 100005, 100006)
        os.chown(os.path.join(merged, "etc"), 100000, 100000)
        self.ok("commit", "-q", "mapped", "made:2")
        self.ok("unpack", "-q", "made:2", self.path("out"))
        st = os.stat(self.path("out", "mine"))
        self.assertEqual((st.st_uid, st.st_gid), (5, 6))
        self.assertEqual(os.stat(self.path("out", "etc")).st_uid, 0)
        self.assertEqual(os.stat(self.path("out")).st_uid, 0)

    def test_docker_stays_docker(self):
        self.ok("build", "-q", "--from", self.IMAGE, "--format", "docker", "-t", "docker:1")
        self.ok("create", "-q", "docker:1", "docker")
        self.put(os.path.join(self.mount("docker"), "file"))
        self.ok("commit", "-q", "docker", "docker:2")
        types = {self.manifest("docker:2")["mediaType"], self.manifest("docker:2")["config"]["mediaType"],
                 *[layer["mediaType"] for layer in self.manifest("docker:2")["layers"]]}
        self.assertEqual({t for t in types if "docker" not in t}, set())

    def test_the_base_may_be_gone(self):
        """While the instance stands on it the image stays."""
        self.ok("commit", "-q", "web", "made:2")
        self.put(self.upper("file"))
        self.imgstore("rm", "-f", self.IMAGE)
        self.ok("commit", "-q", "web", "made:3")
        self.assert_sound()


@needs_mount
class Killed(Case):
    def test_at_every_system_call(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        os.makedirs(self.upper("etc"), exist_ok=True)
        self.put(self.upper("etc/new"), "content" * 1000)
        kills = 0
        for call in KILLED_CALLS:
            for number in range(1, 400):
                line = ["strace", "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                        f"inject={call}:signal=KILL:when={number}"]
                # the leak checker does not work under ptrace
                result = self.imgstore("--workers", "0", "commit", "-q", "web", f"killed:{call}", before=line,
                                       env={"ASAN_OPTIONS": "detect_leaks=0"})
                killed = result.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
                if not killed:
                    self.assertEqual(result.code, 0, str(result))
                    break
                kills += 1
                if number % 5 == 1:
                    self.assert_sound()
                    for one in json.loads("[" + ",".join(self.ok("ls", "--format", "json").splitlines()) + "]"):
                        self.assertTrue(one)
        self.assertGreater(kills, 20)
        self.ok("prune")
        self.assert_sound()
        self.assert_clean()
        self.ok("unpack", "-q", "killed:openat", self.path("out"))
        self.assertTrue(os.path.exists(self.path("out", "etc", "new")))
        self.assertEqual(os.listdir(os.path.join(self.root, ".imgstore", "ingest")), [])


if __name__ == "__main__":
    program.main()
