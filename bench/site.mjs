/**
 * The bench's site: the page, and behind it, under one origin and with one delay, both ends of a push or a download.
 *
 * `/api/` goes to the reference server, for FieldSync; `/raw/` is answered here at once, for raw and every other
 * library. Each request to either waits the same added latency first, so that a round trip costs every side the same.
 * One origin, so that no preflight is counted as a round trip of any.
 */
import { cp } from 'node:fs/promises';
import { request as forward } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { servePage } from '../tests/replay/stage.mjs';

export async function serveBench(stage, { upstream, records }) {
  const state = { latencyMs: 0, requests: 0 };
  let lastId = 0;
  const answer = async (request, response) => {
    const path = new URL(request.url, 'http://page').pathname;
    const api = path.startsWith('/api/');
    if (!api && !path.startsWith('/raw/')) return false;
    state.requests += 1;
    if (state.latencyMs > 0) await delay(state.latencyMs);
    if (api) {
      pass(request, response, upstream());
    } else if (path === '/raw/records') {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(records());
    } else {
      const { operations } = JSON.parse(await bodyOf(request));
      const results = operations.map(({ id }) => ({ id, realId: ++lastId }));
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ results }));
    }
    return true;
  };
  // A copy, so that what is built for the page can lie beside it.
  const pages = join(stage.folder, 'page');
  await cp(fileURLToPath(new URL('page', import.meta.url)), pages, { recursive: true });
  const site = await servePage(stage, pages, answer);
  return { ...site, pages, state };
}

function pass(request, response, upstream) {
  const target = new URL(request.url, upstream);
  const options = { method: request.method, headers: { ...request.headers, host: target.host } };
  const onward = forward(target, options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}
