// Any picture -> the image that the network expects; the same steps and pixels as pictures/prepare.py. A picture is
// {values, width, height}: a byte per pixel, in colour all of red, then green, then blue.

/** side x side pixels of each plane, as pictures/prepare.py stretches them. */
function resize({values, width, height}, side) {
  if (width === side && height === side) return Uint8Array.from(values);
  const size = width * height, planes = values.length / size, way = planes === 1 && side === SIDE ? nearest : bilinear;
  const made = new Uint8Array(planes * side * side);
  for (let plane = 0; plane < planes; plane++) {
    const one = {values: values.subarray(plane * size, (plane + 1) * size), width, height};
    made.set(way(one, side), plane * side * side);
  }
  return made;
}

/** By nearest neighbour, as in Pillow: positions are accumulated, and their rounding decides ties. */
function nearest({values, width, height}, side) {
  const positions = (length) => {
    const step = length / side, found = [];
    for (let index = 0, place = step * 0.5; index < side; index++, place += step) found.push(Math.floor(place));
    return found;
  };
  const rows = positions(height), columns = positions(width);
  return Uint8Array.from({length: side * side},
    (_, place) => values[rows[Math.floor(place / side)] * width + columns[place % side]]);
}

/** Bilinear, over more pixels where it shrinks, in Pillow's integers: across, then down. */
function bilinear(picture, side) {
  return transposed(alongRows(transposed(alongRows(picture, side)), side)).values;
}

/** The picture in a width of `side` pixels. */
function alongRows({values, width, height}, side) {
  const made = new Uint8Array(side * height), scale = width / side, reach = Math.max(scale, 1), slope = 1 / reach;
  for (let column = 0; column < side; column++) {
    const centre = (column + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5)), end = Math.min(width, Math.trunc(centre + reach + 0.5));
    const shares = Array.from({length: end - first},
      (_, index) => Math.max(0, 1 - Math.abs((index + first - centre + 0.5) * slope)));
    const sum = shares.reduce((total, share) => total + share, 0);
    const weights = shares.map((share) => Math.trunc(0.5 + share / sum * 2 ** 22));
    for (let row = 0; row < height; row++) {
      let total = 1 << 21;
      weights.forEach((weight, index) => { total += weight * values[row * width + first + index]; });
      made[row * side + column] = Math.min(255, total >> 22);
    }
  }
  return {values: made, width: side, height};
}

/** As MNIST was made, in MNIST's size; an image of MNIST, or its negative, is unchanged. Null if there is no ink. */
function likeMnist(picture) {
  const own = ownImage(picture), ink = own ? null : findInk(picture), pixels = own ?? (ink && drawCharacter(ink));
  return pixels && {pixels, more: ink?.more ?? 0};
}

/** The picture if it is an image of MNIST, or its negative; else null. */
function ownImage(picture) {
  const own = [picture, subtracted(255, picture)].find(isMnist);
  return own ? Uint8Array.from(own.values) : null;
}

/** Whether a picture has the properties of all 70,000 images of MNIST, which few others have: see pictures/prepare.py. */
function isMnist(picture) {
  const {values, width, height} = picture;
  if (width !== SIDE || height !== SIDE || values.reduce((most, value) => Math.max(most, value)) < 254) return false;
  const side = longerSide(boxOf(picture));
  if (side !== BOX && side !== BOX - 1) return false;
  let mass = 0, down = 0, across = 0;
  values.forEach((value, place) => {
    mass += value;
    down += value * Math.floor(place / SIDE);
    across += value * (place % SIDE);
  });
  return [down, across].every((moment) => 16 * Math.abs(moment - SIDE / 2 * mass) <= 9 * mass);
}

// {pixels, more: the number of further characters at least}; null if there is no ink
const METHODS = {mnist: likeMnist, resize: (picture, side) => ({pixels: resize(picture, side), more: 0})};
