#!/usr/bin/env python3
"""HTTP on loopback, as the path of a request asks for: whole, cut, odd. Used by tests/unit/test_curl_transport.c.

wire_server.py DIR makes certificates in DIR with openssl, prints the ports "plain tls mutual silent closing proxy" on
one line and serves until its standard input ends.
"""
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time


def openssl(*arguments):
    subprocess.run(("openssl",) + arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_authority(folder, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=" + name, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt")


def make_certificate(folder, name, extension):
    with open(f"{folder}/{name}.ext", "w") as f:
        f.write(extension)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
            "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr")
    openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key",
            "-CAcreateserial", "-days", "30", "-extfile", f"{folder}/{name}.ext", "-out", f"{folder}/{name}.cert")


def read_head(stream):
    lines = []
    while True:
        line = stream.readline(65536)
        if not line:
            return None
        if line in (b"\r\n", b"\n"):
            return lines
        lines.append(line.rstrip(b"\r\n").decode("latin-1"))


def reply(stream, head, body=b""):
    stream.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n" + body)
    stream.flush()


def ok(body, extra=""):
    return f"HTTP/1.1 200 OK\nContent-Length: {len(body)}\n{extra}", body


def big(size):
    return bytes(range(251)) * (size // 251 + 1)


ODD = {
    "interim": ("HTTP/1.1 100 Continue\nX-A: interim\n\nHTTP/1.1 103 Early Hints\nLink: </x>\n\n"
                "HTTP/1.1 200 OK\nX-A: final\nContent-Length: 2\n", b"ok"),
    "trailer": ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Late\n",
                b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Late: 1\r\nHTTP/1.1 500 no\r\n\r\n"),
    "fold": ("HTTP/1.1 200 OK\nX-Fold: one\n  two\nX-Empty:\nX-Blank :  v \nContent-Length: 0\n", b""),
    "redirect": ("HTTP/1.1 307 Go\nLocation: /hello\nSet-Cookie: a=b\nContent-Length: 0\n", b""),
    "gzip": ("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 5\n", b"plain"),
    "challenge": ("HTTP/1.1 401 No\nWWW-Authenticate: Basic realm=\"x\"\nContent-Length: 2\n", b"no"),
    "nothing": ("HTTP/1.1 204 Empty\n", b""),
    "headers": ("HTTP/1.1 200 OK\n" + "".join(f"X-{i}: {'v' * 1000}\n" for i in range(290)), b""),
    "line": ("HTTP/1.1 200 OK\nX-Long: " + "v" * 200000 + "\n", b""),
    "garbage": ("NOT HTTP AT ALL\n", b""),
}


def serve_request(connection, stream, lines):
    method, target, _ = lines[0].split(" ", 2)
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    length = int(headers.get("Content-Length", "0"))
    body = stream.read(length) if length else b""
    name, _, argument = target.rsplit("/", 1)[-1].partition("-")
    if name == "hello":
        reply(stream, *ok(b"hello"))
    elif name == "echo":
        reply(stream, *ok("\n".join(lines).encode("latin-1") + b"\n\n" + body))
    elif name == "head":
        reply(stream, "HTTP/1.1 200 OK\nContent-Length: 12345\n")
    elif name == "big":
        reply(stream, *ok(big(int(argument))[:int(argument)]))
    elif name == "chunks":
        stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = big(int(argument))[:int(argument)]
        for i in range(0, len(data), 7777):
            piece = data[i:i + 7777]
            stream.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        stream.write(b"0\r\n\r\n")
        stream.flush()
    elif name == "short":
        reply(stream, "HTTP/1.1 200 OK\nContent-Length: 100\n", b"only this")
        return False
    elif name == "close":
        return False
    elif name == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    elif name == "stale":  # answers, then closes the connection without saying so
        reply(stream, *ok(b"stale"))
        return False
    elif name == "hang":
        time.sleep(60)
    elif name in ODD:
        reply(stream, *ODD[name])
    else:
        reply(stream, "HTTP/1.1 404 Not Found\nContent-Length: 0\n")
    return True


def serve_connection(connection, context, proxy):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        stream = connection.makefile("rwb")
        if stream.peek(1)[:1] == b"\x16":  # a TLS greeting: answered as web servers do
            reply(stream, "HTTP/1.1 400 Bad Request\nConnection: close\n")
        lines = read_head(stream)
        while lines:
            if proxy:
                reply(stream, *ok(("proxied " + lines[0]).encode("latin-1")))
            elif not serve_request(connection, stream, lines):
                break
            lines = read_head(stream)
        stream.close()
    except (OSError, ValueError):
        pass
    connection.close()


def listen(handler):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def loop():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handler, args=(connection,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    return listener.getsockname()[1]


def tls_context(folder, mutual):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.cert", f"{folder}/server.key")
    if mutual:
        # In 1.3 a client is done before the server has seen its certificate, and may meet a reset before the alert.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(f"{folder}/ca.crt")
    return context


def main():
    folder = sys.argv[1]
    for name in "ca", "other":
        make_authority(folder, name)
    make_certificate(folder, "server", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    make_certificate(folder, "client", "extendedKeyUsage=clientAuth\n")
    plain, mutual = tls_context(folder, False), tls_context(folder, True)
    ports = [
        listen(lambda c: serve_connection(c, None, False)),
        listen(lambda c: serve_connection(c, plain, False)),
        listen(lambda c: serve_connection(c, mutual, False)),
        listen(lambda c: time.sleep(60)),
        listen(lambda c: c.close()),
        listen(lambda c: serve_connection(c, None, True)),
    ]
    print(*ports, flush=True)
    sys.stdin.read()
    os._exit(0)


main()
