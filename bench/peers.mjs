/**
 * The other libraries, each with its module of `bench/peers` in one file that the page loads when its turn comes.
 *
 * The packages lie in FIELDSYNC_PEERS, where `cargo xtask bench --beside` installs them.
 */
import { cp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { PEERS } from './arguments.mjs';

const SOURCES = fileURLToPath(new URL('peers', import.meta.url));

/** Writes the files; gives each peer's name, what it can do, and whether it sends each operation by itself. */
export async function bundlePeers(folder) {
  const packages = process.env.FIELDSYNC_PEERS;
  if (!packages) throw new Error('FIELDSYNC_PEERS is not set: run this by cargo xtask bench --beside');
  const { metafile } = await build({
    entryPoints: PEERS.map((name) => join(SOURCES, `${name}.mjs`)),
    outdir: folder,
    bundle: true,
    format: 'esm',
    minify: true,
    metafile: true,
    logLevel: 'warning',
    nodePaths: [join(packages, 'node_modules')],
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  // The only one with files of its own: a worker, and SQLite's modules.
  await cp(join(packages, 'node_modules/@powersync/web/dist/worker'), join(folder, 'powersync'), { recursive: true });
  return Object.entries(metafile.outputs)
    .filter(([, { entryPoint }]) => entryPoint !== undefined)
    .map(([file, { exports }]) => {
      return { name: basename(file, '.js'), jobs: exports, oneRequestEach: exports.includes('ONE_REQUEST_EACH') };
    });
}
