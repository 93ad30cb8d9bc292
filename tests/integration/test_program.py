"""The program as its users meet it: help, wrong usage, JSON, outputs that fail, terminals. What commands do is tested
elsewhere."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import attachments
import images
import program
from images import Layer, entry, noise

HOSTILE = "\x1b]0;owned\x07\u202eevil\r"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202e]")
IMAGE = "app:one"


class Case(program.Case):
    def setUp(self):
        super().setUp()
        layout = images.Layout(self.path("layout"))
        layout.image([Layer([entry(f"file{i}", noise(200000, i))]) for i in range(6)], "one")
        self.ok("load", "-q", "-i", layout.folder)
        self.ok("tag", self.names()[0], IMAGE)

    def on_terminal(self, *arguments, columns=80, code=0, **env):
        """What the program writes to a terminal of so many columns; it is its standard output and error."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with subprocess.Popen(self.command(arguments), env=self.environment({"TERM": "xterm", **env}), stdin=slave,
                              stdout=slave, stderr=slave, start_new_session=True) as process:
            os.close(slave)
            parts = []
            try:
                while parts.append(os.read(master, 65536)) is None and parts[-1]:
                    pass
            except OSError:
                pass  # the other side is closed
            os.close(master)
        self.assertEqual(process.returncode, code, parts)
        return b"".join(parts).decode().replace("\r\n", "\n")


class Usage(Case):
    def commands(self):
        found = re.findall(r"^  ([a-z]+)  +[A-Z]", self.ok("--help"), re.M)
        self.assertGreater(len(found), 30)
        return found

    def test_help(self):
        for command in self.commands():
            out = self.ok(command, "--help")
            self.assertTrue(out.startswith(f"Usage: imgstore {command}"), out)
            self.assertIn(f"\nExamples:\n  ", out)
            self.assertEqual(out, self.ok("help", command))
            self.assertLessEqual(max(map(len, out.splitlines())), 120, out)

    def test_manual_has_every_option(self):
        manual = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "man", "imgstore.1")
        with open(manual, encoding="utf-8") as file:
            text = file.read()
        for command in self.commands():
            self.assertRegex(text, rf"(?m)^\.It (Xo )?Cm {command}\b")
            for option in re.findall(r"^  (?:-\w, |    )-(-[a-z-]+)", self.ok(command, "--help"), re.M):
                self.assertRegex(text, rf"Fl {option}\b", command)

    def test_wrong_usage(self):
        for command in self.commands():
            result = self.imgstore(command, "--no-such-option")
            self.assertEqual((result.code, result.out), (2, ""), str(result))
            self.assertEqual(result.err, f"imgstore {command}: unknown option --no-such-option\n"
                                         f"Try 'imgstore {command} --help'.\n")
        result = self.imgstore("tag", "one")
        self.assertEqual((result.code, result.out), (2, ""), str(result))
        self.assertIn("an argument is missing: imgstore tag [OPTIONS] SOURCE NAME[:TAG]", result.err)
        self.assertIn("one argument too many: c", self.imgstore("tag", "a", "b", "c").err)
        self.assertEqual(self.imgstore("no-such-command").code, 2)

    def test_words_and_numbers_of_options(self):
        for arguments, message in (
                (["ls", "--format", "xml"], "--format is table or json, not xml"),
                (["save", "--format", "x", "a"], "--format is docker-archive, oci-archive or oci-dir, not x"),
                (["build", "--compression", "lz4"], "--compression is gzip, fast, zstd or none, not lz4"),
                (["build", "--level", "20"], "--level is a number from 0 to 19, not 20"),
                (["mount", "--way", "overlay", "--way", "x", "a"], "--way is overlay, fuse or copy, not x"),
                (["unpack", "--owner-policy", "x", "a", "b"], "--owner-policy is error, skip or record, not x"),
                (["unpack", "--device-policy", "record", "a", "b"], "--device-policy is error or skip, not record"),
                (["pull", "--timeout", "0", "a"], "--timeout is a number from 1 to 86400, not 0"),
                (["pull", "-a", "--platform", "x/y", "a"], "--platform and --all-platforms exclude each other"),
                (["ls", "--workers", "65"], "--workers is a number from 0 to 64, not 65")):
            result = self.imgstore(*arguments)
            self.assertEqual((result.code, result.err.splitlines()[0]), (2, f"imgstore {arguments[0]}: {message}"))

    def test_hostile_argument(self):
        result = self.imgstore("ls", "--" + HOSTILE)
        self.assertNotRegex(result.err, CONTROL)


class Output(Case):
    COMMANDS = [["ls"], ["ls", "--format", "json"], ["history", IMAGE], ["inspect", IMAGE], ["du"], ["--help"], ["--version"],
                ["inspect", "--raw", "manifest", IMAGE], ["export", IMAGE], ["save", IMAGE], ["build", "-q", "--from", IMAGE]]

    def test_json(self):
        self.ok("create", "-q", IMAGE, "web")
        for command in (["ls"], ["history", IMAGE], ["du"], ["ls", "--rootfs"]):
            lines = self.ok(*command, "--format", "json").splitlines()
            self.assertTrue(lines, command)
            self.assertTrue(all(isinstance(json.loads(line), dict) for line in lines), command)
        self.assertEqual(len(json.loads(self.ok("inspect", IMAGE, IMAGE))), 2)
        events = self.imgstore("unpack", "--progress", "json", IMAGE, self.path("tree")).err.splitlines()
        self.assertTrue(all(json.loads(line)["event"] for line in events) and events)
        failure = self.imgstore("unpack", "--progress", "json", IMAGE, self.path("no/parent")).err.splitlines()[-1]
        self.assertEqual(json.loads(failure)["event"], "error")

    def test_full_device(self):
        for command in self.COMMANDS:
            result = self.imgstore(*command, before=["sh", "-c", 'exec "$@" >/dev/full', "sh"])
            self.assertEqual(result.code, 1, str(result))
            self.assertRegex(result.err, r"(?m)^imgstore: .*cannot write.*No space left on device", str(result))

    def test_reader_that_left(self):
        for command in self.COMMANDS:
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run(self.command(command), env=self.environment(), stdin=subprocess.DEVNULL, stdout=writer,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
            os.close(writer)
            self.assertEqual(done.returncode, 1, command)
            self.assertNotIn(b"standard output", done.stderr)

    def test_quiet(self):
        for command in (["unpack", "-q", IMAGE, self.path("tree")], ["create", "-q", IMAGE, "web"]):
            result = self.imgstore(*command)
            self.assertEqual((result.code, result.out, result.err), (0, "", ""), str(result))


class Terminal(Case):
    def test_narrow(self):
        for columns in (20, 40, 80, 200):
            out = self.on_terminal("unpack", IMAGE, self.path(f"tree{columns}"), columns=columns)
            lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", out).replace("\r", "").splitlines()
            self.assertLess(max(map(len, lines)), columns, out)
            self.assertEqual(sum("Unpacked" in line or "\u2026" in line for line in lines) >= (columns > 20) * 6, True, out)

    def test_colour(self):
        self.assertIn("\x1b[32m", self.on_terminal("unpack", IMAGE, self.path("green")))
        self.assertNotIn("\x1b[32m", self.on_terminal("unpack", IMAGE, self.path("plain"), NO_COLOR="1"))
        self.assertIn("\x1b[1;31m", self.on_terminal("history", "absent", code=1))
        self.assertNotIn("\x1b", self.on_terminal("history", "absent", code=1, NO_COLOR="1"))
        self.assertNotIn("\x1b", self.on_terminal("unpack", IMAGE, self.path("dumb"), TERM="dumb"))

    def test_archives_do_not_go_there(self):
        for command in ("save", "export"):
            self.assertIn("to a terminal", self.on_terminal(command, IMAGE, code=2))

    def test_hostile_documents(self):
        """What an image says stays text: names, histories, documents, attached files."""
        layout = images.Layout(self.path("hostile"))
        history = [{"created_by": HOSTILE, "comment": HOSTILE}]
        layout.image([Layer([entry("f", b"x")])], "bad", config={"history": history, "config": {"Labels": {"a": HOSTILE}}})
        self.ok("load", "-q", "-i", layout.folder)
        name = next(n for n in self.names() if n.endswith("bad"))
        for command in (["history", name], ["inspect", name], ["inspect", "--raw", "config", name]):
            self.assertNotRegex(self.on_terminal(*command), CONTROL, command)

    def test_hostile_attachment(self):
        site = attachments.MemoryRegistry()
        self.addCleanup(site.stop)
        self.ok("push", "-q", IMAGE, f"{site.host}/app:1")
        bad = self.write("sbom", HOSTILE + "\n")
        self.ok("attach", "-q", "--artifact-type", "application/spdx+json", f"{site.host}/app:1", bad)
        fetch = ["referrers", "--fetch", "sha256:", f"{site.host}/app:1"]
        self.assertEqual(self.ok(*fetch), HOSTILE + "\n")
        out = self.on_terminal(*fetch)
        self.assertIn("evil", out)
        self.assertNotRegex(out, CONTROL)


if __name__ == "__main__":
    program.main()
