// SPDX-License-Identifier: LGPL-2.1-or-later
// Writers, leader, ring, tables, readers: what flows where, and how far each replica is. What moves is drawn from one look to the next:
// positions of the ring go from those of the look before to those of the last one within a second.
import { svg, canvas, color, mark, mark_path } from '/shapes.js';
import * as words from '/words.js';

const ROWS = 7; // replicas that the picture shows; the tables below have all
const CARD = 48, GAP = 8;
const TURN = 2 * Math.PI;

const NOT_SERVING = {
  joining: 'copies another and catches up', claimed: 'about to join', lapped: 'the log overtook it; it joins anew',
  orphan: 'left by dead processes', dead: 'its process is gone', diverged: 'serves nothing: restart its process',
  failed: 'serves nothing: restart its process',
};

export function chosen(replicas, n) { // the leader, and those that are farthest behind, in their order
  if (replicas.length <= n) return replicas;
  const keep = [...replicas].sort((a, b) => (b.role === 'leader') - (a.role === 'leader') || b.lag - a.lag || a.replica - b.replica).slice(0, n);
  return replicas.filter((r) => keep.includes(r));
}

function how_far(r) {
  if (NOT_SERVING[r.shown_state]) return NOT_SERVING[r.shown_state];
  if (r.lag === 0) return 'has every write';
  return words.time(r.staleness_ns) + ' behind, ' + words.count(r.lag, 'entry', 'entries');
}

function kept_share(rates) {
  const all = Object.values(rates.by_reason_s).reduce((a, b) => a + b, 0);
  if (all === 0) return '';
  const kept = words.KEPT.reduce((sum, k) => sum + rates.by_reason_s[k], 0) / all;
  if (kept < 1) return words.percent(1 - kept) + ' fell back';
  const fresh = rates.by_reason_s.fresh / all;
  return fresh >= 1 ? 'all fresh' : fresh >= 0.5 ? words.percent(fresh) + ' fresh' : 'within the bound';
}

function fit(text, width, per_letter) {
  const most = Math.max(4, Math.floor(width / per_letter));
  return text.length > most ? text.slice(0, most - 1) + '…' : text;
}

// ---- places: one for wide screens, from left to right; one for narrow ones, from top to bottom

function wide(width, n) {
  const R = Math.min(104, width * 0.085), height = 26 + Math.max(2 * (R + 40), n * (CARD + GAP) - GAP), middle = 26 + (height - 26) / 2;
  const cx = width * 0.372, card = width * 0.555, card_width = width * 0.262;
  const top = middle - (n * (CARD + GAP) - GAP) / 2;
  const rows = Array.from({ length: n }, (_, i) => ({ x: card, y: top + i * (CARD + GAP), width: card_width }));
  const leader = { x: width * 0.095, y: middle - 34, width: width * 0.125, height: 68 };
  return {
    height, cx, cy: middle, R, rows, leader,
    writers: { x: 0, y: middle - 6, anchor: '' },
    write: [0, middle + 22, leader.x - 4, middle + 22],
    append: [leader.x + leader.width + 4, middle, cx - R - 52, middle],
    apply: (row) => {
      const y = row.y + CARD / 2, x0 = cx + R + 44, mid = (x0 + row.x) / 2;
      return [x0, middle + (y - middle) * 0.12, mid, middle + (y - middle) * 0.2, mid, y, row.x - 6, y];
    },
    serve: (row) => [row.x + row.width + 6, row.y + CARD / 2, width - 112, row.y + CARD / 2],
    read_text: (row) => ({ x: width, y: row.y + CARD / 2, anchor: 'end' }),
    heads: [[0, 14, 'writers', ''], [leader.x, 14, 'leader', ''], [cx - R, 14, 'the log: a ring', ''], [card, 14, 'a table for each replica', ''], [width, 14, 'readers', 'end']],
  };
}

function tall(width, n) {
  const R = Math.min(84, width * 0.24), cx = width / 2, cy = 128 + R + 40;
  const top = cy + R + 66, rows = Array.from({ length: n }, (_, i) => ({ x: 18, y: top + i * (CARD + GAP), width: width - 18 }));
  const leader = { x: width / 2 - 80, y: 52, width: 160, height: 56 };
  return {
    height: top + n * (CARD + GAP), cx, cy, R, rows, leader, tall: true,
    writers: { x: cx, y: 18, anchor: 'middle' },
    write: [cx, 26, cx, leader.y - 4],
    append: [cx, leader.y + leader.height + 4, cx, cy - R - 12],
    apply: (row) => {
      const y = row.y + CARD / 2;
      return [cx - 30, cy + R + 40, cx - 60, cy + R + 58, 4, top - 24, 4, top - 4, 4, y, row.x - 6, y];
    },
    serve: () => null,
    read_text: (row) => ({ x: width - 10, y: row.y + CARD / 2, anchor: 'end' }),
    heads: [],
  };
}

// ---- curves: a polyline through cubic curves, so that a dot finds its place by its length

function curve(points) {
  const p = points, d = p.length === 4 ? `M${p[0]} ${p[1]}L${p[2]} ${p[3]}`
    : p.length === 8 ? `M${p[0]} ${p[1]}C${p.slice(2).join(' ')}`
      : `M${p[0]} ${p[1]}C${p.slice(2, 8).join(' ')}V${p[9]}H${p[10]}`;
  return d;
}

function width_of(per_second) {
  return per_second > 0 ? 1.5 + Math.min(4.5, Math.log10(1 + per_second) * 0.8) : 1.5;
}

export class Picture {
  constructor(host) {
    this.host = host;
    this.flows = [];
    this.from = this.to = null;
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
    this.moves = false;
    this.tick = this.tick.bind(this);
  }

  // `live`: it may move
  update(state, live) {
    const width = this.host.clientWidth, rows = chosen(state.replicas, ROWS);
    const place = (width >= 760 ? wide : tall)(width, rows.length);
    const rates = state.rates || { writes_s: 0 };
    const root = canvas(width, place.height + (rows.length < state.replicas.length ? 24 : 0));
    this.flows = [];
    this.dots = svg('g', { 'aria-hidden': 'true' });
    for (const [x, y, text, anchor] of place.heads) root.append(svg('text', { class: 'soft ' + anchor, x, y }, text));
    this.draw_writers(root, place, rates);
    this.draw_leader(root, place, state);
    this.flow(root, place.append, state.led ? rates.writes_s : 0, 0);
    this.draw_ring(root, place, state);
    rows.forEach((r, i) => this.draw_row(root, place, place.rows[i], r));
    if (rows.length < state.replicas.length) {
      root.append(svg('text', { class: 'soft', x: place.rows[0].x, y: place.height + 14 },
        `and ${words.count(state.replicas.length - rows.length, 'replica', 'replicas')} no farther behind`));
    }
    root.append(this.dots);
    this.host.replaceChildren(root);
    this.live = live && !this.still.matches;
    this.place_dots(this.live ? performance.now() : null);
    if (this.live && !this.moves) {
      this.moves = true;
      requestAnimationFrame(this.tick);
    }
    this.place_ring(this.live ? 0 : 1);
  }

  draw_writers(root, place, rates) {
    const at = place.writers;
    if (place.tall) {
      root.append(svg('text', { class: 'mid middle', x: at.x, y: at.y }, words.rate(rates.writes_s) + '/s written'));
    } else {
      root.append(svg('text', { class: 'big', x: at.x, y: at.y }, words.rate(rates.writes_s) + '/s'),
        svg('text', { class: 'soft', x: at.x, y: at.y + 16 }, 'written'));
    }
    this.flow(root, place.write, rates.writes_s, 0);
  }

  draw_leader(root, place, state) {
    const { x, y, width, height } = place.leader, leader = state.replicas.find((r) => r.role === 'leader');
    const card = svg('rect', { class: 'card', x, y, width, height, rx: 8, 'stroke-dasharray': leader ? null : '4 4' });
    root.append(card);
    if (leader) {
      root.append(mark(leader, x + 16, y + 22, 6), svg('text', { class: 'mid', x: x + 30, y: y + 27 }, fit(words.name(leader), width - 40, 8)),
        svg('text', { class: 'soft', x: x + 10, y: y + 46 }, 'leads, term ' + words.integer(state.tide_leader_term)));
      if (!place.tall) root.append(svg('text', { class: 'soft', x: x + 10, y: y + 61 }, 'process ' + state.leader_pid));
    } else {
      root.append(svg('text', { class: 'mid bad', x: x + 10, y: y + 27 }, '✕ nobody leads'),
        svg('text', { class: 'soft', x: x + 10, y: y + 46 }, 'writes wait'));
    }
  }

  draw_ring(root, place, state) {
    const { cx, cy, R } = place, stroke = 15;
    const r = R - stroke / 2;
    this.ring = { cx, cy, R, bytes: state.ring_bytes, used: svg('path', { class: 'used', 'stroke-width': stroke }), pins: [] };
    root.append(svg('circle', { class: 'ring', cx, cy, r, 'stroke-width': stroke }), this.ring.used);
    for (let i = 0; i < 16; i++) {
      const a = (TURN * i) / 16, inner = R - stroke - 3, outer = inner - (i % 4 ? 3 : 6);
      root.append(svg('path', { class: 'tick', d: `M${cx + inner * Math.sin(a)} ${cy - inner * Math.cos(a)}L${cx + outer * Math.sin(a)} ${cy - outer * Math.cos(a)}` }));
    }
    this.ring.needle = svg('path', { class: 'needle', d: `M0 ${-R + stroke + 1}l6 11h-12z` });
    root.append(this.ring.needle);
    root.append(svg('text', { class: 'soft middle', x: cx, y: cy - 20 }, '▲ commit'),
      svg('text', { class: 'big middle', x: cx, y: cy }, words.integer(state.tide_commit_index)),
      svg('text', { class: 'soft middle', x: cx, y: cy + 18 }, words.percent(state.tide_ring_used_ratio) + ' in use'));
    if (!place.tall) root.append(svg('text', { class: 'soft middle', x: cx, y: cy + 34 }, 'of ' + words.bytes(state.ring_bytes)));
    const to = { tail: state.ring_tail, pins: new Map() };
    for (const replica of state.replicas.filter((r) => r.pins).slice(0, 16)) {
      const pin = { id: replica.replica, spoke: svg('path', { class: 'spoke' }), shape: svg('path', { class: 'mark ' + color(replica), d: mark_path(replica, 5) }) };
      pin.shape.append(svg('title', {}, words.full_name(replica) + ': its pin'));
      this.ring.pins.push(pin);
      root.append(pin.spoke, pin.shape);
      to.pins.set(replica.replica, replica.pos);
    }
    const same = this.to && this.incarnation === state.incarnation;
    this.incarnation = state.incarnation;
    this.from = same ? this.to : to;
    this.to = to;
    this.since = performance.now();
  }

  draw_row(root, place, row, r) {
    const y = row.y + 20, wrong = r.shown_state !== 'serving';
    root.append(svg('rect', { class: 'card', x: row.x, y: row.y, width: row.width, height: CARD, rx: 8, 'stroke-dasharray': wrong ? '4 4' : null }));
    const applied = r.rates ? r.rates.applied_s : 0, apply = place.apply(row);
    this.flow(root, apply, wrong && r.shown_state !== 'joining' ? -1 : applied, Math.min(2500, (r.staleness_ns / 1e6) * 16));
    root.append(mark(r, row.x + 16, y - 4, 6, wrong));
    const state = (words.STATE_SIGNS[r.shown_state] || '?') + ' ' + r.shown_state;
    const reads = r.rates ? r.rates.reads_s + r.rates.refused_s : 0, room = place.tall ? row.width - 105 : row.width - 20;
    const label = fit(words.name(r), room - 16 - state.length * 7, 8);
    root.append(svg('text', { class: 'mid', x: row.x + 30, y }, label));
    if (place.tall) {
      root.append(svg('text', { class: 'soft' + (wrong ? ' bad' : ''), x: row.x + 38 + label.length * 8.2, y }, state));
    } else {
      root.append(svg('text', { class: 'end ' + (wrong ? 'bad' : 'soft'), x: row.x + row.width - 10, y }, state));
    }
    const delay = r.apply_delay_ns > 0 && !place.tall ? `, delay ${words.round(r.apply_delay_ns)}` : '';
    root.append(svg('text', { class: wrong ? 'bad' : 'soft', x: row.x + 30, y: y + 17 }, fit(how_far(r) + (wrong ? '' : delay), room - 16, 6.1)));
    const at = place.read_text(row), path = place.serve(row);
    if (path) this.flow(root, path, wrong ? -1 : reads, 0);
    root.append(svg('text', { class: 'mid ' + at.anchor, x: at.x, y: at.y - 2 }, words.rate(reads) + '/s' + (place.tall ? ' read' : '')),
      svg('text', { class: 'soft ' + at.anchor, x: at.x, y: at.y + 14 }, r.rates ? kept_share(r.rates) : ''));
  }

  // `per_second` below 0: nothing can flow. slow_ms: how much longer than others a dot takes.
  flow(root, points, per_second, slow_ms) {
    const path = svg('path', { class: 'flow' + (per_second < 0 ? ' off' : ''), d: curve(points), 'stroke-width': width_of(per_second) });
    root.append(path);
    if (!(per_second > 0)) return;
    const length = path.getTotalLength ? path.getTotalLength() : 100;
    const dots = Math.max(1, Math.min(8, Math.round(Math.log10(1 + per_second) * 2)));
    const flow = { path, length, takes_ms: length * 7 + slow_ms, dots: [] };
    for (let i = 0; i < dots; i++) {
      const dot = svg('circle', { class: 'dot', r: 2.6 });
      flow.dots.push(dot);
      this.dots.append(dot);
    }
    this.flows.push(flow);
  }

  place_dots(now) {
    for (const f of this.flows) {
      f.dots.forEach((dot, i) => {
        if (now === null) return dot.remove();
        const part = (now / f.takes_ms + i / f.dots.length) % 1, at = f.path.getPointAtLength(part * f.length);
        dot.setAttribute('cx', at.x.toFixed(1));
        dot.setAttribute('cy', at.y.toFixed(1));
      });
    }
  }

  place_ring(part) {
    const { cx, cy, R, bytes, used, needle, pins } = this.ring, { from, to } = this;
    const between = (a, b) => {
      const whole = Math.max(0, b - a);
      return a + (whole > bytes ? whole - Math.floor(whole / bytes - 1) * bytes : whole) * part;
    };
    const angle = (pos) => ((pos % bytes) / bytes) * TURN;
    const tail = between(from.tail, to.tail);
    needle.setAttribute('transform', `translate(${cx} ${cy}) rotate(${(angle(tail) * 360) / TURN})`);
    let least = tail;
    const taken = [];
    for (const pin of pins) {
      const end = to.pins.get(pin.id), start = from.pins.has(pin.id) ? from.pins.get(pin.id) : end;
      const pos = tail - (from.tail - start) * (1 - part) - (to.tail - end) * part;
      least = Math.min(least, pos);
      const a = angle(((pos % bytes) + bytes) % bytes);
      let level = 0;
      const clashes = (b) => b.level === level && Math.abs(Math.atan2(Math.sin(a - b.a), Math.cos(a - b.a))) * (R + 12) < 13;
      while (level < 3 && taken.some(clashes)) level++;
      taken.push({ a, level });
      const far = R + 11 + level * 13, sin = Math.sin(a), cos = Math.cos(a);
      pin.spoke.setAttribute('d', `M${cx + (R - 15) * sin} ${cy - (R - 15) * cos}L${cx + far * sin} ${cy - far * cos}`);
      pin.shape.setAttribute('transform', `translate(${cx + far * sin} ${cy - far * cos})`);
    }
    const share = Math.min(0.9999, Math.max(0.004, (tail - least) / bytes)), end = angle(tail), start = end - share * TURN, r = R - 7.5;
    used.setAttribute('d', `M${cx + r * Math.sin(start)} ${cy - r * Math.cos(start)}A${r} ${r} 0 ${share > 0.5 ? 1 : 0} 1 ${cx + r * Math.sin(end)} ${cy - r * Math.cos(end)}`);
  }

  tick(now) {
    if (!this.live || document.hidden) {
      this.moves = false;
      return;
    }
    requestAnimationFrame(this.tick);
    if (now - (this.drawn || 0) < 30) return;
    this.drawn = now;
    this.place_dots(now);
    this.place_ring(Math.max(0, Math.min(1, (now - this.since) / 1000)));
  }

  stop() {
    this.live = false;
  }
}
