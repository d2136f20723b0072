/** The same from CommonJS: Node 20.19 and newer require ES modules. */
const { readFileSync } = require('node:fs');
const { hashData, initSync } = require('fieldsync');

initSync(readFileSync(require.resolve('fieldsync/fieldsync.wasm')));
console.log(JSON.stringify({ hash: hashData({ b: 1, a: 'ä' }) }));
