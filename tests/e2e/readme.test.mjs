/**
 * The example of README.md, taken out of it as it stands: the schema for app and server, the code in a plain page. Each
 * of its `console.log` lines carries what it prints.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { openStage, TENANT } from './support-stage.mjs';

const PAGE = `<!doctype html>
<title>The README's example</title>
<link rel="icon" href="data:," />
<script type="importmap">{ "imports": { "fieldsync": "/package/dist/index.js" } }</script>
<script type="module" src="/example.js"></script>`;

describe('README.md', { timeout: 60_000 }, () => {
  let stage;
  let readme;
  let code;

  before(async () => {
    readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    const schema = block(readme, 'json');
    code = block(readme, 'js');
    const files = {
      '/readme.html': ['text/html', () => PAGE],
      '/example.js': ['text/javascript', () => code],
      '/schema.json': ['application/json', () => schema],
      '/token': ['text/plain', () => stage.server.token(TENANT, 'anna')],
    };
    stage = await openStage({
      schema: JSON.parse(schema),
      answer: async (request, response) => {
        const file = files[request.url];
        if (file === undefined) return false;
        const [type, content] = file;
        response.writeHead(200, { 'Content-Type': type }).end(await content());
        return true;
      },
    });
  });
  after(() => stage?.close());

  test('the example prints what it says it prints', async () => {
    const wanted = [...code.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
    assert.ok(wanted.length > 0);
    const { context } = await stage.device();
    const page = await context.newPage();
    const printed = [];
    await new Promise((resolve, reject) => {
      page.on('pageerror', reject);
      page.on('console', (message) => {
        if (message.type() === 'error') reject(new Error(message.text()));
        printed.push(message.text());
        if (printed.length === wanted.length) resolve();
      });
      page.goto(`${stage.site.address}/readme.html`).catch(reject);
    });
    assert.deepEqual(printed, wanted);
  });

  test('what it wrote is on the server', async () => {
    const { records } = await stage.server.content(TENANT);
    const pet = records.find(({ entity }) => entity === 'pet');
    const client = records.find(({ entity }) => entity === 'client');
    assert.equal(client.data.name, 'Ada Lindgren');
    assert.deepEqual([pet.data.name, pet.data.clientId], ['Rex', client.id]);
  });

  test('every file that it points to is there', async () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path);
    assert.ok(links.length > 0);
    for (const path of links) await readFile(new URL(`../../${path}`, import.meta.url));
  });
});

/** The one code block of this language. */
function block(text, language) {
  const found = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))];
  assert.equal(found.length, 1, `README.md has ${found.length} blocks of ${language}`);
  return found[0][1];
}
