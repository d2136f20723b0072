/** The fault proxy in front of a server that counts: what each kind does to an exchange, seen from both ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';
import { choose, evenRates, KINDS, openProxy } from '../../pkg/dist/fault-proxy/proxy.js';

/** The kinds that the proxy answers itself. */
const OWN = ['portal', 'redirect', '401', '403', '409', '413', '429', '500', '502', '503', '504', 'gzip-bomb'];
const ANSWER = 'an answer of thirty-six characters  ';

describe('the fault proxy', { timeout: 60_000 }, () => {
  let server;
  let upstream;
  /** The bodies that the server got. */
  let got;
  let proxy;

  before(async () => {
    server = createServer(async (asked, response) => {
      const parts = [];
      for await (const part of asked) parts.push(part);
      got.push(`${asked.method} ${asked.url} ${Buffer.concat(parts)}`);
      const body = asked.url === '/long' ? ANSWER.repeat(100) : ANSWER;
      response.writeHead(200, { 'content-type': 'text/plain', 'x-kept': 'yes' }).end(body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    upstream = `http://127.0.0.1:${server.address().port}`;
    proxy = await openProxy({ upstream });
  });
  after(async () => {
    await proxy.close();
    server.close();
  });
  beforeEach(() => {
    got = [];
  });

  const send = (body) => fetch(`${proxy.address}/upload`, { method: 'POST', body, redirect: 'error' });
  const text = async (body) => (await send(body)).text();

  test('passes what meets no fault', async () => {
    const answer = await send('a');
    assert.deepEqual([answer.status, answer.headers.get('x-kept'), await answer.text()], [200, 'yes', ANSWER]);
    assert.deepEqual(got, ['POST /upload a']);
  });

  test('breaks the connection before or after the server has worked', async () => {
    proxy.next('drop-before');
    await assert.rejects(send('a'));
    assert.deepEqual(got, []);
    proxy.next('drop-after');
    await assert.rejects(send('b'));
    assert.deepEqual(got, ['POST /upload b']);
  });

  test('gives the server a request twice, at once or after later ones', async () => {
    proxy.next('duplicate');
    assert.equal(await text('a'), ANSWER);
    assert.deepEqual(got, ['POST /upload a', 'POST /upload a']);
    got = [];
    proxy.next('late-duplicate');
    for (const body of ['a', 'b', 'c', 'd']) assert.equal(await text(body), ANSWER);
    // The copy goes behind the last of them; whoever asks next comes after it.
    await text('e');
    assert.deepEqual(
      got.map((line) => line.at(-1)),
      ['a', 'b', 'c', 'd', 'a', 'e'],
    );
  });

  test('lets a later request pass an earlier one', async () => {
    proxy.next('reorder');
    const first = text('first');
    // The first has been taken before the second is sent.
    while (proxy.counts.get('reorder') === undefined) await new Promise(setImmediate);
    await text('second');
    await first;
    assert.deepEqual(got, ['POST /upload second', 'POST /upload first']);
  });

  test('cuts an answer at every byte, with and without a sign of it', async () => {
    for (let at = 0; at < ANSWER.length; at += 1) {
      proxy.next('truncate', { at });
      await assert.rejects(text('a'), `cut at ${at}`);
      proxy.next('end-early', { at });
      assert.equal(await text('a'), ANSWER.slice(0, at));
    }
  });

  test('stops in the middle of an answer and stays connected', async () => {
    proxy.next('stall', { at: 10 });
    const leaving = new AbortController();
    const answer = await fetch(`${proxy.address}/upload`, { method: 'POST', body: 'a', signal: leaving.signal });
    const reader = answer.body.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), ANSWER.slice(0, 10));
    proxy.next('delay');
    const meanwhile = text('b').then(() => 'still open');
    assert.equal(await Promise.race([reader.read().then(() => 'ended'), meanwhile]), 'still open');
    leaving.abort();
    await assert.rejects(reader.read(), { name: 'AbortError' });
  });

  test('answers for a network that wants a login', async () => {
    proxy.next('portal');
    const answer = await send('a');
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'text/html']);
    proxy.next('redirect');
    await assert.rejects(send('a'));
    assert.deepEqual(got, []);
  });

  test('answers for a gateway, before or after the server has worked', async () => {
    for (const [kind, worked] of [
      ...[
        ['401', 0],
        ['403', 0],
        ['409', 0],
        ['413', 0],
      ],
      ...[
        ['429', 0],
        ['500', 1],
        ['502', 0],
        ['503', 0],
        ['504', 1],
      ],
    ]) {
      got = [];
      proxy.next(kind);
      const answer = await send('a');
      assert.deepEqual([answer.status, got.length], [Number(kind), worked], kind);
      assert.equal(answer.headers.get('retry-after'), ['429', '503'].includes(kind) ? '1' : null, kind);
    }
  });

  for (const kind of OWN) {
    test(`the page of another origin may read the answer of '${kind}'`, async () => {
      const head = async (headers) => {
        proxy.next(kind);
        const asked = request(`${proxy.address}/upload`, { method: 'POST', headers }).end();
        const [answer] = await once(asked, 'response');
        answer.destroy();
        return ['access-control-allow-origin', 'access-control-expose-headers', 'vary'].map(
          (name) => answer.headers[name],
        );
      };
      const origin = 'http://localhost:3000';
      assert.deepEqual(await head({ origin }), [origin, 'Retry-After', 'Origin']);
      assert.deepEqual(await head({}), [undefined, undefined, 'Origin']);
    });
  }

  test('a preflight passes, and the fault waits for what comes after it', async () => {
    const counts = new Map(proxy.counts);
    proxy.next('403');
    const ask = async (headers) => {
      const asked = request(`${proxy.address}/upload`, { method: 'OPTIONS', headers }).end();
      const [answer] = await once(asked, 'response');
      answer.resume();
      return [answer.statusCode, answer.headers['x-kept']];
    };
    const preflight = { origin: 'http://localhost:3000', 'access-control-request-method': 'POST' };
    assert.deepEqual(await ask(preflight), [200, 'yes']);
    assert.deepEqual([got, proxy.counts], [['OPTIONS /upload '], counts]);
    assert.deepEqual(await ask({}), [403, undefined], 'that one was no preflight');

    proxy.setRates({ 'drop-before': 1000 });
    assert.deepEqual(await ask(preflight), [200, 'yes']);
    await assert.rejects(send('a'));
    proxy.setRates({});
  });

  test('a small body grows to a gigabyte', async () => {
    proxy.next('gzip-bomb');
    const asked = request(`${proxy.address}/upload`, { method: 'POST' }).end();
    const [answer] = await once(asked, 'response');
    assert.equal(answer.headers['content-encoding'], 'gzip');
    let bytes = 0;
    let grown = 0;
    answer.on('data', (part) => {
      bytes += part.length;
    });
    for await (const part of answer.pipe(createGunzip())) grown += part.length;
    assert.ok(bytes < 4 << 20, `${bytes} bytes pass`);
    assert.equal(grown, 1 << 30);
  });

  test('a delayed answer comes whole, behind that of a later request', async () => {
    proxy.next('delay');
    const came = [];
    const first = text('a').then((answer) => came.push(`a ${answer}`));
    while (got.length === 0) await new Promise(setImmediate);
    came.push(`b ${await text('b')}`);
    await first;
    assert.deepEqual(came, [`b ${ANSWER}`, `a ${ANSWER}`]);
  });

  test('a slow answer comes whole, in pieces', async () => {
    proxy.next('slow');
    const asked = request(`${proxy.address}/long`).end();
    const [answer] = await once(asked, 'response');
    const pieces = [];
    for await (const part of answer) pieces.push(String(part));
    assert.ok(pieces.length > 1, `${pieces.length} pieces`);
    assert.equal(pieces.join(''), ANSWER.repeat(100));
  });

  test('each of several late duplicates comes once more, whoever asks meanwhile', async () => {
    const bodies = ['a', 'b', 'c'];
    for (const _ of bodies) proxy.next('late-duplicate');
    await Promise.all(bodies.map(text));
    await Promise.all(['d', 'e', 'f', 'g', 'h'].map(text));
    await text('i');
    const times = bodies.map((body) => got.filter((line) => line.endsWith(` ${body}`)).length);
    assert.deepEqual(times, [2, 2, 2], got.join(', '));
  });

  test('a fault that is asked for waits for its request', async () => {
    proxy.next('drop-before', { only: (url) => url === '/upload' });
    await (await fetch(`${proxy.address}/other`)).text();
    await assert.rejects(text('a'));
    assert.equal(await text('b'), ANSWER);
  });

  test('the server may lie below a path', async () => {
    const below = await openProxy({ upstream: `${upstream}/base/` });
    await fetch(`${below.address}/upload`);
    await below.close();
    assert.deepEqual(got, ['GET /base/upload ']);
  });

  test('a server that is away breaks the connection', async () => {
    const alone = await openProxy({ upstream: 'http://127.0.0.1:1' });
    await assert.rejects(fetch(alone.address));
    await alone.close();
  });

  test('every kind was met, and counted', () => {
    for (const kind of KINDS) assert.ok((proxy.counts.get(kind) ?? 0) > 0, kind);
  });
});

test('a rate is a part of a thousand, and a seed repeats the choices', async () => {
  assert.equal(choose({ delay: 100, slow: 200 }, 0.0999), 'delay');
  assert.equal(choose({ delay: 100, slow: 200 }, 0.1001), 'slow');
  assert.equal(choose({ delay: 100, slow: 200 }, 0.3001), undefined);
  const even = evenRates(KINDS.length);
  assert.ok(KINDS.every((kind) => even[kind] === 1));
  const seen = async (seed) => {
    const met = [];
    const proxy = await openProxy({
      upstream: 'http://127.0.0.1:1',
      seed,
      rates: { 403: 300, 502: 300 },
      onFault: (kind) => met.push(kind),
    });
    for (let at = 0; at < 40; at += 1) await fetch(proxy.address).catch(() => {});
    await proxy.close();
    return met.join(' ');
  };
  const first = await seen(7);
  assert.equal(await seen(7), first);
  assert.notEqual(await seen(8), first);
});

test('preflights between them leave the choices of a seed as they are', async () => {
  const seen = async (between) => {
    const met = [];
    const upstream = 'http://127.0.0.1:1';
    const proxy = await openProxy({ upstream, rates: { 403: 500 }, onFault: () => met.push(at) });
    let at = 0;
    for (; at < 20; at += 1) {
      for (const headers of [...between, {}]) {
        const asked = request(proxy.address, { method: 'OPTIONS', headers }).end();
        await Promise.race([once(asked, 'response').then(([answer]) => answer.resume()), once(asked, 'error')]).catch(
          () => {},
        );
      }
    }
    await proxy.close();
    return met.join(' ');
  };
  const alone = await seen([]);
  assert.ok(alone.length > 0);
  assert.equal(await seen([{ 'access-control-request-method': 'POST' }]), alone);
});

test('the command says where it listens, what happens and how often, and what it does not understand', async () => {
  const main = fileURLToPath(new URL('../../pkg/dist/fault-proxy/main.js', import.meta.url));
  const run = async (args, until) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (part) => {
        said += part;
        if (until?.test(said)) child.emit('said', until.exec(said)[1]);
      });
    }
    const ended = once(child, 'close');
    const end = async () => {
      const [code] = await ended;
      return { code, said };
    };
    return { child, end };
  };
  const proxy = await run(
    ['--upstream', 'http://127.0.0.1:1', '--fault', '403=1000', '--only', 'up'],
    /listening on (\S+),/,
  );
  const [address] = await once(proxy.child, 'said');
  assert.equal((await fetch(`${address}/upload`)).status, 403);
  await assert.rejects(fetch(`${address}/download`), 'that one met no fault, and no server');
  proxy.child.kill('SIGTERM');
  const { code, said } = await proxy.end();
  assert.equal(code, 0);
  assert.match(said, /403 {2}\/upload\n/);
  assert.match(said, / 1 {2}403\n/);

  for (const [args, complaint] of [
    [['--upstream', 'http://127.0.0.1:1', '--fault', 'rain=1'], /no fault 'rain'/],
    [['--upstream', 'http://127.0.0.1:1', '--port', 'x'], /--port takes a whole number/],
    [['--upstream', 'nowhere'], /--upstream takes the address of a server, such as http:.* not 'nowhere'/],
    [['--upstream', 'localhost:8080'], /--upstream takes the address of a server/],
    [['--upstream', 'http://'], /--upstream takes the address of a server/],
    [['--upstream', 'http://127.0.0.1:1', '--per-thousand', '1001'], /--per-thousand takes a number from 0 to 1000/],
    [['--upstream', 'http://127.0.0.1:1', '--fault', '503'], /--fault takes KIND=N, such as 503=20, not '503'/],
    [['--upstream', 'http://127.0.0.1:1', '--fault', '503=2=3'], /--fault takes KIND=N/],
    [['--upstream', 'http://127.0.0.1:1', '--fault', '503='], /--fault 503=N takes a whole number, not ''/],
    [['--upstream', 'http://127.0.0.1:1', '--fault', '503=1001'], /--fault 503=N takes a number from 0 to 1000/],
    [
      ['--upstream', 'http://127.0.0.1:1', '--fault', '503=600', '--fault', '502=600'],
      /all of them together take 1200 of a thousand/,
    ],
    [[], /Kinds:/],
  ]) {
    const refused = await (await run(args)).end();
    assert.equal(refused.code, 2, args.join(' '));
    assert.match(refused.said, complaint);
  }
  const help = await (await run(['--help'])).end();
  assert.equal(help.code, 0);
  for (const kind of KINDS) assert.ok(help.said.includes(kind), kind);
});
