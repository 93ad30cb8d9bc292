#!/usr/bin/env python3
"""Holds the pages against the tree: check_pages.py SOURCE_ROOT

Every name of the interface in a page is declared in a header; every link leads somewhere; every page is in the table of
README.md; Python compiles; the structs that examples/python declares have the fields of the headers, in their order.
"""
import glob
import os
import re
import sys

C_TYPES = {"size_t": "c_size_t", "int32_t": "c_int32", "uint32_t": "c_uint32", "int64_t": "c_int64", "uint64_t": "c_uint64",
           "const char *": "c_char_p"}
# Words of the pages that look like names: X stands for many, _ at the end for all that begin so.
PLACEHOLDER = re.compile(r"imgstore_X|_$|IMGSTORE_0|IMGSTORE_(ROOT|LIB)$|IMGSTORE_E$")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def without_comments(source):
    return re.sub(r"/\*.*?\*/", " ", source, flags=re.S)


def fields_of(headers, struct):
    """(name, type) of the members of a struct; several of one declaration each get its type."""
    body = re.search(rf"typedef struct {struct} \{{(.*?)\}} {struct};", headers, re.S)
    found = []
    for declaration in body[1].split(";") if body else []:
        function = re.search(r"\(\*(\w+)\)", declaration)
        if function:
            found.append((function[1], None))
            continue
        parts = re.fullmatch(r"\s*(.+?[\s*])(\w+(?:\s*,\s*\*?\w+)*)\s*", declaration, re.S)
        if parts:
            kind = re.sub(r"\s+", " ", parts[1]).strip()
            found += [(name.strip(" *\n"), C_TYPES.get(kind, "c_void_p" if "*" in kind else None))
                      for name in parts[2].split(",")]
    return found


def check_structs(headers, path, source):
    for struct, fields in re.findall(r'"""(imgstore_\w+)"""\s+_fields_ = \[(.*?)\]\n', source, re.S):
        declared = re.findall(r'\("(\w+)", (\w+)\)', fields)
        real = fields_of(headers, struct)
        for number, (name, kind) in enumerate(declared):
            expected = real[number] if number < len(real) else (None, None)
            if name != expected[0] or (expected[1] and kind != expected[1]):
                yield f"{path}: {struct}: field {number} is {expected[0]} ({expected[1]}), not {name} ({kind})"
                break
        if not declared or not real:
            yield f"{path}: {struct}: no fields were found"


def check_page(headers, declared, root, path):
    page = read(root, path)
    for name in sorted(set(re.findall(r"\b(?:imgstore|IMGSTORE)_\w+", page))):
        if name not in declared and not PLACEHOLDER.search(name) and not any(d.startswith(name) for d in declared):
            yield f"{path}: {name} is in no header"
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page):
        if not os.path.exists(os.path.join(root, os.path.dirname(path), link)):
            yield f"{path}: {link} leads nowhere"
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)):
        try:
            compile(block, f"{path}, block {number}", "exec")
        except SyntaxError as error:
            yield f"{path}: {error}"
    for name in set(re.findall(r"`((?:lib|tests|docs|examples|include)/[\w./-]+\.\w+)`", page)):
        if not os.path.exists(os.path.join(root, name)):
            yield f"{path}: {name} does not exist"


def check_sources(root):
    """The files of lib/ that the page about the code names, with or without their folder."""
    for name in sorted(set(re.findall(r"`([\w/*]+\.[ch])`", read(root, "docs", "architecture.md")))):
        if not glob.glob(os.path.join(root, "lib", name)) and not glob.glob(os.path.join(root, "lib", "*", name)):
            yield f"docs/architecture.md: there is no {name} in lib/"


def main():
    root = sys.argv[1]
    headers = without_comments("".join(read(path) for path in sorted(glob.glob(f"{root}/include/imgstore/*.h"))))
    declared = set(re.findall(r"\b(?:imgstore|IMGSTORE)_\w+", headers))
    pages = sorted(os.path.relpath(path, root) for path in glob.glob(f"{root}/docs/*.md"))
    problems = []
    for path in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *pages]:
        problems += check_page(headers, declared, root, path)
    problems += check_sources(root)
    listed = re.findall(r"\]\((docs/[\w-]+\.md)\)", read(root, "README.md"))
    problems += [f"README.md: {path} is not in the table of pages" for path in pages if path not in listed]
    for path in glob.glob(f"{root}/examples/python/*.py"):
        problems += check_structs(headers, os.path.relpath(path, root), read(path))
    print("\n".join(problems) or f"{len(pages) + 3} pages are right")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
