// Finds the ink of a picture, as pictures/ink.py: its contrast to an uneven background, and the strokes of one character.
// Null if there is none.

const {FAINTEST, DARKEST, PALE, DIM, PHOTO} = CONSTANTS.contrast, {LONGEST, FINE, FRAMES, NEAR, WIDE, NARROW} = CONSTANTS.ink;

/** The largest sensible group of strokes, boxed with 2 pixels around it, as {contrast, threshold, more: the number of further
 *  characters at least}; or null. */
function findInk(picture) {
  const small = shrink(picture, LONGEST), found = findIn(small);
  if (!found) return null;
  const {ink, box} = found, {contrast} = ink;
  if (small.width === small.height && box.top === 0 && box.left === 0 && box.bottom === small.height &&
      box.right === small.width) {  // stretched to fill a square picture
    return {...ink, contrast: smoothResize(contrast, Math.floor(contrast.height * WIDE / NARROW), contrast.width)};
  }
  const side = Math.max(box.bottom - box.top, box.right - box.left);
  if (small.width === picture.width && small.height === picture.height || side >= FINE) return ink;
  const large = Math.max(picture.width, picture.height), little = Math.max(small.width, small.height);
  const start = (edge) => Math.max(0, Math.floor((2 * edge - side) * large / (2 * little)));
  const end = (edge, most) => Math.min(most, Math.floor((2 * edge + side) * large / (2 * little)) + 1);
  const place = cut(picture, start(box.top), start(box.left), end(box.bottom, picture.height),
    end(box.right, picture.width));
  const closer = findIn(shrink(place, LONGEST), isUneven(small));
  return closer && {...closer.ink, more: ink.more};
}

/** The ink of a picture of LONGEST pixels at most, as it is, with its box in the picture; it may be cut out of a photo. */
function findIn(picture, ofPhoto = false) {
  const {image, top, left, more} = panelOf(picture), strokes = withoutFrame(image, ofPhoto || isUneven(image) ? DIM : PALE);
  const chosen = strokes && choose(strokes.found, image);
  if (!chosen) return null;
  const {contrast, threshold, labels} = strokes;
  const kept = cutOut(contrast, threshold, marked(labels, chosen)), box = boxAround(chosen);
  return {
    ink: {contrast: cut(kept, box.top - 2, box.left - 2, box.bottom + 2, box.right + 2), threshold,
      more: more + further(strokes.found, chosen, image)},
    box: {top: top + box.top, left: left + box.left, bottom: top + box.bottom, right: left + box.right},
  };
}

/** The contrast of the ink in the mask and of 2 pixels around it, without what belongs to other ink or a ruled line. */
function cutOut(contrast, threshold, own) {
  const near = runningMaximum({...contrast, values: own}, 2).values;
  const kept = {...contrast, values: new Int32Array(own.length)};
  for (let place = 0; place < own.length; place++) {
    const value = contrast.values[place];
    if (near[place] && (own[place] || value < threshold)) kept.values[place] = value;
  }
  return kept;
}

/** 1 where the label is one of these parts', else 0. */
function marked(labels, parts) {
  const chosen = new Uint8Array(labels.length);
  const own = new Set(parts.map((part) => part.label));
  for (let place = 0; place < labels.length; place++) if (labels[place] && own.has(labels[place])) chosen[place] = 1;
  return chosen;
}

/** The strokes of a picture without the edge of the paper, shadows and the like: each time they are removed, the
 *  threshold that they had raised falls, and fainter characters appear. Null if there are none. */
function withoutFrame(picture, share) {
  let contrast = contrastOf(picture), strokes = strokesOf(contrast, share);
  for (let round = 0; strokes && round < FRAMES && Math.max(picture.width, picture.height) >= PHOTO; round++) {
    const {labels, found} = strokes, frame = found.filter((part) => isFrame(part, picture));
    if (!frame.length || frame.length === found.length) break;
    const own = marked(labels, frame), near = runningMaximum({...contrast, values: own}, 3).values;
    contrast = mapped(contrast, (value, place) => near[place] ? 0 : value);
    const rest = strokesOf(contrast, share);
    if (rest && !insideOf(rest.found, picture).length) break;
    strokes = rest;
  }
  return strokes;
}

/** {contrast, threshold, labels, found}: the contrast with pale strokes raised, and the components of what reaches the
 *  threshold, without the ruled lines of a page; null if nothing does. */
function strokesOf(contrast, share) {
  const thresholds = thresholdsOf(contrast.values, share);
  if (!thresholds) return null;
  const [threshold, faintest] = thresholds;
  if (Math.max(contrast.width, contrast.height) >= PHOTO) {
    const lines = ruled(reaching(contrast, Math.min(faintest, Math.ceil(threshold / 2)))).values;
    const mask = mapped(contrast, (value, place) => value >= threshold && !lines[place] ? 1 : 0), some = mask.values.includes(1);
    // What noise leaves of a line in a photo would hang on to the ink.
    if (share === DIM && some && lines.includes(1)) return {contrast, threshold, ...components(mask)};
    if (some) contrast = mapped(contrast, (value, place) => lines[place] ? 0 : value);
  }
  contrast = raised(contrast, threshold, faintest, share === DIM);
  return {contrast, threshold, ...components(reaching(contrast, threshold))};
}

/** The contrast, with the pale parts of strokes raised to the threshold where they hang on to what reaches it. */
function raised(contrast, threshold, faintest, photo) {
  const {values} = contrast, reach = 1 + Math.floor(Math.max(contrast.width, contrast.height) / NEAR);
  const strongest = runningMaximum(contrast, reach).values, sides = !photo && beside(contrast, reach);
  const ends = mapped(contrast, (value, place) => {
    const end = Math.min(Math.max(strongest[place] >> 1, faintest), threshold);
    return !photo && value >= faintest && 2 * sides[place] <= value ? Math.min(value, end) : end;
  }).values;
  if (values.every((value, place) => value >= threshold || value < ends[place])) return contrast;
  const ink = mapped(contrast, (value, place) => value >= ends[place] ? 1 : 0), {labels, found} = components(ink);
  const sure = new Map(); // of a piece, the box of what reaches the threshold
  labels.forEach((label, place) => {
    if (values[place] < threshold) return;
    const row = Math.floor(place / contrast.width), column = place % contrast.width, box = sure.get(label);
    sure.set(label, box ? {top: box.top, bottom: row, left: Math.min(box.left, column), right: Math.max(box.right, column)}
      : {top: row, bottom: row, left: column, right: column});
  });
  const longer = ({top, left, bottom, right}) => Math.max(bottom - top, right - left);
  // In a photo the pale parts must lie between the others: a line of the paper that hangs on to ink leads away from it.
  const joined = new Set(found.filter((part) => sure.has(part.label)
    && (!photo || 8 * longer(part) <= 9 * (longer(sure.get(part.label)) + 1))).map(({label}) => label));
  return mapped(contrast, (value, place) => ink.values[place] && !joined.has(labels[place]) ? value
    : Math.min(255, Math.floor(value * threshold / ends[place])));
}

/** The larger of the two values `reach` pixels away on opposite sides, in the direction where it is least. */
function beside({values, width, height}, reach) {
  const lowest = new Int32Array(values.length);
  const at = (row, column) => row < 0 || column < 0 || row >= height || column >= width ? 0 : values[row * width + column];
  for (let row = 0, place = 0; row < height; row++) {
    for (let column = 0; column < width; column++, place++) {
      if (!values[place]) continue;
      const up = row - reach, down = row + reach, left = column - reach, right = column + reach;
      lowest[place] = Math.min(Math.max(at(row, left), at(row, right)), Math.max(at(up, column), at(down, column)),
        Math.max(at(up, left), at(down, right)), Math.max(at(up, right), at(down, left)));
    }
  }
  return lowest;
}

function boxAround(parts) {
  return {
    top: Math.min(...parts.map((part) => part.top)), left: Math.min(...parts.map((part) => part.left)),
    bottom: Math.max(...parts.map((part) => part.bottom)), right: Math.max(...parts.map((part) => part.right)),
  };
}

/** How far each pixel is from its background towards ink, 0..255, relative to the background: the picture's closing. */
function contrastOf(picture) {
  const dark = isDarkOnLight(picture) ? picture : subtracted(255, picture);
  const reach = Math.max(1, Math.floor(Math.max(picture.width, picture.height) / (isUneven(picture) ? 14 : 4)));
  const background = runningMinimum(runningMaximum(dark, reach), reach).values;
  return mapped(dark, (value, place) =>
    Math.min(255, Math.floor((background[place] - value) * 255 / Math.max(background[place], DARKEST))));
}

/** Whether it is a photo rather than a drawing: a small picture shows a character and one background. */
function isUneven(picture) {
  return Math.max(picture.width, picture.height) >= PHOTO && !isFlat(picture);
}

/** Whether half the picture has one grey value, give or take 3: a drawing or a scan rather than a photo. */
function isFlat({values}) {
  const counts = countsOf(values), mode = largest(counts);
  return 2 * total(counts.subarray(Math.max(0, mode - 3), mode + 4)) >= values.length;
}

/** Whether the ink is darker than its background: by the skewness of the picture minus its local mean; if that is unclear
 *  in a drawing, by what prevails in the whole and at the border. */
function isDarkOnLight(picture) {
  const longest = Math.max(picture.width, picture.height), uneven = isUneven(picture);
  const local = localMean(picture, Math.max(1, Math.floor(longest / (uneven ? 10 : 5))));
  const rest = local.map((mean, place) => picture.values[place] - mean), middle = total(rest) / rest.length;
  let squares = 0, cubes = 0;
  for (const value of rest) {
    const distance = value - middle;
    squares += distance * distance;
    cubes += distance * distance * distance;
  }
  const skewness = cubes / rest.length / Math.max((squares / rest.length) ** 1.5, 1e-9);
  return uneven || Math.abs(skewness) > 1 ? skewness < 0 : isLight(picture);
}

/** Whether light prevails in the whole and at the border, by Otsu's threshold. */
function isLight({values, width, height}) {
  const split = otsu(countsOf(values)), length = 2 * (width + height);
  let whole = 0, border = 0;
  values.forEach((value, place) => {
    if (value <= split) return;
    const row = Math.floor(place / width), column = place % width;
    whole++;
    // A corner counts for both of its sides.
    border += (row === 0) + (row === height - 1) + (column === 0) + (column === width - 1);
  });
  return border * values.length + whole * length >= values.length * length;
}

/** Mean over the square of `reach` pixels on every side, within the picture. */
function localMean({values, width, height}, reach) {
  const wide = width + 1, sums = new Float64Array(wide * (height + 1));
  for (let row = 0; row < height; row++) {
    for (let column = 0, along = 0; column < width; column++) {
      along += values[row * width + column];
      sums[(row + 1) * wide + column + 1] = sums[row * wide + column + 1] + along;
    }
  }
  const means = new Float64Array(width * height);
  for (let row = 0, place = 0; row < height; row++) {
    const top = Math.max(row - reach, 0) * wide, bottom = Math.min(row + reach + 1, height) * wide;
    for (let column = 0; column < width; column++, place++) {
      const left = Math.max(column - reach, 0), right = Math.min(column + reach + 1, width);
      const sum = sums[bottom + right] - sums[top + right] - sums[bottom + left] + sums[top + left];
      means[place] = sum / ((bottom - top) / wide * (right - left));
    }
  }
  return means;
}

function countsOf(values) {
  const counts = new Float64Array(256);
  for (const value of values) counts[value]++;
  return counts;
}

/** The lowest contrast of ink, alone and of the pale part of a stroke: Otsu's threshold of all above the noise, but at
 *  most half of the strongest, and a share of it; null if nothing is above the noise. */
function thresholdsOf(contrast, share) {
  const counts = countsOf(contrast);
  const low = quantile(counts, 5), middle = quantile(counts, 25);
  const floor = middle + Math.max(FAINTEST, 6 * (middle - low));
  const above = counts.map((count, value) => value < floor ? 0 : count);
  if (!total(above)) return null;
  const threshold = Math.max(floor, Math.min(otsu(above) + 1, Math.floor(quantile(above, 99) / 2)));
  return [threshold, Math.max(floor, Math.floor(threshold / share))];
}

/** The lowest value that at least `percent` of the counted pixels do not exceed. */
function quantile(counts, percent) {
  const all = total(counts);
  let below = 0;
  return counts.findIndex((count) => (below += count) * 100 >= percent * all);
}

/** The value that splits the counts into two classes with maximum variance between them; the middle of equally good ones;
 *  one less than the value if all are equal; Otsu 1979. */
function otsu(counts) {
  const numbers = [], totals = [];
  let number = 0, sum = 0;
  counts.forEach((count, value) => {
    numbers.push(number += count);
    totals.push(sum += count * value);
  });
  const split = numbers.map((below, value) =>
    (totals[value] * number - below * sum) ** 2 / Math.max(below * (number - below), 1));
  if (Math.max(...split) === 0) return counts.findIndex((count) => count > 0) - 1;
  const best = Math.max(...split) * (1 - 1e-9);
  const good = (value) => value >= best;
  return Math.floor((split.findIndex(good) + split.findLastIndex(good)) / 2);
}
