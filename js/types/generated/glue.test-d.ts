/**
 * The boundary is written by hand (`js/src/boundary.ts`); here it is held against the glue that wasm-bindgen made of
 * `src/wasm`. A method that one side renamed, or that takes more than crosses, fails here and not in an app.
 */
import type * as generated from '../../../.fieldsync/glue/fieldsync.js';
import type { AtOnce, Computed, Engine, Glue, Later } from '../../src/boundary.js';
import { type Assignable, expect, type Same } from '../equal.js';

// Everything that is agreed is exported, and nothing else but what wasm-bindgen calls itself at the start. The build
// gives `init` its name.
expect<Same<Exclude<keyof typeof generated, 'start' | 'default'> | 'init', keyof Glue>>(true);
expect<Same<Exclude<keyof generated.Engine, 'free' | typeof Symbol.dispose>, keyof Engine>>(true);

/** What follows the name of the method. */
type Rest<F extends (name: string, ...rest: never[]) => unknown> = F extends (name: string, ...rest: infer R) => unknown
  ? R
  : never;
expect<Assignable<Later[keyof Later], Rest<generated.Engine['call']>>>(true);
expect<Assignable<AtOnce[keyof AtOnce], Rest<generated.Engine['now']>>>(true);
expect<Assignable<Computed[keyof Computed], Rest<typeof generated.compute>>>(true);
expect<Assignable<generated.Engine['sync'], Engine['sync']>>(true);

expect<Same<ReturnType<generated.Engine['call']>, ReturnType<Engine['call']>>>(true);
expect<Same<ReturnType<generated.Engine['now']>, ReturnType<Engine['now']>>>(true);
expect<Same<ReturnType<typeof generated.compute>, ReturnType<Glue['compute']>>>(true);
expect<Assignable<Parameters<Glue['Engine']['open']>, Parameters<typeof generated.Engine.open>>>(true);
expect<Same<Awaited<ReturnType<typeof generated.Engine.open>>, generated.Engine>>(true);

expect<Assignable<typeof generated.initSync, Glue['initSync']>>(true);
expect<Assignable<typeof generated.default, Glue['init']>>(true);

// @ts-expect-error: a fourth text does not cross
expect<Assignable<[string, string, string, string], Rest<generated.Engine['call']>>>(true);
