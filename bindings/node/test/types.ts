// SPDX-License-Identifier: LGPL-2.1-or-later
// Compiled, not run: what the types say of the common calls.
import * as tidemark from 'tidemark';

async function calls(): Promise<void> {
  const d = tidemark.open('types', { ring: 1 << 20, evict: 's3fifo' });
  const value: Buffer | undefined = d.get('k');
  const text: string | undefined = d.get(Buffer.from('k'), { encoding: 'utf8', maxStaleness: 200, fallback: 'stale' });
  const a: tidemark.Answer<Buffer | undefined> = d.get('k', { answer: true });
  const reason: tidemark.Reason = a.reason;
  const many: Array<Buffer | undefined> = d.mget(['a', 'b']);
  await d.put('k', new Uint8Array(2), { ttl: 1000, keep: true });
  const n: number = await d.incr('n', 2);
  const big: bigint = await d.incr('n', 2n);
  const version: number = await d.cas('k', 0, 'v');
  const results: Array<number | bigint> = await d.batch().put('a', 'b').incr('c').commit();
  const first: Buffer | undefined = d.snapshot((s) => s.get('k'));
  for await (const e of d.watch({ prefix: 'k', encoding: 'utf8' })) {
    const key: string | undefined = e.key, read: string | undefined = e.value;
    void [key, read];
  }
  const made: string = await d.getOrMake('k', async () => 'v', { encoding: 'utf8', stale: 5 });
  const page: (path: string) => Promise<Buffer> = d.cached((path: string) => path, { ttl: 10 });
  const json: (n: number) => Promise<{ n: number }> = d.cached((m: number) => ({ n: m }), { encode: JSON.stringify, decode: JSON.parse, name: 'json' });
  const strings = tidemark.open('types', { encoding: 'utf8' });
  const s: string | undefined = strings.get('k');
  // @ts-expect-error a key is no number
  d.get(1);
  // @ts-expect-error no such option
  d.get('k', { maxStale: 1 });
  try {
    d.putSync('k', 'v');
  } catch (error) {
    if (error instanceof tidemark.TideError && error.code === tidemark.codes.NO_LEADER) await d.waitApplied(d.token(), { timeout: 5 });
  }
  void [value, text, reason, many, n, big, version, results, first, made, page, json, s];
  await d.close();
}
void calls;
