// SPDX-License-Identifier: LGPL-2.1-or-later
/// <reference types="node" />

/** Times are in milliseconds, with fractions. Indexes and versions are whole numbers below 2^53. */

export type Key = string | Uint8Array;
export type Value = string | ArrayBuffer | SharedArrayBuffer | NodeJS.ArrayBufferView;
export type Encoding = 'buffer' | 'utf8';
export type Reason =
  | 'fresh' | 'within_bound' | 'waited' | 'redirected_to_leader' | 'follower_behind_redirected_to_leader' | 'stale_by_choice' | 'refused';

/** A fence: INCARNATION:INDEX, as the command `tide` prints and takes it. Give it to another process or client. */
export type Token = string;

/** What the library answered. */
export class TideError extends Error {
  readonly name: 'TideError';
  /** TIDE_ERR_NO_LEADER and the like: tidemark.h, enum tide_error. */
  readonly code: string;
  readonly errno: number;
  /** TIDE_ERR_MISMATCH of a cas: the version that is there. */
  readonly found?: number;
  /** Of a batch: the operation that failed. Nothing was written. */
  readonly failed?: number;
}
/** {NO_LEADER: 'TIDE_ERR_NO_LEADER', ...} */
export const codes: Readonly<Record<string, string>>;
/** Of the library that is loaded. */
export const version: string;

export interface OpenOptions {
  /** Make the domain where there is none (true). */
  create?: boolean;
  /** Fail where there is one. */
  exclusive?: boolean;
  /** The domain ends when the one that made it closes it. */
  ephemeral?: boolean;
  /** Lead where nobody does, also later, when a call finds that nobody leads (true). */
  lead?: boolean;
  /** A copy of this process's own, which may lead next. */
  replica?: boolean;
  /** Bytes; these count for the one that makes the domain. */
  ring?: number;
  table?: number;
  expectedKeys?: number;
  defaultTtl?: number;
  evict?: 'none' | 's3fifo';
  /** The bound of reads that name none. 0, the default: linearizable. */
  maxStaleness?: number;
  /** How long a write waits for a leader elsewhere (1000). */
  writeTimeout?: number;
  /** What values are read as ('buffer'). */
  encoding?: Encoding;
}

export interface Bound {
  /** How old the data may be; 0: linearizable; Infinity: any. */
  maxStaleness?: number;
  /** How many entries behind the commit index it may be. */
  maxLag?: number;
  /** The answer reflects the write that this token is of. */
  token?: Token;
  /** How long to wait for a replica that keeps the bound, before the fallback (0). get() and the like stop the event loop meanwhile. */
  wait?: number;
  fallback?: 'leader' | 'wait' | 'error' | 'stale';
}
export interface ReadOptions extends Bound {
  encoding?: Encoding;
  /** Not the value alone, but how fresh it is. */
  answer?: boolean;
}

/** A value, and how fresh it is. */
export interface Answer<V> {
  value: V;
  version: number;
  reason: Reason;
  servedBy: number;
  index: number;
  commitIndex: number;
  staleness: number;
  waited: number;
  /** Infinity: it does not expire; undefined: there is no value. */
  ttl: number | undefined;
  linearizable: boolean;
  stale: boolean;
  fromLeader: boolean;
}

export interface TtlOptions {
  /** More than 0. undefined: the domain's default; Infinity: it does not expire. */
  ttl?: number;
}
export interface WriteOptions extends TtlOptions {
  /** The key is not evicted. */
  keep?: boolean;
}

export interface MakeOptions extends Bound, WriteOptions {
  encoding?: Encoding;
  /** So long after ttl the old value is good enough for all but the one that makes it anew. */
  stale?: number;
  /** How long to wait while another makes it (Infinity). */
  makeWait?: number;
}
export interface CachedOptions<A extends unknown[], R> extends MakeOptions {
  /** Functions of one name share keys (the function's own name). */
  name?: string;
  /** The key, where the arguments are not all plain values. */
  key?: (...args: A) => Key;
  encode?: (value: R) => Value;
  decode?: (value: any) => R;
}

export interface ScanOptions {
  prefix?: Key;
  encoding?: Encoding;
  /** 'utf8'; 'buffer' where keys are bytes. */
  keyEncoding?: Encoding;
}
export interface WatchOptions extends ScanOptions {
  /** First all that is there, then `synced`, then every change. */
  initial?: boolean;
  /** Changes after this token. */
  since?: Token;
  /** Ends it: who awaits an event gets the signal's reason. */
  signal?: AbortSignal;
}

/** A change. */
export interface Event<V = Buffer, K = string> {
  kind: 'put' | 'delete' | 'expire' | 'evict' | 'synced' | 'other';
  key: K | undefined;
  value: V | undefined;
  index: number;
  ttl: number;
  /** The next one belongs to the same batch. */
  more: boolean;
  /** Of the domain's clock: only differences mean something. */
  time: number;
}

export class Snapshot<V = Buffer> implements Disposable {
  private constructor();
  readonly index: number;
  readonly staleness: number;
  readonly closed: boolean;
  get(key: Key): V | undefined;
  get(key: Key, options: { encoding: 'utf8' }): string | undefined;
  get(key: Key, options: { encoding: 'buffer' }): Buffer | undefined;
  has(key: Key): boolean;
  /** f is called within the scan, in no order of keys; `false` ends it. */
  scan(f: (key: any, value: any, about: { version: number; ttl: number }) => unknown, options?: ScanOptions): void;
  entries(options?: ScanOptions): Array<[any, any]>;
  close(): void;
  [Symbol.dispose](): void;
}

export class Watch<V = Buffer, K = string> implements AsyncIterableIterator<Event<V, K>>, AsyncDisposable {
  private constructor();
  readonly closed: boolean;
  next(): Promise<IteratorResult<Event<V, K>, undefined>>;
  return(): Promise<IteratorResult<Event<V, K>, undefined>>;
  throw(error?: unknown): Promise<IteratorResult<Event<V, K>, undefined>>;
  /** Where it stands: another watch goes on from there (since). */
  token(): Token;
  close(): void;
  [Symbol.asyncIterator](): this;
  [Symbol.asyncDispose](): Promise<void>;
}

export class Batch {
  private constructor();
  readonly length: number;
  put(key: Key, value: Value, options?: WriteOptions): this;
  delete(key: Key): this;
  cas(key: Key, version: number, value: Value, options?: WriteOptions): this;
  incr(key: Key, by?: number | bigint, options?: TtlOptions): this;
  touch(key: Key, ttl?: number): this;
  /** The sum of each incr, and of the others the index. */
  commit(): Promise<Array<number | bigint>>;
  commitSync(): Array<number | bigint>;
}

export interface Info {
  name: string;
  incarnation: string;
  commitIndex: number;
  term: number;
  ringBytes: number;
  tableBytes: number;
  members: number;
  replicas: number;
  leader: number | undefined;
  leaderPid: number;
  expired: number;
  evicted: number;
  defaultTtl: number;
}

/** V: what values are read as, by the option `encoding` of open(). */
export class Domain<V = Buffer> implements AsyncDisposable {
  private constructor();
  readonly name: string;
  readonly closed: boolean;

  get(key: Key): V | undefined;
  get(key: Key, options: ReadOptions & { answer: true; encoding: 'utf8' }): Answer<string | undefined>;
  get(key: Key, options: ReadOptions & { answer: true; encoding: 'buffer' }): Answer<Buffer | undefined>;
  get(key: Key, options: ReadOptions & { answer: true; encoding?: undefined }): Answer<V | undefined>;
  get(key: Key, options: ReadOptions & { answer?: false; encoding: 'utf8' }): string | undefined;
  get(key: Key, options: ReadOptions & { answer?: false; encoding: 'buffer' }): Buffer | undefined;
  get(key: Key, options: ReadOptions & { answer?: false; encoding?: undefined }): V | undefined;
  /** As get(), but what may have to be waited for is awaited. */
  getAsync(key: Key, options: ReadOptions & { answer: true; encoding: 'utf8' }): Promise<Answer<string | undefined>>;
  getAsync(key: Key, options: ReadOptions & { answer: true; encoding?: undefined }): Promise<Answer<V | undefined>>;
  getAsync(key: Key, options: ReadOptions & { answer?: false; encoding: 'utf8' }): Promise<string | undefined>;
  getAsync(key: Key, options?: ReadOptions & { answer?: false; encoding?: undefined }): Promise<V | undefined>;
  has(key: Key, options?: Bound): boolean;
  /** Values of one index. */
  mget(keys: readonly Key[]): Array<V | undefined>;
  mget(keys: readonly Key[], options: ReadOptions & { answer: true; encoding: 'utf8' }): Answer<Array<string | undefined>>;
  mget(keys: readonly Key[], options: ReadOptions & { answer: true; encoding?: undefined }): Answer<Array<V | undefined>>;
  mget(keys: readonly Key[], options: ReadOptions & { answer?: false; encoding: 'utf8' }): Array<string | undefined>;
  mget(keys: readonly Key[], options: ReadOptions & { answer?: false; encoding?: undefined }): Array<V | undefined>;
  /** Many reads at one index. With f it is closed when f returns, or its promise settles. */
  snapshot(options?: Bound & { encoding?: Encoding }): Snapshot<V>;
  snapshot<R>(f: (snapshot: Snapshot<V>) => R, options?: Bound & { encoding?: Encoding }): R;

  /** Writes land in the order of the calls. */
  put(key: Key, value: Value, options?: WriteOptions): Promise<void>;
  delete(key: Key): Promise<void>;
  /** The new version. version 0: the key is not there. TIDE_ERR_MISMATCH: nothing was written. */
  cas(key: Key, version: number, value: Value, options?: WriteOptions): Promise<number>;
  incr(key: Key, by: bigint, options?: TtlOptions): Promise<bigint>;
  incr(key: Key, by?: number, options?: TtlOptions): Promise<number>;
  /** Another life, counted from now. */
  touch(key: Key, ttl?: number): Promise<void>;
  batch(): Batch;
  /** Done when they return. Where the leader is another process, the event loop stops meanwhile, at most writeTimeout. */
  putSync(key: Key, value: Value, options?: WriteOptions): void;
  deleteSync(key: Key): void;
  casSync(key: Key, version: number, value: Value, options?: WriteOptions): number;
  incrSync(key: Key, by: bigint, options?: TtlOptions): bigint;
  incrSync(key: Key, by?: number, options?: TtlOptions): number;
  touchSync(key: Key, ttl?: number): void;

  /** The highest index that this object has read at or written. */
  token(): Token;
  /** Later reads of this object reflect it. */
  observe(token: Token): void;
  /** Until so many replicas (1) have applied it. */
  waitApplied(token: Token, options?: { replicas?: number; timeout?: number }): Promise<void>;

  watch(options: WatchOptions & { encoding: 'utf8'; keyEncoding?: 'utf8' }): Watch<string, string>;
  watch(options?: WatchOptions & { encoding?: undefined; keyEncoding?: 'utf8' }): Watch<V, string>;
  watch(options: WatchOptions): Watch<any, any>;

  /** The value; where it is missing, what make() returns, which is put. Of all who miss it, in all processes, one makes it. */
  getOrMake(key: Key, make: () => Value | Promise<Value>, options: MakeOptions & { encoding: 'utf8' }): Promise<string>;
  getOrMake(key: Key, make: () => Value | Promise<Value>, options?: MakeOptions & { encoding?: undefined }): Promise<V>;
  /** A function that keeps what f returns. */
  cached<A extends unknown[], R>(
    f: (...args: A) => R | Promise<R>,
    options: CachedOptions<A, R> & { encode: (value: R) => Value; decode: (value: any) => R },
  ): (...args: A) => Promise<R>;
  cached<A extends unknown[]>(f: (...args: A) => Value | Promise<Value>, options?: CachedOptions<A, Value>): (...args: A) => Promise<V>;

  info(): Info;
  /** Stop what this object runs, and let go, behind the writes that are under way. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Open a domain; make it where there is none, and lead it where nobody does. It stops the event loop while a replica joins. */
export function open(name: string, options: OpenOptions & { encoding: 'utf8' }): Domain<string>;
export function open(name: string, options?: OpenOptions): Domain<Buffer>;
/** Remove a domain's segments by name. */
export function unlink(name: string): void;
