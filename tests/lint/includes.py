#!/usr/bin/env python3
"""Fail if an #include in src/ points up the layer order.  usage: includes.py TOP"""
import pathlib
import re
import sys

MAY = {  # folder: folders it may include, besides itself
    "core":   "",
    "wire":   "core",
    "http":   "core",
    "auth":   "core",
    "mux":    "core wire",
    "net":    "core",
    "tunnel": "core wire mux net http auth",
    "admin":  "core http net",
    "server": "core wire mux net tunnel http auth admin",
    "client": "core wire mux net tunnel http auth admin",
    "cmd":    "core net auth http server client admin",
    ".":      "core cmd",
}
UV = {"net", "tunnel", "admin", "server", "client", "cmd"}
TLS = {"net/tls.c", "net/tls_context.c", "net/verify.c"}
TLS_FOLDERS = {"auth"}
JSON = {"cmd"}
# What a machine without sockets and clock has no business with.
PURE = {"wire", "mux", "http", "auth"}
SYSTEM = {"sys/socket.h", "unistd.h", "time.h", "sys/time.h", "netdb.h", "fcntl.h", "poll.h",
          "sys/epoll.h", "pthread.h"}

root, bad = pathlib.Path(sys.argv[1]) / "src", 0
for f in sorted(p for p in root.rglob("*.[ch]")):
    rel = f.relative_to(root)
    here = str(rel.parent)
    for n, line in enumerate(f.read_text().splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if not m:
            continue
        kind, inc = m.groups()
        if kind == '"':
            top = inc.split("/")[0] if "/" in inc else "."
            ok = top == here or top in MAY[here].split()
        elif inc == "uv.h":
            ok = here in UV and (f.suffix == ".c" or here in ("net", "tunnel", "server", "client"))
        elif inc == "jansson.h":
            ok = here in JSON
        elif inc.startswith("openssl/"):
            ok = str(rel) in TLS or here in TLS_FOLDERS
        else:
            ok = not (here in PURE and inc in SYSTEM)
        if not ok:
            print(f"{f}:{n}: {here}/ may not include {inc}")
            bad = 1
sys.exit(bad)
