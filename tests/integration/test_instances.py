"""Instances of images: created, mounted in every way, deleted; hostile upper directories; several processes at once."""
import json
import os
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import rootfs
import trees
from images import Layer, Layout, entry
from program import IS_ROOT, NOBODY, run_tool

MAY_MOUNT = rootfs.may_mount()
needs_mount = unittest.skipUnless(MAY_MOUNT, "may not mount here")
needs_userns = unittest.skipUnless(rootfs.has_user_namespaces(), "no user namespaces here")


class Case(rootfs.Case):
    def setUp(self):
        super().setUp()
        self.load()

    def instance(self, name, *inside):
        return os.path.join(self.root, ".imgstore", "rootfs", "instances", name, *inside)

    def folder(self, *inside):
        return os.path.join(self.root, ".imgstore", "rootfs", *inside)

    def create(self, name, *options, image=None):
        self.ok("create", "-q", *options, image or self.IMAGE, name)
        return name

    def seen(self, name):
        return rootfs.instances(self)[name]

    def read(self, *path):
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read()


class Records(Case):
    def test_create_list_delete(self):
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
        self.create("web")
        self.create("tools", "--read-only")
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "tools\nweb\n")
        web, tools = self.seen("web"), self.seen("tools")
        self.assertEqual((web["Mode"], tools["Mode"], web["Layers"], web["Mounted"]), ("rw", "ro", 3, ""))
        self.assertEqual(web["Image"], self.IMAGE)
        self.assertEqual(web["ImageID"], json.loads(self.ok("inspect", self.IMAGE))[0]["Id"])
        self.assertEqual(sorted(os.listdir(self.instance("tools"))), ["lock", "merged", "record"])
        self.assertEqual(self.ok("delete", "web", "tools"), "Deleted: web\nDeleted: tools\n")
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
        self.assertEqual(os.listdir(self.folder("trash")) + os.listdir(self.folder("staging")), [])

    def test_layers_are_shared(self):
        for i in range(5):
            self.create(f"i{i}")
        self.assertEqual(len(os.listdir(self.folder("layers"))), 3)

    def usage(self, **more):
        """Lines of du by the first member: {kind: {name: line}}."""
        found = {}
        for line in self.ok("du", "--format", "json", **more).splitlines():
            line = json.loads(line)
            kind = next(iter(line))
            found.setdefault(kind, {})[line[kind]] = line
        return found

    def test_usage(self):
        for name in ("web", "idle"):
            self.create(name)
        self.create("fixed", "--read-only")
        upper = self.instance("web", "upper")
        outside = self.path("outside")
        self.write(outside, "x" * 5000)
        os.makedirs(os.path.join(upper, "deep", "er"))
        self.write(os.path.join(upper, "deep", "er", "file"), "y" * 70000)
        os.link(os.path.join(upper, "deep", "er", "file"), os.path.join(upper, "again"))
        os.symlink(outside, os.path.join(upper, "escape"))
        os.symlink("..", os.path.join(upper, "deep", "up"))
        os.mkfifo(os.path.join(upper, "pipe"))
        found = self.usage()
        self.assertEqual(sorted(found["Instance"]), ["fixed", "idle", "web"])
        below = sum(line["Size"] for line in found["LayerDirectory"].values())
        own = 70000 + len(outside) + len("..")
        web = found["Instance"]["web"]
        self.assertEqual((web["Size"], web["Shared"], web["Unique"], web["Inodes"]), (below + own, below, own, 6))
        self.assertEqual((web["Image"], web["Digest"]), (self.IMAGE, self.seen("web")["Manifest"]))
        for name in ("idle", "fixed"):
            line = found["Instance"][name]
            self.assertEqual((line["Size"], line["Unique"], line["Inodes"]), (below, 0, 0))
        image = found["Applied"][self.IMAGE]
        self.assertEqual((image["Size"], image["Shared"], image["Unique"]), (below, below, 0))
        table = self.ok("du")
        self.assertRegex(table, r"(?m)^INSTANCE +IMAGE +SIZE +FILES +SHARED +UNIQUE$")
        self.assertRegex(table, r"(?m)^web +system:latest .* 6 ")
        self.ok("delete", "web", "idle", "fixed")
        found = self.usage()
        self.assertNotIn("Instance", found)
        image = found["Applied"][self.IMAGE]
        self.assertEqual((image["Shared"], image["Unique"]), (0, below))

    def test_usage_of_a_deep_upper(self):
        self.create("web")
        fd = os.open(self.instance("web", "upper"), os.O_RDONLY)
        try:
            for _ in range(3000):
                os.mkdir("d", dir_fd=fd)
                down = os.open("d", os.O_RDONLY, dir_fd=fd)
                os.close(fd)
                fd = down
        finally:
            os.close(fd)
        result = self.imgstore("du", "--format", "json")
        self.assertEqual(result.code, 0, str(result))
        counted = [json.loads(line) for line in result.out.splitlines() if "Instance" in line][0]["Inodes"]
        # As deep as a layer may be, and what lies below is said to be missing.
        self.assertGreaterEqual(counted, 100)
        if counted < 3000:
            self.assertIn("rootfs web: not all of it is counted", result.err)
        self.ok("delete", "web")

    def test_usage_counts_what_it_may_read(self):
        self.create("web")
        os.mkdir(self.instance("web", "upper", "closed"), 0o000)
        self.write(self.instance("web", "upper", "file"), "12345")
        result = self.imgstore("du", "--format", "json")
        self.assertEqual(result.code, 0, str(result))
        line = [json.loads(line) for line in result.out.splitlines() if "Instance" in line][0]
        self.assertEqual((line["Unique"], line["Inodes"]), (5, 2))
        self.assertEqual(stat.S_IMODE(os.lstat(self.instance("web", "upper", "closed")).st_mode), 0)

    def test_names_that_are_none(self):
        for name in ("", ".", "..", "-x", "_x", "a/b", "../x", "a b", "é", "a" * 129, ".hidden", "a\nb"):
            with self.subTest(name=name):
                self.fails("create", "-q", "--", self.IMAGE, name, naming="not the name of a rootfs")
                self.fails("delete", "--", name, naming="not the name of a rootfs") if self.dir_exists() else None
        for name in ("a", "0", "A.b_c-d", "a" * 128):
            self.create(name)
        self.assertEqual(self.ok("ls", "--rootfs", "-q").split(), sorted(["a", "0", "A.b_c-d", "a" * 128]))

    def dir_exists(self):
        return os.path.isdir(self.folder("instances"))

    def test_a_name_that_is_taken(self):
        self.create("web")
        before = self.read(self.instance("web", "record"))
        self.fails("create", "-q", self.IMAGE, "web", naming="rootfs web: there is one of that name")
        self.assertEqual(self.read(self.instance("web", "record")), before)

    def test_what_is_not_there(self):
        self.create("web")
        for command in (["mount", "nothing"], ["umount", "nothing"], ["delete", "nothing"],
                        ["bundle", "nothing", self.path("b")]):
            self.fails(*command, naming="rootfs nothing: there is none of that name")
        self.fails("create", "-q", "nothing", "x", naming="nothing")
        self.assertFalse(os.path.exists(self.path("b")))

    def test_the_image_stays(self):
        self.create("web")
        self.create("api")
        line = self.fails_rm(self.IMAGE)
        self.assertIn("api, web", line)
        self.ok("tag", self.IMAGE, "other:1")
        self.ok("rm", self.IMAGE)
        self.fails_rm("other:1")
        self.assertEqual(self.names(), ["other:1"])
        digest = json.loads(self.ok("inspect", "other:1"))[0]["Id"]
        self.fails_rm(digest, "--force")
        self.ok("delete", "web")
        self.fails_rm("other:1")
        self.ok("delete", "api")
        self.ok("rm", "other:1")
        self.assertEqual((self.names(), self.blobs(), self.index()), ([], [], []))

    def fails_rm(self, name, *options):
        result = self.imgstore("rm", *options, name)
        self.assertEqual(result.code, 1, str(result))
        self.assertRegex(result.err, "is in use by ")
        return result.err

    def test_holds_are_not_seen(self):
        self.create("web")
        holds = [e["annotations"]["io.containerd.image.name"] for e in self.index()
                 if "imgstore.rootfs/" in e["annotations"]["io.containerd.image.name"]]
        self.assertEqual(len(holds), 1)
        self.assertEqual(self.names(), [self.IMAGE])
        for command in ("du", "ls", "verify", "prune"):
            self.assertNotIn("imgstore.rootfs/", self.ok(command))
        self.fails("rm", holds[0], naming="not in the store")
        self.fails("tag", self.IMAGE, "imgstore.rootfs/x:1", naming="reserved")
        self.ok("load", "-q", "-i", self.root, root=self.path("second"))
        self.assertEqual(self.names(self.path("second")), [self.IMAGE])

    def test_an_image_whose_tag_moved(self):
        """Only the hold is left of it; it can be mounted, and goes with its instance."""
        self.create("web")
        Layout(self.path("new")).image([Layer([entry("x")])])
        self.ok("load", "-q", "--rename", self.IMAGE, "-i", self.path("new"))
        self.ok("prune")
        self.ok("inspect", self.seen("web")["ImageID"])
        self.ok("delete", "web")
        self.ok("prune")
        self.assertEqual(len(self.blobs()), 3)

    def test_holds_that_a_crash_left(self):
        self.create("web")
        shutil.rmtree(self.instance("web"))
        self.create("other", image=self.IMAGE)
        self.ok("delete", "other")
        self.ok("rm", self.IMAGE)
        self.assertEqual(self.index(), [])

    def test_foreign_files(self):
        self.create("web")
        os.mkdir(self.instance("stranger"))
        self.write("precious", "p")
        os.rename(self.path("precious"), self.instance("stranger", "precious"))
        with open(self.instance("file"), "w", encoding="ascii"):
            pass
        os.symlink("/etc", self.instance("link"))
        result = self.imgstore("ls", "--rootfs", "-q")
        self.assertEqual((result.code, result.out), (0, "web\n"), str(result))
        for name in ("stranger", "file", "link"):
            self.assertIn(f"{name}: no instance, left alone", result.err)
            self.fails("delete", name, naming="no instance")
            self.fails("mount", name, naming="no instance")
            self.fails("create", "-q", self.IMAGE, name, naming="there is one of that name")
        self.ok("prune")
        self.assertEqual(self.read(self.instance("stranger", "precious")), "p")

    def test_damaged_records(self):
        self.create("web")
        record = self.read(self.instance("web", "record"))
        for damage in ("", "{}", record[:40], record.replace('"version":1', '"version":2'),
                       record.replace('"layers":["', '"layers":["../../../'), record.replace("sha256:", "md5:")):
            with open(self.instance("web", "record"), "w", encoding="utf-8") as file:
                file.write(damage)
            self.fails("mount", "web", naming="rootfs web: its record")
            result = self.imgstore("ls", "--rootfs")
            self.assertEqual(result.code, 1, str(result))
            self.assertIn("web", result.err)
        with open(self.instance("web", "record"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.ok("delete", "web")
        self.assertEqual(os.listdir(self.folder("instances")), [])

    def test_many_instances(self):
        for i in range(20):
            self.create(f"i{i}")
        self.assertEqual(len(self.ok("ls", "--rootfs", "-q").split()), 20)
        self.ok("delete", *[f"i{i}" for i in range(20)])
        self.ok("rm", self.IMAGE)


@needs_mount
class Mounts(Case):
    def test_mount_write_umount(self):
        self.create("web")
        self.create("other")
        merged = self.mount("web")
        self.assertEqual(merged, self.instance("web", "merged"))
        self.ok("unpack", "-q", self.IMAGE, self.path("tree"))
        self.assertEqual(trees.differences(self.path("tree"), merged), [])
        with open(os.path.join(merged, "etc", "motd"), "w", encoding="ascii") as file:
            file.write("changed")
        shutil.rmtree(os.path.join(merged, "srv"))
        self.assertEqual(sorted(os.listdir(self.instance("web", "upper"))), ["etc", "srv"])
        self.assertEqual(self.read(self.mount("other"), "etc", "motd"), "Hello from an image.\n")
        self.assertEqual(self.seen("web")["Mounted"], merged)
        self.assertEqual(self.seen("web")["MountedBy"], "overlay")
        self.ok("umount", "web")
        self.assertEqual(os.listdir(merged), [])
        self.assertEqual(self.seen("web")["Mounted"], "")
        self.assertEqual(self.read(self.mount("web"), "etc", "motd"), "changed")
        self.assertFalse(os.path.exists(os.path.join(merged, "srv")))

    def test_a_mount_that_is_there(self):
        self.create("web")
        self.mount("web")
        self.fails("mount", "web", naming="rootfs web: it is mounted already, on /")
        os.mkdir(self.path("m"))
        self.fails("mount", "web", self.path("m"), naming="mounted already")
        self.fails("delete", "web", naming="rootfs web: it is mounted on /")
        self.ok("umount", "web")
        self.fails("umount", "web", naming="rootfs web: it is not mounted")
        self.ok("delete", "web")

    def test_other_targets(self):
        self.create("web")
        self.create("api")
        os.mkdir(self.path("a b,c:d"))
        self.assertEqual(self.ok("mount", "-q", "web", self.path("a b,c:d")).strip(), self.path("a b,c:d"))
        self.assertEqual(self.seen("web")["Mounted"], self.path("a b,c:d"))
        self.fails("mount", "api", self.path("a b,c:d"), naming="something is mounted on")
        self.fails("mount", "api", self.path("none"), naming="none")
        self.fails("mount", "api", self.write("file", ""), naming="not a directory")
        self.ok("delete", "-f", "web")
        self.assertEqual(os.listdir(self.path("a b,c:d")), [])

    def test_flags(self):
        self.create("web")
        merged = self.mount("web", "--nosuid", "--nodev", "--noexec", "--read-only")
        with open("/proc/self/mounts", encoding="utf-8") as file:
            options = [line.split()[3].split(",") for line in file if line.split()[1] == merged][0]
        self.assertEqual({"nosuid", "nodev", "noexec", "ro"} - set(options), set())
        with self.assertRaises(OSError):
            os.mkdir(os.path.join(merged, "x"))

    def test_read_only_instances(self):
        self.create("web", "--read-only")
        merged = self.mount("web")
        self.assertEqual(self.read(merged, "etc", "motd"), "Hello from an image.\n")
        self.assertFalse(os.path.exists(os.path.join(merged, "gone", "file")))
        with self.assertRaises(OSError):
            os.mkdir(os.path.join(merged, "x"))
        self.ok("umount", "web")

    def test_one_layer_read_only(self):
        Layout(self.path("one")).image([Layer([entry("x", b"1")])])
        self.ok("load", "-q", "-i", self.path("one"))
        self.create("web", "--read-only", image="one:latest")
        self.assertEqual(os.listdir(self.mount("web")), ["x"])

    def test_root_of_the_tree(self):
        """Owner, mode, time and attributes of / are the image's."""
        Layout(self.path("root")).image([Layer([entry("./", mode=0o1751, uid=3, gid=4), entry("x")])])
        self.ok("load", "-q", "-i", self.path("root"))
        self.create("web", image="root:latest")
        st = os.stat(self.mount("web"))
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime), (0o1751, 3, 4, images.MTIME))

    def test_in_use(self):
        self.create("web")
        merged = self.mount("web")
        with open(os.path.join(merged, "etc", "motd"), encoding="ascii"):
            self.fails("umount", "web", naming="in use")
            self.fails("delete", "web", naming="mounted")
            self.ok("umount", "--lazy", "web")
        self.ok("delete", "web")

    def test_unmounted_by_others(self):
        self.create("web")
        run_tool("umount", self.mount("web"))
        self.assertEqual(self.seen("web")["Mounted"], "")
        self.mount("web")
        self.ok("umount", "web")

    def test_mounted_by_others(self):
        self.create("web")
        run_tool("mount", "-t", "tmpfs", "none", self.instance("web", "merged"))
        self.fails("mount", "web", naming="mounted already")
        self.fails("delete", "web", naming="mounted")
        self.ok("umount", "web")
        self.mount("web")

    def test_records_of_another_boot(self):
        self.create("web")
        run_tool("umount", self.mount("web"))
        with open(self.instance("web", "mounted"), "w", encoding="utf-8") as file:
            file.write(json.dumps({"way": 1, "target": "/", "boot": "another", "namespace": 1, "id": "1", "device": "1"}))
        self.assertEqual(self.seen("web")["Mounted"], "")
        self.mount("web")
        self.ok("umount", "web")
        for damage in ("", "{", '{"way":9}', "x" * 100000):
            with open(self.instance("web", "mounted"), "w", encoding="utf-8") as file:
                file.write(damage)
            self.assertEqual(self.seen("web")["Mounted"], "")

    def test_another_mount_namespace(self):
        self.create("web")
        line = ["unshare", "--mount", "--propagation", "private", "sh", "-c", '"$@" && echo ready && exec sleep 60', "sh",
                *self.command(["mount", "-q", "web"])]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=self.environment()) as process:
            self.addCleanup(process.kill)
            self.assertEqual(process.stdout.readline().strip(), self.instance("web", "merged"))
            process.stdout.readline()
            self.fails("mount", "web", naming="another mount namespace")
            self.fails("delete", "-f", "web", naming="another mount namespace")
            self.fails("umount", "web", naming="another mount namespace")
            self.assertEqual(self.seen("web")["MountedBy"], "overlay")
            process.kill()
        self.assertEqual(self.seen("web")["MountedBy"], "")
        self.ok("delete", "web")

    def test_many_layers(self):
        for count in (128, 450):
            with self.subTest(count=count):
                rootfs.many(self.path(f"many{count}"), count)
                self.ok("load", "-q", "-i", self.path(f"many{count}"))
                self.create(f"m{count}", image=f"many{count}:latest")
                merged = self.mount(f"m{count}")
                self.assertEqual(len(os.listdir(merged)), count + 1)
                self.assertEqual(self.read(merged, "last"), str(count - 1))
                self.ok("umount", f"m{count}")

    def test_more_layers_than_the_kernel_takes(self):
        rootfs.many(self.path("many"), 520)
        self.ok("load", "-q", "-i", self.path("many"))
        self.create("m", image="many:latest")
        self.fails("mount", "-q", "--way", "overlay", "m", naming="500")
        self.assertEqual(len(os.listdir(self.mount("m", "--way", "overlay", "--way", "copy"))), 521)

    def test_planted_marks_do_nothing(self):
        """Attributes that redirect or make opaque, put into the upper directory by a container, are not followed."""
        self.create("web")
        merged = self.mount("web")
        os.mkdir(os.path.join(merged, "planted"))
        self.ok("umount", "web")
        upper = self.instance("web", "upper", "planted")
        os.setxattr(upper, "trusted.overlay.redirect", b"/etc")
        with open(os.path.join(upper, "file"), "w", encoding="ascii"):
            pass
        os.setxattr(os.path.join(upper, "file"), "trusted.overlay.metacopy", b"")
        os.setxattr(os.path.join(upper, "file"), "trusted.overlay.redirect", b"/etc/passwd")
        self.mount("web")
        try:
            self.assertNotIn("passwd", os.listdir(os.path.join(merged, "planted")))
            self.assertEqual(self.read(merged, "planted", "file"), "")
        except PermissionError:
            pass  # refused by the kernel is as good
        self.ok("delete", "-f", "web")

    def test_tmpfs(self):
        os.mkdir(self.path("t"))
        run_tool("mount", "-t", "tmpfs", "none", self.path("t"))
        root = self.path("t", "store")
        self.ok("load", "-q", "-i", self.layout.folder, root=root)
        self.ok("create", "-q", self.IMAGE, "web", root=root)
        merged = self.ok("mount", "-q", "web", root=root).strip()
        with open(os.path.join(merged, "x"), "w", encoding="ascii"):
            pass
        self.ok("delete", "-f", "web", root=root)

    def test_full_disk(self):
        os.mkdir(self.path("t"))
        run_tool("mount", "-t", "tmpfs", "-o", "size=8m", "none", self.path("t"))
        root = self.path("t", "store")
        self.ok("load", "-q", "-i", self.layout.folder, root=root)
        self.ok("create", "-q", self.IMAGE, "web", root=root)
        fill = os.open(self.path("t", "fill"), os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(fill, b"\0" * 4096):
                pass
        except OSError:
            pass
        os.close(fill)
        self.fails("create", "-q", self.IMAGE, "more", root=root, naming="(?i)no space|full|cannot")
        self.assertEqual(self.ok("ls", "--rootfs", "-q", root=root), "web\n")
        self.ok("delete", "web", root=root)
        os.unlink(self.path("t", "fill"))
        self.ok("create", "-q", self.IMAGE, "more", root=root)


@needs_mount
class IdMaps(Case):
    MAPS = ("--uid-map", "0:100000:65536", "--gid-map", "0:200000:65536")

    def test_mapped(self):
        self.create("plain")
        self.create("mapped", *self.MAPS)
        self.create("other", "--uid-map", "0:300000:65536", "--gid-map", "0:300000:65536")
        merged = self.mount("mapped")
        st = os.stat(os.path.join(merged, "srv", "web"))
        self.assertEqual((st.st_uid, st.st_gid), (101000, 201001))
        st = os.stat(merged)
        self.assertEqual((st.st_uid, st.st_gid), (100000, 200000))
        os.chmod(os.path.join(merged, "etc", "passwd"), 0o600)
        st = os.stat(self.instance("mapped", "upper", "etc", "passwd"))
        self.assertEqual((st.st_uid, st.st_gid), (100000, 200000))
        self.assertEqual(os.stat(self.mount("plain") + "/srv/web").st_uid, 1000)
        self.assertEqual(os.stat(self.mount("other") + "/srv/web").st_uid, 301000)
        if json.loads(self.read(self.instance("mapped", "record")))["idMapped"]:
            self.assertEqual(len(os.listdir(self.folder("layers"))), 3)
        self.ok("delete", "-f", "plain", "mapped", "other")

    def test_copied(self):
        self.create("mapped", *self.MAPS)
        self.assertEqual(os.stat(self.mount("mapped", "--way", "copy") + "/srv/web").st_uid, 101000)


class Ways(Case):
    def test_a_copy(self):
        self.create("web")
        copy = self.mount("web", "--way", "copy")
        self.assertEqual(copy, self.instance("web", "copy"))
        self.ok("unpack", "-q", self.IMAGE, self.path("tree"))
        self.assertEqual(trees.differences(self.path("tree"), copy), [])
        with open(os.path.join(copy, "mine"), "w", encoding="ascii") as file:
            file.write("1")
        self.assertEqual(self.seen("web")["MountedBy"], "copy")
        self.fails("mount", "web", naming="mounted already")
        self.ok("umount", "web")
        self.fails("mount", "--way", "overlay", "web", naming="copied")
        self.assertEqual(self.read(self.mount("web"), "mine"), "1")
        self.fails("delete", "web", naming="mounted")
        self.ok("delete", "-f", "web")

    def test_a_copy_nowhere_else(self):
        self.create("web")
        os.mkdir(self.path("m"))
        self.fails("mount", "-q", "--way", "copy", "web", self.path("m"), naming="a copy cannot be put")

    @unittest.skipUnless(shutil.which("fuse-overlayfs") and os.access("/dev/fuse", os.R_OK | os.W_OK), "no fuse-overlayfs")
    @needs_mount
    def test_fuse(self):
        self.create("web")
        merged = self.mount("web", "--way", "fuse")
        self.assertEqual(self.seen("web")["MountedBy"], "fuse")
        self.assertEqual(self.read(merged, "etc", "motd"), "Hello from an image.\n")
        self.assertFalse(os.path.exists(os.path.join(merged, "gone", "file")))
        self.assertEqual(os.listdir(os.path.join(merged, "hidden")), ["new"])
        with open(os.path.join(merged, "x"), "w", encoding="ascii"):
            pass
        self.assertEqual(os.listdir(self.instance("web", "upper")), ["x"])
        self.ok("umount", "web")
        self.ok("delete", "web")

    def test_fuse_program_that_fails(self):
        self.create("web")
        program_path = self.write("broken", "#!/bin/sh\necho 'it is broken' >&2\nexit 3\n", 0o755)
        self.fails("mount", "-q", "--way", "fuse", "--fuse-program", program_path, "web", naming="it is broken")
        self.fails("mount", "-q", "--way", "fuse", "--fuse-program", "/nonexistent", "web", naming="/nonexistent")
        quiet = self.write("quiet", "#!/bin/sh\nexit 0\n", 0o755)
        self.fails("mount", "-q", "--way", "fuse", "--fuse-program", quiet, "web", naming="did not mount")
        self.assertEqual(self.seen("web")["MountedBy"], "")
        self.ok("delete", "web")


class UserNamespaces(Case):
    SCRIPT = """set -e
        %(run)s create -q %(image)s web
        merged=$(%(run)s mount -q --way overlay web)
        cat $merged/etc/motd
        test ! -e $merged/gone/file
        ls $merged/hidden
        rm -r $merged/hidden
        mkdir $merged/hidden
        ls -A $merged/hidden
        %(run)s ls --rootfs --format json
        %(run)s umount web
        merged=$(%(run)s mount -q --way overlay web)
        ls -A $merged/hidden
        %(run)s umount web
        %(run)s delete web
        """

    def check(self, before):
        copy = self.readable_by_all(program.IMGSTORE)[0]
        script = self.SCRIPT % {"run": f"{copy} --root {self.root}", "image": self.IMAGE}
        done = subprocess.run([*before, *rootfs.NAMESPACES, "sh", "-c", script], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=60,
                              env=self.environment({"LD_LIBRARY_PATH": os.path.dirname(copy)}))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.startswith("Hello from an image.\nnew\n{"), done.stdout)

    @needs_userns
    def test_as_this_user(self):
        self.check([])

    @needs_userns
    @unittest.skipUnless(IS_ROOT and shutil.which("setpriv"), "cannot become another user")
    def test_as_an_ordinary_user(self):
        run_tool("chown", "-R", f"{NOBODY}:{NOBODY}", self.dir)
        self.check(program.AS_NOBODY)

    @needs_userns
    @needs_mount
    def test_layers_of_the_administrator(self):
        """Their marks cannot be read there: what is hidden must not come back."""
        self.create("web")
        self.fails("mount", "-q", "--way", "overlay", "web", before=rootfs.NAMESPACES, naming="administrator")


class Hostile(Case):
    """Upper directories as a container's process may leave them, and directories of ours that were replaced."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("outside"))
        self.write("outside/precious", "p", 0o600)
        self.before = trees.scan(self.path("outside"))

    def assert_untouched(self):
        self.assertEqual(trees.scan(self.path("outside")), self.before)

    def test_delete(self):
        self.create("web")
        upper = self.instance("web", "upper")
        os.symlink(self.path("outside"), os.path.join(upper, "link"))
        os.link(self.path("outside", "precious"), os.path.join(upper, "hard"))
        os.unlink(os.path.join(upper, "hard"))
        where = upper
        for _ in range(900):
            where = os.path.join(where, "d")
            os.mkdir(where) if len(where) < 4000 else None
            if len(where) >= 4000:
                break
        os.mkdir(os.path.join(upper, "locked"), 0o000)
        if IS_ROOT:
            os.mknod(os.path.join(upper, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(os.path.join(upper, "white"), stat.S_IFCHR, os.makedev(0, 0))
            os.setxattr(upper, "trusted.overlay.opaque", b"y")
        os.mkfifo(os.path.join(upper, "pipe"))
        for name in ("\n", "\x1b[2J", "a" * 255, "-rf", " "):
            os.mkdir(os.path.join(upper, name))
        self.ok("delete", "web")
        self.assertEqual(os.listdir(self.folder("instances")) + os.listdir(self.folder("trash")), [])
        self.assert_untouched()

    def test_replaced_directories(self):
        for which in ("merged", "upper", "work"):
            with self.subTest(which=which):
                self.create("web")
                os.rmdir(self.instance("web", which))
                os.symlink(self.path("outside"), self.instance("web", which))
                for way in ("overlay", "fuse"):
                    if way == "fuse" and not shutil.which("fuse-overlayfs"):
                        continue
                    result = self.imgstore("mount", "-q", "--way", way, "web")
                    self.assertEqual(result.code, 1, str(result))
                    if IS_ROOT:
                        self.assertRegex(result.err, f"rootfs web: {which} was replaced by something else")
                self.ok("delete", "web")
                self.assert_untouched()

    @unittest.skipUnless(IS_ROOT and shutil.which("chattr"), "no immutable files here")
    def test_what_cannot_be_removed(self):
        self.create("web")
        path = self.write("file", "x")
        os.rename(path, self.instance("web", "upper", "file"))
        if not rootfs.succeeds("chattr", "+i", self.instance("web", "upper", "file")):
            self.skipTest("the file system has no immutable files")
        try:
            result = self.imgstore("delete", "web")
            self.assertEqual((result.code, result.out), (0, "Deleted: web\n"), str(result))
            self.assertIn("cannot be removed now", result.err)
            self.assertEqual(self.ok("ls", "--rootfs", "-q"), "")
            self.create("web")
            self.ok("delete", "web")
            self.assertEqual(len(os.listdir(self.folder("trash"))), 1)
        finally:
            run_tool("chattr", "-R", "-i", self.folder("trash"))
        self.create("next")
        self.assertEqual(os.listdir(self.folder("trash")), [])

    @needs_mount
    def test_a_mount_inside(self):
        """Something mounted below the upper directory is neither entered nor emptied."""
        self.create("web")
        os.mkdir(self.instance("web", "upper", "m"))
        run_tool("mount", "--bind", self.path("outside"), self.instance("web", "upper", "m"))
        result = self.imgstore("delete", "web")
        self.assertEqual(os.listdir(self.path("outside")), ["precious"], str(result))
        self.assert_untouched()


class Together(Case):
    def run_all(self, lines):
        processes = [self.start(*line) for line in lines]
        results = []
        for process in processes:
            out, err = process.communicate(timeout=120)
            results.append((process.returncode, out, err))
        return results

    def test_created_at_once(self):
        results = self.run_all([["create", "-q", self.IMAGE, f"i{i}"] for i in range(8)])
        self.assertEqual({code for code, _, _ in results}, {0}, results)
        self.assertEqual(len(self.ok("ls", "--rootfs", "-q").split()), 8)
        self.assertEqual(len(os.listdir(self.folder("layers"))), 3)

    def test_one_name(self):
        results = self.run_all([["create", "-q", self.IMAGE, "one"] for _ in range(6)])
        self.assertEqual(sorted(code for code, _, _ in results), [0] + [1] * 5)
        self.create("keeps")
        results = self.run_all([["delete", "one"] for _ in range(4)])
        self.assertEqual(sorted(code for code, _, _ in results), [0, 1, 1, 1], results)
        self.assertEqual(self.ok("ls", "--rootfs", "-q"), "keeps\n")

    def test_created_deleted_and_removed(self):
        """The image is held as long as any instance is there, whoever comes and goes."""
        for _ in range(4):
            self.run_all([["create", "-q", self.IMAGE, f"i{i}"] for i in range(3)]
                         + [["delete", f"i{i}"] for i in range(3)] + [["rm", self.IMAGE], ["prune"]])
            left = self.ok("ls", "--rootfs", "-q").split()
            holds = [e for e in self.index() if "imgstore.rootfs/" in e["annotations"]["io.containerd.image.name"]]
            self.assertEqual(bool(left), bool(holds))
            for name in left:
                self.ok("inspect", self.seen(name)["ImageID"])
                self.ok("delete", name)
            self.ok("load", "-q", "-i", self.layout.folder)

    @needs_mount
    def test_mounted_at_once(self):
        self.create("web")
        results = self.run_all([["mount", "-q", "web"] for _ in range(5)])
        self.assertEqual(sorted(code for code, _, _ in results), [0, 1, 1, 1, 1], results)
        results = self.run_all([["umount", "web"] for _ in range(5)])
        self.assertEqual(sorted(code for code, _, _ in results), [0, 1, 1, 1, 1], results)
        with open("/proc/self/mounts", encoding="utf-8") as file:
            self.assertNotIn(self.dir, file.read())


if __name__ == "__main__":
    program.main(["busybox"])
