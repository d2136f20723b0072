/**
 * The audit trails of a tenant's devices at the test server: rows are taken in their order and once. It believes their hashes,
 * and compares them: what the reference server computes, it does not.
 */

/** A row of a device's trail as it comes over the wire. docs/audit.md says what is in it. */
export interface TrailRow {
  seq: number;
  previous?: number;
  user: string;
  reason?: string;
  entries: { operation: string; entity: string; record: string | number; event: string }[];
  hash: string;
}

/** A place in a trail: the number of a row, and its hash. */
export interface TrailHead {
  through: number;
  head: string;
}

export interface TrailRefusal extends TrailHead {
  reason: 'gap' | 'fork';
  number: number;
}

export class Trails {
  readonly #devices = new Map<string, TrailRow[]>();

  /** Every row that was taken, a device after the other. */
  rows(): TrailRow[] {
    return structuredClone([...this.#devices.values()].flat());
  }

  /** How far the trail of a device is here. */
  head(client: string): TrailHead {
    const last = this.#devices.get(client)?.at(-1);
    return { through: last?.seq ?? 0, head: last?.hash ?? '0'.repeat(64) };
  }

  /** Takes the rows that are not here yet, or says why none of them. */
  take(client: string, rows: TrailRow[], begins?: TrailHead): TrailRefusal | undefined {
    const known = this.head(client);
    let through = Math.max(begins?.through ?? 0, known.through);
    const fresh: TrailRow[] = [];
    for (const row of rows) {
      const { seq, previous = through } = row;
      const other = seq === known.through && row.hash !== known.head;
      if (!other && seq <= known.through) continue;
      if (other || previous !== through) return { ...known, reason: previous > through ? 'gap' : 'fork', number: seq };
      fresh.push(row);
      through = seq;
    }
    this.#devices.set(client, [...(this.#devices.get(client) ?? []), ...fresh]);
    return undefined;
  }
}
