/**
 * The way from the page to the server: a small proxy in the page's own origin that counts every request and can hold,
 * cut or answer one itself. What passes is passed byte by byte; nothing is understood but the endpoint.
 */
import { once } from 'node:events';
import { request as forward } from 'node:http';

const BASE = '/api/v1/sync/';

/** A gateway; `upstream()` is the server's address. Its `answer` goes to `servePage`. */
export function openGateway(upstream) {
  const gateway = {
    /** Every request so far: `{ endpoint, text, status }`; `status` is absent where no answer went back. */
    requests: [],
    /** Takes an exchange in place of the server. */
    handler: (exchange) => exchange.pass(),
    answer,
    /** Holds the next upload before the server sees it. Once it is there, resolves with what lets it go. */
    holdUpload: () =>
      new Promise((reach) => {
        gateway.handler = async (exchange) => {
          if (exchange.endpoint !== 'upload') return exchange.pass();
          gateway.handler = (next) => next.pass();
          await new Promise(reach);
          return exchange.pass();
        };
      }),
    /** The parsed bodies of the uploads. */
    uploads: () => gateway.requests.filter(({ endpoint }) => endpoint === 'upload').map(({ text }) => JSON.parse(text)),
    /** The operations that the uploads from this one on carried, one id for each time. */
    sent: (from = 0) => {
      const uploads = gateway.uploads().slice(from);
      return uploads.flatMap(({ operations }) => operations.map(({ id }) => id));
    },
  };

  async function answer(request, response) {
    const { pathname } = new URL(request.url, 'http://page');
    if (!pathname.startsWith(BASE)) return false;
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const exchange = new Exchange(request, response, body, pathname.slice(BASE.length), upstream());
    gateway.requests.push(exchange.log);
    try {
      await gateway.handler(exchange);
    } catch {
      // The server is not there, or the page went away: what a network does then.
      exchange.cut();
    }
    return true;
  }
  return gateway;
}

/** One request on its way. */
class Exchange {
  constructor(request, response, body, endpoint, upstream) {
    Object.assign(this, { request, response, body, endpoint, upstream });
    this.log = { endpoint, text: body.toString('utf8') };
    /** Resolves when the page's side of the connection is closed. */
    this.gone = once(response, 'close');
  }

  /** Lets the server work and keeps its answer: it has committed when this resolves. */
  forward() {
    const { method, headers, url } = this.request;
    const target = new URL(url, this.upstream);
    // No connection is kept: one that outlives a killed server would fail the first request to the next.
    const options = { method, headers: { ...headers, host: target.host, connection: 'close' }, agent: false };
    return new Promise((resolve, reject) => {
      const onward = forward(target, options, async (answer) => {
        try {
          const parts = [];
          for await (const part of answer) parts.push(part);
          const { connection: _, 'keep-alive': __, ...kept } = answer.headers;
          resolve({ status: answer.statusCode, headers: kept, body: Buffer.concat(parts) });
        } catch (cause) {
          reject(cause);
        }
      });
      onward.on('error', reject);
      onward.end(this.body);
    });
  }

  reply({ status = 200, headers = {}, body = '' }) {
    this.log.status = status;
    this.response.writeHead(status, headers).end(body);
  }

  async pass() {
    this.reply(await this.forward());
  }

  /** Breaks the connection. */
  cut() {
    this.response.destroy();
  }
}
