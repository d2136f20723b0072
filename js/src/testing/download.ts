/**
 * The answer to a download: lines of JSON, every change since the checkpoint in pages, each with its hash
 * (docs/protocol.md). A checkpoint is the sequence up to which the client has everything; the test server forgets nothing.
 */
import type { Tenant } from './tenant.js';

interface Asked {
  checkpoint?: string;
  entities?: string[];
  pageRecords?: number;
}

export async function download(tenant: Tenant, client: string, asked: Asked, reply: object): Promise<Response> {
  const { checkpoint, entities, pageRecords = 500 } = asked;
  const since = Number(checkpoint ?? 0);
  const changed = tenant.rows.filter(({ version, entity, data }) => {
    const isWanted = !entities || entities.includes(entity);
    // Who begins has nothing that could be gone.
    return version > since && isWanted && (data !== undefined || checkpoint !== undefined);
  });
  const changes = changed.map(({ entity, id, version, data, stamp, fieldStamps, client: by, bornAs }) => ({
    ...{ entity, id, version: String(version), kind: data ? 'upsert' : 'delete', ...(data ? { data } : {}) },
    ...{ stamp, fieldStamps, ...(bornAs !== undefined && by === client ? { bornAs } : {}) },
  }));
  const lines: object[] = [{ reply, sequence: String(tenant.sequence), records: changes.length }];
  const sequence = String(tenant.sequence);
  for (let from = 0; from === 0 || from < changes.length; from += pageRecords) {
    const part = changes.slice(from, from + pageRecords);
    const isLast = from + pageRecords >= changes.length;
    const upTo = isLast ? sequence : (part.at(-1)?.version ?? sequence);
    const page = { checkpoint: upTo, ...(isLast ? { through: sequence } : {}), changes: part };
    const bytes = new TextEncoder().encode(JSON.stringify(page));
    lines.push({ bytes: bytes.length, sha256: await sha256(bytes) }, page);
  }
  lines.push({ end: (lines.length - 1) / 2 });
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  return new Response(text, { status: 200, headers: { 'content-type': 'application/x-ndjson' } });
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
