// A mailbox server of EGTP and its clients, as far as the vectors of faults go: vectors/FUNCTIONS.md, egtp.

import { ascii, cut, hex, hexed, join, toLittle, unhex, unhexed } from "./bytes.js";
import { Transcript, open, publicKey, readFirst, readSecond, seal, writeFirst, writeSecond } from "./noise.js";
import { Refusal, refuseIf } from "./refusal.js";

const PROLOGUE = ascii("EGTP-R1/mailbox1");
const TERMS = { max_blob: 16384, max_stored: 256, retention: 604800 };
const MAILBOX_EMPTY = 0;

const frame = (message) => join(toLittle(message.length, 2), message);
const unframe = (bytes) => {
  const [size, message] = cut(bytes, 2);
  refuseIf(size.readUInt16LE() !== message.length, "truncated");
  return message;
};

// One direction of a channel: the associated data are empty, and each message has the next counter.
class Direction {
  constructor(key) {
    this.key = key;
    this.counter = 0;
  }

  seal = (clear) => seal(this.key, this.counter++, Buffer.alloc(0), clear);
  open = (sealed) => open(this.key, this.counter++, Buffer.alloc(0), sealed);
}

const message = (layout, name, fields) => layout.writeFields(name, hexed(fields));
const fieldsOf = (layout, name, data) => unhexed(layout.decodePacket(name, data));

class Client {
  constructor(layout, server, { static_private, ephemeral_private }) {
    Object.assign(this, { layout, own: unhex(static_private), ephemeral: unhex(ephemeral_private) });
    this.transcript = new Transcript(PROLOGUE, server);
    this.server = server;
  }

  hello() {
    const { ephemeral, own, server: responder } = this;
    return frame(
      message(
        this.layout,
        "FirstMessage",
        writeFirst(this.transcript, { ephemeral, own, responder, payload: Buffer.alloc(0) }),
      ),
    );
  }

  say = (clear) => frame(this.sending.seal(clear));

  hear(data) {
    if (this.receiving)
      return this.tell(this.layout.decode(this.layout.codecs.RESPONSE, this.receiving.open(unframe(data))));
    const terms = readSecond(this.transcript, this, fieldsOf(this.layout, "SecondMessage", unframe(data)));
    [this.sending, this.receiving] = this.transcript.split().map((key) => new Direction(key));
    return ["ready", Object.values(this.layout.decodePacket("Terms", terms))];
  }

  tell({ packet, fields }) {
    if (packet === "Error") return ["error", this.layout.enumerations.ErrorCode[fields.code].value];
    return [packet.toLowerCase(), ...Object.values(fields)];
  }
}

// By the name of a fault: the code of the Error that is sent.
const CODES = { type: "TYPE", length: "LENGTH", field: "FIELD", order: "ORDER", not_registered: "NOT_REGISTERED" };
const DECODED = { bad_type: "type", truncated: "length", trailing: "length", bad_value: "field" };

class Server {
  constructor(layout, secret, draws) {
    Object.assign(this, { layout, own: unhex(secret), draws: draws.map(([, bytes]) => unhex(bytes)) });
  }

  // What is written; `fault` and `error` if the connection is closed. Before the channel stands, and for what is no
  // sealed frame, that is without a word.
  hear(data) {
    let said = "";
    try {
      const found = this.receiving ? this.request(this.open(data)) : this.welcome(unframe(data));
      return { bytes: found };
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      const fault = refusal.outputs ?? { bad_mac: "seal" }[refusal.error] ?? "length";
      if (refusal.outputs && CODES[fault]) said = this.response("Error", { code: CODES[fault] });
      return { bytes: said, fault, error: refusal.error };
    }
  }

  welcome(data) {
    const transcript = new Transcript(PROLOGUE, publicKey(this.own));
    const hello = fieldsOf(this.layout, "FirstMessage", data);
    const { initiator } = readFirst(transcript, this.own, hello);
    const reply = writeSecond(transcript, {
      ephemeral: this.draws.shift(),
      theirEphemeral: hello.ephemeral,
      initiator,
      payload: this.layout.writeFields("Terms", TERMS),
    });
    [this.receiving, this.sending] = transcript.split().map((key) => new Direction(key));
    return frame(message(this.layout, "SecondMessage", reply));
  }

  open(data) {
    const sealed = unframe(data);
    refuseIf(!sealed.length, "bad_length", { outputs: "frame" });
    refuseIf(sealed.length < 17, "bad_length");
    return this.receiving.open(sealed);
  }

  response = (packet, fields) =>
    frame(this.sending.seal(this.layout.write(this.layout.codecs.RESPONSE, { packet, fields })));

  request(clear) {
    const { packet, fields } = this.decode(clear);
    if (packet === "Deposit") refuseIf(fields.blob.length / 2 > TERMS.max_blob, "bad_length", { outputs: "length" });
    if (packet === "Register") {
      refuseIf(this.epoch, "bad_type", { outputs: "order" });
      this.epoch = this.draws.shift();
      return this.response("Registered", { epoch: hex(this.epoch), stored: MAILBOX_EMPTY });
    }
    refuseIf(!this.epoch, "bad_type", { outputs: "not_registered" });
    if (packet === "Ack") refuseIf(BigInt(fields.seq) > 0n, "bad_type", { outputs: "order" }); // nothing was sent
    throw new Error(`no vector is about ${packet}`);
  }

  decode(clear) {
    try {
      return this.layout.decode(this.layout.codecs.REQUEST, clear);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      throw new Refusal(refusal.error, { outputs: DECODED[refusal.error] });
    }
  }
}

export function checkMailbox(layout, inputs) {
  const server = new Server(layout, inputs.server_static_private, inputs.server_draws);
  const clients = new Map(inputs.clients.map((one) => [one.conn, new Client(layout, publicKey(server.own), one)]));
  let ended = {};
  const steps = inputs.steps.map(({ conn, plaintext, raw }) => {
    const client = clients.get(conn);
    const sent = raw === undefined ? (client.sending ? client.say(unhex(plaintext)) : client.hello()) : unhex(raw);
    const { bytes, fault, error } = server.hear(sent);
    if (error) ended = { fault, error };
    const written = [...(bytes ? [{ conn, bytes }] : []), ...(error ? [{ conn, close: true }] : [])];
    return { client: sent, server: written, client_events: bytes ? [[conn, ...client.hear(bytes)]] : [] };
  });
  throw new Refusal(ended.error, { outputs: { steps, fault: ended.fault } });
}
