/** The table that the bench prints: one row per job and side, while it runs. */

const WIDTHS = [28, 12];
const WIDTH = 10;

export function printHead() {
  printRow(['job', 'side', 'x raw', 'least', 'most', 'ms', 'requests']);
}

/** The rounds of one job: its time as a ratio to raw's in the same round, the median of them and the extremes. */
export function printRounds(title, rounds) {
  for (const name of Object.keys(rounds[0])) {
    const ratios = rounds.map((round) => round[name].took / round.raw.took);
    const shown = spread(ratios);
    const ms = median(rounds.map((round) => round[name].took)).toFixed(1);
    printRow([title, name, ...shown, ms, String(rounds[0][name].requests || '')]);
  }
}

/** The median and the extremes. */
export function spread(numbers) {
  return [median(numbers), Math.min(...numbers), Math.max(...numbers)].map((number) => number.toFixed(2));
}

export function printRow(cells) {
  const shown = cells.map((cell, at) => (at < WIDTHS.length ? cell.padEnd(WIDTHS[at]) : cell.padStart(WIDTH)));
  console.log(shown.join(''));
}

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
