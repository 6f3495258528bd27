// EGTP: vectors/FUNCTIONS.md, egtp.

import { hex, unhex, unhexed } from "./bytes.js";
import * as crypto from "./egtp_crypto.js";
import { checkMailbox } from "./egtp_mailbox.js";
import { classify, refuse, takeLeave } from "./egtp_node.js";
import { hkdf, publicKey } from "./noise.js";
import { refuseIf } from "./refusal.js";

function handshake(layout, inputs) {
  const given = unhexed(inputs);
  const responder = publicKey(given.responder_static);
  const { h1, transcript: begun } = crypto.makeH1(layout, {
    own: given.initiator_static,
    responder,
    ephemeral: given.initiator_ephemeral,
    token: given.token,
    stamp: given.stamp,
    instance: given.instance_i,
    sid: given.sid_i,
  });
  const opened = crypto.openH1(layout, given.responder_static, h1);
  const ends = {
    ephemeral: given.responder_ephemeral,
    sid: given.sid_r,
    instance: given.instance_r,
    own: given.responder_static,
  };
  const { h2, keyI2r, keyR2i } = crypto.makeH2(layout, opened, ends);
  const reply = crypto.openH2(layout, begun, { ephemeral: given.initiator_ephemeral, own: given.initiator_static }, h2);
  refuseIf(reply.sid !== inputs.sid_r || hex(begun.hash) !== hex(opened.transcript.hash), "bad_value");
  return {
    prologue: crypto.prologue(given.token),
    h1,
    hs_id: crypto.handshakeId(h1),
    h2,
    reset_token_i: crypto.resetToken(given.initiator_static, given.sid_i),
    reset_token_r: crypto.resetToken(given.responder_static, given.sid_r),
    key_i2r: keyI2r,
    key_r2i: keyR2i,
    handshake_hash: opened.transcript.hash,
    transcript: opened.transcript.steps,
    packets: inputs.packets.map(({ sender, counter, kind, body }) =>
      sender === "i"
        ? crypto.makeData(layout, keyI2r, given.sid_r, counter, crypto.kindOf(kind), unhex(body))
        : crypto.makeData(layout, keyR2i, given.sid_i, counter, crypto.kindOf(kind), unhex(body)),
    ),
  };
}

function challenged(layout, inputs) {
  const given = unhexed(inputs);
  const token = crypto.makeToken(given.token_secret, given.path, given.time_ms);
  const ch = crypto.challenge(layout, given.hs_id_of_ch, token, given.chaining_key);
  refuseIf(hex(ch.subarray(9)) !== inputs.token, "bad_mac");
  const outputs = { ...handshake(layout, inputs), ch };
  if (!given.first_h1) return outputs;
  const opened = crypto.openH1(layout, given.responder_static, given.first_h1);
  const { h1 } = crypto.makeH1(layout, {
    own: given.initiator_static,
    responder: publicKey(given.responder_static),
    ephemeral: given.first_ephemeral,
    token: Buffer.alloc(32),
    stamp: given.stamp,
    instance: given.instance_i,
    sid: given.first_sid,
  });
  refuseIf(hex(h1) !== inputs.first_h1 || hex(crypto.handshakeId(h1)) !== inputs.first_hs_id, "bad_value");
  return { ...outputs, ck_after_msg1: opened.transcript.chainingKey };
}

function replayWindow(layout, { counters }) {
  const window = new crypto.Window();
  const last = BigInt(layout.constant("LAST_COUNTER"));
  return { accepted: counters.map(BigInt).map((counter) => counter <= last && window.add(counter)) };
}

export const functions = (layout) => ({
  "egtp.h1_mac_key": (inputs) => ({ out: crypto.macKey(unhex(inputs.public)) }),
  "egtp.reset_token": (inputs) => ({ out: crypto.resetToken(unhex(inputs.private), unhex(inputs.sid)) }),
  "egtp.hkdf2": ({ ck, ikm }) => ({ out: hkdf(unhex(ck), unhex(ikm)) }),
  "egtp.path": ({ path }) => ({ out: crypto.pathBytes(layout, path) }),
  "egtp.token": ({ secret, path, time_ms }) => ({ out: crypto.makeToken(unhex(secret), unhex(path), time_ms) }),
  "egtp.path_challenge_value": (inputs) => ({ out: crypto.pathValue(unhexed(inputs)) }),
  "egtp.handshake": (inputs) => handshake(layout, inputs),
  "egtp.challenged_handshake": (inputs) => challenged(layout, inputs),
  "egtp.data": ({ key, sid, counter, kind, body }) => ({
    bytes: crypto.makeData(layout, unhex(key), unhex(sid), counter, crypto.kindOf(kind), unhex(body)),
  }),
  "egtp.replay_window": (inputs) => replayWindow(layout, inputs),
  "egtp.classification": (inputs) => classify(layout, inputs),
  "egtp.farewell": (inputs) => takeLeave(layout, inputs),
  "egtp.refusal": (inputs) => refuse(layout, inputs),
  "egtp.mailbox": (inputs) => checkMailbox(layout, inputs),
});
