/** Compile-time assertions for the type tests. */

/** `A` can be used wherever `B` is asked for. */
export type Assignable<A, B> = [A] extends [B] ? true : false;

/** Both directions: neither promises less than the other. */
export type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/** Compiles only for `true`. */
export function expect<T extends true>(..._: T[]): void {}
