// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
const assert = require('node:assert/strict');
const test = require('node:test');
const { tidemark, domain, run, small } = require('./help.js');

test('every change, in order', async (t) => {
  const d = domain(t);
  const w = d.watch({ encoding: 'utf8' });
  await d.put('a', '1');
  await d.delete('a');
  await d.batch().put('b', '2', { ttl: 60_000 }).put('c', '3').commit();
  const seen = [];
  for await (const e of w) {
    seen.push([e.kind, e.key, e.value, e.index, e.more]);
    if (e.index === 4) break;
  }
  assert.deepEqual(seen, [['put', 'a', '1', 1, false], ['delete', 'a', undefined, 2, false], ['put', 'b', '2', 3, true], ['put', 'c', '3', 4, false]]);
  assert.ok(w.closed); // break closes it
  assert.deepEqual(await w.next(), { value: undefined, done: true });
});

test('what comes later is awaited', async (t) => {
  const d = domain(t);
  const w = d.watch();
  for (let n = 0; n < 200; n++) {
    const [{ value }] = await Promise.all([w.next(), d.put('k', String(n))]);
    assert.equal(value.value.toString(), String(n));
  }
  const many = Promise.all(Array.from({ length: 10 }, () => w.next())); // asked for at once, told in order
  for (let n = 0; n < 10; n++) await d.put('m', String(n));
  assert.deepEqual((await many).map(({ value }) => value.value.toString()), Array.from({ length: 10 }, (_, n) => String(n)));
  w.close();
});

test('initial, prefix, since', async (t) => {
  const d = domain(t);
  d.putSync('a/1', 'x');
  d.putSync('a/2', 'y');
  d.putSync('b', 'z');
  const w = d.watch({ initial: true, prefix: 'a/', encoding: 'utf8' });
  const next = async (watch) => (await watch.next()).value;
  const first = [await next(w), await next(w)].map(({ key, value }) => [key, value]).sort();
  assert.deepEqual(first, [['a/1', 'x'], ['a/2', 'y']]);
  const synced = await next(w);
  assert.ok(synced.kind === 'synced' && synced.key === undefined && synced.index === 3);
  d.putSync('b', 'not told');
  d.putSync('a/1', 'told');
  assert.equal((await next(w)).value, 'told');
  const token = w.token();
  d.putSync('a/3', 'later');
  w.close();
  const again = d.watch({ since: token, encoding: 'buffer', keyEncoding: 'buffer' });
  const e = await next(again);
  assert.deepEqual([e.key, e.value], [Buffer.from('a/3'), Buffer.from('later')]);
  assert.equal(again.token(), d.token());
  const waits = again.next();
  assert.equal(again.token(), d.token()); // also while somebody waits
  again.close();
  assert.deepEqual(await waits, { value: undefined, done: true });
  assert.throws(() => d.watch({ since: '0000000000000001:1' }), { code: 'TIDE_ERR_INCARNATION' });
});

test('expired keys are told', async (t) => {
  const d = domain(t);
  const w = d.watch();
  await d.put('k', 'v', { ttl: 20 });
  const kinds = [];
  for await (const e of w) {
    kinds.push(e.kind);
    if (e.kind === 'expire') break;
  }
  assert.deepEqual(kinds, ['put', 'expire']);
});

test('one that is too slow is told so, and ends', async (t) => {
  const d = domain(t);
  const w = d.watch();
  for (let n = 0; n < 500; n++) d.putSync('k', Buffer.alloc(1000));
  await assert.rejects(async () => { for await (const _ of w); }, { code: 'TIDE_ERR_LOST', message: /initial/ });
  assert.ok(w.closed);
});

test('a signal ends it', async (t) => {
  const d = domain(t);
  const stop = new AbortController();
  const w = d.watch({ signal: stop.signal });
  const waits = w.next(), also = w.next();
  setImmediate(() => stop.abort());
  await assert.rejects(waits, { name: 'AbortError' });
  assert.deepEqual(await also, { value: undefined, done: true });
  assert.ok(w.closed);
  assert.throws(() => d.watch({ signal: stop.signal }), { name: 'AbortError' });
});

test('others have their turn, however fast events come', async (t) => {
  const d = domain(t, { open: { ring: 1 << 22, table: 4 << 20 } });
  const w = d.watch();
  for (let n = 0; n < 1000; n++) d.putSync('k', 'v');
  let turns = 0, told = 0;
  const turn = () => { turns++; timer = setImmediate(turn); };
  let timer = setImmediate(turn);
  for await (const _ of w) if (++told === 1000) break;
  clearImmediate(timer);
  assert.ok(turns >= 5, `${turns} turns`);
});

test('a process with a watch ends', async () => {
  // Nobody awaits it.
  let r = await run(`const d = tidemark.open('ends', {ephemeral: true, ring: 65536, table: 1 << 20}); const w = d.watch(); w.next().then(() => { w.token(); console.log('one'); }); d.put('k', 'v');`);
  assert.deepEqual(r, { status: 0, signal: null, out: 'one\n' });
  // Somebody does, and closes it.
  r = await run(`const d = tidemark.open('ends', {ephemeral: true, ring: 65536, table: 1 << 20}); const w = d.watch();
    (async () => { for await (const e of w); console.log('closed'); })(); setTimeout(() => w.close(), 50);`);
  assert.deepEqual(r, { status: 0, signal: null, out: 'closed\n' });
  // Somebody does, and the process is ended.
  r = await run(`const d = tidemark.open('ends', {ephemeral: true, ring: 65536, table: 1 << 20});
    for (let n = 0; n < 20; n++) d.watch({initial: true}).next().then(() => d.watch().next()); d.put('k', 'v'); setTimeout(() => process.exit(3), 50);`);
  assert.deepEqual(r, { status: 3, signal: null, out: '' });
  // A watch that is awaited keeps the process.
  r = await run(`const d = tidemark.open('ends', {ephemeral: true, ring: 65536, table: 1 << 20}); d.watch().next().then(() => console.log('told'));
    setTimeout(() => { d.putSync('k', 'v'); }, 100).unref();`);
  assert.deepEqual(r, { status: 0, signal: null, out: 'told\n' });
});

test('the domain is closed under it', async (t) => {
  const d = tidemark.open('under', { ...small, ephemeral: true });
  const w = d.watch();
  const waits = assert.rejects(w.next(), { code: 'TIDE_ERR_CLOSED' }); // it may be told before close() is done
  await d.close();
  await waits;
  assert.ok(w.closed);
});
