#!/usr/bin/env node
/**
 * `fieldsync-fault-proxy --upstream http://127.0.0.1:8080`: a proxy that breaks exchanges, to see how an app bears it.
 *
 * Prints where it listens and each fault as it happens, and how many of each there were when it is interrupted.
 */
import { parseArgs } from 'node:util';
import { evenRates, FAULTS, isFault, KINDS, type Rates } from './faults.js';
import { openProxy } from './proxy.js';

const USAGE = `fieldsync-fault-proxy --upstream URL [options]

  --upstream URL       the server
  --port N             where to listen on this machine (default: a free one)
  --per-thousand N     so many of a thousand requests meet a fault, each kind as often as the others (default: 100)
  --fault KIND=N       only these kinds, N of a thousand requests each; may be repeated
  --only TEXT          only requests whose address has this in it
  --seed N             repeats a run's choices (default: 1)

Kinds:
${KINDS.map((kind) => `  ${kind.padEnd(16)} ${FAULTS[kind]}`).join('\n')}
`;

try {
  await main();
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n`);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      upstream: text,
      port: text,
      'per-thousand': text,
      fault: { type: 'string', multiple: true },
      only: text,
      seed: text,
      help: { type: 'boolean' },
    },
  });
  if (values.help === true || values.upstream === undefined) {
    process.stdout.write(USAGE);
    if (values.help !== true) process.exitCode = 2;
    return;
  }
  const { only } = values;
  const proxy = await openProxy({
    upstream: address(values.upstream),
    port: whole('port', values.port ?? '0'),
    seed: whole('seed', values.seed ?? '1'),
    rates:
      values.fault === undefined
        ? evenRates(perThousand('per-thousand', values['per-thousand'] ?? '100'))
        : named(values.fault),
    ...(only === undefined ? {} : { only: (url: string) => url.includes(only) }),
    onFault: (fault, url) => process.stdout.write(`${fault}  ${url}\n`),
  });
  process.stdout.write(`listening on ${proxy.address}, in front of ${values.upstream}\n`);
  const end = async () => {
    await proxy.close();
    for (const [kind, count] of proxy.counts) process.stdout.write(`${String(count).padStart(8)}  ${kind}\n`);
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
}

/** Where the server is. `localhost:8080` parses too, and names no host. */
function address(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw new Error(`--upstream takes the address of a server, such as http://127.0.0.1:8080, not '${text}'`);
  }
  return new URL(text).href;
}

/** `--fault 503=20` and its like. */
function named(faults: string[]): Rates {
  const rates: Rates = {};
  for (const fault of faults) {
    const [kind = '', rate, ...more] = fault.split('=');
    if (!isFault(kind)) throw new Error(`there is no fault '${kind}': --help lists them`);
    if (rate === undefined || more.length > 0) throw new Error(`--fault takes KIND=N, such as 503=20, not '${fault}'`);
    rates[kind] = perThousand(`fault ${kind}=N`, rate);
  }
  const sum = Object.values(rates).reduce((before, rate) => before + rate, 0);
  if (sum > 1000) throw new Error(`--fault: all of them together take ${sum} of a thousand requests`);
  return rates;
}

function perThousand(name: string, text: string): number {
  const rate = whole(name, text);
  if (rate > 1000) throw new Error(`--${name} takes a number from 0 to 1000, not '${text}'`);
  return rate;
}

function whole(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} takes a whole number, not '${text}'`);
  return Number(text);
}
