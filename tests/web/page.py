# SPDX-License-Identifier: LGPL-2.1-or-later
"""page.py TIDE TRAFFIC PICTURES [PICTURE]: the page of `tide web` in a browser. Its figures are those of `tide stat`; nothing that is written into
a domain becomes part of the page; it works by keyboard, at 320 px and in the dark; it tells what happens to a domain. With PICTURE only
that file is made, for the README. Exit codes: 0 good, 1 not, 77 skipped."""
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser  # noqa: E402
from source import Etcd, Link  # noqa: E402

TIDE, TRAFFIC, PICTURES = sys.argv[1:4]
SCRIPT, IMAGE, LABEL = "<script>hacked=1</script>", '"><img src=x onerror=hacked=1>', "<img src=x onerror=hacked=1>"
started, failed = [], []


def check(good, what):
    if not good:
        failed.append(what)
        print(what, flush=True)


def tide(*arguments, code=0):
    done = subprocess.run([TIDE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
    if done.returncode != code:
        raise RuntimeError(f"tide {' '.join(arguments)}: {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def begin(*arguments, ready=True):
    """Start a program; with `ready`, its first line."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    started.append(process)
    return process, process.stdout.readline().decode() if ready else ""


def end(process, how=9):
    process.send_signal(how)
    process.wait()


def listen(port="0", name="d"):
    process = subprocess.Popen([TIDE, "web", name, "--listen", port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    started.append(process)
    line = process.stdout.readline().decode()
    if not line:
        said = process.stderr.read().decode()
        if "libmicrohttpd" in said:
            print("skipped:", said)
            sys.exit(77)
        raise RuntimeError(said)
    return process, line.split()[1]


# ---- numbers as the page has them: tools/web/page/words.js

def three(x):
    return f"{x:.0f}" if x >= 99.95 else f"{x:.1f}" if x >= 9.995 else f"{x:.2f}"


def time_text(ns):
    if ns <= 0:
        return "0"
    unit = ("ns", 1)
    for u in (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9), ("h", 3600e9)):
        if ns >= u[1] * (2 if u[1] > 1e9 else 0.9995):
            unit = u
    return f"{ns:,.0f} ns" if unit[1] == 1 else f"{three(ns / unit[1])} {unit[0]}"


def percent(x):
    if x is None:
        return "–"
    if x >= 1:
        return "100 %"
    if x == 0:
        return "0 %"
    if x < 0.0001:
        return "<0.01 %"
    p = int(x * 10000 + 1e-7) / 100
    return f"{p:.2f} %" if p >= 99 or p < 1 else f"{p:.1f} %"


def bucket_end(i):
    return (4 + i % 4) * 2 ** (6 + i // 4) - 1


def share_within(histogram, bound):
    within = total = 0
    for bucket, n in histogram:
        low, high = bucket_end(bucket - 1) if bucket else 0, bucket_end(bucket) if bucket < 113 else float("inf")
        total += n
        within += n if bound >= high else n * (bound - low) / (high - low) if low < bound and high < float("inf") else 0
    return within / total if total else None


# ---- the page's figures and those of `tide stat --json`

SHOWN = """(() => ({
  domain: Object.fromEntries([...document.querySelectorAll('#domain [data-figure], #cache [data-figure], #reasons [data-figure]')]
    .map((e) => [e.dataset.figure, e.textContent])),
  replicas: [...document.querySelectorAll('#replicas tbody tr')].map((row) => Object.fromEntries([...row.children].map((e) => [e.dataset.figure, e.textContent]))),
}))()"""


def number(text):
    return int(text.replace(",", "").split()[0])


def differences(page, stat, look):
    """Of the page; of one look as JSON, which has more digits."""
    wrong = []

    def same(what, here, there):
        if here != there:
            wrong.append(f"{what}: the page has {here!r}, stat {there!r}")

    d = page["domain"]
    for name in ("tide_commit_index", "tide_leader_term", "dead_members", "tide_hits_total", "tide_misses_total", "expired_total", "evicted_total",
                 "tide_made_total", "tide_waited_total", "lapped_total"):
        same(name, number(d[name]), stat[name])
    same("leader", d["leader"], f"r{stat['leader']}")
    same("processes", number(d["members"]), stat["members"] - 1)  # stat is one
    same("incarnation", d["incarnation"], stat["incarnation"])
    same("fell back", d["tide_bounded_staleness_fallback_ratio"], percent(stat["tide_bounded_staleness_fallback_ratio"]))
    same("hit ratio", d["tide_hit_ratio"], percent(stat["tide_hit_ratio"]))
    reasons = {}
    for r in stat["tide_reads_total"]:
        reasons[r["reason"]] = reasons.get(r["reason"], 0) + r["value"]
    for reason, n in reasons.items():
        same(f"reads, {reason}", number(d[f"reads.{reason}"]), n)
    same("replicas", [int(r["replica"]) for r in page["replicas"]], [r["replica"] for r in stat["replicas"]])
    for here, there in zip(page["replicas"], stat["replicas"]):
        who = f"replica {there['replica']}, "
        for name in ("tide_applied_index", "lag", "keys", "joins", "lapped", "pid"):
            same(who + name, number(here[name]), there[name])
        lag = there["tide_replication_lag_seconds"]
        same(who + "entries measured", number(here["count"]), lag["all"]["count"])
        same(who + "label", here["label"], there["label"])
        same(who + "role", here["role"], there["role"])
        same(who + "state", here["tide_replica_state"].split()[-1], there["tide_replica_state"])
        same(who + "staleness", here["staleness_ns"], time_text(there["staleness_ns"]))
        for q in ("p50", "p99", "p999"):
            same(who + q, here[q], time_text(round(lag["rolling_10s"][q] * 1e9)) if lag["rolling_10s"][q] else "–")
    for name in ("ring_bytes", "ring_used_bytes", "table_bytes", "memory_bytes", "default_ttl_ns", "created_unix_ns", "tide_ring_used_ratio"):
        same(name, look[name], stat[name])
    for here, there in zip(look["replicas"], stat["replicas"]):
        for name in ("apply_delay_ns", "table_keys_most", "table_bytes", "table_used_bytes", "table_live_bytes", "table_free_bytes", "table_waiting_bytes",
                     "table_overhead_bytes"):
            same(f"replica {there['replica']}, {name}", here[name], there[name])
    return wrong


def one_look(url):
    return json.load(urllib.request.urlopen(url + "state.json", timeout=20))


def figures(page, url):
    """The domain stands still; only the rolling quantiles end, so several looks are needed at most."""
    wrong = []
    for _ in range(20):
        looks = page.ask("Number(document.body.dataset.looks)")
        page.wait("the next look", f"Number(document.body.dataset.looks) > {looks}")
        wrong = differences(page.ask(SHOWN), json.loads(tide("stat", "d", "--json")), one_look(url))
        if not wrong:
            return
    check(False, "\n".join(wrong))


# ---- parts

def harmless(page):
    check(page.ask("typeof hacked") == "undefined", "something that was written into the domain was run")
    check(page.ask("document.querySelectorAll('main img, main script, main iframe, main a[href^=javascript]').length") == 0, "a key or a label has become a part of the page")
    text = page.ask("document.getElementById('log').textContent + document.getElementById('replicas').textContent")
    for what in (SCRIPT, IMAGE, LABEL):
        check(what in text, f"{what} is not shown as it is")
    check("\\x1b[31m" in text, "a control character is not shown as \\x1b")
    check("\\u202e" in text, "a character that turns the text around is not shown as what it is")


def keyboard(page, url):
    page.ask("document.activeElement.blur()")
    seen = []
    for _ in range(16):
        page.press("Tab")
        seen.append(page.ask("(() => { const e = document.activeElement; return e.id || e.name || e.className || e.tagName; })()"))
    wanted = ["skip", "pause", "bound", "span", "reads", "scroll", "events", "scroll"]
    check([x for x in seen if x in wanted][:len(wanted)] == wanted, f"the tabulator goes to {seen}")
    page.ask("document.getElementById('bound').focus()")
    before = page.ask("document.getElementById('bound-text').textContent")
    page.press("ArrowRight", 3)
    after = page.ask("document.getElementById('bound-text').textContent")
    check((before, after) == ("50 ms", "100 ms"), f"the slider goes from {before} by three steps to {after}")
    check(page.ask("document.getElementById('bound').getAttribute('aria-valuetext')") == after, "the slider does not tell its value")
    page.ask("document.querySelector('input[name=span]:checked').focus()")
    page.press("ArrowRight")
    check(page.ask("document.querySelector('input[name=span]:checked').value") == "all", "the arrow does not choose")
    # The share of each follower, at several bounds.
    histograms = {r["replica"]: r["replication_lag"]["all"] for r in one_look(url)["replicas"] if r["role"] == "follower"}
    for position, bound in ((0, 1e3), (18, 6e4), (24, 2.5e5), (40, 1e7), (47, 5e7), (70, 1e10)):
        page.ask(f"(() => {{ const e = document.getElementById('bound'); e.value = {position}; e.dispatchEvent(new Event('input')); }})()")
        shown = page.ask("[...document.querySelectorAll('[data-share]')].map((e) => [Number(e.dataset.share), e.firstChild.textContent])")
        check(sorted(r for r, _ in shown) == sorted(histograms), f"followers are {shown}")
        for replica, text in shown:
            check(text == percent(share_within(histograms[replica], bound)), f"replica {replica} keeps {bound} ns for {text}, not {share_within(histograms[replica], bound)}")
    page.ask("(() => { const e = document.getElementById('bound'); e.value = 47; e.dispatchEvent(new Event('input')); })()")


def labelled(page):
    bad = page.ask("[...document.querySelectorAll('input, select, textarea')].filter((e) => !e.labels.length).map((e) => e.outerHTML)"
                   ".concat([...document.querySelectorAll('[role=img], [role=region], section')].filter((e) => !e.getAttribute('aria-label') && !document.getElementById(e.getAttribute('aria-labelledby'))).map((e) => e.id))"
                   ".concat([...document.querySelectorAll('img:not([alt]), button:empty')].map((e) => e.outerHTML))")
    check(bad == [], f"without a name: {bad}")


def contrast(page, dark):
    def luminance(text):
        text = text.strip()
        digits = text[1:] if len(text) == 7 else "".join(c + c for c in text[1:])
        part = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
        part = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in part]
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2]

    names = ["ink", "soft", "accent", "warn", "bad", "good", "card", "bg"] + [f"c{i}" for i in range(8)]
    values = page.ask(f"Object.fromEntries({json.dumps(names)}.map((n) => [n, getComputedStyle(document.documentElement).getPropertyValue('--' + n)]))")
    for n in names:
        least = 3 if re.fullmatch("c[0-7]", n) else 4.5  # lines and marks; text
        for under in ("card", "bg"):
            a, b = sorted((luminance(values[n]), luminance(values[under])))
            check(n in ("card", "bg") or (b + 0.05) / (a + 0.05) >= least, f"{n} on {under}, {'dark' if dark else 'light'}: {(b + 0.05) / (a + 0.05):.2f}, not {least}")


def narrow(page, width):
    page.view(width, 700)
    page.wait(f"a page that is no wider than {width} px", f"document.documentElement.clientWidth === {width} && document.documentElement.scrollWidth <= {width}")


def pictures(page):
    for width, height in ((1280, 900), (380, 800)):
        for dark in (False, True):
            page.view(width, height, dark=dark)
            looks = page.ask("Number(document.body.dataset.looks)")
            page.wait("the next look", f"Number(document.body.dataset.looks) > {looks + 1}")
            name = f"web-{width}-{'dark' if dark else 'light'}.png"
            page.picture(os.path.join(PICTURES, name))
            contrast(page, dark)
    page.view(1280, 900)


def moves(page):
    dots = "document.querySelectorAll('#picture .dot').length"
    page.wait("dots", dots + " > 0")
    where = page.ask("document.querySelector('#picture .dot').getAttribute('cx')")
    page.wait("a dot moves", f"document.querySelector('#picture .dot').getAttribute('cx') !== '{where}'")
    page.view(1280, 900, still=True)
    page.wait("nothing moves where that is not wanted", dots + " === 0")
    page.view(1280, 900)
    page.wait("it moves again", dots + " > 0")


def says(page, what):
    page.wait(f"the page says {what!r}", f"!document.getElementById('banner').hidden && document.getElementById('banner').textContent.includes({json.dumps(what)})")


def pause(page):
    page.ask("document.getElementById('pause').focus()")
    page.press("Enter")
    page.wait("paused", "document.getElementById('live').textContent === 'paused'")
    looks = page.ask("document.body.dataset.looks")
    time.sleep(2.5)
    check(page.ask("document.body.dataset.looks") == looks, "it goes on while it is paused")
    page.press(" ")
    page.wait("it goes on", f"document.body.dataset.looks !== '{looks}'")


def without_script(page, url):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.go(url)
    time.sleep(1)
    page.wait("the page without scripts", "document.querySelector('noscript') && document.querySelector('noscript').getBoundingClientRect().height > 0")
    check("tide stat" in page.ask("document.querySelector('noscript').textContent"), "without scripts it does not say where else to look")
    page.call("Emulation.setScriptExecutionDisabled", value=False)


def heard(page):
    said = [text for text in page.complaints() if "ERR_CONNECTION_REFUSED" not in text and "ERR_INCOMPLETE_CHUNKED" not in text]
    check(said == [], f"the browser complains: {said}")
    abroad = [a for a in page.asked_for() if not a.startswith("http://127.0.0.1:")]
    check(abroad == [], f"the page asks elsewhere: {abroad}")


SERVE = (TIDE, "serve", "d", "--followers", "2", "--ring", "1M", "--table", "4M", "--evict", "s3fifo", "--delay", "18ms,78ms")


def fill():
    for i in range(40):
        tide("put", "d", f"k{i}", "v" * (i + 1), "--timeout", "20s")
    tide("put", "d", SCRIPT, "v", "--ttl", "1h", "--timeout", "20s")
    tide("put", "d", IMAGE, "v", "--timeout", "20s")
    tide("put", "d", "\x1b[31mred\u202eder", "v", "--timeout", "20s")
    for i in range(12):
        tide("get", "d", f"k{i}", "--max-staleness", "1h")
    tide("get", "d", "nokey", code=1)


def run(page):
    server, _ = begin(*SERVE)
    fill()
    follower, _ = begin(TIDE, "follow", "d", "--label", LABEL)
    web, url = listen()
    page.view(1280, 900)
    page.go(url)
    page.wait("the first looks", "document.body && Number(document.body.dataset.looks) > 1")
    figures(page, url)
    harmless(page)
    labelled(page)
    keyboard(page, url)
    pause(page)
    end(follower)
    page.wait("the dead follower", "document.getElementById('events').textContent.includes('is gone') || document.getElementById('replicas').textContent.includes('dead')")
    tide("gc", "d")
    begin(TIDE, "follow", "d", "--label", "near")
    traffic, _ = begin(TRAFFIC, "d", "2000", "4", "3000", "50000", "60000", ready=False)
    moves(page)
    for width in (320, 380, 640, 900, 1100):
        narrow(page, width)
    pictures(page)
    # What happens to a domain, while the page is open.
    end(traffic)
    for process in started:
        if process is not web and process.poll() is None:
            end(process)
    says(page, "No process is attached")
    tide("rm", "d")
    says(page, "there is no such domain")
    check(page.ask("document.title").startswith("✕ not there"), "the title does not say that it is gone")
    begin(TIDE, "serve", "d", "--followers", "13", "--ring", "64K", "--table", "256K")
    page.wait("the domain is back", "document.getElementById('banner').hidden && document.getElementById('state').textContent.includes('alive')")
    tide("put", "d", "again", "v", "--timeout", "20s")
    page.wait("its new entry", "document.getElementById('log').textContent.includes('again')")
    rows = "document.querySelectorAll('#replicas tbody tr').length"
    check(page.ask(rows) == 12, "14 replicas are not shown as 12 and a button")
    page.ask("document.querySelector('#replicas-more .more').focus()")
    looks = page.ask("Number(document.body.dataset.looks)")
    page.wait("two more looks", f"Number(document.body.dataset.looks) > {looks + 1}")
    check(page.ask("document.activeElement.className") == "more", "a look takes the focus from a button")
    page.press("Enter")
    check(page.ask(rows) == 14, "the button does not show all")
    # And to the server.
    port = re.search(r":(\d+)/", url).group(1)
    end(web)
    page.wait("no answer", "document.getElementById('live').textContent.includes('no answer')")
    heard(page)
    page.events.clear()  # the browser complains of a server that is gone
    listen(port)
    page.wait("live again", "document.getElementById('live').textContent.includes('live')")
    heard(page)
    without_script(page, url)


SOURCE_SHOWN = "Object.fromEntries([...document.querySelectorAll('#source [data-figure]')].map((e) => [e.dataset.figure.slice(7), e.textContent]))"


def fed(page):
    """A domain that is fed from etcd: what its panel says, also while the link to etcd is broken, and when it is mended."""
    etcd = Etcd()
    try:
        link = Link(etcd.port)
        url = f"etcd://127.0.0.1:{link.port}/app/"
        process, line = begin(TIDE, "serve", "f", "--upstream", url, "--ring", "1M", "--table", "4M")
        if not line.startswith("ready"):
            print("skipped: the page of a fed domain (no libcurl)")
            return
        for i in range(5):
            tide("put", "f", f"k{i}", "v", "--timeout", "20s")
        tide("get", "f", "k0", "--fallback", "wait", "--wait", "20s")
        web, at = listen(name="f")
        page.go(at)
        page.wait("the first looks of a fed domain", "document.body && Number(document.body.dataset.looks) > 1")
        page.wait("its source", "!document.getElementById('source-panel').hidden")
        says_of = "document.getElementById('source-state').textContent"
        page.wait("the source answered", f"{says_of}.startsWith('It answered the last question')")
        shown, stat = page.ask(SOURCE_SHOWN), json.loads(tide("stat", "f", "--json"))["source"]
        check(shown["kind"] == "etcd", f"the source's kind: {shown}")
        for name in ("tide_source_revision", "tide_source_complete_revision"):
            check(number(shown[name]) == stat[name] > 5, f"{name}: the page has {shown[name]}, stat {stat[name]}")
        check("watching" in shown["note"] and f"127.0.0.1:{link.port}" in shown["note"], f"the endpoint: {shown['note']}")
        ttls = "[...document.querySelectorAll('#log tbody tr')].map((row) => row.children[5].textContent)"
        check(len(page.ask(ttls)) > 5 and not any(page.ask(ttls)), f"keys that do not expire have a time to live: {page.ask(ttls)}")
        check(shown["complete_ns"].endswith(" ago"), f"the distance: {shown['complete_ns']}")
        check("What it holds of etcd is as of" in page.ask("document.body.textContent"), "the sentence at the top has no word of the source")
        # A broken link: questions stay open, and the distance grows.
        link.whole.clear()
        tide("get", "f", "k0", "--fallback", "wait", "--wait", "300ms", code=4)
        check(tide("get", "f", "k0", "--max-staleness", "1h").strip() == "v", "what is held is not read while the link is broken")
        page.wait("the broken link", f"{says_of}.startsWith('It does not answer: ')")
        first = page.ask("document.getElementById('source-state').textContent")
        page.wait("a distance that grows", f"{says_of}.startsWith('It does not answer: ') && {says_of} !== {json.dumps(first)}")
        check(number(page.ask(SOURCE_SHOWN)["questions"]) > number(page.ask(SOURCE_SHOWN)["answered"]), "no question is open while the link is broken")
        page.picture(os.path.join(PICTURES, "fed-link-broken.png"))
        # Mended: it answers, and what was put elsewhere meanwhile is there.
        link.whole.set()
        page.wait("the mended link", f"{says_of}.startsWith('It answered the last question') || {says_of} === 'It answers.'")
        tide("put", "f", "after", "v", "--timeout", "20s")
        check(tide("get", "f", "after", "--fallback", "wait", "--wait", "20s").strip() == "v", "a read after the link was mended")
        page.wait("the revision of what came after", f"Number({SOURCE_SHOWN}.tide_source_revision.replace(/,/g, '')) > {stat['tide_source_revision']}")
        check(not page.complaints(), f"the browser complains: {page.complaints()}")
        end(web)
        end(process)
    finally:
        etcd.end()


def picture(page, path):
    """Of a domain with traffic, as much as a screen shows."""
    begin(*(w if w != "d" else "shop" for w in SERVE))
    begin(TIDE, "follow", "shop", "--label", "near")
    begin(TRAFFIC, "shop", "1000", "4", "3000", "50000", "60000", ready=False)
    _, url = listen(name="shop")
    page.view(1280, 800)
    page.go(url)
    page.wait("the first looks", "document.body && Number(document.body.dataset.looks) > 1")
    time.sleep(57)
    page.picture(path, whole=False)


page = Browser(220)
try:
    if len(sys.argv) > 4:
        picture(page, sys.argv[4])
    else:
        run(page)
        if shutil.which("etcd"):
            fed(page)
        else:
            print("skipped: the page of a fed domain (no etcd: Debian's etcd-server)")
finally:
    page.close()
    for p in started:
        if p.poll() is None:
            end(p)
sys.exit(1 if failed else 0)
