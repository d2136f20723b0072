import { hashData, init, isTempId } from 'fieldsync';
import { Notes } from './notes.jsx';

// Rendered for every request: the package runs on the server, not only at the build.
export const dynamic = 'force-dynamic';

/** What the package does here: it answers what needs no module, and refuses the rest without having touched anything. */
async function onTheServer() {
  const refusals = [
    await refused(() => hashData({})), // needs the module, which importing did not load
    await refused(() => init()), // there is no browser to load it in
  ];
  return JSON.stringify({ temporary: isTempId('temp_1_abcdefghabcdefgh_note'), refusals });
}

async function refused(call) {
  try {
    await call();
  } catch ({ code }) {
    return code;
  }
}

export default async function Page() {
  return (
    <main>
      <pre>{await onTheServer()}</pre>
      <Notes />
    </main>
  );
}
