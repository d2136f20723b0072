/**
 * The way of a device to the server, as a test scripts it: without a word it leads to the server of the world; `answer`
 * has the next request meet something else, and `setOffline` all of them.
 */
import type { TestServer } from './server.js';

export type Endpoint = 'initialize' | 'upload' | 'download' | 'audit' | 'status' | 'health';

/** A request as the client sent it. */
export interface TestRequest {
  endpoint: Endpoint;
  /** What its body says. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the protocol has there (docs/protocol.md)
  body: any;
  /** The bearer token that came with it. */
  token: string | null;
}

/** What comes back: a status alone, or with headers and a body; an object is JSON. */
export interface TestAnswer {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
}

/**
 * What one request meets. `lost`: it never arrives. `cut`: the server acts, and its answer never arrives. A function gets the
 * request and the way on, and gives the answer.
 */
export type Scripted =
  | TestAnswer
  | 'lost'
  | 'cut'
  | ((request: TestRequest, pass: () => Promise<Response>) => TestAnswer | Response | Promise<TestAnswer | Response>);

/** What a browser says where no answer comes. */
const noAnswer = (): TypeError => new TypeError('Failed to fetch');

export class TestNetwork {
  /** Every request that left the device, in order. */
  readonly requests: TestRequest[] = [];
  readonly #server: TestServer;
  readonly #scripts: { endpoint: Endpoint; scripted: Scripted }[] = [];
  readonly #online: () => void;
  #offline = false;
  #underWay = 0;

  constructor(server: TestServer, online: () => void) {
    this.#server = server;
    this.#online = online;
  }

  /** Takes the network away, or gives it back, as the browser would say it. */
  setOffline(offline: boolean): void {
    const back = this.#offline && !offline;
    this.#offline = offline;
    if (back) this.#online();
  }

  /** The next request to this endpoint that nothing was said of yet meets this. */
  answer(endpoint: Endpoint, scripted: Scripted): void {
    this.#scripts.push({ endpoint, scripted });
  }

  /** Whether a request is being read or answered. */
  get isBusy(): boolean {
    return this.#underWay > 0;
  }

  /** For its device: as `fetch`. */
  async fetch(asked: Request): Promise<Response> {
    const request = await this.#counted(read(asked));
    this.requests.push(request);
    if (this.#offline) throw noAnswer();
    return untilAborted(this.#meet(request), asked.signal);
  }

  async #meet(request: TestRequest): Promise<Response> {
    const pass = (): Promise<Response> => this.#counted(this.#server.serve(request));
    const at = this.#scripts.findIndex(({ endpoint }) => endpoint === request.endpoint);
    const [script] = at < 0 ? [] : this.#scripts.splice(at, 1);
    if (!script) return pass();
    const { scripted } = script;
    if (scripted === 'lost') throw noAnswer();
    if (scripted === 'cut') {
      await pass();
      throw noAnswer();
    }
    return response(typeof scripted === 'function' ? await scripted(request, pass) : scripted);
  }

  /** What a script waits for is not counted: time may pass meanwhile, so that a request can be tried for too long. */
  async #counted<T>(work: Promise<T>): Promise<T> {
    this.#underWay += 1;
    try {
      return await work;
    } finally {
      this.#underWay -= 1;
    }
  }
}

async function read(asked: Request): Promise<TestRequest> {
  const endpoint = new URL(asked.url).pathname.split('/').at(-1) as Endpoint;
  const text = await asked.text();
  const nonce = new URL(asked.url).searchParams.get('nonce');
  const body = text === '' ? { nonce } : JSON.parse(text);
  return { endpoint, body, token: asked.headers.get('authorization')?.replace('Bearer ', '') ?? null };
}

function response(answer: TestAnswer | Response): Response {
  if (answer instanceof Response) return answer;
  const { status, headers, body } = answer;
  const isText = typeof body === 'string' || body === undefined;
  const type = { 'content-type': isText ? 'text/plain' : 'application/json' };
  return new Response(isText ? body : JSON.stringify(body), { status, headers: { ...type, ...headers } });
}

/** A client that gives up does not wait for an answer that never comes. */
function untilAborted(answer: Promise<Response>, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new DOMException('The operation was aborted.', 'AbortError'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
