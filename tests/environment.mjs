/** What tests in browsers are given by whoever runs them, and how Chromium is started for all of them. */

/** Chromium in a container, without what talks to its maker. */
export const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'];

/** What a variable of the environment says. */
export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this by cargo xtask`);
  return value;
}
