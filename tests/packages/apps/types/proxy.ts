/** A test's side, in types: the proxy in Node. */
import { openProxy, type Proxy as Running } from 'fieldsync/fault-proxy';

export async function badNetwork(): Promise<Running> {
  const proxy = await openProxy({ upstream: 'http://127.0.0.1:8787', seed: 7 });
  proxy.address satisfies string;
  // @ts-expect-error: the server must be named
  await openProxy({ seed: 7 });
  return proxy;
}
