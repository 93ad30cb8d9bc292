#!/usr/bin/env python3
"""Pulls an image and prints what it is: libimgstore from Python, with nothing but ctypes.

    imgstore.py [--root DIR] [--plain-http] [--library FILE] IMAGE

The bindings below follow the public headers one to one. Structs that cross the interface begin with
their size, so a binding that knows fewer fields than the library keeps working with later releases.
"""
import argparse
import ctypes
import ctypes.util
import json
import sys
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

PLAIN_HTTP = 1 << 0
USE_ENVIRONMENT = 1 << 2
EVENT_EXISTS, EVENT_DOWNLOADED = 3, 5
OBJECT_LAYER = 4


class Event(Structure):
    """imgstore_event"""
    _fields_ = [("size", c_size_t), ("type", c_int32), ("object", c_int32), ("digest", c_char_p),
                ("text", c_char_p), ("done", c_uint64), ("total", c_uint64)]


EventFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Event))


class RegistryOptions(Structure):
    """imgstore_registry_options"""
    _fields_ = [("size", c_size_t), ("flags", c_uint32), ("max_connections", c_uint32), ("username", c_char_p),
                ("password", c_char_p), ("identity_token", c_char_p), ("docker_config", c_char_p),
                ("auth_file", c_char_p), ("ca_file", c_char_p), ("cert_file", c_char_p), ("key_file", c_char_p),
                ("certs_dir", c_char_p), ("proxy", c_char_p), ("no_proxy", c_char_p), ("user_agent", c_char_p),
                ("transport", c_void_p), ("connect_timeout", c_uint32), ("first_byte_timeout", c_uint32),
                ("stall_window", c_uint32), ("stall_bytes", c_uint32), ("total_timeout", c_uint32),
                ("retries", c_uint32), ("retry_delay", c_uint32), ("max_retry_delay", c_uint32),
                ("max_redirects", c_uint32)]


class PullOptions(Structure):
    """imgstore_pull_options"""
    _fields_ = [("size", c_size_t), ("flags", c_uint32), ("reserved", c_uint32), ("platform", c_char_p),
                ("policy", c_void_p), ("unpack_to", c_char_p), ("unpack", c_void_p), ("layers_to", c_void_p),
                ("layers", c_void_p), ("progress", EventFn), ("progress_data", c_void_p)]


class ImgstoreError(Exception):
    """A failure: .code is one of IMGSTORE_E*, the text names what failed."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


# name: (result, arguments). A trailing imgstore_error ** is added to functions whose result is "check".
CHECK = "check"
FUNCTIONS = {
    "imgstore_version_string": (c_char_p, []),
    "imgstore_error_message": (c_char_p, [c_void_p]),
    "imgstore_error_free": (None, [c_void_p]),
    "imgstore_bytes_data": (c_void_p, [c_void_p]),
    "imgstore_bytes_size": (c_size_t, [c_void_p]),
    "imgstore_bytes_free": (None, [c_void_p]),
    "imgstore_context_new": (CHECK, [c_void_p, POINTER(c_void_p)]),
    "imgstore_context_free": (None, [c_void_p]),
    "imgstore_reference_parse": (CHECK, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "imgstore_reference_unref": (None, [c_void_p]),
    "imgstore_reference_host": (c_char_p, [c_void_p]),
    "imgstore_reference_name": (c_char_p, [c_void_p]),
    "imgstore_store_open": (CHECK, [c_void_p, c_char_p, c_void_p, POINTER(c_void_p)]),
    "imgstore_store_close": (None, [c_void_p]),
    "imgstore_registry_options_init": (c_int32, [POINTER(RegistryOptions), c_size_t]),
    "imgstore_registry_new": (CHECK, [c_void_p, c_char_p, POINTER(RegistryOptions), POINTER(c_void_p)]),
    "imgstore_registry_free": (None, [c_void_p]),
    "imgstore_pull_options_init": (c_int32, [POINTER(PullOptions), c_size_t]),
    "imgstore_pull": (CHECK, [c_void_p, c_void_p, c_char_p, POINTER(PullOptions), POINTER(c_void_p)]),
    "imgstore_image_inspect": (CHECK, [c_void_p, POINTER(c_char_p), c_size_t, POINTER(c_void_p)]),
    "imgstore_image_layer_count": (c_size_t, [c_void_p]),
    "imgstore_image_layer": (c_void_p, [c_void_p, c_size_t]),
    "imgstore_image_unref": (None, [c_void_p]),
    "imgstore_layer_digest": (c_char_p, [c_void_p]),
    "imgstore_layer_size": (c_uint64, [c_void_p]),
}


class Library:
    """The functions of libimgstore; those that can fail raise ImgstoreError."""

    def __init__(self, path=None):
        self.c = ctypes.CDLL(path or ctypes.util.find_library("imgstore") or "libimgstore.so.0")
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self.c, name)
            function.restype = c_int32 if result == CHECK else result
            function.argtypes = arguments + ([POINTER(c_void_p)] if result == CHECK else [])

    def check(self, name, *arguments):
        error = c_void_p()
        code = getattr(self.c, name)(*arguments, byref(error))
        if code != 0:
            message = self.c.imgstore_error_message(error).decode()
            self.c.imgstore_error_free(error)
            raise ImgstoreError(code, message)

    def make(self, name, *arguments):
        """Calls a function whose last output is a handle, and returns the handle."""
        handle = c_void_p()
        self.check(name, *arguments, byref(handle))
        return handle


def on_event(_user_data, event):
    e = event.contents
    if e.object == OBJECT_LAYER and e.type in (EVENT_EXISTS, EVENT_DOWNLOADED):
        print(e.digest.decode(), "already exists" if e.type == EVENT_EXISTS else "downloaded", file=sys.stderr)
    return 0


def pull(lib, root, name, plain_http):
    """Pulls name into the store at root and returns what docker image inspect would print for it."""
    context = reference = store = registry = image = None
    progress = EventFn(on_event)  # must live as long as the pull
    try:
        context = lib.make("imgstore_context_new", None)
        reference = lib.make("imgstore_reference_parse", context, name.encode())
        full_name = lib.c.imgstore_reference_name(reference)
        store = lib.make("imgstore_store_open", context, root.encode(), None)
        options = RegistryOptions()
        lib.c.imgstore_registry_options_init(byref(options), ctypes.sizeof(options))
        options.flags |= USE_ENVIRONMENT | (PLAIN_HTTP if plain_http else 0)
        registry = lib.make("imgstore_registry_new", context, lib.c.imgstore_reference_host(reference), byref(options))
        pull_options = PullOptions()
        lib.c.imgstore_pull_options_init(byref(pull_options), ctypes.sizeof(pull_options))
        pull_options.progress = progress
        image = lib.make("imgstore_pull", store, registry, full_name, byref(pull_options))
        names = (c_char_p * 1)(full_name)
        text = lib.make("imgstore_image_inspect", image, names, 1)
        inspected = json.loads(ctypes.string_at(lib.c.imgstore_bytes_data(text), lib.c.imgstore_bytes_size(text)))
        lib.c.imgstore_bytes_free(text)
        return inspected
    finally:
        # Any order will do, and so will None.
        lib.c.imgstore_image_unref(image)
        lib.c.imgstore_registry_free(registry)
        lib.c.imgstore_store_close(store)
        lib.c.imgstore_reference_unref(reference)
        lib.c.imgstore_context_free(context)


def main():
    parser = argparse.ArgumentParser(description="Pull an image with libimgstore and print what it is.")
    parser.add_argument("image", help="such as alpine or localhost:5000/library/alpine:3.20")
    parser.add_argument("--root", default="images", help="folder of the store (default: ./images)")
    parser.add_argument("--plain-http", action="store_true", help="speak http, without TLS")
    parser.add_argument("--library", help="path of libimgstore.so, when it is not installed")
    arguments = parser.parse_args()
    try:
        inspected = pull(Library(arguments.library), arguments.root, arguments.image, arguments.plain_http)
    except ImgstoreError as error:
        sys.exit(f"imgstore.py: {error}")
    print(json.dumps(inspected, indent=2))


if __name__ == "__main__":
    main()
