#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A web server in forked workers that share one cache: a page is made once, by whichever worker is asked first."""
import http.server
import os
import socket
import sys
import time
import urllib.request

import tidemark

WORKERS = 4
cache = tidemark.open("python-prefork", ephemeral=True, evict="s3fifo")  # the parent leads; each worker opens it anew by itself


@cache.cached(ttl=10, stale=60)
def page(path):
    time.sleep(0.2)  # a database, a template, another service
    return f"page {path}, made by worker {os.getpid()}\n".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = page(self.path)
        count = cache.incr("requests")  # of all workers
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Worker", str(os.getpid()))
        self.send_header("X-Requests", str(count))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def worker(listener):
    server = http.server.ThreadingHTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), backlog=128)
    address = "http://%s:%d" % listener.getsockname()
    workers = []
    for _ in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            worker(listener)
        workers.append(pid)
    try:
        if len(sys.argv) > 1:
            print(f"serving {address} by {WORKERS} workers; end with Ctrl-C", flush=True)
            os.wait()
        makers, by = set(), set()
        for n in range(200):
            with urllib.request.urlopen(f"{address}/{n % 5}") as answer:
                makers.add(answer.read())
                by.add(answer.headers["X-Worker"])
        print(f"200 requests, {cache['requests'].decode()} counted, answered by {len(by)} workers: {len(makers)} pages were made")
    except KeyboardInterrupt:
        pass
    finally:
        for pid in workers:
            os.kill(pid, 15)
        for pid in workers:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
        cache.close()


if __name__ == "__main__":
    main()
