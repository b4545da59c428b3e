// START HERE for the page: prepares the sheet, runs it through the network and shows the result.

const DATA = JSON.parse(element('network').textContent);
const network = makeNetwork(DATA);
const pixelsOf = (image) => (network.channels === 3 ? planesOf(image) : greyOf(image));
const prepare = (picture) => METHODS[DATA.prepare](picture, network.side);

/** The result for a prepared image: the index of its class, the probability of each, and, above 0 where it is of none of
 *  them, the oddness: null for a network without that score. */
function answer(pixels) {
  const probabilities = softmax(network.run(pixels)), best = largest(probabilities);
  const odd = DATA.score ? oddness(DATA.score, network.last.input.output, probabilities[best]) : null;
  return {best, probabilities, oddness: odd};
}

function start() {
  const size = `${network.side}×${network.side}`;
  element('size').textContent = size;
  element('input').width = element('input').height = network.side;
  const raster = makeRaster(DATA.board), stages = makeStages(network, DATA.classes), bars = makeBars(DATA.classes);
  const canvases = [element('ink').getContext('2d'), element('picture').getContext('2d')];
  let waiting = null, telling = 0;

  /** Tell it to screen readers, once the pointer rests. */
  const tell = (text, settled) => {
    clearTimeout(telling);
    telling = setTimeout(() => { element('status').textContent = text; }, settled ? 0 : 400);
  };
  const showNothing = (text, shown, settled) => {
    showInput(null, 'What the network sees: nothing yet');
    bars(null);
    stages.dim();
    showClass(shown, false);
    tell(text, settled);
  };
  const showAnswer = (pixels, settled) => {
    const {best, probabilities, oddness} = answer(pixels), name = DATA.classes[best];
    showInput(pixels, `What the network sees: the picture in ${size} pixels`);
    stages.show(settled);
    if (oddness > 0) {
      bars(null);
      showClass(DATA.score.word, false);
      return tell(`This is ${DATA.score.word}`, settled);
    }
    bars(probabilities);
    const sure = probabilities[best] >= (DATA.score ? DATA.score.limit[0] : 0.5);
    showClass(name, sure);
    tell(`Read as ${name}, ${percent(probabilities[best])}${DATA.score && !sure ? ', unsure' : ''}`, settled);
  };
  const show = (sheet, settled) => {
    paintSheet(sheet, ...canvases, DATA.board);
    if (isBlank(sheet)) return showNothing(DATA.invitation, '', settled);
    const pixels = prepare(raster(sheet));
    if (pixels) showAnswer(pixels, settled);
    else showNothing('No ink found: draw larger, or use a picture with more contrast', '?', settled);
  };
  /** At most once per frame, however many points a pen reports. */
  const schedule = (sheet, settled) => {
    if (!waiting) {
      requestAnimationFrame(() => {
        const {sheet, settled} = waiting;
        waiting = null;
        show(sheet, settled);
      });
    }
    waiting = {sheet, settled};
  };
  const history = makeHistory((sheet, settled) => {
    element('pad').classList.toggle('used', !isBlank(sheet));
    // Not really disabled, which would take the keyboard focus away.
    element('undo').setAttribute('aria-disabled', !history.canUndo);
    element('clear').setAttribute('aria-disabled', isBlank(sheet));
    element('ink').setAttribute('aria-label', describe(sheet));
    schedule(sheet, settled);
  });
  listen(history, schedule, (text) => tell(text, true));
  addEventListener('error', ({error, message}) => tell(error?.message ?? message, true)); // announced, not only logged
  show(BLANK, true);
}

function describe({strokes, picture}) {
  if (picture) return 'Drawing area, holding a picture';
  return `Drawing area, ${strokes.length ? `${strokes.length} stroke${strokes.length > 1 ? 's' : ''}` : 'empty'}`;
}

/** Every control: pointer, files, buttons, keys. */
function listen(history, schedule, tell) {
  const choose = () => element('file').click();
  listenToPointer(element('ink'),
    (points) => {
      element('pad').classList.add('used');
      schedule({strokes: [...history.now.strokes, [...points]], picture: null}, false);
    },
    history.addStroke);
  const take = (source) => {
    endCamera();
    readPicture(source).then((picture) => history.put({strokes: [], picture}), (error) => tell(error.message));
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
  prepare: (values, width, height) => prepare({values, width, height}), // -> bytes, null without ink
  logits: (pixels) => network.run(pixels).slice(),
  answer,
  read: readPicture, // a picture file -> {bitmap, pixels: {values, width, height}}
});
// A JavaScript engine without a page has no such event, and only computes.
document.addEventListener('DOMContentLoaded', start);
