/**
 * A proxy in front of a server that breaks exchanges in the ways that real networks, gateways and servers do. It
 * understands nothing of what passes: bodies are bytes, and a fault is chosen by the next number of a seed.
 *
 * An exchange: the request is read whole, a fault is chosen, the server is asked (or not), and the answer passes whole,
 * in part, or not at all. What was done is counted by kind.
 *
 * The page may be of another origin than the proxy. Its browser would show it nothing of an answer that the proxy makes:
 * so that the kinds differ for it, such an answer allows every origin to read it. A preflight meets no fault.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as overHttp,
  type ServerResponse,
} from 'node:http';
import { request as overTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import { choose, type Fault, type Rates } from './faults.js';
import { openRandom } from './random.js';

export * from './faults.js';

/** Settings of a proxy. */
export interface ProxyOptions {
  /** The server, such as `http://127.0.0.1:8080` or `https://example.org/base`. */
  upstream: string;
  /** The port to listen on, of this machine alone; 0, the default, takes a free one. */
  port?: number;
  /** How often each kind shall happen. */
  rates?: Rates;
  /** The first of the numbers by which faults are chosen; 1 if nothing else is said. */
  seed?: number;
  /** How long an answer waits that is delayed, and at most a request that is to be overtaken, ms; 400 if nothing else is said. */
  delayMs?: number;
  /** The requests that may meet a fault; every one if nothing else is said. */
  only?: (url: string) => boolean;
  /** Called for each fault as it begins, with the address of the request. */
  onFault?: (fault: Fault, url: string) => void;
}

/** A proxy that runs. */
export interface Proxy {
  /** Where it listens. */
  address: string;
  /** How many exchanges met each kind so far; `none` counts those that passed. Preflights are not counted. */
  counts: Map<Fault | 'none', number>;
  /** Other rates from now on; `{}` ends all faults. */
  setRates(rates: Rates): void;
  /** The next request that is no preflight meets this, whatever the rates say. */
  next(fault: Fault, how?: Planned): void;
  /** Ends it and every open connection. */
  close(): Promise<void>;
}

/** How a fault is met that was asked for. */
export interface Planned {
  /** Where an answer is cut, in bytes; the seed decides if nothing is said. */
  at?: number;
  /** The requests that may meet it, of those that may meet any; the first of them does. */
  only?: (url: string) => boolean;
}

/** A request that was read whole. */
interface Asked {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** An answer of the server, whole. */
interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

const DELAY_MS = 400;
/** How many later requests pass before a late duplicate. */
const LATER = 3;
/** A slow link: bytes, and how often they pass, ms. */
const SLOW_BYTES = 512;
const SLOW_MS = 20;
/** What the bomb grows to. */
const BOMB_BYTES = 1 << 30;

const PORTAL = '<!doctype html><html><body><form action="/login">Welcome to the guest network</form></body></html>';
/** Named for the connection alone: these do not pass. */
const HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'host',
  'content-length',
  'upgrade',
  'te',
  'trailer',
]);

let bomb: Promise<Buffer> | undefined;

/** Starts a proxy. */
export async function openProxy(options: ProxyOptions): Promise<Proxy> {
  const random = openRandom(options.seed ?? 1);
  const counts = new Map<Fault | 'none', number>();
  const delayMs = options.delayMs ?? DELAY_MS;
  let rates = options.rates ?? {};
  const forced: (Planned & { fault: Fault })[] = [];
  /** Requests that come once more, each with how many others pass before. */
  let late: { asked: Asked; after: number }[] = [];
  /** Those that wait to be overtaken. */
  const overtaken = new Set<() => void>();

  async function exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await read(request);
    if (isPreflight(asked)) return pass(response, await forward(options.upstream, asked));
    const may = options.only?.(asked.url) ?? true;
    const place = may ? forced.findIndex(({ only }) => only?.(asked.url) ?? true) : -1;
    const planned = place < 0 ? undefined : forced.splice(place, 1)[0];
    // One number for each request that may meet a fault, whether it does or not: the next choices stay the same.
    const draw = may ? random() : 1;
    const fault = planned?.fault ?? (may ? choose(rates, draw) : undefined);
    counts.set(fault ?? 'none', (counts.get(fault ?? 'none') ?? 0) + 1);
    if (fault !== undefined) options.onFault?.(fault, asked.url);
    const earlier = fault === 'reorder' ? [] : [...overtaken];
    try {
      await meet(fault, asked, response, planned?.at ?? random());
    } finally {
      for (const go of earlier) go();
    }
    for (const waiting of late) waiting.after -= 1;
    // Out of the list before anything is awaited: other exchanges end meanwhile.
    const due = late.filter(({ after }) => after < 0);
    late = late.filter(({ after }) => after >= 0);
    for (const { asked } of due) await forward(options.upstream, asked).catch(() => {});
  }

  /** Has an exchange go wrong. `at` is where an answer is cut: a part of it below 1, else bytes. */
  async function meet(fault: Fault | undefined, asked: Asked, response: ServerResponse, at: number): Promise<void> {
    const answer = () => forward(options.upstream, asked);
    const own = (status: number, headers: IncomingHttpHeaders, body: Buffer) =>
      pass(response, { status, headers: { ...headers, ...readable(asked.headers.origin) }, body });
    const refuse = (status: number, headers: IncomingHttpHeaders = {}) =>
      own(status, { 'content-type': 'text/html', ...headers }, Buffer.from(`<html><body>${status}</body></html>`));
    switch (fault) {
      case undefined:
        return pass(response, await answer());
      case 'drop-before':
        return void response.destroy();
      case 'drop-after':
        await answer();
        return void response.destroy();
      case 'duplicate': {
        const first = await answer();
        await answer();
        return pass(response, first);
      }
      case 'late-duplicate':
        late.push({ asked, after: LATER });
        return pass(response, await answer());
      case 'reorder':
        await new Promise<void>((resolve) => {
          const go = () => {
            overtaken.delete(go);
            resolve();
          };
          overtaken.add(go);
          // Nobody may come after it.
          void pause(delayMs).then(go);
        });
        return pass(response, await answer());
      case 'delay': {
        const found = await answer();
        await pause(delayMs);
        return pass(response, found);
      }
      case 'stall':
        return void begin(response, await answer(), at);
      case 'truncate': {
        begin(response, await answer(), at);
        // The part that passes must have passed.
        return void response.write('', () => response.destroy());
      }
      case 'end-early': {
        const { status, headers, body } = await answer();
        return pass(response, { status, headers, body: body.subarray(0, place(body, at)) });
      }
      case 'portal':
        return own(200, { 'content-type': 'text/html' }, Buffer.from(PORTAL));
      case 'redirect':
        return own(302, { location: 'http://192.0.2.1/login' }, Buffer.alloc(0));
      case '500':
      case '504':
        await answer();
        return refuse(Number(fault));
      case '429':
      case '503':
        return refuse(Number(fault), { 'retry-after': '1' });
      case '401':
      case '403':
      case '409':
      case '413':
      case '502':
        return refuse(Number(fault));
      case 'gzip-bomb':
        bomb ??= blanks(BOMB_BYTES);
        return own(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, await bomb);
      case 'slow': {
        const { status, headers, body } = await answer();
        response.writeHead(status, kept(headers));
        for (let from = 0; from < body.length && !response.destroyed; from += SLOW_BYTES) {
          response.write(body.subarray(from, from + SLOW_BYTES));
          await pause(SLOW_MS);
        }
        return void response.end();
      }
    }
  }

  const server = createServer((request, response) => {
    // The server is not there, or the client went away: what a network does then.
    exchange(request, response).catch(() => response.destroy());
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}`,
    counts,
    setRates: (wanted) => {
      rates = wanted;
    },
    next: (fault, how) => void forced.push({ ...how, fault }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(request: IncomingMessage): Promise<Asked> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return {
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headers: request.headers,
    body: Buffer.concat(parts),
  };
}

/** Whether a browser asks if the page of another origin may send what it is about to send. */
function isPreflight({ method, headers }: Asked): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
}

/** What lets the page of another origin read an answer, as the server's answers let it. */
function readable(origin: string | undefined): IncomingHttpHeaders {
  if (origin === undefined) return { vary: 'Origin' };
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'Retry-After',
  };
}

/** Lets the server work and keeps its answer: it has committed when this resolves. */
function forward(upstream: string, { method, url, headers, body }: Asked): Promise<Answer> {
  const target = new URL(upstream.replace(/\/$/, '') + url);
  const ask = target.protocol === 'https:' ? overTls : overHttp;
  // No connection is kept: one that outlives a killed server would fail the first request to the next.
  const onward = { ...kept(headers), host: target.host, connection: 'close' };
  return new Promise((resolve, reject) => {
    const asking = ask(target, { method, headers: onward, agent: false }, async (answer) => {
      try {
        const parts: Buffer[] = [];
        for await (const part of answer) parts.push(part as Buffer);
        resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body: Buffer.concat(parts) });
      } catch (cause) {
        reject(cause);
      }
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

function kept(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const found = Object.entries(headers).filter(([name, value]) => value !== undefined && !HOP.has(name));
  return Object.fromEntries(found) as Record<string, string | string[]>;
}

function pass(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...kept(headers), 'content-length': body.length }).end(body);
}

/** The whole head, and the first part of the body. */
function begin(response: ServerResponse, { status, headers, body }: Answer, at: number): void {
  response.writeHead(status, { ...kept(headers), 'content-length': body.length });
  response.write(body.subarray(0, place(body, at)));
}

/** So many blanks, packed: a thousandth of them is left. */
async function blanks(bytes: number): Promise<Buffer> {
  const piece = Buffer.alloc(1 << 20, ' ');
  const pieces = Readable.from(Array(Math.ceil(bytes / piece.length)).fill(piece));
  const parts: Buffer[] = [];
  for await (const part of pieces.pipe(createGzip())) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** Where a body is cut: never behind its end. */
function place(body: Buffer, at: number): number {
  return Math.min(at < 1 ? Math.floor(at * body.length) : at, Math.max(body.length - 1, 0));
}
