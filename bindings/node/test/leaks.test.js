// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// What is opened and closed, or opened and dropped, does not add up. Run with --expose-gc.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const test = require('node:test');
const { tidemark, domain, until, small } = require('./help.js');

const settle = async () => {
  for (let n = 0; n < 4; n++) {
    globalThis.gc();
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
};
const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);
const held = () => ({
  heap: process.memoryUsage().heapUsed >> 10,
  private: kib('RssAnon'),
  threads: kib('Threads'),
  files: fs.readdirSync('/proc/self/fd').length,
  maps: fs.readFileSync('/proc/self/maps', 'utf8').split('\n').length,
});

/** Rounds of work after as many to warm up: nothing grows by as much as a few bytes for each. */
async function stable(work, rounds) {
  for (let n = 0; n < rounds; n++) await work(n);
  await settle();
  const before = held();
  for (let n = 0; n < rounds * 3; n++) await work(n);
  await settle();
  await until(() => kib('Threads') <= before.threads);
  const now = held();
  const told = JSON.stringify({ before, now });
  if (process.env.TELL) console.error(told);
  assert.ok(now.heap - before.heap < 1024, `the heap grows: ${told}`);
  assert.ok(now.private - before.private < 5120, `memory grows: ${told}`);
  assert.ok(now.files <= before.files + 1, `descriptors: ${told}`);
  assert.ok(now.maps <= before.maps + 40, `mappings: ${told}`);
}

test('open and close', { skip: !globalThis.gc }, () => stable(async () => {
  const d = tidemark.open('leak', { ...small, ephemeral: true });
  await d.put('k', 'v');
  d.get('k');
  await d.close();
}, 25));

test('open and drop', { skip: !globalThis.gc }, async () => {
  let n = 0;
  await stable(async () => {
    const d = tidemark.open(`drop${n++ % 4}`, { ...small, ephemeral: true });
    d.putSync('k', Buffer.alloc(1000));
    if (n % 4 === 0) await settle();
  }, 16);
  await settle();
  const list = fs.readdirSync(process.env.TIDE_SHM_DIR).filter((name) => name.includes('.drop'));
  assert.deepEqual(list, []); // the collector closed them
});

test('watch and close, and watch and drop', { skip: !globalThis.gc }, async (t) => {
  const d = domain(t);
  await stable(async (n) => {
    const w = d.watch({ initial: n % 2 === 0, prefix: 'k' });
    const waits = w.next().catch(() => {});
    await d.put('k', 'v');
    await waits;
    d.watch();
    w.close();
    for (let i = 0; i < 30; i++) d.watch({ prefix: 'a prefix' }).close();
    if (n % 50 === 49) await settle();
  }, 150);
});

test('snapshots, closed and dropped', { skip: !globalThis.gc }, async (t) => {
  const d = domain(t);
  await stable(async (n) => {
    await d.put('k', String(n)); // no section is left open by what was dropped, or this would fail in the end
    d.snapshot((s) => [s.get('k'), s.entries()]);
    d.snapshot().get('k');
    for (let i = 0; i < 30; i++) d.snapshot((s) => s.get('k'.repeat(300)));
    if (n % 50 === 49) await settle();
  }, 200);
});

test('reads and writes', { skip: !globalThis.gc }, async (t) => {
  const d = domain(t, { open: { ring: 1 << 18, table: 4 << 20 } });
  const large = Buffer.alloc(20_000), long = 'long'.repeat(80);
  await stable(async (n) => {
    for (let i = 0; i < 100; i++) {
      d.putSync(`k${i % 7}`, 'v'.repeat(i));
      d.get(`k${i % 7}`);
      d.get(Buffer.from(`k${i % 7}`), { answer: true });
      d.get(long);
      d.has(long);
      d.get(long, { encoding: 'utf8' });
      d.mget([long]);
    }
    d.putSync('long/'.repeat(100), large);
    d.get('long/'.repeat(100));
    d.mget(['k1', 'long/'.repeat(100), 'none']);
    await Promise.all([d.put('\u6f6e'.repeat(300), 'v'), d.incr('n'), d.batch().put('a', large).incr('n').commit(), d.cas('k1', 1, 'v').catch(() => {})]);
    await d.getOrMake(`made${n % 9}`, () => 'v', { ttl: 1 });
    for (const wrong of ['\ud800', '', 'x'.repeat(70000), 1]) {
      try { d.putSync(wrong, 'v'); } catch { /* as it should */ }
      try { d.mget(['\u6f6e'.repeat(300), wrong]); } catch { /* as it should */ }
      await d.put(wrong, large).catch(() => {});
    }
  }, 150);
});
