// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const test = require('node:test');
const { tidemark, domain, until, small, folder } = require('./help.js');

test('values come back as they were put', async (t) => {
  const d = domain(t, { open: { ring: 1 << 20, table: 8 << 20 } });
  assert.equal(d.get('k'), undefined);
  await d.put('k', 'v');
  assert.deepEqual(d.get('k'), Buffer.from('v'));
  assert.ok(Buffer.isBuffer(d.get('k')));
  assert.equal(d.get('k', { encoding: 'utf8' }), 'v');
  assert.ok(d.has('k') && !d.has('none'));
  for (const size of [0, 1, 7, 8, 63, 1023, 1024, 8191, 8192, 8193, 32768, 40000, 200000]) {
    const value = crypto.randomBytes(size);
    d.putSync('size', value);
    assert.deepEqual(d.get('size'), value);
    assert.deepEqual(d.mget(['size', 'none', 'k']), [value, undefined, Buffer.from('v')]);
    assert.deepEqual(d.snapshot((s) => s.get('size')), value);
    const text = 'x\u00e9\u{1f30a}'.repeat(size / 8);
    d.putSync('text', text);
    assert.equal(d.get('text', { encoding: 'utf8' }), text);
    assert.equal(d.mget(['text'], { encoding: 'utf8' })[0], text);
  }
  d.putSync('view', new Uint16Array([1, 2]));
  assert.deepEqual(d.get('view'), Buffer.from([1, 0, 2, 0]));
  d.putSync('view', new DataView(new Uint8Array([1, 2, 3]).buffer, 1));
  assert.deepEqual(d.get('view'), Buffer.from([2, 3]));
  d.putSync('view', new Uint8Array([7, 8]).buffer);
  assert.deepEqual(d.get('view'), Buffer.from([7, 8]));
  await d.delete('k');
  await d.delete('k'); // a write like any other
  assert.equal(d.get('k'), undefined);
});

test('values that were handed out stay as they are', (t) => {
  const d = domain(t);
  const kept = [];
  for (let n = 0; n < 5000; n++) {
    d.putSync('k', `value ${n} ${'x'.repeat(n % 100)}`);
    kept.push(d.get('k'));
  }
  kept.forEach((value, n) => assert.equal(value.toString(), `value ${n} ${'x'.repeat(n % 100)}`));
  const one = d.get('k');
  one.fill(0);
  assert.equal(d.get('k', { encoding: 'utf8' }), `value 4999 ${'x'.repeat(99)}`);
});

test('keys of every kind and length', (t) => {
  const d = domain(t, { open: { ring: 1 << 20, table: 8 << 20 } });
  for (const key of ['k', 'schl\u00fcssel', '\u6f6e', '\u{1f30a}', 'a'.repeat(255), 'a'.repeat(256), 'a'.repeat(257), '\u00e9'.repeat(255), 'a'.repeat(65535), '\0']) {
    d.putSync(key, 'v');
    assert.equal(d.get(key, { encoding: 'utf8' }), 'v', key.slice(0, 20));
    assert.equal(d.get(Buffer.from(key), { encoding: 'utf8' }), 'v');
    assert.deepEqual(d.mget([key, Buffer.from(key)], { encoding: 'utf8' }), ['v', 'v']);
    d.deleteSync(key);
    assert.ok(!d.has(key));
  }
});

const typeError = { name: 'TypeError', code: /^ERR_INVALID_ARG_/ };

test('wrong arguments are TypeErrors that say what is right', async (t) => {
  const d = domain(t);
  for (const key of [1, undefined, null, {}, [], true, new Uint16Array(2), Symbol.iterator, '', Buffer.alloc(0), 'k'.repeat(65536), '\u6f6e'.repeat(30000), '\ud800', 'a\udc00']) {
    for (const call of [() => d.get(key), () => d.get(key, { maxStaleness: 1 }), () => d.get(key, { encoding: 'utf8' }), () => d.has(key), () => d.putSync(key, 'v'),
      () => d.deleteSync(key), () => d.mget(['k', key]), () => d.snapshot((s) => s.get(key)), () => d.incrSync(key)]) {
      assert.throws(call, { ...typeError, message: /key/ });
    }
    for (const call of [() => d.put(key, 'v'), () => d.delete(key), () => d.getOrMake(key, () => 'v'), () => d.batch().put(key, 'v').commit(), () => d.touch(key, 1), () => d.cas(key, 0, 'v')]) {
      await assert.rejects(call, { ...typeError, message: /key/ });
    }
  }
  for (const value of [1, undefined, null, {}, true, () => 1, [1]]) {
    assert.throws(() => d.putSync('k', value), { ...typeError, message: /a value is/ });
    await assert.rejects(() => d.put('k', value), { ...typeError, message: /a value is/ });
    await assert.rejects(() => d.cas('k', 0, value), { ...typeError, message: /a value is/ });
    await assert.rejects(() => d.getOrMake('made', () => value), { ...typeError, message: /a value is/ });
  }
  for (const call of [
    () => tidemark.open(), () => tidemark.open(''), () => tidemark.open('a/b'), () => tidemark.open('.a'), () => tidemark.open('x'.repeat(49)),
    () => tidemark.open('a', { ring: -1 }), () => tidemark.open('a', { ring: '1' }), () => tidemark.open('a', { lead: 1 }), () => tidemark.open('a', { leed: true }),
    () => tidemark.open('a', null), () => tidemark.open('a', { evict: 'lru' }), () => tidemark.open('a', { encoding: 'hex' }), () => tidemark.unlink(1),
    () => d.get('k', null), () => d.get('k', 1), () => d.get('k', { maxStaleness: -1 }), () => d.get('k', { maxStaleness: NaN }), () => d.get('k', { maxStaleness: '1' }),
    () => d.get('k', { maxLag: 1.5 }), () => d.get('k', { fallback: 'elsewhere' }), () => d.get('k', { token: 'x' }), () => d.get('k', { token: 1 }),
    () => d.get('k', { answer: 1 }), () => d.get('k', { encoding: 'latin1' }), () => d.get('k', { nothing: 1 }), () => d.mget('k'), () => d.mget(),
    () => d.putSync('k', 'v', { ttl: -1 }), () => d.putSync('k', 'v', { tll: 1 }), () => d.putSync('k', 'v', 1), () => d.incrSync('n', 1.5), () => d.incrSync('n', '1'),
    () => d.incrSync('n', 1n << 63n), () => d.casSync('k', -1, 'v'), () => d.casSync('k', undefined, 'v'), () => d.touchSync('k', 'x'), () => d.observe('x'),
    () => d.watch({ prefix: 1 }), () => d.watch({ since: 'x' }), () => d.watch({ signal: {} }), () => d.watch({ nothing: 1 }), () => d.snapshot(1),
    () => d.snapshot((s) => s.scan()), () => d.cached(), () => d.cached(() => 'v'), () => d.cached(test, { name: 1 }), () => d.cached(test, { key: 'k' }),
  ]) {
    assert.throws(call, typeError, call.toString());
  }
  for (const call of [() => d.waitApplied('x'), () => d.waitApplied(d.token(), { replicas: 0 }), () => d.getOrMake('k'), () => d.getOrMake('k', () => 'v', { ttl: -1 }), () => d.getAsync('k', { wait: -1 })]) {
    await assert.rejects(call, typeError, call.toString());
  }
  assert.equal(d.info().commitIndex, 0); // nothing of all that was written
  assert.throws(() => new tidemark.Domain('x', { lead: 7 }), typeError);
});

test('an answer says how fresh it is', (t) => {
  const d = domain(t);
  d.putSync('k', 'v');
  const a = d.get('k', { answer: true, encoding: 'utf8' });
  assert.deepEqual(a, {
    value: 'v', version: 1, reason: 'fresh', servedBy: 0, index: 1, commitIndex: 1, staleness: 0, waited: 0, ttl: Infinity,
    linearizable: true, stale: false, fromLeader: true,
  });
  const none = d.get('none', { answer: true, maxStaleness: 10 });
  assert.ok(none.value === undefined && none.index === 1 && none.ttl === undefined);
  assert.deepEqual(d.mget(['k', 'none'], { answer: true, encoding: 'utf8' }).value, ['v', undefined]);
  assert.deepEqual(d.mget([]), []);
  assert.equal(d.get('k', { maxStaleness: Infinity, maxLag: 10, wait: 1, fallback: 'stale', encoding: 'utf8' }), 'v');
  assert.equal(d.get('k', { maxLag: Infinity, token: d.token(), encoding: 'utf8' }), 'v');
});

test('time to live', async (t) => {
  const d = domain(t);
  d.putSync('long', 'v', { ttl: 30_000 });
  const { ttl } = d.get('long', { answer: true });
  assert.ok(ttl > 0 && ttl <= 30_000);
  await d.touch('long', 100_000);
  assert.ok(d.get('long', { answer: true }).ttl > 30_000);
  await d.put('short', 'v', { ttl: 20 });
  await until(() => !d.has('short'));
  await assert.rejects(d.touch('short', 1), { name: 'TideError', code: 'TIDE_ERR_NOT_FOUND', errno: -13 });
  await d.put('no time', 'v', { ttl: 1e-9 }); // is not 0, which is no life of its own
  await until(() => !d.has('no time'));
  d.putSync('ever', 'v', { ttl: Infinity });
  assert.equal(d.get('ever', { answer: true }).ttl, Infinity);
  const e = domain(t, { open: { defaultTtl: 50_000 } });
  e.putSync('k', 'v');
  assert.ok(e.get('k', { answer: true }).ttl <= 50_000);
  assert.equal(e.info().defaultTtl, 50_000);
});

test('incr, cas, batch', async (t) => {
  const d = domain(t);
  assert.equal(await d.incr('n'), 1);
  assert.equal(await d.incr('n', 41), 42);
  assert.equal(await d.incr('n', -2n), 40n);
  assert.equal(d.incrSync('n'), 41);
  d.putSync('text', 'abc');
  await assert.rejects(d.incr('text'), { code: 'TIDE_ERR_NUMBER', errno: -32 });
  d.putSync('most', String(2n ** 63n - 1n));
  await assert.rejects(d.incr('most'), { code: 'TIDE_ERR_OVERFLOW' });
  const first = await d.cas('c', 0, '1');
  const second = await d.cas('c', first, '2', { ttl: 1000 });
  await assert.rejects(d.cas('c', first, '3'), { code: 'TIDE_ERR_MISMATCH', found: second });
  assert.throws(() => d.casSync('c', first, '3'), { code: 'TIDE_ERR_MISMATCH', found: second });
  assert.equal(d.get('c', { encoding: 'utf8' }), '2');
  const batch = d.batch().put('a', '1', { ttl: 2000 }).incr('m', 5).incr('m', 6n).delete('text').touch('a', 100).cas('x', 0, 'y');
  assert.ok(batch.length === 6 && !d.has('a'));
  const done = await batch.commit();
  assert.deepEqual(done.slice(1, 3), [5, 11n]);
  assert.deepEqual(d.mget(['a', 'm', 'text', 'x'], { encoding: 'utf8' }), ['1', '11', undefined, 'y']);
  assert.equal(batch.length, 0);
  await assert.rejects(d.batch().put('a', 'new').cas('x', 1, 'z').commit(), { code: 'TIDE_ERR_MISMATCH', failed: 1 });
  assert.equal(d.get('a', { encoding: 'utf8' }), '1');
  assert.deepEqual(d.batch().commitSync(), []);
  d.batch().put('s', 'v').commitSync();
  assert.ok(d.has('s'));
});

test('writes land in the order of the calls', async (t) => {
  const d = domain(t, { open: { ring: 1 << 20, table: 4 << 20 } });
  const all = [];
  for (let n = 0; n < 2000; n++) all.push(d.put('k', String(n)));
  d.putSync('k', 'sync'); // behind those
  assert.equal(d.get('k', { encoding: 'utf8' }), 'sync');
  const more = d.put('k', 'last');
  await Promise.all(all);
  await more;
  assert.equal(d.get('k', { answer: true, encoding: 'utf8' }).version, 2002);
  assert.equal(d.get('k', { encoding: 'utf8' }), 'last');
  const bytes = Buffer.from('before');
  const put = d.put('k', bytes);
  bytes.fill('x'); // what was given is what is written
  await put;
  assert.equal(d.get('k', { encoding: 'utf8' }), 'before');
});

test('tokens', async (t) => {
  const d = domain(t, { name: 'tokens' });
  const other = tidemark.open('tokens', { lead: false });
  t.after(() => other.close());
  await d.put('k', 'v');
  const token = d.token();
  assert.match(token, /^[0-9a-f]{16}:1$/);
  assert.equal(other.get('k', { token, encoding: 'utf8' }), 'v');
  other.observe(token);
  assert.equal(other.token(), token);
  await d.waitApplied(token);
  await assert.rejects(d.waitApplied(token, { replicas: 2, timeout: 5 }), { code: 'TIDE_ERR_TIMEOUT' });
  for (const replicas of [65, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) { // 2^32 + 1 is not 1
    await assert.rejects(d.waitApplied(token, { replicas, timeout: 5 }), { code: 'TIDE_ERR_INVALID' });
  }
  const ahead = token.replace(/:1$/, ':100');
  assert.throws(() => d.get('k', { token: ahead }), { code: 'TIDE_ERR_FENCE_AHEAD' });
  assert.throws(() => d.get('k', { token: '0000000000000001:1' }), { code: 'TIDE_ERR_INCARNATION' });
  assert.equal(await other.getAsync('k', { token, wait: 60_000, encoding: 'utf8' }), 'v');
  assert.equal((await other.getAsync('k', { answer: true })).version, 1);
  assert.equal(await other.getAsync('none'), undefined);
});

test('nobody leads', async (t) => {
  const d = domain(t, { open: { lead: false, writeTimeout: 10 } });
  const patient = tidemark.open(d.name, { lead: false, writeTimeout: 60_000 });
  t.after(() => patient.close());
  await assert.rejects(d.put('k', 'v'), { code: 'TIDE_ERR_NO_LEADER', message: /^put: / });
  assert.throws(() => d.putSync('k', 'v'), { code: 'TIDE_ERR_NO_LEADER' });
  await assert.rejects(d.getAsync('k', { wait: 5, fallback: 'wait' }), { code: 'TIDE_ERR_TIMEOUT' });
  assert.throws(() => d.get('k', { fallback: 'error' }), (e) => e instanceof tidemark.TideError);
  // A thousand that were called at once do not wait one after another: that would take longer than these tests may.
  const slow = tidemark.open(d.name, { lead: false, writeTimeout: 300 });
  t.after(() => slow.close());
  const all = await Promise.allSettled(Array.from({ length: 1000 }, () => slow.put('k', 'v')));
  assert.ok(all.every(({ reason }) => reason.code === 'TIDE_ERR_NO_LEADER'));
  const leader = tidemark.open(d.name);
  t.after(() => leader.close());
  await patient.put('k', 'v');
  assert.equal(leader.get('k', { encoding: 'utf8' }), 'v');
});

test('who uses it leads where the leader has gone', async () => {
  const first = tidemark.open('g', small);
  const second = tidemark.open('g', { replica: true });
  const third = tidemark.open('g');
  await first.put('k', 'v');
  assert.equal(first.info().replicas, 2);
  await first.close();
  await third.put('l', 'w');
  assert.equal(third.get('k', { encoding: 'utf8' }), 'v');
  assert.equal(second.get('l', { encoding: 'utf8' }), 'w');
  await second.close();
  third.putSync('m', 'x');
  assert.equal(third.get('m', { encoding: 'utf8' }), 'x');
  await third.close();
  tidemark.unlink('g');
  assert.throws(() => tidemark.unlink('g'), { code: 'TIDE_ERR_NO_DOMAIN' });
});

test('errors have the library\'s codes', async (t) => {
  assert.throws(() => tidemark.open('none', { create: false }), { name: 'TideError', code: 'TIDE_ERR_NO_DOMAIN', errno: -5, message: /^open none: / });
  const d = domain(t);
  assert.throws(() => tidemark.open(d.name, { exclusive: true }), { code: tidemark.codes.EXISTS });
  await assert.rejects(d.put('k', Buffer.alloc(1 << 16)), { code: 'TIDE_ERR_TOO_BIG' });
  assert.throws(() => {
    for (let n = 0; n < 100_000; n++) d.putSync(`k${n}`, Buffer.alloc(1000));
  }, { code: 'TIDE_ERR_FULL' });
  const e = domain(t, { open: { evict: 's3fifo' } });
  for (let n = 0; n < 2000; n++) e.putSync(`k${n}`, Buffer.alloc(1000));
  assert.ok(e.info().evicted > 0 && e.has('k1999'));
});

test('every code of the library has its name', () => {
  const names = Object.values(tidemark.codes);
  assert.equal(new tidemark.TideError(-34, 'x').code, 'TIDE_ERR_FED');
  const unknown = new tidemark.TideError(-1000, 'x').message;
  for (let n = 1; n <= names.length; n++) assert.notEqual(new tidemark.TideError(-n, 'x').message, unknown);
  assert.equal(new tidemark.TideError(-names.length - 1, 'x').message, unknown); // the library has no more
});

test('keys that JavaScript takes away while they are used', (t) => {
  const d = domain(t, { open: { ring: 1 << 20 } });
  const take = (bytes) => new Uint8Array(structuredClone(bytes.buffer, { transfer: [bytes.buffer] })).fill(99); // the same memory, another's
  for (const n of [1, 255, 256, 65535]) {
    const key = new Uint8Array(n).fill(97);
    d.putSync(key, `of ${n}`);
    d.putSync(Buffer.concat([key.subarray(0, 65534), Buffer.from('b')]), 'v');
    const keys = [key];
    Object.defineProperty(keys, 1, { get() { take(key); return 'none'; } });
    assert.equal(String(d.mget(keys)[0]), `of ${n}`);
    const prefix = new Uint8Array(n).fill(97);
    const all = d.snapshot((s) => s.entries({ prefix: new Uint8Array(prefix) }).length);
    let told = 0;
    d.snapshot((s) => s.scan(() => {
      if (told++ === 0) take(prefix);
    }, { prefix }));
    assert.equal(told, all);
  }
  const keys = ['k'];
  Object.defineProperty(keys, 1, { get() { throw new RangeError('theirs'); } });
  assert.throws(() => d.mget(keys), { name: 'RangeError', message: 'theirs' });
});

test('what is closed says so', async () => {
  const before = fs.readdirSync(folder).length;
  const d = tidemark.open('closed', { ...small, ephemeral: true });
  const held = d.snapshot();
  const watch = d.watch();
  const waits = watch.next().catch((error) => error);
  const last = d.put('k', 'v');
  const closing = d.close();
  assert.ok(d.closed);
  await last; // was under way, and is done
  await closing;
  await d.close();
  const closed = { name: 'TideError', code: 'TIDE_ERR_CLOSED' };
  for (const call of [() => d.get('k'), () => d.get('k', { maxStaleness: 1 }), () => d.has('k'), () => d.mget(['k']), () => d.putSync('k', 'v'), () => d.deleteSync('k'),
    () => d.snapshot(), () => d.watch(), () => d.token(), () => d.info(), () => held.get('k'), () => held.scan(() => true)]) {
    assert.throws(call, closed, call.toString());
  }
  for (const call of [() => d.put('k', 'v'), () => d.incr('k'), () => d.batch().delete('k').commit(), () => d.getOrMake('k', () => 'v'), () => d.getAsync('k')]) {
    await assert.rejects(call, closed, call.toString());
  }
  held.close();
  held.close();
  const event = await waits; // the put that was under way, or the end
  assert.ok(event.code === 'TIDE_ERR_CLOSED' || event.value.kind === 'put');
  await assert.rejects(async () => {
    for await (const _ of watch);
    throw Object.assign(new Error('ended'), closed);
  }, closed);
  assert.equal(fs.readdirSync(folder).length, before);
});

test('a domain that is removed under its users is gone', async (t) => {
  const d = tidemark.open('gone', small);
  t.after(() => d.close());
  tidemark.unlink('gone');
  await until(async () => {
    try {
      await d.put('k', 'v');
      return false;
    } catch (error) {
      assert.equal(error.code, 'TIDE_ERR_GONE');
      return true;
    }
  });
});

test('snapshots are of one index', async (t) => {
  const d = domain(t);
  for (const n of [1, 2, 3]) d.putSync(`k${n}`, `v${n}`, n === 3 ? { ttl: 60_000 } : undefined);
  const s = d.snapshot({ encoding: 'utf8' });
  assert.equal(s.index, 3);
  await d.put('k1', 'new');
  assert.equal(s.get('k1'), 'v1');
  assert.equal(d.get('k1', { encoding: 'utf8' }), 'new');
  assert.deepEqual(s.get('k1', { encoding: 'buffer' }), Buffer.from('v1'));
  assert.ok(s.has('k2') && !s.has('k4') && s.get('k4') === undefined);
  assert.throws(() => d.putSync('k', 'v'), { code: 'TIDE_ERR_THREAD', message: /close it first/ });
  assert.deepEqual(s.entries().sort(), [['k1', 'v1'], ['k2', 'v2'], ['k3', 'v3']]);
  assert.deepEqual(s.entries({ prefix: 'k2', encoding: 'buffer', keyEncoding: 'buffer' }), [[Buffer.from('k2'), Buffer.from('v2')]]);
  let seen = 0;
  s.scan((key, value, about) => {
    seen++;
    assert.ok(about.version >= 1 && about.version <= 3 && (key === 'k3' ? about.ttl <= 60_000 : about.ttl === Infinity));
    return false;
  });
  assert.equal(seen, 1);
  assert.throws(() => s.scan(() => { throw new RangeError('mine'); }), { name: 'RangeError', message: 'mine' });
  assert.throws(() => s.scan(() => s.close()), { code: 'TIDE_ERR_BUSY' });
  assert.throws(() => s.scan(() => { s.scan(() => true); }), { code: 'TIDE_ERR_BUSY' });
  await assert.rejects(async () => { s.scan(() => { d.close().catch((error) => { seen = error; }); return false; }); await null; throw seen; }, { code: 'TIDE_ERR_BUSY' });
  assert.ok(!d.closed);
  s.close();
  assert.throws(() => s.get('k1'), { code: 'TIDE_ERR_CLOSED' });
  d.putSync('k', 'v');
  assert.equal(d.snapshot((one) => one.get('k1', { encoding: 'utf8' })), 'new');
  assert.throws(() => d.snapshot(() => { throw new RangeError('mine'); }), RangeError);
  assert.equal(await d.snapshot(async (one) => { await null; return one.get('k', { encoding: 'utf8' }); }), 'v');
  d.putSync('k', 'w'); // none is open
});

test('encoding of a domain', (t) => {
  const d = domain(t, { open: { encoding: 'utf8' } });
  d.putSync('k', '\u6f6e');
  d.putSync('long', '\u6f6e'.repeat(5000));
  assert.equal(d.get('k'), '\u6f6e');
  assert.equal(d.get('long'), '\u6f6e'.repeat(5000));
  assert.equal(d.get('none'), undefined);
  assert.deepEqual(d.mget(['k', 'none']), ['\u6f6e', undefined]);
  assert.deepEqual(d.get('k', { encoding: 'buffer' }), Buffer.from('\u6f6e'));
  assert.equal(d.snapshot((s) => s.get('k')), '\u6f6e');
});
