/**
 * A sync server in memory, for an app's own tests: it speaks the protocol (docs/protocol.md) as far as a client needs it.
 *
 * It keeps records per tenant, issues IDs and versions, remembers every operation by its receipt, finds conflicts by
 * version, checks references, fields and what only one record may have, lets a delete take along what is declared to follow,
 * and takes a transaction whole or not at all. It believes whoever asks, has no limits, and keeps every deletion. What an
 * app shall be sure of in production, it tests against the reference server.
 */
import type { Schema } from '../config.js';
import { FieldSyncError } from '../errors.js';
import type { AnyRecords, Key } from '../records.js';
import { download } from './download.js';
import type { TestRequest } from './network.js';
import { type Operation, type Outcome, type Refusal, Tenant } from './tenant.js';
import { type TrailRow, Trails } from './trail.js';

/** Says whether the server refuses an operation, and why. */
export type RefusalRule = (operation: Operation) => Refusal | undefined;

export class TestServer {
  readonly #schema: Schema<never>;
  readonly #now: () => number;
  readonly #tenants = new Map<string, Tenant>();
  readonly #trails = new Map<string, Trails>();
  readonly #epoch = crypto.randomUUID();
  readonly #tenant: string;
  #refuses: RefusalRule = () => undefined;

  constructor(schema: Schema<never>, tenant: string, now: () => number) {
    this.#schema = schema;
    this.#tenant = tenant;
    this.#now = now;
  }

  /** What the server has of an entity, in the order of its IDs. */
  records(entity: string, { tenant = this.#tenant }: { tenant?: string } = {}): (AnyRecords[string] & { id: Key })[] {
    return this.#of(tenant)
      .all(this.#declared(entity))
      .map(({ id, data }) => ({ id, ...data }));
  }

  /** Somebody else's change: these fields of this record, or a new record. Gives its ID. */
  put(
    entity: string,
    fields: Record<string, unknown>,
    { id, tenant = this.#tenant }: { id?: Key; tenant?: string } = {},
  ): Key {
    return this.#of(tenant).put(this.#declared(entity), id, fields, [this.#now(), 0]);
  }

  /** Somebody else's deletion. */
  remove(entity: string, id: Key, { tenant = this.#tenant }: { tenant?: string } = {}): void {
    this.#of(tenant).remove(this.#declared(entity), id, [this.#now(), 0]);
  }

  /** The rows of devices' audit trails that came up. */
  auditRows({ tenant = this.#tenant }: { tenant?: string } = {}): TrailRow[] {
    return this.#trailsOf(tenant).rows();
  }

  /** From now on refuses what the rule names; it parks the operation at the client. */
  refuse(rule: RefusalRule): void {
    this.#refuses = rule;
  }

  /** For its network: the answer to a request. */
  async serve({ endpoint, body }: TestRequest): Promise<Response> {
    if (endpoint === 'health') return json({ nonce: body.nonce, epoch: this.#epoch, ready: true });
    const { head } = body;
    const tenant = this.#of(head.tenant);
    if (head.epoch !== undefined && head.epoch !== this.#epoch)
      return this.#fault(409, 'epoch_changed', head.requestId);
    const reply = (): object => ({
      requestId: head.requestId,
      epoch: this.#epoch,
      serverTime: this.#now(),
      durable: String(tenant.sequence),
    });
    switch (endpoint) {
      case 'initialize': {
        const limits = { operationsMax: 1_000, bytesMax: 1 << 20, pageRecordsMax: 5_000 };
        const checkpoint = body.checkpoint === undefined ? 'none' : 'ok';
        return json({ reply: reply(), limits, checkpoint, schema: this.#schema.version, audit: true });
      }
      case 'upload': {
        const results = this.#upload(tenant, head.client, body.operations);
        return json({ reply: reply(), results });
      }
      case 'download':
        return download(tenant, head.client, body, reply());
      case 'audit': {
        const trails = this.#trailsOf(head.tenant);
        const refused = trails.take(head.client, body.rows, body.begins);
        if (refused) return this.#fault(422, 'audit_refused', head.requestId, refused);
        return json({ reply: reply(), trail: trails.head(head.client) });
      }
      case 'status':
        return json({
          ...{ reply: reply(), sequence: String(tenant.sequence), receipts: tenant.receipts.size },
          ...{ openConflicts: 0, auditHead: '0'.repeat(64), trail: this.#trailsOf(head.tenant).head(head.client) },
        });
      default:
        return this.#fault(404, 'not_found', head.requestId);
    }
  }

  #upload(tenant: Tenant, client: string, operations: Operation[]): { operation: string; outcome: Outcome }[] {
    const outcomes = new Map<string, Outcome>();
    for (const [at, operation] of operations.entries()) {
      const { group } = operation;
      const unit = group ? operations.filter((other) => other.group?.id === group.id) : [operation];
      // A transaction is decided where its last member stands.
      if (operations.indexOf(unit.at(-1) as Operation) !== at) continue;
      const refused = (one: Operation): Refusal | undefined => this.#refuses(one);
      for (const [id, outcome] of tenant.decide(this.#schema, client, unit, refused)) outcomes.set(id, outcome);
    }
    return operations.map(({ id }) => ({ operation: id, outcome: outcomes.get(id) as Outcome }));
  }

  #of(name: string): Tenant {
    const known = this.#tenants.get(name) ?? new Tenant();
    this.#tenants.set(name, known);
    return known;
  }

  #trailsOf(tenant: string): Trails {
    const known = this.#trails.get(tenant) ?? new Trails();
    this.#trails.set(tenant, known);
    return known;
  }

  #declared(entity: string): { entity: string; key: 'integer' | 'text' | 'uuid' } {
    const declared = (this.#schema.entities as Schema['entities'])[entity];
    if (!declared) throw new FieldSyncError('unknown_entity', `The schema declares no entity '${entity}'.`);
    return { entity, key: declared.key ?? 'integer' };
  }

  #fault(status: number, code: string, requestId: string, details?: object): Response {
    const message = `the test server says ${code}`;
    return json({ error: { code, message, retryable: false, requestId, ...(details && { details }) } }, status);
  }
}

function json(body: object, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}
