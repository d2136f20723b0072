import { Suspense } from 'react';
import { ClinicApp } from '@/components/clinic-app';

export default function Page() {
  // The place is read from the query string, which is known in the browser only.
  return (
    <Suspense fallback={<p className="opening">Opening the clinic…</p>}>
      <ClinicApp />
    </Suspense>
  );
}
