'use client';
import { FieldSync } from 'fieldsync';
import { useEffect, useState } from 'react';

const schema = { name: 'notes', version: 1, entities: { note: {} } };

/** A list of notes that is still there after a reload. */
export function Notes() {
  const [db, setDb] = useState();
  const [notes, setNotes] = useState([]);

  // Effects run in the browser alone; the server renders an empty list.
  useEffect(() => {
    const opened = FieldSync.open({ tenant: 'home', user: 'anna', baseUrl: '/api/v1/sync', schema, autoSync: false });
    opened.then(async (client) => {
      setNotes(await client.query('note'));
      setDb(client);
    });
    return () => opened.then((client) => client.close());
  }, []);

  async function add() {
    await db.create('note', { text: 'Buy hay' });
    setNotes(await db.query('note'));
  }

  return (
    <>
      <button type="button" disabled={!db} onClick={add}>
        Add a note
      </button>
      <ul>
        {notes.map((note) => (
          <li key={note._sync.key}>{note.text}</li>
        ))}
      </ul>
    </>
  );
}
