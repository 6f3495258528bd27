// What a node of EGTP makes of a datagram, and what it answers at once: vectors/FUNCTIONS.md, egtp.

import { fromLittle, hex, isZero, same, toLittle, unhex, unhexed } from "./bytes.js";
import {
  Window,
  challenge,
  handshakeId,
  macOf,
  makeData,
  makeH1,
  makeH2,
  makeToken,
  openH1,
  openH2,
  resetToken,
} from "./egtp_crypto.js";
import { open, publicKey } from "./noise.js";
import { Refusal } from "./refusal.js";

// The names that the specification gives to faults, and what vectors of all protocols call them.
const FAULTS = {
  mac: "bad_mac",
  point: "bad_point",
  seal: "bad_mac",
  field: "bad_value",
  unknown_handshake: "bad_value",
  unknown_session: "bad_value",
  counter: "bad_value",
  replay: "bad_value",
  token: "bad_mac",
};

// A datagram that changes nothing. `answers` go out all the same.
function opaque(fault, answers = [], error = FAULTS[fault]) {
  throw new Refusal(error, { outputs: { verdict: "Opaque", answers, fault } });
}

// Gives errors of the cryptography, and of what is decoded, the names of faults.
function orOpaque(attempt, names) {
  try {
    return attempt();
  } catch (error) {
    if (!(error instanceof Refusal) || error.outputs) throw error;
    return opaque(names[error.error], [], error.error);
  }
}

const SEALED = { bad_mac: "seal", bad_point: "point", bad_value: "field" };
const BODY = { bad_type: "kind", truncated: "body", trailing: "body" };
const accepted = (verdict, answers = [], more = {}) => ({ verdict, answers, fault: null, ...more });
class Node {
  constructor(layout, state) {
    this.layout = layout;
    this.own = unhex(state.static_private);
    this.id = publicKey(this.own);
    this.instance = unhex(state.instance);
    this.secrets = state.token_secrets.filter(Boolean).map(unhex);
    this.lifetime = state.token_ttl_ms;
    this.sessions = state.sessions.map((one) => ({ ...unhexed(one), window: new Window(one.counters_seen) }));
    this.handshake = state.own_handshake && { ...unhexed(state.own_handshake), stamp: state.own_handshake.stamp };
    this.tombstones = (state.tombstones ?? []).map((one) => ({
      ...unhexed(one),
      next: [...one.next_ms],
      paused: [0, 0],
    }));
    this.gaps = state.gaps_ms;
    this.said = state.said ?? [];
  }

  hear(data, at) {
    const names = { truncated: data.length ? "length" : "empty", trailing: "length", bad_type: "type" };
    names.bad_value = data[0] === this.layout.packets.H1.id ? "reserved" : "field";
    const { DATAGRAM } = this.layout.codecs;
    const { packet, fields } = orOpaque(() => this.layout.decode(DATAGRAM, data), names);
    return this[`hear${packet}`](data, { ...unhexed(fields), counter: fields.counter }, at);
  }

  // -- R4, R5, R12, R13

  hearH1(data, { token, mac }, at) {
    if (!same(mac, macOf(this.id, data))) opaque("mac");
    const id = handshakeId(data);
    const known = this.sessions.find((one) => same(one.hs_id, id));
    if (known) return accepted("Duplicate", known.h2 ? [known.h2] : []);
    if (at.over_limit && !this.isProven(token, at)) {
      return at.reply ? accepted("Challenged", [this.challenge(id, at)]) : accepted("Limited");
    }
    const opened = orOpaque(() => openH1(this.layout, this.own, data), SEALED);
    if (same(opened.initiator, this.id)) return accepted("Self");
    if (at.demand_proof && !this.isProven(token, at)) {
      return accepted("Challenged", [this.challenge(id, at, opened.transcript.chainingKey)]);
    }
    return accepted("Init", [], { opened, id });
  }

  challenge(id, { path, now_ms }, chainingKey) {
    return challenge(this.layout, id, makeToken(this.secrets[0], path, now_ms), chainingKey);
  }

  isProven(bytes, { path, now_ms }) {
    const token = bytes.subarray(0, 24);
    const time = Number(fromLittle(token.subarray(0, 8)));
    const isOurs = this.secrets.some((secret) => same(token, makeToken(secret, path, time)));
    return isOurs && time <= now_ms && now_ms - time <= this.lifetime;
  }

  // -- our own handshake

  hearH2(data, { sid }) {
    const begun = this.handshake;
    if (!begun || !same(sid, begun.sid)) opaque("unknown_handshake");
    const { transcript } = this.begin();
    orOpaque(() => openH2(this.layout, transcript, { ephemeral: begun.ephemeral, own: this.own }, data), SEALED);
    return accepted("Reply");
  }

  begin() {
    const { peer: responder, ephemeral, token, stamp, sid } = this.handshake;
    return makeH1(this.layout, { own: this.own, responder, ephemeral, token, stamp, instance: this.instance, sid });
  }

  hearCH(data, { hs_id: id, token, proof }) {
    const begun = this.handshake;
    if (!begun || !same(id, begun.hs_id.subarray(0, 8))) opaque("unknown_handshake");
    if (isZero(proof)) return accepted("Challenge", [], { proof: false });
    const { transcript } = this.begin();
    if (!same(data, challenge(this.layout, begun.hs_id, token, transcript.chainingKey))) opaque("mac");
    return accepted("Challenge", [], { proof: true });
  }

  // -- R1, R2, R16

  hearData(data, { sid, counter, sealed }, at) {
    const session = this.sessions.find((one) => same(one.local_sid, sid));
    if (!session) opaque("unknown_session", this.answersFor(sid, data, at));
    const number = BigInt(counter);
    if (number > BigInt(this.layout.constant("LAST_COUNTER"))) opaque("counter");
    const clear = orOpaque(() => open(session.rx, number, data.subarray(0, 17), sealed), SEALED);
    if (!session.window.add(number)) opaque("replay");
    orOpaque(() => this.layout.decode(this.layout.codecs.CLEAR, clear), BODY);
    return accepted("Data", [], { session });
  }

  // A tombstone says its close again, to what is larger than that: at each of two places after ever longer pauses. If the
  // session was never known, a hint goes out.
  answersFor(sid, data, { path, reply, now_ms }) {
    const tombstone = this.tombstones.find((one) => same(one.local_sid, sid));
    if (!tombstone) return reply ? [this.hint(sid)] : [];
    const { close, home_path: home, next, paused } = tombstone;
    const place = same(path, home) ? 0 : 1;
    if (!close || data.length <= close.length || now_ms < next[place]) return [];
    next[place] = now_ms + this.gaps[Math.min(paused[place], this.gaps.length - 1)];
    paused[place] += 1;
    return [close];
  }

  hint(sid) {
    const fields = { sid: hex(sid), reset_token: hex(resetToken(this.own, sid)) };
    return this.layout.write(this.layout.codecs.DATAGRAM, { packet: "Hint", fields });
  }

  // -- R3

  hearHint(_, { sid, reset_token: token }) {
    const session = this.sessions.find((one) => same(one.remote_sid, sid));
    if (!session) opaque("unknown_session");
    if (!token) return accepted("Hint");
    if (!session.peer_reset_token || !same(token, session.peer_reset_token)) opaque("token");
    return accepted("ResetToken");
  }

  // -- R7, R16: a handshake is made with what is drawn; to whom we said goodbye it is refused

  answer({ opened, id }, draws, path) {
    const { ephemeral, sid } = Object.fromEntries(draws);
    const ends = { ephemeral: unhex(ephemeral), sid: unhex(sid), instance: this.instance, own: this.own };
    const keys = makeH2(this.layout, opened, ends);
    const isRefused = this.said.some(
      ({ peer, instance }) => peer === hex(opened.initiator) && instance === opened.instance,
    );
    this.sessions.push({
      local_sid: ends.sid,
      remote_sid: unhex(opened.sid),
      rx: keys.keyI2r,
      tx: keys.keyR2i,
      hs_id: id,
      window: new Window(),
      isRefused,
      path,
      ...keys,
    });
    return { decision: isRefused ? "refuse" : "accept", ...keys };
  }

  // The first packet in a session that is refused is answered with a close, which stays as a tombstone.
  endRefused(session, now_ms) {
    const { REFUSED } = this.layout.enumerations.Goodbye;
    const close = makeData(this.layout, session.tx, session.remote_sid, 0, "Close", toLittle(REFUSED.value, 1));
    this.sessions = this.sessions.filter((one) => one !== session);
    const tombstone = {
      local_sid: session.local_sid,
      close,
      home_path: session.path,
      next: [now_ms + this.gaps[0], 0],
      paused: [1, 0],
    };
    this.tombstones.push(tombstone);
    return close;
  }
}

const placeOf = (inputs) => ({ ...inputs, path: unhex(inputs.path) });

export function classify(layout, inputs) {
  const { opened, id, session, ...outcome } = new Node(layout, inputs.state).hear(unhex(inputs.input), placeOf(inputs));
  return outcome;
}

export function takeLeave(layout, inputs) {
  const node = new Node(layout, inputs.state);
  node.tombstones.forEach((tombstone) => (tombstone.next = [...inputs.next_ms]));
  const withPaths = (outcome) => ({ ...outcome, answer_paths: outcome.answers.map(() => inputs.path) });
  try {
    const { opened, id, session, ...outcome } = node.hear(unhex(inputs.input), placeOf(inputs));
    if (outcome.verdict !== "Init") return withPaths(outcome);
    const { decision, h2 } = node.answer({ opened, id }, inputs.draws, unhex(inputs.path));
    return withPaths({ ...outcome, decision, answers: [h2] });
  } catch (error) {
    if (error.outputs) error.outputs = withPaths(error.outputs);
    throw error;
  }
}

// What the initiator sent is opened with its keys, and sealed again.
function again(layout, key, data) {
  const { sid, counter, sealed } = layout.decode(layout.codecs.DATAGRAM, data).fields;
  const clear = open(key, BigInt(counter), data.subarray(0, 17), unhex(sealed));
  return makeData(layout, key, unhex(sid), counter, "Confirm", clear.subarray(1));
}

export function refuse(layout, inputs) {
  const node = new Node(layout, inputs.state);
  const path = unhex(inputs.state.tombstones[0].home_path);
  let draws = inputs.draws;
  const handshakes = [];
  const closes = [];
  const steps = inputs.steps.map(({ input, now_ms }) => {
    try {
      const { opened, id, session, ...outcome } = node.hear(unhex(input), { path, now_ms, reply: true });
      if (outcome.verdict === "Init") {
        const [now, later] = [draws.slice(0, 2), draws.slice(2)];
        draws = later;
        const { decision, h2, keyI2r, keyR2i } = node.answer({ opened, id }, now, path);
        handshakes.push({ opened, h2, keyI2r, keyR2i });
        return { verdict: "Init", decision, answers: [h2] };
      }
      if (session?.isRefused) closes.push(node.endRefused(session, now_ms));
      return { verdict: outcome.verdict, answers: session?.isRefused ? [closes.at(-1)] : outcome.answers };
    } catch (error) {
      if (!error.outputs) throw error;
      const { verdict, fault, answers } = error.outputs;
      return { verdict, error: fault, answers };
    }
  });
  const [{ opened, h2, keyI2r, keyR2i }] = handshakes;
  const { h1 } = makeH1(layout, {
    own: unhex(inputs.initiator_static),
    responder: node.id,
    ephemeral: unhex(inputs.initiator_ephemeral),
    token: Buffer.alloc(32),
    stamp: opened.stamp,
    instance: unhex(opened.instance),
    sid: unhex(opened.sid),
  });
  const sent = inputs.steps.map(({ input }) => unhex(input)).filter((data) => data[0] === layout.packets.Data.id);
  const { counter, sealed } = layout.decode(layout.codecs.DATAGRAM, closes[0]).fields;
  return {
    h1,
    h2,
    key_i2r: keyI2r,
    key_r2i: keyR2i,
    confirms: sent.map((data) => again(layout, keyI2r, data)),
    close: closes[0],
    close_counter: Number(counter),
    close_reason: open(keyR2i, 0, closes[0].subarray(0, 17), unhex(sealed))[1],
    steps,
  };
}
