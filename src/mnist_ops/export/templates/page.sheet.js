// The sheet: strokes drawn with a pointer, or one picture. A sheet is an immutable value {strokes, picture, aspect}; each
// action pushes a new one on the history, and undo pops it. Points are [x, y] from the middle of the area, in its heights;
// aspect: how many of them the area was wide.

const COARSE = 96; // pixels of the raster that is prepared, on any screen: below PHOTO, so that no frame is searched
const CLOSE = 144; // pixels of the height in which several characters are searched
const ACROSS = 2; // heights of the area for several characters that it is wide
const AROUND = 0.125; // heights of the ground around it, so that no stroke lies along the border or crosses the picture
const PEN = 0.065, FINE_PEN = 0.05; // width of a stroke for one character and for several, share of the height
const BLANK = Object.freeze({strokes: Object.freeze([]), picture: null, aspect: 1});

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
    clear: () => { if (!isBlank(now)) put(BLANK); },
    undo: () => { if (past.length) changed(now = past.pop(), true); },
  };
}

function isBlank(sheet) {
  return sheet.strokes.length === 0 && sheet.picture === null;
}

/** The sheet in an area so many heights wide: its strokes smaller, if they were drawn in a wider one and do not fit. */
function fitted({strokes, picture, aspect: own}, aspect) {
  const widest = own > aspect ? Math.max(...strokes.flat().map(([x]) => Math.abs(x))) : 0;
  const scale = Math.min(1, (aspect / 2 - PEN) / widest);
  return {picture, aspect, strokes: strokes.map((points) => points.map(([x, y]) => [scale * x, scale * y]))};
}

/** Paint strokes around the middle of a context, in an area `side` pixels high, through the middles of their points, which
 *  rounds the corners that a fast pointer leaves. */
function paintStrokes(context, strokes, side, pen) {
  const {width, height} = context.canvas;
  context.lineCap = context.lineJoin = 'round';
  context.lineWidth = pen * side;
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [width / 2 + x * side, height / 2 + y * side]);
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

/** The values 0..255 to prepare: of the picture, or of the strokes on paper (black on white) or board, as one character or,
 *  in an area so many heights wide, as several. */
function makeRaster(board) {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', {willReadFrequently: true, alpha: false});
  return (sheet, several, aspect) => {
    if (sheet.picture) return sheet.picture.pixels;
    const side = several ? CLOSE : COARSE;
    canvas.height = several ? side * (1 + 2 * AROUND) : side;
    canvas.width = several ? side * (aspect + 2 * AROUND) : side;
    context.fillStyle = board ? '#000' : '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.strokeStyle = board ? '#fff' : '#000';
    paintStrokes(context, sheet.strokes, side, aspect > 1 ? FINE_PEN : PEN);
    return pixelsOf(context.getImageData(0, 0, canvas.width, canvas.height));
  };
}

/** Show the sheet on the two visible canvases, of equal size. */
function paintSheet(sheet, ink, picture, board) {
  const {width, height} = ink.canvas;
  ink.clearRect(0, 0, width, height);
  ink.strokeStyle = board ? '#fff' : '#15181c';
  paintStrokes(ink, sheet.strokes, height, width > height ? FINE_PEN : PEN);
  picture.clearRect(0, 0, width, height);
  if (!sheet.picture) return;
  const {bitmap} = sheet.picture, scale = Math.min(width / bitmap.width, height / bitmap.height);
  picture.imageSmoothingEnabled = scale < 4; // a tiny picture shows its pixels
  picture.fillStyle = '#000';
  if (sheet.picture.board) picture.fillRect(0, 0, width, height);
  picture.drawImage(bitmap, (width - bitmap.width * scale) / 2, (height - bitmap.height * scale) / 2,
    bitmap.width * scale, bitmap.height * scale);
}

/** Let mouse, pen or finger draw on the canvas: moved(points) with every new point, drawn(points) at the end. */
function listenToPointer(canvas, moved, drawn) {
  let points = null, pointer = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left - box.width / 2) / box.height, (event.clientY - box.top) / box.height - 0.5];
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
