// Area averaging, smooth resampling and running extremes, as pictures/sampling.py: integers wherever a threshold follows.
// A grey picture is {values, width, height}, row by row, in 32-bit integers; sums are doubles, exact below 2 ** 53.
// Every pixel of a drawing is processed many times per frame: hence plain loops and few arrays.

const {TIE} = CONSTANTS.sampling;

/** Integers computed from the values, one by one. */
function mapped({values, width, height}, change) {
  const changed = new Int32Array(values.length);
  for (let place = 0; place < values.length; place++) changed[place] = change(values[place], place);
  return {values: changed, width, height};
}

/** 1 where a value reaches the threshold, else 0. */
function reaching({values, width, height}, threshold) {
  const mask = new Int32Array(values.length);
  for (let place = 0; place < values.length; place++) mask[place] = values[place] >= threshold ? 1 : 0;
  return {values: mask, width, height};
}

/** Each value subtracted from that number. */
function subtracted(number, {values, width, height}) {
  const changed = new Int32Array(values.length);
  for (let place = 0; place < values.length; place++) changed[place] = number - values[place];
  return {values: changed, width, height};
}

function transposed({values, width, height}) {
  const turned = new values.constructor(values.length);
  for (let row = 0, place = 0; row < height; row++) {
    for (let column = 0; column < width; column++, place++) turned[column * height + row] = values[place];
  }
  return {values: turned, width: height, height: width};
}

function total(values) {
  let sum = 0;
  for (let place = 0; place < values.length; place++) sum += values[place];
  return sum;
}

/** The rectangle of the picture; the last row and column exclusive; 0 where it lies outside. */
function cut({values, width, height}, top, left, bottom, right) {
  const wide = right - left, piece = new Int32Array((bottom - top) * wide);
  for (let row = Math.max(0, top); row < Math.min(height, bottom); row++) {
    const start = (row - top) * wide - left;
    for (let column = Math.max(0, left); column < Math.min(width, right); column++) {
      piece[start + column] = values[row * width + column];
    }
  }
  return {values: piece, width: wide, height: bottom - top};
}

/** With `reach` zeros on every side. */
function padded(picture, reach) {
  return cut(picture, -reach, -reach, picture.height + reach, picture.width + reach);
}

/** The longer side `longest` by area averaging, each value rounded; smaller pictures are unchanged. */
function shrink(picture, longest) {
  const {width, height} = picture, longer = Math.max(width, height);
  if (longer <= longest) return mapped(picture, (value) => value);
  const [rows, columns] = [height, width].map((side) =>
    Math.max(1, Math.floor((2 * side * longest + longer) / (2 * longer))));
  const sums = transposed(areaSums(transposed(areaSums(picture, rows)), columns));
  return mapped(sums, (sum) => Math.floor((2 * sum + height * width) / (2 * height * width)));
}

/** Sums over `count` equal shares of the rows, `count` times the grey value of each whole row. */
function areaSums({values, width, height}, count) {
  const sums = new Float64Array(count * width);
  for (let share = 0; share < count; share++) {
    const begin = share * height, end = begin + height; // in units of 1 / count of a row
    for (let row = Math.floor(begin / count); row * count < end; row++) {
      const weight = Math.min(end, (row + 1) * count) - Math.max(begin, row * count);
      for (let column = 0; column < width; column++) sums[share * width + column] += weight * values[row * width + column];
    }
  }
  return {values: sums, width, height: count};
}

/** To (rows, columns), rounded, by a triangle as wide as two pixels of the coarser grid; outside the picture is 0. */
function smoothResize(picture, rows, columns) {
  const tall = throughTriangle(picture, rows);
  const resized = transposed(throughTriangle(transposed(tall), columns));
  const values = new Int32Array(rows * columns);
  for (let place = 0; place < values.length; place++) values[place] = Math.floor(resized.values[place] + 0.5 + TIE);
  return {values, width: columns, height: rows};
}

/** The rows of the picture resampled to `count`. */
function throughTriangle({values, width, height}, count) {
  const step = height / count, reach = Math.max(1, step), beyond = Math.ceil(reach) + 1;
  const sums = new Float64Array(count * width);
  for (let row = 0; row < count; row++) {
    const centre = (row + 0.5) * step, first = Math.max(-beyond, Math.floor(centre - reach) - 1);
    const last = Math.min(height + beyond - 1, Math.ceil(centre + reach) + 1);
    const weight = (place) => Math.max(0, 1 - Math.abs(centre - (place + 0.5)) / reach);
    let total = 0;
    for (let place = first; place <= last; place++) total += weight(place);
    for (let place = Math.max(0, first); place <= Math.min(height - 1, last); place++) {
      const share = weight(place) / total;
      if (!share) continue;
      for (let column = 0; column < width; column++) sums[row * width + column] += share * values[place * width + column];
    }
  }
  return {values: sums, width, height: count};
}

/** The maximum over the square of `reach` pixels on every side, within the picture. */
function runningMaximum(picture, reach) {
  return transposed(runningRows(transposed(runningRows(picture, reach)), reach));
}

function runningMinimum(picture, reach) {
  return subtracted(0, runningMaximum(subtracted(0, picture), reach));
}

/** Maxima over windows along the columns, doubling the window as often as it fits. */
function runningRows({values, width, height}, reach) {
  const window = 2 * reach + 1, rows = height + 2 * reach;
  const tall = new Int32Array(rows * width).fill(-(2 ** 31));
  tall.set(values, reach * width);
  let covered = 1;
  for (; 2 * covered <= window; covered *= 2) merge(tall, covered * width, (rows - 2 * covered + 1) * width);
  merge(tall, (window - covered) * width, height * width);
  return {values: tall.subarray(0, height * width), width, height};
}

/** Replace each of the first `count` values by the larger of itself and the value `apart` places after it. */
function merge(values, apart, count) {
  for (let place = 0; place < count; place++) {
    const other = values[place + apart];
    if (other > values[place]) values[place] = other;
  }
}
