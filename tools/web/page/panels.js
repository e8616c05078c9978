// SPDX-License-Identifier: LGPL-2.1-or-later
// What each part of the page shows of one look and of those before it.
import { html, mark, canvas, swatch, who } from '/shapes.js';
import * as words from '/words.js';
import * as charts from '/charts.js';

const MANY = 12; // rows until somebody asks for all
const view = { span: 'recent', reads: 'now', all: false };

export const at = (id) => document.getElementById(id);

// A cell with a figure; data-figure names it, for whoever reads the page by a program.
function cell(text, figure, kind) {
  return html('td', { 'data-figure': figure, class: kind }, text);
}

function shown(replicas) {
  return view.all || replicas.length <= MANY ? replicas : replicas.slice(0, MANY);
}

function more_button(host, replicas, redraw) {
  if (replicas.length <= MANY) return;
  const b = html('button', { type: 'button', class: 'more' }, view.all ? 'Show fewer' : `Show all ${replicas.length}`);
  b.addEventListener('click', () => {
    view.all = !view.all;
    redraw();
  });
  host.append(b);
}

function rows(kind, ...children) {
  return html('div', { class: 'rows ' + kind }, ...children);
}

// Few rows may be higher.
function height_of(n, room, least, most) {
  return Math.round(Math.max(least, Math.min(most, room / Math.max(1, n))));
}

function width_of(host, less, least) {
  return Math.max(least, host.clientWidth - less);
}

// ---- what if

const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];

export function bound_ns() {
  const i = Number(at('bound').value);
  return STEPS[i % 10] * 10 ** (3 + Math.floor(i / 10));
}

function list(texts) {
  return texts.length < 2 ? texts.join('') : texts.slice(0, -1).join(', ') + ' and ' + texts[texts.length - 1];
}

function whatif_text(followers, bound) {
  const known = followers.map((r) => ({ r, counts: r.replication_lag[view.span] })).filter((x) => x.counts.length > 0);
  if (known.length === 0) return 'No follower has applied an entry in that time.';
  const least = Math.max(...known.map((x) => charts.quantile(x.counts, 0.99)));
  const missed = known.filter((x) => charts.share_within(x.counts, bound) < 0.99).map((x) => words.name(x.r));
  const wide = Number.isFinite(least) ? `A bound of ${words.time(least)} would be kept by every follower for 99 % of its entries.` : '';
  if (missed.length === 0) return 'Every follower keeps this bound for 99 % of its entries or more. ' + wide;
  return `This bound is tighter than the p99 of ${missed.length > 4 ? missed.length + ' followers' : list(missed)}: behind those entries a read with it would wait or go elsewhere. ${wide}`;
}

export function whatif(state, redraw) {
  const bound = bound_ns(), text = words.round(bound), host = at('whatif');
  at('bound-text').textContent = text;
  at('bound').setAttribute('aria-valuetext', text);
  const followers = state.replicas.filter((r) => r.role !== 'leader' && r.replication_lag);
  const width = width_of(host, host.clientWidth < 420 ? 168 : 190, 90), grid = rows('whatif');
  for (const r of shown(followers)) {
    const counts = r.replication_lag[view.span], share = charts.share_within(counts, bound);
    const n = view.span === 'all' ? r.replication_lag.count : r.replication_lag.recent_count;
    const kept = share === null ? 'is-none' : share >= 0.99 ? '' : share >= 0.9 ? 'is-warn' : 'is-bad';
    grid.append(who(r), charts.histogram(r, counts, bound, width, height_of(followers.length, 150, 28, 52)),
      html('div', { class: 'num share ' + kept, 'data-share': r.replica }, words.percent(share), html('small', {}, 'of ' + words.integer(n))));
  }
  if (followers.length) grid.append(html('span'), charts.time_axis(width), html('span'));
  host.replaceChildren(grid);
  more_button(host, followers, redraw);
  at('whatif-text').textContent = followers.length ? whatif_text(followers, bound) : 'There is no follower.';
}

// ---- lag over time

export function lag(state, past) {
  const host = at('lag'), width = width_of(host, 0, 200);
  const followers = state.replicas.filter((r) => r.role !== 'leader').slice(0, 8);
  const series = followers.map((replica) => ({ replica, values: past.of(replica.replica, 'lag') }));
  host.replaceChildren(charts.lag_lines(series, past.times, past.room, bound_ns(), width, width < 420 ? 210 : 250));
  const last = series.map((s) => `${words.name(s.replica)} ${s.values.length && s.values[s.values.length - 1] > 0 ? words.time(s.values[s.values.length - 1]) : 'no entry'}`);
  host.setAttribute('aria-label', 'p99 lag in the last second: ' + list(last));
}

// ---- reads

function total(reasons) {
  return Object.values(reasons).reduce((a, b) => a + b, 0);
}

function reads_of(r) {
  return view.reads === 'ever' ? r.reads : r.rates ? r.rates.by_reason_s : null;
}

export function reads(state, redraw) {
  const host = at('reads'), width = width_of(host, host.clientWidth < 420 ? 160 : 180, 90), grid = rows('reads');
  const most = Math.max(0, ...state.replicas.map((r) => (reads_of(r) ? total(reads_of(r)) : 0)));
  for (const r of shown(state.replicas)) {
    const by = reads_of(r) || {}, all = total(by);
    grid.append(who(r), charts.stacked(Object.keys(words.REASONS).map((of) => ({ of, value: by[of] || 0 })), most, width, 17),
      html('div', { class: 'num' }, view.reads === 'ever' ? words.integer(all) : words.rate(all) + '/s'));
  }
  host.replaceChildren(grid);
  more_button(host, state.replicas, redraw);
  const ever = total(state.reads), now = state.rates ? state.rates.by_reason_s : {};
  const seen = Object.keys(words.REASONS).filter((of) => state.reads[of] > 0 || of === 'fresh' || of === 'within_bound');
  at('reasons').tBodies[0].replaceChildren(...seen.map((of) => html('tr', {}, html('th', { scope: 'row' }, html('span', {}, swatch(of), words.REASONS[of])),
    cell(words.rate(now[of] || 0) + '/s'), cell(words.integer(state.reads[of]), 'reads.' + of), cell(words.percent(ever ? state.reads[of] / ever : null)))));
}

// ---- throughput

export function through(state, past, redraw) {
  const host = at('through'), width = Math.max(40, (host.clientWidth - (host.clientWidth < 420 ? 216 : 250)) / 2), grid = rows('through');
  const head = (text) => html('span', { class: 'head' }, text);
  grid.append(head(''), head('reads/s'), head(''), head('applied/s'), head(''));
  const all = shown(state.replicas);
  const most = (what) => Math.max(...all.flatMap((r) => past.of(r.replica, what).map((v) => v || 0)));
  const high = height_of(all.length, 190, 20, 52), reads_most = most('reads'), applied_most = most('applied');
  for (const r of all) {
    const kind = 'c' + (r.replica % 8), rates = r.rates || { reads_s: 0, refused_s: 0, applied_s: 0 };
    grid.append(who(r), charts.spark(past.of(r.replica, 'reads'), past.room, width, high, kind, reads_most), html('div', { class: 'num' }, words.rate(rates.reads_s)),
      charts.spark(past.of(r.replica, 'applied'), past.room, width, high, kind, applied_most), html('div', { class: 'num' }, words.rate(rates.applied_s)));
  }
  host.replaceChildren(grid);
  more_button(host, state.replicas, redraw);
}

// ---- cache

export function cache(state, past) {
  const now = state.rates || {}, body = at('cache').tBodies[0];
  const width = Math.max(50, at('cache').clientWidth * 0.32);
  const row = (title, values, kind, last, ever, figure, most) => html('tr', {}, html('th', { scope: 'row' }, title),
    html('td', {}, charts.spark(values, past.room, width, 22, kind, most)), cell(last), cell(ever, figure));
  const counted = (title, what, ever, figure) => row(title, past.domain(what), 'c7', words.rate(now[what]) + '/s', words.integer(ever), figure);
  const all = [
    row('hit ratio', past.domain('hit_ratio'), 'c0', words.percent(now.hit_ratio), words.percent(state.tide_hits_total + state.tide_misses_total ? state.tide_hit_ratio : null), 'tide_hit_ratio', 1),
    counted('found', 'hits_s', state.tide_hits_total, 'tide_hits_total'),
    counted('missing', 'misses_s', state.tide_misses_total, 'tide_misses_total'),
    counted('evicted', 'evicted_s', state.evicted_total, 'evicted_total'),
    counted('expired', 'expired_s', state.expired_total, 'expired_total'),
    counted('made', 'made_s', state.tide_made_total, 'tide_made_total'),
    counted('waited for', 'waited_s', state.tide_waited_total, 'tide_waited_total'),
  ];
  body.replaceChildren(...all);
}

// ---- tables

const PARTS = [['live', 'live: keys and values'], ['overhead', 'overhead: buckets, headers'], ['waiting', 'waiting for readers'], ['free', 'free']];

export function tables(state, redraw) {
  const host = at('tables'), width = width_of(host, host.clientWidth < 420 ? 160 : 180, 90), grid = rows('tables');
  const known = state.replicas.filter((r) => r.table_bytes > 0), most = Math.max(0, ...known.map((r) => r.table_bytes));
  for (const r of shown(known)) {
    grid.append(who(r), charts.stacked(PARTS.map(([of]) => ({ of, value: r[`table_${of}_bytes`] })), most, width, 17),
      html('div', { class: 'num' }, words.bytes(r.table_bytes)),
      html('div', { class: 'under' }, `${words.bytes(r.table_live_bytes)} live, ${words.bytes(r.table_overhead_bytes)} overhead, ${words.bytes(r.table_waiting_bytes)} waiting, `
        + `${words.bytes(r.table_free_bytes)} free; ${words.integer(r.keys)} keys of at most ${words.integer(r.table_keys_most)}`));
  }
  host.replaceChildren(grid);
  more_button(host, known, redraw);
  at('tables-key').replaceChildren(...PARTS.map(([of, text]) => html('span', {}, swatch(of), text)),
    html('span', {}, state.evicts ? 'When a table is full, keys that nobody reads are evicted.' : 'When a table is full, writes are refused.'));
}

// ---- the log

const ENTRIES = { put: '+', delete: '−', expire: '⌛', evict: '⇥', term: '⚑', noop: '·' };

function applied_by(entry, replicas) {
  const have = replicas.filter((r) => r.tide_applied_index >= entry.index), few = replicas.length <= 8;
  const text = have.length === replicas.length ? 'all' : `${have.length} of ${replicas.length}`;
  const marks = few ? replicas.map((r) => {
    const c = canvas(12, 12, mark(r, 6, 6, 4, !have.includes(r)));
    c.setAttribute('aria-hidden', 'true');
    return c;
  }) : [];
  return html('td', { class: 'text' }, html('span', { class: 'marks' }, ...marks, ' ' + text));
}

export function log(state) {
  const body = at('log').tBodies[0], replicas = state.replicas.filter((r) => r.shown_state === 'serving' || r.shown_state === 'joining');
  body.replaceChildren(...state.entries.map((e) => html('tr', {}, cell(words.integer(e.index)), cell(e.age_ns === undefined ? '' : words.time(e.age_ns)),
    html('td', { class: 'text' }, html('span', { class: 'entry' }, html('i', { 'aria-hidden': 'true' }, ENTRIES[e.type] || '?'), e.type + (e.keep ? ', kept' : '') + (e.batch ? ', batch' : ''))),
    html('td', { class: 'text key-text', title: words.visible(e.key) }, words.visible(e.key) + (e.key_is_cut ? '…' : '')),
    cell(e.type === 'put' ? words.bytes(e.value_bytes) : ''), cell(e.ttl_ns ? words.round(e.ttl_ns) : ''), applied_by(e, replicas))));
  if (state.entries.length === 0) body.append(html('tr', {}, html('td', { class: 'text', colspan: 7 }, 'The log has no entries that can be shown.')));
}

// ---- what has happened

export function events(all) {
  const items = all.map((e) => html('li', { class: e.bad ? 'is-bad' : '' }, html('time', {}, new Date(e.at).toLocaleTimeString('en-GB')),
    html('span', { 'aria-hidden': 'true' }, e.bad ? '▲' : '·'), html('span', {}, words.visible(e.text))));
  at('events').replaceChildren(...(items.length ? items : [html('li', { class: 'none' }, 'Nothing since the page was opened.')]));
}

// ---- all figures

const COLUMNS = [
  ['replica', (r) => r.replica, 'replica'], ['label', (r) => words.visible(r.label), 'label'], ['role', (r) => r.role, 'role'],
  ['state', (r) => (words.STATE_SIGNS[r.shown_state] || '?') + ' ' + r.shown_state, 'tide_replica_state'], ['process', (r) => r.pid, 'pid'],
  ['applied', (r) => words.integer(r.tide_applied_index), 'tide_applied_index'], ['lag', (r) => words.integer(r.lag), 'lag'],
  ['staleness', (r) => words.time(r.staleness_ns), 'staleness_ns'], ['delay', (r) => words.round(r.apply_delay_ns), 'apply_delay_ns'],
  ['lag p50', (r) => quantile(r, 'p50_ns'), 'p50'], ['p99', (r) => quantile(r, 'p99_ns'), 'p99'], ['p99.9', (r) => quantile(r, 'p999_ns'), 'p999'],
  ['measured', (r) => (r.replication_lag ? words.integer(r.replication_lag.count) : '–'), 'count'],
  ['keys', (r) => (r.keys === undefined ? '–' : words.integer(r.keys)), 'keys'], ['joins', (r) => words.integer(r.joins), 'joins'], ['lapped', (r) => words.integer(r.lapped), 'lapped'],
];

function quantile(r, which) {
  return r.replication_lag && r.replication_lag.recent_count ? words.time(r.replication_lag[which]) : '–';
}

const DOMAIN = [
  ['commit index', (s) => words.integer(s.tide_commit_index), 'tide_commit_index'],
  ['term', (s) => words.integer(s.tide_leader_term), 'tide_leader_term'],
  ['leader', (s) => (s.led ? 'r' + s.leader : 'nobody'), 'leader'],
  ['processes', (s) => words.integer(s.members), 'members'],
  ['dead members', (s) => words.integer(s.dead_members), 'dead_members'],
  ['open readers', (s) => words.integer(s.readers), 'readers'],
  ['fell back, ever', (s) => words.percent(s.tide_bounded_staleness_fallback_ratio), 'tide_bounded_staleness_fallback_ratio'],
  ['ring in use', (s) => words.bytes(s.ring_used_bytes) + ' of ' + words.bytes(s.ring_bytes), 'ring_used_bytes'],
  ['ring was full', (s) => words.count(s.ring_waits, 'time', 'times'), 'ring_waits'],
  ['followers lapped', (s) => words.count(s.lapped_total, 'time', 'times'), 'lapped_total'],
  ['refused, table full', (s) => words.count(s.refused_full_total, 'write', 'writes'), 'refused_full_total'],
  ['shared memory', (s) => words.bytes(s.memory_bytes), 'memory_bytes'],
  ['default ttl', (s) => (s.default_ttl_ns ? words.round(s.default_ttl_ns) : 'none'), 'default_ttl_ns'],
  ['incarnation', (s) => s.incarnation, 'incarnation'],
  ['made, UTC', (s) => words.date(s.created_unix_ns), 'created_unix_ns'],
];

// ---- a fed domain's source

const SILENT_NS = 1e9; // a question that is open for so long was not answered in passing

// Does it answer? Only questions tell, and nobody asks while nobody reads by a bound that needs it.
export function source_state(source) {
  const open = source.questions - source.answered;
  if (source.complete_ns === null) return 'It has not been copied yet: no read is served.';
  if (open <= 0) return `It answered the last question, ${words.time(source.complete_ns)} ago.`;
  if (source.complete_ns < SILENT_NS) return 'It answers.';
  return `It does not answer: ${words.count(open, 'question is', 'questions are')} open, and what is held here is as of ${words.time(source.complete_ns)} ago.`;
}

const SOURCE = [
  ['endpoints', (s) => s.note || '–', 'note'],
  ['kind', (s) => s.kind, 'kind'],
  ['revision', (s) => words.integer(s.tide_source_revision), 'tide_source_revision'],
  ['complete up to', (s) => words.integer(s.tide_source_complete_revision), 'tide_source_complete_revision'],
  ['as of', (s) => (s.complete_ns === null ? 'never' : words.time(s.complete_ns) + ' ago'), 'complete_ns'],
  ['questions', (s) => words.integer(s.questions), 'questions'],
  ['answered', (s) => words.integer(s.answered), 'answered'],
  ['writes open', (s) => words.integer(s.tide_source_writes_open), 'tide_source_writes_open'],
];

function source(state) {
  at('source-panel').hidden = !state.source;
  if (!state.source) return;
  at('source-state').textContent = source_state(state.source);
  at('source').replaceChildren(...SOURCE.map(([title, text, figure]) => html('div', { class: figure === 'note' ? 'long' : null }, html('dt', {}, title), html('dd', { 'data-figure': 'source.' + figure }, text(state.source)))));
}

export function all_figures(state, redraw) {
  source(state);
  at('domain').replaceChildren(...DOMAIN.map(([title, text, figure]) => html('div', {}, html('dt', {}, title), html('dd', { 'data-figure': figure }, text(state)))));
  const table = at('replicas');
  if (!table.tHead.rows.length) {
    table.tHead.append(html('tr', {}, ...COLUMNS.map(([title]) => html('th', { scope: 'col', class: title === 'label' || title === 'role' || title === 'state' ? 'text' : null }, title))));
  }
  table.tBodies[0].replaceChildren(...shown(state.replicas).map((r) => html('tr', { 'data-replica': r.replica },
    ...COLUMNS.map(([title, text, figure]) => cell(String(text(r)), figure, title === 'label' || title === 'role' || title === 'state' ? 'text' : null)))));
  at('replicas-more').replaceChildren();
  more_button(at('replicas-more'), state.replicas, redraw);
}

// ---- the sentence at the top

export function story(state) {
  const followers = state.replicas.filter((r) => r.role !== 'leader' && r.shown_state === 'serving');
  const wrong = state.replicas.filter((r) => r.shown_state !== 'serving');
  const parts = [];
  const leader = state.replicas.find((r) => r.role === 'leader');
  parts.push(leader ? `${words.full_name(leader)} leads.` : 'Nobody leads: writes wait, reads go on.');
  const behind = followers.filter((r) => r.lag > 0).sort((a, b) => b.staleness_ns - a.staleness_ns)[0];
  if (followers.length === 0) parts.push('No follower serves.');
  else if (!behind) parts.push(`${followers.length === 1 ? 'The follower has' : followers.length === 2 ? 'Both followers have' : `All ${followers.length} followers have`} every write.`);
  else parts.push(`${words.count(followers.length, 'follower', 'followers')}; farthest is ${words.name(behind)}, ${words.time(behind.staleness_ns)} behind.`);
  if (wrong.length) parts.push(`${list(wrong.slice(0, 3).map((r) => `${words.full_name(r)} is ${r.shown_state}`))}${wrong.length > 3 ? ` and ${wrong.length - 3} more` : ''}.`);
  if (state.source && state.source.complete_ns !== null) {
    parts.push(`What it holds of ${state.source.kind} is as of ${words.time(state.source.complete_ns)} ago.`);
  } else if (state.source) {
    parts.push(`Nothing has been copied from ${state.source.kind} yet: no read is served.`);
  }
  const r = state.rates;
  if (r && r.reads_s + r.refused_s > 0) {
    parts.push(`${words.rate(r.reads_s + r.refused_s)} reads/s, ${words.percent(1 - (r.fallback_ratio || 0))} served within their bound`
      + (r.hit_ratio === null ? '.' : `; ${words.percent(r.hit_ratio)} of the keys were there.`));
  } else if (r) {
    parts.push('Nobody reads just now.');
  }
  return parts.join(' ');
}

export function choose(redraw) {
  for (const input of document.querySelectorAll('input[name=span], input[name=reads]')) {
    input.addEventListener('change', () => {
      view[input.name] = input.value;
      redraw();
    });
  }
  at('bound').addEventListener('input', redraw);
}
