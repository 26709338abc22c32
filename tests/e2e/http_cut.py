#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
http_cut.py DIR PORTFILE [CUT [norange]]

Serves DIR with range requests on a port of its own, written to PORTFILE.  Each
answer breaks off after CUT bytes (0: none does).  With norange an answer is
always the whole file.
"""
import http.server
import os
import re
import sys

root, portfile = sys.argv[1], sys.argv[2]
cut = int(sys.argv[3]) if len(sys.argv) > 3 else 0
ranges = len(sys.argv) <= 4


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = os.path.join(root, os.path.basename(self.path))
        try:
            f = open(path, "rb")
        except OSError:
            self.send_error(404)
            return
        with f:
            size = os.fstat(f.fileno()).st_size
            start = 0
            m = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
            if m and ranges:
                start = int(m.group(1))
                self.send_response(206)
                self.send_header("Content-Range",
                                 f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(size - start))
            self.send_header("ETag", f'"{size}"')
            self.end_headers()
            f.seek(start)
            left = cut if cut else size
            while left > 0:
                data = f.read(min(left, 65536))
                if not data:
                    break
                self.wfile.write(data)
                left -= len(data)
            self.wfile.flush()
            self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(portfile + ".new", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(portfile + ".new", portfile)
server.serve_forever()
