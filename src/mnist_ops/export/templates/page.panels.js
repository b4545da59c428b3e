// Finds the panel that a character is written on, as pictures/panels.py: paper on a desk, a cell of a form, a plot.

const {NESTED, SMALLEST} = CONSTANTS.panels;

/** The innermost panel with ink in it as {image, top, left, more: other panels of about its size, beside it}; the whole
 *  picture if there is none. */
function panelOf(picture) {
  let found = {image: picture, top: 0, left: 0, more: 0};
  for (let round = 0; round < NESTED; round++) {
    const [inner] = abreast(found.image);
    if (!inner) break;
    found = {image: inner.image, top: found.top + inner.top, left: found.left + inner.left, more: found.more + inner.more};
  }
  return found;
}

/** All panels of about the largest one's size beside each other, each the innermost, such as the cells of a form. */
function panelsOf(picture) {
  const panels = abreast(picture);
  if (!panels.length) return [{image: picture, top: 0, left: 0}];
  return panels.flatMap((panel) => (panels.length === 1 ? panelsOf(panel.image) : [panelOf(panel.image)])
    .map((inner) => ({image: inner.image, top: panel.top + inner.top, left: panel.left + inner.left})));
}

/** The largest panel of the picture, light or dark, and others of half its area and more beside it; none but these. */
function abreast(picture) {
  const light = reaching(picture, otsu(countsOf(picture.values)) + 1);
  const parts = [components(light), components(subtracted(1, light))];
  const panels = parts.flatMap(({labels, found}, index) => found
    .filter((part) => mayBePanel(part, parts[1 - index].found, picture))
    .map((part) => ({part,
      hull: hullOf(mapped(boxed({...picture, values: labels}, part), (label) => label === part.label ? 1 : 0))}))
    .filter(({part, hull}) => isQuadrilateral(hull) && endsSharply(part, hull, picture)));
  if (!panels.length) return [];
  const largest = panels.reduce((most, one) => one.part.area > most.part.area ? one : most);
  const beside = panels.filter((one) => one !== largest && 2 * one.part.area >= largest.part.area
    && !overlaps(one.part, largest.part));
  return [largest, ...beside].map(({part, hull}) => ({...cutPanel(picture, part, hull), more: beside.length}));
}

/** The panel, with its middle grey value around its hull. */
function cutPanel(picture, part, hull) {
  const piece = boxed(picture, part), inside = shrunk(hull, blurOf(part)).values, ground = medianWhere(piece.values, inside);
  return {image: mapped(piece, (value, place) => inside[place] ? value : ground), top: part.top, left: part.left};
}

function boxed(picture, {top, left, bottom, right}) {
  return cut(picture, top, left, bottom, right);
}

/** Whether a part fills half of its box, which is part of the picture, and surrounds something like a character. */
function mayBePanel(part, opposite, {width, height}) {
  const tall = part.bottom - part.top, wide = part.right - part.left;
  if (tall === height && wide === width || 2 * part.area < tall * wide || SMALLEST * tall * wide < width * height) {
    return false;
  }
  return opposite.some((other) => 8 * longerSide(other) >= longerSide(part) && liesWithin(other, part) && !isBar(other));
}

/** Whether the grey values on the two sides of a panel's edge differ by half of what its ink differs by. */
function endsSharply(part, hull, picture) {
  const reach = blurOf(part), box = {
    top: Math.max(0, part.top - reach), left: Math.max(0, part.left - reach),
    bottom: Math.min(picture.height, part.bottom + reach), right: Math.min(picture.width, part.right + reach),
  };
  const mask = cut(hull, box.top - part.top, box.left - part.left, box.bottom - part.top, box.right - part.left);
  const grey = boxed(picture, box), near = runningMaximum(mask, 1).values, inside = shrunk(mask, reach).values;
  const deep = shrunk(mask, 2 * reach).values, outside = near.map((value, place) => value && !mask.values[place]);
  const edge = medianWhere(grey.values, inside.map((value, place) => value && !deep[place]));
  if (edge === null) return false;
  const step = runningMaximum(mapped(grey, (value) => Math.abs(value - edge)), reach).values;
  const apart = medianWhere(step, outside), ground = medianWhere(grey.values, inside);
  return apart !== null
    && grey.values.every((value, place) => !inside[place] || 2 * apart >= Math.abs(value - ground));
}

/** The pixels on either side of a panel's edge that its blur may reach. */
function blurOf(part) {
  return 1 + Math.floor(longerSide(part) / 64);
}

/** The pixels whose square of `reach` pixels on every side lies in the mask. */
function shrunk(mask, reach) {
  const small = runningMinimum(padded(mask, reach), reach);
  return cut(small, reach, reach, reach + mask.height, reach + mask.width);
}

/** Of the values where the mask is set; null if it is nowhere. */
function medianWhere(values, mask) {
  const counts = countsOf(values.filter((_, place) => mask[place]));
  return total(counts) ? quantile(counts, 50) : null;
}

/** The mask with what lies between two of its pixels both across and down. */
function hullOf(mask) {
  const across = spanned(mask).values, down = transposed(spanned(transposed(mask))).values;
  return mapped(mask, (_, place) => across[place] & down[place]);
}

/** Each row of a mask filled from its first to its last pixel. */
function spanned({values, width, height}) {
  const full = new Int32Array(values.length);
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width), first = row.indexOf(1);
    if (first >= 0) full.fill(1, start + first, start + row.lastIndexOf(1) + 1);
  }
  return {values: full, width, height};
}

/** Whether a mask fills the quadrilateral between its four corners, give or take a twentieth, and most of its box. */
function isQuadrilateral({values, width}) {
  const corners = [[1, 1, 0, 0], [1, -1, 0, 1], [-1, -1, 1, 1], [-1, 1, 1, 0]].map(([y, x, down, right]) => {
    let least = Infinity, corner = null;
    values.forEach((value, place) => {
      const row = Math.floor(place / width), column = place % width, far = y * row + x * column;
      if (value && far < least) [least, corner] = [far, [row + down, column + right]];
    });
    return corner;
  });
  const area = total(values), double = corners.reduce((sum, [y, x], index) => {
    const [before, beside] = corners[(index + 3) % 4];
    return sum + y * beside - x * before;
  }, 0);
  return 5 * area >= 4 * values.length && 20 * Math.abs(2 * area - Math.abs(double)) <= 2 * area;
}
