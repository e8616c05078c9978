// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { tidemark, domain, run, until, small, folder } = require('./help.js');

const source = JSON.stringify(require.resolve('tidemark'));
const worker = (script) => new Worker(`const tidemark = require(${source}); const { parentPort } = require('node:worker_threads');\n${script}`, { eval: true });
const ended = (w) => new Promise((resolve, reject) => { w.on('exit', resolve); w.on('error', reject); });

test('worker_threads share a domain', async (t) => {
  const d = domain(t, { name: 'threads' });
  d.putSync('k', 'v');
  const workers = Array.from({ length: 4 }, () => worker(`
    const d = tidemark.open('threads', { lead: false, encoding: 'utf8' });
    (async () => {
      if (d.get('k') !== 'v') throw new Error('not there');
      for (let n = 0; n < 250; n++) await (n % 2 ? d.incr('n') : Promise.resolve(d.incrSync('n')));
      const w = d.watch();
      w.next().catch(() => {});
      await d.close();
    })();`));
  assert.deepEqual(await Promise.all(workers.map(ended)), [0, 0, 0, 0]);
  assert.equal(d.get('n', { encoding: 'utf8' }), '1000');
  await until(() => d.info().members === 1);
});

test('a worker that closes nothing, or is terminated, leaves nothing', async (t) => {
  const d = domain(t, { name: 'left' });
  const busy = `const d = tidemark.open('left', { lead: false, replica: true });
    d.watch().next().catch(() => {}); d.watch({ initial: true }).next().catch(() => {}); d.snapshot();
    globalThis.put = () => { for (let n = 0; n < 50; n++) d.put('k' + n, 'v').catch(() => {}); };`;
  for (let round = 0; round < 3; round++) {
    assert.equal(await ended(worker(`${busy} put(); setTimeout(() => process.exit(), 30);`)), 0);
    const w = worker(`${busy} put(); setInterval(put, 1); parentPort.postMessage(1);`);
    await new Promise((resolve) => { w.once('message', resolve); });
    await w.terminate();
  }
  await until(() => d.info().members === 1 && d.info().replicas === 1);
  d.putSync('k', 'v');
});

test('a worker alone loads the addon, and the next one again', async () => {
  const r = await run(`const { Worker } = require('node:worker_threads'); let n = 0;
    (function one() {
      if (n++ === 5) return console.log('ended');
      new Worker(${JSON.stringify(`const t = require(${source}).open('alone', { ephemeral: true, ring: 65536, table: 1 << 20 });
        t.watch().next(); t.put('k', 'v').then(() => process.exit());`)}, { eval: true }).on('exit', one);
    })();`.replace('const tidemark', 'const unused'));
  assert.deepEqual(r, { status: 0, signal: null, out: 'ended\n' });
});

test('the process closes what is open when it ends', async () => {
  for (const end of ['', 'process.exit();', 'setTimeout(() => process.exit(), 20); setInterval(() => d.put("k", "v"), 1);']) {
    const r = await run(`const d = tidemark.open('ends', { ephemeral: true, ring: 65536, table: 1 << 20 }); d.put('k', 'v'); d.snapshot(); ${end}`);
    assert.deepEqual(r, { status: 0, signal: null, out: '' }, end);
    assert.deepEqual(fs.readdirSync(folder).filter((name) => name.includes('.ends.')), [], end);
  }
  // What was put and not awaited is there.
  const d = tidemark.open('exits', small);
  await run(`tidemark.open('exits', { lead: false }).put('k', 'v'); process.exit();`);
  assert.equal(d.get('k', { encoding: 'utf8' }), 'v');
  await d.close();
  const r = await run(`tidemark.open('exits', { ephemeral: true }).snapshot((s) => s.scan(() => process.exit(4)));`);
  assert.ok(r.status === 0 || r.status === 4, r.out); // from within a scan
  tidemark.unlink('exits');
  const thrown = await run(`const d = tidemark.open('ends', { ephemeral: true, ring: 65536, table: 1 << 20 }); d.put('k', 'v'); throw new Error('mine');`);
  assert.ok(thrown.status === 1 && /mine/.test(thrown.out));
  assert.deepEqual(fs.readdirSync(folder).filter((name) => name.includes('.ends.')), []);
});

test('a child of child_process.fork() opens for itself', async (t) => {
  const d = domain(t, { name: 'forks' });
  d.putSync('k', 'v');
  const r = await run(`const d = tidemark.open('forks'); console.log(d.get('k').toString()); d.incr('n').then(() => d.close());`);
  assert.deepEqual(r, { status: 0, signal: null, out: 'v\n' });
  assert.equal(d.get('n', { encoding: 'utf8' }), '1');
});

test('cluster workers share a domain, and make a value once', async (t) => {
  const file = `${folder}/cluster.js`;
  fs.writeFileSync(file, `const cluster = require('node:cluster');
    const tidemark = require(${source});
    const d = tidemark.open('cluster', { ring: 1 << 16, table: 1 << 20, lead: cluster.isPrimary, encoding: 'utf8' });
    if (cluster.isPrimary) {
      let left = 4;
      for (let n = 0; n < 4; n++) cluster.fork();
      cluster.on('exit', () => { if (--left === 0) console.log(['made/0', 'made/1', 'made/2', 'asked'].map((key) => d.get(key)).join()); });
    } else {
      const page = d.cached(async (n) => { await d.incr('made/' + n); await new Promise((r) => setTimeout(r, 20)); return 'page ' + n; }, { name: 'page', ttl: 60_000 });
      (async () => {
        for (let n = 0; n < 3; n++) {
          const all = await Promise.all([page(n), page(n), page(n)]);
          if (!all.every((one) => one === 'page ' + n)) throw new Error(String(all));
          await d.incr('asked', 3);
        }
        cluster.worker.disconnect();
      })();
    }`);
  const r = await run(`const { status } = require('node:child_process').spawnSync(process.execPath, [${JSON.stringify(file)}], { stdio: 'inherit' }); process.exitCode = status;`);
  assert.deepEqual(r, { status: 0, signal: null, out: '1,1,1,36\n' });
  tidemark.unlink('cluster');
});

test('one that dies while it makes passes it on', async (t) => {
  const d = domain(t, { name: 'dies' });
  const r = await run(`const d = tidemark.open('dies', { lead: false }); d.getOrMake('k', () => process.kill(process.pid, 'SIGKILL'));`);
  assert.equal(r.signal, 'SIGKILL');
  assert.equal(await d.getOrMake('k', () => 'v', { encoding: 'utf8' }), 'v');
});

test('one waits for another that makes, or does not', async (t) => {
  const d = domain(t, { name: 'waits' });
  const child = run(`const d = tidemark.open('waits', { lead: false, encoding: 'utf8' });
    d.getOrMake('k', async () => { await d.put('begun', '1'); while (!d.has('go')) await new Promise((r) => setTimeout(r, 2)); return 'theirs'; }).then((v) => console.log(v));`);
  await until(() => d.has('begun'));
  await assert.rejects(d.getOrMake('k', () => 'mine', { makeWait: 20 }), { code: 'TIDE_ERR_TIMEOUT', message: /another makes/ });
  const waits = d.getOrMake('k', () => 'mine', { encoding: 'utf8' });
  await d.put('go', '1');
  assert.equal(await waits, 'theirs');
  assert.equal((await child).out, 'theirs\n');
});

test('getOrMake', async (t) => {
  const d = domain(t);
  let calls = 0;
  const make = async () => { calls++; await null; return 'v'; };
  assert.deepEqual(await Promise.all(Array.from({ length: 10 }, () => d.getOrMake('k', make, { encoding: 'utf8' }))), Array(10).fill('v'));
  assert.equal(calls, 1);
  assert.deepEqual(await d.getOrMake('k', make), Buffer.from('v'));
  // One that fails passes it on, to one that waits in this process too.
  calls = 0;
  const fails = async () => { if (++calls < 3) throw new RangeError(`try ${calls}`); return 'third'; };
  const all = await Promise.allSettled([1, 2, 3, 4].map(() => d.getOrMake('f', fails, { encoding: 'utf8' })));
  assert.deepEqual(all.map(({ value, reason }) => value ?? reason.message), ['try 1', 'try 2', 'third', 'third']);
  await assert.rejects(d.getOrMake('s', () => { throw new RangeError('at once'); }), { message: 'at once' });
  await assert.rejects(d.getOrMake('r', () => d.getOrMake('r', () => 'v')), { code: 'TIDE_ERR_BUSY' });
  const again = /make\(\) asks for the key that it makes/; // by the key's bytes: a string is its UTF-8, not its Latin-1
  await assert.rejects(d.getOrMake('\u00fc', () => d.getOrMake(Buffer.from('\u00fc'), () => 'v')), { code: 'TIDE_ERR_BUSY', message: again });
  assert.equal(await d.getOrMake('\u00e9', () => d.getOrMake(Buffer.from([0xe9]), () => 'v'), { encoding: 'utf8' }), 'v');
  assert.equal(await d.getOrMake('outer', async () => `${await d.getOrMake('inner', () => 'i', { encoding: 'utf8' })}o`, { encoding: 'utf8' }), 'io');
  // Stale while it is made anew.
  assert.equal(await d.getOrMake('old', () => 'old', { ttl: 5, stale: 60_000, encoding: 'utf8' }), 'old');
  await until(() => d.get('old', { answer: true }).ttl < 60_000);
  let go;
  const anew = d.getOrMake('old', () => new Promise((resolve) => { go = () => resolve('new'); }), { ttl: 60_000, stale: 60_000, encoding: 'utf8' });
  await until(() => go);
  assert.equal(await d.getOrMake('old', () => assert.fail(), { ttl: 60_000, stale: 60_000, encoding: 'utf8' }), 'old');
  go();
  assert.equal(await anew, 'new');
  assert.equal(d.get('old', { encoding: 'utf8' }), 'new');
  // What cannot be put is returned, with a warning.
  const warned = new Promise((resolve) => { process.once('warning', resolve); });
  assert.equal((await d.getOrMake('large', () => Buffer.alloc(1 << 16))).length, 1 << 16);
  assert.match((await warned).message, /not put/);
  assert.ok(!d.has('large'));
});

test('make() closes the domain', async () => {
  const d = tidemark.open('m', { ...small, ephemeral: true });
  const warned = new Promise((resolve) => { process.once('warning', resolve); });
  assert.deepEqual(await d.getOrMake('k', async () => { await d.close(); return 'v'; }), Buffer.from('v'));
  await warned;
});

test('cached', async (t) => {
  const d = domain(t);
  const calls = [];
  async function page(...words) { calls.push(words); return `page ${words}`; }
  const get = d.cached(page, { ttl: 60_000, encoding: 'utf8' });
  assert.equal(get.name, 'page');
  assert.equal(await get('a', 1, null, [true, undefined]), 'page a,1,,true,');
  await get('a', 1, null, [true, undefined]);
  await get('a', '1', null, [true, undefined]);
  assert.equal(calls.length, 2);
  await assert.rejects(get({}), { name: 'TypeError', message: /option key/ });
  await get('x'.repeat(100_000));
  const total = d.cached((list) => ({ sum: list.length }), { name: 'total', key: (list) => `total/${list.length}`, encode: JSON.stringify, decode: JSON.parse });
  assert.deepEqual(await total([{}, {}]), { sum: 2 });
  assert.deepEqual(await total([1, 2]), { sum: 2 });
  assert.ok(d.has('total/2'));
  await assert.rejects(d.cached(() => ({}), { name: 'object' })(), { name: 'TypeError', message: /a value is/ });
  const warned = new Promise((resolve) => { process.once('warning', resolve); });
  d.cached(function page() { return 'another'; });
  assert.match((await warned).message, /share their keys/);
  const object = { n: 1, method: d.cached(async function method() { return String(this.n); }, { encoding: 'utf8' }) };
  assert.equal(await object.method(), '1');
});

test('a value that is not text is what getOrMake gives, too', async (t) => {
  const d = domain(t);
  const bytes = new Uint8Array([255, 0, 254]);
  const first = await d.getOrMake('b', () => bytes);
  bytes.fill(1);
  assert.deepEqual(first, Buffer.from([255, 0, 254]));
  assert.deepEqual(await d.getOrMake(Buffer.from('b'), () => assert.fail()), first);
});
