/** What every side saves and sends. */

/** Items that refer to the one before, in chains of ten. `temp` gives the n-th ID. */
export function items(count, temp = (index) => `temp_${index}`) {
  const ids = Array.from({ length: count }, (_, index) => temp(index));
  return ids.map((id, index) => ({
    id,
    parentId: index % 10 === 0 ? null : ids[index - 1],
    title: `Item ${index}`,
    amount: index * 1.25,
    done: index % 3 === 0,
    text: 'Some words that make a record about as long as records are. '.repeat(3),
  }));
}

/** Runs the job for each record: one after the other, or all begun at once. */
export async function each(records, overlapping, job) {
  if (overlapping) await Promise.all(records.map(job));
  else for (const record of records) await job(record);
}

/** Slices of an array. */
export function* batches(all, size) {
  for (let first = 0; first < all.length; first += size) yield all.slice(first, first + size);
}

/** Sends operations to the server that answers at once. Gives the real ID of each temporary one. */
export async function upload(operations) {
  const response = await fetch('/raw/upload', { method: 'POST', body: JSON.stringify({ operations }) });
  if (!response.ok) throw new Error(`an upload failed: ${response.status}`);
  const { results } = await response.json();
  return new Map(results.map(({ id, realId }) => [id, realId]));
}

/** All records that the server has. */
export async function allRecords() {
  return (await fetch('/raw/records')).json();
}

/** Nothing that a side says it has done counts if it is not there. */
export function expect(found, wanted, what) {
  if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted}`);
}
