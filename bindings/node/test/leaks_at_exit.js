// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// Run under LeakSanitizer (tests/env/bindings_asan.test.sh): every kind of call, those that fail too, in the main thread and in a worker.
const { Worker, isMainThread } = require('node:worker_threads');
const tidemark = require('tidemark');
async function work(name) {
  for (let n = 0; n < 20; n++) {
    const d = tidemark.open(name, { ephemeral: true, ring: 65536, table: 1 << 20 });
    const w = d.watch({ initial: n % 2 === 0, prefix: 'k' }), waits = w.next().catch(() => {});
    await Promise.all([d.put('k', 'v'), d.put('\u6f6e'.repeat(300), Buffer.alloc(3000)), d.batch().put('a', 'b').incr('n').commit(), d.cas('k', 9, 'x').catch(() => {}), d.put('\ud800', 'v').catch(() => {})]);
    d.get('k');
    d.get('\u6f6e'.repeat(300));
    d.mget(['k', '\u6f6e'.repeat(300)]);
    for (const wrong of [() => d.mget(['\u6f6e'.repeat(300), 1]), () => d.putSync('k', 1), () => d.putSync('', 'v'), () => tidemark.open('none', { create: false }), () => d.touchSync('\u6f6e', 1)]) {
      try { wrong(); } catch { /* as it should */ }
    }
    d.snapshot((s) => [s.get('k'), s.entries()]);
    await waits;
    w.close();
    await d.getOrMake('m', () => 'v');
    await d.close();
  }
}
work(isMainThread ? 'main' : 'worker');
if (isMainThread) new Worker(__filename);
