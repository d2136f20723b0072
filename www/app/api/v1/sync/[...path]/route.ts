/**
 * Hands sync requests on to the FieldSync server, so that the browser sees one origin. Bodies are streamed both ways:
 * a first download is long, and the page shows it while it comes.
 *
 * A rewrite in the configuration would be fixed when the app is built; where the server is, is known when it starts.
 */
const FORWARDED = ['authorization', 'content-type', 'accept'];
const RETURNED = ['content-type', 'cache-control', 'retry-after'];

async function forward(request: Request, path: string[]): Promise<Response> {
  const server = process.env.FIELDSYNC_SERVER;
  if (!server) return unreachable('The app was started without FIELDSYNC_SERVER.');
  const target = new URL(`/api/v1/sync/${path.map(encodeURIComponent).join('/')}`, server);
  target.search = new URL(request.url).search;
  try {
    const answer = await fetch(target, {
      method: request.method,
      // What is passed on is passed on as it is, so nothing may be compressed on the way here.
      headers: { ...pick(request.headers, FORWARDED), 'accept-encoding': 'identity' },
      body: request.body,
      signal: request.signal,
      redirect: 'manual',
      cache: 'no-store',
      duplex: 'half',
    } as RequestInit);
    return new Response(answer.body, { status: answer.status, headers: pick(answer.headers, RETURNED) });
  } catch (cause) {
    return unreachable(cause instanceof Error ? cause.message : 'The sync server does not answer.');
  }
}

function pick(headers: Headers, names: string[]): Record<string, string> {
  const present = names.map((name) => [name, headers.get(name)] as const).filter(([, value]) => value !== null);
  return Object.fromEntries(present) as Record<string, string>;
}

function unreachable(message: string): Response {
  // In the shape of the server's own errors: the client tries again later.
  const error = { code: 'unavailable', message, retryable: true };
  return Response.json({ error }, { status: 502, headers: { 'cache-control': 'no-store' } });
}

type Context = { params: Promise<{ path: string[] }> };

export async function GET(request: Request, { params }: Context): Promise<Response> {
  return forward(request, (await params).path);
}

export async function POST(request: Request, { params }: Context): Promise<Response> {
  return forward(request, (await params).path);
}
