/** The page's side: the notes are kept by a worker, which sends the whole list after every change. */
const worker = new Worker('/worker.mjs', { type: 'module' });
const button = document.querySelector('button');

worker.addEventListener('message', ({ data: texts }) => {
  const items = texts.map((text) => {
    const item = document.createElement('li');
    item.textContent = text;
    return item;
  });
  document.querySelector('ul').replaceChildren(...items);
  button.disabled = false;
});
button.addEventListener('click', () => worker.postMessage('Buy hay'));
