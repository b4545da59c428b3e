// Pictures, dropped, pasted, chosen or taken -> the values that are prepared.

const MOST_PIXELS = 50_000_000; // more would fill the memory

/** Pixels of a canvas -> {values, width, height}: grey by ITU-R 601, with Pillow's integer weights. */
function greyOf({data, width, height}) {
  const values = new Uint8Array(width * height);
  for (let place = 0, from = 0; place < values.length; place++, from += 4) {
    values[place] = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 0x8000) >> 16;
  }
  return {values, width, height};
}

/** The same in colour: all of red, then green, then blue. */
function planesOf({data, width, height}) {
  const values = new Uint8Array(3 * width * height);
  for (let place = 0; place < width * height; place++) {
    for (let plane = 0; plane < 3; plane++) values[plane * width * height + place] = data[4 * place + plane];
  }
  return {values, width, height};
}

/** A picture, mostly a file, as {bitmap, pixels, board}, upright, with transparency put on white, or on black (board) if its ink is
 *  light. Rejects, with a text for the user, what the browser cannot read. */
async function readPicture(file) {
  const bitmap = await createImageBitmap(file, {colorSpaceConversion: 'none'}).catch(() => {
    throw new Error('This browser cannot read that file as a picture. Try a PNG or a JPEG.');
  });
  const {width, height} = bitmap;
  if (width * height > MOST_PIXELS) throw new Error('That picture is too large. Scale it down.');
  const context = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, width, height), board = isLightDrawing(image);
  return {bitmap, board, pixels: pixelsOf(laidOn(image, board ? 0 : 255))};
}

/** Whether it is transparent somewhere and hardly any of its ink, weighted by opacity, is dark. */
function isLightDrawing(image) {
  const {values} = greyOf(image);
  let ink = 0, dark = 0, clear = false;
  values.forEach((value, place) => {
    const opaque = image.data[4 * place + 3];
    clear ||= opaque < 255;
    ink += opaque;
    if (value < 128) dark += opaque;
  });
  return clear && 200 * dark < ink;
}

/** The image on a background of one grey value. */
function laidOn({data, width, height}, ground) {
  for (let place = 0; place < data.length; place++) {
    const opaque = data[place | 3];
    if (opaque < 255 && place % 4 < 3) data[place] = Math.round((data[place] * opaque + ground * (255 - opaque)) / 255);
  }
  return {data, width, height};
}

/** The first picture among the dropped, pasted or chosen files; the first file if none is marked as a picture. */
function pictureAmong(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith('image/')) ?? files[0] ?? null;
}

/** Pass every picture file that is dropped, pasted or chosen to `take`. */
function listenToFiles(pad, chooser, take) {
  const give = (transfer) => {
    const file = pictureAmong(transfer);
    if (file) take(file);
    return file !== null;
  };
  document.addEventListener('paste', (event) => { if (give(event.clipboardData)) event.preventDefault(); });
  // Anywhere on the page: else the browser would open the dropped picture and leave the page.
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    pad.classList.add('over');
  });
  document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) pad.classList.remove('over'); });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    pad.classList.remove('over');
    give(event.dataTransfer);
  });
  chooser.addEventListener('change', () => {
    give(chooser);
    chooser.value = ''; // so that the same file can be chosen again
  });
}
