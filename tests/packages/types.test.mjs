/**
 * The declarations of the packed package under each compiler that its users may have, as a bundler resolves them and as
 * Node does: `apps/types` compiles, with the declarations checked and not skipped.
 *
 * What was seen is compared with the table in docs/packages.md.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { compareTable, openTable } from '../table.mjs';
import { freshApp, MODULES, PACKAGE, version } from './stand.mjs';

const COMPILERS = ['typescript-5.9', 'typescript-6', 'typescript-7'];
const RESOLUTIONS = ['bundler', 'nodenext'];
const table = openTable('compiler');

/** Compiles; gives what the compiler said, or the errors. */
async function compile(compiler, folder, args) {
  const program = join(MODULES, compiler, 'bin/tsc');
  return promisify(execFile)(process.execPath, [program, '--pretty', 'false', ...args], { cwd: folder }).then(
    ({ stdout }) => ({ ok: true, said: stdout }),
    ({ stdout, stderr }) => ({ ok: false, said: stdout + stderr }),
  );
}

for (const compiler of COMPILERS) {
  describe(compiler, { timeout: 300_000 }, () => {
    let app;
    let name;
    before(async () => {
      app = await freshApp('types', compiler);
      name = `TypeScript ${await version(compiler)}`;
    });

    for (const resolution of RESOLUTIONS) {
      test(`with moduleResolution ${resolution}`, async () => {
        table.set(name, resolution, '**broken**');
        const { ok, said } = await compile(compiler, app, ['--project', `tsconfig.${resolution}.json`, '--listFiles']);
        assert.ok(ok, said);
        const declared = await declarations();
        for (const [entry, file] of declared) assert.ok(said.includes(file), `${entry}: ${file} was not read`);
        table.set(name, resolution, declared.map(([entry]) => `\`${entry}\``).join(', '));
      });
    }

    test('every declaration file that is shipped is without errors by itself', async () => {
      const files = (await readdir(join(PACKAGE, 'dist'), { recursive: true }))
        .filter((file) => file.endsWith('.d.ts'))
        .map((file) => join(PACKAGE, 'dist', file));
      const project = { extends: './tsconfig.nodenext.json', files, include: [] };
      await writeFile(join(app, 'tsconfig.shipped.json'), JSON.stringify(project));
      const { ok, said } = await compile(compiler, app, ['--project', 'tsconfig.shipped.json']);
      assert.ok(ok, said);
    });

    test('a wrong use does not compile', async () => {
      const file = join(app, 'wrong.ts');
      await writeFile(file, "import { isTempId } from 'fieldsync';\nisTempId({}) satisfies string;\n");
      const { ok, said } = await compile(compiler, app, ['--project', 'tsconfig.nodenext.json']);
      assert.equal(ok, false);
      assert.match(said, /wrong\.ts\(2,\d+\): error TS(2345|1360)/);
    });
  });
}

test('docs/packages.md tells which compilers take the types', () =>
  compareTable('docs/packages.md', 'types', table.text()));

/** Every entry of the package that has types, by the name that an app imports, and its file. */
async function declarations() {
  const { name, exports } = JSON.parse(await readFile(join(PACKAGE, 'package.json'), 'utf8'));
  return Object.entries(exports)
    .filter(([, entry]) => entry.types !== undefined)
    .map(([path, entry]) => [join(name, path), join('node_modules', name, entry.types)]);
}
