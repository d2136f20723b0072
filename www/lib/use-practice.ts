'use client';
/** How screens reach the store of the practice that is open. */
import type { Key } from 'fieldsync';
import { createContext, useCallback, useContext, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import type { AnyRecord, Entity } from './clinic';
import { descriptions, type NameOf } from './entities';
import { EMPTY, type PracticeStore, type Snapshot } from './store';

export const PracticeContext = createContext<PracticeStore | null>(null);

export function usePractice(): PracticeStore {
  const store = useContext(PracticeContext);
  if (!store) throw new Error('a screen outside of a practice');
  return store;
}

/** One part of the snapshot. `select` must return a part as it is, not a new object. */
export function useSnapshot<T>(select: (snapshot: Snapshot) => T): T {
  const store = usePractice();
  return useSyncExternalStore(
    store.subscribe,
    () => select(store.snapshot()),
    () => select(EMPTY),
  );
}

/** What a record is called, wherever it is referred to. */
export function useNameOf(): NameOf {
  const records = useSnapshot((snapshot) => snapshot.records);
  const byId = useMemo(() => {
    const maps = {} as Record<Entity, Map<unknown, AnyRecord>>;
    for (const entity of Object.keys(records) as Entity[]) {
      maps[entity] = new Map(records[entity].map((record) => [record.id, record]));
    }
    return maps;
  }, [records]);
  return useCallback(
    (entity, id) => {
      const named: NameOf = (of, key) => {
        const record = byId[of].get(key);
        return record ? descriptions[of].title(record, named) : '';
      };
      return named(entity, id);
    },
    [byId],
  );
}

/**
 * The record that has, or ever had, this ID: a temp ID in an old address still opens it. `undefined` while it is
 * looked for, `null` if there is none.
 */
export function useRecord(entity: Entity, id: Key): AnyRecord | null | undefined {
  const store = usePractice();
  const records = useSnapshot((snapshot) => snapshot.records[entity]);
  const listed = useMemo(() => records.find((record) => record.id === id), [records, id]);
  const [found, setFound] = useState<{ for: Key; record: AnyRecord | null } | null>(null);
  useEffect(() => {
    if (listed) return;
    let current = true;
    store.client.get(entity, id).then(
      (record) => current && setFound({ for: id, record: (record as AnyRecord | undefined) ?? null }),
      () => current && setFound({ for: id, record: null }),
    );
    return () => {
      current = false;
    };
  }, [store, entity, id, listed]);
  if (listed) return listed;
  if (found?.for !== id) return undefined;
  // Found once under an earlier ID, it is followed in the list under its present one.
  const present = found.record?.id;
  return records.find((record) => record.id === present) ?? found.record;
}
