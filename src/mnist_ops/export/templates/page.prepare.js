// Any grey picture -> the image that the network expects; the same steps and pixels as pictures/prepare.py.

/** side x side pixels by nearest neighbour, as in Pillow: positions are accumulated, and their rounding decides ties. */
function resize({values, width, height}, side) {
  const positions = (length) => {
    const step = length / side, found = [];
    for (let index = 0, place = step * 0.5; index < side; index++, place += step) found.push(Math.floor(place));
    return found;
  };
  const rows = positions(height), columns = positions(width);
  return Uint8Array.from({length: side * side},
    (_, place) => values[rows[Math.floor(place / side)] * width + columns[place % side]]);
}

/** As MNIST was made, in MNIST's size; an image of MNIST, or its negative, is unchanged. Null if there is no ink. */
function likeMnist(picture) {
  for (const own of [picture, mapped(picture, (value) => 255 - value)]) {
    if (isMnist(own)) return Uint8Array.from(own.values);
  }
  const ink = findInk(picture);
  return ink && drawCharacter(ink);
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

const METHODS = {mnist: likeMnist, resize};
