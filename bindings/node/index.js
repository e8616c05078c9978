// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// Arguments, errors, promises. What touches shared memory is in src/; how the two talk is said in src/addon.h.
const { AsyncLocalStorage } = require('node:async_hooks');
const { createHash } = require('node:crypto');
const native = require('./build/Release/tidemark.node');

// enum io of src/addon.h
const STATUS = 0, DOMAIN = 1, AT = 2, SIZE = 3, BOUND = 4, MAX_STALENESS = 5, MAX_LAG = 6, WAIT = 7, FALLBACK = 8, TOKEN = 9,
  TOKEN_LOW = 10, TOKEN_INDEX = 11, VERSION = 12, REASON = 13, SERVED_BY = 14, INDEX = 15, COMMIT_INDEX = 16, STALENESS = 17,
  WAITED = 18, TTL = 19, FLAGS = 20, STATE = 21, SLOT = 22;
const io = new Float64Array(32);

const NAMES = [
  'OK', 'INVALID', 'NOMEM', 'SYSTEM', 'EXISTS', 'NO_DOMAIN', 'FOREIGN', 'VERSION', 'CORRUPT', 'NO_SPACE', 'FULL', 'TOO_BIG', 'BUFFER',
  'NOT_FOUND', 'REFUSED', 'TIMEOUT', 'FENCE_AHEAD', 'INCARNATION', 'NO_LEADER', 'NO_REPLICA', 'MISMATCH', 'CLOSED', 'SLOTS', 'THREAD',
  'UNKNOWN', 'BUSY', 'DIVERGED', 'GONE', 'FORKED', 'LOST', 'NOT_LOCAL', 'READ_ONLY', 'NUMBER', 'OVERFLOW',
  'FED', 'REVISION',
];
const codes = Object.freeze(Object.fromEntries(NAMES.slice(1).map((name, n) => [name, `TIDE_ERR_${name}`])));
const INVALID = -1, BUFFER = -12, NOT_FOUND = -13, REFUSED = -14, TIMEOUT = -15, NO_LEADER = -18, NO_REPLICA = -19, MISMATCH = -20,
  CLOSED = -21, THREAD = -23, BUSY = -25;
const NO_KEY = -1001, KEY_SIZE = -1002, KEY_TEXT = -1003, THREW = -1004;
const REASONS = ['fresh', 'within_bound', 'waited', 'redirected_to_leader', 'follower_behind_redirected_to_leader', 'stale_by_choice', 'refused'];
const FALLBACKS = ['leader', 'wait', 'error', 'stale'];
const KINDS = ['', 'put', 'delete', 'expire', 'evict', 'synced'];
const PUT = 1, DELETE = 2, CAS = 3, ADD = 4, TOUCH = 5;
const KEEP = 1;
const TAKEN = 1, FULL = 3; // of a lease

// ---- errors ---------------------------------------------------------------------------------------------------------

/** What the library answered. `code` names it, `errno` is its number. */
class TideError extends Error {
  constructor(errno, what, said) {
    super(`${what}: ${native.strerror(errno)}${said ? ` (${said})` : ''}`);
    this.errno = errno;
    this.code = `TIDE_ERR_${NAMES[-errno] ?? 'UNKNOWN_CODE'}`;
  }
}
TideError.prototype.name = 'TideError';

function shown(value) {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (value === null || typeof value !== 'object') return typeof value === 'function' ? 'a function' : String(value);
  return `an object of ${value.constructor?.name ?? 'no class'}`;
}

function wrongType(what, value) {
  return Object.assign(new TypeError(`${what}, not ${shown(value)}`), { code: 'ERR_INVALID_ARG_TYPE' });
}

function wrongValue(what, value) {
  return Object.assign(new TypeError(`${what}, not ${shown(value)}`), { code: 'ERR_INVALID_ARG_VALUE' });
}

function failure(status, what, key) {
  switch (status) {
    case NO_KEY: return wrongType(`${what}: a key is a string, a Buffer or a Uint8Array`, key);
    case KEY_SIZE: return Object.assign(new TypeError(`${what}: a key has 1 to 65,535 bytes`), { code: 'ERR_INVALID_ARG_VALUE' });
    case KEY_TEXT: return wrongValue(`${what}: a key that is a string has only whole surrogate pairs`, key);
    case THREAD: return new TideError(status, what, 'a snapshot of this thread is open: close it first');
    default: return new TideError(status, what);
  }
}

// ---- arguments ------------------------------------------------------------------------------------------------------

/** Milliseconds, as nanoseconds. */
function ms(value, name) {
  if (typeof value !== 'number') throw wrongType(`${name} is a number of milliseconds`, value);
  if (!(value >= 0)) throw wrongValue(`${name} is 0 or more milliseconds`, value);
  return value > 0 && value < 1e-6 ? 1 : value * 1e6; // 0 says something else: no life of its own, no bound
}

/** A life. For the library 0 is no life of its own, so a value whose time is over would stay for ever. */
function life(value, name) {
  const ns = ms(value, name);
  if (ns === 0) throw wrongValue(`${name} is more than 0 milliseconds; Infinity: no end`, value);
  return ns;
}

function count(value, name, least = 0) {
  if (typeof value !== 'number') throw wrongType(`${name} is a number`, value);
  if (!Number.isSafeInteger(value) || value < least) throw wrongValue(`${name} is a whole number, ${least} or more`, value);
  return value;
}

function truth(value, name) {
  if (typeof value !== 'boolean') throw wrongType(`${name} is true or false`, value);
  return value;
}

function oneOf(list, value, name) {
  const at = list.indexOf(value);
  if (at < 0) throw wrongValue(`${name} is ${list.map((one) => `'${one}'`).join(' or ')}`, value);
  return at;
}

function callable(value, name) {
  if (typeof value !== 'function') throw wrongType(`${name} is a function`, value);
  return value;
}

const ENCODINGS = ['buffer', 'utf8'];

/** known: {name: function that checks}. */
function options(given, known, what) {
  const out = {};
  if (given === undefined) return out;
  if (given === null || typeof given !== 'object') throw wrongType(`${what}: options are an object`, given);
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(known, name)) throw wrongValue(`${what}: an option is ${Object.keys(known).join(', ')}`, name);
    if (given[name] !== undefined) out[name] = known[name](given[name], name);
  }
  return out;
}

/** What a value may be: a string, or bytes, as native code takes them. */
function bytes(value, what) {
  if (typeof value === 'string' || value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || (typeof SharedArrayBuffer === 'function' && value instanceof SharedArrayBuffer)) return new Uint8Array(value);
  throw wrongType(`${what}: a value is a string, a Buffer, an ArrayBuffer or a view of one`, value);
}

/** A token is a string, INCARNATION:INDEX, as the command `tide` prints and takes it. */
function tokenIn(token) {
  const parts = typeof token === 'string' ? /^([0-9a-f]{16}):(\d{1,16})$/.exec(token) : null;
  if (parts === null) throw wrongType('a token is what token() gave, a string', token);
  io[TOKEN] = parseInt(parts[1].slice(0, 8), 16);
  io[TOKEN_LOW] = parseInt(parts[1].slice(8), 16);
  io[TOKEN_INDEX] = Number(parts[2]);
}

function incarnationOut() {
  return io[TOKEN].toString(16).padStart(8, '0') + io[TOKEN_LOW].toString(16).padStart(8, '0');
}

function tokenOut() {
  return `${incarnationOut()}:${io[TOKEN_INDEX]}`;
}

// What the options of a read say: the bound in io[], and these.
let askedAnswer = false, askedText = false;

function bound(given, text, what) {
  if (given === null || typeof given !== 'object') throw wrongType(`${what}: options are an object`, given);
  askedAnswer = false;
  askedText = text;
  io[MAX_STALENESS] = io[MAX_LAG] = -1;
  io[WAIT] = io[FALLBACK] = io[TOKEN] = io[TOKEN_LOW] = io[TOKEN_INDEX] = 0;
  for (const name in given) {
    const value = given[name];
    if (value === undefined) continue;
    switch (name) {
      case 'maxStaleness': io[MAX_STALENESS] = ms(value, name); break;
      case 'maxLag': io[MAX_LAG] = value === Infinity ? Infinity : count(value, name); break;
      case 'wait': io[WAIT] = ms(value, name); break;
      case 'fallback': io[FALLBACK] = oneOf(FALLBACKS, value, name); break;
      case 'token': tokenIn(value); break;
      case 'answer': askedAnswer = truth(value, name); break;
      case 'encoding': askedText = oneOf(ENCODINGS, value, name) === 1; break;
      default: throw wrongValue(`${what}: an option is maxStaleness, maxLag, wait, fallback, token, answer, encoding`, name);
    }
  }
  io[BOUND] = 1;
}

function answer(value) {
  const flags = io[FLAGS];
  return {
    value,
    version: io[VERSION],
    reason: REASONS[io[REASON]],
    servedBy: io[SERVED_BY],
    index: io[INDEX],
    commitIndex: io[COMMIT_INDEX],
    staleness: io[STALENESS] / 1e6,
    waited: io[WAITED] / 1e6,
    ttl: value === undefined || Array.isArray(value) ? undefined : io[TTL] < 0 ? Infinity : io[TTL] / 1e6,
    linearizable: (flags & 1) !== 0,
    stale: (flags & 2) !== 0,
    fromLeader: (flags & 4) !== 0,
  };
}

// ---- values ---------------------------------------------------------------------------------------------------------

// Small values are cut out of a slab, as Buffer.allocUnsafe() does it. The class of Buffers is asked for, since a constructor's call is
// half as dear as Buffer.from() or subarray().
const Bytes = Buffer[Symbol.species];
const SLAB = 32768;
const SLAB_VALUE = SLAB / 4; // larger ones have a Buffer of their own
let slab, room, at;

function newSlab() {
  slab = Buffer.allocUnsafeSlow(SLAB);
  room = slab.buffer;
  at = 0;
  native.slab(slab);
}

let scratch = Buffer.allocUnsafeSlow(SLAB); // of mget
const SCRATCH_MOST = 1 << 20;
const MGET_ROOM = 256; // for a value before its size is known

const text = (value) => value.toString('utf8');

// ---- the process's end ----------------------------------------------------------------------------------------------

const open_ = new Set(); // numbers of domains
const watching = new Map(); // of watches: a reference to each
let exits = false;

function closeAll() {
  for (const id of watching.keys()) native.watchClose(id);
  for (let pass = 0; pass < 2; pass++) for (const id of open_) native.closeNow(id); // one that comes later may have a snapshot open
  open_.clear();
  watching.clear();
}

const lostDomains = new FinalizationRegistry((id) => {
  open_.delete(id);
  native.closeNow(id);
  if (io[STATUS] === BUSY) native.close(id, 1); // another domain's snapshot is open
});
const lostSnapshots = new FinalizationRegistry((id) => native.snapshotEnd(id));
const lostWatches = new FinalizationRegistry((id) => {
  watching.delete(id);
  native.watchClose(id);
});

native.setup(io, (id) => watching.get(id)?.deref()?._ready());
newSlab();

// ---- writes ---------------------------------------------------------------------------------------------------------

const WRITE_OPTIONS = { ttl: life, keep: truth };
const TTL_OPTIONS = { ttl: life };

/** An operation as src/write.c takes it: kind, key, value, ttl, expected version, delta, flags. */
function row(kind, key, value, given, expected, delta, what) {
  const o = given === undefined ? undefined : options(given, kind === PUT || kind === CAS ? WRITE_OPTIONS : TTL_OPTIONS, what);
  return [kind, key, value === undefined ? undefined : bytes(value, what), o?.ttl ?? 0, expected, delta, o?.keep ? KEEP : 0];
}

const rows = {
  put(key, value, given) {
    if (value === undefined) throw wrongType('put: a value is a string, a Buffer, an ArrayBuffer or a view of one', value);
    return row(PUT, key, value, given, 0, 0n, 'put');
  },
  delete: (key) => row(DELETE, key, undefined, undefined, 0, 0n, 'delete'),
  cas(key, version, value, given) {
    if (value === undefined) throw wrongType('cas: a value is a string, a Buffer, an ArrayBuffer or a view of one', value);
    return row(CAS, key, value, given, count(version, 'cas: a version'), 0n, 'cas');
  },
  incr(key, by = 1, given = undefined) {
    if (typeof by !== 'bigint') {
      if (typeof by !== 'number') throw wrongType('incr: by is a whole number or a bigint', by);
      if (!Number.isSafeInteger(by)) throw wrongValue('incr: by is a whole number; beyond 2^53 a bigint', by);
      by = BigInt(by);
    }
    if (by !== BigInt.asIntN(64, by)) throw wrongValue('incr: by has 64 bits with a sign', by);
    return row(ADD, key, undefined, given, 0, by, 'incr');
  },
  touch: (key, ttl) => [TOUCH, key, undefined, ttl === undefined ? 0 : life(ttl, 'touch: ttl'), 0, 0n, 0],
};

/** The outcome of a job, [error, results, found, failed]: the results. */
function results(outcome, what) {
  const [error, list, found, failed] = outcome;
  if (error === 0) return list;
  const e = failure(error, what);
  if (failed >= 0) e.message += `; nothing was written; operation ${failed}`;
  if (failed >= 0) e.failed = failed;
  if (error === MISMATCH && failed < 0) e.found = found;
  throw e;
}

const sum = (result, by) => (typeof by === 'bigint' ? result : Number(result));

/** Operations that are done as one by commit(). */
class Batch {
  #domain;
  #rows = [];
  #big = [];

  constructor(domain) {
    this.#domain = domain;
  }

  #add(one, big) {
    this.#rows.push(one);
    this.#big.push(big);
    return this;
  }

  put(key, value, given) { return this.#add(rows.put(key, value, given)); }
  delete(key) { return this.#add(rows.delete(key)); }
  cas(key, version, value, given) { return this.#add(rows.cas(key, version, value, given)); }
  incr(key, by, given) { return this.#add(rows.incr(key, by, given), by); }
  touch(key, ttl) { return this.#add(rows.touch(key, ttl)); }
  get length() { return this.#rows.length; }

  #take() {
    const taken = [this.#rows, this.#big];
    this.#rows = [];
    this.#big = [];
    return taken;
  }

  /** The sum of each incr, and of the others the index. */
  async commit() {
    const [list, big] = this.#take();
    return list.length === 0 ? [] : (await this.#domain._submit(list, 'batch')).map((one, n) => (typeof one === 'bigint' ? sum(one, big[n]) : one));
  }

  commitSync() {
    const [list, big] = this.#take();
    return list.length === 0 ? [] : this.#domain._now(list, 'batch').map((one, n) => (typeof one === 'bigint' ? sum(one, big[n]) : one));
  }
}

// ---- snapshots ------------------------------------------------------------------------------------------------------

const SCAN_OPTIONS = {
  prefix: (value) => (typeof value === 'string' ? value : bytes(value, 'prefix')),
  encoding: (value, name) => ENCODINGS[oneOf(ENCODINGS, value, name)],
  keyEncoding: (value, name) => ENCODINGS[oneOf(ENCODINGS, value, name)],
};

/** Many reads at one index. What is replaced meanwhile is not reused: keep it short, and close it. */
class Snapshot {
  #id;
  #text;

  constructor(id, isText) {
    this.#id = id;
    this.#text = isText;
    this.index = io[INDEX];
    this.staleness = io[STALENESS] / 1e6;
    lostSnapshots.register(this, id, this);
  }

  get(key, given) {
    const { encoding } = options(given, { encoding: SCAN_OPTIONS.encoding }, 'get');
    const value = native.snapshotGet(this.#id, key);
    if (io[STATUS] === NOT_FOUND) return undefined;
    if (io[STATUS] < 0) throw failure(io[STATUS], 'get of a snapshot', key);
    return (encoding === undefined ? this.#text : encoding === 'utf8') ? text(value) : value;
  }

  has(key) {
    return this.get(key, { encoding: 'buffer' }) !== undefined;
  }

  /** f(key, value, {version, ttl}) for each key, in no order; `false` ends it. f is called within: it does not await. */
  scan(f, given) {
    callable(f, 'scan: the first argument');
    const { prefix = '', encoding = this.#text ? 'utf8' : 'buffer', keyEncoding = 'utf8' } = options(given, SCAN_OPTIONS, 'scan');
    native.snapshotScan(this.#id, prefix, (key, value, version, ttl) =>
      f(keyEncoding === 'utf8' ? text(key) : key, encoding === 'utf8' ? text(value) : value, { version, ttl: ttl < 0 ? Infinity : ttl / 1e6 }) !== false);
    if (io[STATUS] < 0 && io[STATUS] !== THREW) throw failure(io[STATUS], 'scan');
  }

  entries(given) {
    const list = [];
    this.scan((key, value) => { list.push([key, value]); }, given);
    return list;
  }

  get closed() { return this.#id < 0; }

  close() {
    native.snapshotEnd(this.#id);
    if (io[STATUS] === BUSY) throw new TideError(BUSY, 'close of a snapshot', 'a scan of it is under way');
    lostSnapshots.unregister(this);
    this.#id = -1;
  }
}

// ---- watches --------------------------------------------------------------------------------------------------------

const TURN = 64; // so many events, and others of the event loop have their turn

/** Changes in the order of the log: for `for await`, or next(). */
class Watch {
  #id;
  #domain; // is kept as long as it is watched
  #text;
  #textKeys;
  #waiting = [];
  #told = 0;
  #signal;
  #aborted;

  constructor(domain, id, o, isText) {
    this.#domain = domain;
    this.#id = id;
    this.#text = (o.encoding ?? (isText ? 'utf8' : 'buffer')) === 'utf8';
    this.#textKeys = (o.keyEncoding ?? 'utf8') === 'utf8';
    watching.set(id, new WeakRef(this));
    lostWatches.register(this, id, this);
    if (o.signal !== undefined) {
      this.#signal = o.signal;
      this.#aborted = () => this.#end(o.signal.reason);
      o.signal.addEventListener('abort', this.#aborted, { once: true });
    }
  }

  [Symbol.asyncIterator]() { return this; }

  /** An event; undefined: none has come yet. */
  #take() {
    const e = native.watchTake(this.#id);
    if (io[STATUS] === TIMEOUT) return undefined;
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'watch', NAMES[-io[STATUS]] === 'LOST' ? 'it was slower than the writers: begin anew with initial' : undefined);
    const [kind, key, value, index, ttl, more, time] = e;
    return {
      kind: KINDS[kind] ?? 'other',
      key: key !== undefined && this.#textKeys ? text(key) : key,
      value: value !== undefined && this.#text ? text(value) : value,
      index,
      ttl: ttl < 0 ? Infinity : ttl,
      more: more !== 0,
      time,
    };
  }

  next() {
    if (this.#waiting.length === 0) {
      if (this.#id < 0) return Promise.resolve({ value: undefined, done: true });
      let event;
      try {
        event = this.#take();
      } catch (error) {
        this.close();
        return Promise.reject(error);
      }
      if (event !== undefined) {
        const result = { value: event, done: false };
        return ++this.#told % TURN !== 0 ? Promise.resolve(result) : new Promise((resolve) => { setImmediate(resolve, result); });
      }
    }
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ resolve, reject }) === 1) this.#arm();
    });
  }

  /** While somebody awaits, neither this object nor the process goes. */
  #arm() {
    awaited.add(this);
    native.watchArm(this.#id);
    if (io[STATUS] < 0) this.#end(new TideError(io[STATUS], 'watch'));
  }

  _ready() {
    try {
      while (this.#waiting.length > 0) {
        const event = this.#take();
        if (event === undefined) {
          this.#arm();
          return;
        }
        this.#waiting.shift().resolve({ value: event, done: false });
      }
      awaited.delete(this);
    } catch (error) {
      this.#end(error);
    }
  }

  /** Where it stands: another watch goes on from there (since). */
  token() {
    native.watchToken(this.#id);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'token of a watch', io[STATUS] === BUSY ? 'before synced there is none' : undefined);
    return tokenOut();
  }

  get closed() { return this.#id < 0; }

  #end(error) {
    if (this.#id >= 0) {
      native.watchClose(this.#id);
      watching.delete(this.#id);
      lostWatches.unregister(this);
      this.#signal?.removeEventListener('abort', this.#aborted);
      this.#id = -1;
      this.#domain = undefined;
    }
    awaited.delete(this);
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) resolve({ value: undefined, done: true });
      else reject(error);
      error = undefined; // the first is told why; the others, that it has ended
    }
  }

  /** Who awaits an event is told that there is none. */
  close() {
    this.#end(undefined);
  }

  return() {
    this.close();
    return Promise.resolve({ value: undefined, done: true });
  }

  throw(error) {
    this.close();
    return Promise.reject(error);
  }
}
const awaited = new Set();

// ---- get or make ----------------------------------------------------------------------------------------------------

const making = new AsyncLocalStorage(); // the keys that the running code makes
const sleep = (time) => new Promise((resolve) => { setTimeout(resolve, time); });
const READ_OPTIONS = ['maxStaleness', 'maxLag', 'wait', 'fallback', 'token', 'encoding'];
const pick = (given, names) => Object.fromEntries(names.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]));
const asIs = (value) => value;
const MAKE_OPTIONS = { ttl: life, stale: ms, makeWait: ms, keep: truth, ...Object.fromEntries(READ_OPTIONS.map((name) => [name, asIs])) };

/** Ask again, in 1 to 8 milliseconds, until there is an answer or the time is over: then undefined. */
async function ask(question, timeout) {
  const end = performance.now() + timeout;
  for (let pause = 1; ; pause = Math.min(pause * 2, 8)) {
    const found = question();
    if (found !== undefined) return found;
    const left = end - performance.now();
    if (left <= 0) return undefined;
    await sleep(Math.min(pause, left));
  }
}

function argumentText(value) {
  switch (typeof value) {
    case 'string': return JSON.stringify(value);
    case 'number': case 'boolean': case 'undefined': return Object.is(value, -0) ? '-0' : String(value);
    case 'bigint': return `${value}n`;
  }
  if (value === null) return 'null';
  if (Array.isArray(value)) return `[${value.map(argumentText).join(',')}]`;
  throw wrongType('cached: an argument is a string, a number, a boolean, a bigint, null, undefined or an array of those; else give the option key', value);
}

const cachedNames = new Map(); // name: what the function looks like

// ---- domains --------------------------------------------------------------------------------------------------------

const OPEN_OPTIONS = {
  create: truth, exclusive: truth, ephemeral: truth, lead: truth, replica: truth, ring: count, table: count, expectedKeys: count,
  defaultTtl: ms, evict: (value, name) => oneOf(['none', 's3fifo'], value, name), maxStaleness: ms, writeTimeout: ms,
  encoding: SCAN_OPTIONS.encoding,
};

function domainName(name) {
  if (typeof name !== 'string') throw wrongType('the name of a domain is a string', name);
  if (!/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,47}$/.test(name)) throw wrongValue('the name of a domain has 1 to 48 of A-Z a-z 0-9 _ - (a dot, but not first)', name);
  return name;
}

class Domain {
  #id = -1;
  #name;
  #text;
  #closing;
  #makers = new Map(); // keys that this object makes: a promise each

  constructor(name, given) {
    const o = options(given, OPEN_OPTIONS, 'open');
    this.#name = domainName(name);
    this.#text = o.encoding === 'utf8';
    const numbers = Float64Array.of(
      (o.create ?? true ? 1 : 0) | (o.exclusive ? 2 : 0) | (o.ephemeral ? 4 : 0), o.lead ?? true ? 1 : 0, o.replica ? 1 : 0, o.ring ?? 0,
      o.table ?? 0, o.expectedKeys ?? 0, o.defaultTtl ?? 0, o.evict ?? 0, o.maxStaleness ?? 0, o.writeTimeout ?? 0);
    const id = native.open(name, numbers);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], `open ${name}`, id);
    this.#id = id;
    open_.add(id);
    lostDomains.register(this, id, this);
    if (!exits) {
      exits = true;
      process.on('exit', closeAll);
    }
  }

  get name() { return this.#name; }
  get closed() { return this.#id < 0; }

  // ---- reads

  /** The value, or undefined. */
  get(key, given) {
    if (given !== undefined || this.#text) return this.#getWith(key, given);
    io[DOMAIN] = this.#id;
    io[AT] = at;
    native.get(key);
    const n = io[STATUS];
    if (n < 0) return n === NOT_FOUND ? undefined : this.#larger(key, n, false);
    const from = at;
    at = (from + n + 7) & ~7;
    return new Bytes(room, from, n);
  }

  /** The value did not fit, or there is an error. */
  #larger(key, status, bounded) {
    let value;
    while (status === BUFFER) {
      const size = io[SIZE];
      io[DOMAIN] = this.#id;
      io[BOUND] = bounded ? 1 : 0;
      if (size <= SLAB_VALUE) {
        newSlab();
        io[AT] = 0;
        native.get(key);
      } else {
        value = Buffer.allocUnsafeSlow(size);
        native.getInto(key, value);
      }
      status = io[STATUS];
      if (status >= 0 && size <= SLAB_VALUE) {
        at = (status + 7) & ~7;
        return new Bytes(room, 0, status);
      }
    }
    if (status >= 0) return value.subarray(0, status);
    if (status === NOT_FOUND) return undefined;
    throw failure(status, 'get', key);
  }

  #getWith(key, given) {
    let isText = this.#text, whole = false;
    if (given !== undefined) {
      bound(given, isText, 'get');
      isText = askedText;
      whole = askedAnswer;
    }
    const bounded = given !== undefined;
    let value, status;
    io[DOMAIN] = this.#id;
    if (isText) {
      value = native.getText(key);
      status = io[STATUS];
    } else {
      io[AT] = at;
      native.get(key);
      status = io[STATUS];
      if (status >= 0) {
        value = new Bytes(room, at, status);
        at = (at + status + 7) & ~7;
      }
    }
    if (status < 0 && status !== NOT_FOUND) {
      value = this.#larger(key, status, bounded);
      if (value !== undefined && isText) value = text(value);
    }
    return whole ? answer(value) : value;
  }

  /** As get(), but what may have to be waited for is awaited: nothing stops the event loop. */
  async getAsync(key, given = {}) {
    bound(given, this.#text, 'getAsync');
    const wait = io[WAIT] / 1e6, fallback = FALLBACKS[io[FALLBACK]];
    const found = await ask(() => {
      try {
        return { value: this.get(key, { ...given, wait: 0, fallback: 'error' }) };
      } catch (error) {
        if (error.errno !== REFUSED && error.errno !== NO_REPLICA && error.errno !== NO_LEADER) throw error;
        return undefined;
      }
    }, wait);
    if (found !== undefined) return found.value;
    if (fallback === 'wait') throw new TideError(TIMEOUT, 'getAsync');
    return this.get(key, { ...given, wait: 0, fallback });
  }

  has(key, given) {
    if (given !== undefined) bound(given, false, 'has');
    io[DOMAIN] = this.#id;
    native.has(key);
    if (io[STATUS] < 0) throw failure(io[STATUS], 'has', key);
    return io[STATUS] === 1;
  }

  /** Values of one index, in the order of the keys; undefined where there is none. */
  mget(keys, given) {
    if (!Array.isArray(keys)) throw wrongType('mget: keys are an array', keys);
    let isText = this.#text, whole = false;
    if (given !== undefined) {
      bound(given, isText, 'mget');
      isText = askedText;
      whole = askedAnswer;
    }
    const n = keys.length, sizes = new Float64Array(n).fill(MGET_ROOM);
    let buffer = scratch, need = n * MGET_ROOM;
    for (;;) {
      if (need > buffer.length) {
        buffer = Buffer.allocUnsafeSlow(need);
        if (need <= SCRATCH_MOST) scratch = buffer;
      }
      const rooms = sizes.slice();
      io[DOMAIN] = this.#id;
      native.mget(keys, sizes, buffer);
      if (io[STATUS] === 0) {
        const list = this.#cut(buffer, rooms, sizes, isText);
        return whole ? answer(list) : list;
      }
      if (io[STATUS] !== BUFFER) {
        const bad = keys.find((key) => typeof key !== 'string' && !(key instanceof Uint8Array));
        throw failure(io[STATUS], 'mget', bad);
      }
      need = 0;
      for (let i = 0; i < n; i++) need += sizes[i] = Math.max(sizes[i], 0);
    }
  }

  /** Out of the scratch buffer, into one that is theirs. */
  #cut(buffer, rooms, sizes, isText) {
    const n = sizes.length, list = new Array(n);
    let total = 0;
    for (let i = 0; i < n; i++) total += Math.max(sizes[i], 0);
    const out = isText ? undefined : Buffer.allocUnsafeSlow(total);
    for (let i = 0, from = 0, to = 0; i < n; from += rooms[i++]) {
      const size = sizes[i];
      if (size < 0) list[i] = undefined;
      else if (isText) list[i] = buffer.utf8Slice(from, from + size);
      else {
        buffer.copy(out, to, from, from + size);
        list[i] = new Bytes(out.buffer, to, size);
        to += size;
      }
    }
    return list;
  }

  /** Many reads at one index: snapshot(f) ends it when f returns, or its promise settles; snapshot() is to be closed. */
  snapshot(f, given) {
    if (f !== undefined && typeof f !== 'function') [f, given] = [given, f];
    if (f !== undefined) callable(f, 'snapshot: the first argument');
    if (given !== undefined) bound(given, this.#text, 'snapshot');
    const isText = given !== undefined ? askedText : this.#text;
    const id = native.snapshot(this.#id);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'snapshot');
    const snapshot = new Snapshot(id, isText);
    if (f === undefined) return snapshot;
    let result, later = false;
    try {
      result = f(snapshot);
      later = typeof result?.then === 'function';
    } finally {
      if (!later) snapshot.close();
    }
    return later ? Promise.resolve(result).finally(() => snapshot.close()) : result;
  }

  // ---- writes: promises, in the order of the calls; those that end in Sync are done when they return

  async _submit(list, what) {
    const outcome = native.submit(this.#id, list);
    if (io[STATUS] < 0) throw failure(io[STATUS], what, list[0][1]);
    return results(await outcome, what, this); // `this` is kept until it is done
  }

  _now(list, what) {
    const outcome = native.writeNow(this.#id, list);
    if (io[STATUS] < 0) throw failure(io[STATUS], what, list[0][1]);
    return results(outcome, what);
  }

  async put(key, value, given) { await this._submit([rows.put(key, value, given)], 'put'); }
  async delete(key) { await this._submit([rows.delete(key)], 'delete'); }
  /** The new version. version 0: the key is not there. Else MISMATCH, whose `found` is the version that is there. */
  async cas(key, version, value, given) { return (await this._submit([rows.cas(key, version, value, given)], 'cas'))[0]; }
  /** The sum: a bigint where `by` is one. */
  async incr(key, by, given) { return sum((await this._submit([rows.incr(key, by, given)], 'incr'))[0], by); }
  /** Another life, counted from now. */
  async touch(key, ttl) { await this._submit([rows.touch(key, ttl)], 'touch'); }

  putSync(key, value, given) {
    const o = given === undefined ? undefined : options(given, WRITE_OPTIONS, 'putSync');
    io[DOMAIN] = this.#id;
    native.putNow(key, typeof value === 'string' || value instanceof Uint8Array ? value : bytes(value, 'putSync'), o?.ttl ?? 0, o?.keep ? KEEP : 0);
    if (io[STATUS] < 0) throw failure(io[STATUS], 'putSync', key);
  }

  deleteSync(key) { this._now([rows.delete(key)], 'deleteSync'); }
  casSync(key, version, value, given) { return this._now([rows.cas(key, version, value, given)], 'casSync')[0]; }
  incrSync(key, by, given) { return sum(this._now([rows.incr(key, by, given)], 'incrSync')[0], by); }
  touchSync(key, ttl) { this._now([rows.touch(key, ttl)], 'touchSync'); }

  batch() { return new Batch(this); }

  // ---- tokens

  /** The highest index that this object has read at or written. Another that observes it sees what this one saw. */
  token() {
    native.token(this.#id);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'token');
    return tokenOut();
  }

  /** Later reads of this object reflect it. */
  observe(token) {
    tokenIn(token);
    native.observe(this.#id);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'observe');
  }

  /** Until so many replicas have applied it. */
  async waitApplied(token, given) {
    const o = options(given, { replicas: (value, name) => count(value, name, 1), timeout: ms }, 'waitApplied');
    tokenIn(token);
    const done = await ask(() => {
      tokenIn(token);
      native.applied(this.#id, o.replicas ?? 1);
      if (io[STATUS] === 0) return true;
      if (io[STATUS] !== TIMEOUT) throw new TideError(io[STATUS], 'waitApplied');
      return undefined;
    }, (o.timeout ?? Infinity) / 1e6);
    if (done === undefined) throw new TideError(TIMEOUT, 'waitApplied');
  }

  // ---- watch

  watch(given) {
    const o = options(given, {
      ...SCAN_OPTIONS, initial: truth, since: asIs,
      signal(value) {
        if (!(value instanceof AbortSignal)) throw wrongType('signal is an AbortSignal', value);
        return value;
      },
    }, 'watch');
    io[TOKEN] = io[TOKEN_LOW] = io[TOKEN_INDEX] = 0;
    if (o.since !== undefined) tokenIn(o.since);
    o.signal?.throwIfAborted();
    const id = native.watch(this.#id, o.prefix ?? '', o.initial ? 1 : 0);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'watch');
    return new Watch(this, id, o, this.#text);
  }

  // ---- get or make

  /** The value; where it is missing, what make() returns, which is put. Of all who miss it, in all processes, one makes it. */
  async getOrMake(key, make, given) {
    callable(make, 'getOrMake: make');
    const o = options(given, MAKE_OPTIONS, 'getOrMake');
    const read = { ...pick(o, READ_OPTIONS), answer: true };
    // By its bytes: a string and its UTF-8 are one key, a string and its Latin-1 are two.
    const name = typeof key === 'string' || key instanceof Uint8Array ? Buffer.from(key).toString('latin1') : '';
    const until = performance.now() + (o.makeWait ?? Infinity) / 1e6;
    for (let pause = 1; ;) {
      const found = this.#lookUp(key, read);
      const has = found?.value !== undefined;
      if (has && !(o.stale && found.ttl * 1e6 <= o.stale)) return found.value;
      if (making.getStore()?.includes(`${this.#name}:${name}`)) throw new TideError(BUSY, 'getOrMake', 'make() asks for the key that it makes');
      const left = until - performance.now();
      const running = this.#makers.get(name);
      if (running !== undefined) {
        if (has) return found.value;
        if (!(await within(running, left))) throw new TideError(TIMEOUT, 'getOrMake', 'another makes the value');
        continue;
      }
      native.leaseTake(this.#id, key);
      if (io[STATUS] === TIMEOUT) {
        if (has) return found.value;
        if (left <= 0) throw new TideError(TIMEOUT, 'getOrMake', 'another makes the value');
        await sleep(Math.min(pause, left));
        pause = Math.min(pause * 2, 8);
        continue;
      }
      if (io[STATUS] < 0) throw failure(io[STATUS], 'getOrMake', key);
      if (io[STATE] === TAKEN || io[STATE] === FULL) return this.#makeHolding(key, name, make, o, read);
    }
  }

  /** A read that cannot be had is a miss, as for the library's own. */
  #lookUp(key, read) {
    try {
      return this.get(key, read);
    } catch (error) {
      if (error.errno !== TIMEOUT && error.errno !== NO_LEADER && error.errno !== NO_REPLICA) throw error;
      return undefined;
    }
  }

  async #makeHolding(key, name, make, o, read) {
    const id = this.#id, state = io[STATE], slot = io[SLOT];
    let made = false, done;
    const kept = new Promise((resolve) => { done = resolve; });
    this.#makers.set(name, kept);
    try {
      // Perhaps it was made between our miss and now: the leader's replica knows.
      const found = state === TAKEN ? this.#lookUp(key, { answer: true, encoding: read.encoding }) : undefined;
      if (found?.value !== undefined && !(o.stale && found.ttl * 1e6 <= o.stale)) {
        made = true;
        return found.value;
      }
      const value = await making.run([...(making.getStore() ?? []), `${this.#name}:${name}`], make);
      const given = bytes(value, 'getOrMake: what make() returned');
      try {
        await this.put(key, given, { ttl: o.ttl === undefined ? undefined : (o.ttl + (o.stale ?? 0)) / 1e6, keep: o.keep });
        made = true;
      } catch (error) {
        if (!(error instanceof TideError)) throw error;
        process.emitWarning(`a value was made and not put: ${error.message}`, 'TidemarkWarning');
      }
      const isText = read.encoding === undefined ? this.#text : read.encoding === 'utf8';
      return isText ? (typeof given === 'string' ? given : Buffer.from(given).toString('utf8')) : Buffer.from(given);
    } finally {
      if (state === TAKEN) native.leaseRelease(id, state, slot, made ? 1 : 0);
      this.#makers.delete(name);
      done();
    }
  }

  /** A function that keeps what f returns, by getOrMake(). Its key is `name` and the arguments, or what `key` makes of those. */
  cached(f, given) {
    callable(f, 'cached: the first argument');
    const { name, key, encode, decode, ...rest } = options(given, {
      ...MAKE_OPTIONS,
      name(value) {
        if (typeof value !== 'string' || value === '') throw wrongType('cached: name is a string', value);
        return value;
      },
      key: callable, encode: callable, decode: callable,
    }, 'cached');
    const prefix = name ?? f.name;
    if (key === undefined && prefix === '') throw wrongValue('cached: a function without a name needs the option name or key', f);
    if (key === undefined && name === undefined) {
      const looks = f.toString();
      if ((cachedNames.get(prefix) ?? looks) !== looks) {
        process.emitWarning(`cached: two functions are called ${prefix}, and so share their keys: give one the option name`, 'TidemarkWarning');
      }
      cachedNames.set(prefix, looks);
    }
    for (const time of ['ttl', 'stale', 'makeWait']) if (rest[time] !== undefined) rest[time] /= 1e6;
    const domain = this;
    return Object.defineProperty(async function (...words) {
      const made = await domain.getOrMake(key !== undefined ? key(...words) : callKey(prefix, words), async () => {
        const value = await f.apply(this, words);
        return encode !== undefined ? encode(value) : value;
      }, rest);
      return decode !== undefined ? decode(made) : made;
    }, 'name', { value: f.name });
  }

  // ---- the rest

  info() {
    const o = native.info(this.#id);
    if (io[STATUS] < 0) throw new TideError(io[STATUS], 'info');
    return { name: this.#name, incarnation: incarnationOut(), ...o, leader: o.leader < 0 ? undefined : o.leader, defaultTtl: o.defaultTtl < 0 ? Infinity : o.defaultTtl };
  }

  /** Stop what this object runs, and let go, behind the writes that are under way. */
  close() {
    if (this.#id < 0) return this.#closing ?? Promise.resolve();
    const id = this.#id, closing = native.close(id, 0);
    if (io[STATUS] === BUSY) return Promise.reject(new TideError(BUSY, 'close', 'a scan of a snapshot is under way'));
    if (io[STATUS] < 0) return Promise.reject(failure(io[STATUS], 'close'));
    this.#id = -1;
    lostDomains.unregister(this);
    this.#closing = closing.then(() => { open_.delete(id); });
    return this.#closing;
  }
}

function callKey(prefix, words) {
  const whole = `${prefix}(${words.map(argumentText).join(',')})`;
  return whole.length <= 1000 ? whole : `${prefix}:${createHash('sha256').update(whole).digest('hex')}`; // a key has at most 65,535 bytes
}

/** Has it ended within so many milliseconds? */
async function within(promise, left) {
  if (left === Infinity) {
    await promise;
    return true;
  }
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, Math.max(left, 0), false); });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

for (const [type, name] of [[Snapshot, 'dispose'], [Watch, 'asyncDispose'], [Domain, 'asyncDispose']]) {
  if (Symbol[name] !== undefined) {
    Object.defineProperty(type.prototype, Symbol[name], { async: true, configurable: true, writable: true, value() { return this.close(); } });
  }
}

/** Open a domain; make it where there is none, and lead it where nobody does. */
function open(name, given) {
  return new Domain(name, given);
}

/** Remove a domain's segments by name. */
function unlink(name) {
  native.unlink(domainName(name));
  if (io[STATUS] < 0) throw new TideError(io[STATUS], `unlink ${name}`);
}

module.exports = { open, unlink, TideError, codes, Domain, Snapshot, Watch, Batch, version: native.version };
