'use client';
/** The card of one record. Whoever opens it is led into it: to the first field of a new record, else to its heading. */
import { type ReactNode, useEffect, useRef } from 'react';
import { usePlace } from '@/lib/place';
import { PlaceLink } from './place-link';

interface Props {
  label: string;
  heading: string;
  /** What the panel shows; another one leads there again. */
  of: unknown;
  begin?: 'heading' | 'field';
  children: ReactNode;
}

export function Panel({ label, heading, of, begin = 'heading', children }: Props) {
  const place = usePlace();
  const section = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: led there when the record changes, not when its name does
  useEffect(() => {
    section.current
      ?.querySelector<HTMLElement>(begin === 'field' ? 'form :is(input, select, textarea)' : 'h2')
      ?.focus();
  }, [of, begin]);
  return (
    <section className="panel" aria-label={label} ref={section}>
      <header className="head">
        <h2 tabIndex={-1}>{heading}</h2>
        <PlaceLink className="button quiet" to={{ ...place, id: null, by: null }}>
          Close
        </PlaceLink>
      </header>
      {children}
    </section>
  );
}
