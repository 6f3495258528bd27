// Why something is refused: one of the error classes of vectors/README.md. `need` goes with "truncated"; `outputs` is
// what had come out before.

export class Refusal extends Error {
  constructor(error, { need, outputs } = {}) {
    super(error);
    Object.assign(this, { error, need, outputs });
  }
}

export function refuseIf(condition, error, more) {
  if (condition) throw new Refusal(error, more);
}

// Runs a function of a crypto library that throws when it refuses something.
export function orRefuse(error, attempt) {
  try {
    return Buffer.from(attempt());
  } catch {
    throw new Refusal(error);
  }
}
