/**
 * The package as its own tests see it: the glue of the wasm module is replaced by one that compiles and no more, because it
 * is built elsewhere and later.
 */
import { register } from 'node:module';

const noGlue = `export async function resolve(specifier, context, next) {
  if (!specifier.endsWith('/wasm/fieldsync.js')) return next(specifier, context);
  return { url: 'data:text/javascript,export const makeGlue = () => ({ init: ({ module_or_path }) => WebAssembly.compile(module_or_path) })', shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(noGlue)}`);
export const { FieldSync, init, deepEqual, hashData } = await import('../../pkg/dist/index.js');
export const { loaded, provide } = await import('../../pkg/dist/load.js');
export const { installFieldSync } = await import('../../pkg/dist/service-worker.js');
export const { Instance } = await import('../../pkg/dist/instance.js');
