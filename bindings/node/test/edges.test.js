// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// What callers get wrong, and what happens at a bad moment: a thread ends while something is under way, buffers go, snapshots are open.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { spawn } = require('node:child_process');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { tidemark, domain, run, until, folder } = require('./help.js');

const source = JSON.stringify(require.resolve('tidemark'));
const small = '{ ring: 65536, table: 1 << 20, ephemeral: true }';

function worker(script) {
  const w = new Worker(`const tidemark = require(${source}); const { parentPort } = require('node:worker_threads');\n${script}`, { eval: true });
  return { w, said: new Promise((resolve, reject) => { w.once('message', resolve); w.once('error', reject); }) };
}

test('a life of no time is refused: for the library it is none, and the value would stay', async (t) => {
  const d = domain(t);
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  for (const ttl of [0, -0, -1, NaN]) {
    for (const call of [
      () => d.putSync('k', 'v', { ttl }), () => d.incrSync('k', 1, { ttl }), () => d.casSync('k', 0, 'v', { ttl }), () => d.touchSync('k', ttl),
      () => d.batch().put('k', 'v', { ttl }), () => d.batch().touch('k', ttl), () => d.cached(function f() {}, { ttl }),
    ]) assert.throws(call, refused, `${ttl} ${call}`);
    for (const call of [d.put('k', 'v', { ttl }), d.getOrMake('k', () => 'v', { ttl }), d.touch('k', ttl), d.incr('k', 1, { ttl })]) await assert.rejects(call, refused);
  }
  assert.equal(d.has('k'), false);
  d.putSync('k', 'v', { ttl: 1e-9 }); // the least there is, not none
  await until(() => !d.has('k'));
  d.putSync('k', 'v', { ttl: Infinity });
  assert.equal(d.get('k', { answer: true }).ttl, Infinity);
});

test('values that go while they are put', async (t) => {
  const d = domain(t);
  const bytes = new ArrayBuffer(5000), shared = new SharedArrayBuffer(8);
  new Uint8Array(bytes).fill(7);
  const put = Promise.all([d.put('a', bytes), d.batch().put('b', new DataView(bytes, 1000, 3000)).commit(), d.put('s', shared)]);
  structuredClone(bytes, { transfer: [bytes] }); // it has no byte any more
  await put;
  assert.ok(d.get('a').equals(Buffer.alloc(5000, 7)) && d.get('b').equals(Buffer.alloc(3000, 7)) && d.get('s').length === 8);
  await assert.rejects(d.put('gone', bytes), TypeError);
});

test('whole numbers of 64 bits', async (t) => {
  const d = domain(t);
  assert.equal(d.incrSync('n', 2n ** 63n - 1n), 2n ** 63n - 1n);
  assert.throws(() => d.incrSync('n', 1), { code: 'TIDE_ERR_OVERFLOW' });
  await assert.rejects(d.incr('n', 1n), { code: 'TIDE_ERR_OVERFLOW' });
  assert.equal(d.incrSync('m', -(2n ** 63n)), -(2n ** 63n));
  for (const by of [2n ** 63n, -(2n ** 63n) - 1n, 2 ** 53, 1.5, NaN, Infinity, '1', null]) assert.throws(() => d.incrSync('n', by), TypeError);
  assert.deepEqual((await d.batch().incr('m', 1n).commit()), [-(2n ** 63n) + 1n]);
});

test('a domain is closed within a snapshot of another, of the same thread', async (t) => {
  const d = domain(t), other = tidemark.open('within', { ring: 65536, table: 1 << 20, ephemeral: true });
  d.putSync('k', 'v');
  const s = d.snapshot();
  await assert.rejects(other.close(), { code: 'TIDE_ERR_THREAD', message: /a snapshot of this thread is open/ });
  assert.equal(other.closed, false);
  const own = other.snapshot(); // a domain's own are ended by its close
  s.close();
  await other.close();
  assert.throws(() => own.get('k'), { code: 'TIDE_ERR_CLOSED' });
  await other.close();
});

test('one that is dropped within a snapshot of another is closed all the same', { skip: !globalThis.gc }, async (t) => {
  const d = domain(t), s = d.snapshot();
  (() => tidemark.open('dropped', { ring: 65536, table: 1 << 20, ephemeral: true }).has('k'))();
  for (let n = 0; n < 20; n++) {
    globalThis.gc();
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  s.close();
  await until(() => {
    globalThis.gc();
    return !fs.readdirSync(folder).some((name) => name.includes('.dropped.'));
  });
});

test('processes and threads end within snapshots of several domains', async () => {
  const two = `const a = tidemark.open('a', ${small}), b = tidemark.open('b', ${small}), c = tidemark.open('c', ${small});
    b.putSync('k', 'v');
    const kept = [c, a, b].map((d) => d.snapshot());`;
  const left = () => fs.readdirSync(folder).filter((name) => /\.[abc]\./.test(name));
  for (const end of ['', 'process.exit();']) {
    assert.deepEqual(await run(`${two} ${end}`), { status: 0, signal: null, out: '' }, end);
    assert.deepEqual(left(), [], end);
  }
  // Within a scan nothing can be closed: as after a kill.
  assert.equal((await run(`${two} b.snapshot((s) => s.scan(() => process.exit()));`)).status, 0);
  for (const name of 'abc') tidemark.unlink(name);
  for (let round = 0; round < 3; round++) {
    const { w, said } = worker(`${two} setInterval(() => {}, 1000); parentPort.postMessage(1);`);
    await said;
    await w.terminate();
    await until(() => left().length === 0);
  }
});

test('a thread is terminated while promises of all kinds are pending', async () => {
  // The leader is stopped, so that writes wait.
  const leader = spawn(process.execPath, ['-e', `const d = require(${source}).open('stuck', { ring: 65536, table: 1 << 20 }); d.putSync('k', 'v'); console.log('ready'); setInterval(() => {}, 1000);`], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => { leader.stdout.once('data', resolve); });
  leader.kill('SIGSTOP');
  try {
    for (let round = 0; round < 3; round++) {
      const { w, said } = worker(`const d = tidemark.open('stuck', { lead: false, writeTimeout: 300 });
        const quiet = (promise) => promise.catch(() => {});
        for (let n = 0; n < 100; n++) quiet(d.put('k' + n, 'v'));
        quiet(d.watch().next()); quiet(d.watch({ initial: true }).next()); quiet(d.waitApplied(d.token().replace(/:.*/, ':9')));
        quiet(d.getOrMake('made', () => new Promise(() => {}))); quiet(d.getOrMake('made', () => 'v'));
        quiet(d.getAsync('k', { wait: 60000, fallback: 'wait', token: d.token() })); if (${round} === 1) quiet(d.close());
        parentPort.postMessage(1);`);
      await said;
      await w.terminate();
    }
  } finally {
    leader.kill('SIGCONT');
    leader.kill('SIGTERM');
    await new Promise((resolve) => { leader.once('close', resolve); });
  }
  const d = tidemark.open('stuck');
  assert.equal(d.get('k', { encoding: 'utf8' }), 'v');
  await until(() => d.info().members === 1);
  await d.close();
  tidemark.unlink('stuck');
});
