'use client';
/** A real link, which a plain click follows without a request. */
import type { ReactNode } from 'react';
import { go, href, type Place } from '@/lib/place';

interface Props {
  to: Place;
  className?: string;
  current?: boolean;
  children: ReactNode;
}

export function PlaceLink({ to, className, current, children }: Props) {
  return (
    <a
      href={href(to)}
      className={className}
      aria-current={current ? 'page' : undefined}
      onClick={(event) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}
