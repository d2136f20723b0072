/**
 * The words after `cargo xtask bench`. Run by itself, it only checks them: what is wrong with them is told before
 * anything is installed or built, so nothing but Node is needed here.
 */
import { readdirSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LAUNCH } from '../tests/environment.mjs';

export const JOBS = [
  'save',
  'push',
  'cascade',
  'download',
  'coldStart',
  'graph',
  'conflicts',
  'trail',
  'functions',
  'size',
];
const BROWSERS = Object.keys(LAUNCH);
/** The other libraries, each a module of `bench/peers`. */
export const PEERS = readdirSync(new URL('peers', import.meta.url))
  .filter((file) => file.endsWith('.mjs'))
  .map((file) => basename(file, '.mjs'))
  .sort();

/** What the words ask for. What cannot be asked is an Error of one sentence. */
export function parse(argv) {
  const { only, ...given } = options(argv);
  const rounds = Number(given.rounds ?? (given.quick ? 2 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds takes a whole number from 1, not '${given.rounds}'`);
  }
  if (!BROWSERS.includes(given.browser)) throw new Error(`--browser takes one of ${BROWSERS.join(', ')}`);
  const jobs = chosen('--jobs', given.jobs, JOBS, JOBS);
  const sides = chosen('--only', only, ['fieldsync', ...PEERS], ['fieldsync', ...(given.beside ? PEERS : [])]);
  const peers = sides.filter((name) => PEERS.includes(name));
  if (!given.beside && peers.length > 0) throw new Error(`--only ${peers.join(',')}: other libraries need --beside`);
  return { ...given, rounds, jobs, sides };
}

/** The same for a program, which ends with the sentence. */
export function parseOrEnd() {
  try {
    return parse(process.argv.slice(2));
  } catch (error) {
    console.error(`bench: ${error.message}`);
    process.exit(2);
  }
}

function options(argv) {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        quick: { type: 'boolean', default: false },
        beside: { type: 'boolean', default: false },
        browser: { type: 'string', default: 'chromium' },
        only: { type: 'string' },
        jobs: { type: 'string' },
        rounds: { type: 'string' },
      },
    });
    return values;
  } catch (cause) {
    // Its first line says what is wrong; advice on writing command lines may follow.
    throw new Error(cause.message.split('\n')[0], { cause });
  }
}

/** The names in a list with commas, each of which must be known; without a list, `all`. */
function chosen(option, list, known, all) {
  const names = list?.split(',') ?? all;
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`${option} knows ${known.join(', ')}, not '${unknown.join(', ')}'`);
  return names;
}

const [, program] = process.argv;
if (program !== undefined && realpathSync(program) === fileURLToPath(import.meta.url)) parseOrEnd();
