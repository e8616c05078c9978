# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same for gunicorn, or any server of WSGI applications that forks: gunicorn --workers 4 app:app"""
import os
import time

import tidemark

# With --preload the master leads. Without it, one of the workers does, and another takes that up when it ends: so that the data
# outlives it, each has a replica.
cache = tidemark.open("gunicorn", evict="s3fifo", replica=True)


@cache.cached(ttl=600, stale=60)
def page(path):
    cache.incr("made" + path)
    time.sleep(0.2)  # a database, a template, another service
    return f"page {path}, made by worker {os.getpid()}\n".encode()


def app(environ, start_response):
    body = page(environ["PATH_INFO"])
    count = cache.incr("requests")  # of all workers
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Worker", str(os.getpid())), ("X-Requests", str(count))])
    return [body]
