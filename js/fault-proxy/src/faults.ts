/**
 * What can go wrong between a client and its server, as data: the kinds, how often each shall happen, and the pure
 * choice of one for a request.
 */

/** Every kind of fault, with what it does to one exchange. */
export const FAULTS = {
  'drop-before': 'the connection breaks before the server sees the request',
  'drop-after': 'the server has answered; the connection breaks before the answer passes',
  duplicate: 'the server gets the request twice in a row; the first answer passes',
  'late-duplicate': 'the answer passes; the server gets the request once more after later ones',
  reorder: 'the request waits until a later one has passed',
  delay: 'the answer waits',
  stall: 'the answer stops in the middle and the connection stays open',
  truncate: 'the connection breaks in the middle of the answer',
  'end-early': 'the answer ends in the middle as if it were whole',
  portal: 'a login page of the network answers, with status 200',
  redirect: 'the network redirects to a login page',
  '401': 'somebody on the way answers 401',
  '403': 'somebody on the way answers 403',
  '409': 'somebody on the way answers 409',
  '413': 'somebody on the way finds the request too large',
  '429': 'too many requests; Retry-After names a second',
  '500': 'the server has done its work, and answers 500',
  '502': 'a gateway does not reach the server',
  '503': 'the server is overloaded; Retry-After names a second',
  '504': 'the server has done its work, and a gateway has stopped waiting',
  'gzip-bomb': 'a small body that grows to a gigabyte answers',
  slow: 'the answer comes in small pieces, over a slow link',
} as const satisfies Record<string, string>;

/** The name of a kind. */
export type Fault = keyof typeof FAULTS;

/** How many of a thousand requests shall meet each kind. What is left out never happens. */
export type Rates = Partial<Record<Fault, number>>;

/** Every kind. */
export const KINDS = Object.keys(FAULTS) as Fault[];

/** Whether a text names a kind. */
export function isFault(text: string): text is Fault {
  return Object.hasOwn(FAULTS, text);
}

/** The same rate for every kind, so that `perThousand` of a thousand requests meet some fault. */
export function evenRates(perThousand: number): Rates {
  return Object.fromEntries(KINDS.map((kind) => [kind, perThousand / KINDS.length]));
}

/** The fault for the next request, or nothing. `draw` is a number from 0 up to 1. */
export function choose(rates: Rates, draw: number): Fault | undefined {
  let left = draw * 1000;
  for (const kind of KINDS) {
    left -= rates[kind] ?? 0;
    if (left < 0) return kind;
  }
  return undefined;
}
