// SPDX-License-Identifier: LGPL-2.1-or-later
// The stream, what the page remembers of it, and when what is drawn.
import * as words from '/words.js';
import * as panels from '/panels.js';
import { Picture } from '/picture.js';

const ROOM = 181; // looks that are remembered: three minutes
const at = panels.at;

// ---- the past: a value for each look, null where there is none

class Past {
  constructor() {
    this.clear(null);
  }

  // A minute, two, three: as many as there are.
  get room() {
    return this.times.length > 121 ? ROOM : this.times.length > 61 ? 121 : 61;
  }

  clear(incarnation) {
    this.incarnation = incarnation;
    this.times = [];
    this.domains = new Map();
    this.replicas = new Map();
  }

  add(state) {
    if (state.incarnation !== this.incarnation) this.clear(state.incarnation);
    const usable = state.rates && state.rates.seconds < 5;
    this.times.push(state.unix_ns / 1e6);
    const put = (map, key, value) => {
      if (!map.has(key)) map.set(key, []);
      const values = map.get(key);
      while (values.length < this.times.length - 1) values.push(null);
      values.push(value);
    };
    for (const what of ['hit_ratio', 'hits_s', 'misses_s', 'evicted_s', 'expired_s', 'made_s', 'waited_s']) put(this.domains, what, usable ? state.rates[what] : null);
    for (const r of state.replicas) {
      const rates = usable && r.rates ? r.rates : null;
      put(this.replicas, r.replica + ' lag', rates && rates.lag_count > 0 ? rates.lag_p99_ns : null);
      put(this.replicas, r.replica + ' reads', rates ? rates.reads_s : null);
      put(this.replicas, r.replica + ' applied', rates ? rates.applied_s : null);
    }
    if (this.times.length > ROOM) {
      this.times.shift();
      for (const map of [this.domains, this.replicas]) for (const [, values] of map) values.shift();
    }
    for (const [key, values] of this.replicas) {
      while (values.length < this.times.length) values.push(null);
      if (values.every((v) => v === null) && values.length === ROOM) this.replicas.delete(key);
    }
  }

  of(replica, what) {
    return this.replicas.get(replica + ' ' + what) || [];
  }

  domain(what) {
    return this.domains.get(what) || [];
  }
}

// ---- one look

const past = new Past(), picture = new Picture(at('picture'));
let state = null, known = null, events = [], paused = false, source = null, late = null;

const DOMAIN_WORDS = { alive: ['● alive', ''], dead: ['▲ no process is attached', 'warn'], damaged: ['✕ damaged', 'bad'], closed: ['✕ closed to this user', 'bad'],
  version: ['✕ another version', 'bad'], missing: ['✕ not there', 'bad'] };

function show_head() {
  const unled = state.known && !state.led && state.state === 'alive';
  const [text, kind] = unled ? ['▲ nobody leads', 'warn'] : DOMAIN_WORDS[state.state] || ['? ' + state.state, 'bad'];
  at('name').textContent = words.visible(state.name);
  at('state').textContent = text;
  at('state').className = 'chip ' + kind;
  document.title = (kind ? text + ' – ' : '') + state.name + ' – tidemark';
}

const TO_DO = {
  missing: 'The page goes on when it is made: tide serve', damaged: 'The page goes on when it is whole again. To look closer: tide dump',
  version: 'Use the tide that made it, or remove it and make it anew.', closed: 'Run tide web as the user whose domain it is.',
};

function show_trouble() {
  const banner = at('banner');
  if (state.known && state.state !== 'dead') {
    banner.hidden = true;
    return;
  }
  const text = state.known ? 'No process is attached to this domain any more. What is shown is what they left; tide serve goes on from it.'
    : `${words.visible(state.why || state.state)}. ${TO_DO[state.state] || ''}${known ? ' Below: the last figures, of ' + new Date(known.unix_ns / 1e6).toLocaleTimeString('en-GB') + '.' : ''}`;
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = false;
}

// Parts are made anew with each look; a button in them that had the focus has it again.
function draw() {
  if (!known) return;
  const focus = document.activeElement, host = focus && focus.classList.contains('more') ? focus.parentElement : null;
  draw_all();
  const again = host && host.querySelector('.more');
  if (again) again.focus({ preventScroll: true });
}

function draw_all() {
  const s = known, live = state.known && !paused;
  at('main').hidden = false;
  at('main').classList.toggle('stale', !state.known);
  at('story').textContent = state.known ? panels.story(s) : '';
  picture.update(s, live);
  panels.whatif(s, draw);
  panels.lag(s, past);
  panels.reads(s, draw);
  panels.through(s, past, draw);
  panels.cache(s, past);
  panels.tables(s, draw);
  panels.log(s);
  panels.all_figures(s, draw);
}

function take(text) {
  state = JSON.parse(text);
  for (const e of state.events) events.unshift({ ...e, at: state.unix_ns / 1e6 });
  events = events.slice(0, 100);
  if (state.known) {
    known = state;
    past.add(state);
  }
  show_head();
  show_trouble();
  if (!known) at('main').hidden = true;
  draw();
  panels.events(events);
  document.body.dataset.looks = Number(document.body.dataset.looks || 0) + 1;
}

// ---- the stream

function say(text, bad) {
  const e = at('live');
  if (e.textContent !== text) e.textContent = text;
  e.className = bad ? 'is-bad' : '';
}

// A server that is stopped sends nothing and closes nothing.
function expect() {
  clearTimeout(late);
  late = setTimeout(() => say('▲ nothing has come for 5 s', true), 5000);
}

function connect() {
  if (source || paused || document.hidden) return;
  source = new EventSource('/events');
  say('connecting', false);
  expect();
  source.onmessage = (message) => {
    say('● live, once a second', false);
    expect();
    take(message.data);
  };
  source.onerror = () => {
    say('▲ no answer from tide web; trying again', true);
    picture.stop();
    if (source && source.readyState === EventSource.CLOSED) {
      disconnect();
      setTimeout(connect, 3000);
    }
  };
}

function disconnect() {
  clearTimeout(late);
  if (source) source.close();
  source = null;
}

at('pause').addEventListener('click', () => {
  paused = !paused;
  at('pause').setAttribute('aria-pressed', String(paused));
  at('pause').textContent = paused ? 'Go on' : 'Pause';
  if (paused) {
    disconnect();
    picture.stop();
    say('paused', false);
  } else {
    connect();
  }
});
document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
let width = 0;
new ResizeObserver(() => {
  if (at('main').clientWidth !== width) requestAnimationFrame(draw);
  width = at('main').clientWidth;
}).observe(document.body);
matchMedia('(prefers-reduced-motion: reduce)').addEventListener('change', draw);
panels.choose(draw);
panels.events(events);
connect();
