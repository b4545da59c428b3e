// A character's contrast -> 28x28 as MNIST was made, as pictures/strokes.py: 20 pixels long, strokes of MNIST's width,
// centred by mass. Masks hold 0 and 1.

const {SIDE, BOX, FINENESS, THINNEST, THICKEST, LONGEST_PATH} = CONSTANTS.strokes;

/** 784 bytes, light on dark; null if the ink is a texture rather than strokes, or only specks. */
function drawCharacter(ink) {
  const length = BOX * FINENESS, thick = reaching(ink.contrast, ink.threshold), mask = fineMask(ink, thick, length);
  if (!mask) return null;
  const width = strokeWidth(mask), area = total(mask.values);
  if (area > LONGEST_PATH * width * length) return null;
  const reach = widening(width, length);
  if (!reach) return centred(averaged(mask));
  const shorter = fineMask(ink, thick, length - 2 * reach), moved = shorter && widened(shorter, reach);
  // Null too where hairlines flowed together, or for a few pixels, which do not end where they are cut out.
  return moved && Math.max(moved.width, moved.height) <= SIDE * FINENESS ? centred(averaged(moved)) : null;
}

/** The ink cut to its box, whose longer side is close to `length`; lines too thin to survive shrinking are widened. `thick`:
 *  what reaches its threshold. */
function fineMask({contrast, threshold}, thick, length) {
  const side = longerSide(boxOf(thick)), reach = Math.ceil(side / length) >> 1;
  const [height, width] = [contrast.height, contrast.width].map((size) =>
    Math.max(1, Math.floor((2 * size * length + side) / (2 * side))));
  const thin = reach && 10 * total(runningMinimum(thick, reach).values) < total(thick.values);
  const wide = thin ? mapped(runningMaximum(thick, reach), (value) => 255 * value) : contrast;
  return cutToBox(reaching(smoothResize(wide, height, width), threshold));
}

/** The smallest box around all set pixels; null if there are none. */
function boxOf({values, width, height}) {
  let top = -1, left = width, bottom = 0, right = 0;
  for (let row = 0, start = 0; row < height; row++, start += width) {
    let first = 0, last = width - 1;
    while (first < width && !values[start + first]) first++;
    if (first === width) continue;
    while (!values[start + last]) last--;
    if (top < 0) top = row;
    bottom = row + 1;
    left = Math.min(left, first);
    right = Math.max(right, last + 1);
  }
  return bottom ? {top, left, bottom, right} : null;
}

function cutToBox(mask) {
  const box = boxOf(mask);
  return box && cut(mask, box.top, box.left, box.bottom, box.right);
}

/** Mean width of the strokes: four times the mean distance of an ink pixel from the ink's edge. */
function strokeWidth(mask) {
  const inside = padded(mask, 1);
  const distances = squaredDistances(subtracted(1, inside)).values;
  let sum = 0, count = 0;
  for (let place = 0; place < distances.length; place++) {
    if (!inside.values[place]) continue;
    sum += Math.sqrt(distances[place]) - 0.5;
    count++;
  }
  return 4 * (sum / count);
}

/** Exact squared distance of each pixel from the nearest set one; where it is more than `most`, some larger number. */
function squaredDistances(mask, most = Infinity) {
  const {width, height} = mask, along = squaresAlongRows(mask), squares = new Int32Array(along.length);
  for (let row = 0, place = 0; row < height; row++) {
    for (let column = 0; column < width; column++, place++) {
      let best = along[place];
      for (let step = 1, far = 1; far < best && step < height && step <= most; step++, far = step * step) {
        if (step <= row) best = Math.min(best, along[place - step * width] + far);
        if (row + step < height) best = Math.min(best, along[place + step * width] + far);
      }
      squares[place] = best;
    }
  }
  return {values: squares, width, height};
}

/** Squared distance of each pixel from the nearest set one in its row; larger than any if there is none. */
function squaresAlongRows({values, width, height}) {
  const along = new Int32Array(values.length).fill((height + width) ** 2);
  for (let row = 0; row < height; row++) {
    let before = height + width, after = before;
    for (let place = row * width, back = place + width - 1; place < (row + 1) * width; place++, back--) {
      before = values[place] ? 0 : before + 1;
      after = values[back] ? 0 : after + 1;
      along[place] = Math.min(along[place], before * before);
      along[back] = Math.min(along[back], after * after);
    }
  }
  return along;
}

/** How many fine pixels the strokes' edges must move outwards, negative for inwards. */
function widening(width, length) {
  const wished = Math.min(Math.max(width, THINNEST * FINENESS), THICKEST * FINENESS);
  const share = 1 - Math.min(width / length, 0.5);
  return Math.floor((wished - width) / (2 * share) + 0.5 + TIE);
}

/** The strokes with their edges moved by `reach`; null if they would vanish. */
function widened(mask, reach) {
  if (reach > 0) {
    return subtracted(1, reaching(squaredDistances(padded(mask, reach), reach), reach * reach + 1));
  }
  return cutToBox(reaching(squaredDistances(subtracted(1, padded(mask, 1)), -reach), reach * reach + 1));
}

/** Area averages 0..255, rounded, over squares of FINENESS, with the mask centred in as many as it needs. */
function averaged(mask) {
  const [rows, columns] = [mask.height, mask.width].map((size) => Math.ceil(size / FINENESS));
  const top = -Math.floor((rows * FINENESS - mask.height) / 2), left = -Math.floor((columns * FINENESS - mask.width) / 2);
  const whole = cut(mask, top, left, top + rows * FINENESS, left + columns * FINENESS);
  const counts = new Float64Array(rows * columns);
  for (let row = 0, place = 0; row < whole.height; row++) {
    const start = Math.floor(row / FINENESS) * columns;
    for (let column = 0; column < whole.width; column++, place++) {
      counts[start + Math.floor(column / FINENESS)] += whole.values[place];
    }
  }
  const values = counts.map((count) => Math.floor((2 * 255 * count + FINENESS ** 2) / (2 * FINENESS ** 2)));
  return {values, width: columns, height: rows};
}

/** In 28x28, the centre of mass within half a pixel of row and column 14. */
function centred({values, width, height}) {
  let mass = 0, down = 0, across = 0;
  values.forEach((value, place) => {
    mass += value;
    down += value * Math.floor(place / width);
    across += value * (place % width);
  });
  const offset = (moment, size) =>
    Math.min(Math.max(Math.floor((2 * (SIDE / 2 * mass - moment) + mass) / (2 * mass)), 0), SIDE - size);
  const top = offset(down, height), left = offset(across, width), pixels = new Uint8Array(SIDE * SIDE);
  values.forEach((value, place) => {
    pixels[(top + Math.floor(place / width)) * SIDE + left + place % width] = value;
  });
  return pixels;
}
