// The sheet: strokes drawn with a pointer, or one picture. A sheet is an immutable value {strokes, picture}; each action
// pushes a new one on the history, and undo pops it.

const COARSE = 96; // pixels of the raster that is prepared, on any screen: below PHOTO, so that no frame is searched
const PEN = 0.065; // width of a stroke, share of the side
const BLANK = Object.freeze({strokes: Object.freeze([]), picture: null});

/** The history of a sheet: its content now, and before. */
function makeHistory(changed) {
  const past = [];
  let now = BLANK;
  const put = (sheet) => {
    past.push(now);
    now = Object.freeze(sheet);
    changed(now, true);
  };
  return {
    get now() { return now; },
    get canUndo() { return past.length > 0; },
    put,
    // A stroke on a picture starts a new drawing.
    addStroke: (stroke) => put({strokes: [...now.strokes, stroke], picture: null}),
    clear: () => { if (!isBlank(now)) put(BLANK); },
    undo: () => { if (past.length) changed(now = past.pop(), true); },
  };
}

function isBlank(sheet) {
  return sheet.strokes.length === 0 && sheet.picture === null;
}

/** Paint strokes of points [x, y] in [0, 1] on a square context of `side` pixels, through the middles of the points,
 *  which rounds the corners that a fast pointer leaves. */
function paintStrokes(context, strokes, side) {
  context.lineCap = context.lineJoin = 'round';
  context.lineWidth = PEN * side;
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [x * side, y * side]);
    context.beginPath();
    context.moveTo(...points[0]);
    for (let index = 1; index < points.length - 1; index++) {
      const [x, y] = points[index], [nextX, nextY] = points[index + 1];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...points[points.length - 1]); // of a single point too: a dot
    context.stroke();
  }
}

/** The values 0..255 to prepare: of the picture, or of the strokes on paper (black on white) or board. */
function makeRaster(board) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = COARSE;
  const context = canvas.getContext('2d', {willReadFrequently: true, alpha: false});
  return (sheet) => {
    if (sheet.picture) return sheet.picture.pixels;
    context.fillStyle = board ? '#000' : '#fff';
    context.fillRect(0, 0, COARSE, COARSE);
    context.strokeStyle = board ? '#fff' : '#000';
    paintStrokes(context, sheet.strokes, COARSE);
    return pixelsOf(context.getImageData(0, 0, COARSE, COARSE));
  };
}

/** Show the sheet on the two visible canvases, of equal size. */
function paintSheet(sheet, ink, picture, board) {
  const fine = ink.canvas.width;
  ink.clearRect(0, 0, fine, fine);
  ink.strokeStyle = board ? '#fff' : '#15181c';
  paintStrokes(ink, sheet.strokes, fine);
  picture.clearRect(0, 0, fine, fine);
  if (!sheet.picture) return;
  const {width, height} = sheet.picture.bitmap;
  const scale = fine / Math.max(width, height);
  picture.imageSmoothingEnabled = scale < 4; // a tiny picture shows its pixels
  picture.fillStyle = '#000';
  if (sheet.picture.board) picture.fillRect(0, 0, fine, fine);
  picture.drawImage(sheet.picture.bitmap, (fine - width * scale) / 2, (fine - height * scale) / 2,
    width * scale, height * scale);
}

/** Let mouse, pen or finger draw on the canvas: moved(points) with every new point, drawn(points) at the end. */
function listenToPointer(canvas, moved, drawn) {
  let points = null, pointer = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener('pointerdown', (event) => {
    if (points || event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(pointer = event.pointerId);
    points = [place(event)];
    moved(points);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!points || event.pointerId !== pointer) return;
    // A pen reports more often than the screen is drawn; older browsers keep the points in between to themselves.
    const events = event.getCoalescedEvents?.() ?? [];
    points.push(...(events.length ? events : [event]).map(place));
    moved(points);
  });
  const end = (event) => {
    if (!points || event.pointerId !== pointer) return;
    const stroke = points;
    points = null;
    drawn(stroke);
  };
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) canvas.addEventListener(name, end);
}
