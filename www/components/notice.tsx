/** A message that the user must not miss; assistive technology reads it at once. */
import type { ReactNode } from 'react';

export function Notice({ tone, children }: { tone: 'danger' | 'warning'; children: ReactNode }) {
  return (
    <p className="notice" data-tone={tone} role="alert">
      {children}
    </p>
  );
}
