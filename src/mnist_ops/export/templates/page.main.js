// START HERE for the page: prepares the sheet, runs it through the network and shows the result.

const DATA = JSON.parse(element('network').textContent);
const network = makeNetwork(DATA);
const NO_INK = 'No ink found: draw larger, or use a picture with more contrast';
const PAUSE = 150; // milliseconds after a stroke until several characters are read
const pixelsOf = (image) => (network.channels === 3 ? planesOf(image) : greyOf(image));
const prepare = (picture) => METHODS[DATA.prepare](picture, network.side);

/** The result for a prepared image: the index of its class, the probability of each, the logits and, above 0 where it
 *  is of none of the classes, the oddness: null for a network without that score. */
function answer(pixels) {
  const logits = network.run(pixels), probabilities = softmax(logits), best = largest(probabilities);
  const odd = DATA.score ? oddness(DATA.score, network.last.input.output, probabilities[best]) : null;
  return {best, probabilities, logits: Array.from(logits), oddness: odd};
}

/** Whether a result counts: 'read', 'unsure', or the word for what is of no class. Without the score nothing is refused. */
function verdictOf({best, probabilities, oddness}) {
  if (oddness > 0) return DATA.score.word;
  return probabilities[best] >= (DATA.score ? DATA.score.limit[0] : 0.5) ? 'read' : 'unsure';
}

const counted = (count, name) => `${count} ${name}${count > 1 ? 's' : ''}`;

/** The characters of a reading as they are shown; the text to show, whether it is sure, and what is told of it. */
function described({lines, marks}) {
  const characters = lines.flat().map((one) => ({...one, name: DATA.classes[one.best], share: one.probabilities[one.best],
    verdict: verdictOf(one)}));
  const text = textOf(lines, DATA.classes), left = marks ? `.\nLeft out: ${counted(marks, 'mark')} such as a dash` : '';
  const number = (word) => characters.filter(({verdict}) => verdict === word).length, word = DATA.score?.word;
  if (number(word) === characters.length) return {characters, text: word, sure: false, told: `This is ${word}${left}`};
  const doubts = ['unsure', word].filter(number).map((word) => `, ${number(word)} ${word}`).join('');
  return {characters, text, sure: !doubts,
    told: `Read as ${text.replace(/\n/g, ' / ')}: ${counted(characters.length, 'character')}${doubts}${left}`};
}

function start() {
  const size = `${network.side}×${network.side}`, pad = element('pad'), several = element('several');
  element('size').textContent = size;
  element('input').width = element('input').height = network.side;
  const raster = makeRaster(DATA.board), stages = makeStages(network, DATA.classes), bars = makeBars(DATA.classes);
  const canvases = [element('ink').getContext('2d'), element('picture').getContext('2d')];
  const aspect = () => several.checked ? ACROSS : 1;
  let waiting = null, telling = 0, reading = 0;

  /** Tell it to screen readers, once the pointer rests. */
  const tell = (text, settled) => {
    clearTimeout(telling);
    telling = setTimeout(() => { element('status').textContent = text; }, settled ? 0 : 400);
  };
  const showNothing = (text, shown, settled) => {
    showInput(null, 'What the network sees: nothing yet');
    bars(null);
    stages.dim();
    showRow([]);
    showClass(shown, false);
    tell(text, settled);
  };
  const showAnswer = (pixels, more, settled) => {
    const result = answer(pixels), {best, probabilities} = result, name = DATA.classes[best], verdict = verdictOf(result);
    showInput(pixels, `What the network sees: the picture in ${size} pixels`);
    stages.show(settled);
    const refused = !['read', 'unsure'].includes(verdict), doubt = DATA.score && verdict === 'unsure' ? ', unsure' : '';
    bars(refused ? null : probabilities);
    showClass(refused ? verdict : name, verdict === 'read');
    element('all').hidden = !more;
    const rest = more ? `.\nIt shows at least ${counted(more, 'more character')}, and is read as one` : '';
    tell((refused ? `This is ${verdict}` : `Read as ${name}, ${percent(probabilities[best])}${doubt}`) + rest, settled);
  };
  const showSeveral = (sheet) => {
    const picture = raster(sheet, true, ACROSS), found = readSeveral(picture, answer);
    if (!found) return showNothing(NO_INK, '?', true);
    const {characters, text, sure, told} = described(found), {width, height} = canvases[0].canvas;
    showRow(characters);
    showText(text, sure);
    paintBoxes(canvases[0], characters, picture,
      sheet.picture ? Math.min(width / picture.width, height / picture.height) : height / CLOSE);
    tell(told, true);
  };
  const showOne = (sheet, settled) => {
    const found = prepare(raster(sheet, false, 1));
    if (!found) return showNothing(NO_INK, '?', settled);
    // In a drawing more is visible at a higher resolution.
    const look = settled && DATA.prepare === 'mnist' && sheet.strokes.length;
    showAnswer(found.pixels, look ? prepare(raster(sheet, true, 1))?.more ?? 0 : found.more, settled);
  };
  const show = (sheet, settled) => {
    paintSheet(sheet, ...canvases, DATA.board);
    clearTimeout(reading);
    element('all').hidden = true;
    if (isBlank(sheet)) return showNothing(DATA.invitations[Number(several.checked)], '', settled);
    if (!several.checked) return showOne(sheet, settled);
    if (settled) reading = setTimeout(showSeveral, PAUSE, sheet); // once the pen rests
  };
  /** At most once per frame, however many points a pen reports. */
  const schedule = (sheet, settled) => {
    if (!waiting) {
      requestAnimationFrame(() => {
        const {sheet, settled} = waiting;
        waiting = null;
        show(fitted(sheet, aspect()), settled);
      });
    }
    waiting = {sheet, settled};
  };
  const history = makeHistory((sheet, settled) => {
    pad.classList.toggle('used', !isBlank(sheet));
    // Not really disabled, which would take the keyboard focus away.
    element('undo').setAttribute('aria-disabled', !history.canUndo);
    element('clear').setAttribute('aria-disabled', isBlank(sheet));
    element('ink').setAttribute('aria-label', describe(sheet));
    schedule(sheet, settled);
  });
  const choose = () => {
    document.body.classList.toggle('wide', several.checked);
    for (const {canvas} of canvases) canvas.width = canvas.height * aspect();
    schedule(history.now, true);
  };
  element('mode').hidden = DATA.prepare !== 'mnist';
  element('mode').addEventListener('change', choose);
  element('all').addEventListener('click', () => {
    several.checked = true;
    several.focus();
    choose();
  });
  // A stroke on a picture starts a new drawing.
  const added = (stroke) => ({strokes: [...fitted(history.now, aspect()).strokes, stroke], picture: null, aspect: aspect()});
  listen(history, (points) => schedule(added([...points]), false), (stroke) => history.put(added(stroke)),
    (text) => tell(text, true));
  addEventListener('error', ({error, message}) => tell(error?.message ?? message, true)); // announced, not only logged
  choose(); // a browser may remember what was chosen
}

function describe({strokes, picture}) {
  if (picture) return 'Drawing area, holding a picture';
  return `Drawing area, ${strokes.length ? `${strokes.length} stroke${strokes.length > 1 ? 's' : ''}` : 'empty'}`;
}

/** Every control: pointer, files, buttons, keys. */
function listen(history, moved, drawn, tell) {
  const choose = () => element('file').click();
  listenToPointer(element('ink'), (points) => {
    element('pad').classList.add('used');
    moved(points);
  }, drawn);
  const take = (source) => {
    endCamera();
    readPicture(source).then((picture) => history.put({...BLANK, picture}), (error) => tell(error.message));
  };
  const endCamera = listenToCamera(element('camera'), element('video'), take, tell);
  listenToFiles(element('pad'), element('file'), take);
  for (const name of ['undo', 'clear']) {
    element(name).addEventListener('click', () => {
      endCamera();
      history[name]();
    });
  }
  element('choose').addEventListener('click', choose);
  document.addEventListener('keydown', (event) => {
    const held = event.ctrlKey || event.metaKey;
    const act = held && !event.shiftKey && !event.altKey ? {z: history.undo, o: choose}[event.key.toLowerCase()]
      : !held && {Delete: history.clear, Escape: endCamera}[event.key];
    if (!act) return;
    event.preventDefault();
    endCamera();
    act();
  });
}

// For checks and tests: the page's functions without the page.
globalThis.mnistOps = Object.freeze({
  classes: Object.freeze(DATA.classes),
  prepare: (values, width, height) => prepare({values, width, height})?.pixels ?? null, // -> bytes, null without ink
  more: (values, width, height) => prepare({values, width, height})?.more ?? null, // further characters
  candidates: (values, width, height) => rowsOf(shrink({values, width, height}, LARGEST)), // null without ink
  several: (values, width, height) => readSeveral({values, width, height}, answer), // null without ink
  logits: (pixels) => network.run(pixels).slice(),
  answer,
  read: readPicture, // a picture file -> {bitmap, pixels: {values, width, height}}
});
// A JavaScript engine without a page has no such event, and only computes.
document.addEventListener('DOMContentLoaded', start);
